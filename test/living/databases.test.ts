/**
 * The order business on four orchestrators over two databases: again and again one is killed and replaced, another one is killed, a
 * third one stands still for longer than its lease, and buckets move. Every order ends as it must, goods and money are conserved, and what
 * is outside of the databases runs once. One round by default; `npm run chaos:databases` is the real thing: SAGA_ROUNDS rounds with
 * SAGA_IN_FLIGHT orders in flight, over MQTT and over NATS. The two databases are two schemas of one server.
 */
import process from "node:process"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import { SqlBuckets } from "effect-saga/sql"
import { ordersFrom } from "../../bench/business/business.ts"
import { services } from "../../bench/business/shop.ts"
import { below, type Chance, happens, pick } from "../execution/rules/chance.ts"
import * as Databases from "../fixtures/manyDatabases.ts"
import * as Mosquitto from "../fixtures/mosquitto.ts"
import * as Mqtt from "../fixtures/mqtt.ts"
import * as Nats from "../fixtures/nats.ts"
import { plain, schemaOf, url } from "../fixtures/postgres.ts"
import * as Program from "../kill/Program.ts"
import * as Business from "./Business.ts"
import { audit } from "./business.audit.ts"
import type { Told } from "./databases.program.ts"
import { killed } from "./events.ts"
import * as Fleet from "./Fleet.ts"

const { SAGA_IN_FLIGHT = "300", SAGA_LEASE = "3000", SAGA_PACE = "4000", SAGA_ROUNDS } = process.env

const isLong = SAGA_ROUNDS !== undefined

const program = new URL("./databases.program.ts", import.meta.url)

/** Connections of each service. The short form shares a server with other tests; the long one has too many orders for one transaction at a time. */
const connections = isLong ? 8 : 2

/** Buckets that move in a round. */
const moving = 16

/** A place of its own, with services that answer: two databases among which the buckets are divided, and all schemas go at the end. */
const founded = Effect.fnUntraced(function* (pg: string, broker: string) {
  const databases = yield* Databases.onServer("fleet", 2)
  const schemas = { north: databases.north.schema!, south: databases.south.schema! }
  const sql = Context.get(yield* Layer.build(plain(2)), SqlClient.SqlClient)
  const own = { orders: schemaOf("fleet_o"), payments: schemaOf("fleet_p"), shipping: schemaOf("fleet_h") }
  for (const schema of Object.values(own)) {
    yield* Effect.acquireRelease(sql`create schema ${sql(schema)}`, () =>
      Effect.ignore(sql`drop schema ${sql(schema)} cascade`)
    )
  }
  yield* Databases.divided(databases)
  const namespace = Mqtt.namespace()
  const books = yield* Effect.forEach(services, (service) =>
    Business.serve(service, { pg, broker, namespace, schemas: own, connections })
  )
  return { databases, schemas, sql, namespace, books: Effect.all(books) }
})

type Founded = Effect.Success<ReturnType<typeof founded>>

/** Some buckets of a database go to the other one. */
const moved = ({ databases }: Founded, random: Chance) =>
  Effect.gen(function* () {
    const [from, to] = happens(random, 0.5) ? (["north", "south"] as const) : (["south", "north"] as const)
    const all = (yield* SqlBuckets.served(databases))[from] ?? []
    const first = below(random, all.length)
    yield* SqlBuckets.move(databases, { from, to, buckets: all.slice(first, first + moving) })
  })

/** At most so many are placed at once: a burst of starts would be an event of its own. */
const most = 40

/** Keeps so many orders in flight, each placed twice, mostly at two processes. */
const placing = ({ schemas, sql }: Founded, fleet: Fleet.Fleet, inFlight: number, random: Chance) => {
  const placed = { count: 0 }
  const tables = Object.values(schemas).map((schema) => sql(`${schema}.saga_execution`))
  const feed = Effect.gen(function* () {
    const ended = yield* Effect.forEach(
      tables,
      (table) => sql<{ n: number }>`select count(*)::int as n from ${table} where settled`
    )
    const settled = ended.flat()
    const missing = inFlight - (placed.count - settled.reduce((sum, { n }) => sum + n, 0))
    for (let i = 0; i < Math.min(missing, most); i++) {
      const n = placed.count++
      for (let copy = 0; copy < 2; copy++) yield* pick(random, fleet.members).say(`place ${n}`)
    }
  }).pipe(Effect.delay("200 millis"), Effect.forever)
  /** Processes that were killed have not started all that they were told. */
  const rest = Effect.gen(function* () {
    const there = yield* Effect.forEach(tables, (table) => sql<{ key: string }>`select start_key as key from ${table}`)
    const known = new Set(there.flat().map(({ key }) => key))
    const missing = ordersFrom(0, placed.count).flatMap(({ orderId }, n) => (known.has(orderId) ? [] : [n]))
    for (const n of missing) yield* pick(random, fleet.members).say(`place ${n}`)
  })
  return { feed, placed, rest }
}

interface Plan {
  readonly pg: string
  readonly broker: string
  readonly settings: Fleet.Settings
  readonly rounds: number
}

const happening = Effect.fnUntraced(function* ({ broker, pg, rounds, settings }: Plan, random: Chance) {
  const place = yield* founded(pg, broker)
  const { namespace, schemas, sql } = place
  const fleet = yield* Fleet.make({ database: { url: pg }, schema: schemas.north, broker }, settings, (order) => {
    const told: Told = { ...order, url: pg, broker, schemas, namespace }
    return Program.start(program, JSON.stringify(told))
  })
  const { feed, placed, rest } = placing(place, fleet, settings.inFlight, random)
  yield* Effect.all(
    Array.from({ length: settings.processes }, () => fleet.start()),
    { concurrency: 2, discard: true }
  )
  const feeding = yield* Effect.forkChild(feed)
  // Some have come to their later steps.
  yield* Effect.sleep(settings.pace)
  for (let round = 0; round < rounds; round++) {
    const mover = yield* Effect.forkChild(moved(place, random))
    yield* killed({ fleet, settings, random })
    yield* Fiber.join(mover)
    yield* rest
  }
  assert.isUndefined(feeding.pollUnsafe(), "orders are placed until here")
  yield* Fiber.interrupt(feeding)
  yield* rest
  yield* fleet.settle
  const { folder, stops } = fleet
  const report = yield* audit({
    folder,
    stops,
    lease: settings.lease,
    orders: placed.count,
    schemas: Object.values(schemas),
    books: yield* place.books
  }).pipe(Effect.provideService(SqlClient.SqlClient, sql))
  if (isLong) yield* Effect.log({ rounds, ...report })
  assert.deepStrictEqual(report.wrong, [])
  assert.isAtLeast(report.committed, 1)
  assert.isAtLeast(report.rejected, 1)
}, Effect.scoped)

const small: Fleet.Settings = { inFlight: 40, processes: 4, lease: 3_000, grace: 5_000, pace: 800 }
const large: Fleet.Settings = {
  inFlight: Number(SAGA_IN_FLIGHT),
  processes: 4,
  lease: Number(SAGA_LEASE),
  grace: Number(SAGA_PACE) + 2_000,
  pace: Number(SAGA_PACE)
}

const suite = (name: string, broker: Effect.Effect<string, never, Scope.Scope>) => {
  const [settings, rounds] = isLong ? ([large, Number(SAGA_ROUNDS)] as const) : ([small, 1] as const)
  it.live(
    `${name}: every order ends as it must though processes are killed and stand still, ${rounds} times`,
    () =>
      Effect.gen(function* () {
        const plan = { pg: url ?? "", broker: yield* broker, settings, rounds }
        yield* Program.planned((random) => happening(plan, random))
      }).pipe(Effect.scoped),
    600_000 + rounds * 120_000
  )
}

const addressOf = <E, R>(started: Effect.Effect<{ readonly url: string }, E, R>) =>
  Effect.map(started, ({ url }) => url)

const hasMqtt = Mqtt.url !== undefined || Mosquitto.binary !== undefined

// Needs a server that several processes reach.
describe.runIf(url !== undefined && hasMqtt)("four orchestrators over two databases", () => {
  suite("MQTT", Mqtt.url === undefined ? addressOf(Mosquitto.started()) : Effect.succeed(Mqtt.url))
  if (isLong && Nats.binary !== undefined) suite("NATS", addressOf(Nats.started()))
})
