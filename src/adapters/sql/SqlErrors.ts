/** What the errors of a database say: whether a statement has happened, and whether it can work another time. */
import { Cause, Effect, Schedule } from "effect"
import { isSqlError, type SqlError } from "effect/sql/SqlError"

/** The code that Postgres has given, or the kind of error. What it says may quote values (SPEC C12). */
export const codeOf = ({ reason }: SqlError): string => {
  const { cause } = reason
  return typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : reason._tag
}

/** What may be told of an error. */
export const causeOf = (error: SqlError) => ({ code: codeOf(error), kind: error.reason._tag })

/** Postgres has chosen this statement to give way to others. Nothing of it has happened. */
export const isRolledBack = ({ reason }: SqlError): boolean =>
  reason._tag === "DeadlockError" || reason._tag === "SerializationError"

export const isTaken = ({ reason }: SqlError): boolean => reason._tag === "UniqueViolation"

/** Classes of SQLSTATE that blame the data: the same write can never work. */
const blamesData = /^(22|54)/

export const isRejected = (error: SqlError): boolean => blamesData.test(codeOf(error))

/** Codes of a server that has ended the session, or lets nobody in. */
const endsSession = /^(25P0[34]|53300|57P)/

/** The connection is gone: what was not committed is undone. */
export const isLost = (error: SqlError): boolean =>
  error.reason._tag === "ConnectionError" || endsSession.test(codeOf(error))

/** Codes of a server that is full, or in need itself. */
const blamesServer = /^(53|57|58)/

/** It is not the statement that is wrong: another time it may work. */
export const isPassing = (error: SqlError): boolean =>
  error.isRetryable || isLost(error) || blamesServer.test(codeOf(error))

/** 50 ms, doubled up to 2 s, ten times (SPEC C8). */
export const again = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("2 seconds")]).pipe(
  Schedule.upTo({ times: 10 })
)

/**
 * A transaction whose connection is lost cannot be rolled back by a statement, which the client takes for a bug: it is the
 * error of the connection.
 */
export const orLost = <A, E, R>(transaction: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
  Effect.catchCause(transaction, (cause): Effect.Effect<never, E | SqlError> => {
    const lost = cause.reasons.find((reason) => reason._tag === "Die" && isSqlError(reason.defect))
    return lost?._tag === "Die" && isSqlError(lost.defect) && !Cause.hasInterrupts(cause)
      ? Effect.fail(lost.defect)
      : Effect.failCause(cause)
  })
