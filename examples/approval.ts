/** A saga waits for a person, for at most two days, and reminds her after one. The time is virtual. */
import { Console, Effect, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  Signal,
  TransactionCommitter
} from "effect-saga"

/** Both sides import it: the saga that waits, and the page with the two buttons. */
const Approval = Signal.make("approval", { payload: Schema.Struct({ approved: Schema.Boolean, by: Schema.String }) })

class Declined extends Schema.TaggedError<Declined>()("Declined", { by: Schema.String }) {}

const Expense = Saga.make("Expense", { context: { amount: Schema.Int } }).pipe(
  Saga.local("budget", {
    success: Schema.Int,
    execute: ({ amount }) => Effect.as(Console.log(`  set ${amount} aside`), amount),
    compensate: ({ budget }) => Console.log(`  free ${budget}`)
  }),
  Saga.waitFor("answer", {
    signal: Approval,
    timeout: "1 day",
    onTimeout: { success: Schema.Literal("nobody"), value: () => "nobody" }
  }),
  Saga.conditional("late", [
    Saga.ifThen(
      ({ answer }) => answer === "nobody",
      (late) =>
        late.pipe(
          Saga.local("reminder", { execute: ({ amount }) => Console.log(`  a mail: ${amount} waits for you`) }),
          // Without an answer in this time the step fails, and the budget is free again.
          Saga.waitFor("lateAnswer", { signal: Approval, timeout: "1 day" })
        )
    )
  ]),
  Saga.local("payment", {
    success: Schema.String,
    error: Declined,
    execute: ({ amount, answer, lateAnswer }) => {
      const given = answer === "nobody" ? lateAnswer : answer
      return given?.approved === true
        ? Effect.succeed(`${amount} paid, approved by ${given.by}`)
        : Effect.fail(new Declined({ by: given?.by ?? "nobody" }))
    }
  }),
  Saga.commit
)

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
    SagaConfig.layer({ service: "expenses" }),
    // Keeps what has ended, so that a click that comes late is told so.
    SagaExecutionRepository.layerMemoryWith({ keep: 100 }),
    Broker.layerMemory,
    TransactionCommitter.layerNone
  ])
)

Effect.runPromise(program.pipe(Effect.provide(Live), Effect.provide(TestClock.layer())))
