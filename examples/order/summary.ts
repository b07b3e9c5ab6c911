/** The outcomes of the orders, and the books of the three services together. */
import { Schema } from "effect"
import * as Orders from "./orders.ts"
import * as Payments from "./payments.ts"
import * as Shipping from "./shipping.ts"

export const Outcome = Schema.Literals(["committed", "undone", "parked"])
export type Outcome = typeof Outcome.Type

/** An order whose saga has ended. */
export const Settled = Schema.Struct({
  orderId: Schema.String,
  outcome: Outcome,
  /** The time of its end, in milliseconds since 1970. */
  at: Schema.Int,
  /** The first failure; empty if there is none. */
  why: Schema.String,
  /** The outcome of each step, one after the other. */
  trail: Schema.String,
  story: Schema.Array(Schema.String)
})
export type Settled = typeof Settled.Type

export const Books = Schema.Struct({ orders: Orders.Books, payments: Payments.Books, shipping: Shipping.Books })
export type Books = typeof Books.Type

/** The books add up if charges equal the confirmed orders, each of these has one parcel, and no stock is lost. */
export const isConserved = ({ orders, payments, shipping }: Books): boolean =>
  orders.stockAddsUp &&
  orders.pending === 0 &&
  orders.sold === payments.received &&
  orders.orders === payments.payments &&
  orders.orders === shipping.parcels

/** The output of `--json`. */
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

/** Counts the orders as they are settled. Of the stories of orders that were rolled back, only the longest is kept. */
export class Tally {
  readonly outcomes = new Map<string, Outcome>()
  readonly counts: { [outcome in Outcome]: number } = { committed: 0, undone: 0, parked: 0 }
  readonly reasons = new Map<string, number>()
  example: Settled | undefined
  /** The start of this run, and the number of orders that were settled before it. */
  begun: number | undefined
  earlier = 0

  /** False if the order is counted already: a service that was killed may report it twice. */
  add(order: Settled): boolean {
    const { orderId, outcome, why } = order
    if (this.outcomes.has(orderId)) return false
    this.outcomes.set(orderId, outcome)
    this.counts[outcome]++
    if (this.begun !== undefined && order.at < this.begun) this.earlier++
    if (outcome !== "committed") this.reasons.set(why, (this.reasons.get(why) ?? 0) + 1)
    if (outcome === "undone" && isBetter(order, this.example)) this.example = order
    return true
  }
}

/** True for the longer story; for two of the same length, the one of the earlier order. */
const isBetter = (one: Settled, other: Settled | undefined): boolean =>
  other === undefined ||
  one.story.length > other.story.length ||
  (one.story.length === other.story.length && one.orderId < other.orderId)

export const summarize = (tally: Tally, books: Books, seconds: number, crashes: number): Summary => ({
  orders: tally.outcomes.size,
  ...tally.counts,
  conserved: isConserved(books),
  seconds,
  crashes,
  outcomes: Object.fromEntries([...tally.outcomes].sort(([a], [b]) => (a < b ? -1 : 1)))
})
