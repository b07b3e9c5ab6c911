// Tier M (a): hand-written Effect v4 saga — the physical limit for anything built on Effect.
// options: steps=sync (default: steps are Effects) | promise (steps are async functions); run=fiber (default: one
// runtime, `conc` looping fibers) | promise (Effect.runPromise per saga)
import * as Effect from "effect/Effect"
import * as work from "../lib.mjs"
import { loop } from "../loop.mjs"
export const tier = "M",
  sample = 64
const sync = {
  reserveTicket: (c) => Effect.sync(() => ({ ticketId: `t-${c.orderId}` })),
  takePayment: (c) => Effect.sync(() => ({ paymentId: `p-${c.orderId}-${c.amount}` })),
  ship: (c, fail) =>
    fail ? Effect.fail(new work.Declined("shipment declined")) : Effect.sync(() => ({ shipmentId: `s-${c.orderId}` })),
  cancelTicket: (c) => Effect.sync(() => ({ ticketCancelled: c.ticketId })),
  refundPayment: (c) => Effect.sync(() => ({ paymentRefunded: c.paymentId }))
}
const lift =
  (f) =>
  (...a) =>
    Effect.promise(() => f(...a))
const promise = {
  reserveTicket: lift(work.reserveTicket),
  takePayment: lift(work.takePayment),
  ship: (c, fail) => Effect.tryPromise({ try: () => work.ship(c, fail), catch: (e) => e }),
  cancelTicket: lift(work.cancelTicket),
  refundPayment: lift(work.refundPayment)
}
export const open = async ({ scenario, options }) => {
  const s = options.steps === "promise" ? promise : sync,
    fail = scenario === "failure"
  const saga = (i) =>
    Effect.suspend(() => {
      const undo = []
      let c = work.order(i)
      const merge = (r) => {
        c = { ...c, ...r }
      }
      return Effect.gen(function* () {
        merge(yield* s.reserveTicket(c))
        undo.push(s.cancelTicket)
        merge(yield* s.takePayment(c))
        undo.push(s.refundPayment)
        merge(yield* s.ship(c, fail))
        return c
      }).pipe(
        Effect.catch(() =>
          Effect.gen(function* () {
            for (let k = undo.length - 1; k >= 0; k--) merge(yield* undo[k](c))
            return { ...c, failed: true }
          })
        )
      )
    })
  const close = async () => {}
  if (options.run === "promise") return { run: (i) => Effect.runPromise(saga(i)), close }
  return { close, loop: (load) => Effect.runPromise(loop(saga, scenario, load)) }
}
