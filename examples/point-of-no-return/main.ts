/** Three orders: one fails before the pivot, one behind it, and for one a person decides. The time is virtual. */
import { Console, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Broker, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import { NoCourier, PlaceOrder, Warehouse } from "./order.ts"

/** How many couriers do not come. */
let absent = 0

const WarehouseLive = Layer.succeed(Warehouse, {
  setAside: (item) => Effect.as(Console.log(`  set ${item} aside`), item),
  putBack: (item) => Console.log(`  put ${item} back`),
  handOver: Effect.suspend(() => (absent-- > 0 ? Effect.fail(new NoCourier()) : Effect.succeed("parcel 17"))).pipe(
    Effect.tapError(() => Console.log("  no courier"))
  ),
  write: (letter) => Console.log(`  a mail: ${letter}`)
})

const order = (startKey: string, item: string, card = "visa") =>
  SagaManager.execute(PlaceOrder, { startKey, context: { item, card } }).pipe(
    Effect.matchEffect({
      onSuccess: ({ parcel, payment }) => Console.log(`  ${payment}, sent as ${parcel}`),
      onFailure: (error) =>
        error._tag === "SagaParkedForward"
          ? Console.log(`  a person has to look at ${error.parked.join()}: ${error.execution.status}`)
          : Console.log(`  no order: ${error._tag}`)
    }),
    Effect.forkChild({ startImmediately: true })
  )

const program = Effect.gen(function* () {
  yield* Console.log("before the pivot: all is undone")
  yield* Fiber.join(yield* order("first", "a book", "empty"))

  yield* Console.log("behind it: tried again")
  absent = 2
  const second = yield* order("second", "a chair")
  yield* TestClock.adjust("1 second")
  yield* TestClock.adjust("2 seconds")
  yield* Fiber.join(second)

  yield* Console.log("and at last a person decides")
  absent = 100
  const third = yield* order("third", "a piano")
  for (let minute = 0; minute < 30; minute++) yield* TestClock.adjust("1 minute")
  yield* Fiber.join(third)
  const manager = yield* SagaManager.SagaManager
  const { items } = yield* manager.find({ startKey: "third" })
  for (const { uuid } of items) {
    const refused = yield* Effect.flip(manager.cancel(uuid))
    yield* Console.log(`  cancelled? ${refused._tag}`)
    const by = { actor: "Ada", reason: "carried it there" }
    yield* SagaManager.resolveParked(PlaceOrder, { uuid, step: "parcel", result: "Ada's van", ...by })
  }
  yield* Fiber.join(yield* order("third", "a piano"))
})

const Live = SagaManager.layer([PlaceOrder]).pipe(
  Layer.provide([
    WarehouseLive,
    // Three tries after the first. The default is ten, up to five minutes apart.
    SagaConfig.layer({ service: "orders", retryForward: { times: 3 } }),
    SagaExecutionRepository.layerMemoryWith({ keep: 100 }),
    Broker.layerMemory,
    TransactionCommitter.layerNone
  ])
)

Effect.runPromise(program.pipe(Effect.provide(Live), Effect.provide(TestClock.layer())))
