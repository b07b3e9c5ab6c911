/** People and tools can see executions: their events as they happen, lists of them, and each one in detail. */
import { Console, Effect, Fiber, Layer, Schema, Stream } from "effect"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  SagaStatus,
  TransactionCommitter
} from "effect-saga"

class Damaged extends Schema.TaggedError<Damaged>()("Damaged", { item: Schema.String }) {}

const Return = Saga.make("Return", {
  context: { item: Schema.String },
  // Staff search executions by these values. Lists show them, so they hold no secrets.
  attributes: ({ item }) => ({ item, isFragile: item !== "catalogue" })
}).pipe(
  Saga.local("shelf", {
    success: Schema.String,
    execute: ({ item }) => Effect.succeed(`shelf of the ${item}`),
    compensate: () => Effect.void
  }),
  Saga.attributes(({ shelf }) => ({ shelf })),
  Saga.local("check", {
    error: Damaged,
    execute: ({ item }) => (item === "vase" ? Effect.fail(new Damaged({ item })) : Effect.void)
  }),
  Saga.conditional("money", [
    Saga.ifThen(
      ({ item }) => item !== "catalogue",
      Saga.remote("refund", { execute: { target: "bank/pay", content: ({ item }) => ({ item }) } })
    )
  ]),
  Saga.commit
)

const program = Effect.gen(function* () {
  const manager = yield* SagaManager.SagaManager
  const start = (item: string) =>
    SagaManager.run(Return, { context: { item }, user: "ada", pauseOnDisk: true, raiseOnError: false })

  // Every event that is stored from now on, until an execution has failed and is rolled back.
  const log = yield* manager.events.pipe(
    Stream.map(({ event }) => ("path" in event ? `  ${event._tag} ${event.path}` : `  ${event._tag}`)),
    Stream.takeUntil((line) => line.includes("ExecutionErrored")),
    Stream.runCollect,
    Effect.forkChild({ startImmediately: true })
  )
  yield* start("vase")
  yield* Console.log("events of the vase")
  for (const line of yield* Fiber.join(log)) yield* Console.log(line)

  yield* start("catalogue")
  const { uuid } = yield* start("lamp")
  for (const status of SagaStatus.literals) {
    const { items } = yield* manager.find({ saga: "Return", user: "ada", status })
    yield* Console.log(`${status}: ${items.length}`)
  }

  const fragile = yield* manager.find({ saga: "Return", attributes: { isFragile: true } })
  yield* Console.log(`fragile: ${fragile.items.map(({ attributes }) => attributes?.item).join(", ")}`)
  const onShelf = yield* manager.find({ attributes: { shelf: "shelf of the lamp" } })
  yield* Console.log(`on its shelf: ${onShelf.items.map(({ attributes }) => attributes?.item).join(", ")}`)

  const lamp = yield* manager.load(uuid)
  yield* Console.log(`the lamp is ${lamp.status} at ${lamp.pausedStep?.name}`)
  for (const { name, path, status } of lamp.executedSteps) yield* Console.log(`  ${path} ${name}: ${status}`)

  // A person decides not to wait any longer: the execution is rolled back, and this call waits for it.
  const rejected = yield* manager.reject(uuid)
  yield* Console.log(`the lamp is ${rejected.status}: ${rejected.cause}`)
})

// A repository that keeps settled executions; by default memory forgets them.
const Live = SagaManager.layer([Return]).pipe(
  Layer.provide([
    SagaConfig.layer({ service: "returns" }),
    SagaExecutionRepository.layerMemoryWith({ keep: 100 }),
    Broker.layerMemory,
    TransactionCommitter.layerNone
  ])
)

Effect.runPromise(Effect.provide(program, Live))
