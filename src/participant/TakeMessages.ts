/**
 * Takes each message of a participant from its delivery to its reply and its acknowledgement. Copies of a message that
 * arrive while it is handled do not run it a second time.
 */
import { Cause, Clock, Effect, Exit, type Fiber, Result, Tracer } from "effect"
import * as Broker from "../ports/Broker.ts"
import * as Consumer from "../ports/Consumer.ts"
import * as DeadLetters from "../ports/DeadLetters.ts"
import * as Metrics from "../ports/Metrics.ts"
import type { ParticipantStore, ParticipantStoreError } from "../ports/ParticipantStore.ts"
import type { ReleasingMap } from "../ports/ReleasingMap.ts"
import * as Tracing from "../ports/Tracing.ts"
import type { Envelope } from "../wire/Envelope.ts"
import type { CommandPlaces } from "./CommandPlaces.ts"
import * as HandleMessage from "./HandleMessage.ts"
import { type Incoming, incoming } from "./IncomingMessage.ts"
import type { ParticipantCode } from "./ParticipantHandlers.ts"

/** How often a message is tried that makes the library itself fail, or that runs into the time of its unit (SPEC C8). */
const maxDeliveries = 5

/** Contradictions and bugs: a person has to look at them. */
const alarming: ReadonlySet<string> = new Set([
  "MessageIdReused",
  "ProtocolViolation",
  "HeuristicOutcome",
  "Defect",
  "UnitTimeout"
])

type Handled = HandleMessage.Outcome | ParticipantStoreError | GivenUp | LetGo

/** Too many messages wait for their turn, so this one does not; its sender sends it again. */
type LetGo = "busy"

/** Why a message is not tried any more. */
type GivenUp = "Defect" | "UnitTimeout"

/** A message that is being handled. */
export interface MessageInProgress {
  readonly request: string
  /** Copies that are acknowledged together with the message. */
  copies: Array<Broker.Delivery> | undefined
}

interface Taker {
  readonly code: ParticipantCode
  readonly broker: Broker.Broker["Service"]
  /** By the ids of the messages. */
  readonly inProgress: ReleasingMap<string, MessageInProgress>
  readonly places: CommandPlaces
}

/** Takes one delivery. It never fails or dies: a delivery that makes it die is put away. */
export const make = (
  code: ParticipantCode,
  broker: Broker.Broker["Service"],
  inProgress: ReleasingMap<string, MessageInProgress>,
  places: CommandPlaces
): ((delivery: Broker.Delivery) => Effect.Effect<void, never, ParticipantStore>) => {
  const taker: Taker = { code, broker, inProgress, places }
  return (delivery) =>
    Effect.catchDefect(
      Effect.suspend(() => take(taker, delivery)),
      (defect) => Effect.andThen(Effect.logError("Taking a message died", defect), putAway(delivery, "Defect"))
    )
}

const take = (taker: Taker, delivery: Broker.Delivery): Effect.Effect<void, never, ParticipantStore> => {
  const read = Broker.read(delivery)
  if (Result.isFailure(read)) return putAway(delivery, read.failure._tag)
  const { code, inProgress } = taker
  const message = incoming(read.success, delivery.address.name)
  const { id } = message.envelope
  const own: MessageInProgress = { request: message.request, copies: undefined }
  const leave = () => {
    if (inProgress.get(id) === own) inProgress.delete(id)
  }
  return Effect.onExit(
    // One synchronous step: no other copy can come between the look-up and the entry.
    Effect.withFiber((fiber) => {
      const first = inProgress.get(id)
      if (first?.request === message.request) {
        if (!delivery.redelivered) return Consumer.conclude("duplicate", delivery.acknowledge)
        // After a new connection this may be the only copy that can still be acknowledged. It waits for the message.
        first.copies ??= []
        first.copies.push(delivery)
        return Effect.void
      }
      inProgress.set(id, own)
      const clock = fiber.getRef(Clock.Clock)
      const begun = clock.monotonicTimeNanosUnsafe()
      const { command, service } = placeOf(code, message)
      const handled = traced(
        fiber,
        clock,
        message,
        `${service}/${command}`,
        taker.broker.system,
        attempt(code, message, 1)
      )
      return Effect.flatMap(taker.places.inTurn(message, handled, "busy"), (outcome) => {
        const seconds = Number(clock.monotonicTimeNanosUnsafe() - begun) / 1_000_000_000
        Metrics.participantDuration.update(fiber.context, seconds, service, command)
        Metrics.participantHandled.update(fiber.context, 1, service, command, statusOf(outcome))
        return conclude(taker, delivery, message, outcome, leave)
      })
    }),
    (exit) => {
      leave()
      return own.copies === undefined || (Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause))
        ? Effect.void
        : Effect.forEach(own.copies, (copy) => Consumer.conclude("duplicate", copy.acknowledge), { discard: true })
    }
  )
}

/** `leave`: called before the reply leaves. A copy that comes later gets a reply of its own, because this one may be lost. */
const conclude = (
  taker: Taker,
  delivery: Broker.Delivery,
  message: Incoming,
  outcome: Handled,
  leave: () => void
): Effect.Effect<void, never, ParticipantStore> => {
  if (outcome === "busy") return Consumer.conclude(outcome, delivery.acknowledge)
  if (outcome === "Defect" || outcome === "UnitTimeout") return giveUp(taker, delivery, message, outcome, leave)
  if (outcome._tag === "ParticipantStoreError") return putAway(delivery, outcome._tag)
  const done =
    outcome._tag === "putAway"
      ? putAway(delivery, outcome.fault)
      : Consumer.conclude(outcome._tag, delivery.acknowledge)
  if (outcome.body === undefined) return done
  leave()
  return Effect.matchEffect(sendReply(taker, delivery, message.envelope, outcome.body), {
    onSuccess: () => done,
    onFailure: () => putAway(delivery, "ReplyRejected")
  })
}

/** A message that is not tried any more is answered, if that can be recorded, and put away. */
const giveUp = Effect.fnUntraced(function* (
  taker: Taker,
  delivery: Broker.Delivery,
  message: Incoming,
  reason: GivenUp,
  leave: () => void
) {
  const answer = HandleMessage.giveUp(taker.code, message, reason === "Defect" ? "Died" : "TimedOut")
  const refused = yield* Effect.orElseSucceed(
    Effect.catchDefect(answer, () => Effect.succeed(undefined)),
    () => undefined
  )
  leave()
  if (refused?.body !== undefined) yield* Effect.ignore(sendReply(taker, delivery, message.envelope, refused.body))
  yield* putAway(delivery, reason)
})

/** Sends until the broker takes the reply, to the instance that wants it. Fails where the broker will never take it. */
const sendReply = (
  { broker, code }: Taker,
  { replyTo }: Broker.Delivery,
  { coordinator }: Envelope,
  body: string
): Effect.Effect<void, Broker.BrokerError> => {
  const address: Broker.Address = { to: coordinator, kind: "reply", from: code.contract.name }
  return Consumer.retry(
    broker.publish({ address: replyTo === undefined ? address : { ...address, instance: replyTo }, body }),
    ({ reason }) => reason !== "rejected" && reason !== "too-large"
  )
}

/** Waits while the store is unavailable. A defect counts as a delivery, and so does a unit that runs into its time. */
const attempt = (
  code: ParticipantCode,
  message: Incoming,
  deliveries: number
): Effect.Effect<Handled, never, ParticipantStore> => {
  const { id } = message.envelope
  const again = (reason: GivenUp): Effect.Effect<Handled, never, ParticipantStore> =>
    deliveries < maxDeliveries
      ? Effect.andThen(Effect.sleep(50 * 2 ** deliveries), attempt(code, message, deliveries + 1))
      : Effect.succeed(reason)
  return Consumer.withRecovery(HandleMessage.handle(code, message), (handled) =>
    Consumer.retry(handled, ({ reason }) => reason === "unavailable").pipe(
      Effect.catchTag("ParticipantStoreError", (error) => {
        if (error.reason !== "timeout") return Effect.succeed(error)
        const place = placeOf(code, message)
        // Once for a message: the next tries take as long.
        const said =
          deliveries === 1
            ? Effect.logWarning("A message takes longer than its unit of work may", { id, ...place })
            : Effect.void
        return Effect.withFiber((fiber) => {
          Metrics.unitTimeouts.update(fiber.context, 1, place.service, place.command)
          return Effect.andThen(said, again("UnitTimeout"))
        })
      }),
      Effect.catchDefect((defect) =>
        Effect.andThen(Effect.logError("Handling a message died", { id, deliveries }, defect), again("Defect"))
      )
    )
  )
}

/** The service and the command of a message; its kind, where it carries a name that is no command of the service. */
const placeOf = ({ contract: { commands, name } }: ParticipantCode, { command, envelope: { op } }: Incoming) => ({
  service: name,
  command: command !== undefined && Object.hasOwn(commands, command) ? command : op
})

/**
 * Handles a message in a span: a child of the one that has sent it; of the start, for what ends a transaction: each instance makes
 * that message anew from what it has stored, and the context of the start is stored.
 */
const traced = <R>(
  fiber: Fiber.Fiber<unknown, unknown>,
  clock: Clock.Clock,
  { envelope }: Incoming,
  name: string,
  system: string | undefined,
  handled: Effect.Effect<Handled, never, R>
): Effect.Effect<Handled, never, R> => {
  if (!Tracing.isOn(fiber) || fiber.getRef(Tracing.SagaTracing).modeOf("") === "off") return handled
  const { id, path, saga, trace } = envelope
  const parent = Tracing.spanOf(trace)
  // The trace is not kept: nothing of it is made.
  if (parent?.sampled === false) return handled
  const span = Tracing.begin(fiber, `process ${name}`, {
    kind: "consumer",
    parent,
    attributes: {
      "saga.uuid": saga,
      "saga.step.path": path,
      ...Tracing.messaging("process", { id, uuid: saga, system: system ?? Tracing.unknownSystem })
    }
  })
  return Effect.onExit(Effect.provideService(handled, Tracer.ParentSpan, span), (exit) =>
    Effect.sync(() => Tracing.end(span, clock, Exit.isSuccess(exit) ? endOf(exit.value) : { outcome: "interrupted" }))
  )
}

/** Which statuses are errors: a refusal by the domain is an answer, and none of the service's. */
const endOf = (outcome: Handled): Tracing.Outcome => {
  const status = statusOf(outcome)
  const isError = typeof outcome === "string" || status === "500" || status === "ParticipantStoreError"
  return { outcome: status, error: isError ? status : undefined }
}

/** The status of the reply, or how a message ended that has no new one. */
const statusOf = (outcome: Handled): string =>
  typeof outcome === "string"
    ? outcome
    : "status" in outcome && outcome.status !== undefined
      ? String(outcome.status)
      : outcome._tag

/** Records a message that is given up as a dead letter, and acknowledges it. */
const putAway = Effect.fnUntraced(function* (delivery: Broker.Delivery, reason: string) {
  const said = { outcome: reason, from: delivery.address.from }
  yield* alarming.has(reason)
    ? Effect.logError("A message was put away", said)
    : Effect.logWarning("A message was put away", said)
  yield* DeadLetters.keep(delivery, reason)
  yield* Consumer.conclude(reason, delivery.acknowledge)
})
