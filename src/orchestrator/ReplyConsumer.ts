/**
 * Takes the replies to the own service and gives each to its execution. A reply is acknowledged once its consequence is
 * stored (SPEC W2). A reply that changes nothing is counted and acknowledged. `SagaManager.layer` does all of this; a program
 * that receives replies by other means uses these functions itself.
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

/** The part of a manager that takes replies; every `SagaManager` has it. */
export interface ReplyReceiver {
  /** Gives the reply to the execution, and waits until its consequence is stored. */
  readonly reply: (uuid: string, reply: Reply) => Effect.Effect<"applied" | Dropped | "unknown-execution", ControlError>
}

/** A message that is a reply, with the fields that every reply has. */
interface ReplyMessage {
  readonly envelope: Envelope
  readonly inReplyTo: string
  readonly status: ReplyStatus
}

/** Reads a message that replies to a request of the execution that it names. */
const read = (message: Broker.Message): Result.Result<ReplyMessage, Broker.Unreadable> =>
  Result.flatMap(Broker.read(message), (envelope) => {
    const { inReplyTo, op, saga, status } = envelope
    // `inReplyTo` names the execution that asked. A reply must be for the same one.
    return op !== "reply" || inReplyTo === undefined || status === undefined || parseMessageId(inReplyTo)?.uuid !== saga
      ? Result.fail(
          new Broker.MessageMalformed({ from: message.address.from, issue: "it answers nothing of its execution" })
        )
      : Result.succeed({ envelope, inReplyTo, status })
  })

const uniqueServices = ({ relatedServices }: Envelope): ReadonlyArray<string> =>
  relatedServices.length < 2 ? relatedServices : [...new Set(relatedServices)]

/**
 * The response in a message, for a program that takes replies itself and resumes executions with them
 * (`SagaManager.run({ response })`). Fails with `MessageMalformed` where the message is no reply to a request: the reply to
 * a probe (404) is none, nor is the word that the answer comes later (202).
 *
 * @example
 * ```ts
 * const response = yield* SagaService.toResponse(message)
 * yield* SagaManager.run({ response })
 * ```
 */
export const toResponse = Effect.fnUntraced(function* (
  message: Broker.Message
): Effect.fn.Return<SagaResponse, Broker.Unreadable> {
  const { envelope, inReplyTo, status } = yield* Effect.fromResult(read(message))
  if (status === 404 || status === 202) {
    const issue = status === 404 ? "it answers a probe" : "the answer comes later"
    return yield* new Broker.MessageMalformed({ from: message.address.from, issue })
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

const replyOf = ({ envelope, inReplyTo, status }: ReplyMessage, sender: string): Reply => ({
  inReplyTo,
  sender,
  status,
  ...(envelope.content !== undefined && { content: envelope.content }),
  relatedServices: uniqueServices(envelope)
})

/**
 * Handles one delivery: gives the reply in it to the manager, and acknowledges it. A message that is no reply, or not from
 * the service that was asked, changes nothing; it is recorded as a dead letter and acknowledged too. Fails, without an
 * acknowledgement, where the consequence could not be stored; the same delivery may then be handled again.
 */
export const handle = (manager: ReplyReceiver, delivery: Broker.Delivery): Effect.Effect<void, ControlError> =>
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
    : Effect.andThen(reportDropped(outcome, delivery), concluded)
}

/** Logs a message that changes nothing, and records it as a dead letter. A reply to a deleted execution is normal (SPEC C11). */
const reportDropped = Effect.fnUntraced(function* (outcome: string, delivery: Broker.Delivery) {
  const { address, body } = delivery
  const said = { outcome, from: address.from, size: body.length }
  if (outcome === "unknown-execution") return yield* Effect.logDebug("A message was dropped", said)
  yield* Effect.logWarning("A message was dropped", said)
  const reason = outcome === "sender-mismatch" ? "SenderMismatch" : outcome
  yield* DeadLetters.keep(delivery, reason)
})

/** Whether handling the same reply again can succeed. */
const isTransient = (error: ControlError): boolean =>
  error._tag === "SagaOverloaded" ||
  error._tag === "SagaExecutionConflict" ||
  (error._tag === "SagaExecutionRepositoryError" && error.reason === "unavailable")

/**
 * Consumes the replies to the own service until interrupted, at most `maxInFlight` at a time (`SagaConfig`). Handling is
 * retried while the storage is unavailable. A reply that still cannot be handled is recorded as a dead letter and
 * acknowledged: the execution sends its request again, and gets the same reply again.
 *
 * `SagaManager.layer` runs it already.
 */
export const consume = Effect.fnUntraced(function* (
  manager: ReplyReceiver,
  onStanding?: NonNullable<Broker.Group["onStanding"]>
) {
  const { maxInFlight, service } = yield* SagaConfig
  const wanted = yield* Broker.RepliesTo
  const one = (delivery: Broker.Delivery): Effect.Effect<void> =>
    Consumer.withRecovery(handle(manager, delivery), (handled) =>
      Consumer.retry(handled, isTransient).pipe(
        Effect.catch((error) => putAway(delivery, error._tag)),
        Effect.catchDefect((defect) =>
          Effect.andThen(Effect.logError("Handling a reply died", defect), putAway(delivery, "Defect"))
        )
      )
    )
  const group: Broker.Group = {
    service,
    kinds: ["reply"],
    maxInFlight,
    ...(onStanding !== undefined && { onStanding }),
    ...(wanted !== undefined && {
      onOwnAddress: (address) => {
        wanted.at = address
      }
    })
  }
  yield* Consumer.run(group, one)
})

const putAway = (delivery: Broker.Delivery, outcome: string) =>
  Effect.andThen(reportDropped(outcome, delivery), Consumer.conclude(outcome, delivery.acknowledge))
