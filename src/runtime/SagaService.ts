/**
 * Takes the replies addressed to the own service and hands them to their executions. A reply is acknowledged once its
 * consequence is stored (SPEC W2); one that changes nothing is acknowledged and counted.
 */
import { Effect, Metric, Stream } from "effect"
import { parseMessageId } from "../execution/Envelope.ts"
import * as Broker from "../ports/Broker.ts"
import { SagaConfig } from "./SagaConfig.ts"
import type { SagaManager } from "./SagaManager.ts"

/** Messages by what became of them; the sum is the number acknowledged (SPEC I17). */
export const received = Metric.counter("effect_saga_messages_total", {
  description: "Messages that were acknowledged, by outcome",
  incremental: true
})

export const count = (outcome: string): Effect.Effect<void> =>
  Metric.update(Metric.withAttributes(received, { outcome }), 1)

/** Handles one delivery. Fails, unacknowledged, where the consequence could not be stored: it is delivered again. */
export const handle = Effect.fnUntraced(function* (
  manager: Pick<SagaManager["Service"], "reply">,
  delivery: Broker.Delivery
) {
  const outcome = yield* Broker.decode(delivery).pipe(
    Effect.flatMap((envelope) => {
      const { content, inReplyTo, relatedServices, saga, status } = envelope
      if (envelope.op !== "reply" || inReplyTo === undefined || status === undefined)
        return Effect.succeed("MessageMalformed" as const)
      // The execution that is answered is the one that asked: an envelope that names another is not for it.
      if (parseMessageId(inReplyTo)?.uuid !== saga) return Effect.succeed("MessageMalformed" as const)
      return manager.reply(saga, {
        inReplyTo,
        sender: delivery.address.from,
        status,
        ...(content !== undefined && { content }),
        relatedServices
      })
    }),
    Effect.catchTag(["MessageTooLarge", "MessageMalformed", "SenderMismatch"], (error) => Effect.succeed(error._tag))
  )
  if (outcome !== "applied" && outcome !== "stale") {
    yield* Effect.logWarning("A message was dropped", {
      outcome,
      from: delivery.address.from,
      size: delivery.body.length
    })
  }
  yield* count(outcome)
  yield* delivery.acknowledge
})

/** Consumes the replies of the own service until interrupted. */
export const consume = Effect.fnUntraced(function* (manager: Pick<SagaManager["Service"], "reply">) {
  const { maxInFlight, service } = yield* SagaConfig
  const broker = yield* Broker.Broker
  yield* broker.subscribe({ service, kinds: ["reply"], maxInFlight }).pipe(
    Stream.mapEffect(
      (delivery) =>
        Effect.catchCause(handle(manager, delivery), (cause) =>
          Effect.logError("A reply could not be handled now", cause)
        ),
      { concurrency: maxInFlight }
    ),
    Stream.runDrain
  )
})
