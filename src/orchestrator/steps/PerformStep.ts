/**
 * Performs one instruction of an execution, and gives the facts that come of it. The three executors behind it are the
 * three places where the author's code runs: local callbacks, requests, responses.
 */
import { Effect } from "effect"
import type { Instruction } from "../../execution/rules/SagaDecision.ts"
import * as LocalStep from "./LocalStep.ts"
import * as RemoteReply from "./RemoteReply.ts"
import * as RemoteRequest from "./RemoteRequest.ts"
import type { Facts, Run } from "./StepCallback.ts"

export { maxMessageSize } from "./RemoteRequest.ts"
export type { Run } from "./StepCallback.ts"

/** Instructions that run code of the author; the others are messages and agreements. */
export type Authored = Exclude<Instruction, { readonly _tag: "Resend" | "Reserve" | "Commit" | "Reject" }>

export const perform = (run: Run, instruction: Authored): Effect.Effect<Facts> => {
  switch (instruction._tag) {
    case "RunStep":
      return LocalStep.runStep(run, instruction)
    case "Compensate":
      return LocalStep.compensate(run, instruction)
    case "Choose":
      return Effect.succeed(LocalStep.choose(run, instruction))
    case "MapContext":
      return Effect.succeed(LocalStep.mapContext(run, instruction))
    case "BuildRequest":
      return Effect.succeed(RemoteRequest.buildRequest(run, instruction))
    case "BuildProbe":
      return Effect.succeed(RemoteRequest.buildProbe(run, instruction))
    case "BuildCompensation":
      return Effect.succeed(RemoteRequest.buildCompensation(run, instruction))
    case "HandleReply":
      return RemoteReply.handleReply(run, instruction)
  }
}
