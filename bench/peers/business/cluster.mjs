// Effect Cluster: three runners of one cluster, each with the shards of its service. The order is a workflow of activities; payments
// and shipping are entities whose messages are stored, and handled in one transaction with their answer.
// options: delivery=stored (default) or volatile (messages over sockets alone; the activity asks again, the effects bear it);
// poll=N (stored: milliseconds between two looks at the answers, default 20; that of Effect is 200)
import { NodeClusterSocket } from "@effect/platform-node"
import { Effect, Layer, Logger, Option, Schedule, Schema } from "effect"
import { ClusterSchema, ClusterWorkflowEngine, Entity, RunnerAddress } from "effect/cluster"
import { Rpc } from "effect/rpc"
import { SqlClient } from "effect/sql"
import { Activity, Workflow } from "effect/workflow"
import { CardDeclined, NoCourier, Order, OutOfStock } from "../../../examples/order/contracts.ts"
import * as Stock from "../../../examples/order/orders.ts"
import { Shop, services } from "../../business/shop.ts"

/** The messages of all services stand in the same tables, so a handler's transaction reaches them. */
export const together = () => true

const runner = ({ options, service }) =>
  NodeClusterSocket.layer({
    shardingConfig: {
      runnerAddress: Option.some(RunnerAddress.make("127.0.0.1", 34501 + services.indexOf(service))),
      availableShardGroups: services,
      assignedShardGroups: [service],
      entityReplyPollInterval: `${options.poll ?? 20} millis`
    }
  })

// ---- payments and shipping -----------------------------------------------------------------------------------------

const command = (name, payload, more, key) => Rpc.make(name, { payload, ...more, primaryKey: key })

const parcel = { orderId: Schema.String, city: Schema.String }
const byOrder = ({ orderId }) => orderId
const Parcel = Schema.Struct({ id: Schema.String })

const entities = {
  payments: Entity.make("Payments", [
    command(
      "Charge",
      { orderId: Schema.String, card: Schema.String, amount: Schema.Int },
      { success: Schema.Struct({ paymentId: Schema.String }), error: CardDeclined },
      byOrder
    ),
    command("Refund", { paymentId: Schema.String }, {}, ({ paymentId }) => paymentId)
  ]),
  shipping: Entity.make("Shipping", [
    command("BookCourier", parcel, { success: Parcel, error: NoCourier }, byOrder),
    command("PrintLabel", parcel, { success: Parcel }, byOrder)
  ])
}

const entityOf = (service, { delivery }) => {
  const own = entities[service].annotate(ClusterSchema.ShardGroup, () => service)
  return delivery === "volatile"
    ? own
    : own.annotateRpcs(ClusterSchema.Persisted, true).annotateRpcs(ClusterSchema.WithTransaction, true)
}

const send = (sql, id, { city, orderId }, express) =>
  sql`insert into parcel ${sql.insert({ id, order_id: orderId, city, express })} on conflict do nothing`.pipe(
    Effect.as({ id }),
    Effect.orDie
  )

const handlers = {
  payments: (sql) => ({
    Charge: ({ payload: { amount, card, orderId } }) => {
      if (card.startsWith("9")) return Effect.fail(new CardDeclined({ reason: "stolen" }))
      if (amount > 500_000) return Effect.fail(new CardDeclined({ reason: "over the limit" }))
      const paymentId = `payment-${orderId}`
      return sql`insert into payment ${sql.insert({ id: paymentId, order_id: orderId, amount, refunded: false })}
        on conflict do nothing`.pipe(Effect.as({ paymentId }), Effect.orDie)
    },
    Refund: ({ payload: { paymentId } }) =>
      sql`update payment set refunded = true where id = ${paymentId}`.pipe(Effect.asVoid, Effect.orDie)
  }),
  shipping: (sql) => ({
    BookCourier: ({ payload }) =>
      ["Atlantis", "Avalon", "Utopia"].includes(payload.city)
        ? Effect.fail(new NoCourier({ city: payload.city }))
        : send(sql, `courier-${payload.orderId}`, payload, true),
    PrintLabel: ({ payload }) => send(sql, `label-${payload.orderId}`, payload, false)
  })
}

export const participant = (start) =>
  entityOf(start.service, start.options)
    .toLayer(Effect.map(SqlClient.SqlClient, handlers[start.service]))
    .pipe(Layer.provide(runner(start)), Layer.provide(Logger.layer([])))

// ---- orders --------------------------------------------------------------------------------------------------------

const PlaceOrder = Workflow.make("PlaceOrder", {
  payload: Order.fields,
  success: Schema.Void,
  error: Schema.Union([OutOfStock, CardDeclined, NoCourier]),
  idempotencyKey: byOrder
}).annotate(ClusterSchema.ShardGroup, () => "orders")

/** An effect on the own tables, in one transaction with the result of the activity. */
const local = (name, options) => Activity.make({ name, ...options }).annotate(ClusterSchema.WithTransaction, true)

/** A question to another service; what is not said by the business is asked again. */
const remote = (name, { execute, ...options }) => {
  const said = (error) => error instanceof CardDeclined || error instanceof NoCourier
  const asked = Effect.retry(execute, { while: (error) => !said(error), schedule: Schedule.spaced("100 millis") })
  return Activity.make({ name, ...options, execute: asked })
}

const run = (start) =>
  Effect.gen(function* () {
    const payments = yield* entityOf("payments", start.options).client
    const shipping = yield* entityOf("shipping", start.options).client
    return Effect.fnUntraced(function* (order) {
      const { amount, card, city, orderId, speed } = order
      yield* local("reserve", {
        success: Schema.String,
        error: OutOfStock,
        execute: Stock.reserve(order)
      }).pipe(PlaceOrder.withCompensation(() => local("release", { execute: Effect.asVoid(Stock.release(orderId)) })))
      yield* remote("charge", {
        success: Schema.Struct({ paymentId: Schema.String }),
        error: CardDeclined,
        execute: payments(orderId).Charge({ orderId, card, amount })
      }).pipe(
        PlaceOrder.withCompensation((payment) => remote("refund", { execute: payments(orderId).Refund(payment) }))
      )
      yield* speed === "express"
        ? remote("courier", {
            success: Parcel,
            error: NoCourier,
            execute: shipping(orderId).BookCourier({ orderId, city })
          })
        : remote("label", { success: Parcel, execute: shipping(orderId).PrintLabel({ orderId, city }) })
      yield* local("confirm", { success: Schema.String, execute: Stock.confirm({ reservation: orderId }) })
    })
  })

const Live = (start) =>
  Layer.unwrap(Effect.map(run(start), (place) => PlaceOrder.toLayer(place))).pipe(
    Layer.provideMerge(ClusterWorkflowEngine.layer),
    Layer.provideMerge(runner(start)),
    Layer.provide(Logger.layer([]))
  )

export const orchestrator = (start) =>
  Layer.effect(
    Shop,
    Effect.map(Effect.context(), (context) =>
      Shop.of({
        place: (order) =>
          PlaceOrder.execute(order).pipe(
            Effect.match({ onSuccess: () => "committed", onFailure: () => "undone" }),
            Effect.provideContext(context)
          )
      })
    )
  ).pipe(Layer.provide(Live(start)))
