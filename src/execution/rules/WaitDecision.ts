/** How a wait begins and goes on: with the signal that is there for it, else with time (SPEC C16). */
import type { Wait } from "../../definition/SagaStep.ts"
import { maxContextSize } from "../../wire/JsonLimits.ts"
import type { Instruction } from "./Instruction.ts"
import { type SagaContext, sizeWith } from "./SagaContext.ts"
import type { Of, SagaEvent } from "./SagaEvent.ts"
import { type SagaFailure, tooLarge } from "./SagaFailure.ts"
import type { Received } from "./SagaSignals.ts"
import type { StepState } from "./StepTree.ts"

/** The key and the deadline of a wait are known from its step, or a callback has made them. */
export const started = (
  { name, signal, timeout }: Wait,
  path: string,
  at: number,
  key?: string,
  deadline = timeout === undefined ? undefined : at + timeout,
  trace?: string
): SagaEvent => ({
  _tag: "WaitStarted",
  path,
  name,
  ...(signal !== undefined && { signal: signal.name }),
  ...(key !== undefined && { key }),
  ...(deadline !== undefined && { deadline: Math.ceil(deadline) }),
  ...(trace !== undefined && { trace }),
  at
})

type Ended = Of<"StepSucceeded" | "StepFailed">
type TimeOut = Extract<Instruction, { readonly _tag: "TimeOut" }>

/** The fact that ends a wait, the work for it, or when to look again. Time ends it only if no signal is there for it. */
export const goOn = (
  { deadline = Number.POSITIVE_INFINITY, path }: StepState,
  step: Wait,
  context: SagaContext,
  signal: Received | undefined,
  at: number
): Ended | TimeOut | number => {
  if (signal !== undefined) return took(signal, path, step, context, at)
  if (deadline > at) return deadline
  if (step.signal === undefined) return { _tag: "StepSucceeded", path, at }
  if (step.onTimeout !== undefined) return { _tag: "TimeOut", path, step, context }
  return failed(path, "errored-by-on-execute", { _tag: "StepTimedOut", path, step: step.name, deadline }, at)
}

/** A payload that the context has no room for fails the wait. */
const took = ({ content, id }: Received, path: string, { name }: Wait, context: SagaContext, at: number): Ended => {
  const size = content === undefined ? 0 : sizeWith(context, name, content)
  if (size > maxContextSize) return failed(path, "errored-on-execute", tooLarge(path, name, size), at)
  return { _tag: "StepSucceeded", path, ...(content !== undefined && { result: content }), signal: id, at }
}

const failed = (path: string, status: Of<"StepFailed">["status"], failure: SagaFailure, at: number): Ended => ({
  _tag: "StepFailed",
  path,
  status,
  effect: "none",
  failure,
  at
})
