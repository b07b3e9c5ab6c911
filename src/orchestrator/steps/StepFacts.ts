/**
 * The facts of one step. They know the step and its callback, so that a caller says only what happened. A failure is a
 * fact too: performing an instruction never fails.
 */
import type { Cause } from "effect"
import type { Local, Remote, SagaStep, Start } from "../../definition/SagaStep.ts"
import * as SagaContext from "../../execution/rules/SagaContext.ts"
import type { EffectKnowledge, Of, SagaEvent } from "../../execution/rules/SagaEvent.ts"
import type { SagaFailure } from "../../execution/rules/SagaFailure.ts"
import * as ExecutionErrors from "../../execution/view/ExecutionErrors.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import { maxContextSize } from "../../wire/JsonLimits.ts"
import { type ExecutionScope, now } from "./ExecutionScope.ts"

/** A callback that gives a step its result: `execute`, or a handler of the reply. */
export interface ResultCallback {
  /** The status of the step when the callback fails. */
  readonly status: Of<"StepFailed">["status"]
  /** Then it is known whether the step has an effect. */
  readonly effect: EffectKnowledge
  /** The same for a callback that has succeeded with a result that cannot be stored. */
  readonly effectOfLostResult: EffectKnowledge
  /** The result stands for an effect that the other side has refused: there is nothing to compensate. */
  readonly recovers: boolean
}

export const onExecute: ResultCallback = {
  status: "errored-on-execute",
  effect: "none",
  effectOfLostResult: "exists",
  recovers: false
}

export const onSuccess: ResultCallback = {
  status: "errored-on-success",
  effect: "exists",
  effectOfLostResult: "exists",
  recovers: false
}

export const onError: ResultCallback = {
  status: "errored-on-error",
  effect: "none",
  effectOfLostResult: "none",
  recovers: true
}

/** The same for a refusal that was given by hand: whether there is an effect, only a probe tells. */
export const onErrorByHand: ResultCallback = { ...onError, effect: "unknown", effectOfLostResult: "unknown" }

type Rule = Extract<SagaFailure, { readonly _tag: "StepValueRejected" }>["rule"]

/** Why a step could not begin. */
export type Obstacle =
  | { readonly _tag: "StepDefect"; readonly defect: unknown }
  | { readonly _tag: "StepValueRejected"; readonly rule: Rule; readonly issue: string }

export const obstacle = (rule: Rule, issue: string): Obstacle => ({ _tag: "StepValueRejected", rule, issue })

/** A callback that died, as it is stored. The error itself is remembered for callers in this process. */
export const defectFailure = (path: string, step: string, defect: unknown): SagaFailure => {
  const failure: SagaFailure = { _tag: "StepDefect", path, step, defect: ExecutionErrors.encodeDefect(defect) }
  ExecutionErrors.remember(failure, defect)
  return failure
}

export class StepFacts<out Step extends Local | Remote | Start> {
  readonly scope: ExecutionScope
  readonly path: string
  readonly step: Step
  readonly callback: ResultCallback

  constructor(scope: ExecutionScope, path: string, step: Step, callback: ResultCallback) {
    this.scope = scope
    this.path = path
    this.step = step
    this.callback = callback
  }

  /** A result: encoded, and only if the context stays within its limit. */
  succeeded(value: unknown, context: SagaContext.SagaContext): SagaEvent {
    const { callback, path, scope, step } = this
    const result = JsonCodec.encode(step.success, value)
    if (JsonCodec.isCodecIssue(result)) return this.rejected("encode", result.message, callback.effectOfLostResult)
    const at = now(scope)
    if (result !== undefined) {
      const size = SagaContext.sizeWith(context, step.name, result)
      if (size > maxContextSize) {
        const issue = `the context would have ${size} of ${maxContextSize} bytes`
        return this.rejected("context-size", issue, callback.effectOfLostResult)
      }
    }
    const fact: SagaEvent =
      result === undefined ? { _tag: "StepSucceeded", path, at } : { _tag: "StepSucceeded", path, result, at }
    return callback.recovers ? { ...fact, recovered: true } : fact
  }

  /** A callback that failed: with a declared error, or with anything else. */
  failed(cause: Cause.Cause<unknown>): SagaEvent {
    const { path, step } = this
    const [reason, ...others] = cause.reasons
    const isOne = reason?._tag === "Fail" && others.length === 0
    const encoded = isOne && "error" in step ? JsonCodec.encodeError(step.error, reason.error) : undefined
    if (!isOne || encoded === undefined) {
      return this.failedWith(defectFailure(path, step.name, ExecutionErrors.defectOf(cause)))
    }
    const failure: SagaFailure = { _tag: "StepError", path, step: step.name, error: encoded }
    ExecutionErrors.remember(failure, reason.error)
    return this.failedWith(failure)
  }

  /** A value that cannot be read or stored. */
  rejected(rule: Rule, issue: string, effect = this.callback.effect): SagaEvent {
    const { path, step } = this
    return this.failedWith({ _tag: "StepValueRejected", path, step: step.name, rule, issue }, effect)
  }

  /** No result before the deadline: the callback may have had its effect. */
  timedOut(deadline: number): SagaEvent {
    const { path, step } = this
    return this.failedWith({ _tag: "StepTimedOut", path, step: step.name, deadline }, "unknown")
  }

  failedWith(failure: SagaFailure, effect = this.callback.effect): SagaEvent {
    const { callback, path, scope } = this
    return { _tag: "StepFailed", path, status: callback.status, effect, failure, at: now(scope) }
  }
}

/** The failure of a step for a reason that has stopped a callback. */
export const toFailure = (path: string, step: string, reason: Obstacle): SagaFailure =>
  reason._tag === "StepDefect" ? defectFailure(path, step, reason.defect) : { ...reason, path, step }

const kinds = {
  Conditional: "conditional",
  ForEach: "forEach",
  Nested: "nested",
  Remote: "remote",
  Start: "start",
  Wait: "wait"
} as const

/** A step that failed before anything of it began. */
export const didNotStart = (
  scope: ExecutionScope,
  path: string,
  { _tag, name }: Extract<SagaStep, { readonly _tag: keyof typeof kinds }>,
  reason: Obstacle
): SagaEvent => ({
  _tag: "StepFailed",
  path,
  status: onExecute.status,
  effect: onExecute.effect,
  failure: toFailure(path, name, reason),
  name,
  kind: kinds[_tag],
  at: now(scope)
})
