/** Three expenses: a double click, an answer after the reminder, and no answer. The time is virtual. */
import { Console, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Broker, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import { Approval, Expense, Office } from "./expense.ts"

const OfficeLive = Layer.succeed(Office, {
  setAside: (amount) => Effect.as(Console.log(`  set ${amount} aside`), amount),
  free: (amount) => Console.log(`  free ${amount}`),
  remind: (amount) => Console.log(`  a mail: ${amount} waits for you`)
})

/** The web page of an expense: what a click does. */
const click = Effect.fn(function* (startKey: string, approved: boolean, by: string) {
  const told = yield* SagaManager.signal(Approval, { startKey, payload: { approved, by } }).pipe(
    Effect.catchTag("SagaSignalConflict", () => Effect.succeed("somebody has answered already"))
  )
  yield* Console.log(`  ${by} clicks ${approved ? "yes" : "no"}: ${told}`)
})

const start = (startKey: string, amount: number) =>
  SagaManager.execute(Expense, { startKey, context: { amount } }).pipe(
    Effect.matchEffect({
      onSuccess: ({ payment }) => Console.log(`  ${payment}`),
      onFailure: (error) => Console.log(`  not paid: ${error._tag}`)
    }),
    Effect.forkChild({ startImmediately: true })
  )

const program = Effect.gen(function* () {
  yield* Console.log("a double click, and a second opinion")
  const lunch = yield* start("lunch", 20)
  yield* click("lunch", true, "Ada")
  yield* click("lunch", true, "Ada")
  yield* click("lunch", false, "Bob")
  yield* Fiber.join(lunch)

  yield* Console.log("an answer after the reminder")
  const train = yield* start("train", 90)
  yield* TestClock.adjust("1 day")
  yield* click("train", true, "Ada")
  yield* Fiber.join(train)

  yield* Console.log("no answer")
  const yacht = yield* start("yacht", 20_000)
  yield* TestClock.adjust("1 day")
  yield* TestClock.adjust("1 day")
  yield* Fiber.join(yacht)
})

const Live = SagaManager.layer([Expense]).pipe(
  Layer.provide([
    OfficeLive,
    SagaConfig.layer({ service: "expenses" }),
    // Keeps what has ended, so that a click that comes late is told so.
    SagaExecutionRepository.layerMemoryWith({ keep: 100 }),
    Broker.layerMemory,
    TransactionCommitter.layerNone
  ])
)

Effect.runPromise(program.pipe(Effect.provide(Live), Effect.provide(TestClock.layer())))
