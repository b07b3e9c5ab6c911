/** A broker that is away and comes back: nobody has to do anything about it. */
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

/** Where the broker is, and who one is, come from the environment: `SAGA_MQTT_URL`, `SAGA_MQTT_PASSWORD`, … */
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

/** For the readiness check of a process: is everything connected that should be? */
const isReady = MqttBroker.MqttConnections.use(({ list }) =>
  Effect.map(list, (connections) => connections.every(({ ready }) => ready))
)

const program = Effect.gen(function* () {
  // A port that is free, for a broker that is not there yet.
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

// Lost connections are in the log, with the reason; here only what the program says is shown.
program.pipe(Effect.scoped, Effect.provide(Logger.layer([])), Effect.runPromise)
