/** A morning of an operator on the command line. Time is virtual, so it is over at once. */
import { Console, Effect, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Inspector,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  Signal,
  TransactionCommitter,
  UuidGenerator
} from "effect-saga"
import { run } from "effect-saga/cli"

class NoCourier extends Schema.TaggedError<NoCourier>()("NoCourier", { city: Schema.String }) {}

const Approval = Signal.make("approval", { payload: Schema.Struct({ by: Schema.String }) })

/** At first nothing can be put back on the shelf. */
let isStuck = true

const PlaceOrder = Saga.make("PlaceOrder", { context: { city: Schema.String } }).pipe(
  Saga.local("reservation", {
    success: Schema.String,
    execute: ({ city }) => Effect.succeed(`book for ${city}`),
    compensate: () => (isStuck ? Effect.die(new Error("the shelf is stuck")) : Effect.void),
    retryCompensate: { times: 2, backoff: "1 minute" }
  }),
  Saga.waitFor("approval", { signal: Approval }),
  Saga.local("parcel", {
    error: NoCourier,
    execute: ({ city }) => (city === "Atlantis" ? Effect.fail(new NoCourier({ city })) : Effect.void)
  }),
  Saga.commit
)

/** The service is called `stock`, and here it is not. */
const CountStock = Saga.make("CountStock", { context: { shelf: Schema.Int } }).pipe(
  Saga.remote("counted", { execute: { target: "stok/Count", content: ({ shelf }) => shelf }, timeout: "7 days" }),
  Saga.commit
)

// A program that has its storage open itself gives the commands its own inspector. Others name a database with --url.
const Executions = SagaExecutionRepository.layerMemoryWith({ keep: 100 })
const Live = Layer.merge(SagaManager.layer([PlaceOrder, CountStock]), Inspector.layerMemory()).pipe(
  Layer.provide([SagaConfig.layer({ service: "orders" }), Broker.layerMemory, TransactionCommitter.layerNone]),
  Layer.provideMerge(Executions)
)

/** As a shell shows it. */
const shell = Effect.fnUntraced(function* (command: string, ...args: ReadonlyArray<string>) {
  yield* Console.log(`\n$ effect-saga ${command}`)
  const inspector = yield* Inspector.Inspector
  const config = { sagas: [PlaceOrder, CountStock], layer: Layer.succeed(Inspector.Inspector, inspector) }
  const words = [...command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c ?? "")
  const running = yield* Effect.forkChild(run([...words, ...args], { config }), { startImmediately: true })
  // Commands wait in virtual time.
  yield* TestClock.adjust("1 second")
  yield* TestClock.adjust("1 second")
  const code = yield* Fiber.join(running)
  if (code !== 0) yield* Console.log(`(exit code ${code})`)
})

const place = (startKey: string, city: string) => SagaManager.start(PlaceOrder, { startKey, context: { city } })

const program = Effect.gen(function* () {
  yield* place("order-1", "Ghent")
  for (const startKey of ["order-2", "order-3"]) {
    yield* place(startKey, "Atlantis")
    yield* SagaManager.signal(Approval, { startKey, payload: { by: "anna" } })
  }
  yield* SagaManager.start(CountStock, { startKey: "shelf-7", context: { shelf: 7 } })
  yield* TestClock.adjust("1 minute")
  yield* TestClock.adjust("1 hour")

  yield* shell("attention")
  yield* shell("list")
  yield* shell("show order-2")
  yield* Console.log("\nThe shelf is repaired. The command that attention has printed:")
  isStuck = false
  yield* shell("retry --saga PlaceOrder --failure NoCourier --reason 'cause repaired' --actor ben@desk --yes")
  yield* Console.log("\nNobody will count: the service has another name.")
  yield* shell("cancel shelf-7 --reason 'typo in the service' --actor ben@desk")
  yield* Console.log("\nAnd somebody approves.")
  yield* shell(`answer order-1 --signal approval --payload '{"by":"ben"}' --reason 'asked by phone' --actor ben@desk`)
  yield* shell("stats")
  yield* shell("attention")
})

/** The same uuids in each run. */
let orders = 0
const inOrder = { next: () => `00000000-0000-7000-8000-${String(++orders).padStart(12, "0")}` }

Effect.runPromise(
  program.pipe(Effect.provide(Live), Effect.provideService(UuidGenerator, inOrder), Effect.provide(TestClock.layer()))
)
