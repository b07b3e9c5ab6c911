/** How often a compensation is tried, and the fact of an attempt that failed (SPEC C8). */
import type { Local, Remote, Retry, Start } from "../../definition/SagaStep.ts"
import * as RetrySchedule from "./RetrySchedule.ts"
import type { Of } from "./SagaEvent.ts"
import type { SagaFailure } from "./SagaFailure.ts"
import type { StepState } from "./StepTree.ts"

/** The policy of the step, else that of the process. It holds for probes as well. */
export const of = ({ policies }: Local | Remote | Start, { retryCompensate }: RetrySchedule.ScheduleConfig): Retry =>
  policies.retryCompensate ?? retryCompensate

/** An attempt to compensate, or to ask for the effect, has failed. Without `retryAt` it was the last one. */
export const attemptFailed = (
  { compensation, path }: StepState,
  step: Local | Remote | Start,
  failure: SagaFailure,
  schedule: RetrySchedule.ScheduleConfig,
  at: number
): Of<"CompensationFailed"> => {
  const { backoff, times } = of(step, schedule)
  // An attempt has begun, so the step has a record of its compensation.
  const attempts = compensation!.failedAttempts + 1
  const retryAt = attempts <= times ? { retryAt: at + RetrySchedule.delay(attempts, backoff) } : {}
  return { _tag: "CompensationFailed", path, failure, ...retryAt, at }
}
