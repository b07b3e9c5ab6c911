/** The saga: reserve the goods, take the money, send the parcel. If a step fails, goods and money are given back. */
import { Schema } from "effect"
import { Saga } from "effect-saga"
import { Order, OutOfStock, Payments, Shipping } from "./contracts.ts"
import * as Shop from "./orders.ts"

export const PlaceOrder = Saga.make("PlaceOrder", { context: Order.fields }).pipe(
  Saga.local("reservation", {
    success: Schema.String,
    error: OutOfStock,
    transactional: true,
    execute: Shop.reserve,
    compensate: ({ reservation }) => Shop.release(reservation)
  }),
  Saga.remote("payment", {
    execute: {
      command: Payments.commands.Charge,
      payload: ({ amount, card, orderId }) => ({ orderId, card, amount })
    },
    compensate: { command: Payments.commands.Refund, payload: ({ payment }) => payment }
  }),
  Saga.conditional("delivery", [
    Saga.ifThen(
      ({ speed }) => speed === "express",
      Saga.remote("courier", {
        execute: { command: Shipping.commands.BookCourier, payload: ({ city, orderId }) => ({ orderId, city }) },
        compensate: { command: Shipping.commands.CancelCourier, payload: ({ courier }) => courier }
      })
    ),
    Saga.elseThen(
      Saga.remote("label", {
        execute: { command: Shipping.commands.PrintLabel, payload: ({ city, orderId }) => ({ orderId, city }) },
        compensate: { command: Shipping.commands.VoidLabel, payload: ({ label }) => label }
      })
    )
  ]),
  Saga.local("confirmation", { success: Schema.String, transactional: true, execute: Shop.confirm }),
  Saga.commit
)
