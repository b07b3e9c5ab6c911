/** An approved trip, in virtual time: two days take no time. And the page: a double click counts once. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { Broker, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import { SagaTest } from "effect-saga/testing"
import { HotelLive } from "../tutorial/trip.ts"
import { Page } from "./page.ts"
import { Approval, ApprovedTrip } from "./trip.ts"

describe("an approved trip", () => {
  const trip = SagaTest.given(ApprovedTrip, { context: { city: "Porto" }, layer: HotelLive })
  const says = (approved: boolean) => [SagaTest.signal(Approval, { after: "1 day", payload: { approved, by: "Ada" } })]

  it.effect("is booked when somebody says yes", () =>
    trip
      .when({ signals: says(true), replies: { trip: { flight: { seat: "12A" } } } })
      .expect({ status: "finished", took: "1 day", commands: [{ command: "Book", payload: { city: "Porto" } }] })
  )

  it.effect("asks nobody for a seat when somebody says no", () =>
    trip.when({ signals: says(false) }).expect({ status: "errored", cause: "Declined", commands: [] })
  )

  it.effect("is given up after two days without an answer", () => trip.expect({ status: "errored", took: "2 days" }))
})

it.live("a double click on the page counts once, and a second opinion does not count", () =>
  Effect.gen(function* () {
    const services = yield* Effect.context<SagaManager.SagaManager>()
    const web = HttpRouter.toWebHandler(
      Page.pipe(Layer.provideMerge(Layer.succeedContext(services)), Layer.provide(HttpServer.layerServices)),
      { disableLogger: true }
    )
    const click = (body: unknown) =>
      Effect.promise(async () => {
        const init = { method: "POST", body: JSON.stringify(body) }
        return (await web.handler(new Request("http://localhost/trips/17/approval", init))).status
      })
    assert.strictEqual(yield* click({ approved: true, by: "Ada" }), 404)
    const uuid = yield* SagaManager.start(ApprovedTrip, { startKey: "17", context: { city: "Porto" } })
    assert.strictEqual(yield* click({ approved: "yes" }), 400)
    assert.strictEqual(yield* click({ approved: true, by: "Ada".repeat(100) }), 400)
    const yes = { approved: true, by: "Ada" }
    assert.deepStrictEqual(yield* Effect.all([click(yes), click(yes)], { concurrency: 2 }), [200, 200])
    assert.strictEqual(yield* click({ approved: false, by: "Bob" }), 409)
    const { events } = yield* SagaManager.SagaManager.use((manager) => manager.load(uuid))
    assert.lengthOf(
      events.filter(({ _tag }) => _tag === "SignalReceived"),
      1
    )
    yield* Effect.promise(web.dispose)
  }).pipe(
    Effect.provide(
      SagaManager.layer([ApprovedTrip]).pipe(
        Layer.provide([
          HotelLive,
          SagaConfig.layer({ service: "travel" }),
          SagaExecutionRepository.layerMemory,
          Broker.layerMemory,
          TransactionCommitter.layerNone
        ])
      )
    )
  )
)
