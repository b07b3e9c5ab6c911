import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Saga, SagaExecution } from "effect-saga"

const Order = Saga.make("Order", { context: { sku: Schema.String } }).pipe(
  Saga.local("reservation", { success: Schema.String, execute: ({ sku }) => Effect.succeed(sku) }),
  Saga.commit
)

it.effect("DEF-018 a new execution has status created and the committed saga that it was made from", () =>
  Effect.gen(function* () {
    const execution = yield* SagaExecution.fromDefinition(Order, { context: { sku: "book" } })
    assert.strictEqual(execution.status, "created")
    assert.strictEqual(execution.definition, Order)
    assert.strictEqual(execution.saga, "Order")
    assert.deepStrictEqual({ ...(execution.context as object) }, { sku: "book" })
    assert.deepStrictEqual(execution.executedSteps, [])
  })
)

it("an execution keeps times in whole milliseconds, as they are stored", () => {
  const quick = Saga.make("Quick", { context: {} }).pipe(
    Saga.local("one", { execute: () => Effect.void, timeout: "1.5 millis" }),
    Saga.commit
  )
  assert.deepStrictEqual(quick.steps[0]?._tag === "Local" && quick.steps[0].policies, { timeout: 2 })
})
