/**
 * Tells participants that have voted and wait what the own service has decided. An execution that nobody knows is
 * rejected: its decision would have been stored before anything was asked (SPEC C6, presumed abort).
 */
import { Effect, Result } from "effect"
import * as Broker from "../ports/Broker.ts"
import { conclude, run } from "../ports/Consumer.ts"
import * as DeadLetters from "../ports/DeadLetters.ts"
import type { SagaExecutionRepositoryError } from "../ports/SagaExecutionRepository.ts"
import { SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"
import { reply } from "../wire/Envelope.ts"
import { SagaConfig } from "./SagaConfig.ts"

export type Outcome = "commit" | "reject" | "undecided"

/** What is decided of an execution. A repository that does not survive a restart cannot tell forgotten from undecided. */
export const outcomeOf = Effect.fnUntraced(function* (
  uuid: string
): Effect.fn.Return<Outcome, SagaExecutionRepositoryError, SagaExecutionRepository> {
  const repository = yield* SagaExecutionRepository
  return yield* repository.load(uuid).pipe(
    Effect.map(({ decision }): Outcome => decision ?? "undecided"),
    Effect.catchTag("SagaExecutionNotFound", () => Effect.succeed<Outcome>(repository.durable ? "reject" : "undecided"))
  )
})

const answer = Effect.fnUntraced(function* (delivery: Broker.Delivery) {
  const read = Broker.read(delivery)
  if (Result.isFailure(read)) {
    const outcome = read.failure._tag
    yield* Effect.logWarning("A message was dropped", { outcome, from: delivery.address.from })
    yield* DeadLetters.keep(delivery, outcome)
    return outcome
  }
  const envelope = read.success
  const content = yield* outcomeOf(envelope.saga)
  // Whoever is not answered asks again.
  yield* Broker.publishOrWarn(yield* Broker.Broker, reply(envelope, { status: 200, content, relatedServices: [] }))
  return "applied"
})

/** Answers until interrupted. A question that cannot be answered now is put again by who has it. */
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
