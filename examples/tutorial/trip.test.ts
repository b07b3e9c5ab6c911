/** A crash may happen anywhere: a traveller with a seat has a room, and nobody else has a room. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Saga } from "effect-saga"
import { SagaTest } from "effect-saga/testing"
import { AirlineLive, BookTrip, Hotel, HotelLive } from "./trip.ts"

it("gives the room back if there is no seat", () => {
  assert.deepStrictEqual(Saga.rollbackPlan(BookTrip, "flight"), [{ path: "0", step: "room", how: "local" }])
})

for (const [city, rooms] of [
  ["Porto", 1],
  ["Atlantis", 0]
] as const) {
  it.effect(`leaves ${rooms} rooms taken for ${city}, after a crash at any instruction`, () =>
    Effect.gen(function* () {
      const runs = yield* SagaTest.crashPoints(BookTrip, {
        context: { city },
        layer: Layer.merge(HotelLive, AirlineLive),
        inspect: Hotel.use((hotel) => hotel.taken)
      })
      for (const { crash, execution, inspected } of runs) {
        assert.strictEqual(execution.status, rooms === 1 ? "finished" : "errored", crash)
        assert.strictEqual(inspected, rooms, crash)
      }
      assert.isAbove(runs.length, 10)
    })
  )
}
