/** Performs one instruction about a step, and gives the facts that follow from it. Each kind has a file of its own. */
import { Effect } from "effect"
import type { Instruction } from "../../execution/rules/Instruction.ts"
import type { ExecutionScope, Facts } from "./ExecutionScope.ts"
import * as LocalStep from "./LocalStep.ts"
import * as RemoteStep from "./RemoteStep.ts"
import * as WaitStep from "./WaitStep.ts"

export type { ExecutionScope } from "./ExecutionScope.ts"

/** Instructions that run code of the author. The others send a stored message again, or ask the participants. */
export type StepInstruction = Exclude<Instruction, { readonly _tag: "Resend" | "Reserve" | "Commit" | "Reject" }>

export const perform = (scope: ExecutionScope, instruction: StepInstruction): Effect.Effect<Facts> => {
  switch (instruction._tag) {
    case "RunStep":
      return LocalStep.runStep(scope, instruction)
    case "Compensate":
      return LocalStep.compensate(scope, instruction)
    case "Choose":
      return Effect.succeed(LocalStep.choose(scope, instruction))
    case "MapContext":
      return Effect.succeed(LocalStep.mapContext(scope, instruction))
    case "BuildWait":
      return Effect.succeed(WaitStep.buildWait(scope, instruction))
    case "TimeOut":
      return Effect.succeed(WaitStep.timeOut(scope, instruction))
    case "BuildRequest":
      return Effect.succeed(RemoteStep.buildRequest(scope, instruction))
    case "BuildProbe":
      return Effect.succeed(RemoteStep.buildProbe(scope, instruction))
    case "BuildCompensation":
      return Effect.succeed(RemoteStep.buildCompensation(scope, instruction))
    case "HandleReply":
      return RemoteStep.handleReply(scope, instruction)
  }
}
