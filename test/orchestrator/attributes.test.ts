/** Executions are found by the attributes that their saga makes from the initial context. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Saga, SagaManager } from "effect-saga"
import { SagaExecution } from "effect-saga/internals"
import { makeWorld, open, start } from "../fixtures/manager.ts"

const Order = Saga.make("Order", {
  context: { customer: Schema.String, amount: Schema.Int },
  attributes: ({ amount, customer }) => ({ customer, isLarge: amount > 100 })
}).pipe(Saga.local("nothing", { execute: () => Effect.void }), Saga.commit)

describe("attributes", () => {
  it.effect("are stored at the start, shown, and found by, from processes that do not know the saga", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const { use } = yield* open(world, { sagas: [Order] })
      const stranger = (yield* open(world, { sagas: [] })).manager
      const execution = yield* use(SagaManager.run(Order, { context: { customer: "Ann", amount: 200 } }))
      yield* use(SagaManager.run(Order, { context: { customer: "Ann", amount: 2 } }))
      const attributes = { customer: "Ann", isLarge: true }
      assert.deepStrictEqual(execution.attributes, attributes)
      const { items } = yield* stranger.find({ attributes })
      assert.deepStrictEqual(
        items.map((item) => [item.uuid, item.attributes]),
        [[execution.uuid, attributes]]
      )
      assert.strictEqual((yield* stranger.find({ attributes: { customer: "Ann" } })).items.length, 2)
      assert.deepStrictEqual((yield* stranger.load(execution.uuid)).attributes, attributes)
      const raw = SagaExecution.raw(yield* stranger.load(execution.uuid))
      assert.deepStrictEqual((yield* SagaExecution.fromRaw(raw)).attributes, attributes)
    })
  )

  it.effect("that cannot be stored start nothing", () =>
    Effect.gen(function* () {
      const { manager, use } = yield* start({ keep: 10, sagas: [Order] })
      const context = { customer: "x".repeat(300), amount: 1 }
      const error = yield* Effect.flip(use(SagaManager.start(Order, { context })))
      assert.deepInclude(error, { _tag: "SagaInvalidStart", field: "attributes" })
      assert.notInclude(error.message, "xxx")
      assert.deepStrictEqual((yield* manager.find({})).items, [])
    })
  )

  it.effect("of a filter from plain JavaScript are checked", () =>
    Effect.gen(function* () {
      const { manager } = yield* start()
      for (const attributes of [7, "x", [], { a: null }, { a: {} }, { a: Number.NaN }]) {
        const error = yield* Effect.flip(manager.find({ attributes } as object))
        assert.strictEqual(error._tag, "SagaInvalidArgument", JSON.stringify(attributes))
      }
    })
  )
})
