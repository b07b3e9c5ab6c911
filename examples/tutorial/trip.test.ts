/** A traveller with a seat has a room, and nobody else has a room: whatever the airline says, and wherever a crash happens. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Saga } from "effect-saga"
import { SagaTest } from "effect-saga/testing"
import { AirlineLive, BookTrip, Hotel, HotelLive } from "./trip.ts"

const rooms = Hotel.use((hotel) => hotel.taken)

it("gives the room back if there is no seat", () => {
  assert.deepStrictEqual(Saga.rollbackPlan(BookTrip, "flight"), [{ path: "0", step: "room", how: "local" }])
})

it.effect("gives the room back if the airline is silent", () =>
  Effect.gen(function* () {
    const { compensated, inspected, story } = yield* SagaTest.run(BookTrip, {
      context: { city: "Porto" },
      layer: HotelLive,
      replies: { flight: SagaTest.silence },
      inspect: rooms
    })
    assert.deepStrictEqual([compensated, inspected], [["room"], 0])
    assert.deepStrictEqual(story.slice(2, 6), [
      "flight: airline is asked to Book",
      "after 30s: flight failed: no result at its deadline; whether it had an effect is not known",
      "flight: airline is asked what became of it",
      "flight: it was not done, and never will be"
    ])
  })
)

it.effect("cancels a seat that comes too late", () =>
  Effect.gen(function* () {
    const { commands } = yield* SagaTest.run(BookTrip, {
      context: { city: "Porto" },
      layer: HotelLive,
      replies: { flight: ({ city }) => SagaTest.late("1 minute", { seat: `12A to ${city}` }) }
    })
    assert.deepStrictEqual(
      commands.map(({ command }) => command),
      ["Book", "Cancel"]
    )
    assert.deepStrictEqual(commands[1]?.payload, { seat: "12A to Porto" })
  })
)

for (const [city, taken] of [
  ["Porto", 1],
  ["Atlantis", 0]
] as const) {
  it.effect(`leaves ${taken} rooms taken for ${city}, after a crash at any instruction`, () =>
    Effect.gen(function* () {
      const runs = yield* SagaTest.crashPoints(BookTrip, {
        context: { city },
        layer: Layer.merge(HotelLive, AirlineLive),
        inspect: rooms
      })
      for (const { crash, execution, inspected } of runs) {
        assert.strictEqual(execution.status, taken === 1 ? "finished" : "errored", crash)
        assert.strictEqual(inspected, taken, crash)
      }
      assert.isAbove(runs.length, 10)
    })
  )
}
