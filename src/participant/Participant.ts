/**
 * The other end of a remote step: a service that answers the commands of its contract and takes part in the two-phase
 * commit. Each message is handled in one unit of work with its record, and acknowledged after that. Its reply may leave more
 * than once, always with the same bytes (SPEC C6).
 */
import { Effect, Layer } from "effect"
import type * as Command from "../definition/Command.ts"
import type { Participant } from "../definition/ParticipantContract.ts"
import type { Hooks, ServicesOf } from "../definition/TransactionHooks.ts"
import * as Broker from "../ports/Broker.ts"
import * as Consumer from "../ports/Consumer.ts"
import * as Loop from "../ports/Loop.ts"
import type { ParticipantStore } from "../ports/ParticipantStore.ts"
import * as ShutdownGrace from "../ports/ShutdownGrace.ts"
import { ParticipantConfig } from "./ParticipantConfig.ts"
import type { Handlers, ParticipantCode } from "./ParticipantHandlers.ts"
import * as ParticipantMaintenance from "./ParticipantMaintenance.ts"
import * as TakeMessages from "./TakeMessages.ts"

export * from "../definition/ParticipantContract.ts"
export type { Hooks, ServicesOf, TransactionPart } from "../definition/TransactionHooks.ts"
export type { Handlers } from "./ParticipantHandlers.ts"

const make = Effect.fnUntraced(function* (code: ParticipantCode) {
  const { maxInFlight, shutdownGrace } = yield* ParticipantConfig
  const grace = yield* ShutdownGrace.make(shutdownGrace)
  const broker = yield* Broker.Broker
  const take = TakeMessages.make({ ...code, maxBytes: broker.maxBytes }, broker)
  yield* Loop.run("participant maintenance", ParticipantMaintenance.run(code))
  // Two groups with a limit each: handlers that wait for a transaction must not keep out the messages that end it.
  const consume = (kinds: ReadonlyArray<"tx" | "command">) =>
    Consumer.run({ service: code.contract.name, kinds, maxInFlight }, take, grace)
  yield* Loop.run("transaction messages", consume(["tx"]))
  yield* Loop.run("commands", consume(["command"]))
})

/**
 * Answers the commands of a contract while the layer lives, and takes part in the transactions that they belong to. The
 * layer requires a `ParticipantStore`, a `Broker`, and every service that the handlers and hooks use. `ParticipantConfig`
 * has the limits and times.
 *
 * - `handlers`: one for each command. A handler that fails with the declared error of its command refuses (400); the step
 *   fails, and nothing has to be compensated. One that dies, is interrupted, or gives a value that cannot be sent replies
 *   500. Either way its effects are gone, where they are in the database of the store. A handler runs once for each
 *   command, however often the message comes (SPEC W3); `SagaTransaction` gives it the idempotency key for effects elsewhere.
 * - `hooks`: for commands with a staged effect. `reserve` votes, `commit` makes the staged effect visible, `reject` removes
 *   it. `commit` and `reject` must succeed: when one dies, the unit of work is rolled back and the message is handled again
 *   (SPEC C6). Without hooks the participant votes yes.
 *
 * @example
 * ```ts
 * const Payments = Participant.make("payments", {
 *   Charge: { payload: { amount: Schema.Int }, success: Schema.String, error: CardDeclined },
 *   Refund: { payload: { paymentId: Schema.String } }
 * })
 *
 * const PaymentsLive = Participant.layer(Payments, {
 *   Charge: ({ amount }) => Cards.use((cards) => cards.charge(amount)),
 *   Refund: ({ paymentId }) => Cards.use((cards) => cards.refund(paymentId))
 * })
 * ```
 */
export const layer = <
  Name extends string,
  Commands extends Record<string, Command.Any>,
  const H extends Handlers<Commands>,
  const K extends Hooks = object
>(
  contract: Participant<Name, Commands>,
  handlers: H,
  hooks?: K & Hooks
): Layer.Layer<never, never, Broker.Broker | ParticipantStore | ServicesOf<H> | ServicesOf<K>> =>
  Layer.provide(
    // The types have checked the handlers; from here on they are found by name, and the services they require are erased.
    Layer.effectDiscard(make({ contract, handlers: handlers as any, hooks: hooks ?? {} })),
    ShutdownGrace.layer
  ) as Layer.Layer<never, never, Broker.Broker | ParticipantStore | ServicesOf<H> | ServicesOf<K>>
