/**
 * Shares the connections of the client out (SPEC C20). The lease, the group commit and the listener have connections that
 * nothing else of the library can take; single statements and transactions share the others.
 *
 * Only a pool of `@effect/sql-pg` can be divided. A PGlite has one session for all, and a folder belongs to one process: there
 * the lock of the folder is the lease, and `lockTimeout` is the limit. Clients of other packages are used as they are.
 */
import { PgClient } from "@effect/sql-pg"
import { Context, type Duration, Effect, References, type Scope, Semaphore, Stream } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import * as Setting from "../../ports/Setting.ts"
import * as ConnectionQueue from "./ConnectionQueue.ts"
import { codeOf } from "./SqlErrors.ts"
import * as SqlListener from "./SqlListener.ts"
import * as SqlSession from "./SqlSession.ts"

export interface ConnectionOptions {
  /**
   * How long a statement of the library may take. One that takes longer counts as lost: its connection is closed, and its
   * outcome is read again. Statements over many rows, and those that wait for the work of others, have six times as long. From
   * 10 ms to 1 hour, default 5 seconds. Keep it above the slowest answer under load. Those that keep the lease have less. It needs the
   * client of `@effect/sql-pg`; a PGlite has its `lockTimeout`.
   */
  readonly statementTimeout?: Duration.Input
}

/** Runs a statement of the library. Where the context has a transaction, the statement is part of it. */
export type Run = <A>(statement: Effect.Effect<A, SqlError>, millis?: number) => Effect.Effect<A, SqlError>

export interface SqlConnections {
  /** The limit of a statement, in milliseconds. */
  readonly statementMillis: number
  /** For statements about one thing. */
  readonly shared: Run
  /** For statements that read or remove many rows, or wait for the work of others. */
  readonly long: Run
  /** Runs work in a transaction, or in a savepoint of the open one. The statements of the work itself have no limit. */
  readonly transaction: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>
}

/** The connections of a repository, of which some are its own. */
export interface ReservedConnections extends SqlConnections {
  /** For statements that keep the lease. They come one after the other. */
  readonly lease: Run
  /** For the group commit, which has at most two statements in flight. */
  readonly write: Run
  /** The payloads of the notifications on the channel of the repository. */
  readonly notifications: Stream.Stream<string>
}

/** The statements of the library are no spans of a trace: those of the application's own code are. */
const untraced = <A, E, R>(statement: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(statement, References.TracerEnabled, false)

/** How the pool of a client is divided. */
interface Shares {
  readonly source: SqlSession.SessionSource
  readonly size: number
  reserved: number
  /** As many as are not reserved. */
  readonly statements: ConnectionQueue.ConnectionQueue
  /** One less, so that a single statement never waits for the end of a transaction. */
  readonly transactions: ConnectionQueue.ConnectionQueue
}

/** All layers on one client divide the same pool. The shares go when the client goes. */
const sharesOf = new WeakMap<SqlClient.SqlClient, Shares>()

/** The connections of a pool whose size is not given. */
const defaultSize = 10
const writers = 2
/** Writers, the lease and the listener. */
const reservedByOne = writers + 2
/** A transaction, and a statement beside it. */
const leastShared = 2
/** A `long` statement, such as `find`, has this many times the limit of the others. */
const longer = 6

/** How long the pool has to give the connections that a layer reserves, in milliseconds. */
export class ReserveLimit extends Context.Reference<number>("effect-saga/sql/ReserveLimit", {
  defaultValue: () => 15_000
}) {}

/** The pool behind the client, where it can be divided. A program may have put a client of its own around that of the pool. */
const poolOf = (client: SqlClient.SqlClient) =>
  Effect.map(Effect.serviceOption(PgClient.PgClient), (pg) =>
    pg._tag === "Some" &&
    pg.value.config.stream === undefined &&
    pg.value.transactionService.key === client.transactionService.key
      ? pg.value
      : undefined
  )

const shareOut = (pool: PgClient.PgClient, client: SqlClient.SqlClient, context: Context.Context<never>): Shares => {
  const known = sharesOf.get(pool)
  if (known !== undefined) return known
  const { config } = pool
  const given = "maxConnections" in config ? config.maxConnections : undefined
  const size = typeof given === "number" ? given : defaultSize
  const shares: Shares = {
    source: new SqlSession.SessionSource(client, context),
    size,
    reserved: 0,
    statements: ConnectionQueue.make("any", Math.max(1, size)),
    transactions: ConnectionQueue.make("transaction", Math.max(1, size - 1))
  }
  sharesOf.set(pool, shares)
  return shares
}

/** Changes how many connections are not shared. */
const changeReserved = (shares: Shares, change: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    shares.reserved += change
    const left = shares.size - shares.reserved
    return Effect.andThen(shares.statements.resize(left), shares.transactions.resize(left - 1))
  })

/**
 * Runs work as in an open transaction of the connection. `depth` -1: before the transaction begins. `millis`: the limit of its
 * statements, where the work is the library's.
 */
const on = <A, E, R>(
  client: SqlClient.SqlClient,
  session: SqlSession.SqlSession,
  depth: -1 | 0,
  work: Effect.Effect<A, E, R>,
  millis?: number
): Effect.Effect<A, E, R> =>
  Effect.updateContext(work, (context: Context.Context<R>) => {
    const inside = Context.add(context, client.transactionService, [session, depth])
    return millis === undefined
      ? inside
      : inside.pipe(Context.add(SqlSession.StatementLimit, millis), Context.add(References.TracerEnabled, false))
  })

/** Runs a statement in the transaction of the context if there is one, else as `otherwise` says. */
const runner =
  (
    client: SqlClient.SqlClient,
    usual: number,
    otherwise: <A>(statement: Effect.Effect<A, SqlError>, millis: number) => Effect.Effect<A, SqlError>
  ): Run =>
  (statement, millis = usual) =>
    Effect.withFiber((fiber) => {
      const open = Context.getOrUndefined(fiber.context, client.transactionService)
      if (open === undefined) return otherwise(statement, millis)
      if (open[0] instanceof SqlSession.SqlSession)
        return Effect.provideService(untraced(statement), SqlSession.StatementLimit, millis)
      // A transaction of the caller, on a connection that is not the library's to close.
      return Effect.timeoutOrElse(untraced(statement), {
        duration: millis,
        orElse: () => Effect.fail(SqlSession.lost("StatementTimeout"))
      })
    })

const divided = (client: SqlClient.SqlClient, shares: Shares, statementMillis: number): SqlConnections => {
  const shared = <A>(statement: Effect.Effect<A, SqlError>, millis: number) =>
    shares.statements.within(
      SqlSession.use(
        shares.source,
        Math.min(millis, statementMillis),
        (session) => on(client, session, 0, statement, millis),
        millis > statementMillis
      )
    )
  const begun = <A, E, R>(work: Effect.Effect<A, E, R>) =>
    shares.transactions.within(
      shares.statements.within(
        SqlSession.use(shares.source, statementMillis, (session) =>
          on(client, session, -1, client.withTransaction(work))
        )
      )
    )
  return {
    statementMillis,
    shared: runner(client, statementMillis, shared),
    long: runner(client, longer * statementMillis, shared),
    transaction: (work) =>
      Effect.withFiber((fiber) =>
        fiber.context.mapUnsafe.has(client.transactionService.key) ? client.withTransaction(work) : begun(work)
      )
  }
}

const undivided = (client: SqlClient.SqlClient, statementMillis: number): SqlConnections => ({
  statementMillis,
  shared: untraced,
  long: untraced,
  transaction: client.withTransaction
})

/** The connections of a layer. `module` stands in the name of an invalid setting. */
export const make = Effect.fnUntraced(function* (
  module: string,
  { statementTimeout = "5 seconds" }: ConnectionOptions
) {
  const client = yield* SqlClient.SqlClient
  const millis = yield* Setting.duration(`${module}.statementTimeout`, statementTimeout, {
    least: "10 millis",
    most: "1 hour"
  })
  const pool = yield* poolOf(client)
  return pool === undefined
    ? undivided(client, millis)
    : divided(client, shareOut(pool, client, yield* Effect.context<never>()), millis)
})

/** Fails where the pool of the client is too small to reserve connections of it. */
export const checkPool = Effect.gen(function* () {
  const client = yield* SqlClient.SqlClient
  const pool = yield* poolOf(client)
  if (pool !== undefined) yield* checkSize(shareOut(pool, client, yield* Effect.context<never>()))
})

/** The same connections, and some that are only for this layer. They are taken now, and given back when the scope closes. */
export const reserve = Effect.fnUntraced(function* (
  connections: SqlConnections,
  channel: string
): Effect.fn.Return<ReservedConnections, Setting.InvalidSetting | SqlError, Scope.Scope | SqlClient.SqlClient> {
  const { shared, statementMillis } = connections
  const reserveMillis = yield* ReserveLimit
  const client = yield* SqlClient.SqlClient
  const pool = yield* poolOf(client)
  if (pool === undefined) return { ...connections, lease: shared, write: shared, notifications: Stream.empty }
  const shares = shareOut(pool, client, yield* Effect.context<never>())
  yield* checkSize(shares)
  yield* Effect.acquireRelease(changeReserved(shares, reservedByOne), () => changeReserved(shares, -reservedByOne))
  const listener = SqlListener.make()
  const lease = new Reserved(shares.source, listener.renew)
  const writes = Array.from({ length: writers }, () => new Reserved(shares.source, listener.renew))
  const all = [lease, ...writes]
  yield* Effect.addFinalizer(() => Effect.forEach(all, ({ close }) => close, { concurrency: "unbounded" }))
  const taken = Effect.andThen(
    Effect.forEach(all, (it) => it.open(reserveMillis), { concurrency: "unbounded", discard: true }),
    listener.run(pool, channel, { first: reserveMillis, again: statementMillis })
  )
  const notifications = yield* Effect.catchIf(
    taken,
    (error: SqlError) => codeOf(error) === "NoConnection",
    () =>
      Effect.fail(
        invalid("its pool has not given the connections that are reserved: it has only one, or all are in use")
      )
  )
  return {
    ...connections,
    notifications,
    lease: runner(client, statementMillis, (statement, millis) => lease.use(millis, statement)),
    write: runner(client, statementMillis, (statement, millis) => {
      // There are as many as the group commit has statements in flight, so one is free.
      const writer = writes.reduce((least, writer) => (writer.users < least.users ? writer : least))
      return writer.use(millis, statement)
    })
  }
})

const checkSize = ({ reserved, size }: Shares): Effect.Effect<void, Setting.InvalidSetting> => {
  const least = reserved + reservedByOne + leastShared
  return size >= least
    ? Effect.void
    : Effect.fail(
        invalid(
          `it must be at least ${least}, and is ${size}: the lease takes 1, writes take ${writers}, the listener takes 1, and at least ${leastShared} are for everything else. Set it as in PgClient.layer({ url, maxConnections: 10 })`
        )
      )
}

const invalid = (issue: string) => new Setting.InvalidSetting({ setting: "PgClient.maxConnections", issue })

/** A connection that is always taken. It is replaced when it is lost. */
class Reserved {
  private readonly source: SqlSession.SessionSource
  private readonly onLost: () => void
  /** One is opened at a time. */
  private readonly opening = Semaphore.makeUnsafe(1)
  private session: SqlSession.SqlSession | undefined
  private isClosed = false
  /** Statements that are under way. */
  users = 0

  constructor(source: SqlSession.SessionSource, onLost: () => void) {
    this.source = source
    this.onLost = onLost
  }

  /** The connection; another one where it is lost. */
  open(millis: number): Effect.Effect<SqlSession.SqlSession, SqlError> {
    const opened = Effect.suspend(() => this.present ?? this.take(millis))
    return Effect.suspend(() => this.present ?? this.opening.withPermit(opened))
  }

  private get present(): Effect.Effect<SqlSession.SqlSession, SqlError> | undefined {
    if (this.isClosed) return Effect.fail(SqlSession.lost("NoConnection"))
    return this.session !== undefined && !this.session.isLost ? Effect.succeed(this.session) : undefined
  }

  private take(millis: number): Effect.Effect<SqlSession.SqlSession, SqlError> {
    return SqlSession.open(this.source, millis, (session) => {
      this.session = session
      if (this.isClosed) Effect.runFork(session.close)
    })
  }

  use<A>(millis: number, statement: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> {
    this.users++
    const after = Effect.sync(() => {
      this.users--
      if (this.session?.isLost === true) this.onLost()
    })
    return Effect.ensuring(
      Effect.flatMap(this.open(millis), (session) => on(this.source.client, session, 0, statement, millis)),
      after
    )
  }

  /** A statement under way is not awaited: the database may stand still. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.isClosed = true
    return this.session?.close ?? Effect.void
  })
}
