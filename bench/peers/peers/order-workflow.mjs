// The order saga as an effect/workflow Workflow (shared by workflow-memory and cluster).
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Activity from "effect/workflow/Activity"
import * as Workflow from "effect/workflow/Workflow"
import * as work from "../lib.mjs"

const Failed = Schema.Struct({ failed: Schema.Boolean })
export const Order = Workflow.make("Order", {
  payload: { orderId: Schema.String, amount: Schema.Number, fail: Schema.Boolean },
  success: Schema.Struct({
    orderId: Schema.String,
    amount: Schema.Number,
    ticketId: Schema.String,
    paymentId: Schema.String,
    shipmentId: Schema.String
  }),
  error: Failed,
  idempotencyKey: (p) => p.orderId
})
// schemas are built once: an inline Schema.Struct per execution would be compiled per execution
const Ticket = Schema.Struct({ ticketId: Schema.String }),
  Payment = Schema.Struct({ paymentId: Schema.String })
const Shipment = Schema.Struct({ shipmentId: Schema.String })
const TicketUndone = Schema.Struct({ ticketCancelled: Schema.String }),
  PaymentUndone = Schema.Struct({ paymentRefunded: Schema.String })
const undone = new Map() // what the compensations returned, so the harness can check them
const activity = (name, success, f) =>
  Activity.make({
    name,
    success,
    error: Failed,
    execute: Effect.tryPromise({ try: f, catch: () => ({ failed: true }) })
  })
const undo = (name, success, f, orderId) =>
  Activity.make({ name, success, execute: Effect.promise(f) }).pipe(
    Effect.tap((r) => Effect.sync(() => undone.set(orderId, { ...undone.get(orderId), ...r }))),
    Effect.asVoid
  )
export const OrderLayer = Order.toLayer(
  Effect.fnUntraced(function* ({ orderId, amount, fail }) {
    const c = { orderId, amount }
    const t = yield* activity("ticket", Ticket, () => work.reserveTicket(c)).pipe(
      Order.withCompensation((v) => undo("ticket/undo", TicketUndone, () => work.cancelTicket({ ...c, ...v }), orderId))
    )
    const p = yield* activity("payment", Payment, () => work.takePayment(c)).pipe(
      Order.withCompensation((v) =>
        undo("payment/undo", PaymentUndone, () => work.refundPayment({ ...c, ...v }), orderId)
      )
    )
    const s = yield* activity("shipment", Shipment, () => work.ship(c, fail))
    return { ...c, ...t, ...p, ...s }
  })
)
/** one saga: the workflow's success, or its failure with the compensations' results */
export const runOrder = (i, scenario) => {
  const o = work.order(i)
  return Order.execute({ ...o, fail: scenario === "failure" }).pipe(
    Effect.catch((e) =>
      Effect.sync(() => {
        const u = undone.get(o.orderId)
        undone.delete(o.orderId)
        return { ...e, ...u }
      })
    )
  )
}
