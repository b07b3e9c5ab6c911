/**
 * Parks an execution as a whole: its runners die again and again, or the store refuses its write for good (F13). The mark is a
 * fact like any other, and needs no decision: the rules may be what fails. Nobody claims the execution before a person
 * has asked for it by `retryParked(uuid, "execution")`.
 */
import { Cause, Clock, Effect, Schedule } from "effect"
import { whole } from "../execution/rules/SagaState.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import type { SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"
import { isUnavailable } from "./RecordFacts.ts"

/** While the store is away: as long as the scope of the manager is open. */
const whileAway = Schedule.spaced("2 seconds")

/** A mark in the store has at most this many characters of its cause. */
const maxReason = 500

/** The effect ends at once: the mark is stored by a fiber of the scope. */
export const make = Effect.fnUntraced(function* (repository: SagaExecutionRepository["Service"]) {
  const scope = yield* Effect.scope
  const park = parkIn(repository)
  return (uuid: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
    Effect.asVoid(Effect.forkIn(park(uuid, cause), scope, { startImmediately: true }))
})

const parkIn =
  (repository: SagaExecutionRepository["Service"]) =>
  (uuid: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
    Effect.gen(function* () {
      const execution = yield* repository.load(uuid)
      const at = yield* Clock.currentTimeMillis
      const reason = reasonOf(cause)
      const parked = Execution.evolve(execution, { _tag: "StepParked", path: whole, reason, at })
      if (parked === execution) return
      yield* repository.store(parked, { wakeAt: Number.POSITIVE_INFINITY })
      yield* Effect.logError("An execution is set aside until a person retries it", { uuid }, cause)
    }).pipe(
      Effect.retry({ schedule: whileAway, while: isUnavailable }),
      Effect.catchCause((failure) => {
        const error = Cause.findErrorOption(failure)
        // Another instance has written: it goes on with the execution. Or its first write was refused.
        return error._tag === "Some" && isElsewhere(error.value._tag)
          ? Effect.void
          : Effect.logError("An execution could not be set aside", { uuid }, failure)
      })
    )

const isElsewhere = (tag: string): boolean =>
  tag === "SagaExecutionConflict" || tag === "SagaExecutionNotFound" || tag === "SagaExecutionRetired"

/** The name and the message of what died; never a value of the saga. */
const reasonOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return (error instanceof Error ? `${error.name}: ${error.message}` : "an unknown defect").slice(0, maxReason)
}
