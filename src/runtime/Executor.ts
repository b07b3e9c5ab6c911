/**
 * Runs one operation of a step: a local callback, the building of a request, the handling of a reply. Every operation
 * runs inside the transaction of its execution (`SagaTransaction`) and gives facts; what fails becomes a fact too.
 *
 * `local`, `request` and `response` are the same operations for a caller of their own, with errors instead of facts.
 */
import { type Cause, Clock, Effect, Exit } from "effect"
import { SagaResponseError } from "../definition/SagaMessage.ts"
import type { Definition, Local, Remote, RemoteCompensation, Retry } from "../definition/SagaStep.ts"
import * as Encoding from "../execution/Encoding.ts"
import { type Envelope, messageId, type Op } from "../execution/Envelope.ts"
import type { Json } from "../execution/Json.ts"
import * as SagaContext from "../execution/SagaContext.ts"
import type { Instruction } from "../execution/SagaDecision.ts"
import type { Of, SagaEvent } from "../execution/SagaEvent.ts"
import { contextView, maxContextSize } from "../execution/SagaExecution.ts"
import * as Failure from "../execution/SagaFailure.ts"
import type { SagaState, StepState } from "../execution/SagaState.ts"
import * as Timing from "../execution/Timing.ts"
import { FaultPoint } from "../ports/FaultPoint.ts"
import * as RequestContext from "./RequestContext.ts"
import { SagaTransaction } from "./SagaTransaction.ts"

/** A message may not be larger than this many characters (SPEC C11). */
export const maxMessageSize = 262_144

/** What the operations of one execution have in common. */
export interface Run {
  readonly definition: Definition
  readonly state: SagaState
  readonly settings: Timing.Settings
  /** The own service. */
  readonly service: string
}

type Facts = ReadonlyArray<SagaEvent>
type At<Tag extends Instruction["_tag"]> = Extract<Instruction, { readonly _tag: Tag }>

// ---- local steps -----------------------------------------------------------------------------------------------

/** Executes a local step. */
export const runStep = Effect.fnUntraced(function* (
  run: Run,
  { context, path, state, step }: At<"RunStep">
): Effect.fn.Return<Facts> {
  const view = contextView(run.definition, context)
  if (view instanceof Failure.SagaContextDecodeError)
    return [yield* rejected(path, step.name, "errored-on-execute", "none", "decode", view.issue)]
  const exit = yield* attempts(
    within(run, path, "execute", () => step.execute(view)),
    step,
    state.deadline
  )
  if (exit === "timeout") {
    const failure: Failure.SagaFailure = { _tag: "StepTimedOut", path, step: step.name, deadline: state.deadline ?? 0 }
    return [
      {
        _tag: "StepFailed",
        path,
        status: "errored-on-execute",
        effect: "unknown",
        failure,
        at: yield* Clock.currentTimeMillis
      }
    ]
  }
  if (Exit.isFailure(exit)) return [yield* failed(step, path, "errored-on-execute", "none", exit.cause)]
  return [yield* succeeded(run, path, step, "errored-on-execute", exit.value, context, {})]
})

/** Runs the compensation of a local step once. */
export const compensate = Effect.fnUntraced(function* (
  run: Run,
  { context, path, state, step }: At<"Compensate">
): Effect.fn.Return<Facts> {
  const compensation = state.effect === "unknown" ? step.compensate?.unknown : step.compensate?.run
  const retry = step.policies.retryCompensate ?? run.settings.retryCompensate
  const view = ownView(run.definition, context, step, state)
  const exit =
    view instanceof Failure.SagaContextDecodeError
      ? Exit.die(view)
      : yield* Effect.exit(within(run, path, "failure", () => compensation?.(view) ?? Effect.void))
  const at = yield* Clock.currentTimeMillis
  if (Exit.isSuccess(exit)) return [{ _tag: "StepCompensated", path, at }]
  const attempt = (state.undo?.failedAttempts ?? 0) + 1
  const failure: Failure.SagaFailure = {
    _tag: "StepDefect",
    path,
    step: step.name,
    defect: Failure.encodeDefect(Failure.defectOf(exit.cause))
  }
  return [
    {
      _tag: "CompensationFailed",
      path,
      failure,
      ...(attempt <= retry.times && { retryAt: at + Timing.delay(attempt, retry.backoff) }),
      at
    }
  ]
})

// ---- conditional and nested steps ------------------------------------------------------------------------------

/** Chooses the alternative: the first whose condition holds. */
export const choose = Effect.fnUntraced(function* (
  run: Run,
  { context, path, step }: At<"Choose">
): Effect.fn.Return<Facts> {
  const { name } = step
  const at = yield* Clock.currentTimeMillis
  const start = { path, name, at }
  const picked = withView(run.definition, context, (view) =>
    step.alternatives.findIndex(({ condition }) => condition?.(view) ?? true)
  )
  if (picked._tag === "Failed") return [didNotStart(step.name, "conditional", path, picked.failure, at)]
  if (picked.value < 0) return [{ _tag: "AlternativeChosen", ...start, choice: null }]
  const label = step.alternatives[picked.value]?.condition === undefined ? "else" : `if${picked.value}`
  return [{ _tag: "AlternativeChosen", ...start, choice: picked.value, label }]
})

/** Makes the initial context of a nested saga. */
export const mapContext = Effect.fnUntraced(function* (
  run: Run,
  { context, path, step }: At<"MapContext">
): Effect.fn.Return<Facts> {
  const at = yield* Clock.currentTimeMillis
  const mapped = withView(run.definition, context, (view) => Encoding.encode(step.saga.context, step.context(view)))
  if (mapped._tag === "Failed") return [didNotStart(step.name, "nested", path, mapped.failure, at)]
  if (Encoding.isEncodingIssue(mapped.value))
    return [
      didNotStart(
        step.name,
        "nested",
        path,
        { _tag: "StepValueRejected", rule: "encode", issue: mapped.value.message },
        at
      )
    ]
  return [{ _tag: "NestedStarted", path, name: step.name, context: mapped.value ?? {}, at }]
})

// ---- remote steps ----------------------------------------------------------------------------------------------

/** Builds the request of a remote step. It leaves only after it is stored. */
export const buildRequest = Effect.fnUntraced(function* (
  run: Run,
  { context, path, step }: At<"BuildRequest">
): Effect.fn.Return<Facts> {
  const at = yield* Clock.currentTimeMillis
  const built = withView(run.definition, context, (view) =>
    Encoding.encode(step.execute.payload, step.execute.content(view))
  )
  if (built._tag === "Failed") return [didNotStart(step.name, "remote", path, built.failure, at)]
  if (Encoding.isEncodingIssue(built.value))
    return [
      didNotStart(
        step.name,
        "remote",
        path,
        { _tag: "StepValueRejected", rule: "encode", issue: built.value.message },
        at
      )
    ]
  const message = envelope(
    run,
    path,
    "execute",
    step.execute.service,
    built.value,
    at + run.settings.maxMessageLifetime
  )
  const size = JSON.stringify(message).length
  if (size > maxMessageSize) {
    const issue = `${size} of ${maxMessageSize} characters`
    return [didNotStart(step.name, "remote", path, { _tag: "StepValueRejected", rule: "message-size", issue }, at)]
  }
  const deadline = at + (step.policies.timeout ?? run.settings.replyTimeout)
  return [{ _tag: "RequestSent", path, name: step.name, command: step.execute.command, message, deadline, at }]
})

/** Asks whether a request whose reply was never seen has an effect. */
export const buildProbe = Effect.fnUntraced(function* (
  run: Run,
  { path, state, step }: At<"BuildProbe">
): Effect.fn.Return<Facts> {
  const message = envelope(run, path, "probe", step.execute.service, undefined, lifetime(run, state))
  return [{ _tag: "ProbeSent", path, command: step.execute.command, message, at: yield* Clock.currentTimeMillis }]
})

/** Builds the compensation of a remote step from the reply it undoes, or without one. */
export const buildCompensation = Effect.fnUntraced(function* (
  run: Run,
  { compensation, context, path, state, step }: At<"BuildCompensation">
): Effect.fn.Return<Facts> {
  const at = yield* Clock.currentTimeMillis
  const built = compensationContent(run.definition, context, step, compensation, state)
  if (built._tag === "Unknown")
    return [{ _tag: "StepParked", path, reason: "its reply cannot be read, and it has no compensation for that", at }]
  const content = built._tag === "Failed" ? built : Encoding.encode(compensation.payload, built.value)
  if (built._tag === "Failed" || Encoding.isEncodingIssue(content))
    return [{ _tag: "StepParked", path, reason: "its compensation cannot be built", at }]
  const message = envelope(
    run,
    path,
    "failure",
    compensation.service,
    content as Json | undefined,
    lifetime(run, state)
  ) // not an issue: see above
  return [{ _tag: "CompensationSent", path, command: compensation.command, message, at }]
})

/** Handles the reply of a remote step. */
export const handleReply = Effect.fnUntraced(function* (
  run: Run,
  { context, path, state, step }: At<"HandleReply">
): Effect.fn.Return<Facts> {
  const content = state.reply?.content
  if (state.status === "running-on-success") return [yield* handleSuccess(run, path, step, content, context)]
  return [yield* handleError(run, path, step, content, context)]
})

const handleSuccess = Effect.fnUntraced(function* (
  run: Run,
  path: string,
  step: Remote,
  content: Json | undefined,
  context: SagaContext.SagaContext
): Effect.fn.Return<SagaEvent> {
  const reply = Encoding.decode(step.execute.success, content)
  if (Encoding.isEncodingIssue(reply))
    return yield* rejected(path, step.name, "errored-on-success", "exists", "decode", reply.message)
  const { onSuccess } = step
  if (onSuccess === undefined) return yield* succeeded(run, path, step, "errored-on-success", reply, context, {})
  const view = contextView(run.definition, context)
  if (view instanceof Failure.SagaContextDecodeError)
    return yield* rejected(path, step.name, "errored-on-success", "exists", "decode", view.issue)
  const exit = yield* Effect.exit(within(run, path, "execute", () => onSuccess(reply, view)))
  return Exit.isFailure(exit)
    ? yield* failed(step, path, "errored-on-success", "exists", exit.cause)
    : yield* succeeded(run, path, step, "errored-on-success", exit.value, context, {})
})

const handleError = Effect.fnUntraced(function* (
  run: Run,
  path: string,
  step: Remote,
  content: Json | undefined,
  context: SagaContext.SagaContext
): Effect.fn.Return<SagaEvent> {
  const at = yield* Clock.currentTimeMillis
  const codec = step.execute.error
  const error =
    codec === undefined
      ? new SagaResponseError({ status: 400, content: content ?? null })
      : Encoding.decode(codec, content)
  if (Encoding.isEncodingIssue(error))
    return yield* rejected(path, step.name, "errored-on-error", "none", "decode", error.message)
  const { onError } = step
  if (onError === undefined) {
    const failure: Failure.SagaFailure =
      codec === undefined
        ? { _tag: "StepRefused", path, step: step.name, status: 400, content: content ?? null }
        : { _tag: "StepError", path, step: step.name, error: content ?? null }
    return { _tag: "StepFailed", path, status: "errored-on-error", effect: "none", failure, at }
  }
  const view = contextView(run.definition, context)
  if (view instanceof Failure.SagaContextDecodeError)
    return yield* rejected(path, step.name, "errored-on-error", "none", "decode", view.issue)
  const exit = yield* Effect.exit(within(run, path, "execute", () => onError(error, view)))
  return Exit.isFailure(exit)
    ? yield* failed(step, path, "errored-on-error", "none", exit.cause)
    : yield* succeeded(run, path, step, "errored-on-error", exit.value, context, { recovered: true })
})

// ---- parts -----------------------------------------------------------------------------------------------------

/** Runs a callback inside the transaction of its execution. A throw while it is called is a defect like any other. */
const within = <A, E>(
  run: Run,
  path: string,
  op: "execute" | "failure",
  callback: () => Effect.Effect<A, E, any>
): Effect.Effect<A, E> => {
  const { headers, revision, saga, user, uuid } = run.state
  const transaction: SagaTransaction = {
    uuid,
    saga,
    path,
    idempotencyKey: messageId(uuid, path, op),
    epoch: revision,
    user,
    headers: headers ?? noHeaders
  }
  // The services of a callback are erased in its step; the layer that runs it requires and provides them.
  const inside = Effect.provideService(Effect.suspend(callback), SagaTransaction, transaction) as Effect.Effect<A, E>
  return FaultPoint.around("callback", inside)
}

const noHeaders = {}

/** One attempt, and those that `retry` allows after it, until the deadline. */
const attempts = (
  effect: Effect.Effect<unknown, unknown>,
  step: Local,
  deadline: number | undefined
): Effect.Effect<Exit.Exit<unknown, unknown> | "timeout"> => {
  const { retry } = step.policies
  const tried = retry === undefined ? Effect.exit(effect) : retried(effect, retry, 0)
  return deadline === undefined
    ? tried
    : Effect.flatMap(Clock.currentTimeMillis, (now) =>
        Effect.timeoutOrElse(tried, {
          duration: Math.max(0, deadline - now),
          orElse: () => Effect.succeed("timeout" as const)
        })
      )
}

const retried = (
  effect: Effect.Effect<unknown, unknown>,
  retry: Retry,
  failures: number
): Effect.Effect<Exit.Exit<unknown, unknown>> =>
  Effect.flatMap(Effect.exit(effect), (exit) =>
    Exit.isSuccess(exit) || failures >= retry.times || !isRetried(exit.cause, retry)
      ? Effect.succeed(exit)
      : Effect.andThen(Effect.sleep(Timing.delay(failures + 1, retry.backoff)), retried(effect, retry, failures + 1))
  )

const isRetried = (cause: Cause.Cause<unknown>, retry: Retry): boolean =>
  cause.reasons.every(
    (reason) =>
      reason._tag === "Die" ||
      (reason._tag === "Fail" && retry.on !== undefined && retry.on.includes(tagOf(reason.error) ?? ""))
  )

const tagOf = (error: unknown): string | undefined =>
  typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : undefined

type Errored = Of<"StepFailed">["status"]
type Effects = Of<"StepFailed">["effect"]

/** The fact of a result: encoded, and only if the context stays within its limit. */
const succeeded = Effect.fnUntraced(function* (
  run: Run,
  path: string,
  step: Local | Remote,
  status: Errored,
  value: unknown,
  context: SagaContext.SagaContext,
  more: { readonly recovered?: true }
): Effect.fn.Return<SagaEvent> {
  // A result that cannot be stored leaves an effect that exists and cannot be read: it is undone as far as it is known.
  const effect = more.recovered === true ? "none" : step._tag === "Local" ? "unknown" : "exists"
  const result = Encoding.encode(step.success, value)
  if (Encoding.isEncodingIssue(result))
    return yield* rejected(path, step.name, status, effect, "encode", result.message)
  const at = yield* Clock.currentTimeMillis
  if (result !== undefined) {
    const size = SagaContext.size(SagaContext.append(context, path, step.name, result))
    if (size > maxContextSize) {
      return yield* rejected(
        path,
        step.name,
        status,
        effect,
        "context-size",
        `the context would have ${size} of ${maxContextSize} characters`
      )
    }
  }
  void run
  return result === undefined
    ? { _tag: "StepSucceeded", path, ...more, at }
    : { _tag: "StepSucceeded", path, result, ...more, at }
})

/** The fact of a callback that failed: with a declared error, or with anything else. */
const failed = Effect.fnUntraced(function* (
  step: Local | Remote,
  path: string,
  status: Errored,
  effect: Effects,
  cause: Cause.Cause<unknown>
): Effect.fn.Return<SagaEvent> {
  const at = yield* Clock.currentTimeMillis
  const error = cause.reasons.length === 1 && cause.reasons[0]?._tag === "Fail" ? cause.reasons[0].error : undefined
  const encoded = error === undefined ? undefined : Encoding.encode(step.error, error)
  const declared = encoded !== undefined && !Encoding.isEncodingIssue(encoded)
  const failure: Failure.SagaFailure = declared
    ? { _tag: "StepError", path, step: step.name, error: encoded }
    : { _tag: "StepDefect", path, step: step.name, defect: Failure.encodeDefect(Failure.defectOf(cause)) }
  Failure.remember(failure, declared ? error : Failure.defectOf(cause))
  return { _tag: "StepFailed", path, status, effect, failure, at }
})

const rejected = (
  path: string,
  step: string,
  status: Errored,
  effect: Effects,
  rule: Extract<Failure.SagaFailure, { readonly _tag: "StepValueRejected" }>["rule"],
  issue: string
): Effect.Effect<SagaEvent> =>
  Effect.map(Clock.currentTimeMillis, (at) => ({
    _tag: "StepFailed",
    path,
    status,
    effect,
    failure: { _tag: "StepValueRejected", path, step, rule, issue },
    at
  }))

type Reason =
  | { readonly _tag: "StepDefect"; readonly defect: unknown }
  | Omit<Extract<Failure.SagaFailure, { readonly _tag: "StepValueRejected" }>, "path" | "step">

/** The fact of a step that failed before anything of it began. */
const didNotStart = (
  name: string,
  kind: "conditional" | "nested" | "remote",
  path: string,
  reason: Reason,
  at: number
): SagaEvent => {
  const failure: Failure.SagaFailure =
    reason._tag === "StepDefect"
      ? { _tag: "StepDefect", path, step: name, defect: Failure.encodeDefect(reason.defect) }
      : { ...reason, path, step: name }
  if (reason._tag === "StepDefect") Failure.remember(failure, reason.defect)
  return { _tag: "StepFailed", path, status: "errored-on-execute", effect: "none", failure, name, kind, at }
}

type Called<A> = { readonly _tag: "Done"; readonly value: A } | { readonly _tag: "Failed"; readonly failure: Reason }

/** Calls a pure callback of the author with the context. */
const withView = <A>(
  definition: Definition,
  context: SagaContext.SagaContext,
  f: (view: SagaContext.View) => A
): Called<A> => {
  const view = contextView(definition, context)
  return view instanceof Failure.SagaContextDecodeError
    ? { _tag: "Failed", failure: { _tag: "StepValueRejected", rule: "decode", issue: view.issue } }
    : call(() => f(view))
}

const call = <A>(f: () => A): Called<A> => {
  try {
    // the author's code may throw, and that fails the step
    return { _tag: "Done", value: f() }
  } catch (defect) {
    return { _tag: "Failed", failure: { _tag: "StepDefect", defect } }
  }
}

/** The context with the step's own entry, as its compensation reads it. */
const ownView = (
  definition: Definition,
  context: SagaContext.SagaContext,
  step: Local,
  state: StepState
): SagaContext.View | Failure.SagaContextDecodeError => {
  const view = contextView(definition, context)
  if (view instanceof Failure.SagaContextDecodeError || state.effect === "unknown" || step.name in view) return view
  const own = Encoding.decode(step.success, state.result)
  return Encoding.isEncodingIssue(own)
    ? new Failure.SagaContextDecodeError({ path: state.path, step: step.name, issue: own.message })
    : overlay(view, step.name, own)
}

const overlay = (view: SagaContext.View, name: string, value: unknown): SagaContext.View =>
  Object.assign(Object.create(null), view, { [name]: value })

/** The content of a compensation: from the decoded reply, else by `unknown`. */
const compensationContent = (
  definition: Definition,
  context: SagaContext.SagaContext,
  step: Remote,
  compensation: RemoteCompensation,
  state: StepState
): Called<unknown> | { readonly _tag: "Unknown" } => {
  const reply = state.effect === "exists" ? Encoding.decode(step.execute.success, state.reply?.content) : undefined
  const { unknown } = compensation
  if (state.effect === "exists" && !Encoding.isEncodingIssue(reply)) {
    return withView(definition, context, (view) =>
      compensation.content(step.onSuccess === undefined && step.name in view ? view : overlay(view, step.name, reply))
    )
  }
  return unknown === undefined ? { _tag: "Unknown" } : withView(definition, context, (view) => unknown(view))
}

const lifetime = (run: Run, state: StepState): number =>
  run.state.transactional ? run.state.notAfter : (state.request?.message.notAfter ?? run.state.notAfter)

const envelope = (
  run: Run,
  path: string,
  op: Op,
  service: string,
  content: Json | undefined,
  notAfter: number
): Envelope => {
  const { headers, transactional, user, uuid } = run.state
  const ambient = RequestContext.transactions(headers)
  const passedOn = RequestContext.passedOn(headers)
  return {
    v: 1,
    id: messageId(uuid, path, op),
    op,
    saga: uuid,
    path,
    service,
    coordinator: run.service,
    ...(content !== undefined && { content }),
    relatedServices: [],
    transactions: transactional ? [...ambient, uuid] : ambient,
    ...(user !== undefined && { user }),
    ...(passedOn !== undefined && { headers: passedOn }),
    notAfter
  }
}
