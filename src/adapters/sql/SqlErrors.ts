/** How to read an error of the database: whether the statement may have had its effect, and whether it can work later. */
import { Cause, Effect, Schedule } from "effect"
import { isSqlError, type SqlError } from "effect/sql/SqlError"

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

/** The connection is gone: Postgres rolls back what was not committed. */
export const isLost = (error: SqlError): boolean =>
  error.reason._tag === "ConnectionError" || endsSession.test(codeOf(error))

/** Codes of a server that is full, has a problem of its own, or only reads, as a standby does until it takes over. */
const blamesServer = /^(53|57|58|25006)/

/** The statement is not the reason: it may work later. */
export const isPassing = (error: SqlError): boolean =>
  error.isRetryable || isLost(error) || blamesServer.test(codeOf(error))

/** Waits 50 ms, then twice as long each time, at most 2 s, ten times (SPEC C8). */
export const again = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("2 seconds")]).pipe(
  Schedule.upTo({ times: 10 })
)

/**
 * Turns the defect of a failed rollback into the error of the connection: a client dies when it cannot roll back, and it
 * cannot where the connection is lost.
 */
export const orLost = <A, E, R>(transaction: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
  Effect.catchCause(transaction, (cause): Effect.Effect<never, E | SqlError> => {
    const lost = cause.reasons.find((reason) => reason._tag === "Die" && isSqlError(reason.defect))
    return lost?._tag === "Die" && isSqlError(lost.defect) && !Cause.hasInterrupts(cause)
      ? Effect.fail(lost.defect)
      : Effect.failCause(cause)
  })
