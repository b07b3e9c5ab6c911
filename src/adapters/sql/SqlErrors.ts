/** How to read an error of the database: whether the statement may have had its effect, and whether it can work later. */
import { Cause, Effect, Exit, Schedule } from "effect"
import { isSqlError, SqlError } from "effect/sql/SqlError"
import { inWords } from "../../ports/DatabaseCode.ts"

/** The code that Postgres gives, or the kind of error. Its message is not used, as it may quote values (SPEC C12). */
export const codeOf = ({ reason }: SqlError): string => {
  const { cause } = reason
  return typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : reason._tag
}

/** The parts of an error that contain no values. */
export const causeOf = (error: SqlError) => ({ code: codeOf(error), kind: error.reason._tag })

/** Postgres has ended this statement in favour of another one. It has had no effect. */
export const isRolledBack = ({ reason }: SqlError): boolean =>
  reason._tag === "DeadlockError" || reason._tag === "SerializationError"

export const isTaken = ({ reason }: SqlError): boolean => reason._tag === "UniqueViolation"

/** The check of the column `inbox` has refused a write that closes an execution for which inputs wait. */
export const isUnread = (error: SqlError): boolean => codeOf(error) === "23514"

/** Classes of SQLSTATE that blame the data: the same write can never work. */
const blamesData = /^(22|54)/

export const isRejected = (error: SqlError): boolean => blamesData.test(codeOf(error))

/** Codes of a server that has ended the session, or lets nobody in. */
const endsSession = /^(25P0[34]|53300|57P)/

/** The database accepts no connections for now. A statement of an application may fail with the same code, and has its connection. */
const isClosed = (error: SqlError): boolean => error.reason.operation === "connect" && codeOf(error) === "55000"

/** The code with which a database refuses an execution of a bucket that it does not serve (`SqlBuckets`). */
export const notServed = "SG001"

/** The connection is gone, or there was none: Postgres rolls back what was not committed. */
export const isLost = (error: SqlError): boolean =>
  error.reason._tag === "ConnectionError" || endsSession.test(codeOf(error)) || isClosed(error)

/** The server only reads, as a standby does until it takes over: nothing of the transaction can be kept. */
export const isReadOnly = (error: SqlError): boolean => codeOf(error) === "25006"

/** Codes of a server that is full or has a problem of its own. */
const blamesServer = /^(53|57|58)/

/** The statement is not the reason: it may work later. */
export const isPassing = (error: SqlError): boolean =>
  error.isRetryable || isLost(error) || isReadOnly(error) || blamesServer.test(codeOf(error))

/** How deep an error of the database may stand in the causes of somebody's error. */
const maxCauses = 8

/** The errors of the database in a failure of somebody's work: a defect or error itself, or the cause of one. */
export const sqlErrorsOf = (cause: Cause.Cause<unknown>): ReadonlyArray<SqlError> =>
  cause.reasons.flatMap((reason) => {
    let error = Cause.isFailReason(reason) ? reason.error : Cause.isDieReason(reason) ? reason.defect : undefined
    for (let depth = 0; depth < maxCauses && !isSqlError(error) && error instanceof Error; depth++) error = error.cause
    return isSqlError(error) ? [error] : []
  })

/** Waits 50 ms, then twice as long each time, at most 2 s, ten times (SPEC C8). */
export const again = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("2 seconds")]).pipe(
  Schedule.upTo({ times: 10 })
)

/** The code of each statement after one that has failed. */
const abortedBefore = "25P02"

/** A statement of the same transaction has failed before, and its error was not heeded. */
export const isAborted = (error: SqlError): boolean => codeOf(error) === abortedBefore

/** The work has caught the error of a statement: Postgres keeps nothing of the transaction then. */
export const ignored = (): Error => new Error("A failed statement was ignored: use a nested transaction for it")

/**
 * Runs work in a transaction. A failure of the work stays what it is, also where it is an error of the database. Another one
 * is of the transaction around it, and is given as `errorOf` says; a client dies of it when it cannot roll back.
 */
export const within = <A, E, R, Failed>(
  transaction: (work: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>,
  work: Effect.Effect<A, E, R>,
  errorOf: (error: SqlError) => Failed
): Effect.Effect<A, E | Failed, R> =>
  Effect.suspend(() => {
    let ended: Exit.Exit<A, E> | undefined
    const noted = Effect.onExit(work, (exit) =>
      Effect.sync(() => {
        ended = exit
      })
    )
    return Effect.matchCauseEffect(transaction(noted), {
      onSuccess: Effect.succeed,
      onFailure: (cause): Effect.Effect<A, E | Failed> => {
        if (ended !== undefined && Exit.isFailure(ended)) return ended
        const [error] = Cause.hasInterrupts(cause) ? [] : sqlErrorsOf(cause)
        if (error !== undefined && ended !== undefined && isAborted(error)) return Effect.die(ignored())
        if (error !== undefined) return Effect.fail(errorOf(error))
        return Effect.failCause(Cause.fromReasons(cause.reasons.flatMap((it) => (Cause.isFailReason(it) ? [] : [it]))))
      }
    })
  })

/** Whether the database has ended the transaction in which a failure arose: in favour of another one, or with its connection. */
export const rolledBackBy = (cause: Cause.Cause<unknown>): "contested" | "away" | undefined => {
  const errors = sqlErrorsOf(cause)
  if (errors.some((error) => isLost(error) || isReadOnly(error))) return "away"
  return errors.some(isRolledBack) ? "contested" : undefined
}

/** The same error with a message that says which tables are meant, and what the database says: a program that dies of it prints that first. */
export const aboutTables = (module: string, error: SqlError): SqlError => {
  const { cause, message, operation } = error.reason
  // The statement that makes the list of migrations has failed, and the next one says no more than that.
  const says = isAborted(error) ? "the role may make no tables there" : inWords(codeOf(error))
  const text = `The tables of ${module} cannot be made or read: ${says === error.reason._tag ? message : says}`
  // `constraint` of a violation has no part in making tables.
  const reason: SqlError["reason"] = Reflect.construct(error.reason.constructor, [
    { ...error.reason, cause, operation, message: text }
  ])
  return new SqlError({ reason })
}
