/** The order business in three processes: started, given orders, killed, started again, and audited by its tables. */
import { readFileSync } from "node:fs"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { PgClient } from "@effect/sql-pg"
import { Effect, Fiber, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import type { Order } from "../../examples/order/contracts.ts"
import { expected } from "../../examples/order/expected.ts"
import * as Program from "../../test/kill/Program.ts"
import { type Outcome, type Service, type Start, services } from "./shop.ts"

export const pg = process.env.SAGA_TEST_PG_URL ?? "postgres://postgres@127.0.0.1:5432/test"

export interface Kind extends Pick<Start, "by" | "twoPhase"> {
  /** The file of the program of a service. Default: the one of this folder, which knows `library` and `hand`. */
  readonly program?: string
  /** The address of Postgres. Default: that of the tests. */
  readonly pg?: string
  /** The services have one schema, where the engine keeps the messages of all of them. */
  readonly together?: boolean
}

const lines = readFileSync(new URL("../../examples/order/orders.ndjson", import.meta.url), "utf8")
  .trim()
  .split("\n")
const samples: ReadonlyArray<Order> = lines.map((line) => JSON.parse(line))

/** Orders of the example, again and again under other names. */
export const ordersFrom = (first: number, count: number): ReadonlyArray<Order> =>
  Array.from({ length: count }, (_, i) => ({
    ...samples[(first + i) % samples.length]!,
    orderId: `order-${first + i}`
  }))

export interface Placed extends Readonly<Record<Outcome, number>> {
  readonly millis: number
}

/** Since the start of the process. `cpu` in milliseconds. */
export interface Usage {
  readonly cpu: number
  readonly statements: number
  readonly messages: number
}

interface Books {
  readonly sold: number
  readonly received: number
  readonly orders: number
  readonly payments: number
  readonly parcels: number
  readonly pending: number
  readonly stockAddsUp: boolean
  readonly prepared: number
}

/** Compares the books of the services, in their order, with the outcomes that these orders must have: a sentence for each difference. */
export const differences = (
  orders: ReadonlyArray<Order>,
  books: ReadonlyArray<Partial<Books>>
): ReadonlyArray<string> => {
  const committed = orders.filter((order) => expected(order) === "committed")
  const amount = committed.reduce((sum, order) => sum + order.amount, 0)
  const { length } = committed
  const [shop, payments, shipping] = books
  const prepared = (payments?.prepared ?? 0) + (shipping?.prepared ?? 0)
  const is: Partial<Books> = { ...payments, ...shipping, ...shop, prepared }
  const should: Books = {
    ...{ sold: amount, received: amount, orders: length, payments: length, parcels: length },
    ...{ pending: 0, stockAddsUp: true, prepared: 0 }
  }
  const keys = Object.keys(should) as ReadonlyArray<keyof Books>
  return keys.flatMap((key) => (is[key] === should[key] ? [] : [`${key} is ${is[key]}, and should be ${should[key]}`]))
}

const ownProgram = fileURLToPath(new URL("service.program.ts", import.meta.url))

/** A folder for the profiles of the processes; none without it. */
const profiles = process.env.BUSINESS_PROFILES
const profiling = (schema: string) =>
  profiles === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profiles}`, `--cpu-prof-name=${schema}.cpuprofile`]

const withDatabase = <A, E>(url: string, run: (sql: SqlClient.SqlClient) => Effect.Effect<A, E>) =>
  Effect.provide(
    SqlClient.SqlClient.use(run),
    PgClient.layer({ url: Redacted.make(url), connectTimeout: "30 seconds" })
  )

/** Starts the three services on tables and topics of their own, which go with the scope. */
export const begin = Effect.fnUntraced(function* (kind: Kind, url: string) {
  const { by, program = ownProgram, together = false, twoPhase } = kind
  const namespace = `b${Math.random().toString(36).slice(2, 10)}`
  const schemaOf = (service: Service) => `bench_${namespace}_${together ? "all" : service}`
  const each = <A, E, R>(f: (service: Service) => Effect.Effect<A, E, R>) =>
    Effect.forEach(services, f, { concurrency: "unbounded" })
  const schemas = [...new Set(services.map(schemaOf))]
  const onSchemas = (word: "create" | "drop") =>
    withDatabase(kind.pg ?? pg, (sql) =>
      Effect.forEach(schemas, (schema) =>
        word === "create" ? sql`create schema ${sql(schema)}` : sql`drop schema ${sql(schema)} cascade`
      )
    )
  yield* onSchemas("create")
  yield* Effect.addFinalizer(() => Effect.orDie(onSchemas("drop")))

  const start = Effect.fnUntraced(function* (service: Service) {
    const schema = schemaOf(service)
    const start: Start = { by, twoPhase, service, pg: kind.pg ?? pg, schema, url, namespace }
    const flags = ["--conditions=effect-saga:source", ...profiling(`${by}-${twoPhase}-${service}`)]
    const run = yield* Program.startBy(process.execPath, ...flags, program, JSON.stringify(start))
    yield* Program.printed(run, "up")
    return run
  })
  const running = new Map<Service, Program.Program>()
  const startAll = each((service) => Effect.map(start(service), (run) => running.set(service, run)))
  yield* startAll

  const ask = (service: Service, what: "place" | "usage" | "books", more: object = {}) =>
    Effect.suspend(() => {
      const run = running.get(service)!
      const word = what === "place" ? "placed" : what
      return Effect.andThen(
        run.say(JSON.stringify({ what, ...more })),
        Effect.map(Program.printed(run, word), JSON.parse)
      )
    })

  const place = (orders: ReadonlyArray<Order>, inFlight: number): Effect.Effect<Placed> =>
    ask("orders", "place", { orders, inFlight })

  return {
    schemaOf,
    place,
    usage: (service: Service): Effect.Effect<Usage> => ask(service, "usage"),
    pidOf: (service: Service) => running.get(service)!.pid,
    /** Kills a service while orders are under way, and starts it again. Orders that were under way are placed again. */
    suffer: Effect.fnUntraced(function* (service: Service, orders: ReadonlyArray<Order>, millis: number) {
      const fiber = yield* Effect.forkChild(Effect.exit(place(orders, 16)))
      yield* Effect.sleep(millis)
      yield* running.get(service)!.kill
      running.set(service, yield* start(service))
      // The orchestrator has lost its callers.
      if (service === "orders") yield* Fiber.interrupt(fiber)
      else yield* Fiber.join(fiber)
      return yield* place(orders, 16)
    }),
    audit: (orders: ReadonlyArray<Order>) =>
      Effect.map(
        each((service) => ask(service, "books")),
        (books) => differences(orders, books)
      ),
    /** Ends the processes. */
    end: each((service) => {
      const run = running.get(service)!
      return Effect.andThen(run.closeInput, run.ended)
    })
  }
}, Effect.orDie)
