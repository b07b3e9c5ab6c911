/** The trip over MQTT: agency and airline could be on two machines, because they share only a broker. */
import { Console, Effect, Layer } from "effect"
import { ParticipantStore, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import { EmbeddedBroker } from "effect-saga/aedes"
import { MqttBroker } from "effect-saga/mqtt"
import { AirlineLive, BookTrip, HotelLive } from "./tutorial/trip.ts"

/** The broker keeps messages for this client id while its service is away. */
const connection = (url: string, clientId: string) => MqttBroker.layer({ url, clientId, protocol: 4 })

const travel = (url: string) =>
  SagaManager.layer([BookTrip]).pipe(
    Layer.provide([
      connection(url, "travel"),
      HotelLive,
      SagaConfig.layer({ service: "travel" }),
      SagaExecutionRepository.layerMemory,
      TransactionCommitter.layerNone
    ])
  )

const airline = (url: string) =>
  AirlineLive.pipe(Layer.provide([connection(url, "airline"), ParticipantStore.layerMemory]))

const book = (city: string) =>
  SagaManager.execute(BookTrip, { context: { city } }).pipe(
    Effect.flatMap(({ flight }) => Console.log(`seat ${flight.seat}`)),
    Effect.catchTag("FlightFull", ({ city }) => Console.log(`no seat to ${city}, and no room`))
  )

const program = Effect.gen(function* () {
  // A broker in this process, which speaks MQTT 3.1.1. In production it is a server, without `protocol: 4`.
  const { url } = yield* EmbeddedBroker.make()
  const trips = book("Porto").pipe(Effect.andThen(book("Atlantis")))
  yield* Effect.provide(trips, Layer.merge(travel(url), airline(url)))
})

Effect.runPromise(Effect.scoped(program))
