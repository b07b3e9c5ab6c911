/**
 * The code of the user in a participant: one handler for each command, and hooks for what the transaction asks. Here it is
 * looked up, called inside the transaction it belongs to, and its outcome turned into an answer.
 */
import { Cause, Effect, Exit, Ref } from "effect"
import type * as Command from "../definition/Command.ts"
import type * as Definition from "../definition/Participant.ts"
import * as Encoding from "../execution/Encoding.ts"
import { type Envelope, isName, reply } from "../execution/Envelope.ts"
import * as Broker from "../ports/Broker.ts"
import { FaultPoint } from "../ports/FaultPoint.ts"
import { ParticipantStoreError, type Unit } from "../ports/ParticipantStore.ts"
import { type Answer, type Incoming, refused } from "./ParticipantMachine.ts"
import * as RequestContext from "./RequestContext.ts"
import { enrolInto, SagaTransaction } from "./SagaTransaction.ts"

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

/** What a hook is told: which execution it is about. */
export interface Part {
  readonly uuid: string
}

/**
 * The participant's side of a two-phase commit. Each runs in one unit of work with the record of its outcome; one that
 * fails leaves nothing and is called again.
 */
export interface Hooks {
  /** Checks and locks what `commit` will need: after it, `commit` must be able to succeed. Failing is a no. */
  readonly reserve?: (part: Part) => Effect.Effect<void, any, any>
  /** Makes what was staged visible. */
  readonly commit?: (part: Part) => Effect.Effect<void, never, any>
  /** Throws away what was staged. */
  readonly reject?: (part: Part) => Effect.Effect<void, never, any>
}

/** The services that handlers, or hooks, need. */
export type ServicesOf<H> = {
  [Tag in keyof H]: H[Tag] extends (...args: Array<any>) => Effect.Effect<any, any, infer R> ? R : never
}[keyof H]

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
export const run = Effect.fnUntraced(function* (
  { contract, handlers }: Code,
  { command: name, envelope }: Incoming,
  unit: Unit,
  staging: boolean
): Effect.fn.Return<Handled | Failed, ParticipantStoreError> {
  const command = lookUp(contract.commands, name)
  const handler = lookUp(handlers, name)
  if (command === undefined || handler === undefined) return failed("UnknownCommand")
  if (command.effect === "staged" && !staging) return failed("StagedOutsideTransaction")
  const payload = Encoding.decode(command.payload, envelope.content)
  if (Encoding.isEncodingIssue(payload)) return failed("PayloadMalformed")
  const services = [contract.name]
  const handled = Effect.flatMap(
    within(envelope, services, () => handler(payload)),
    (value) => sendable(envelope, success(command, value, services))
  )
  const exit = yield* Effect.exit(unit.attempt(handled))
  if (Exit.isSuccess(exit)) {
    const { compensable, effect } = command
    return { _tag: "Handled", answer: exit.value, effect, open: effect === "immediate" && compensable !== false }
  }
  return { _tag: "Failed", answer: yield* failureOf(command, envelope, exit.cause, services) }
})

/**
 * Calls the code of the user inside its transaction, as a request: a saga that it runs is a part of the same transactions,
 * and its services take part too.
 */
const within = (
  { coordinator, headers = {}, id, path = "", saga, transactions, user }: Envelope,
  services: Array<string>,
  call: () => Effect.Effect<unknown, unknown, any>
): Effect.Effect<unknown, unknown> => {
  const request = Ref.makeUnsafe<Readonly<Record<string, string>>>({
    ...headers,
    ...(transactions.length > 0 && { transactions: transactions.join(",") })
  })
  const transaction: SagaTransaction = {
    uuid: saga,
    saga: coordinator,
    path,
    idempotencyKey: id,
    epoch: 0,
    user,
    headers,
    enrol: enrolInto(services)
  }
  // Its services are erased; see `Code`.
  const called = Effect.suspend(call) as Effect.Effect<unknown, unknown>
  return FaultPoint.around("callback", () =>
    called.pipe(
      Effect.ensuring(
        Effect.map(Ref.get(request), (headers) => void services.push(...RequestContext.relatedServices(headers)))
      ),
      RequestContext.provide({ headers: request, user }),
      Effect.provideService(SagaTransaction, transaction)
    )
  )
}

/** What the store has to say is not the answer of a handler: the unit is done again. */
export const storeError = (cause: Cause.Cause<unknown>): ParticipantStoreError | undefined =>
  cause.reasons.flatMap((reason) =>
    reason._tag === "Fail" && reason.error instanceof ParticipantStoreError ? [reason.error] : []
  )[0]

const success = (command: Command.Any, value: unknown, services: Array<string>): Answer | undefined => {
  const content = Encoding.encode(command.success, value)
  if (Encoding.isEncodingIssue(content)) return undefined
  return { status: 200, ...(content !== undefined && { content }), relatedServices: [...new Set(services)] }
}

/** What its receiver would not read is no answer (SPEC C11). The rest of a reply is of the message that was read. */
const sendable = (to: Envelope, answer: Answer | undefined): Effect.Effect<Answer, Unsendable> =>
  answer !== undefined &&
  answer.relatedServices?.every(isName) !== false &&
  Broker.unsendable(replyOf(to, answer)) === undefined
    ? Effect.succeed(answer)
    : Effect.fail(new Unsendable())

const failureOf = Effect.fnUntraced(function* (
  command: Command.Any,
  envelope: Envelope,
  cause: Cause.Cause<unknown>,
  services: Array<string>
): Effect.fn.Return<Answer, ParticipantStoreError> {
  const unavailable = storeError(cause)
  if (unavailable !== undefined) return yield* unavailable
  const reason = cause.reasons[0]
  if (reason?._tag === "Fail") {
    if (reason.error instanceof Unsendable) return refused("ReplyMalformed")
    const content = Encoding.encode(command.error, reason.error)
    if (!Encoding.isEncodingIssue(content)) {
      const answer: Answer = {
        status: 400,
        ...(content !== undefined && { content }),
        relatedServices: [...new Set(services)]
      }
      return yield* Effect.orElseSucceed(sendable(envelope, answer), () => refused("ReplyMalformed"))
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
