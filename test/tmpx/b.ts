import { Effect, Schema } from "effect"
import { Saga } from "effect-saga"
import { Payments } from "../definition/order.ts"
const start = Saga.make("S", { context: { sku: Schema.String } })
const charge = { command: Payments.commands.Charge, payload: ({ sku }: { readonly sku: string }) => ({ orderId: sku, amount: 1 }) }
export const r = start.pipe(
  Saga.remote("pay", { execute: charge,
    compensate: { command: Payments.commands.Refund, payload: ({ pay }) => pay, unknown: ({ sku }) => ({ paymentId: sku }) }, timeout: "1 second" }),
  Saga.remote("pay2", { execute: charge, timeout: "1 second",
    compensate: { command: Payments.commands.Refund, unknown: ({ sku, pay }) => ({ paymentId: sku + pay.paymentId }), payload: () => ({ paymentId: "" }) } }),
)
// optional through a spread; non-fresh extra key
const f = () => Effect.void
declare const b: boolean
export const o = start.pipe(Saga.local("a", { execute: f, compensate: { run: f, ...(b && { unknown: f }) }, timeout: 1 }))
const extra = { run: f, note: 1 }
export const p = start.pipe(Saga.local("a", { execute: f, compensate: extra, timeout: 1 }))
declare const form: Saga.Services<typeof o> extends never ? (() => Effect.Effect<void>) | { run: () => Effect.Effect<void>; unknown: () => Effect.Effect<void> } : never
export const q = start.pipe(Saga.local("a", { execute: f, compensate: form, timeout: 1 }))
