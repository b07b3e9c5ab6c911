/** A saga that starts every night, at any number of processes. The time is virtual. */
import { Console, DateTime, Effect, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  SagaSchedule,
  TransactionCommitter
} from "effect-saga"

const Interest = Saga.make("Interest", { context: { night: Schema.Date } }).pipe(
  Saga.local("accounts", {
    success: Schema.Int,
    execute: ({ night }) => Effect.as(Console.log(`  interest until ${night.toISOString()}`), 3)
  }),
  Saga.local("report", { execute: ({ accounts }) => Console.log(`  a report of ${accounts} accounts`) }),
  Saga.commit
)

/** Every process has this layer. Each night is started by one of them. */
const Nightly = SagaSchedule.layer(Interest, {
  cron: "0 2 * * *",
  zone: "Europe/Brussels",
  context: ({ tick }) => ({ night: tick })
})

const processOf = (name: string) =>
  Nightly.pipe(
    Layer.provide(SagaManager.layer([Interest])),
    Layer.provide([
      SagaConfig.layer({ service: "bank", recoveryInterval: "1 minute", lease: "3 minutes" }),
      Broker.layerMemory,
      TransactionCommitter.layerNone
    ]),
    Layer.tap(() => Console.log(`process ${name} is up`))
  )

const program = Effect.gen(function* () {
  yield* TestClock.setTime(DateTime.toEpochMillis(DateTime.makeUnsafe("2026-03-27T12:00:00Z")))
  const night = Effect.andThen(Console.log("a night passes"), TestClock.adjust("1 day"))
  yield* Effect.scoped(
    Effect.gen(function* () {
      yield* Layer.build(Layer.mergeAll(processOf("A"), Layer.fresh(processOf("B"))))
      yield* night
      // The clocks go forward in this one: two o'clock is three o'clock.
      yield* night
    })
  )
  yield* Console.log("no process is up at night")
  yield* TestClock.adjust("1 day")
  yield* Layer.build(processOf("C"))
  yield* TestClock.adjust("1 minute")
}).pipe(Effect.scoped)

const Live = SagaExecutionRepository.layerMemoryWith({ keep: 10, shared: true })

Effect.runPromise(program.pipe(Effect.provide(Live), Effect.provide(TestClock.layer())))
