/** The time by which a run must have decided, as its caller gives it: plain JavaScript, or a request, may bring anything. */
import { DateTime, type Duration, Predicate } from "effect"
import { limits } from "./SagaIssue.ts"
import { toMillis } from "./StepOptions.ts"

/** A duration from the start of the execution (a number is milliseconds), or a point in time. */
export type Deadline = Duration.Input | Date | DateTime.DateTime

/** In milliseconds since the epoch; a text: why it is no deadline. */
export const at = (deadline: Deadline, now: number): number | string => {
  const time = pointInTime(deadline)
  if (time === undefined) {
    const left = toMillis(deadline as Duration.Input) // cast: anything else has no milliseconds
    return left > 0 && left <= limits.duration ? now + left : "is no duration longer than zero, of at most 3,650 days"
  }
  if (Number.isNaN(time)) return "is no time"
  return time <= now + limits.duration ? time : "is more than 3,650 days ahead"
}

const pointInTime = (deadline: Deadline): number | undefined =>
  Predicate.isDate(deadline)
    ? deadline.getTime()
    : DateTime.isDateTime(deadline)
      ? Math.ceil(DateTime.toEpochMillis(deadline))
      : undefined
