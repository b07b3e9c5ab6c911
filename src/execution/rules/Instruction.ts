/** The work that a decision asks for, as data. A step and its state stand beside the path, so that performing looks nothing up. */
import type { Conditional, Local, Nested, Remote, RemoteCompensation, Wait } from "../../definition/SagaStep.ts"
import type { SagaContext } from "./SagaContext.ts"
import type { SagaEvent } from "./SagaEvent.ts"
import type { Sent, StepState } from "./StepTree.ts"

/** One piece of work. `path` and `_tag` identify it: the same work is never under way twice. */
export type Instruction =
  /** The fact that the step starts must be stored first (SPEC W1, W7). */
  | {
      readonly _tag: "RunStep"
      readonly path: string
      readonly step: Local
      readonly state: StepState
      readonly context: SagaContext
    }
  | {
      readonly _tag: "Compensate"
      readonly path: string
      readonly step: Local
      readonly state: StepState
      readonly context: SagaContext
    }
  | { readonly _tag: "Resend"; readonly path: string; readonly sent: Sent }
  /** Asks services that have not answered; `path` names them. */
  | { readonly _tag: "Reserve" | "Commit" | "Reject"; readonly path: string; readonly services: ReadonlyArray<string> }
  /** The callbacks of these may run again after a crash: only the stored result counts (SPEC W6). */
  | {
      readonly _tag: "BuildRequest"
      readonly path: string
      readonly step: Remote
      readonly context: SagaContext
      /** 1, but for a step behind the pivot that is tried again after a refusal. */
      readonly attempt: number
    }
  | { readonly _tag: "Choose"; readonly path: string; readonly step: Conditional; readonly context: SagaContext }
  | { readonly _tag: "MapContext"; readonly path: string; readonly step: Nested; readonly context: SagaContext }
  /** Makes the key and the deadline of a wait. */
  | { readonly _tag: "BuildWait"; readonly path: string; readonly step: Wait; readonly context: SagaContext }
  /** The time of a wait is over: makes the result that it has then. Its facts are not kept where a signal has come meanwhile. */
  | { readonly _tag: "TimeOut"; readonly path: string; readonly step: Wait; readonly context: SagaContext }
  | {
      readonly _tag: "HandleReply"
      readonly path: string
      readonly step: Remote
      readonly state: StepState
      readonly context: SagaContext
    }
  | { readonly _tag: "BuildProbe"; readonly path: string; readonly step: Remote; readonly state: StepState }
  | {
      readonly _tag: "BuildCompensation"
      readonly path: string
      readonly step: Remote
      readonly compensation: RemoteCompensation
      readonly state: StepState
      readonly context: SagaContext
    }

export interface Decision {
  readonly facts: ReadonlyArray<SagaEvent>
  readonly instructions: ReadonlyArray<Instruction>
  /** The phase of the two-phase commit, while the answer of a service is missing. */
  readonly asking: "Reserve" | "Commit" | "Reject" | undefined
  /** When to decide again although nothing happened: a resend, a retry, a deadline. `Infinity`: never. */
  readonly wakeAt: number
}

/** Whether the facts that lead to the work must be stored before it begins: it can be seen outside the process. */
export const needsIntent = (self: Instruction): boolean => {
  switch (self._tag) {
    case "RunStep":
    case "Compensate":
    case "Resend":
    case "Reserve":
    case "Commit":
    case "Reject":
      return true
    default:
      return false
  }
}
