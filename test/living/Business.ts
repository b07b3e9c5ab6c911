/**
 * The order business where an orchestrator has no tables of the business: the stock is a service too. Goods and money count at once and
 * are given back by compensations, the parcel is staged until the commit, and two steps are outside of every database.
 */
import { Effect, Layer, Schema } from "effect"
import { Participant, Saga } from "effect-saga"
import { MqttBroker } from "effect-saga/mqtt"
import { NatsBroker } from "effect-saga/nats"
import { SqlParticipantStore } from "effect-saga/sql"
import { Shipping, ShippingPrepared } from "../../bench/business/library.ts"
import { books, store } from "../../bench/business/serve.ts"
import type { Service } from "../../bench/business/shop.ts"
import * as Prepared from "../../bench/business/stock.ts"
import { Order, OutOfStock, Payments } from "../../examples/order/contracts.ts"
import { release } from "../../examples/order/orders.ts"
import { layer as PaymentsLive } from "../../examples/order/payments.ts"

const Stock = Participant.make("stock", {
  Reserve: { payload: Order.fields, success: Schema.String, error: OutOfStock },
  Release: { payload: { reservation: Schema.String } }
})

/** The goods are sold with the commit. */
const StockLive = Participant.layer(
  Stock,
  { Reserve: Prepared.prepare, Release: ({ reservation }) => release(reservation) },
  { commit: Prepared.decided.commit }
)

type Outside = (work: { readonly step: string; readonly op: "execute" | "failure" }) => Effect.Effect<void>

export const make = (outside: Outside) => {
  const local = (step: string) => ({
    success: Schema.String,
    execute: () => Effect.as(outside({ step, op: "execute" }), step),
    compensate: () => outside({ step, op: "failure" })
  })
  return Saga.make("PlaceOrder", { context: Order.fields }).pipe(
    Saga.remote("reservation", {
      execute: { command: Stock.commands.Reserve, payload: (order) => order },
      compensate: { command: Stock.commands.Release, payload: ({ reservation }) => ({ reservation }) }
    }),
    // The reply comes while the same execution is at work, in this process or in another one.
    Saga.parallel("bill", {
      paper: Saga.local("invoice", local("invoice")),
      money: Saga.remote("payment", {
        execute: {
          command: Payments.commands.Charge,
          payload: ({ amount, card, orderId }) => ({ orderId, card, amount })
        },
        compensate: { command: Payments.commands.Refund, payload: ({ payment }) => payment }
      })
    }),
    Saga.local("packing", local("packing")),
    Saga.remote("parcel", {
      execute: {
        command: Shipping.commands.Ship,
        payload: ({ city, orderId, speed }) => ({ orderId, city, express: speed === "express" })
      }
    }),
    Saga.commit
  )
}

/** The steps that are outside of every database. */
export const outsideSteps = ["invoice", "packing"]

/** A broker by its address. */
export const broker = (url: string, namespace: string) =>
  url.startsWith("nats:") ? NatsBroker.layer({ url, namespace }) : MqttBroker.layer({ url, namespace })

/** Of the services that answer the orders. The shop's is here the one of the stock. */
const codes = { orders: StockLive, payments: PaymentsLive, shipping: ShippingPrepared }

export interface Place {
  readonly pg: string
  readonly broker: string
  readonly namespace: string
  readonly schemas: Readonly<Record<Service, string>>
  /** Of each service: its transactions at the same time are one less. */
  readonly connections: number
}

/** A service that answers commands until the scope closes. Gives its books. */
export const serve = Effect.fnUntraced(function* (
  service: Service,
  { connections, namespace, pg, schemas, ...place }: Place
) {
  const live = codes[service].pipe(
    Layer.provide([SqlParticipantStore.layer(), broker(place.broker, namespace)]),
    Layer.provideMerge(store({ service, pg, schema: schemas[service], maxConnections: connections }))
  )
  const context = yield* Layer.build(live)
  return Effect.provideContext(books(service), context)
})
