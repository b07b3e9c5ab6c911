/** C10: what a program cannot continue is counted, left alone and lost by nobody. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecution,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"

const told: Array<string> = []
const tell = (name: string) => ({ execute: () => Effect.sync(() => void told.push(name)) })
const Old = Saga.make("Order", { context: {} }).pipe(Saga.local("reserve", tell("reserve")), Saga.commit)
const New = Saga.make("Order", { context: {} }).pipe(
  Saga.local("reserve", tell("reserve")),
  Saga.local("charge", tell("charge")),
  Saga.commit
)
const Other = Saga.make("Other", { context: {} }).pipe(Saga.local("one", tell("one")), Saga.commit)

const ports = Layer.mergeAll(
  SagaExecutionRepository.layerMemoryWith({ keep: 10 }),
  Broker.layerMemory,
  TransactionCommitter.layerNone,
  SagaConfig.layer({ service: "orders" })
)

/** Left by a process that is gone, before its first step. */
const leave = Effect.fnUntraced(function* (saga: Saga.AnyCommitted) {
  const { store } = yield* SagaExecutionRepository.SagaExecutionRepository
  return yield* store(yield* SagaExecution.fromDefinition(saga, { context: {} }), { owner: "gone" })
})

describe("drift", () => {
  it.effect("drift is counted before a deployment, without a manager", () =>
    Effect.gen(function* () {
      yield* leave(Old)
      yield* leave(Old)
      const drift = yield* SagaManager.checkDrift([New, Other])
      assert.deepStrictEqual(drift, {
        continued: [],
        drifted: [{ saga: "Order", fingerprint: Old.fingerprint, count: 2 }]
      })
      const both = yield* SagaManager.checkDrift([New, Old])
      assert.deepStrictEqual(both.drifted, [])
      assert.strictEqual(both.continued[0]?.count, 2)
    }).pipe(Effect.provide(ports))
  )

  it.effect("I16 a manager of the new form runs nothing of the old one; one of the old form takes it up", () =>
    Effect.gen(function* () {
      told.length = 0
      const { uuid } = yield* leave(Old)
      const { load } = yield* SagaExecutionRepository.SagaExecutionRepository
      const before = yield* load(uuid)
      yield* Effect.gen(function* () {
        yield* TestClock.adjust("1 minute")
        const error = yield* Effect.flip(Effect.flatMap(SagaManager.SagaManager, (manager) => manager.cancel(uuid)))
        assert.strictEqual(error._tag, "SagaDefinitionDrift")
      }).pipe(Effect.provide(SagaManager.layer([New])))
      assert.deepStrictEqual(SagaExecution.raw(yield* load(uuid)), SagaExecution.raw(before))
      assert.deepStrictEqual(told, [])
      const manager = yield* Layer.build(SagaManager.layer([New, Old]))
      const settled = yield* Effect.provide(
        Effect.flatMap(SagaManager.SagaManager, (one) => one.cancel(uuid)),
        manager
      )
      assert.strictEqual(settled.uuid, uuid)
    }).pipe(Effect.scoped, Effect.provide(ports))
  )
})
