/** A command that takes an hour: the laboratory begins it, and answers when it is done. Here an hour takes a tenth of a second. */
import { Console, Effect, Layer, Schema } from "effect"
import {
  Broker,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"

class Spoiled extends Schema.TaggedError<Spoiled>()("Spoiled", { sample: Schema.String }) {}

const Lab = Participant.make("lab", {
  Examine: {
    payload: { sample: Schema.String },
    success: Schema.Struct({ isWell: Schema.Boolean }),
    error: Spoiled,
    answer: "later"
  }
})

/** In life this is a table in the database of the laboratory. */
const jobs = new Map<string, string>()

const LabLive = Participant.layer(Lab, {
  Examine: {
    // Ends at once. The job and the record that it is accepted are one unit of work.
    accept: ({ sample }, messageId) =>
      Effect.andThen(
        Console.log(`  the lab puts ${sample} on its list`),
        Effect.sync(() => void jobs.set(messageId, sample))
      ),
    // After a refusal, and where the saga does not wait any more, the job is taken off the list.
    cancelled: ({ sample }, messageId) =>
      Effect.andThen(
        Console.log(`  the lab takes ${sample} off its list`),
        Effect.sync(() => void jobs.delete(messageId))
      )
  }
})

/** The people of the laboratory, an hour later; any process of the service can do this. */
const examine = Effect.gen(function* () {
  yield* Effect.sleep("100 millis")
  for (const [messageId, sample] of jobs)
    yield* Participant.answer(
      Lab.commands.Examine,
      messageId,
      sample === "milk" ? Effect.fail(new Spoiled({ sample })) : Effect.succeed({ isWell: true })
    )
})

const Visit = Saga.make("Visit", { context: { sample: Schema.String } }).pipe(
  Saga.remote("result", {
    execute: { command: Lab.commands.Examine, payload: ({ sample }) => ({ sample }) },
    timeout: "2 days"
  }),
  Saga.commit
)

const visit = (sample: string) =>
  Effect.gen(function* () {
    const [visited] = yield* Effect.all([SagaManager.execute(Visit, { context: { sample } }), examine], {
      concurrency: 2
    })
    yield* Console.log(`${sample}: ${visited.result.isWell ? "well" : "ill"}`)
    jobs.clear()
  }).pipe(Effect.catchTag("Spoiled", ({ sample }) => Console.log(`${sample}: spoiled`)))

const Live = Layer.merge(SagaManager.layer([Visit]), LabLive).pipe(
  Layer.provide([
    SagaConfig.layer({ service: "hospital" }),
    SagaExecutionRepository.layerMemory,
    Broker.layerMemory,
    ParticipantStore.layerMemory,
    TransactionCommitter.layerNone
  ])
)

Effect.runPromise(Effect.andThen(visit("blood"), visit("milk")).pipe(Effect.provide(Live)))
