/** C10: what a program cannot continue is counted, left alone and lost by nobody. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
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
import * as ExecutionSummary from "../../src/ports/ExecutionSummary.ts"

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

/** Two thousand executions of which every fifth cannot be read, as a repository lists them. */
const many = Effect.gen(function* () {
  const good = yield* SagaExecution.fromDefinition(Old, { context: {} })
  const { creation } = good.state
  const summary = (uuid: string) => ({ ...ExecutionSummary.of(good), uuid })
  const uuids = Array.from({ length: 2_000 }, (_, i) => `${i}`)
  const failing = (reason: "corrupt" | "unavailable", operation: "load") =>
    Effect.fail(new SagaExecutionRepository.SagaExecutionRepositoryError({ reason, operation }))
  const state = { isAway: false }
  const repository = {
    transactional: true,
    census: Effect.succeed([{ saga: "Order", fingerprint: creation.fingerprint, count: 100 }]),
    find: (_: object, { after = "0", limit = 0 }: { readonly after?: string; readonly limit?: number } = {}) => {
      const next = Number(after) + limit
      const items = uuids.slice(Number(after), next).map(summary)
      return Effect.succeed(next < uuids.length ? { items, next: `${next}` } : { items })
    },
    load: (uuid: string) => {
      if (state.isAway) return failing("unavailable", "load")
      if (uuid === "7") return Effect.fail(new SagaExecutionRepository.SagaExecutionNotFound({ uuid }))
      return Number(uuid) % 5 === 0 ? failing("corrupt", "load") : Effect.succeed(good)
    }
  } as any
  return { state, layer: Layer.succeed(SagaExecutionRepository.SagaExecutionRepository, repository) }
})

describe("drift", () => {
  it.effect("F35, C10 what is stored is read in batches, up to a limit, and the log says how far it is", () =>
    Effect.gen(function* () {
      const { layer, state } = yield* many
      const said: Array<unknown> = []
      const logger = Logger.layer([Logger.make(({ message }) => void said.push([message].flat()))])
      const check = (limit?: number) =>
        SagaManager.checkDrift([Old], limit === undefined ? {} : { limit }).pipe(Effect.provide([layer, logger]))
      const all = yield* check()
      assert.deepStrictEqual([all.unreadable.length, all.checked, all.isComplete], [400, 2_000, true])
      assert.deepInclude(all.unreadable[0], { uuid: "0", saga: "Order", value: "facts" })
      assert.deepStrictEqual(said, [
        ["Stored executions are being read", { saga: "Order", checked: 1_000, unreadable: 200 }],
        ["Stored executions are being read", { saga: "Order", checked: 2_000, unreadable: 400 }]
      ])
      const some = yield* check(150)
      assert.deepStrictEqual([some.unreadable.length, some.checked, some.isComplete], [30, 150, false])
      const none = yield* SagaManager.checkDrift([New]).pipe(Effect.provide([layer, logger]))
      assert.deepInclude(none, { unreadable: [], checked: 0, isComplete: true })
      state.isAway = true
      assert.deepInclude(yield* Effect.flip(check()), { reason: "unavailable" })
    })
  )

  it.effect("drift is counted before a deployment, without a manager", () =>
    Effect.gen(function* () {
      yield* leave(Old)
      yield* leave(Old)
      const drift = yield* SagaManager.checkDrift([New, Other])
      assert.deepStrictEqual(drift, {
        continued: [],
        drifted: [{ saga: "Order", fingerprint: Old.fingerprint, count: 2 }],
        unreadable: [],
        checked: 0,
        isComplete: true
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
