/**
 * Takes the replies addressed to the own service and hands them to their executions. A reply is acknowledged once its
 * consequence is stored (SPEC W2); one that changes nothing is acknowledged and counted.
 */
import { Effect, Result } from "effect"
import { SagaResponse } from "../definition/SagaMessage.ts"
import type { Dropped, Reply } from "../execution/rules/SagaInput.ts"
import * as Broker from "../ports/Broker.ts"
import * as Consumer from "../ports/Consumer.ts"
import * as DeadLetters from "../ports/DeadLetters.ts"
import { type Envelope, parseMessageId, type ReplyStatus } from "../wire/Envelope.ts"
import type { ControlError } from "./ExecutionSupervisor.ts"
import { SagaConfig } from "./SagaConfig.ts"

/** The door of `SagaManager` for replies. */
export interface TakesReplies {
  readonly reply: (uuid: string, reply: Reply) => Effect.Effect<"applied" | Dropped | "unknown-execution", ControlError>
}

interface Answer {
  readonly envelope: Envelope
  readonly inReplyTo: string
  readonly status: ReplyStatus
}

/** The reply in a message, to a request of the execution that it names. */
const read = (message: Broker.Message): Result.Result<Answer, Broker.Unreadable> =>
  Result.flatMap(Broker.read(message), (envelope) => {
    const { inReplyTo, op, saga, status } = envelope
    // The execution that is answered is the one that asked: an envelope that names another is not for it.
    return op !== "reply" || inReplyTo === undefined || status === undefined || parseMessageId(inReplyTo)?.uuid !== saga
      ? Result.fail(
          new Broker.MessageMalformed({ from: message.address.from, issue: "it answers nothing of its execution" })
        )
      : Result.succeed({ envelope, inReplyTo, status })
  })

const uniqueServices = ({ relatedServices }: Envelope): ReadonlyArray<string> =>
  relatedServices.length < 2 ? relatedServices : [...new Set(relatedServices)]

/**
 * The response in a message, for a program that takes replies by itself and gives them to
 * `SagaManager.run({ response })`. The answer to a probe is none.
 */
export const toResponse = Effect.fnUntraced(function* (
  message: Broker.Message
): Effect.fn.Return<SagaResponse, Broker.Unreadable> {
  const { envelope, inReplyTo, status } = yield* Effect.fromResult(read(message))
  if (status === 404) {
    return yield* new Broker.MessageMalformed({ from: message.address.from, issue: "it answers a probe" })
  }
  return new SagaResponse({
    uuid: envelope.saga,
    requestId: inReplyTo,
    service: message.address.from,
    status,
    content: envelope.content ?? null,
    relatedServices: uniqueServices(envelope)
  })
})

const replyOf = ({ envelope, inReplyTo, status }: Answer, sender: string): Reply => ({
  inReplyTo,
  sender,
  status,
  ...(envelope.content !== undefined && { content: envelope.content }),
  relatedServices: uniqueServices(envelope)
})

/** Handles one delivery. Fails, unacknowledged, where the consequence could not be stored. */
export const handle = (manager: TakesReplies, delivery: Broker.Delivery): Effect.Effect<void, ControlError> =>
  Effect.suspend(() => {
    const answer = read(delivery)
    if (Result.isFailure(answer)) return conclude(answer.failure._tag, delivery)
    const reply = replyOf(answer.success, delivery.address.from)
    return Effect.flatMap(manager.reply(answer.success.envelope.saga, reply), (outcome) => conclude(outcome, delivery))
  })

const conclude = (outcome: string, delivery: Broker.Delivery) => {
  const concluded = Consumer.conclude(outcome, delivery.acknowledge)
  return outcome === "applied" || outcome === "stale"
    ? concluded
    : Effect.andThen(dropped(outcome, delivery), concluded)
}

/** A reply to an execution that is not kept any more is nothing that people have to look at (SPEC C11). */
const dropped = Effect.fnUntraced(function* (outcome: string, delivery: Broker.Delivery) {
  const { address, body } = delivery
  const said = { outcome, from: address.from, size: body.length }
  if (outcome === "unknown-execution") return yield* Effect.logDebug("A message was dropped", said)
  yield* Effect.logWarning("A message was dropped", said)
  const reason = outcome === "sender-mismatch" ? "SenderMismatch" : outcome
  yield* DeadLetters.keep(delivery, reason)
})

/** What may be over when the same reply is handled again. */
const mayPass = (error: ControlError): boolean =>
  error._tag === "SagaOverloaded" ||
  error._tag === "SagaExecutionConflict" ||
  (error._tag === "SagaExecutionRepositoryError" && error.reason === "unavailable")

/**
 * Consumes the replies of the own service until interrupted. One that cannot be handled at all is put away: its request
 * is sent again by whoever goes on with the execution, and is answered again.
 */
export const consume = Effect.fnUntraced(function* (manager: TakesReplies) {
  const { maxInFlight, service } = yield* SagaConfig
  const one = (delivery: Broker.Delivery): Effect.Effect<void> =>
    Consumer.withRecovery(handle(manager, delivery), (handled) =>
      Consumer.retry(handled, mayPass).pipe(
        Effect.catch((error) => putAway(delivery, error._tag)),
        Effect.catchDefect((defect) =>
          Effect.andThen(Effect.logError("Handling a reply died", defect), putAway(delivery, "Defect"))
        )
      )
    )
  yield* Consumer.run({ service, kinds: ["reply"], maxInFlight }, one)
})

const putAway = (delivery: Broker.Delivery, outcome: string) =>
  Effect.andThen(dropped(outcome, delivery), Consumer.conclude(outcome, delivery.acknowledge))
