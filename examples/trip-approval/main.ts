/** Clicks of two people on the page of one trip. */
import { Console, Effect, Layer } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import {
  Broker,
  ParticipantStore,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { AirlineLive, HotelLive } from "../tutorial/trip.ts"
import { Page } from "./page.ts"
import { ApprovedTrip } from "./trip.ts"

const Sagas = Layer.merge(SagaManager.layer([ApprovedTrip]), AirlineLive).pipe(
  Layer.provide([
    HotelLive,
    SagaConfig.layer({ service: "travel" }),
    // Keeps what has ended, so that a late click is told so. On Postgres that is `retention`, 7 days.
    SagaExecutionRepository.layerMemoryWith({ keep: 100 }),
    ParticipantStore.layerMemory,
    Broker.layerMemory,
    TransactionCommitter.layerNone
  ])
)

const program = Effect.gen(function* () {
  const services = yield* Effect.context<SagaManager.SagaManager>()
  // A server runs the same route: `HttpRouter.serve(Page)` with the layer of a server, such as `NodeHttpServer.layer`.
  const web = HttpRouter.toWebHandler(
    Page.pipe(Layer.provideMerge(Layer.succeedContext(services)), Layer.provide(HttpServer.layerServices)),
    { disableLogger: true }
  )
  const click = Effect.fn(function* (trip: string, approved: boolean, by: string) {
    const body = JSON.stringify({ approved, by })
    const request = new Request(`http://localhost/trips/${trip}/approval`, { method: "POST", body })
    const response = yield* Effect.promise(() => web.handler(request))
    const text = yield* Effect.promise(() => response.text())
    yield* Console.log(`${by} clicks ${approved ? "yes" : "no"}: ${response.status} ${text.trim()}`)
  })

  const trip = { startKey: "trip-17", context: { city: "Porto" } }
  yield* SagaManager.start(ApprovedTrip, trip)
  yield* click("trip-18", true, "Ada")
  yield* click("trip-17", true, "Ada")
  yield* click("trip-17", true, "Ada")
  yield* click("trip-17", false, "Bob")
  const { trip: booked } = yield* SagaManager.execute(ApprovedTrip, trip)
  yield* Console.log(`the trip has seat ${booked.flight.seat}`)
  yield* click("trip-17", true, "Ada")
  yield* Effect.promise(web.dispose)
})

Effect.runPromise(Effect.provide(program, Sagas))
