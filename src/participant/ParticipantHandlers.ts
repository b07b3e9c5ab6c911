/**
 * The code of the user in a participant: one handler for each command, and hooks for what the transaction asks. Here it is
 * looked up, called inside the transaction it belongs to, and its outcome turned into an answer.
 */
import { Cause, Effect, Exit, Ref } from "effect"
import type * as Command from "../definition/Command.ts"
import type * as Definition from "../definition/ParticipantContract.ts"
import type { Hooks } from "../definition/TransactionHooks.ts"
import * as Broker from "../ports/Broker.ts"
import { ParticipantStoreError, type Unit } from "../ports/ParticipantStore.ts"
import * as RequestContext from "../ports/RequestContext.ts"
import { enrolInto, make, runInside } from "../ports/SagaTransaction.ts"
import { type Envelope, isName, reply } from "../wire/Envelope.ts"
import * as JsonCodec from "../wire/JsonCodec.ts"
import { check, type Json } from "../wire/JsonLimits.ts"
import { type Answer, type Incoming, refused } from "./ParticipantDecision.ts"

/** One handler for each command; its payload, result and error are those of the contract. */
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

/** A contract with its code. The services of the code are erased; the layer requires them and its fibers have them. */
export interface Code {
  readonly contract: Definition.Participant<string, Record<string, Command.Any>>
  readonly handlers: Readonly<Record<string, (payload: any) => Effect.Effect<unknown, unknown, any>>>
  readonly hooks: Hooks
}

/** A handler that did not succeed: its effects are gone. */
export interface Failed {
  readonly _tag: "Failed"
  readonly answer: Answer
}

export interface Handled {
  readonly _tag: "Handled"
  readonly answer: Answer
  /** The reply that says so. */
  readonly body: string
  readonly effect: Command.EffectMode
  /** A compensation may come. */
  readonly open: boolean
}

/** What its result was cannot be sent: as if it had failed. */
class Unsendable {
  readonly _tag = "Unsendable"
}

const failed = (reason: string): Failed => ({ _tag: "Failed", answer: refused(reason) })

const lookUp = <A>(from: Readonly<Record<string, A>>, name: string | undefined): A | undefined =>
  name !== undefined && Object.hasOwn(from, name) ? from[name] : undefined

/** `staging`: there is a transaction that can keep an effect back. */
export const run = (
  { contract, handlers }: Code,
  { command: name, envelope }: Incoming,
  unit: Unit,
  staging: boolean
): Effect.Effect<Handled | Failed, ParticipantStoreError> => {
  const command = lookUp(contract.commands, name)
  const handler = lookUp(handlers, name)
  if (command === undefined || handler === undefined) return Effect.succeed(failed("UnknownCommand"))
  if (command.effect === "staged" && !staging) return Effect.succeed(failed("StagedOutsideTransaction"))
  const payload = JsonCodec.decode(command.payload, envelope.content)
  if (JsonCodec.isCodecIssue(payload)) return Effect.succeed(failed("PayloadMalformed"))
  const request = requestOf(contract.name, envelope)
  const handled = Effect.flatMap(
    callHandler(envelope, request, () => handler(payload)),
    (value) => handledWith(command, envelope, value, request)
  )
  return Effect.matchCauseEffect(unit.attempt(handled), {
    onSuccess: Effect.succeed<Handled | Failed>,
    onFailure: (cause) =>
      Effect.map(failureOf(command, envelope, cause, request), (answer) => ({ _tag: "Failed", answer }))
  })
}

/** What a handler is called with: a saga that it runs says there, or by name, which services it has brought in. */
interface Request {
  readonly headers: Ref.Ref<Readonly<Record<string, string>>>
  /** Those that take part by name; the first is the own one. */
  readonly services: Array<string>
}

const requestOf = (service: string, { headers = noHeaders, transactions }: Envelope): Request => ({
  headers: Ref.makeUnsafe<Readonly<Record<string, string>>>(
    transactions.length === 0 ? headers : { ...headers, transactions: transactions.join(",") }
  ),
  services: [service]
})

const noHeaders: Readonly<Record<string, string>> = {}

/** The services that have taken part so far. */
const servicesOf = ({ headers, services }: Request): ReadonlyArray<string> => {
  const related = RequestContext.relatedServices(Ref.getUnsafe(headers))
  return related.length + services.length === 1 ? services : [...new Set([...services, ...related])]
}

/**
 * Calls the code of the user inside its transaction, as a request: a saga that it runs is a part of the same transactions,
 * and its services take part too.
 */
const callHandler = (
  { coordinator, headers, id, path, saga, user }: Envelope,
  request: Request,
  handler: () => Effect.Effect<unknown, unknown, any>
): Effect.Effect<unknown, unknown> => {
  const enrol = enrolInto(request.services)
  const transaction = make({ uuid: saga, saga: coordinator, path, idempotencyKey: id, user, headers, enrol })
  return runInside(transaction, () =>
    Effect.provideService(Effect.suspend(handler), RequestContext.RequestContext, { headers: request.headers, user })
  )
}

/** What the store has to say is not the answer of a handler: the unit is done again. */
export const storeError = (cause: Cause.Cause<unknown>): ParticipantStoreError | undefined =>
  cause.reasons.flatMap((reason) =>
    reason._tag === "Fail" && reason.error instanceof ParticipantStoreError ? [reason.error] : []
  )[0]

/** What its receiver would not read is no answer (SPEC C11). */
const handledWith = (
  command: Command.Any,
  envelope: Envelope,
  value: unknown,
  request: Request
): Effect.Effect<Handled, Unsendable> => {
  const content = JsonCodec.encode(command.success, value)
  if (JsonCodec.isCodecIssue(content)) return Effect.fail(new Unsendable())
  const { compensable, effect } = command
  return Effect.map(sendable(envelope, answerOf(200, content, request)), ({ answer, body }) => ({
    _tag: "Handled",
    answer,
    body,
    effect,
    open: effect === "immediate" && compensable !== false
  }))
}

const answerOf = (status: 200 | 400, content: Json | undefined, request: Request): Answer => {
  const relatedServices = servicesOf(request)
  return content === undefined ? { status, relatedServices } : { status, content, relatedServices }
}

/** The rest of a reply is of the message that was read. */
const sendable = (
  to: Envelope,
  answer: Answer
): Exit.Exit<{ readonly answer: Answer; readonly body: string }, Unsendable> => {
  const { content, relatedServices = [] } = answer
  // As deep as it is in the reply.
  if (!relatedServices.every(isName) || (content !== undefined && typeof check([content]) !== "number"))
    return Exit.fail(new Unsendable())
  const { body } = messageOf(to, answer)
  return Broker.sizeOf(body) > Broker.maxMessageBytes ? Exit.fail(new Unsendable()) : Exit.succeed({ answer, body })
}

const failureOf = Effect.fnUntraced(function* (
  command: Command.Any,
  envelope: Envelope,
  cause: Cause.Cause<unknown>,
  request: Request
): Effect.fn.Return<Answer, ParticipantStoreError> {
  const unavailable = storeError(cause)
  if (unavailable !== undefined) return yield* unavailable
  const reason = cause.reasons[0]
  if (reason?._tag === "Fail") {
    if (reason.error instanceof Unsendable) return refused("ReplyMalformed")
    const content = JsonCodec.encode(command.error, reason.error)
    if (!JsonCodec.isCodecIssue(content)) {
      const sent = sendable(envelope, answerOf(400, content, request))
      return Exit.isSuccess(sent) ? sent.value.answer : refused("ReplyMalformed")
    }
  }
  if (Cause.hasInterruptsOnly(cause)) return refused("Interrupted")
  yield* Effect.logError("A command handler died", { command: command.tag }, cause)
  return refused("Died")
})

/** The reply as it is published, and recorded: every copy has the same bytes. */
export const messageOf = (to: Envelope, answer: Answer): Broker.Message => Broker.toMessage(replyOf(to, answer))

const replyOf = (to: Envelope, answer: Answer): Envelope =>
  reply(to, { ...answer, relatedServices: answer.relatedServices ?? [to.service] })
