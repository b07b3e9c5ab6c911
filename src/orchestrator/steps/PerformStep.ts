/** Performs one instruction about a step: the facts that follow from it. Each kind has a file of its own. */
import { Effect } from "effect"
import type { Instruction } from "../../execution/rules/Instruction.ts"
import type { ExecutionScope, Facts } from "./ExecutionScope.ts"
import * as LocalStep from "./LocalStep.ts"
import * as RemoteStep from "./RemoteStep.ts"
import * as WaitStep from "./WaitStep.ts"

export type { ExecutionScope } from "./ExecutionScope.ts"

/** Instructions that run code of the author. The others send a stored message again, or ask the participants. */
export type StepInstruction = Exclude<Instruction, { readonly _tag: "Resend" | "Reserve" | "Commit" | "Reject" }>

/** Goes on with the facts in the same effect: in place, an effect between costs more than a step. */
export const perform = <A, E>(
  scope: ExecutionScope,
  instruction: StepInstruction,
  then: (facts: Facts) => Effect.Effect<A, E>
): Effect.Effect<A, E> => {
  switch (instruction._tag) {
    case "RunStep":
      return LocalStep.runStep(scope, instruction, then)
    case "Compensate":
      return LocalStep.compensate(scope, instruction, then)
    case "HandleReply":
      return Effect.flatMap(RemoteStep.handleReply(scope, instruction), then)
    default:
      return Effect.suspend(() => then(pureFacts(scope, instruction)))
  }
}

type Callback = Extract<StepInstruction, { readonly _tag: "RunStep" | "Compensate" | "HandleReply" }>

/** Of the instructions whose functions are pure. */
const pureFacts = (scope: ExecutionScope, instruction: Exclude<StepInstruction, Callback>): Facts => {
  switch (instruction._tag) {
    case "Choose":
      return LocalStep.choose(scope, instruction)
    case "MapContext":
      return LocalStep.mapContext(scope, instruction)
    case "BuildWait":
      return WaitStep.buildWait(scope, instruction)
    case "TimeOut":
      return WaitStep.timeOut(scope, instruction)
    case "BuildRequest":
      return RemoteStep.buildRequest(scope, instruction)
    case "BuildProbe":
      return RemoteStep.buildProbe(scope, instruction)
    case "BuildCompensation":
      return RemoteStep.buildCompensation(scope, instruction)
  }
}
