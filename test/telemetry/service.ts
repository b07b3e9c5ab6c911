/** One service of the OTLP test, as a process: `orders <mqtt> <otlp>` runs one saga, `payments <mqtt> <otlp>` answers it. */
import process from "node:process"
import { Effect, Layer, Schema } from "effect"
import { FetchHttpClient } from "effect/http"
import { Otlp } from "effect/observability"
import {
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { MqttBroker } from "effect-saga/mqtt"

const [role = "", mqtt = "", otlp = ""] = process.argv.slice(2)
const secret = "PASSPORT-1234567"

const Payments = Participant.make("payments", {
  Charge: { payload: { card: Schema.String }, success: Schema.String },
  Refund: { payload: {} }
})
const PlaceOrder = Saga.make("PlaceOrder", { context: { card: Schema.String } }).pipe(
  Saga.local("parcel", {
    success: Schema.String,
    execute: () => Effect.succeed(secret),
    compensate: () => Effect.void
  }),
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: ({ card }) => ({ card }) },
    compensate: { command: Payments.commands.Refund, payload: () => ({}) }
  }),
  Saga.commit
)

const telemetry = Otlp.layerJson({
  baseUrl: otlp,
  resource: { serviceName: role },
  tracerExportInterval: "200 millis",
  loggerExportInterval: "200 millis",
  metricsExportInterval: "200 millis"
}).pipe(Layer.provide(FetchHttpClient.layer))
const broker = MqttBroker.layer({ url: mqtt, clientId: role, protocol: 4 })

const orders = SagaManager.layer([PlaceOrder]).pipe(
  Layer.provide([
    broker,
    SagaConfig.layer({ service: "orders" }),
    SagaExecutionRepository.layerMemory,
    TransactionCommitter.layerNone
  ])
)
const payments = Participant.layer(Payments, {
  Charge: ({ card }) => Effect.succeed(card),
  Refund: () => Effect.void
}).pipe(Layer.provide([broker, ParticipantStore.layerMemory]))

/** A line from the test begins the saga; the process ends when it is told to. */
const said = (): Promise<void> => new Promise((resolve) => void process.stdin.once("data", () => resolve()))

const program =
  role === "orders"
    ? Effect.promise(said).pipe(
        Effect.andThen(
          SagaManager.execute(PlaceOrder, { context: { card: secret }, user: secret }).pipe(
            Effect.withSpan("POST /orders")
          )
        ),
        Effect.andThen(Effect.sync(() => console.log("done"))),
        Effect.andThen(Effect.never),
        Effect.provide(orders)
      )
    : Effect.provide(Effect.never, payments)

console.log("up")
Effect.runFork(Effect.provide(program, telemetry))
