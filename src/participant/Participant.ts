/**
 * The other end of a remote step: a service that answers the commands of its contract and takes part in the two-phase
 * commit. Each message is handled in one unit of work with its record, and acknowledged after that. Its reply may leave more
 * than once, always with the same bytes (SPEC C6).
 */
import { Clock, Context, Effect, Layer } from "effect"
import type * as Command from "../definition/Command.ts"
import type { Participant } from "../definition/ParticipantContract.ts"
import type { Hooks, ServicesOf } from "../definition/TransactionHooks.ts"
import * as Broker from "../ports/Broker.ts"
import * as Consumer from "../ports/Consumer.ts"
import * as Loop from "../ports/Loop.ts"
import * as Metrics from "../ports/Metrics.ts"
import type {
  ParticipantAnswerTooLate,
  ParticipantAnswerUnknown,
  ParticipantStore,
  ParticipantStoreError
} from "../ports/ParticipantStore.ts"
import { ReleasingMap } from "../ports/ReleasingMap.ts"
import * as ShutdownGrace from "../ports/ShutdownGrace.ts"
import * as Vitals from "../ports/Vitals.ts"
import * as AnswerLater from "./AnswerLater.ts"
import type { Handlers, LaterHandler } from "./CommandHandlers.ts"
import * as CommandPlaces from "./CommandPlaces.ts"
import * as HandlerSettings from "./HandlerSettings.ts"
import { ParticipantConfig } from "./ParticipantConfig.ts"
import type { ParticipantCode } from "./ParticipantHandlers.ts"
import * as ParticipantMaintenance from "./ParticipantMaintenance.ts"
import * as TakeMessages from "./TakeMessages.ts"

export * from "../definition/ParticipantContract.ts"
export type { Hooks, ServicesOf, TransactionPart } from "../definition/TransactionHooks.ts"
export { ParticipantAnswerTooLate, ParticipantAnswerUnknown } from "../ports/ParticipantStore.ts"
export type { ParticipantAnswers } from "./AnswerLater.ts"
export type { AtLeastOnceHandler, HandlerLimits, Handlers, LaterHandler, LimitedHandler } from "./CommandHandlers.ts"

const make = Effect.fnUntraced(function* (given: ParticipantCode) {
  const { maxHandlers, maxInFlight, shutdownGrace } = yield* ParticipantConfig
  const { code, commands } = yield* Effect.orDie(HandlerSettings.read(given, maxInFlight))
  const isLimited =
    maxHandlers < maxInFlight ||
    [...commands.values()].some(({ concurrency, rate }) => concurrency < maxInFlight || rate !== undefined)
  // Half of the messages in flight may wait, so that there is room for others.
  const places = isLimited
    ? yield* CommandPlaces.make(
        { commands, maxHandlers, maxWaiting: Math.max(1, Math.floor(maxInFlight / 2)) },
        yield* Clock.Clock
      )
    : CommandPlaces.none
  const grace = yield* ShutdownGrace.make(shutdownGrace)
  const part = yield* Vitals.join(`participant ${code.contract.name}`)
  const broker = yield* Broker.Broker
  const inProgress = new ReleasingMap<string, TakeMessages.MessageInProgress>()
  yield* Metrics.participantInFlight.read(() => inProgress.size, code.contract.name)
  const take = TakeMessages.make({ ...code, maxBytes: broker.maxBytes }, broker, inProgress, places)
  yield* Loop.run("participant maintenance", ParticipantMaintenance.run(code, part))
  // Two groups with a limit each: handlers that wait for a transaction must not keep out the messages that end it.
  const consume = (kinds: ReadonlyArray<"tx" | "command">) =>
    Consumer.run({ service: code.contract.name, kinds, maxInFlight, onStanding: standing(part, kinds) }, take, grace)
  yield* Loop.run("transaction messages", consume(["tx"]))
  yield* Loop.run("commands", consume(["command"]))
  yield* Effect.addFinalizer(() => part.drains)
  return Context.make(AnswerLater.answersOf(code.contract.name), yield* AnswerLater.make(code))
})

/** Tells whether messages of these kinds come. A transport that cannot tell never says that they do not. */
const standing = (part: Vitals.Part, kinds: ReadonlyArray<string>) => {
  let stands = true
  part.check(`subscription for ${kinds.join(" and ")}`, () => stands)
  return (now: boolean): void => {
    stands = now
  }
}

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
 * Dies with `InvalidSetting` where plain JavaScript has left a handler out, or names a hook that there is not.
 *
 * A command with `answer: "later"` has a handler of two parts, `accept` and `cancelled` (`LaterHandler`); `answer` gives its answer.
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
): Layer.Layer<AnswersOf<Name, Commands>, never, Broker.Broker | ParticipantStore | ServicesOf<H> | ServicesOf<K>> =>
  Layer.provide(
    // The types have checked the handlers; from here on they are found by name, and the services they require are erased.
    Layer.effectContext(make({ contract, handlers: handlers as any, hooks: hooks ?? {} })),
    ShutdownGrace.layer
  ) as Layer.Layer<AnswersOf<Name, Commands>, never, Broker.Broker | ParticipantStore | ServicesOf<H> | ServicesOf<K>>

/** Only a service with a command that answers later has answers to give. */
type AnswersOf<Name extends string, Commands> = {
  readonly [Tag in keyof Commands]: Commands[Tag] extends { readonly answer: "later" }
    ? AnswerLater.ParticipantAnswers<Name>
    : never
}[keyof Commands]

/** The code that undoes what was accepted, of the commands of a contract that answer later. */
export type Cancelling<Commands extends Record<string, Command.Any>> = {
  readonly [Tag in keyof Commands as Commands[Tag] extends { readonly answer: "later" } ? Tag : never]: Pick<
    Extract<Handlers<Commands>[Tag], LaterHandler<any, any>>,
    "cancelled"
  >
}

/**
 * For a process of the service that gives answers and takes no messages, such as its HTTP API. It uses the store and the broker of the
 * participant. `cancelled` of each command that answers later is the same code as in `layer`: it runs in the unit of work of an answer
 * that is not 200. The process that has `layer` needs no `layerAnswers`.
 *
 * @example
 * ```ts
 * const LabAnswers = Participant.layerAnswers(Lab, { Examine: { cancelled } })
 * ```
 */
export const layerAnswers = <
  Name extends string,
  Commands extends Record<string, Command.Any>,
  const H extends Cancelling<Commands>
>(
  contract: Participant<Name, Commands>,
  handlers: H
): Layer.Layer<AnswersOf<Name, Commands>, never, Broker.Broker | ParticipantStore | ServicesOf<H>> =>
  Layer.effectContext(
    // Found by name, and erased, as above.
    Effect.map(AnswerLater.make({ contract, handlers: handlers as any }), (answers) =>
      Context.make(AnswerLater.answersOf(contract.name), answers)
    )
  ) as any // the services of the handlers were erased, as above

/**
 * Answers a message that a command with `answer: "later"` has accepted, from any process of the service and at any time (SPEC C19).
 * `messageId` is the one that `accept` got.
 *
 * The effect gives the result of the command, or fails with its declared error; it may read `SagaTransaction`. It runs in the unit of
 * work that records the answer, so its effects in the database of the store are kept with the answer or not at all, and it may run
 * again where the database is the reason. If it fails or dies, its effects are gone, and `cancelled` runs in the same unit: after 400
 * and 500 nothing of accepting is left. After 200 the compensation undoes both.
 *
 * The first answer counts. The same answer again succeeds, and is sent again. Ends when the broker has taken the answer: it is recorded
 * by then, and nothing is lost if the call is interrupted meanwhile, as the coordinator asks for it. It is no part of a database
 * transaction that the caller has open.
 *
 * Fails with `ParticipantAnswerTooLate` where the message has another answer or was ended, with `ParticipantAnswerUnknown` where none
 * was accepted under the id for some 12 seconds, and with `ParticipantStoreError`; then nothing of the effect is kept. Dies where
 * `cancelled` dies: nothing is recorded, and the call can be made again.
 *
 * @example
 * ```ts
 * yield* Participant.answer(Lab.commands.Examine, job.messageId, Effect.succeed({ isWell: true }))
 * ```
 */
export const answer = <Name extends string, A, E, R>(
  command: Command.LaterCommand<Name, string, any, A, E>,
  messageId: string,
  effect: Effect.Effect<NoInfer<A>, NoInfer<E>, R>
): Effect.Effect<
  void,
  ParticipantAnswerTooLate | ParticipantAnswerUnknown | ParticipantStoreError,
  R | AnswerLater.ParticipantAnswers<Name>
> => Effect.flatMap(AnswerLater.answersOf(command.participant), ({ answer }) => answer(command, messageId, effect))
