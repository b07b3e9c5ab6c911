/** When an execution is looked at, and by which times: what a decision needs besides the state. */
import type { Definition } from "../../definition/SagaStep.ts"
import type { ScheduleConfig } from "./RetrySchedule.ts"
import type { Sent } from "./StepTree.ts"

export interface Moment {
  readonly definition: Definition
  /** Milliseconds since the epoch, like `since`. */
  readonly now: number
  /**
   * When the execution was looked at before. Messages that became due in between are sent again; `-Infinity` (after a
   * restart) sends everything again that is not answered.
   */
  readonly since: number
  /**
   * Since when this process has been there to take replies, without a gap; `-Infinity`: always. What was sent before is sent
   * once more at the first look after that, and has the time of one attempt before it is given up (SPEC C20).
   */
  readonly presentSince: number
  /** From when on that attempt counts: the first look after `presentSince`, or a look that an input has brought about. */
  readonly attemptSince: number
  readonly schedule: ScheduleConfig
  /** Whether nobody takes the commands of a service, as far as the transport can tell. */
  readonly isUnheard?: ((service: string) => boolean) | undefined
  /** The W3C context of the activation: the fact of a wait that begins has it. Undefined: nothing is traced. */
  readonly trace?: string | undefined
  /** Why the transport does not take a message, as far as it can tell. */
  readonly refusal?: ((sent: Sent) => string | undefined) | undefined
}
