/** Performs one instruction about a step: the facts that follow from it. Each kind has a file of its own. */
import { Effect, Exit } from "effect"
import type { Instruction } from "../../execution/rules/Instruction.ts"
import { type ExecutionTrace, isSpanned, type Spanned } from "../ExecutionTrace.ts"
import type { ExecutionScope, Facts } from "./ExecutionScope.ts"
import * as ItemsStep from "./ItemsStep.ts"
import * as LocalStep from "./LocalStep.ts"
import * as RemoteStep from "./RemoteStep.ts"
import * as StartStep from "./StartStep.ts"
import * as WaitStep from "./WaitStep.ts"

export type { ExecutionScope } from "./ExecutionScope.ts"

/** Instructions that run code of the author. The others send a stored message again, or ask the participants. */
export type StepInstruction = Exclude<Instruction, { readonly _tag: "Resend" | "Reserve" | "Commit" | "Reject" }>

/** Goes on with the facts in the same effect: in place, an effect between costs more than a step. */
export const perform = <A, E>(
  scope: ExecutionScope,
  instruction: StepInstruction,
  then: (facts: Facts) => Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  scope.trace !== undefined && isSpanned(instruction) && !hasAttempts(instruction)
    ? traced(scope, scope.trace, instruction, then)
    : performNow(scope, instruction, then)

/** Each attempt of such a step has a span of its own. */
const hasAttempts = (instruction: StepInstruction): boolean =>
  instruction._tag === "RunStep" && instruction.step.policies.retry !== undefined

/** The same inside a span. */
const traced = <A, E>(
  scope: ExecutionScope,
  trace: ExecutionTrace,
  instruction: Spanned,
  then: (facts: Facts) => Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    const span = trace.step(scope.state, instruction)
    const performed = performNow({ ...scope, span }, instruction, Effect.succeed)
    const ended = Effect.onExit(performed, (exit) =>
      Effect.sync(() => (Exit.isSuccess(exit) ? trace.stepEnded(span, exit.value) : trace.interrupted(span)))
    )
    return Effect.flatMap(ended, then)
  })

const performNow = <A, E>(
  scope: ExecutionScope,
  instruction: StepInstruction,
  then: (facts: Facts) => Effect.Effect<A, E>
): Effect.Effect<A, E> => {
  switch (instruction._tag) {
    case "RunStep": {
      const { step } = instruction
      return step._tag === "Start"
        ? Effect.flatMap(StartStep.start(scope, instruction, step), then)
        : LocalStep.runStep(scope, instruction, step, then)
    }
    case "Compensate": {
      const { step } = instruction
      return step._tag === "Start"
        ? Effect.flatMap(StartStep.undo(scope, instruction, step), then)
        : LocalStep.compensate(scope, instruction, step, then)
    }
    case "BuildStart":
      return Effect.flatMap(StartStep.buildStart(scope, instruction), then)
    case "HandleReply":
      return Effect.flatMap(RemoteStep.handleReply(scope, instruction), then)
    default:
      return Effect.suspend(() => then(pureFacts(scope, instruction)))
  }
}

type Callback = Extract<StepInstruction, { readonly _tag: "RunStep" | "Compensate" | "HandleReply" | "BuildStart" }>

/** Of the instructions whose functions are pure. */
const pureFacts = (scope: ExecutionScope, instruction: Exclude<StepInstruction, Callback>): Facts => {
  switch (instruction._tag) {
    case "Choose":
      return LocalStep.choose(scope, instruction)
    case "MapContext":
      return LocalStep.mapContext(scope, instruction)
    case "MapItems":
      return ItemsStep.mapItems(scope, instruction)
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
