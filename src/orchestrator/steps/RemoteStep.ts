/**
 * Performs the instructions about another service: builds its messages (requests, probes, compensations), which leave only
 * after they are stored, and handles the reply of a request, 200 by `onSuccess`, 400 by `onError`.
 */
import { Effect, Exit, Result } from "effect"
import { SagaResponseError } from "../../definition/SagaMessage.ts"
import type { Remote } from "../../definition/SagaStep.ts"
import * as TimeBounds from "../../definition/TimeBounds.ts"
import { fullWith } from "../../execution/rules/EnrolmentEvolution.ts"
import * as RetrySchedule from "../../execution/rules/RetrySchedule.ts"
import type * as SagaContext from "../../execution/rules/SagaContext.ts"
import type { SagaEvent } from "../../execution/rules/SagaEvent.ts"
import type { SagaFailure } from "../../execution/rules/SagaFailure.ts"
import type { StepState } from "../../execution/rules/StepTree.ts"
import { contextView } from "../../execution/view/ContextView.ts"
import { remember, SagaContextDecodeError } from "../../execution/view/ExecutionErrors.ts"
import * as Broker from "../../ports/Broker.ts"
import * as RequestHeaders from "../../ports/RequestHeaders.ts"
import { attemptOf, type Envelope, messageId, type Op } from "../../wire/Envelope.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import type { Json } from "../../wire/JsonLimits.ts"
import { type ExecutionScope, type Facts, type InstructionOf, now } from "./ExecutionScope.ts"
import { encodeWithContext, overlay, runCallback } from "./StepCallback.ts"
import { didNotStart, type Obstacle, obstacle, onError, onErrorByHand, onSuccess, StepFacts } from "./StepFacts.ts"

// ---- messages --------------------------------------------------------------------------------------------------

/** Why a message cannot be sent (SPEC C11). */
const unsendable = (scope: ExecutionScope, message: Envelope): Obstacle | undefined => {
  const maxBytes = scope.maxBytes?.()
  const issue = Broker.unsendable(message, maxBytes)
  if (issue === undefined) return undefined
  if (!("bytes" in issue)) return obstacle("encode", issue.message)
  const { bytes } = issue
  return bytes > Broker.maxMessageBytes || maxBytes === undefined
    ? obstacle("message-size", `the message has ${bytes} of ${Broker.maxMessageBytes} bytes`)
    : obstacle("message-size", `message of ${bytes} bytes over the broker's limit of ${maxBytes}`)
}

/** The request of a remote step. */
export const buildRequest = (
  scope: ExecutionScope,
  { attempt, context, path, step }: InstructionOf<"BuildRequest">
): Facts => {
  const { execute, name, policies } = step
  const full = fullWith(scope.state, [execute.service])
  if (full !== undefined) return [didNotStart(scope, path, step, obstacle("related-services", full))]
  const payload = encodeWithContext(scope, context, execute.payload, execute.content)
  if (Result.isFailure(payload)) return [didNotStart(scope, path, step, payload.failure)]
  const at = now(scope)
  const { maxMessageLifetime, replyTimeout } = scope.schedule
  const wait = policies.timeout ?? replyTimeout
  // As long as the step waits for its reply, the request may run (SPEC C3).
  const notAfter = Math.ceil(at + Math.max(maxMessageLifetime, wait))
  const deadline = at + RetrySchedule.answerTime(step, scope.schedule)
  const until = keepUntil(scope, path, at)
  const message = {
    ...envelope(scope, path, "execute", execute, payload.success, notAfter, attempt),
    ...(until !== undefined && { keepUntil: until }),
    ...(execute.later === true && { later: true as const })
  }
  const refused = unsendable(scope, message)
  if (refused !== undefined) return [didNotStart(scope, path, step, refused)]
  return [{ _tag: "RequestSent", path, name, command: execute.command, message, deadline, at }]
}

/**
 * The latest time at which the execution can still turn back, or one whose transaction it belongs to (SPEC C16). Undefined where there
 * is no such time: nothing of this step would be undone then. Behind the pivot nothing is.
 */
const keepUntil = (scope: ExecutionScope, path: string, at: number): number | undefined => {
  if (scope.state.passed) return undefined
  const { deadline = endOf(scope, path, at), start } = scope.state
  const outer = RequestHeaders.keepUntil(start?.headers)
  const latest = Number.isFinite(deadline) ? Math.max(deadline, outer ?? deadline) : outer
  return latest === undefined ? undefined : Math.ceil(latest)
}

/** Without a deadline: the bounds of all steps from this one on, and of the votes. */
const endOf = ({ definition, schedule, state }: ExecutionScope, path: string, at: number): number =>
  at +
  TimeBounds.from(definition, path, schedule.replyTimeout) +
  (state.start?.transactional === true ? schedule.reserveTimeout : 0)

/** Asks whether a request whose reply never came has had its effect. */
export const buildProbe = (scope: ExecutionScope, { path, state, step }: InstructionOf<"BuildProbe">): Facts => {
  // Behind the pivot the latest message of the step is the one that nobody has answered.
  const attempt = attemptOf(state.request?.message.id ?? "")
  const message = envelope(scope, path, "probe", step.execute, undefined, lifetime(scope, state), attempt)
  return [{ _tag: "ProbeSent", path, command: step.execute.command, message, at: now(scope) }]
}

/** The compensation of a remote step. One that cannot be built or sent parks the step. */
export const buildCompensation = (scope: ExecutionScope, instruction: InstructionOf<"BuildCompensation">): Facts => {
  const { compensation, path, state } = instruction
  const at = now(scope)
  const content = compensationContent(scope, instruction)
  if (content === undefined) {
    return [{ _tag: "StepParked", path, reason: "its reply cannot be read, and nothing undoes it without", at }]
  }
  if (Result.isFailure(content)) {
    return [{ _tag: "StepParked", path, reason: "its compensation cannot be built", at }]
  }
  const message = {
    ...envelope(scope, path, "failure", compensation, content.success, lifetime(scope, state)),
    ...recordedUntil(state)
  }
  if (unsendable(scope, message) !== undefined) {
    return [{ _tag: "StepParked", path, reason: "its compensation cannot be sent", at }]
  }
  return [{ _tag: "CompensationSent", path, command: compensation.command, message, at }]
}

/**
 * The service has said itself that the step is done, so it has a record of it for as long as the request may run. One that has none says
 * so, and the step is not counted as undone. A person's word is no such proof.
 */
const recordedUntil = ({ reply, request }: StepState): Pick<Envelope, "recordedUntil"> =>
  request !== undefined && reply?.status === 200 && reply.byHand === undefined
    ? { recordedUntil: request.message.notAfter }
    : {}

/** Made from the decoded reply, which stands under the step's own name; without one, by `unknown`. */
const compensationContent = (
  scope: ExecutionScope,
  { compensation, context, state, step }: InstructionOf<"BuildCompensation">
): Result.Result<Json | undefined, Obstacle> | undefined => {
  const { content, payload, unknown } = compensation
  const reply = state.effect === "exists" ? JsonCodec.decode(step.execute.success, state.reply?.content) : undefined
  if (state.effect === "exists" && !JsonCodec.isCodecIssue(reply)) {
    return encodeWithContext(scope, context, payload, (view) => content(viewWithReply(view, step, reply)))
  }
  return unknown === undefined ? undefined : encodeWithContext(scope, context, payload, unknown)
}

/** Without handlers the result is the reply, and may already stand in the context. */
const viewWithReply = (view: SagaContext.View, step: Remote, reply: unknown): SagaContext.View =>
  step.onSuccess === undefined && step.onError === undefined && step.name in view
    ? view
    : overlay(view, step.name, reply)

/** SPEC C3: probes and compensations must be accepted for as long as the request that they follow. */
const lifetime = ({ state }: ExecutionScope, { request }: StepState): number =>
  state.start?.transactional === true && !state.passed ? state.notAfter : (request?.message.notAfter ?? state.notAfter)

const envelope = (
  scope: ExecutionScope,
  path: string,
  op: Op,
  { command, service }: { readonly command: string; readonly service: string },
  content: Json | undefined,
  notAfter: number,
  attempt?: number
): Envelope => {
  const { creation, passed, start, uuid } = scope.state
  const { user } = creation
  const headers = start?.headers
  const ambient = RequestHeaders.transactions(headers)
  const passedOn = RequestHeaders.passedOn(headers, user)
  const message: Envelope = {
    v: 1,
    id: messageId(uuid, path, op, attempt),
    op,
    saga: uuid,
    path,
    service,
    coordinator: scope.service,
    ...(content !== undefined && { content }),
    relatedServices: [],
    // Behind the pivot there is no transaction any more (SPEC C18).
    transactions: passed ? [] : start?.transactional === true ? [...ambient, uuid] : ambient,
    ...(user !== undefined && { user }),
    ...(passedOn !== undefined && { headers: passedOn }),
    notAfter
  }
  const { span, state, trace } = scope
  return trace === undefined ? message : { ...message, trace: trace.send(state, message, command, span) }
}

// ---- replies ---------------------------------------------------------------------------------------------------

export const handleReply = (
  scope: ExecutionScope,
  { context, path, state, step }: InstructionOf<"HandleReply">
): Effect.Effect<Facts> => {
  const content = state.reply?.content
  return Effect.mapEager(
    state.status === "running-on-success"
      ? handleSuccess(new StepFacts(scope, path, step, onSuccess), content, context)
      : handleError(
          new StepFacts(scope, path, step, state.effect === "unknown" ? onErrorByHand : onError),
          content,
          context
        ),
    (fact): Facts => [fact]
  )
}

/** Without a handler the reply is the result. */
const handleSuccess = (
  facts: StepFacts<Remote>,
  content: Json | undefined,
  context: SagaContext.SagaContext
): Effect.Effect<SagaEvent> => {
  const { execute, onSuccess } = facts.step
  const reply = JsonCodec.decode(execute.success, content)
  if (JsonCodec.isCodecIssue(reply)) return Effect.succeed(facts.rejected("decode", reply.message))
  return onSuccess === undefined
    ? Effect.succeed(facts.succeeded(reply, context))
    : runHandler(facts, context, (view) => onSuccess(reply, view))
}

/** Without a handler the refusal fails the step: it must not count as success (SPEC C5). */
const handleError = (
  facts: StepFacts<Remote>,
  content: Json | undefined,
  context: SagaContext.SagaContext
): Effect.Effect<SagaEvent> => {
  const { path, step } = facts
  const { execute, name, onError } = step
  const codec = execute.error
  const stored = content ?? null
  const error =
    codec === undefined ? new SagaResponseError({ status: 400, content: stored }) : JsonCodec.decode(codec, content)
  if (JsonCodec.isCodecIssue(error)) return Effect.succeed(facts.rejected("decode", error.message))
  if (onError !== undefined) return runHandler(facts, context, (view) => onError(error, view))
  const failure: SagaFailure =
    codec === undefined
      ? { _tag: "StepRefused", path, step: name, status: 400, content: stored }
      : { _tag: "StepError", path, step: name, error: stored }
  remember(failure, error)
  return Effect.succeed(facts.failedWith(failure))
}

const runHandler = (
  facts: StepFacts<Remote>,
  context: SagaContext.SagaContext,
  handler: (view: SagaContext.View) => Effect.Effect<unknown, unknown, any>
): Effect.Effect<SagaEvent> => {
  const { scope } = facts
  const view = contextView(scope.definition, context)
  return view instanceof SagaContextDecodeError
    ? Effect.succeed(facts.rejected("decode", view.issue))
    : Effect.map(Effect.exit(runCallback(scope, facts, "execute", () => handler(view))), (exit) =>
        Exit.isSuccess(exit) ? facts.succeeded(exit.value, context) : facts.failed(exit.cause)
      )
}
