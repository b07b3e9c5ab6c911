/** Executions spread over several Postgres databases: each has its buckets, and says itself which they are (`SqlBuckets`). */
import { Context, Deferred, type Duration, Effect, Exit, Layer, Scope, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { isSqlError } from "effect/sql/SqlError"
import * as Port from "../../ports/SagaExecutionRepository.ts"
import * as Setting from "../../ports/Setting.ts"
import * as ShardedRepository from "./ShardedRepository.ts"
import { type Repository, type Shard, Shards } from "./Shards.ts"
import * as SqlBuckets from "./SqlBuckets.ts"
import { isPassing } from "./SqlErrors.ts"
import * as SqlOpenTransaction from "./SqlOpenTransaction.ts"
import * as SqlSagaExecutionRepository from "./SqlSagaExecutionRepository.ts"
import * as SqlTables from "./SqlTables.ts"

/** One of several databases: its client, and where its tables are. */
export interface Database<E = never, R = never> extends SqlTables.TableOptions {
  /** The client of this database alone, as `PgClient.layer` makes one. */
  readonly client: Layer.Layer<SqlClient.SqlClient, E, R>
}

/**
 * The databases by their names. The names are for people: a database is known by what stands in it. All processes of a service name
 * the same databases; a process that lacks one leaves the executions of that one alone.
 */
export type Databases<E = never, R = never> = { readonly [name: string]: Database<E, R> }

/** As those of `SqlSagaExecutionRepository.layer`, for each of the databases. */
export type ShardedOptions = Pick<
  SqlSagaExecutionRepository.SqlSagaExecutionRepositoryOptions,
  "retention" | "statementTimeout"
>

/** How long a database has to say which buckets it serves. */
const patience: Duration.Input = "1 second"

/** A database that was not there at the start is tried again at most this often, in milliseconds. */
const spacing = 1_000

/** One of the databases: its repository, and its table of buckets. */
const opened = Effect.fnUntraced(function* <E, R>(
  { client, ...tables }: Database<E, R>,
  options: ShardedOptions,
  scope: Scope.Scope
) {
  const memo = yield* Layer.makeMemoMap
  const layer = Layer.provideMerge(SqlSagaExecutionRepository.layer({ ...options, ...tables }), client)
  const context = yield* Layer.buildWithMemoMap(layer, memo, scope)
  const names = yield* SqlTables.make(tables, "SqlSagaExecutionRepository")
  return {
    repository: Context.get(context, Port.SagaExecutionRepository),
    table: SqlBuckets.make(Context.get(context, SqlClient.SqlClient), names)
  }
})

interface Opened {
  readonly repository: Repository
  readonly table: SqlBuckets.BucketTable
}

/** Opens a database now, and later where it is away. */
const shardOf = Effect.fnUntraced(function* <E, R>(name: string, database: Database<E, R>, options: ShardedOptions) {
  const scope = yield* Effect.scope
  const context = yield* Effect.context<R>()
  const there = yield* Deferred.make<Opened>()
  let known: Opened | undefined
  let triedAt = Number.NaN
  /** When it has not answered, in milliseconds since the epoch. */
  let awayAt = Number.NaN
  let isTrying = false
  const open = Effect.gen(function* () {
    const own = yield* Scope.fork(scope)
    const exit = yield* Effect.exit(Effect.provideContext(opened(database, options, own), context))
    if (Exit.isFailure(exit)) yield* Scope.close(own, exit)
    else {
      known = exit.value
      yield* Deferred.succeed(there, exit.value)
    }
    return yield* exit
  })
  /** In the background: nobody waits for a database that is away. */
  const again = Effect.clockWith((clock) => {
    const now = clock.currentTimeMillisUnsafe()
    if (isTrying || now - triedAt < spacing) return Effect.void
    isTrying = true
    const ended = Effect.sync(() => {
      isTrying = false
      triedAt = clock.currentTimeMillisUnsafe()
    })
    return Effect.asVoid(Effect.forkIn(Effect.ensuring(Effect.exit(open), ended), scope))
  })
  const streamOf = (of: (repository: Repository) => Stream.Stream<string>) =>
    Stream.unwrap(Effect.map(Deferred.await(there), ({ repository }) => of(repository)))
  const shard: Shard = {
    name,
    repository: () => known?.repository,
    streams: { changes: streamOf(({ changes }) => changes), inputs: streamOf(({ inputs }) => inputs) },
    buckets: Effect.clockWith((clock) => {
      if (known === undefined) return Effect.as(again, undefined)
      // A request for another database does not wait for this one again and again.
      if (clock.currentTimeMillisUnsafe() - awayAt < spacing) return Effect.undefined
      const rows = Effect.timeoutOrElse(known.table.rows, { duration: patience, orElse: () => Effect.undefined })
      return Effect.tap(
        Effect.orElseSucceed(rows, () => undefined),
        (rows) => Effect.sync(() => (awayAt = rows === undefined ? clock.currentTimeMillisUnsafe() : Number.NaN))
      )
    })
  }
  return { shard, exit: yield* Effect.exit(open) }
})

/** Whether a database may be there later. */
const mayCome = (error: unknown): boolean => isSqlError(error) && isPassing(error)

/**
 * Keeps executions on several databases. An execution is in that of the bucket of its uuid, and one with a `startKey` in that of the
 * bucket of its key. Each database says which buckets it serves: nothing is to be configured but the databases. `SqlBuckets.begin` gives
 * all buckets to the first one, once, and `SqlBuckets.move` moves some to another one, at any time.
 *
 * A database that is away, also at the start, concerns its executions only; one at least has to be there at the start. Steps that are
 * `transactional` are refused, and so are queues and schedules: they are of one database. A caller that knows the database
 * of its sagas, such as that of a tenant, has a manager with `SqlSagaExecutionRepository.layer` for each instead.
 *
 * @example
 * ```ts
 * const RepositoryLive = SqlSagaExecutionRepository.layerSharded({
 *   north: { client: PgClient.layer({ url: north }) },
 *   south: { client: PgClient.layer({ url: south }) }
 * })
 * ```
 */
export const layerSharded = <E = never, R = never>(
  databases: Databases<E, R>,
  options: ShardedOptions = {}
): Layer.Layer<Port.SagaExecutionRepository, E | SqlTables.SetUpError, R> =>
  Layer.effect(
    Port.SagaExecutionRepository,
    Effect.gen(function* () {
      yield* Setting.known("SqlSagaExecutionRepository", options, { retention: true, statementTimeout: true })
      const entries = Object.entries(databases)
      if (entries.length === 0)
        return yield* new Setting.InvalidSetting({
          setting: "SqlSagaExecutionRepository.databases",
          issue: "there must be one at least"
        })
      const opened = yield* Effect.forEach(entries, ([name, database]) => shardOf(name, database, options), {
        concurrency: "unbounded"
      })
      const isOne = opened.some(({ exit }) => Exit.isSuccess(exit))
      for (const { exit, shard } of opened) {
        if (Exit.isSuccess(exit)) continue
        const mayWait = isOne && exit.cause.reasons.every((it) => it._tag === "Fail" && mayCome(it.error))
        if (!mayWait) return yield* Effect.failCause(exit.cause)
        yield* Effect.logWarning("A database is away: its executions wait", { database: shard.name })
      }
      const shards = new Shards(opened.map(({ shard }) => shard))
      yield* shards.look
      return ShardedRepository.make(shards)
    })
  ).pipe(Layer.merge(SqlOpenTransaction.layer))
