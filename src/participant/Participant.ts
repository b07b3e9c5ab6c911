/**
 * The other end of a remote step: a service that answers the commands of its contract and takes part in the phase on
 * the whole. Each message is handled in one unit of work with its record; it is acknowledged after that, and its reply may
 * go out more than once, always with the same bytes (SPEC C6).
 */
import { Effect, Exit, Layer, Result } from "effect"
import type * as Command from "../definition/Command.ts"
import type { Participant } from "../definition/ParticipantContract.ts"
import type { Hooks, ServicesOf } from "../definition/TransactionHooks.ts"
import * as Broker from "../ports/Broker.ts"
import * as Consumer from "../ports/Consumer.ts"
import * as DeadLetters from "../ports/DeadLetters.ts"
import type { ParticipantStore, ParticipantStoreError } from "../ports/ParticipantStore.ts"
import type { Envelope } from "../wire/Envelope.ts"
import * as HandleMessage from "./HandleMessage.ts"
import { ParticipantConfig } from "./ParticipantConfig.ts"
import { type Incoming, incoming } from "./ParticipantDecision.ts"
import type { Code, Handlers } from "./ParticipantHandlers.ts"
import * as ParticipantMaintenance from "./ParticipantMaintenance.ts"

export * from "../definition/ParticipantContract.ts"
export type { Hooks, Part, ServicesOf } from "../definition/TransactionHooks.ts"
export type { Handlers } from "./ParticipantHandlers.ts"

/** How often a message is tried that makes the library itself fail (SPEC C8). */
const maxDeliveries = 5

/** Contradictions and bugs: a person has to look at them. */
const alarming: ReadonlySet<string> = new Set(["MessageIdReused", "ProtocolViolation", "HeuristicOutcome", "Defect"])

/** Keeps what there is to know of a message, which is then not delivered again. */
const putAway = Effect.fnUntraced(function* (delivery: Broker.Delivery, reason: string) {
  const said = { outcome: reason, from: delivery.address.from }
  yield* alarming.has(reason)
    ? Effect.logError("A message was put away", said)
    : Effect.logWarning("A message was put away", said)
  yield* DeadLetters.keep(delivery, reason)
  yield* Consumer.conclude(reason, delivery.acknowledge)
})

/** A message that is being handled. */
interface Running {
  readonly request: string
  /** Its copies that are acknowledged together with it. */
  copies: Array<Broker.Delivery> | undefined
}

const make = Effect.fnUntraced(function* (code: Code) {
  const broker = yield* Broker.Broker
  const { maxInFlight } = yield* ParticipantConfig
  /** By the ids of the messages. */
  const running = new Map<string, Running>()

  /** The outcome; or, of what cannot be handled, why. */
  const attempt = (
    message: Incoming,
    deliveries: number
  ): Effect.Effect<HandleMessage.Outcome | ParticipantStoreError | "Defect", never, ParticipantStore> =>
    Consumer.withRecovery(HandleMessage.handle(code, message), (handled) =>
      Consumer.retry(handled, ({ reason }) => reason === "unavailable").pipe(
        Effect.catchTag("ParticipantStoreError", (error) => Effect.succeed(error)),
        Effect.catchDefect((defect) =>
          Effect.logError("Handling a message died", { id: message.envelope.id, deliveries }, defect).pipe(
            Effect.andThen(
              deliveries < maxDeliveries
                ? Effect.andThen(Effect.sleep(50 * 2 ** deliveries), attempt(message, deliveries + 1))
                : Effect.succeed("Defect" as const)
            )
          )
        )
      )
    )

  /** Sends the reply, once the broker takes it. Fails with what the broker will never take. */
  const answer = (envelope: Envelope, body: string): Effect.Effect<void, Broker.BrokerError> =>
    Consumer.retry(
      broker.publish({ address: { to: envelope.coordinator, kind: "reply", from: code.contract.name }, body }),
      ({ reason }) => reason !== "rejected"
    )

  const conclude = (
    delivery: Broker.Delivery,
    message: Incoming,
    outcome: HandleMessage.Outcome | ParticipantStoreError | "Defect",
    answers: () => void
  ): Effect.Effect<void, never, ParticipantStore> => {
    if (outcome === "Defect") return refuse(delivery, message)
    if (outcome._tag === "ParticipantStoreError") return putAway(delivery, outcome._tag)
    const done =
      outcome._tag === "putAway"
        ? putAway(delivery, outcome.fault)
        : Consumer.conclude(outcome._tag, delivery.acknowledge)
    if (outcome.reply === undefined) return done
    answers()
    return Effect.matchEffect(answer(message.envelope, outcome.reply), {
      onSuccess: () => done,
      onFailure: () => putAway(delivery, "ReplyRejected")
    })
  }

  /** What makes the library itself fail is refused for good, if that can be. */
  const refuse = Effect.fnUntraced(function* (delivery: Broker.Delivery, message: Incoming) {
    const refused = yield* Effect.orElseSucceed(
      Effect.catchDefect(HandleMessage.refuse(code, message), () => Effect.succeed(undefined)),
      () => undefined
    )
    if (refused?.reply !== undefined) yield* Effect.ignore(answer(message.envelope, refused.reply))
    yield* putAway(delivery, "Defect")
  })

  const handle = (delivery: Broker.Delivery) => {
    const read = Broker.read(delivery)
    if (Result.isFailure(read)) return putAway(delivery, read.failure._tag)
    const message = incoming(read.success, delivery.address.name)
    const { id } = message.envelope
    const own: Running = { request: message.request, copies: undefined }
    const leave = () => {
      if (running.get(id) === own) running.delete(id)
    }
    return Effect.onExit(
      Effect.suspend(() => {
        // The copy that is being handled answers for all; this one must not take the place of another message. In one step:
        // other copies may have their turn between any two.
        const first = running.get(id)
        if (first?.request === message.request) {
          if (!delivery.redelivered) return Consumer.conclude("duplicate", delivery.acknowledge)
          // It may be the same one over a new connection, and then the only one that can still be acknowledged.
          first.copies ??= []
          first.copies.push(delivery)
          return Effect.void
        }
        running.set(id, own)
        // What is answered now may have been lost when a copy comes after it: that is answered by itself.
        return Effect.flatMap(attempt(message, 1), (outcome) => conclude(delivery, message, outcome, leave))
      }),
      (exit) => {
        leave()
        return own.copies === undefined || Exit.isFailure(exit)
          ? Effect.void
          : Effect.forEach(own.copies, (copy) => Consumer.conclude("duplicate", copy.acknowledge), { discard: true })
      }
    )
  }

  /** Whatever happens to one delivery, the consumer goes on: what is not acknowledged comes again. */
  const one = (delivery: Broker.Delivery) =>
    Effect.catchDefect(
      Effect.suspend(() => handle(delivery)),
      (defect) => Effect.logError("Taking a message died", defect)
    )

  yield* Effect.forkScoped(ParticipantMaintenance.run(code))
  // Handlers that wait for each other's transactions must not keep out what ends these: each kind has places of its own.
  for (const kinds of [["tx"], ["command"]] as const) {
    yield* Effect.forkScoped(Consumer.run({ service: code.contract.name, kinds, maxInFlight }, one))
  }
})

/**
 * Answers the commands of a contract while the layer lives, and takes part in its transactions. Requires a
 * `ParticipantStore`, and every service that the handlers and hooks use.
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
  // The handlers are those of the contract; below they are looked up by name, and their services erased.
  Layer.effectDiscard(make({ contract, handlers: handlers as any, hooks: hooks ?? {} })) as Layer.Layer<
    never,
    never,
    Broker.Broker | ParticipantStore | ServicesOf<H> | ServicesOf<K>
  >
