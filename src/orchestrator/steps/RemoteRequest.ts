/** Builds the messages to other services: requests, probes, compensations. A message leaves only after it is stored. */
import { Result } from "effect"
import type { Remote } from "../../definition/SagaStep.ts"
import type * as SagaContext from "../../execution/rules/SagaContext.ts"
import type { StepState } from "../../execution/rules/StepTree.ts"
import * as Broker from "../../ports/Broker.ts"
import * as RequestHeaders from "../../ports/RequestHeaders.ts"
import { type Envelope, messageId, type Op } from "../../wire/Envelope.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import type { Json } from "../../wire/JsonLimits.ts"
import { type ExecutionScope, type Facts, type InstructionOf, now } from "./ExecutionScope.ts"
import { encodeWithContext, overlay } from "./StepCallback.ts"
import { didNotStart, type Obstacle, obstacle } from "./StepFacts.ts"

/** Why a message cannot be sent (SPEC C11). */
const unsendable = (message: Envelope): Obstacle | undefined => {
  const issue = Broker.unsendable(message)
  if (issue === undefined) return undefined
  return "bytes" in issue
    ? obstacle("message-size", `the message has ${issue.bytes} of ${Broker.maxMessageBytes} bytes`)
    : obstacle("encode", issue.message)
}

/** The request of a remote step. */
export const buildRequest = (scope: ExecutionScope, { context, path, step }: InstructionOf<"BuildRequest">): Facts => {
  const { execute, name, policies } = step
  const payload = encodeWithContext(scope, context, execute.payload, execute.content)
  if (Result.isFailure(payload)) return [didNotStart(scope, path, step, payload.failure)]
  const at = now(scope)
  const { maxMessageLifetime, replyTimeout } = scope.schedule
  const message = envelope(scope, path, "execute", execute.service, payload.success, at + maxMessageLifetime)
  const refused = unsendable(message)
  if (refused !== undefined) return [didNotStart(scope, path, step, refused)]
  const deadline = at + (policies.timeout ?? replyTimeout)
  return [{ _tag: "RequestSent", path, name, command: execute.command, message, deadline, at }]
}

/** Asks whether a request whose reply never came has had its effect. */
export const buildProbe = (scope: ExecutionScope, { path, state, step }: InstructionOf<"BuildProbe">): Facts => {
  const message = envelope(scope, path, "probe", step.execute.service, undefined, lifetime(scope, state))
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
  const message = envelope(scope, path, "failure", compensation.service, content.success, lifetime(scope, state))
  if (unsendable(message) !== undefined) {
    return [{ _tag: "StepParked", path, reason: "its compensation cannot be sent", at }]
  }
  return [{ _tag: "CompensationSent", path, command: compensation.command, message, at }]
}

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

/** Without `onSuccess` the result is the reply, and may already stand in the context. */
const viewWithReply = (view: SagaContext.View, step: Remote, reply: unknown): SagaContext.View =>
  step.onSuccess === undefined && step.name in view ? view : overlay(view, step.name, reply)

/** SPEC C3: probes and compensations must be accepted for as long as the request that they follow. */
const lifetime = ({ state }: ExecutionScope, { request }: StepState): number =>
  state.transactional ? state.notAfter : (request?.message.notAfter ?? state.notAfter)

const envelope = (
  scope: ExecutionScope,
  path: string,
  op: Op,
  service: string,
  content: Json | undefined,
  notAfter: number
): Envelope => {
  const { headers, transactional, user, uuid } = scope.state
  const ambient = RequestHeaders.transactions(headers)
  const passedOn = RequestHeaders.passedOn(headers)
  return {
    v: 1,
    id: messageId(uuid, path, op),
    op,
    saga: uuid,
    path,
    service,
    coordinator: scope.service,
    ...(content !== undefined && { content }),
    relatedServices: [],
    transactions: transactional ? [...ambient, uuid] : ambient,
    ...(user !== undefined && { user }),
    ...(passedOn !== undefined && { headers: passedOn }),
    notAfter
  }
}
