/**
 * Runs the handler of one command: looks it up, runs it inside the transaction of its message, and makes the reply from its
 * outcome. A result that the receiver could not read counts as a failure of the handler.
 */
import { Cause, Effect, Exit, Ref } from "effect"
import type * as Command from "../definition/Command.ts"
import type * as Contract from "../definition/ParticipantContract.ts"
import type { Hooks } from "../definition/TransactionHooks.ts"
import * as Broker from "../ports/Broker.ts"
import * as Metrics from "../ports/Metrics.ts"
import * as NowAndThen from "../ports/NowAndThen.ts"
import { ParticipantStoreError, type Unit } from "../ports/ParticipantStore.ts"
import { RequestContext } from "../ports/RequestContext.ts"
import * as RequestHeaders from "../ports/RequestHeaders.ts"
import { effectOf, enrolInto, make, runInside } from "../ports/SagaTransaction.ts"
import { type Envelope, isName, maxRelatedServices, reply } from "../wire/Envelope.ts"
import * as JsonCodec from "../wire/JsonCodec.ts"
import { check, type Json } from "../wire/JsonLimits.ts"
import { describe, oneLine } from "../wire/OneLine.ts"
import { defaultTimeout, type Handler, isAtLeastOnce, isLaterHandler } from "./CommandHandlers.ts"
import type { Incoming } from "./IncomingMessage.ts"
import { type ParticipantReply, refused } from "./ParticipantDecision.ts"

/**
 * A contract with the handlers and hooks of its author. The services that these require are erased: the layer of the
 * participant requires them, and its fibers have them.
 */
export interface ParticipantCode {
  readonly contract: Contract.Participant<string, Record<string, Command.Any>>
  readonly handlers: Readonly<Record<string, Handler>>
  readonly hooks: Hooks
  /** Of the transport, as `Broker.maxBytes`. */
  readonly maxBytes?: (() => number | undefined) | undefined
}

/** The unit of work must not keep the effects of the handler. */
export interface HandlerFailed {
  readonly _tag: "HandlerFailed"
  readonly reply: ParticipantReply
  /** The handler was not called, so it has no effects. */
  readonly uncalled: boolean
}

export interface HandlerSucceeded {
  readonly _tag: "HandlerSucceeded"
  readonly reply: ParticipantReply
  /** The exact body of the reply. */
  readonly body: string
  readonly effect: Command.EffectMode
  /** The effect counts already, and a compensation may come for it. */
  readonly open: boolean
}

/** The answer comes later. */
export interface HandlerAccepted {
  readonly _tag: "HandlerAccepted"
  readonly reply: ParticipantReply
  /** The exact body of the word that it is accepted. */
  readonly body: string
}

/** The handler runs outside of the unit of work. */
export interface HandlerBegins {
  readonly _tag: "HandlerBegins"
  readonly reply: ParticipantReply
}

/** The outcome of a handler does not fit into a reply that its receiver accepts (SPEC C11). */
class ReplyUnsendable {
  readonly _tag = "ReplyUnsendable"
  /** The place and what is expected there, without the value. */
  readonly issue: string
  readonly reason: "ReplyMalformed" | "ReplyTooLarge"
  constructor(issue: string, reason: "ReplyMalformed" | "ReplyTooLarge" = "ReplyMalformed") {
    this.issue = issue
    this.reason = reason
  }
}

/** The handler cannot be called. */
interface Uncallable {
  readonly _tag: "Uncallable"
  readonly reason: string
  readonly issue: string
}

const uncallable = (reason: string, issue: string): Uncallable => ({ _tag: "Uncallable", reason, issue })

/**
 * The answer 500 to a command that its handler does not have, cannot read or has answered with what cannot be sent. Its sender gets one
 * word. The log of the service says the rest, for each command and word once a minute: all messages of a release are alike.
 */
const refusal = (
  { path = "", saga, service }: Envelope,
  command: string | undefined,
  { issue, reason }: Pick<Uncallable, "issue" | "reason">
): Effect.Effect<ParticipantReply> => {
  const said = { service, command, uuid: saga, path, reason, issue: oneLine(issue) }
  const line = Effect.logWarning("A command is answered 500", said)
  return Effect.as(NowAndThen.write(`${service} ${command} ${reason}`, line), refused(reason))
}

const uncalled = (envelope: Envelope, command: string | undefined, why: Uncallable): Effect.Effect<HandlerFailed> =>
  Effect.map(refusal(envelope, command, why), (reply) => ({ _tag: "HandlerFailed", reply, uncalled: true }))

const lookUp = <A>(from: Readonly<Record<string, A>>, name: string | undefined): A | undefined =>
  name !== undefined && Object.hasOwn(from, name) ? from[name] : undefined

/** `staging`: the message belongs to a transaction, so a staged effect is possible. */
export const runHandler = (
  { contract, handlers, maxBytes }: ParticipantCode,
  { command: name, envelope }: Incoming,
  unit: Unit,
  staging: boolean
): Effect.Effect<HandlerSucceeded | HandlerAccepted | HandlerBegins | HandlerFailed, ParticipantStoreError> => {
  const called = callOf({ contract, handlers }, { command: name, envelope })
  if (called._tag === "Uncallable") return uncalled(envelope, name, called)
  const { command, handler, payload } = called
  if (command.effect === "staged" && !staging) return uncalled(envelope, name, outsideTransaction)
  if (typeof handler === "function")
    return respond({ command, envelope, run: unit.run, limit: maxBytes?.() }, () => handler(payload))
  if (isAtLeastOnce(handler)) return Effect.succeed({ _tag: "HandlerBegins", reply: { status: 202 } })
  // A compensation is over when it is answered.
  if (envelope.op !== "execute") return uncalled(envelope, name, answersLater)
  const request = requestOf(contract.name, envelope, undefined)
  const reply: ParticipantReply = { status: 202 }
  const accepting = runInRequest(envelope, command.tag, request, () => handler.accept(payload, envelope.id))
  return Effect.matchCauseEffect(unit.run(accepting), {
    onSuccess: () =>
      Effect.succeed({ _tag: "HandlerAccepted", reply, body: replyMessage(envelope, reply).body } as const),
    onFailure: (cause) => handlerFailed(command, envelope, cause, request)
  })
}

const outsideTransaction = uncallable(
  "StagedOutsideTransaction",
  "the command stages its effect, and its message is of no transaction"
)
const answersLater = uncallable("AnswersLater", "a compensation is answered at once")

/** The handler of a message and what it gets; or why it cannot be called. */
const callOf = (
  { contract, handlers }: Pick<ParticipantCode, "contract" | "handlers">,
  { command: name, envelope }: Pick<Incoming, "command" | "envelope">
) => {
  const command = lookUp(contract.commands, name)
  const handler = lookUp(handlers, name)
  if (command === undefined || handler === undefined)
    return uncallable("UnknownCommand", "the contract of the service has no such command")
  const payload = JsonCodec.decode(command.payload, envelope.content)
  return JsonCodec.isCodecIssue(payload)
    ? uncallable("PayloadMalformed", payload.message)
    : { _tag: "Call" as const, command, handler, payload }
}

/**
 * Runs a handler outside of a unit of work. Undefined: nobody knows whether it has an effect. It has died, its time is over, its result
 * cannot be sent, or the release that runs has no such handler any more.
 */
export const runAlone = Effect.fnUntraced(function* (
  code: ParticipantCode,
  message: Pick<Incoming, "command" | "envelope">
): Effect.fn.Return<HandlerSucceeded | HandlerFailed | undefined, ParticipantStoreError> {
  const { envelope } = message
  const called = callOf(code, message)
  if (called._tag === "Uncallable" || typeof called.handler === "function" || !isAtLeastOnce(called.handler)) {
    const why = called._tag === "Uncallable" ? { reason: called.reason, issue: called.issue } : {}
    yield* Effect.logError("A message has begun whose handler is not there any more", {
      command: message.command,
      ...why
    })
    return undefined
  }
  const { command, handler, payload } = called
  const run: Unit["attempt"] = (work) => work
  const place = { service: code.contract.name, command: command.tag }
  const ran = yield* respond({ command, envelope, run, limit: code.maxBytes?.() }, () =>
    handler.handle(payload, envelope.id)
  ).pipe(Effect.timeoutOption(handler.timeout ?? defaultTimeout))
  if (ran._tag === "Some") return ran.value.reply.status === 500 ? undefined : ran.value
  yield* Effect.logWarning("A handler without a transaction has no more time", { id: envelope.id, ...place })
  Metrics.unitTimeouts.update(yield* Effect.context<never>(), 1, place.service, place.command)
  return undefined
})

/** The code whose outcome is the answer to a message. `run`: of its unit. `limit`: of the transport, in bytes. */
interface Answering {
  readonly command: Command.Any
  readonly envelope: Envelope
  readonly run: Unit["attempt"]
  readonly limit: number | undefined
}

/** Runs the code, and makes the answer from its outcome. */
export const respond = (
  { command, envelope, limit, run }: Answering,
  code: () => Effect.Effect<unknown, unknown, any>
): Effect.Effect<HandlerSucceeded | HandlerFailed, ParticipantStoreError> => {
  const request = requestOf(envelope.service, envelope, limit)
  const handled = Effect.flatMap(runInRequest(envelope, command.tag, request, code), (value) =>
    succeeded(command, envelope, value, request)
  )
  return Effect.matchCauseEffect(run(handled), {
    onSuccess: Effect.succeed<HandlerSucceeded | HandlerFailed>,
    onFailure: (cause) => handlerFailed(command, envelope, cause, request)
  })
}

/**
 * Runs `cancelled` for a message that was accepted. The code that cannot run any more fails like the code that dies: its command or
 * its payload may be of another release.
 */
export const runCancelled = (
  { contract, handlers }: Pick<ParticipantCode, "contract" | "handlers">,
  { command: name, envelope }: Pick<Incoming, "command" | "envelope">,
  unit: Unit
): Effect.Effect<void, unknown> => {
  const command = lookUp(contract.commands, name)
  const handler = lookUp(handlers, name)
  if (command === undefined || handler === undefined || typeof handler === "function" || !isLaterHandler(handler))
    return Effect.die(new Error(`${contract.name} has no code to cancel ${name}`))
  const payload = JsonCodec.decode(command.payload, envelope.content)
  if (JsonCodec.isCodecIssue(payload)) return Effect.die(new Error(`the accepted payload of ${name} cannot be read`))
  const request = requestOf(contract.name, envelope, undefined)
  // An operation of its own, so a key of its own.
  const to = { ...envelope, id: `${envelope.id}:cancelled` }
  return unit.run(Effect.asVoid(runInRequest(to, command.tag, request, () => handler.cancelled(payload, envelope.id))))
}

const handlerFailed = (
  command: Command.Any,
  envelope: Envelope,
  cause: Cause.Cause<unknown>,
  request: HandlerRequest
): Effect.Effect<HandlerFailed, ParticipantStoreError> =>
  Effect.map(failureReply(command, envelope, cause, request), (reply) => ({
    _tag: "HandlerFailed",
    reply,
    uncalled: false
  }))

/** The request that a handler serves. Other services can join it: by `enrol`, or as participants of a saga that it runs. */
interface HandlerRequest {
  /** A saga that runs inside the request writes `related_services` here. */
  readonly headers: Ref.Ref<Readonly<Record<string, string>>>
  /** The own service, and those given to `enrol`. */
  readonly services: Array<string>
  /** The largest reply that the transport takes, in bytes, as far as it knows. */
  readonly limit: number | undefined
}

const requestOf = (service: string, envelope: Envelope, limit: number | undefined): HandlerRequest => ({
  limit,
  headers: Ref.makeUnsafe(
    RequestHeaders.inTransactions(envelope.headers ?? noHeaders, envelope.transactions, envelope.keepUntil)
  ),
  services: [service]
})

const noHeaders: Readonly<Record<string, string>> = {}

/** The services that have taken part so far. */
const servicesOf = ({ headers, services }: HandlerRequest): ReadonlyArray<string> => {
  const related = RequestHeaders.relatedServices(Ref.getUnsafe(headers))
  return related.length + services.length === 1 ? services : [...new Set([...services, ...related])]
}

/**
 * Runs the handler inside its transaction and its request. A saga that the handler runs belongs to the same transactions.
 */
const runInRequest = (
  { coordinator, headers, id, path = "", saga, service, user }: Envelope,
  command: string,
  request: HandlerRequest,
  handler: () => Effect.Effect<unknown, unknown, any>
): Effect.Effect<unknown, unknown> => {
  const enrol = enrolInto(request.services)
  const transaction = make({ uuid: saga, saga: coordinator, path, idempotencyKey: id, user, headers, enrol })
  // A message says the path of its step; the name of its saga and of the step only their program knows.
  const place = { uuid: saga, step: path, service, command }
  return runInside(transaction, () =>
    Effect.suspend(() => effectOf(handler)).pipe(
      Effect.provideService(RequestContext, { headers: request.headers, user }),
      Effect.annotateLogs(place)
    )
  )
}

/** A failure of the store is no outcome of a handler: the unit of work fails with it, and is repeated. */
export const storeErrorIn = (cause: Cause.Cause<unknown>): ParticipantStoreError | undefined =>
  cause.reasons.flatMap((reason) =>
    reason._tag === "Fail" && reason.error instanceof ParticipantStoreError ? [reason.error] : []
  )[0]

const succeeded = (
  command: Command.Any,
  envelope: Envelope,
  value: unknown,
  request: HandlerRequest
): Effect.Effect<HandlerSucceeded, ReplyUnsendable> => {
  const content = JsonCodec.encode(command.success, value)
  if (JsonCodec.isCodecIssue(content)) return Effect.fail(new ReplyUnsendable(content.message))
  const { compensable, effect } = command
  return Effect.map(sendable(envelope, replyWith(200, content, request), request), ({ body, reply }) => ({
    _tag: "HandlerSucceeded",
    reply,
    body,
    effect,
    open: effect === "immediate" && compensable !== false
  }))
}

const replyWith = (status: 200 | 400, content: Json | undefined, request: HandlerRequest): ParticipantReply => {
  const relatedServices = servicesOf(request)
  return content === undefined ? { status, relatedServices } : { status, content, relatedServices }
}

/** Room for the parts that a transport adds to a body and its topic, in bytes: a namespace, its own fields. */
const besideBytes = 128

const tooManyServices = `it names more than ${maxRelatedServices} related services`

/** Checks the parts that a handler has brought. The others come from the message, which was checked when it was read. */
const sendable = (
  to: Envelope,
  reply: ParticipantReply,
  { limit }: HandlerRequest
): Exit.Exit<{ readonly reply: ParticipantReply; readonly body: string }, ReplyUnsendable> => {
  const { content, relatedServices = [] } = reply
  if (relatedServices.length > maxRelatedServices) return Exit.fail(new ReplyUnsendable(tooManyServices))
  if (!relatedServices.every(isName))
    return Exit.fail(new ReplyUnsendable("a related service has no name that can be sent"))
  // In an array, because the content is one level deeper in the reply.
  const size = content === undefined ? 0 : check([content])
  if (typeof size !== "number") return Exit.fail(new ReplyUnsendable(size.message.replace("$[0]", "$")))
  const { address, body } = replyMessage(to, reply)
  const isOverLimit =
    limit !== undefined && Buffer.byteLength(body) + Broker.topic(address).length + besideBytes > limit
  if (!isOverLimit && Broker.sizeOf(body) <= Broker.maxMessageBytes) return Exit.succeed({ reply, body })
  const most = Math.min(limit ?? Broker.maxMessageBytes, Broker.maxMessageBytes)
  return Exit.fail(new ReplyUnsendable(`it has ${Buffer.byteLength(body)} of ${most} bytes`, "ReplyTooLarge"))
}

const failureReply = Effect.fnUntraced(function* (
  command: Command.Any,
  envelope: Envelope,
  cause: Cause.Cause<unknown>,
  request: HandlerRequest
): Effect.fn.Return<ParticipantReply, ParticipantStoreError> {
  const unavailable = storeErrorIn(cause)
  if (unavailable !== undefined) return yield* unavailable
  const reason = cause.reasons[0]
  if (reason?._tag === "Fail") {
    if (reason.error instanceof ReplyUnsendable) return yield* refusal(envelope, command.tag, reason.error)
    const content = JsonCodec.encode(command.error, reason.error)
    if (JsonCodec.isCodecIssue(content)) {
      // Not the error itself: it may be a payload (SPEC C12), or a value that a logger cannot read.
      const said = { command: command.tag, error: describe(reason.error), issue: content.message }
      yield* Effect.logError("A command handler failed with an error that its contract cannot send", said)
      return refused("ReplyMalformed")
    }
    const sent = sendable(envelope, replyWith(400, content, request), request)
    return yield* Effect.matchEffect(sent, {
      onSuccess: ({ reply }) => Effect.succeed(reply),
      onFailure: (unsent) => refusal(envelope, command.tag, unsent)
    })
  }
  if (Cause.hasInterruptsOnly(cause)) return refused("Interrupted")
  yield* Effect.logError("A command handler died", { command: command.tag }, cause)
  return refused("Died")
})

/** The reply as it is published and recorded: every copy has the same bytes. */
export const replyMessage = (to: Envelope, answer: ParticipantReply): Broker.Message =>
  Broker.toMessage(reply(to, { ...answer, relatedServices: answer.relatedServices ?? [to.service] }))
