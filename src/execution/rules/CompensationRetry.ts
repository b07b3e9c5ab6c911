/** How often a compensation is tried, and the fact of an attempt that failed (SPEC C8). */
import type { Local, Remote, Retry, Start } from "../../definition/SagaStep.ts"
import { unrecorded } from "../../wire/Envelope.ts"
import * as RetrySchedule from "./RetrySchedule.ts"
import type { Of } from "./SagaEvent.ts"
import type { SagaFailure } from "./SagaFailure.ts"
import type { Sent, StepState } from "./StepTree.ts"

/** The policy of the step, else that of the process. It holds for probes as well. */
export const of = ({ policies }: Local | Remote | Start, { retryCompensate }: RetrySchedule.ScheduleConfig): Retry =>
  policies.retryCompensate ?? retryCompensate

/** Why a step is parked after the last attempt. */
export const reason = (sent: Sent | undefined, failure: SagaFailure | undefined): string => {
  if (sent?.message.op === "probe") return "its effect cannot be asked for"
  return failure?._tag === "StepRefused" && failure.content === unrecorded
    ? "the service has no record of what it has done: do all its instances keep the same records?"
    : "its compensation failed"
}

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
