/**
 * Runs the handler of one command: looks it up, runs it inside the transaction of its message, and makes the reply from its
 * outcome. A result that the receiver could not read counts as a failure of the handler.
 */
import { Cause, Effect, Exit, Ref } from "effect"
import type * as Command from "../definition/Command.ts"
import type * as Contract from "../definition/ParticipantContract.ts"
import type { Hooks } from "../definition/TransactionHooks.ts"
import * as Broker from "../ports/Broker.ts"
import { ParticipantStoreError, type Unit } from "../ports/ParticipantStore.ts"
import { RequestContext } from "../ports/RequestContext.ts"
import * as RequestHeaders from "../ports/RequestHeaders.ts"
import { enrolInto, make, runInside } from "../ports/SagaTransaction.ts"
import { type Envelope, isName, maxRelatedServices, reply } from "../wire/Envelope.ts"
import * as JsonCodec from "../wire/JsonCodec.ts"
import { check, type Json } from "../wire/JsonLimits.ts"
import { describe } from "../wire/OneLine.ts"
import type { Incoming } from "./IncomingMessage.ts"
import { type ParticipantReply, refused } from "./ParticipantDecision.ts"

/**
 * One handler for each command of a contract. It gets the payload, and gives the result or fails with the error that the
 * contract declares. Inside it `SagaTransaction` tells the execution and the idempotency key.
 */
export type Handlers<Commands extends Record<string, Command.Any>> = {
  readonly [Tag in keyof Commands]: Commands[Tag] extends Command.Command<
    any,
    any,
    infer Payload,
    infer Success,
    infer Error
  >
    ? (payload: Payload) => Effect.Effect<Success, Error, any>
    : never
}

/**
 * A contract with the handlers and hooks of its author. The services that these require are erased: the layer of the
 * participant requires them, and its fibers have them.
 */
export interface ParticipantCode {
  readonly contract: Contract.Participant<string, Record<string, Command.Any>>
  readonly handlers: Readonly<Record<string, (payload: any) => Effect.Effect<unknown, unknown, any>>>
  readonly hooks: Hooks
  /** Of the transport, as `Broker.maxBytes`. */
  readonly maxBytes?: (() => number | undefined) | undefined
}

/** The effects of the handler are gone. */
export interface HandlerFailed {
  readonly _tag: "HandlerFailed"
  readonly reply: ParticipantReply
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

/** The outcome of a handler does not fit into a reply that its receiver accepts (SPEC C11). */
class ReplyUnsendable {
  readonly _tag = "ReplyUnsendable"
  readonly reason: "ReplyMalformed" | "ReplyTooLarge"
  constructor(reason: "ReplyMalformed" | "ReplyTooLarge" = "ReplyMalformed") {
    this.reason = reason
  }
}

const failed = (reason: string): HandlerFailed => ({ _tag: "HandlerFailed", reply: refused(reason) })

const lookUp = <A>(from: Readonly<Record<string, A>>, name: string | undefined): A | undefined =>
  name !== undefined && Object.hasOwn(from, name) ? from[name] : undefined

/** `staging`: the message belongs to a transaction, so a staged effect is possible. */
export const runHandler = (
  { contract, handlers, maxBytes }: ParticipantCode,
  { command: name, envelope }: Incoming,
  unit: Unit,
  staging: boolean
): Effect.Effect<HandlerSucceeded | HandlerFailed, ParticipantStoreError> => {
  const command = lookUp(contract.commands, name)
  const handler = lookUp(handlers, name)
  if (command === undefined || handler === undefined) return Effect.succeed(failed("UnknownCommand"))
  if (command.effect === "staged" && !staging) return Effect.succeed(failed("StagedOutsideTransaction"))
  const payload = JsonCodec.decode(command.payload, envelope.content)
  if (JsonCodec.isCodecIssue(payload)) return Effect.succeed(failed("PayloadMalformed"))
  const request = requestOf(contract.name, envelope, maxBytes?.())
  const handled = Effect.flatMap(
    runInRequest(envelope, request, () => handler(payload)),
    (value) => succeeded(command, envelope, value, request)
  )
  return Effect.matchCauseEffect(unit.attempt(handled), {
    onSuccess: Effect.succeed<HandlerSucceeded | HandlerFailed>,
    onFailure: (cause) =>
      Effect.map(failureReply(command, envelope, cause, request), (reply) => ({ _tag: "HandlerFailed", reply }))
  })
}

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
  { coordinator, headers, id, path, saga, user }: Envelope,
  request: HandlerRequest,
  handler: () => Effect.Effect<unknown, unknown, any>
): Effect.Effect<unknown, unknown> => {
  const enrol = enrolInto(request.services)
  const transaction = make({ uuid: saga, saga: coordinator, path, idempotencyKey: id, user, headers, enrol })
  return runInside(transaction, () =>
    Effect.provideService(Effect.suspend(handler), RequestContext, { headers: request.headers, user })
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
  if (JsonCodec.isCodecIssue(content)) return Effect.fail(new ReplyUnsendable())
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

/** Checks the parts that a handler has brought. The others come from the message, which was checked when it was read. */
const sendable = (
  to: Envelope,
  reply: ParticipantReply,
  { limit }: HandlerRequest
): Exit.Exit<{ readonly reply: ParticipantReply; readonly body: string }, ReplyUnsendable> => {
  const { content, relatedServices = [] } = reply
  if (relatedServices.length > maxRelatedServices) return Exit.fail(new ReplyUnsendable())
  // In an array, because the content is one level deeper in the reply.
  if (!relatedServices.every(isName) || (content !== undefined && typeof check([content]) !== "number"))
    return Exit.fail(new ReplyUnsendable())
  const { address, body } = replyMessage(to, reply)
  const isOverLimit =
    limit !== undefined && Buffer.byteLength(body) + Broker.topic(address).length + besideBytes > limit
  return isOverLimit || Broker.sizeOf(body) > Broker.maxMessageBytes
    ? Exit.fail(new ReplyUnsendable("ReplyTooLarge"))
    : Exit.succeed({ reply, body })
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
    if (reason.error instanceof ReplyUnsendable) return refused(reason.error.reason)
    const content = JsonCodec.encode(command.error, reason.error)
    if (JsonCodec.isCodecIssue(content)) {
      // Not the error itself: it may be a payload (SPEC C12), or a value that a logger cannot read.
      const said = { command: command.tag, error: describe(reason.error), issue: content.message }
      yield* Effect.logError("A command handler failed with an error that its contract cannot send", said)
      return refused("ReplyMalformed")
    }
    const sent = sendable(envelope, replyWith(400, content, request), request)
    return Exit.match(sent, {
      onSuccess: ({ reply }) => reply,
      onFailure: (unsent) => refused(unsent.reasons.some(isTooLarge) ? "ReplyTooLarge" : "ReplyMalformed")
    })
  }
  if (Cause.hasInterruptsOnly(cause)) return refused("Interrupted")
  yield* Effect.logError("A command handler died", { command: command.tag }, cause)
  return refused("Died")
})

const isTooLarge = (reason: Cause.Reason<ReplyUnsendable>): boolean =>
  reason._tag === "Fail" && reason.error.reason === "ReplyTooLarge"

/** The reply as it is published and recorded: every copy has the same bytes. */
export const replyMessage = (to: Envelope, answer: ParticipantReply): Broker.Message =>
  Broker.toMessage(reply(to, { ...answer, relatedServices: answer.relatedServices ?? [to.service] }))
