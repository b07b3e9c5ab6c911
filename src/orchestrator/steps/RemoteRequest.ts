/** Builds what goes out to other services: requests, probes, compensations. They leave only after they are stored. */
import type { Definition, Remote } from "../../definition/SagaStep.ts"
import type * as SagaContext from "../../execution/rules/SagaContext.ts"
import type { StepState } from "../../execution/rules/StepTree.ts"
import * as Broker from "../../ports/Broker.ts"
import * as RequestContext from "../../ports/RequestContext.ts"
import { type Envelope, messageId, type Op } from "../../wire/Envelope.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import type { Json } from "../../wire/JsonLimits.ts"
import {
  type At,
  type Called,
  didNotStart,
  type Facts,
  now,
  obstacle,
  overlay,
  type Run,
  withView
} from "./StepCallback.ts"

/** A message may not be larger than this many bytes (SPEC C11). */
export const maxMessageSize = Broker.maxMessageBytes

/** Why a message cannot be sent. */
const unreadable = (message: Envelope): ReturnType<typeof obstacle> | undefined => {
  const issue = Broker.unsendable(message)
  if (issue === undefined) return undefined
  return "bytes" in issue
    ? obstacle("message-size", `the message has ${issue.bytes} of ${maxMessageSize} bytes`)
    : obstacle("encode", issue.message)
}

/** The request of a remote step. */
export const buildRequest = (run: Run, { context, path, step }: At<"BuildRequest">): Facts => {
  const { execute, name, policies } = step
  const built = withView(run.definition, context, (view) => JsonCodec.encode(execute.payload, execute.content(view)))
  if (built._tag === "Failed") return [didNotStart(run, path, name, "remote", built.obstacle)]
  if (JsonCodec.isCodecIssue(built.value)) {
    return [didNotStart(run, path, name, "remote", obstacle("encode", built.value.message))]
  }
  const at = now(run)
  const message = envelope(run, path, "execute", execute.service, built.value, at + run.settings.maxMessageLifetime)
  const refused = unreadable(message)
  if (refused !== undefined) return [didNotStart(run, path, name, "remote", refused)]
  const deadline = at + (policies.timeout ?? run.settings.replyTimeout)
  return [{ _tag: "RequestSent", path, name, command: execute.command, message, deadline, at }]
}

/** Asks whether a request whose reply was never seen has an effect. */
export const buildProbe = (run: Run, { path, state, step }: At<"BuildProbe">): Facts => {
  const message = envelope(run, path, "probe", step.execute.service, undefined, lifetime(run, state))
  return [{ _tag: "ProbeSent", path, command: step.execute.command, message, at: now(run) }]
}

/** The compensation of a remote step: from the reply it undoes, or without one. */
export const buildCompensation = (run: Run, instruction: At<"BuildCompensation">): Facts => {
  const { compensation, path, state } = instruction
  const at = now(run)
  const built = contentOf(run.definition, instruction)
  if (built === undefined) {
    return [{ _tag: "StepParked", path, reason: "its reply cannot be read, and nothing undoes it without", at }]
  }
  if (built._tag === "Failed" || JsonCodec.isCodecIssue(built.value)) {
    return [{ _tag: "StepParked", path, reason: "its compensation cannot be built", at }]
  }
  const message = envelope(run, path, "failure", compensation.service, built.value, lifetime(run, state))
  if (unreadable(message) !== undefined) {
    return [{ _tag: "StepParked", path, reason: "its compensation cannot be sent", at }]
  }
  return [{ _tag: "CompensationSent", path, command: compensation.command, message, at }]
}

/** From the decoded reply, which stands under the step's own name, else by `unknown`. */
const contentOf = (
  definition: Definition,
  { compensation, context, state, step }: At<"BuildCompensation">
): Called<Json | undefined | JsonCodec.CodecIssue> | undefined => {
  const encode = (content: unknown) => JsonCodec.encode(compensation.payload, content)
  const reply = state.effect === "exists" ? JsonCodec.decode(step.execute.success, state.reply?.content) : undefined
  const { unknown } = compensation
  if (state.effect === "exists" && !JsonCodec.isCodecIssue(reply)) {
    return withView(definition, context, (view) => encode(compensation.content(replied(view, step, reply))))
  }
  return unknown === undefined ? undefined : withView(definition, context, (view) => encode(unknown(view)))
}

/** Without `onSuccess` the result is the reply, and may stand there already. */
const replied = (view: SagaContext.View, step: Remote, reply: unknown): SagaContext.View =>
  step.onSuccess === undefined && step.name in view ? view : overlay(view, step.name, reply)

/** SPEC C3: what is sent later must be understood as long as the request it follows. */
const lifetime = ({ state }: Run, { request }: StepState): number =>
  state.transactional ? state.notAfter : (request?.message.notAfter ?? state.notAfter)

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
