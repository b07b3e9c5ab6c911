/**
 * What the operations of a step have in common: they run inside the transaction of their execution (`SagaTransaction`),
 * read its context as one view, and give facts. What fails is a fact too, so performing an instruction never fails.
 */
import { type Cause, type Clock, Context, Effect } from "effect"
import type { Definition, Local, Remote } from "../../definition/SagaStep.ts"
import type * as RetrySchedule from "../../execution/rules/RetrySchedule.ts"
import * as SagaContext from "../../execution/rules/SagaContext.ts"
import type { Instruction } from "../../execution/rules/SagaDecision.ts"
import type { Of, SagaEvent } from "../../execution/rules/SagaEvent.ts"
import type { SagaFailure } from "../../execution/rules/SagaFailure.ts"
import type { SagaState } from "../../execution/rules/SagaState.ts"
import * as Failure from "../../execution/view/ExecutionErrors.ts"
import { contextView, maxContextSize } from "../../execution/view/SagaExecution.ts"
import { FaultPoint } from "../../ports/FaultPoint.ts"
import type { SagaExecutionRepository } from "../../ports/SagaExecutionRepository.ts"
import { enrolNobody, SagaTransaction } from "../../ports/SagaTransaction.ts"
import { messageId } from "../../wire/Envelope.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"

/** The execution that an operation belongs to, as it stands. */
export interface Run {
  readonly definition: Definition
  readonly state: SagaState
  readonly settings: RetrySchedule.Settings
  /** The own service. */
  readonly service: string
  readonly clock: Clock.Clock
  /** What the runner's own fibers run with. Undefined: the fiber is somebody else's, who gets it back as it was. */
  readonly fiberContext: Context.Context<never> | undefined
  /** Given to a transactional step: an attempt that fails leaves nothing to the next one. */
  readonly atomically?: SagaExecutionRepository["Service"]["atomically"]
}

export type Facts = ReadonlyArray<SagaEvent>
export type At<Tag extends Instruction["_tag"]> = Extract<Instruction, { readonly _tag: Tag }>
export type Errored = Of<"StepFailed">["status"]
export type Knowledge = Of<"StepFailed">["effect"]

export const now = (run: Run): number => run.clock.currentTimeMillisUnsafe()

/** Runs a callback inside the transaction of its execution. A throw while it is called is a defect like any other. */
export const within = <A, E>(
  run: Run,
  path: string,
  op: "execute" | "failure",
  callback: () => Effect.Effect<A, E, any>,
  enrol: SagaTransaction["enrol"] = enrolNobody
): Effect.Effect<A, E> => {
  const { headers, revision, saga, user, uuid } = run.state
  const transaction: SagaTransaction = {
    uuid,
    saga,
    path,
    idempotencyKey: messageId(uuid, path, op),
    epoch: revision,
    user,
    headers: headers ?? noHeaders,
    enrol
  }
  // The services of a callback are erased in its step; the layer that runs it requires and provides them.
  const inside = callback as () => Effect.Effect<A, E>
  return Effect.withFiber((fiber) =>
    FaultPoint.within(fiber, "callback", () => {
      if (run.fiberContext === undefined) {
        return Effect.provideService(Effect.suspend(inside), SagaTransaction, transaction)
      }
      // The fiber is the runner's, which puts its context back: every callback begins from the same one.
      fiber.setContext(Context.add(run.fiberContext, SagaTransaction, transaction))
      return inside()
    })
  )
}

const noHeaders = {}

// ---- facts -----------------------------------------------------------------------------------------------------

/** The fact of a result: encoded, and only if the context stays within its limit. */
export const succeeded = (
  run: Run,
  path: string,
  step: Local | Remote,
  status: Errored,
  value: unknown,
  context: SagaContext.SagaContext,
  recovered: boolean
): SagaEvent => {
  const result = JsonCodec.encode(step.success, value)
  // A result that cannot be stored leaves an effect that exists and cannot be read: it is undone as far as it is known.
  const effect = recovered ? "none" : step._tag === "Local" ? "unknown" : "exists"
  if (JsonCodec.isCodecIssue(result)) return rejected(run, path, step.name, status, effect, "encode", result.message)
  const at = now(run)
  if (result !== undefined) {
    const size = SagaContext.sizeWith(context, step.name, result)
    if (size > maxContextSize) {
      const issue = `the context would have ${size} of ${maxContextSize} characters`
      return rejected(run, path, step.name, status, effect, "context-size", issue)
    }
  }
  const fact: SagaEvent =
    result === undefined ? { _tag: "StepSucceeded", path, at } : { _tag: "StepSucceeded", path, result, at }
  return recovered ? { ...fact, recovered } : fact
}

/** The fact of a callback that failed: with a declared error, or with anything else. */
export const failed = (
  run: Run,
  path: string,
  step: Local | Remote,
  status: Errored,
  effect: Knowledge,
  cause: Cause.Cause<unknown>
): SagaEvent => {
  const [reason, ...others] = cause.reasons
  const error = reason?._tag === "Fail" && others.length === 0 ? reason.error : undefined
  const encoded = error === undefined ? undefined : JsonCodec.encode(step.error, error)
  const declared = encoded !== undefined && !JsonCodec.isCodecIssue(encoded)
  const defect = declared ? undefined : Failure.defectOf(cause)
  const failure: SagaFailure = declared
    ? { _tag: "StepError", path, step: step.name, error: encoded }
    : { _tag: "StepDefect", path, step: step.name, defect: Failure.encodeDefect(defect) }
  Failure.remember(failure, declared ? error : defect)
  return { _tag: "StepFailed", path, status, effect, failure, at: now(run) }
}

type Rule = Extract<SagaFailure, { readonly _tag: "StepValueRejected" }>["rule"]

/** The fact of a value that cannot be read or stored. */
export const rejected = (
  run: Run,
  path: string,
  step: string,
  status: Errored,
  effect: Knowledge,
  rule: Rule,
  issue: string
): SagaEvent => ({
  _tag: "StepFailed",
  path,
  status,
  effect,
  failure: { _tag: "StepValueRejected", path, step, rule, issue },
  at: now(run)
})

/** Why a step could not begin. */
export type Obstacle =
  | { readonly _tag: "StepDefect"; readonly defect: unknown }
  | { readonly _tag: "StepValueRejected"; readonly rule: Rule; readonly issue: string }

export const obstacle = (rule: Rule, issue: string): Obstacle => ({ _tag: "StepValueRejected", rule, issue })

/** The fact of a step that failed before anything of it began. */
export const didNotStart = (
  run: Run,
  path: string,
  name: string,
  kind: "conditional" | "nested" | "remote",
  reason: Obstacle
): SagaEvent => {
  const failure: SagaFailure =
    reason._tag === "StepDefect"
      ? { _tag: "StepDefect", path, step: name, defect: Failure.encodeDefect(reason.defect) }
      : { ...reason, path, step: name }
  if (reason._tag === "StepDefect") Failure.remember(failure, reason.defect)
  return { _tag: "StepFailed", path, status: "errored-on-execute", effect: "none", failure, name, kind, at: now(run) }
}

// ---- views -----------------------------------------------------------------------------------------------------

export type Called<A> =
  | { readonly _tag: "Done"; readonly value: A }
  | { readonly _tag: "Failed"; readonly obstacle: Obstacle }

/** Calls a pure callback of the author with the context. */
export const withView = <A>(
  definition: Definition,
  context: SagaContext.SagaContext,
  f: (view: SagaContext.View) => A
): Called<A> => {
  const view = contextView(definition, context)
  if (view instanceof Failure.SagaContextDecodeError)
    return { _tag: "Failed", obstacle: obstacle("decode", view.issue) }
  // The author's code may throw, and that fails the step.
  try {
    return { _tag: "Done", value: f(view) }
  } catch (defect) {
    return { _tag: "Failed", obstacle: { _tag: "StepDefect", defect } }
  }
}

/** The view with one entry more, or another one. */
export const overlay = (view: SagaContext.View, name: string, value: unknown): SagaContext.View =>
  Object.assign(Object.create(null), view, { [name]: value })
