/**
 * Performs one instruction of an execution, and gives the facts that come of it. The three executors behind it are the
 * three places where the author's code runs: local callbacks, requests, responses.
 */
import { Effect } from "effect"
import type { Instruction } from "../execution/SagaDecision.ts"
import * as LocalExecutor from "./LocalExecutor.ts"
import type { Facts, Run } from "./Operation.ts"
import * as RequestExecutor from "./RequestExecutor.ts"
import * as ResponseExecutor from "./ResponseExecutor.ts"

export type { Run } from "./Operation.ts"
export { maxMessageSize } from "./RequestExecutor.ts"

/** Instructions that run code of the author; the others are messages and agreements. */
export type Authored = Exclude<Instruction, { readonly _tag: "Resend" | "Reserve" | "Commit" | "Reject" }>

export const perform = (run: Run, instruction: Authored): Effect.Effect<Facts> => {
  switch (instruction._tag) {
    case "RunStep":
      return LocalExecutor.runStep(run, instruction)
    case "Compensate":
      return LocalExecutor.compensate(run, instruction)
    case "Choose":
      return Effect.succeed(LocalExecutor.choose(run, instruction))
    case "MapContext":
      return Effect.succeed(LocalExecutor.mapContext(run, instruction))
    case "BuildRequest":
      return Effect.succeed(RequestExecutor.buildRequest(run, instruction))
    case "BuildProbe":
      return Effect.succeed(RequestExecutor.buildProbe(run, instruction))
    case "BuildCompensation":
      return Effect.succeed(RequestExecutor.buildCompensation(run, instruction))
    case "HandleReply":
      return ResponseExecutor.handleReply(run, instruction)
  }
}
