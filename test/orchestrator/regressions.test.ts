/** Defects that a review found once: each has a test, so that it does not come back. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecution,
  SagaExecutionRepository,
  SagaManager,
  SagaRunner,
  TransactionCommitter
} from "effect-saga"
import { makeStory } from "../fixtures/travel.ts"

class Broke extends Schema.TaggedError<Broke>()("Broke", {}) {}

class Outside extends Context.Service<Outside, { current: SagaManager.SagaManager["Service"] | undefined }>()(
  "test/Outside"
) {}
const outsideLayer = Layer.sync(Outside, () => ({ current: undefined }))

const ports = Layer.mergeAll(
  SagaExecutionRepository.layerMemoryWith({ keep: 10 }),
  Broker.layerMemory,
  TransactionCommitter.layerNone
)

describe("by hand", () => {
  it.effect("a half-done step of a loaded execution follows its onCrash", () => {
    const story = makeStory()
    const saga = Saga.make("Half", { context: {} }).pipe(
      Saga.local("one", {
        execute: () => Effect.andThen(story.tell("one"), Effect.never),
        compensate: { run: () => story.tell("run"), unknown: () => story.tell("unknown") },
        onCrash: "compensate"
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const runner = yield* SagaRunner.SagaRunner
      const execution = yield* SagaExecution.fromDefinition(saga, { context: {} })
      const fiber = yield* Effect.forkChild(runner.execute(execution), { startImmediately: true })
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
      const { load } = yield* SagaExecutionRepository.SagaExecutionRepository
      const error = yield* Effect.flip(runner.execute(yield* load(execution.uuid)))
      assert.strictEqual(error._tag, "SagaFailedExecution")
      assert.deepStrictEqual(story.lines, ["one", "unknown"])
    }).pipe(
      Effect.provide(
        Layer.provideMerge(SagaRunner.layer([saga]), Layer.merge(ports, SagaConfig.layer({ service: "s" })))
      )
    )
  })

  it.effect("a rollback by hand waits for a compensation that is due later", () => {
    const story = makeStory()
    const saga = Saga.make("Stubborn", { context: {} }).pipe(
      Saga.local("one", {
        execute: () => Effect.void,
        compensate: () =>
          Effect.andThen(story.tell("back"), () => (story.lines.length < 3 ? Effect.die("not yet") : Effect.void)),
        retryCompensate: { times: 5, backoff: "1 second" }
      }),
      Saga.local("two", { error: Broke, execute: () => Effect.fail(new Broke()) }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const runner = yield* SagaRunner.SagaRunner
      const execution = yield* SagaExecution.fromDefinition(saga, { context: {} })
      const fiber = yield* Effect.forkChild(Effect.flip(runner.execute(execution)))
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)
      if (error._tag !== "SagaFailedExecution") return assert.fail(error._tag)
      assert.isTrue(error.execution.alreadyRollback)
      assert.deepStrictEqual(story.lines, ["back", "back", "back"])
    }).pipe(
      Effect.provide(Layer.provide(SagaRunner.layer([saga]), Layer.merge(ports, SagaConfig.layer({ service: "s" }))))
    )
  })
})

describe("a manager", () => {
  it.effect("a saga inside a step runs although maxRunning is reached by its outer sagas", () => {
    const inner = Saga.make("Inner", { context: {} }).pipe(
      Saga.local("one", { success: Schema.Int, execute: () => Effect.succeed(1) }),
      Saga.commit
    )
    const outer = Saga.make("Outer", { context: {} }).pipe(
      Saga.local("all", {
        success: Schema.Int,
        execute: () =>
          Effect.gen(function* () {
            const manager = yield* Outside
            const { one } = yield* Effect.orDie(
              SagaManager.execute(inner, { context: {} }).pipe(
                Effect.provideService(SagaManager.SagaManager, manager.current!)
              )
            )
            return one
          })
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const outside = yield* Outside
      outside.current = yield* SagaManager.SagaManager
      const results = yield* Effect.all(
        [1, 2, 3].map(() => SagaManager.execute(outer, { context: {} })),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        results.map(({ all }) => all),
        [1, 1, 1]
      )
    }).pipe(
      Effect.provide(
        Layer.provideMerge(
          SagaManager.layer([inner, outer]),
          Layer.mergeAll(ports, SagaConfig.layer({ service: "s", maxRunning: 1 }), outsideLayer)
        )
      )
    )
  })

  it.effect("a takeover that the store does not answer is tried again until it does", () => {
    const story = makeStory()
    const saga = Saga.make("Left", { context: {} }).pipe(
      Saga.local("one", { execute: () => story.tell("one") }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const inner = yield* SagaExecutionRepository.SagaExecutionRepository
      const left = yield* SagaExecution.fromDefinition(saga, { context: {} })
      yield* inner.store(left, { owner: "gone" })
      let down = 2
      const failing = SagaExecutionRepository.SagaExecutionRepository.of({
        ...inner,
        claim: (request) =>
          down-- > 0
            ? Effect.fail(
                new SagaExecutionRepository.SagaExecutionRepositoryError({ reason: "unavailable", operation: "claim" })
              )
            : inner.claim(request)
      })
      yield* Effect.gen(function* () {
        assert.deepStrictEqual(story.lines, [])
        yield* TestClock.adjust("6 seconds")
        assert.strictEqual(down, -1)
        const known = yield* inner.load(left.uuid)
        assert.isAbove(known.revision, 0)
      }).pipe(
        Effect.provide(
          Layer.provide(SagaManager.layer([saga]), [
            Layer.succeed(SagaExecutionRepository.SagaExecutionRepository, failing),
            Broker.layerMemory,
            TransactionCommitter.layerNone,
            SagaConfig.layer({ service: "s" })
          ])
        )
      )
    }).pipe(Effect.provide(SagaExecutionRepository.layerMemoryWith({ keep: 10 })))
  })
})
