/**
 * One service of the business, served in a process of its own. The orders come by lines: `place {"orders", "inFlight"}` answers
 * `placed` with the outcomes; `usage` and `books` answer with what the process has used and what its tables say. It ends with its input.
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
import { countStatements, messages, type Outcome, type Service, Shop, type Start, statements } from "./shop.ts"

/** How the services are written. */
export interface Implementation {
  readonly orchestrator: (start: Start) => Layer.Layer<Shop, unknown, SqlClient.SqlClient>
  readonly participant: (start: Start) => Layer.Layer<never, unknown, SqlClient.SqlClient>
}

const codes = { orders: Orders, payments: Payments, shipping: Shipping }
const preparing = { orders: "reservation", payments: "payment", shipping: "parcel" }

/** Where a service keeps its tables. `maxConnections`: as of the client. */
type Place = Pick<Start, "pg" | "schema" | "service"> & { readonly maxConnections?: number }

const database = ({ maxConnections = 10, pg, schema }: Place) =>
  PgClient.layer({
    url: Redacted.make(pg),
    applicationName: schema,
    startupParameters: { search_path: schema },
    maxConnections,
    connectTimeout: "30 seconds"
  })

/** A row that a transaction has prepared has its name. */
const tables = Effect.fnUntraced(function* (service: Service) {
  const sql = yield* SqlClient.SqlClient
  const table = preparing[service]
  yield* codes[service].tables
  yield* sql`alter table ${sql(table)} add column if not exists prepared_by text`
  yield* sql`create index if not exists ${sql(`${table}_prepared`)} on ${sql(table)} (prepared_by) where prepared_by is not null`
})

/** The database of a service, whose tables are there. */
export const store = (place: Place) => Layer.provideMerge(Layer.effectDiscard(tables(place.service)), database(place))

export const books = Effect.fnUntraced(function* (service: Service) {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ prepared: number }>`select count(*)::int as prepared from ${sql(preparing[service])}
    where prepared_by is not null`
  return { ...(yield* codes[service].books), prepared: row?.prepared ?? 0 }
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

const obey = Effect.fnUntraced(function* (service: Service, place: (told: Told) => Effect.Effect<void, unknown>) {
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
      return told.what === "books" ? Effect.flatMap(books(service), (it) => say("books", it)) : say("usage", usage())
    })
  )
})

/** Serves until the input ends, then the process ends. */
export const serve = (start: Start, { orchestrator, participant }: Implementation): void => {
  const { pg, service } = start
  const program =
    service === "orders"
      ? Shop.use((shop) => obey(service, ({ inFlight, orders }) => placeAll(shop, orders, inFlight))).pipe(
          Effect.provide(orchestrator(start))
        )
      : Effect.provide(
          obey(service, () => Effect.void),
          participant(start)
        )
  countStatements(pg)
  program.pipe(Effect.provide(store(start)), Effect.runPromise).then(
    () => process.exit(0),
    (error) => {
      console.error(error)
      process.exit(1)
    }
  )
}
