/**
 * A connection that the library has for itself, for a while or for good, with a time limit on its statements. A statement that
 * runs into its limit may have had its effect (SPEC A1). Its connection is silent or far behind, so nothing uses it again: it
 * is closed, and never goes back to the pool.
 */
import { Clock, Context, Effect, Exit, Fiber, Scope } from "effect"
import type { SqlClient } from "effect/sql"
import type { Connection } from "effect/sql/SqlConnection"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import { codeOf, isLost } from "./SqlErrors.ts"

/** The time limit of the statements in this context, in milliseconds. Statements of a handler or a step have none. */
export class StatementLimit extends Context.Reference<number>("effect-saga/sql/StatementLimit", {
  defaultValue: () => Number.POSITIVE_INFINITY
}) {}

/** How long the database has to cancel a statement whose connection is then closed. */
const cancelMillis = 250

/** How long it has to cancel a statement of a handler or a step, which may go on with the connection. */
const cancelOfOthersMillis = 1_000

/** Statements that the client sends around the work of others, such as a handler. */
const control = /^(?:begin|commit|rollback|savepoint|release)\b/i

const rollback = /^rollback\b/i

/** An error without an outcome: `code` says what has happened here. */
export const lost = (code: "StatementTimeout" | "NoConnection" | "Interrupted"): SqlError =>
  new SqlError({ reason: new ConnectionError({ cause: { code }, message: code, operation: "query" }) })

/** The clock of the machine, also in a test with virtual time. */
const realClock = Context.get(Context.empty(), Clock.Clock)

/** Milliseconds that only go on: the clock of the day may be set while a statement is under way. */
const steadyMillis = (): number => Number(realClock.monotonicTimeNanosUnsafe()) / 1_000_000

/** How long connections of a pool are asked whether they work, after one of them has not answered. */
const suspicionMillis = 60_000

/** A statement is known by how it begins. Its text has no values. */
const maxStatement = 80

/** A client, and whether connections that its pool keeps may be silent. */
export class SessionSource {
  readonly client: SqlClient.SqlClient
  private readonly context: Context.Context<never>
  private suspectedUntil = 0

  /** `context`: for the log. */
  constructor(client: SqlClient.SqlClient, context: Context.Context<never>) {
    this.client = client
    this.context = context
  }

  /** A statement has run into its limit: the same may have happened to connections that nobody uses. */
  suspect(sql: string): void {
    Effect.runForkWith(this.context)(
      Effect.logWarning("A statement was not answered in time, and its connection is closed", {
        statement: sql.trim().replace(/\s+/g, " ").slice(0, maxStatement)
      })
    )
    this.suspectedUntil = steadyMillis() + suspicionMillis
  }

  get isSuspected(): boolean {
    return this.suspectedUntil > 0 && steadyMillis() < this.suspectedUntil
  }
}

interface Flight {
  readonly sql: string
  readonly fiber: Fiber.Fiber<unknown, unknown>
  /** When its time is over, as `steadyMillis`. */
  readonly until: number
  /** Tells its caller that the time is over. */
  readonly give: () => void
}

export class SqlSession implements Connection {
  private readonly source: SessionSource
  private readonly connection: Connection
  private readonly scope: Scope.Closeable
  /** The time limit of statements around the work of others. */
  private readonly limit: number
  private lostBy: SqlError | undefined
  /** Statements under way that have a time limit. */
  private flights: ReadonlyArray<Flight> = []
  private readonly watchers = new Set<Fiber.Fiber<void>>()
  private watchedUntil = Number.POSITIVE_INFINITY
  /** The connection counts as lost because its caller was interrupted. False in a commit, which nobody can interrupt. */
  private isInterrupted = false

  constructor(source: SessionSource, connection: Connection, scope: Scope.Closeable, limit: number) {
    this.source = source
    this.connection = connection
    this.scope = scope
    this.limit = limit
  }

  /** No statement can work on it any more. */
  get isLost(): boolean {
    return this.lostBy !== undefined
  }

  readonly execute: Connection["execute"] = (sql, params, transformRows) =>
    this.limited(sql, this.connection.execute(sql, params, transformRows), [])
  readonly executeRaw: Connection["executeRaw"] = (sql, params) =>
    this.limited(sql, this.connection.executeRaw(sql, params), [])
  readonly executeValues: Connection["executeValues"] = (sql, params) =>
    this.limited(sql, this.connection.executeValues(sql, params), [])
  readonly executeValuesUnprepared: Connection["executeValuesUnprepared"] = (sql, params) =>
    this.limited(sql, this.connection.executeValuesUnprepared(sql, params), [])
  readonly executeUnprepared: Connection["executeUnprepared"] = (sql, params, transformRows) =>
    this.limited(sql, this.connection.executeUnprepared(sql, params, transformRows), [])
  /** Only work of others reads streams: it takes the time that it takes. */
  readonly executeStream: Connection["executeStream"] = (sql, params, transformRows) =>
    this.connection.executeStream(sql, params, transformRows)

  /** Gives a sound connection back to the client. A lost one is being closed already. */
  readonly release: Effect.Effect<void> = Effect.suspend(() => (this.isLost ? Effect.void : this.close))

  /** Ends the use at once. The client closes a connection that is given back in the middle of a statement. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    for (const watcher of this.watchers) watcher.interruptUnsafe()
    return Scope.close(this.scope, Exit.void)
  })

  private limited<A>(sql: string, statement: Effect.Effect<A, SqlError>, nothing: A): Effect.Effect<A, SqlError> {
    return Effect.withFiber((fiber) => {
      if (this.lostBy !== undefined) {
        // A connection that is closed before its commit is rolled back.
        return this.isInterrupted && rollback.test(sql) ? Effect.succeed(nothing) : Effect.fail(this.lostBy)
      }
      const limit = fiber.getRef(StatementLimit)
      return this.within(sql, statement, control.test(sql) ? Math.min(limit, this.limit) : limit)
    })
  }

  /**
   * Runs one statement beside its caller. A caller whose time is over goes on at once: to wait until the client has cancelled a
   * statement on a silent connection takes seconds.
   */
  private within<A>(sql: string, statement: Effect.Effect<A, SqlError>, millis: number): Effect.Effect<A, SqlError> {
    return Effect.callback<A, SqlError>((resume) => {
      const fiber = Effect.runFork(statement)
      const flight: Flight = {
        sql,
        fiber,
        until: steadyMillis() + millis,
        give: () => resume(Effect.fail(lost("StatementTimeout")))
      }
      fiber.addObserver((exit) => {
        this.land(flight)
        if (Exit.isFailure(exit)) this.failed(exit)
        resume(exit)
      })
      if (fiber.pollUnsafe() !== undefined) return
      const isLimited = Number.isFinite(millis)
      if (isLimited) {
        this.flights = [...this.flights, flight]
        if (flight.until < this.watchedUntil) this.watch(flight.until, millis)
      }
      return Effect.suspend(() => this.interrupt(fiber, isLimited ? 0 : cancelOfOthersMillis))
    })
  }

  private land(flight: Flight): void {
    this.flights = this.flights.filter((other) => other !== flight)
  }

  private failed(exit: Exit.Failure<unknown, SqlError>): void {
    const error = Exit.findErrorOption(exit)
    if (error._tag === "None" || !isLost(error.value) || this.isLost) return
    this.lostBy = error.value
    Effect.runFork(this.close)
  }

  /** Looks at the statements under way at that time. One timer serves all of them: most statements end long before. */
  private watch(until: number, millis: number): void {
    this.watchedUntil = until
    const watcher = Effect.runFork(Effect.sleep(millis))
    this.watchers.add(watcher)
    watcher.addObserver((exit) => {
      this.watchers.delete(watcher)
      if (Exit.isFailure(exit)) return
      this.watchedUntil = Number.POSITIVE_INFINITY
      const now = steadyMillis()
      let next = Number.POSITIVE_INFINITY
      for (const flight of this.flights) {
        // A timer may come a little early.
        if (flight.until > now + 1) next = Math.min(next, flight.until)
        else {
          this.land(flight)
          this.source.suspect(flight.sql)
          this.abandon(flight.fiber, lost("StatementTimeout"), flight.give)
        }
      }
      if (Number.isFinite(next)) this.watch(next, next - now)
    })
  }

  /** Work of others may go on with the connection, if the database cancels the statement in time. */
  private interrupt(fiber: Fiber.Fiber<unknown, unknown>, millis: number): Effect.Effect<void> {
    const abandoned = Effect.sync(() => {
      if (fiber.pollUnsafe() !== undefined || this.isLost) return
      this.isInterrupted = true
      this.abandon(fiber, lost("Interrupted"))
    })
    if (millis === 0) return abandoned
    fiber.interruptUnsafe()
    const waited = Effect.runFork(Effect.raceFirst(Fiber.await(fiber), Effect.sleep(millis)))
    return Effect.andThen(Fiber.await(waited), abandoned)
  }

  /**
   * Asks the database to cancel the statement, as it would go on there and hold its locks. Then the connection is closed,
   * whether the database has answered or not.
   */
  private abandon(fiber: Fiber.Fiber<unknown, unknown>, error: SqlError, tell: () => void = () => {}): void {
    if (this.lostBy !== undefined) return tell()
    this.lostBy = error
    // Told in between: the caller may go on at once, and must find the connection lost. And a statement that ends at once when
    // it is interrupted would tell its caller of an interruption.
    tell()
    fiber.interruptUnsafe()
    Effect.runFork(
      Effect.andThen(
        Effect.raceFirst(Fiber.await(fiber), Effect.sleep(cancelMillis)),
        Effect.suspend(() => {
          // A statement under way makes the client close the connection when it is given back.
          Effect.runFork(Effect.ignore(this.connection.executeRaw("select 1", [])))
          return this.close
        })
      )
    )
  }
}

/** Takes a connection of the pool, which has `millis` to give one, and hands it to `keep`, even when it is interrupted. */
const take = (
  source: SessionSource,
  millis: number,
  keep: (session: SqlSession) => void
): Effect.Effect<SqlSession, SqlError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      const scope = Scope.makeUnsafe()
      return restore(
        Effect.timeoutOrElse(Scope.provide(source.client.reserve, scope), {
          duration: millis,
          orElse: () => Effect.fail(lost("NoConnection"))
        })
      ).pipe(
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
        Effect.map((connection) => {
          const session = new SqlSession(source, connection, scope, millis)
          keep(session)
          return session
        })
      )
    })
  )

/** How many silent connections in a row a pool may give before it counts as away. */
const maxSilent = 20
/** A connection has the limit of a statement, divided by this, to answer that it works. */
const checksInLimit = 4

/**
 * Takes a connection that works, as far as that is known. Soon after a statement that was not answered, a connection of the
 * pool has to answer first: it may have been there, silent, all the time.
 */
export const open = (
  source: SessionSource,
  millis: number,
  keep: (session: SqlSession) => void,
  mustAnswer = false
): Effect.Effect<SqlSession, SqlError> =>
  Effect.retry(
    Effect.flatMap(take(source, millis, keep), (session) =>
      mustAnswer || source.isSuspected
        ? Effect.as(
            Effect.provideService(session.execute("select 1", [], undefined), StatementLimit, millis / checksInLimit),
            session
          )
        : Effect.succeed(session)
    ),
    { while: (error) => codeOf(error) === "StatementTimeout", times: maxSilent }
  )

/** Runs work on a connection, and gives the connection back. `mustAnswer`: the work would take long to find it silent. */
export const use = <A, E, R>(
  source: SessionSource,
  millis: number,
  work: (session: SqlSession) => Effect.Effect<A, E, R>,
  mustAnswer = false
): Effect.Effect<A, E | SqlError, R> =>
  Effect.suspend(() => {
    let taken: SqlSession | undefined
    const keep = (session: SqlSession) => {
      taken = session
    }
    const opened = open(source, millis, keep, mustAnswer)
    return Effect.ensuring(
      Effect.flatMap(opened, work),
      Effect.suspend(() => taken?.release ?? Effect.void)
    )
  })
