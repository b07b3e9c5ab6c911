/** How the buckets are spread over several databases, for a person: also where one is away, and while buckets move. */
import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import type { BucketPlaces, DatabaseBuckets, PlacedBucket } from "../../ports/Buckets.ts"
import type { InvalidSetting } from "../../ports/Setting.ts"
import * as Places from "./BucketPlaces.ts"
import * as OpenShards from "./OpenShards.ts"
import * as SqlBuckets from "./SqlBuckets.ts"
import { causeOf, codeOf, isPassing } from "./SqlErrors.ts"
import * as SqlTables from "./SqlTables.ts"

class Table extends Context.Service<Table, SqlBuckets.BucketTable>()("effect-saga/sql/BucketTable") {}

const module = "SqlBuckets"

interface Said {
  readonly database: string
  /** Undefined: it does not answer. */
  readonly rows: ReadonlyArray<SqlBuckets.BucketRow> | undefined
  /** Undefined: it does not answer, or is not one of several. */
  readonly id: string | undefined
}

/** The codes of a database that does not let this role in: a wrong name, role or password. The others are shown. */
const noEntry = /^(28|3D)/

const ask = Effect.fnUntraced(function* (database: string, table: SqlBuckets.BucketTable | undefined) {
  const away: Said = { database, id: undefined, rows: undefined }
  if (table === undefined) return away
  const { id, rows } = table
  return yield* Effect.all({ database: Effect.succeed(database), id, rows }).pipe(
    Effect.catchIf(
      (error) => isPassing(error) || noEntry.test(codeOf(error)),
      () => Effect.succeed(away)
    ),
    Effect.tapError((error) =>
      Effect.logError("A database does not say which buckets it has", { database, ...causeOf(error) })
    ),
    Effect.timeoutOrElse({ duration: OpenShards.patience, orElse: () => Effect.succeed(away) })
  )
})

const placesOf = (all: ReadonlyArray<Said>): BucketPlaces => {
  const names = new Map(all.flatMap(({ database, id }) => (id === undefined ? [] : [[id, database] as const])))
  const placed = ({ bucket, epoch, peer, state }: SqlBuckets.BucketRow): PlacedBucket => ({
    ...{ bucket, epoch, state },
    ...(peer !== null && { to: names.get(peer) ?? peer })
  })
  const { doubled, places } = Places.of(all.map(({ rows = [] }) => rows))
  const isDoubled = new Set(doubled.map(({ bucket }) => bucket))
  return {
    databases: all.map(
      ({ database, rows }): DatabaseBuckets => ({
        database,
        ...(rows !== undefined && { buckets: rows.map(placed).sort((one, other) => one.bucket - other.bucket) })
      })
    ),
    nowhere: places.flatMap((at, bucket) => (at === undefined && !isDoubled.has(bucket) ? [bucket] : [])),
    doubled: [...isDoubled].sort((one, other) => one - other)
  }
}

/**
 * Where each bucket is, which ones are on their way, and what is wrong: buckets that nobody has, and those that two databases serve. A
 * database that does not answer has no list of buckets; one at least has to be there. It changes nothing, and makes no tables.
 */
export const list = <E, R>(
  databases: OpenShards.Databases<E, R>
): Effect.Effect<BucketPlaces, E | InvalidSetting | SqlError, R> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { all } = yield* OpenShards.open(databases, {
        module,
        service: Table,
        layer: (_, options) =>
          Layer.effect(
            Table,
            Effect.gen(function* () {
              return SqlBuckets.make(yield* SqlClient.SqlClient, yield* SqlTables.make(options, module))
            })
          )
      })
      const said = yield* Effect.forEach(all, ({ name, there }) => ask(name, there()), { concurrency: "unbounded" })
      return placesOf(said)
    })
  )
