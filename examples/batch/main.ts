/** Every night at two, ten customers at a time. The time is virtual. */
import { Console, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  SagaSchedule,
  SagaStory,
  TransactionCommitter
} from "effect-saga"
import { NoAddress, SendStatements, Statements } from "./statements.ts"

const StatementsLive = Layer.succeed(Statements, {
  due: () => Effect.succeed(Array.from({ length: 250 }, (_, i) => `customer ${i + 1}`)),
  send: (customer) => (customer === "customer 17" ? Effect.fail(new NoAddress()) : Effect.sleep("1 second")),
  report: (day, failed) => Console.log(`${day}: not sent to ${failed.join()}`)
})

const Nightly = SagaSchedule.layer(SendStatements, {
  cron: "0 2 * * *",
  zone: "Europe/Brussels",
  context: ({ tick }) => ({ day: tick.toISOString().slice(0, 10) })
})

const program = Effect.gen(function* () {
  yield* TestClock.adjust("1 hour")
  for (let second = 0; second < 60; second++) yield* TestClock.adjust("1 second")
  const manager = yield* SagaManager.SagaManager
  const { items } = yield* manager.find({ saga: "SendStatements" })
  for (const { uuid } of items) {
    for (const line of SagaStory.tell(yield* manager.load(uuid), { times: true })) yield* Console.log(`  ${line}`)
  }
})

const Live = Nightly.pipe(
  Layer.provideMerge(SagaManager.layer([SendStatements])),
  Layer.provide([
    StatementsLive,
    SagaConfig.layer({ service: "letters" }),
    SagaExecutionRepository.layerMemoryWith({ keep: 100 }),
    Broker.layerMemory,
    TransactionCommitter.layerNone
  ])
)

Effect.runPromise(program.pipe(Effect.provide(Live), Effect.provide(TestClock.layer())))
