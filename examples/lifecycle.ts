/** A saga that needs no help: it commits when all steps are done, and rolls back when a step fails. */
import { Console, Effect, Layer, Schema } from "effect"
import {
  Broker,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  type SagaExecution,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"

class SoldOut extends Schema.TaggedError<SoldOut>()("SoldOut", { train: Schema.String }) {}

const Trains = Participant.make("trains", {
  Book: { payload: { train: Schema.String }, success: Schema.String, error: SoldOut },
  Cancel: { payload: { ticket: Schema.String } }
})

const TrainsLive = Participant.layer(Trains, {
  Book: ({ train }) =>
    train === "night train" ? Effect.fail(new SoldOut({ train })) : Effect.succeed(`ticket for the ${train}`),
  Cancel: () => Effect.void
})

const Travel = Saga.make("Travel", { context: { train: Schema.String, nights: Schema.Int } }).pipe(
  Saga.conditional("stay", [
    Saga.ifThen(
      ({ nights }) => nights > 0,
      Saga.local("room", {
        success: Schema.String,
        execute: ({ nights }) => Effect.succeed(`room for ${nights} nights`),
        compensate: ({ room }) => Console.log(`give back the ${room}`)
      })
    )
  ]),
  Saga.remote("ticket", {
    execute: { command: Trains.commands.Book, payload: ({ train }) => ({ train }) },
    compensate: { command: Trains.commands.Cancel, payload: ({ ticket }) => ({ ticket }) }
  }),
  Saga.commit
)

const show = ({ commitState, executedSteps, status }: SagaExecution.SagaExecution) =>
  Console.log(`${status} (${commitState}): ${executedSteps.map(({ name, status }) => `${name} ${status}`).join(", ")}`)

const program = Effect.gen(function* () {
  // Waits for the replies and for the end. The result type follows the options: here the execution is finished.
  const finished = yield* SagaManager.run(Travel, { context: { train: "day train", nights: 2 } })
  yield* show(finished)
  yield* Console.log(`${finished.context.ticket}, ${finished.context.room ?? "no room"}`)

  // A failed saga is a typed error, with the first cause and the execution.
  const night = { train: "night train", nights: 1 }
  yield* SagaManager.run(Travel, { context: night }).pipe(
    Effect.catchTag("SagaFailedExecution", ({ cause, execution }) =>
      Effect.andThen(show(execution), Console.log(`because of ${cause._tag}`))
    )
  )

  // Or the failed execution is the result.
  const errored = yield* SagaManager.run(Travel, { context: { ...night, nights: 0 }, raiseOnError: false })
  yield* show(errored)
})

const Memory = Layer.mergeAll(
  SagaExecutionRepository.layerMemory,
  ParticipantStore.layerMemory,
  Broker.layerMemory,
  TransactionCommitter.layerNone
)
const Live = Layer.merge(SagaManager.layer([Travel]), TrainsLive).pipe(
  Layer.provide([SagaConfig.layer({ service: "travel" }), Memory])
)

Effect.runPromise(Effect.provide(program, Live))
