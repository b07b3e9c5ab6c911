/** Opens several databases: each now, or when it is there. One at least has to be there at the start. */
import { type Cause, Context, Deferred, type Duration, Effect, Exit, Layer, Result, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { isSqlError } from "effect/sql/SqlError"
import { refusalIn } from "../../ports/DatabaseCode.ts"
import * as Setting from "../../ports/Setting.ts"
import { type Shard, Shards } from "./Shards.ts"
import * as SqlBuckets from "./SqlBuckets.ts"
import { causeOf, codeOf, isPassing, sqlErrorsOf } from "./SqlErrors.ts"
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

/** How long a database has to say which buckets it serves. */
export const patience: Duration.Input = "1 second"

/** A database that was not there at the start is tried again at most this often, in milliseconds. */
const spacing = 1_000

/** The service that each database gets. */
export interface Opening<I, A, E> {
  /** Stands before the name of an invalid setting. */
  readonly module: string
  readonly service: Context.Key<I, A>
  readonly layer: (name: string, tables: SqlTables.TableOptions) => Layer.Layer<I, E, SqlClient.SqlClient>
}

interface Opened<A> {
  readonly service: A
  readonly table: SqlBuckets.BucketTable
}

/** A database with its table of buckets. */
const opened = Effect.fnUntraced(function* <I, A, E, E2, R>(
  name: string,
  { client, ...tables }: Database<E2, R>,
  { layer, module, service }: Opening<I, A, E>,
  scope: Scope.Scope
) {
  const memo = yield* Layer.makeMemoMap
  const context = yield* Layer.buildWithMemoMap(Layer.provideMerge(layer(name, tables), client), memo, scope)
  const names = yield* SqlTables.make(tables, module)
  const found: Opened<A> = {
    service: Context.get(context, service),
    table: SqlBuckets.make(Context.get(context, SqlClient.SqlClient), names)
  }
  return found
})

/** Opens a database now, and later where it is away. */
const shardOf = Effect.fnUntraced(function* <I, A, E, E2, R>(
  name: string,
  database: Database<E2, R>,
  opening: Opening<I, A, E>
) {
  const scope = yield* Effect.scope
  const context = yield* Effect.context<R>()
  const there = yield* Deferred.make<A>()
  let known: Opened<A> | undefined
  let triedAt = Number.NaN
  /** When it has not answered, in milliseconds since the epoch. */
  let awayAt = Number.NaN
  let isTrying = false
  let isTold = false
  let refusal: string | undefined
  const open = Effect.gen(function* () {
    const own = yield* Scope.fork(scope)
    const exit = yield* Effect.exit(Effect.provideContext(opened(name, database, opening, own), context))
    if (Exit.isFailure(exit)) {
      refusal = sqlErrorsOf(exit.cause).map(causeOf).map(refusalIn).find(Boolean)
      yield* Scope.close(own, exit)
    } else {
      known = exit.value
      yield* Deferred.succeed(there, exit.value.service)
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
    const tried = Effect.flatMap(Effect.exit(open), (exit) => {
      if (Exit.isSuccess(exit) || mayCome(exit.cause) || isTold) return Effect.void
      isTold = true
      const codes = sqlErrorsOf(exit.cause).map(codeOf)
      return Effect.logError("A database cannot be used: its executions wait", { database: name, codes })
    })
    return Effect.asVoid(Effect.forkIn(Effect.ensuring(tried, ended), scope))
  })
  const shard: Shard<A> = {
    name,
    there: () => known?.service,
    reached: Deferred.await(there),
    refusal: () => refusal,
    buckets: Effect.clockWith((clock) => {
      if (known === undefined) return Effect.as(again, undefined)
      // A request for another database does not wait for this one again and again.
      if (clock.currentTimeMillisUnsafe() - awayAt < spacing) return Effect.undefined
      const rows = Effect.timeoutOrElse(known.table.rows, { duration: patience, orElse: () => Effect.undefined })
      return Effect.map(Effect.result(rows), (answer) => {
        const said = Result.getOrUndefined(answer)
        refusal = Result.isSuccess(answer) ? undefined : refusalIn(causeOf(answer.failure))
        awayAt = said === undefined ? clock.currentTimeMillisUnsafe() : Number.NaN
        return said
      })
    })
  }
  return { shard, exit: yield* Effect.exit(open) }
})

/** Whether a database may be there later. */
const mayCome = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.every((reason) => reason._tag === "Fail" && isSqlError(reason.error) && isPassing(reason.error))

/** Of one database under two names everything would be counted twice, and nobody would serve its buckets. */
const different = Effect.fnUntraced(function* (
  module: string,
  opened: ReadonlyArray<{ readonly shard: Shard<unknown>; readonly exit: Exit.Exit<Opened<unknown>, unknown> }>
) {
  const ids = yield* Effect.forEach(
    opened,
    ({ exit }) =>
      Exit.isFailure(exit)
        ? Effect.undefined
        : Effect.timeoutOrElse(
            Effect.orElseSucceed(exit.value.table.id, () => undefined),
            { duration: patience, orElse: () => Effect.undefined }
          ),
    { concurrency: "unbounded" }
  )
  const names = new Map<string, string>()
  for (const [at, { shard }] of opened.entries()) {
    const id = ids[at]
    if (id === undefined) continue
    const other = names.get(id)
    if (other !== undefined)
      return yield* new Setting.InvalidSetting({
        setting: `${module}.databases`,
        issue: `${shard.name} is the same database as ${other}, or a copy of it`
      })
    names.set(id, shard.name)
  }
})

/** Opens all at the same time. Fails where none is there, where one cannot be used at all, and where two are the same. */
export const open = Effect.fnUntraced(function* <I, A, E, E2, R>(
  databases: Databases<E2, R>,
  opening: Opening<I, A, E>
) {
  const entries = Object.entries(databases)
  if (entries.length === 0)
    return yield* new Setting.InvalidSetting({
      setting: `${opening.module}.databases`,
      issue: "there must be one at least"
    })
  const opened = yield* Effect.forEach(entries, ([name, database]) => shardOf(name, database, opening), {
    concurrency: "unbounded"
  })
  const isOne = opened.some(({ exit }) => Exit.isSuccess(exit))
  for (const { exit, shard } of opened) {
    if (Exit.isSuccess(exit)) continue
    if (!isOne || !mayCome(exit.cause)) return yield* Effect.failCause(exit.cause)
    yield* Effect.logWarning("A database is away: its executions wait", { database: shard.name })
  }
  yield* different(opening.module, opened)
  const shards = new Shards(opened.map(({ shard }) => shard))
  yield* shards.look
  return shards
})
