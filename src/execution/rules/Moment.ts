/** When an execution is looked at, and by which times: what a decision needs besides the state. */
import type { Definition } from "../../definition/SagaStep.ts"
import type { ScheduleConfig } from "./RetrySchedule.ts"

export interface Moment {
  readonly definition: Definition
  /** Milliseconds since the epoch, like `since`. */
  readonly now: number
  /**
   * When the execution was looked at before. Messages that became due in between are sent again; `-Infinity` (after a
   * restart) sends everything again that is not answered.
   */
  readonly since: number
  readonly schedule: ScheduleConfig
}
