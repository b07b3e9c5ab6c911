/**
 * Replies to participants that have voted yes and ask for the decision of the own service. An execution without a record
 * is rejected: to commit, its decision would have been stored before anybody heard of it (SPEC C6, presumed abort).
 */
import { Effect, Result } from "effect"
import * as Broker from "../ports/Broker.ts"
import { conclude, run } from "../ports/Consumer.ts"
import * as DeadLetters from "../ports/DeadLetters.ts"
import type { SagaExecutionRepositoryError } from "../ports/SagaExecutionRepository.ts"
import { SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"
import { type Envelope, messageId, reply } from "../wire/Envelope.ts"
import { SagaConfig } from "./SagaConfig.ts"

/** The reply to `status`, as it stands in the message. */
export type KnownDecision = "commit" | "reject" | "undecided"

/** The decision about an execution. Where the repository does not survive a restart, a missing record proves nothing. */
export const decisionOf = Effect.fnUntraced(function* (
  uuid: string
): Effect.fn.Return<KnownDecision, SagaExecutionRepositoryError, SagaExecutionRepository> {
  const repository = yield* SagaExecutionRepository
  return yield* repository.load(uuid).pipe(
    Effect.map(({ decision }): KnownDecision => decision ?? "undecided"),
    Effect.catchTag("SagaExecutionNotFound", () =>
      Effect.succeed<KnownDecision>(repository.durable ? "reject" : "undecided")
    )
  )
})

/** With another id the answer would go to somebody else: an id says what is answered, and where to (SPEC C3). */
const question = (delivery: Broker.Delivery): Result.Result<Envelope, Broker.Unreadable> =>
  Result.flatMap(Broker.read(delivery), (envelope) =>
    envelope.id === messageId(envelope.saga, envelope.service, "status")
      ? Result.succeed(envelope)
      : Result.fail(
          new Broker.MessageMalformed({ from: delivery.address.from, issue: "$.id is not that of a question" })
        )
  )

const answer = Effect.fnUntraced(function* (delivery: Broker.Delivery) {
  const read = question(delivery)
  if (Result.isFailure(read)) {
    const outcome = read.failure._tag
    yield* Effect.logWarning("A message was dropped", { outcome, from: delivery.address.from })
    yield* DeadLetters.keep(delivery, outcome)
    return outcome
  }
  const envelope = read.success
  const content = yield* decisionOf(envelope.saga)
  // A participant without a reply asks again.
  yield* Broker.publishOrWarn(yield* Broker.Broker, reply(envelope, { status: 200, content, relatedServices: [] }))
  return "applied"
})

/** Replies until interrupted. A question without a reply is acknowledged all the same: its participant asks again. */
export const consume = Effect.gen(function* () {
  const { maxInFlight, service } = yield* SagaConfig
  const one = (delivery: Broker.Delivery) =>
    answer(delivery).pipe(
      Effect.catchCause((cause) =>
        Effect.as(Effect.logError("A question for a decision could not be answered", cause), "unanswered")
      ),
      Effect.flatMap((outcome) => conclude(outcome, delivery.acknowledge))
    )
  yield* run({ service, kinds: ["status"], maxInFlight }, one)
})
