/** The work that a decision asks for, as data. A step and its state stand beside the path, so that performing looks nothing up. */
import type {
  Conditional,
  ForEach,
  Local,
  Nested,
  Remote,
  RemoteCompensation,
  Start,
  Wait
} from "../../definition/SagaStep.ts"
import type { SagaContext } from "./SagaContext.ts"
import type { SagaEvent } from "./SagaEvent.ts"
import type { Sent, StepState } from "./StepTree.ts"

/** Work on a step that has not begun. Callbacks may run again after a crash: only the stored result counts (SPEC W6). */
interface Build<Tag extends string, Step> {
  readonly _tag: Tag
  readonly path: string
  readonly step: Step
  readonly context: SagaContext
}

/** Work on a step that has begun. */
interface Work<Tag extends string, Step> extends Build<Tag, Step> {
  readonly state: StepState
}

/** One piece of work. `path` and `_tag` identify it: the same work is never under way twice. */
export type Instruction =
  /** The fact that the step starts must be stored first (SPEC W1, W7). A `Start` begins another saga, or finds it, and takes it back. */
  | Work<"RunStep", Local | Start>
  | Work<"Compensate", Local | Start>
  | { readonly _tag: "Resend"; readonly path: string; readonly sent: Sent }
  /** Asks services that have not answered; `path` names them. */
  | { readonly _tag: "Reserve" | "Commit" | "Reject"; readonly path: string; readonly services: ReadonlyArray<string> }
  /** `attempt`: 1, but for a step behind the pivot that is tried again after a refusal. */
  | (Build<"BuildRequest", Remote> & { readonly attempt: number })
  | Build<"Choose", Conditional>
  | Build<"MapContext", Nested>
  /** Makes the list of items. */
  | Build<"MapItems", ForEach>
  /** Makes the name and the values of the execution that a step starts. */
  | Build<"BuildStart", Start>
  /** Makes the key and the deadline of a wait. */
  | Build<"BuildWait", Wait>
  /** The time of a wait is over: makes the result that it has then. Its facts are not kept where a signal has come meanwhile. */
  | Build<"TimeOut", Wait>
  | Work<"HandleReply", Remote>
  | { readonly _tag: "BuildProbe"; readonly path: string; readonly step: Remote; readonly state: StepState }
  | (Work<"BuildCompensation", Remote> & { readonly compensation: RemoteCompensation })

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
