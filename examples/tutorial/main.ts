/** A morning of the person on call: a compensation has failed and its step is parked. Look, mend, retry. */
import { Console, Effect, Layer } from "effect"
import {
  Broker,
  ParticipantStore,
  SagaConfig,
  SagaDiagram,
  SagaExecutionRepository,
  SagaManager,
  SagaStory,
  TransactionCommitter
} from "effect-saga"
import { AirlineLive, BookTrip, Hotel } from "./trip.ts"

let isLocked = true

const Reception = Layer.succeed(Hotel, {
  reserve: () => Effect.succeed("room 7"),
  cancel: () => (isLocked ? Effect.die(new Error("the book of rooms is locked")) : Effect.void),
  taken: Effect.succeed(1)
})

const morning = Effect.gen(function* () {
  const manager = yield* SagaManager.SagaManager
  yield* SagaManager.run(BookTrip, { context: { city: "Atlantis" }, raiseOnError: false })

  // Which executions need a person? A dashboard asks the same.
  const { items } = yield* manager.find({ parked: true })
  for (const { failure, saga, uuid } of items) {
    yield* Console.log(`${saga} is parked after ${failure?.tag}`)
    const execution = yield* manager.load(uuid)
    for (const line of SagaStory.tell(execution)) yield* Console.log(`  ${line}`)

    isLocked = false
    for (const path of execution.parked) yield* manager.retryParked(uuid, path, { actor: "ada" })
    const mended = yield* Effect.repeat(Effect.delay(manager.load(uuid), "5 millis"), {
      until: ({ parked, settled }) => settled && parked.length === 0
    })
    yield* Console.log(`now ${SagaStory.tell(mended).at(-1)}`)
  }
  yield* Console.log(`\n${SagaDiagram.mermaid(BookTrip).trimEnd()}`)
})

const Live = Layer.merge(SagaManager.layer([BookTrip]), AirlineLive).pipe(
  Layer.provide([
    Reception,
    SagaConfig.layer({ service: "travel" }),
    SagaExecutionRepository.layerMemoryWith({ keep: 100 }),
    ParticipantStore.layerMemory,
    Broker.layerMemory,
    TransactionCommitter.layerNone
  ])
)

Effect.runPromise(Effect.provide(morning, Live))
