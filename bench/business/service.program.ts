/**
 * One service of the business in a process of its own. The orders come by lines: `place {"orders", "inFlight"}` answers `placed`
 * with the outcomes; `usage` and `books` answer with what the process has used and what its tables say. It ends with its input.
 */
import process from "node:process"
import { createInterface } from "node:readline"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Queue, Redacted, Stream } from "effect"
import { SqlClient } from "effect/sql"
import type { Order } from "../../examples/order/contracts.ts"
import * as Orders from "../../examples/order/orders.ts"
import * as Payments from "../../examples/order/payments.ts"
import * as Shipping from "../../examples/order/shipping.ts"
import * as ByHand from "./byHand.ts"
import * as Library from "./library.ts"
import { countStatements, messages, type Outcome, Shop, type Start, statements } from "./shop.ts"

const start: Start = JSON.parse(process.argv[2] ?? "")
const code = { orders: Orders, payments: Payments, shipping: Shipping }[start.service]
const table = { orders: "reservation", payments: "payment", shipping: "parcel" }[start.service]

const database = PgClient.layer({
  url: Redacted.make(start.pg),
  applicationName: start.schema,
  startupParameters: { search_path: start.schema },
  connectTimeout: "30 seconds"
})

/** A row that a transaction has prepared has its name. */
const tables = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* code.tables
  yield* sql`alter table ${sql(table)} add column if not exists prepared_by text`
  yield* sql`create index if not exists ${sql(`${table}_prepared`)} on ${sql(table)} (prepared_by) where prepared_by is not null`
})

const books = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ prepared: number }>`select count(*)::int as prepared from ${sql(table)}
    where prepared_by is not null`
  return { ...(yield* code.books), prepared: row?.prepared }
})

const say = (what: string, value: object) =>
  Effect.sync(() => {
    process.stdout.write(`${what} ${JSON.stringify(value)}\n`)
  })

const usage = () => {
  const { system, user } = process.cpuUsage()
  return { cpu: (system + user) / 1_000, statements: statements.sent, messages: messages.sent }
}

const placeAll = Effect.fnUntraced(function* (shop: Shop["Service"], orders: ReadonlyArray<Order>, inFlight: number) {
  const began = performance.now()
  const counts: Record<Outcome, number> = { committed: 0, undone: 0, parked: 0 }
  yield* Effect.forEach(
    orders,
    (order) =>
      Effect.map(shop.place(order), (outcome) => {
        counts[outcome]++
      }),
    { concurrency: inFlight, discard: true }
  )
  yield* say("placed", { ...counts, millis: performance.now() - began })
})

interface Told {
  readonly what: "place" | "usage" | "books"
  readonly orders: ReadonlyArray<Order>
  readonly inFlight: number
}

const obey = Effect.fnUntraced(function* (place: (told: Told) => Effect.Effect<void, unknown>) {
  const lines = yield* Queue.unbounded<string>()
  const reader = createInterface({ input: process.stdin })
  reader.on("line", (line) => Queue.offerUnsafe(lines, line))
  reader.on("close", () => Queue.offerUnsafe(lines, "end"))
  yield* say("up", {})
  yield* Stream.fromQueue(lines).pipe(
    Stream.takeWhile((line) => line !== "end"),
    Stream.runForEach((line) => {
      const told: Told = JSON.parse(line)
      if (told.what === "place") return place(told)
      return told.what === "books" ? Effect.flatMap(books, (it) => say("books", it)) : say("usage", usage())
    })
  )
})

const { orchestrator, participant } = start.by === "hand" ? ByHand : Library

const program =
  start.service === "orders"
    ? Shop.use((shop) => obey(({ inFlight, orders }) => placeAll(shop, orders, inFlight))).pipe(
        Effect.provide(orchestrator(start))
      )
    : Effect.provide(
        obey(() => Effect.void),
        participant(start)
      )

countStatements(start.pg)
program.pipe(Effect.provide(Layer.provideMerge(Layer.effectDiscard(tables), database)), Effect.runPromise).then(
  () => process.exit(0),
  (error) => {
    console.error(error)
    process.exit(1)
  }
)
