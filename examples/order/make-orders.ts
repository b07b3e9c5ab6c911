/** Prints `orders.ndjson`: the same seed gives the same orders. `node examples/order/make-orders.ts [count] [seed]` */
import type { Order } from "./contracts.ts"

const [count = 300, seed = 1] = process.argv.slice(2).map(Number)

/** The random generator Mulberry32: small, and the same on every machine. */
const random = ((state: number) => () => {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
})(seed)

const below = (n: number) => Math.floor(random() * n)
/** Picks the first values often, and the last ones seldom. */
const pick = <A>(...values: ReadonlyArray<A>): A => values[Math.floor(values.length * random() ** 1.6)] as A

const prices = { book: 1_990, lamp: 4_950, chair: 12_900, table: 48_000, piano: 420_000, unicorn: 99_900 } as const

for (let i = 1; i <= count; i++) {
  const article = pick("book", "lamp", "chair", "table", "book", "lamp", "piano", "unicorn")
  const quantity = 1 + below(article === "book" ? 12 : 3)
  const order: Order = {
    orderId: `order-${String(i).padStart(4, "0")}`,
    article,
    quantity,
    amount: quantity * prices[article],
    card: `${pick(4, 5, 4, 5, 9)}${String(below(1_000_000_000)).padStart(15, "0")}`,
    city: pick("Ghent", "Porto", "Lyon", "Graz", "Turku", "Ghent", "Cork", "Atlantis", "Utopia", "Avalon"),
    speed: below(2) === 0 ? "express" : "standard"
  }
  console.log(JSON.stringify(order))
}
