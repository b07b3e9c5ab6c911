/** Two services that speak over HTTP, each behind a server of its own, without a message broker. */
import { createServer } from "node:http"
import { NodeHttpServer } from "@effect/platform-node"
import { Console, Effect, Layer, Redacted, Schema } from "effect"
import { FetchHttpClient, HttpRouter } from "effect/http"
import {
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { HttpBroker } from "effect-saga/http"

class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { amount: Schema.Int }) {}

const Payments = Participant.make("payments", {
  Charge: { payload: { amount: Schema.Int }, success: Schema.String, error: CardDeclined },
  Refund: { payload: { payment: Schema.String } }
})

const Order = Saga.make("Order", { context: { amount: Schema.Int } }).pipe(
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: ({ amount }) => ({ amount }) },
    compensate: { command: Payments.commands.Refund, payload: ({ payment }) => ({ payment }) }
  }),
  Saga.commit
)

/** Known to these two services and to nobody else. It comes from the secrets of the deployment. */
const keys = [{ id: "2026-11", secret: Redacted.make("only orders and payments know") }]

/** The routes of a service on a port. Requests of our own are not logged one by one. */
const serve = <A, E, R>(app: Layer.Layer<A, E, R>, port: number) =>
  HttpRouter.serve(app, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provide([NodeHttpServer.layer(() => createServer(), { port, host: "127.0.0.1" }), FetchHttpClient.layer])
  )

// Payments answers with the response to each request, so it needs no URL of orders.
const PaymentsLive = Participant.layer(Payments, {
  Charge: ({ amount }) =>
    amount > 1_000 ? Effect.fail(new CardDeclined({ amount })) : Effect.succeed(`payment of ${amount}`),
  Refund: ({ payment }) => Console.log(`payments: back goes the ${payment}`)
}).pipe(
  Layer.provide(ParticipantStore.layerMemory),
  Layer.provide(HttpBroker.layer({ services: { orders: { keys } } }))
)

const OrdersLive = SagaManager.layer([Order]).pipe(
  Layer.provide([
    SagaConfig.layer({ service: "orders" }),
    SagaExecutionRepository.layerMemory,
    TransactionCommitter.layerNone,
    HttpBroker.layer({ services: { payments: { url: "http://127.0.0.1:4817/saga", keys } } })
  ])
)

const program = Effect.gen(function* () {
  const { payment } = yield* SagaManager.execute(Order, { context: { amount: 70 } })
  yield* Console.log(`orders: the ${payment}`)
  const refusal = yield* Effect.flip(SagaManager.execute(Order, { context: { amount: 7_000 } }))
  yield* Console.log(`orders: ${refusal._tag}`)
})

Effect.runPromise(Effect.provide(program, [serve(OrdersLive, 4816), serve(PaymentsLive, 4817)]))
