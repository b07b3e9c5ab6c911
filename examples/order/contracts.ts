/** The contracts between the services: an order, and the commands of payments and shipping. */
import { Schema } from "effect"
import { Participant } from "effect-saga"

/** A line of the orders file. Money is in cents. */
export const Order = Schema.Struct({
  orderId: Schema.NonEmptyString,
  article: Schema.NonEmptyString,
  quantity: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 })),
  amount: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000_000 })),
  card: Schema.NonEmptyString,
  city: Schema.NonEmptyString,
  speed: Schema.Literals(["express", "standard"])
})
export type Order = typeof Order.Type

export class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { article: Schema.String }) {}
export class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { reason: Schema.String }) {}
export class NoCourier extends Schema.TaggedError<NoCourier>()("NoCourier", { city: Schema.String }) {}

export const Payments = Participant.make("payments", {
  Charge: {
    payload: { orderId: Schema.String, card: Schema.String, amount: Schema.Int },
    success: Schema.Struct({ paymentId: Schema.String }),
    error: CardDeclined
  },
  Refund: { payload: { paymentId: Schema.String } }
})

const parcel = { orderId: Schema.String, city: Schema.String }

export const Shipping = Participant.make("shipping", {
  BookCourier: { payload: parcel, success: Schema.Struct({ courierId: Schema.String }), error: NoCourier },
  CancelCourier: { payload: { courierId: Schema.String } },
  PrintLabel: { payload: parcel, success: Schema.Struct({ labelId: Schema.String }) },
  VoidLabel: { payload: { labelId: Schema.String } }
})
