/**
 * Gives buckets to databases. What is done here is done by a person, once, while processes run.
 *
 * A bucket moves in three units of work. The first one has writes of the bucket refused where it is; they are tried again until it has
 * arrived. The second one, at the other database, copies it and serves it. The third one removes what was left behind. A move that
 * was cut off anywhere is finished by moving the bucket again: until the second one is committed nobody serves the bucket, and after
 * it the other database does.
 */
import { Context, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { bucketCount } from "../../ports/Buckets.ts"
import { FaultPoint } from "../../ports/FaultPoint.ts"
import * as Setting from "../../ports/Setting.ts"
import { line } from "../../wire/OneLine.ts"
import * as BucketCopy from "./BucketCopy.ts"
import type { Database, Databases } from "./OpenShards.ts"
import * as SqlBuckets from "./SqlBuckets.ts"
import * as SqlConnections from "./SqlConnections.ts"
import * as SqlTables from "./SqlTables.ts"

/** `SqlBuckets.begin`: a database serves buckets already. */
export class SagaBucketsBegun extends Schema.TaggedError<SagaBucketsBegun>()("SagaBucketsBegun", {
  database: Schema.String
}) {
  override get message(): string {
    return line`The database ${this.database} has buckets already: move them from there`
  }
}

/**
 * `SqlBuckets.move`: the bucket cannot move. `elsewhere`: this database does not serve it, or it is on its way to another one.
 * `mixed`: executions have a `startKey` of another bucket than their uuid, started by processes that had this database alone; the
 * bucket moves when they have ended and are removed. `queued`: some of its executions are in a queue.
 */
export class SagaBucketStays extends Schema.TaggedError<SagaBucketStays>()("SagaBucketStays", {
  bucket: Schema.Int,
  database: Schema.String,
  why: Schema.Literals(["elsewhere", "mixed", "queued"])
}) {
  override get message(): string {
    return line`Bucket ${this.bucket} cannot leave the database ${this.database}: ${this.why}`
  }
}

type Failed = Setting.InvalidSetting | SqlTables.SetUpError

interface Opened {
  readonly sql: SqlClient.SqlClient
  readonly tables: SqlTables.Tables
  readonly buckets: SqlBuckets.BucketTable
}

const module = "SqlBuckets"

/** The client of a database, whose tables are there. */
const open = Effect.fnUntraced(function* <E, R>(databases: Databases<E, R>, name: string) {
  const found: Database<E, R> | undefined = Object.hasOwn(databases, name) ? databases[name] : undefined
  if (found === undefined)
    return yield* new Setting.InvalidSetting({ setting: `${module}.${name}`, issue: "there is no such database" })
  const { client, ...options } = found
  const context = yield* Layer.build(client)
  const sql = Context.get(context, SqlClient.SqlClient)
  const tables = yield* Effect.provideContext(
    Effect.flatMap(SqlConnections.make(module, {}), (connections) =>
      SqlTables.setUp(options, connections, {
        module,
        list: "saga_execution_migration",
        migrations: SqlTables.executions
      })
    ),
    context
  )
  const opened: Opened = { sql, tables, buckets: SqlBuckets.make(sql, tables) }
  return opened
})

/**
 * Gives all buckets to one of the databases, which may have executions already. Once, before the first process with
 * `SqlSagaExecutionRepository.layerSharded`. Fails with `SagaBucketsBegun` where one of the databases has buckets.
 */
export const begin = <E, R>(
  databases: Databases<E, R>,
  name: string
): Effect.Effect<void, E | Failed | SqlError | SagaBucketsBegun, R> =>
  Effect.scoped(
    Effect.gen(function* () {
      const first = yield* open(databases, name)
      for (const other of Object.keys(databases)) {
        const { buckets } = other === name ? first : yield* open(databases, other)
        if ((yield* buckets.rows).length > 0) return yield* new SagaBucketsBegun({ database: other })
      }
      const { buckets, sql } = first
      // Together: processes that write there find their buckets served from the first check on.
      const begun = yield* sql.withTransaction(Effect.andThen(buckets.prepare, buckets.begin))
      if (!begun) return yield* new SagaBucketsBegun({ database: name })
    })
  )

/** The buckets that each database serves, in the order of their numbers. A bucket on its way is served by none. */
export const served = <E, R>(
  databases: Databases<E, R>
): Effect.Effect<{ readonly [name: string]: ReadonlyArray<number> }, E | Failed | SqlError, R> =>
  Effect.scoped(
    Effect.map(
      Effect.forEach(Object.keys(databases), (name) =>
        Effect.gen(function* () {
          const rows = yield* (yield* open(databases, name)).buckets.rows
          const here = rows.filter(({ state }) => state === "here").map(({ bucket }) => bucket)
          return [name, here.sort((a, b) => a - b)] as const
        })
      ),
      Object.fromEntries
    )
  )

/** Which buckets move, and between which of the databases. */
export interface Move {
  /** The name of the database that has the buckets. */
  readonly from: string
  /** The name of the database that gets them. */
  readonly to: string
  /** Whole numbers from 0 to 255. They move one after the other. */
  readonly buckets: ReadonlyArray<number>
  /** Told each bucket that has moved, to show how far it is. Default: nobody is told. */
  readonly moved?: (bucket: number) => Effect.Effect<void>
}

/**
 * Moves buckets from one database to another, while processes run. Executions of a bucket stand still while it moves: their writes are
 * refused and tried again, and what is started there waits. A move that was cut off is finished by the same call. Fails with
 * `SagaBucketStays` at the first bucket that cannot move, and with `InvalidSetting` where both names are of one database.
 */
export const move = <E, R>(
  databases: Databases<E, R>,
  { buckets, from, moved = () => Effect.void, to }: Move
): Effect.Effect<void, E | Failed | SqlError | SagaBucketStays, R> =>
  Effect.scoped(
    Effect.gen(function* () {
      for (const bucket of buckets)
        yield* Setting.wholeNumber(`${module}.buckets`, bucket, { least: 0, most: bucketCount - 1 })
      if (from === to)
        return yield* new Setting.InvalidSetting({ setting: `${module}.to`, issue: "it must be another" })
      const source = yield* open(databases, from)
      const target = yield* open(databases, to)
      const peer = yield* target.buckets.prepare
      // Before anything leaves: a bucket that leaves for its own database would wait for itself, and never arrive.
      if ((yield* source.buckets.id) === peer)
        return yield* new Setting.InvalidSetting({
          setting: `${module}.to`,
          issue: `${to} is the same database as ${from}, or a copy of it`
        })
      for (const bucket of buckets) {
        yield* moveOne(source, target, { bucket, peer, from })
        yield* moved(bucket)
      }
    })
  )

interface One {
  readonly bucket: number
  readonly peer: string
  readonly from: string
}

const moveOne = Effect.fnUntraced(function* (source: Opened, target: Opened, { bucket, from, peer }: One) {
  const stays = (why: SagaBucketStays["why"]) => new SagaBucketStays({ bucket, database: from, why })
  const obstacle = yield* BucketCopy.obstacle(source, bucket)
  if (obstacle !== undefined) return yield* stays(obstacle)
  const epoch = yield* FaultPoint.around("store", () => source.buckets.leave(bucket, peer))
  if (epoch === undefined) {
    const has = (yield* target.buckets.rows).some((row) => row.bucket === bucket && row.state === "here")
    return has ? undefined : yield* stays("elsewhere")
  }
  const copied = target.sql.withTransaction(
    Effect.gen(function* () {
      // Also where another one finishes the same move: from here on that one waits for this transaction, and then finds it done.
      if (!(yield* target.buckets.arrive(bucket, epoch + 1))) return
      if (!(yield* source.buckets.isLeaving(bucket, epoch))) return yield* stays("elsewhere")
      // Processes that know nothing of buckets may have added some since the first look.
      const late = yield* BucketCopy.obstacle(source, bucket)
      if (late !== undefined) {
        yield* source.buckets.stay(bucket, epoch)
        return yield* stays(late)
      }
      yield* target.buckets.moving
      yield* FaultPoint.around("store", () => BucketCopy.copy(source, target, bucket))
    })
  )
  yield* FaultPoint.around("store", () => copied)
  const removed = source.sql.withTransaction(
    Effect.gen(function* () {
      // Another one has finished the move, and the bucket may have come back since.
      if (!(yield* source.buckets.isLeaving(bucket, epoch))) return
      yield* source.buckets.moving
      yield* FaultPoint.around("store", () => BucketCopy.remove(source, bucket))
      yield* source.buckets.gone(bucket)
    })
  )
  yield* FaultPoint.around("store", () => removed)
})
