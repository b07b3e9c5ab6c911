/** Reads a file of orders: a line each, as JSON. */
import { readFileSync } from "node:fs"
import { Effect, Schema } from "effect"
import { Order } from "./contracts.ts"

/** The file cannot be used. The message says what is wrong with it and where. */
export class BadOrders extends Schema.TaggedError<BadOrders>()("BadOrders", {
  file: Schema.String,
  line: Schema.optionalKey(Schema.Int),
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.file}${this.line === undefined ? "" : `:${this.line}`}: ${this.problem}`
  }
}

const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Order))

export const read = Effect.fnUntraced(function* (file: string) {
  const text = yield* Effect.try({
    try: () => readFileSync(file, "utf8"),
    catch: () => new BadOrders({ file, problem: "cannot be read: name a file with one order a line (--orders FILE)" })
  })
  const orders = new Map<string, Order>()
  for (const [at, json] of text.split("\n").entries()) {
    if (json.trim() === "") continue
    const bad = (problem: string) => new BadOrders({ file, line: at + 1, problem })
    const order = yield* Effect.mapError(decode(json), ({ message }) => bad(message.replaceAll(/\s+/g, " ")))
    if (orders.has(order.orderId)) return yield* bad(`the order ${order.orderId} is there twice`)
    orders.set(order.orderId, order)
  }
  if (orders.size === 0) return yield* new BadOrders({ file, problem: "there is no order in it" })
  return [...orders.values()]
})
