/** The value or the error that a caller gets for the execution that it has waited for. Pure. */
import { Effect } from "effect"
import { isDeclared } from "../execution/rules/SagaFailure.ts"
import * as SagaInput from "../execution/rules/SagaInput.ts"
import * as TwoPhaseCommit from "../execution/rules/TwoPhaseCommit.ts"
import { SagaFailedCommitCallback } from "../execution/view/ExecutionErrors.ts"
import { type SagaExecutionUnreadable, unreadableResult } from "../execution/view/Readable.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import { failureOf, parkedForward, type SagaFailedExecution, type SagaParkedForward } from "./FailedExecution.ts"
import { SagaResolutionOverruled } from "./ManagerErrors.ts"

/** For `run` and `resume`: the execution. With `raiseOnError` (the default) a failed one is an error. */
export const execution = (
  self: SagaExecution,
  raiseOnError: boolean | undefined
): Effect.Effect<
  SagaExecution,
  SagaFailedExecution | SagaFailedCommitCallback | SagaParkedForward | SagaExecutionUnreadable
> => {
  const { commitState, status } = self
  const parked = raiseOnError === false ? undefined : parkedForward(self)
  if (parked !== undefined) return Effect.fail(parked)
  // Behind a pivot an execution goes on while its participants are told.
  if (raiseOnError !== false && commitState === "committing" && status === "finished")
    return Effect.fail(notAcknowledged(self))
  const unreadable = unreadableResult(self)
  if (unreadable !== undefined) return Effect.fail(unreadable)
  return raiseOnError !== false && status === "errored" ? Effect.fail(failureOf(self)) : Effect.succeed(self)
}

/** For `execute`: the final context, or the error of the step that failed where everything is compensated. */
export const context = (self: SagaExecution): Effect.Effect<unknown, unknown> => {
  const waiting = parkedForward(self)
  if (waiting !== undefined) return Effect.fail(waiting)
  if (self.commitState === "committing") return Effect.fail(notAcknowledged(self))
  const unreadable = unreadableResult(self)
  if (unreadable !== undefined) return Effect.fail(unreadable)
  if (self.status === "finished") return Effect.succeed(self.context)
  const { failure, parked } = self.state
  return failure !== undefined && isDeclared(failure) && parked.length === 0
    ? Effect.fail(self.cause)
    : Effect.fail(failureOf(self))
}

/** For `commit`: an error where a participant was against, or somebody rejected the execution while it was asked. */
export const committed = (
  self: SagaExecution
): Effect.Effect<SagaExecution, SagaFailedCommitCallback | SagaInput.SagaAlreadyDecided> => {
  const { cause, commitState, status, uuid } = self
  if (commitState === "committing" && status === "finished") return Effect.fail(notAcknowledged(self))
  if (status !== "errored") return Effect.succeed(self)
  return Effect.fail(
    cause instanceof SagaFailedCommitCallback ? cause : new SagaInput.SagaAlreadyDecided({ uuid, decision: "reject" })
  )
}

/** For `resolveParked`: an error where the service had done the step, so that its result counts and not that of the person. */
export const resolved = (self: SagaExecution, path: string): Effect.Effect<SagaExecution, SagaResolutionOverruled> => {
  const { events, uuid } = self
  const last = events.findLast(
    (fact) => (fact._tag === "StepResolved" || fact._tag === "ProbeAnswered") && fact.path === path
  )
  return last?._tag === "ProbeAnswered" && last.status === 200
    ? Effect.fail(new SagaResolutionOverruled({ uuid, path }))
    : Effect.succeed(self)
}

/** The commit is decided, and some participants have not acknowledged it: they are told again. */
const notAcknowledged = ({ state }: SagaExecution): SagaFailedCommitCallback =>
  new SagaFailedCommitCallback({
    decision: "commit",
    pending: [...TwoPhaseCommit.pending(state.phase)],
    reason: "they are told again"
  })
