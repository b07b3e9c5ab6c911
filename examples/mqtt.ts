/** A broker that starts late: the program needs no code for it. */
import { ConfigProvider, Console, Effect, Fiber, Layer, Logger, Schedule, Schema } from "effect"
import {
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { EmbeddedBroker } from "effect-saga/aedes"
import { MqttBroker } from "effect-saga/mqtt"

const Weather = Participant.make("weather", {
  Ask: { payload: { city: Schema.String }, success: Schema.String }
})

const Picnic = Saga.make("Picnic", { context: { city: Schema.String } }).pipe(
  Saga.remote("sky", { execute: { command: Weather.commands.Ask, payload: ({ city }) => ({ city }) } }),
  Saga.commit
)

/** The broker and the client id come from the environment: `SAGA_MQTT_URL`, `SAGA_MQTT_PASSWORD`, … */
const environment = (port: number, clientId: string) =>
  ConfigProvider.layer(
    ConfigProvider.fromUnknown({
      SAGA_MQTT_URL: `mqtt://127.0.0.1:${port}`,
      SAGA_MQTT_CLIENT_ID: clientId,
      SAGA_MQTT_PROTOCOL: "4",
      SAGA_SERVICE: "picnics"
    })
  )

const WeatherLive = Participant.layer(Weather, { Ask: ({ city }) => Effect.succeed(`rain in ${city}`) }).pipe(
  Layer.provide([ParticipantStore.layerMemory, MqttBroker.layerConfig])
)

const PicnicsLive = SagaManager.layer([Picnic]).pipe(
  Layer.provide([SagaConfig.layerConfig, SagaExecutionRepository.layerMemory, TransactionCommitter.layerNone]),
  Layer.provideMerge(MqttBroker.layerConfig)
)

/** The readiness check of a process: is every connection there? */
const isReady = MqttBroker.MqttConnections.use(({ list }) =>
  Effect.map(list, (connections) => connections.every(({ ready }) => ready))
)

const program = Effect.gen(function* () {
  // A free port for a broker that starts later.
  const { port } = yield* Effect.scoped(EmbeddedBroker.make())
  yield* Layer.build(Layer.provide(WeatherLive, environment(port, "weather-1")))
  const picnics = yield* Layer.build(Layer.provide(PicnicsLive, environment(port, "picnics-1")))
  yield* Effect.gen(function* () {
    yield* Console.log((yield* isReady) ? "ready" : "not ready")
    const picnic = yield* SagaManager.execute(Picnic, { context: { city: "Ghent" } }).pipe(
      Effect.forkChild({ startImmediately: true })
    )
    yield* Console.log("the request waits")
    yield* EmbeddedBroker.make({ port })
    yield* Console.log("now there is a broker")
    const { sky } = yield* Fiber.join(picnic)
    yield* Console.log(sky)
    yield* Effect.repeat(isReady, { until: (it) => it, schedule: Schedule.spaced("10 millis") })
    yield* Console.log("ready")
  }).pipe(Effect.provideContext(picnics))
})

// The log would show lost connections with their reason; it is off, so that only this program prints.
program.pipe(Effect.scoped, Effect.provide(Logger.layer([])), Effect.runPromise)
