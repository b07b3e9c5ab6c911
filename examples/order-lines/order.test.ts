/** All lines are packed, or none is, whatever crashes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Ref } from "effect"
import { Participant } from "effect-saga"
import { SagaTest } from "effect-saga/testing"
import { OutOfStock, Packing, PlaceOrder, Stock } from "./order.ts"

const line = (sku: string, count = 1) => ({ sku, count })

/** A stock that counts what is reserved. */
const held = Ref.makeUnsafe<ReadonlyArray<string>>([])
const StockTest = Layer.effect(
  Stock,
  Effect.as(Ref.set(held, []), {
    reserve: (sku, count) =>
      count > 9
        ? Effect.fail(new OutOfStock({ sku }))
        : Effect.as(
            Ref.update(held, (all) => [...all.filter((other) => other !== sku), sku]),
            sku
          ),
    release: (reservation) => Ref.update(held, (all) => all.filter((other) => other !== reservation))
  })
)

const order = SagaTest.given(PlaceOrder, {
  context: { lines: [line("book"), line("pen"), line("chair")] },
  layer: StockTest
})

describe("an order with lines", () => {
  it.effect("is packed line by line; replies stand under the name of the forEach", () =>
    order
      .when({ replies: { packed: { box: ({ sku }) => `box of ${sku}` } } })
      .expect({ status: "finished", context: { label: "box of book + box of pen + box of chair" } })
  )

  it.effect("is undone when one line cannot be packed", () =>
    Effect.gen(function* () {
      const box = ({ sku }: { readonly sku: string }) => (sku === "pen" ? SagaTest.dies : `box of ${sku}`)
      yield* order.when({ replies: { packed: { box } } }).expect({ status: "errored" })
      assert.deepStrictEqual(yield* Ref.get(held), [])
    })
  )

  it.effect("has all of its lines, or none, after a crash at any write", () =>
    Effect.gen(function* () {
      const packing = Participant.layer(Packing, { Pack: ({ sku }) => Effect.succeed(sku), Unpack: () => Effect.void })
      for (const count of [1, 10]) {
        const runs = yield* SagaTest.crashPoints(PlaceOrder, {
          context: { lines: [line("book"), line("pen"), line("chair", count)] },
          layer: Layer.merge(StockTest, packing),
          only: "store",
          inspect: Ref.get(held)
        })
        for (const { crash, execution, inspected } of runs) {
          assert.strictEqual(execution.status, count === 1 ? "finished" : "errored", crash)
          assert.lengthOf(inspected, count === 1 ? 3 : 0, crash)
        }
      }
    })
  )
})
