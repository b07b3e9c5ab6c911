/** Performs the instructions of waits: their keys and deadlines are made, and their results where no signal came in time. */
import { Result } from "effect"
import { limits } from "../../definition/SagaIssue.ts"
import * as SagaContext from "../../execution/rules/SagaContext.ts"
import type { SagaEvent } from "../../execution/rules/SagaEvent.ts"
import * as WaitDecision from "../../execution/rules/WaitDecision.ts"
import { maxContextSize } from "../../wire/JsonLimits.ts"
import * as Text from "../../wire/Text.ts"
import { type ExecutionScope, type Facts, type InstructionOf, now } from "./ExecutionScope.ts"
import { callWithContext, encodeWithContext } from "./StepCallback.ts"
import { didNotStart, type Obstacle, obstacle, onExecute, toFailure } from "./StepFacts.ts"

/** Makes the key and the deadline of a wait. */
export const buildWait = (scope: ExecutionScope, { context, path, step }: InstructionOf<"BuildWait">): Facts => {
  const at = now(scope)
  const made = callWithContext(scope, context, (view) => ({ key: step.key?.(view), deadline: step.until?.(view) }))
  if (Result.isFailure(made)) return [didNotStart(scope, path, step, made.failure)]
  const { deadline, key } = made.success
  const issue =
    (step.key === undefined ? undefined : keyIssue(key)) ??
    (step.until === undefined ? undefined : deadlineIssue(deadline, at))
  return [
    issue === undefined
      ? WaitDecision.started(step, path, at, key, deadline, scope.trace?.context(scope.state))
      : didNotStart(scope, path, step, obstacle("encode", issue))
  ]
}

const keyIssue = (key: unknown): string | undefined => {
  const issue = Text.issueOf(key, Text.maxBytes.signalKey)
  return issue === undefined ? undefined : `the key ${issue}`
}

const deadlineIssue = (deadline: number | undefined, at: number): string | undefined =>
  !Number.isFinite(deadline) || deadline === undefined
    ? "the time is none"
    : deadline > at + limits.duration
      ? "the time is more than 10 years ahead"
      : undefined

/** Makes the result of a wait whose time is over. */
export const timeOut = (scope: ExecutionScope, { context, path, step }: InstructionOf<"TimeOut">): Facts => {
  // The rules ask for it only where there is an `onTimeout`.
  const { success, value } = step.onTimeout!
  const made = Result.flatMap(encodeWithContext(scope, context, success, value), (result) => {
    const size = result === undefined ? 0 : SagaContext.sizeWith(context, step.name, result)
    return size > maxContextSize
      ? Result.fail<Obstacle>(obstacle("context-size", `the context would have ${size} of ${maxContextSize} bytes`))
      : Result.succeed(result)
  })
  const at = now(scope)
  const { effect, status } = onExecute
  const fact: SagaEvent = Result.isFailure(made)
    ? { _tag: "StepFailed", path, status, effect, failure: toFailure(path, step.name, made.failure), at }
    : { _tag: "StepSucceeded", path, ...(made.success !== undefined && { result: made.success }), timedOut: true, at }
  return [fact]
}
