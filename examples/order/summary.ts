/** What the tables of the three services say together: whether money and goods add up. */
import type { SagaExecutionRepository } from "effect-saga"
import type * as Orders from "./orders.ts"
import type * as Payments from "./payments.ts"
import type * as Shipping from "./shipping.ts"

export type Outcome = "committed" | "undone" | "parked"

export interface Summary {
  readonly orders: number
  readonly committed: number
  readonly undone: number
  readonly parked: number
  readonly conserved: boolean
  readonly seconds: number
  readonly crashes: number
  readonly outcomes: { readonly [orderId: string]: Outcome }
}

/** The money received is that of the confirmed orders, each has one parcel, and no piece of stock is lost. */
export const isConserved = (orders: Orders.Books, payments: Payments.Books, shipping: Shipping.Books): boolean =>
  orders.stockAddsUp &&
  orders.pending === 0 &&
  orders.sold === payments.received &&
  orders.orders === payments.payments &&
  orders.orders === shipping.parcels

/** How an execution ended; undefined while it is under way. */
export const outcomeOf = ({
  parked,
  settled,
  status
}: Pick<SagaExecutionRepository.Head, "parked" | "settled" | "status">): Outcome | undefined =>
  parked ? "parked" : !settled ? undefined : status === "finished" ? "committed" : "undone"
