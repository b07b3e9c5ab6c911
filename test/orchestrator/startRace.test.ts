/** A start that meets something in the moment in which it is stored: another start of its uuid, or the time of its own wait. */
import { assert, it } from "@effect/vitest"
import { Clock, Context, Effect, Fiber, Layer, Schema } from "effect"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaError,
  SagaExecutionRepository,
  SagaManager,
  Signal,
  TransactionCommitter
} from "effect-saga"
import { until } from "../fixtures/manager.ts"
import { turn } from "../fixtures/repository.ts"

const Repository = SagaExecutionRepository.SagaExecutionRepository
const uuid = "0c3a2a4e-5d3b-4c59-9a3a-4a1f6a1b2c3d"
const saga = Saga.make("Endless", { context: { n: Schema.Int } }).pipe(
  Saga.local("one", { execute: () => Effect.never }),
  Saga.commit
)

it.effect("a start whose uuid was stored between two looks does not wait for the step that runs meanwhile", () =>
  Effect.gen(function* () {
    const memory = Context.get(
      yield* Layer.build(SagaExecutionRepository.layerMemoryWith({ keep: 0, shared: true })),
      Repository
    )
    // The first look comes before the write of the other start, and its answer after the step has begun.
    let early = 1
    const repository = Repository.of({
      ...memory,
      load: (id) => (early-- > 0 ? Effect.fail(new SagaError.SagaExecutionNotFound({ uuid: id })) : memory.load(id))
    })
    const manager = SagaManager.layer([saga]).pipe(
      Layer.provide([
        SagaConfig.layer({ service: "orders" }),
        Layer.succeed(Repository, repository),
        Broker.layerMemory,
        TransactionCommitter.layerNone
      ])
    )
    yield* Effect.gen(function* () {
      const begin = (n: number) => SagaManager.start(saga, { context: { n }, uuid })
      assert.strictEqual(yield* begin(1), uuid)
      assert.strictEqual((yield* Effect.flip(begin(2)))._tag, "SagaStartConflict")
      assert.isBelow(early, 0)
    }).pipe(Effect.provide(manager))
  }).pipe(Effect.scoped)
)

it.effect("a caller hears of an end that comes while its execution is given back", () =>
  Effect.gen(function* () {
    const approval = Signal.make("approval", { payload: Schema.String })
    const waits = Saga.make("Waits", { context: {} }).pipe(
      Saga.waitFor("answer", { signal: approval, timeout: 1, onTimeout: { success: Schema.Null, value: () => null } }),
      Saga.commit
    )
    const testClock = yield* Clock.Clock
    // Each look at the clock takes a millisecond. So the wait is over when its runner ends, and the claim that the runner asks
    // for ends the execution at once, before its caller has come back from the start.
    let now = 0
    const slow: Clock.Clock = Object.assign(Object.create(testClock), { currentTimeMillisUnsafe: () => ++now })
    const manager = SagaManager.layer([waits]).pipe(
      Layer.provide([
        SagaConfig.layer({ service: "orders" }),
        SagaExecutionRepository.layerMemory,
        Broker.layerMemory,
        TransactionCommitter.layerNone
      ])
    )
    const run = Effect.gen(function* () {
      for (let i = 0; i < 3; i++) {
        // The former claim is over, and has been for a while: the next one need not wait.
        yield* turn
        now += 500
        const caller = yield* Effect.forkChild(SagaManager.execute(waits, { context: {} }))
        yield* until("the caller is told", () => caller.pollUnsafe() !== undefined)
        assert.deepStrictEqual(yield* Fiber.join(caller), { answer: null })
      }
    })
    yield* run.pipe(Effect.provide(manager), Effect.provideService(Clock.Clock, slow))
  })
)
