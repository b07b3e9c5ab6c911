/** One saga that all tests of this room know. */
import { Context, Effect, Schema } from "effect"
import * as Participant from "../../src/definition/ParticipantContract.ts"
import * as Saga from "../../src/definition/Saga.ts"

// Errors, as data.
export class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { sku: Schema.String }) {}
export class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { reason: Schema.String }) {}
export class NoCourier extends Schema.TaggedError<NoCourier>()("NoCourier", {}) {}

// Commands of other services. Those services import the same values.
export const Payments = Participant.make("payments", {
  Charge: {
    payload: { orderId: Schema.String, amount: Schema.Int },
    success: Schema.Struct({ paymentId: Schema.String }),
    error: CardDeclined
  },
  Refund: { payload: { paymentId: Schema.String } }
})

export const Shipping = Participant.make("shipping", {
  Book: {
    payload: { orderId: Schema.String },
    success: Schema.Struct({ courierId: Schema.String }),
    error: NoCourier
  },
  Cancel: { payload: { courierId: Schema.String } }
})

// Commands of this service.
export class Inventory extends Context.Service<
  Inventory,
  {
    readonly reserve: (sku: string, quantity: number) => Effect.Effect<string, OutOfStock>
    readonly release: (reservationId: string) => Effect.Effect<void>
  }
>()("Inventory") {}

// The saga: a value, read from top to bottom.
export const PlaceOrder = Saga.make("PlaceOrder", {
  context: { orderId: Schema.String, sku: Schema.String, quantity: Schema.Int, amount: Schema.Int }
}).pipe(
  Saga.local("reservationId", {
    success: Schema.String,
    error: OutOfStock,
    execute: ({ sku, quantity }) => Inventory.use((inventory) => inventory.reserve(sku, quantity)),
    compensate: ({ reservationId }) => Inventory.use((inventory) => inventory.release(reservationId))
  }),
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: ({ orderId, amount }) => ({ orderId, amount }) },
    compensate: { command: Payments.commands.Refund, payload: ({ payment }) => ({ paymentId: payment.paymentId }) },
    timeout: "30 seconds"
  }),
  Saga.conditional("delivery", [
    Saga.ifThen(
      ({ amount }) => amount > 100,
      Saga.remote("courier", {
        execute: {
          command: Shipping.commands.Book,
          payload: ({ orderId, payment }) => ({ orderId: orderId + payment.paymentId })
        },
        compensate: { command: Shipping.commands.Cancel, payload: ({ courier }) => ({ courierId: courier.courierId }) }
      })
    ),
    Saga.elseThen((branch) =>
      branch.pipe(
        Saga.local("pickup", {
          success: Schema.String,
          execute: ({ orderId }) => Effect.succeed(`desk of ${orderId}`)
        }),
        Saga.local("label", { success: Schema.String, execute: ({ pickup }) => Effect.succeed(pickup.toUpperCase()) })
      )
    )
  ]),
  Saga.local("receipt", {
    success: Schema.String,
    execute: ({ courier, payment, pickup }) => Effect.succeed(`${payment.paymentId} ${courier?.courierId ?? pickup}`)
  }),
  Saga.commit
)
