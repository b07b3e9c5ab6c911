/** An action on an execution that waits is taken soon: also just after a process has begun, and where there are several. */
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Inspector,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"

const Count = Saga.make("Count", { context: { floor: Schema.Int } }).pipe(
  Saga.remote("counted", { execute: { target: "nobody/Count", content: ({ floor }) => floor }, timeout: "7 days" }),
  Saga.commit
)

/** A process. Each one is another. */
const Process = Layer.fresh(
  SagaManager.layer([Count]).pipe(
    Layer.provide([SagaConfig.layer({ service: "tours", recoveryInterval: "1 hour", lease: "3 hours" })]),
    Layer.provide(TransactionCommitter.layerNone)
  )
)

const begin = SagaManager.start(Count, { startKey: "floor-3", context: { floor: 3 } })

/** Cancels, and gives what is known half a second later. */
const cancelled = Effect.gen(function* () {
  const { act } = yield* Inspector.Inspector
  const acting = yield* Effect.forkChild(
    act("floor-3", { _tag: "Cancel" }, { actor: "ada", reason: "closed", wait: "400 millis" }),
    { startImmediately: true }
  )
  yield* TestClock.adjust("500 millis")
  return yield* Fiber.join(acting)
})

const test = (name: string, shared: boolean, body: Effect.Effect<void, unknown, any>) =>
  it.effect(name, () =>
    Effect.provide(
      body as Effect.Effect<void, unknown, Inspector.Inspector>,
      Layer.provideMerge(
        Inspector.layerMemory(),
        Layer.merge(SagaExecutionRepository.layerMemoryWith({ keep: 10, shared }), Broker.layerMemory)
      )
    )
  )

test(
  "an action just after the begin of a process is not left until something is due",
  false,
  Effect.gen(function* () {
    yield* Effect.provide(begin, Process)
    yield* TestClock.adjust("10 minutes")
    assert.deepStrictEqual(yield* Effect.provide(cancelled, Process), { _tag: "Applied" })
  })
)

test(
  "where there are several processes, one takes an action long before its interval",
  true,
  Effect.gen(function* () {
    yield* begin
    yield* TestClock.adjust("10 minutes")
    assert.deepStrictEqual(yield* Effect.provide(cancelled, Process), { _tag: "Applied" })
  }).pipe(Effect.provide(Process))
)
