/** The order business with the library: the saga of the example, and the same with a two-phase commit. */
import { Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, Participant, Saga, SagaConfig, SagaManager, SagaTransaction, TransactionCommitter } from "effect-saga"
import { MqttBroker } from "effect-saga/mqtt"
import { SqlParticipantStore, SqlSagaExecutionRepository } from "effect-saga/sql"
import { CardDeclined, NoCourier, Order, OutOfStock } from "../../examples/order/contracts.ts"
import * as PaymentsOfExample from "../../examples/order/payments.ts"
import { PlaceOrder } from "../../examples/order/saga.ts"
import * as ShippingOfExample from "../../examples/order/shipping.ts"
import { messages, type Outcome, Shop, type Start } from "./shop.ts"
import * as Stock from "./stock.ts"

// ---- two-phase commit ----------------------------------------------------------------------------------------------

const Payments = Participant.make("payments", {
  Charge: {
    payload: { orderId: Schema.String, card: Schema.String, amount: Schema.Int },
    success: Schema.String,
    error: CardDeclined,
    effect: "staged"
  }
})

/** The example's parcels, prepared until the commit. */
export const Shipping = Participant.make("shipping", {
  Ship: {
    payload: { orderId: Schema.String, city: Schema.String, express: Schema.Boolean },
    success: Schema.String,
    error: NoCourier,
    effect: "staged"
  }
})

/** Nothing is undone by a compensation: the hooks of the services commit and reject. */
const PrepareOrder = Saga.make("PrepareOrder", { context: Order.fields }).pipe(
  Saga.local("reservation", {
    success: Schema.String,
    error: OutOfStock,
    transactional: true,
    execute: Stock.prepare
  }),
  Saga.remote("payment", {
    execute: {
      command: Payments.commands.Charge,
      payload: ({ amount, card, orderId }) => ({ orderId, card, amount })
    }
  }),
  Saga.remote("parcel", {
    execute: {
      command: Shipping.commands.Ship,
      payload: ({ city, orderId, speed }) => ({ orderId, city, express: speed === "express" })
    }
  }),
  Saga.commit
)

/** The end of a transaction that has prepared rows of this table. */
const decided = (table: string) => {
  const change = (statement: (sql: SqlClient.SqlClient) => Effect.Effect<unknown, unknown>) =>
    SqlClient.SqlClient.use(statement).pipe(Effect.asVoid, Effect.orDie)
  return {
    commit: ({ uuid }: Stock.Part) =>
      change((sql) => sql`update ${sql(table)} set prepared_by = null where prepared_by = ${uuid}`),
    reject: ({ uuid }: Stock.Part) => change((sql) => sql`delete from ${sql(table)} where prepared_by = ${uuid}`)
  }
}

const PaymentsPrepared = Participant.layer(
  Payments,
  {
    Charge: Effect.fnUntraced(
      function* ({ amount, card, orderId }) {
        if (card.startsWith("9")) return yield* new CardDeclined({ reason: "stolen" })
        if (amount > 500_000) return yield* new CardDeclined({ reason: "over the limit" })
        const sql = yield* SqlClient.SqlClient
        const { uuid } = yield* SagaTransaction
        const id = `payment-${orderId}`
        yield* sql`insert into payment (id, order_id, amount, refunded, prepared_by)
          values (${id}, ${orderId}, ${amount}, false, ${uuid})`
        return id
      },
      Effect.catchTag("SqlError", Effect.die)
    )
  },
  decided("payment")
)

export const ShippingPrepared = Participant.layer(
  Shipping,
  {
    Ship: Effect.fnUntraced(
      function* ({ city, express, orderId }) {
        if (express && ["Atlantis", "Avalon", "Utopia"].includes(city)) return yield* new NoCourier({ city })
        const sql = yield* SqlClient.SqlClient
        const { uuid } = yield* SagaTransaction
        const id = `${express ? "courier" : "label"}-${orderId}`
        yield* sql`insert into parcel (id, order_id, city, express, prepared_by)
          values (${id}, ${orderId}, ${city}, ${express}, ${uuid})`
        return id
      },
      Effect.catchTag("SqlError", Effect.die)
    )
  },
  decided("parcel")
)

// ---- the three services --------------------------------------------------------------------------------------------

const broker = ({ namespace, service, url }: Start) =>
  Layer.effect(
    Broker.Broker,
    Broker.Broker.useSync((broker) => ({
      ...broker,
      publish: (message: Broker.Message) => {
        messages.sent++
        return broker.publish(message)
      }
    }))
  ).pipe(
    Layer.provide(MqttBroker.layer({ url, namespace, clientId: `${namespace}.${service}`, sessionExpiry: "5 minutes" }))
  )

type Settled = { readonly parked: ReadonlyArray<unknown>; readonly status: string }

const outcomeOf = ({ parked, status }: Settled): Outcome =>
  parked.length > 0 ? "parked" : status === "finished" ? "committed" : "undone"

const shop = ({ twoPhase }: Start) =>
  Effect.map(Effect.context<SagaManager.SagaManager>(), (manager) => {
    const options = (order: Order) => ({ context: order, startKey: order.orderId, raiseOnError: false }) as const
    const run = (order: Order) =>
      twoPhase
        ? Effect.map(SagaManager.run(PrepareOrder, options(order)), outcomeOf)
        : Effect.map(SagaManager.run(PlaceOrder, options(order)), outcomeOf)
    return Shop.of({ place: (order) => Effect.provideContext(run(order), manager) })
  })

export const orchestrator = (start: Start) =>
  Layer.effect(Shop, shop(start)).pipe(
    Layer.provide(
      start.twoPhase
        ? SagaManager.layer([PrepareOrder], { transaction: Stock.decided })
        : SagaManager.layer([PlaceOrder])
    ),
    Layer.provide(start.twoPhase ? TransactionCommitter.layerTwoPhase : TransactionCommitter.layerNone),
    Layer.provide([SqlSagaExecutionRepository.layer(), broker(start), SagaConfig.layer({ service: "orders" })])
  )

export const participant = (start: Start) => {
  const layers =
    start.service === "payments"
      ? { plain: PaymentsOfExample.layer, prepared: PaymentsPrepared }
      : { plain: ShippingOfExample.layer, prepared: ShippingPrepared }
  return (start.twoPhase ? layers.prepared : layers.plain).pipe(
    Layer.provide([SqlParticipantStore.layer(), broker(start)])
  )
}
