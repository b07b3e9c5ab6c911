/** A customer without an address stops no other one, and is reported. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Ref } from "effect"
import { SagaTest } from "effect-saga/testing"
import { NoAddress, SendStatements, Statements } from "./statements.ts"

it.effect("each customer gets a statement, ten at a time, and the others are reported", () =>
  Effect.gen(function* () {
    const reported = yield* Ref.make<ReadonlyArray<string>>([])
    const StatementsTest = Layer.succeed(Statements, {
      due: () => Effect.succeed(Array.from({ length: 100 }, (_, i) => `customer ${i + 1}`)),
      send: (customer) => (customer.endsWith("7") ? Effect.fail(new NoAddress()) : Effect.sleep("1 second")),
      report: (_, failed) => Ref.set(reported, failed)
    })
    yield* SagaTest.given(SendStatements, { context: { day: "2026-12-01" }, layer: StatementsTest }).expect({
      status: "finished",
      compensated: []
    })
    assert.lengthOf(yield* Ref.get(reported), 10)
  })
)
