/** Reads a file of orders: each line is one order as JSON. */
import { readFileSync } from "node:fs"
import { Effect, Schema } from "effect"
import { Order } from "./contracts.ts"
import { NotReady } from "./not-ready.ts"

const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Order))

export const read = Effect.fnUntraced(function* (file: string) {
  const unusable = (problem: string) =>
    new NotReady({ problem, mend: "mend it, or name another file with --orders FILE" })
  const text = yield* Effect.try({
    try: () => readFileSync(file, "utf8"),
    catch: () => unusable(`The file ${file} cannot be read`)
  })
  const orders = new Map<string, Order>()
  for (const [at, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue
    const bad = (reason: string) => unusable(`Line ${at + 1} of ${file} is no order (${reason})`)
    const order = yield* Effect.mapError(decode(line), ({ message }) => bad(message.replaceAll(/\s+/g, " ")))
    if (orders.has(order.orderId)) return yield* bad(`${order.orderId} is there twice`)
    orders.set(order.orderId, order)
  }
  if (orders.size === 0) return yield* unusable(`There is no order in ${file}`)
  return [...orders.values()]
})
