/** How a step behind the pivot goes on after a failure: tried again when it is time, then parked for a person (SPEC C18). */
import type { SagaStep } from "../../definition/SagaStep.ts"
import type { Moment } from "./Moment.ts"
import * as RetrySchedule from "./RetrySchedule.ts"
import type { Of } from "./SagaEvent.ts"
import type { SagaFailure } from "./SagaFailure.ts"
import { isUnanswered, type StepState, type Tries } from "./StepTree.ts"

/** The fact, or when to look again. `hasSignal`: a signal is there for it, which comes too late but not in vain. */
export const afterFailure = (
  state: StepState,
  step: SagaStep,
  hasSignal: boolean,
  { now: at, schedule }: Pick<Moment, "now" | "schedule">
): Of<"TryStarted" | "StepParked"> | number => {
  const { effect, parked, path } = state
  const { failedAt, failure, failures } = state.tries as Tries // only a step that has failed is asked about
  const isLate = step._tag === "Wait" && failure._tag === "StepTimedOut"
  if (isLate && hasSignal) return { _tag: "TryStarted", path, at }
  if (parked !== undefined) return Number.POSITIVE_INFINITY
  const { backoff, times } = schedule.retryForward
  const isDone = effect === "exists" && isLost(failure)
  // To wait once more would be another saga than the author has written, and what is done is not done twice: a person decides that.
  if (failures > (isLate || isDone ? 0 : times)) {
    const failed = isDone ? "its result cannot be stored" : `it has failed ${failures} times`
    const reason = isLate ? "nothing has come in time" : failed
    return { _tag: "StepParked", path, reason, at }
  }
  const due = failures === 0 ? at : failedAt! + RetrySchedule.delay(failures, backoff)
  if (due > at) return due
  const time = timeOf(state, step, schedule)
  return { _tag: "TryStarted", path, ...(time !== undefined && { deadline: Math.ceil(at + time) }), at }
}

/** The callback has done its work, and would only do it again. What cannot be decoded has reached no callback. */
const isLost = (failure: SagaFailure): boolean => failure._tag === "StepValueRejected" && failure.rule !== "decode"

/** How long the next try may take; undefined: without an end, or as said when the step began. */
const timeOf = (state: StepState, step: SagaStep, schedule: Moment["schedule"]): number | undefined => {
  if (step._tag === "Local") return step.policies.timeout
  if (step._tag === "Remote") return isUnanswered(state) ? RetrySchedule.answerTime(step, schedule) : undefined
  const isLate = state.tries?.failure._tag === "StepTimedOut"
  return step._tag === "Wait" && isLate ? state.deadline! - state.startedAt : undefined
}
