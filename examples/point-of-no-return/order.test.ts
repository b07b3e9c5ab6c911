/** Before the pivot everything is undone, and behind it nothing: not by a failure, a cancel or a crash. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SagaTest } from "effect-saga/testing"
import { NoCourier, PlaceOrder, Warehouse } from "./order.ts"

/** A warehouse to which so many couriers do not come. */
const warehouse = (absent: number) =>
  Layer.sync(Warehouse, () => {
    let left = absent
    return {
      setAside: Effect.succeed,
      putBack: () => Effect.void,
      handOver: Effect.suspend(() => (left-- > 0 ? Effect.fail(new NoCourier()) : Effect.succeed("parcel 17"))),
      write: () => Effect.void
    }
  })

const order = (absent: number, card = "visa") =>
  SagaTest.given(PlaceOrder, {
    context: { item: "a chair", card },
    layer: warehouse(absent),
    config: { retryForward: { times: 3 } }
  })

describe("an order", () => {
  it.effect("that fails before the pivot is undone", () =>
    order(0, "empty").expect({ status: "errored", cause: "CardDeclined", compensated: ["stock"] })
  )

  it.effect("whose courier comes at the third time is late, and whole", () =>
    order(2).expect({ status: "finished", context: { parcel: "parcel 17" }, took: "3 seconds" })
  )

  it.effect("whose courier never comes waits for a person, and cannot be cancelled", () =>
    Effect.gen(function* () {
      const { execution } = yield* order(100)
        .when({ cancelAfter: "1 hour" })
        .expect({ status: "paused", compensated: [], answers: ["SagaNotCancellable"] })
      assert.lengthOf(execution.parked, 1)
    })
  )

  it.effect("ends with its parcel after a crash at any write, or at any point of that step", () =>
    Effect.gen(function* () {
      for (const only of ["store", "parcel"] as const) {
        const context = { item: "a chair", card: "visa" }
        const runs = yield* SagaTest.crashPoints(PlaceOrder, { context, layer: warehouse(0), only })
        for (const { crash, execution } of runs) assert.strictEqual(execution.status, "finished", crash)
        assert.isAbove(runs.length, 4)
      }
    })
  )
})
