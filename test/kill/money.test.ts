/**
 * Three services move money, and one of them is killed again and again: from outside, or by itself between two writes. In
 * the end every transfer is settled, both banks have come to the decision of the orchestrator, and every cent is there.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { EmbeddedBroker } from "../../src/aedes.ts"
import { PgliteClient } from "../../src/pglite.ts"
import { below, type Chance } from "../execution/rules/chance.ts"
import { accounts, opening, type Role } from "./money.program.ts"
import * as Program from "./Program.ts"

const kills = Number(process.env.SAGA_KILLS ?? 3)
const inFlight = Math.min(100, Number(process.env.SAGA_IN_FLIGHT ?? 10))
const program = new URL("./money.program.ts", import.meta.url)

const roles = ["transfers", "north", "south"] as const
/** Where a process kills itself, every other time. */
const places = ["store.after", "store.before", "publish.before", "acknowledge.before", "callback.after"]

type Databases = { readonly [R in Role["role"]]: Role["database"] }

const suffer = Effect.fnUntraced(function* (random: Chance, databases: Databases, mqtt: string) {
  const outer = yield* Effect.scope
  const start = Effect.fnUntraced(function* (role: Role["role"], more: Partial<Role> = {}) {
    const scope = yield* Scope.fork(outer)
    const order: Role = { role, mqtt, database: databases[role], inFlight, ...more }
    const run = yield* Effect.provideService(Program.start(program, JSON.stringify(order)), Scope.Scope, scope)
    yield* Program.printed(run, "up")
    return run
  })
  const running = {
    north: yield* start("north"),
    south: yield* start("south"),
    transfers: yield* start("transfers")
  }
  for (let kill = 0; kill < kills; kill++) {
    const role = roles[kill % roles.length]!
    yield* Effect.sleep(200 + below(random, 300))
    yield* running[role].kill
    assert.strictEqual(yield* running[role].ended, "SIGKILL")
    if (kill % 2 === 0) {
      running[role] = yield* start(role)
      continue
    }
    // The next one goes by its own hand, at a named place. It may get there before it is up.
    const name = places[(kill >> 1) % places.length]!
    const nth = 1 + below(random, inFlight * 2)
    const scope = yield* Scope.fork(outer)
    const order: Role = { role, mqtt, database: databases[role], inFlight, fault: { name, nth } }
    const doomed = yield* Effect.provideService(Program.start(program, JSON.stringify(order)), Scope.Scope, scope)
    assert.strictEqual(yield* doomed.ended, "SIGKILL", `${role} at ${name}`)
    running[role] = yield* start(role)
  }
  yield* Effect.sleep(500)
  yield* running.transfers.kill
  yield* running.transfers.ended
  const last = yield* start("transfers", { inFlight: 0 })
  yield* Program.printed(last, "settled")
  assert.strictEqual(yield* last.ended, 0)
  for (const role of ["north", "south"] as const) {
    yield* running[role].kill
    yield* running[role].ended
  }
})

interface Execution {
  readonly uuid: string
  readonly decision: string | null
  readonly status: string
  readonly parked: boolean
}

interface Part {
  readonly uuid: string
  readonly status: string
}

const audit = Effect.fnUntraced(function* (
  read: <A>(role: Role["role"], query: Effect.Effect<A, unknown, SqlClient.SqlClient>) => Effect.Effect<A>
) {
  const rows = <A extends object>(text: (sql: SqlClient.SqlClient) => Effect.Effect<ReadonlyArray<A>, unknown>) =>
    SqlClient.SqlClient.use(text)
  const executions = yield* read(
    "transfers",
    rows<Execution>((sql) => sql`select uuid::text as uuid, decision, status, parked from saga_execution`)
  )
  const partsOf = (role: "north" | "south") =>
    Effect.map(
      read(
        role,
        rows<Part>((sql) => sql`select uuid::text as uuid, status from saga_transaction`)
      ),
      (parts) => new Map(parts.map(({ status, uuid }) => [uuid, status]))
    )
  const [north, south] = [yield* partsOf("north"), yield* partsOf("south")]
  const withdrawals = yield* read(
    "north",
    rows<{ readonly id: string; readonly cents: number; readonly paid_back: boolean }>(
      (sql) => sql`select id, cents, paid_back from withdrawal`
    )
  )
  const held = yield* read(
    "south",
    rows<object>((sql) => sql`select id from hold`)
  )
  const balanceOf = (role: "north" | "south") =>
    Effect.map(
      read(
        role,
        rows<{ readonly cents: number }>((sql) => sql`select sum(cents)::float8 as cents from account`)
      ),
      ([row]) => row?.cents ?? 0
    )
  const [inNorth, inSouth] = [yield* balanceOf("north"), yield* balanceOf("south")]

  const wrong: Array<string> = []
  const taken = new Map(withdrawals.map((row) => [row.id.split(":")[0], row]))
  let moved = 0
  for (const { decision, parked, status, uuid } of executions) {
    const withdrawal = taken.get(uuid)
    const sides = [north.get(uuid), south.get(uuid)]
    if (parked) wrong.push(`${uuid} is parked`)
    if (decision === "commit") {
      moved += withdrawal?.cents ?? 0
      if (status !== "finished" || sides.some((side) => side !== "committed")) wrong.push(`${uuid} ${status} ${sides}`)
      if (withdrawal === undefined || withdrawal.paid_back) wrong.push(`${uuid} is committed without its withdrawal`)
    } else {
      if (status !== "errored" || sides.includes("committed")) wrong.push(`${uuid} ${status} ${sides}`)
      if (withdrawal !== undefined && !withdrawal.paid_back) wrong.push(`${uuid} is not paid back`)
    }
  }
  const known = new Set(executions.map(({ uuid }) => uuid))
  for (const uuid of [...north.keys(), ...south.keys()]) if (!known.has(uuid)) wrong.push(`${uuid} is nobody's`)
  if (held.length > 0) wrong.push(`${held.length} holds are left`)
  if (taken.size !== withdrawals.length) wrong.push("a withdrawal was made twice")
  if (inSouth !== moved || inNorth !== accounts * opening - moved) wrong.push(`${inNorth} + ${inSouth}, moved ${moved}`)
  const committed = executions.filter(({ decision }) => decision === "commit").length
  return { wrong, committed, rejected: executions.length - committed }
})

const folder = join(tmpdir(), "effect-saga-money-")

const suite = (
  name: string,
  acquire: Effect.Effect<Databases, never, Scope.Scope>,
  connect: (database: Role["database"]) => Layer.Layer<SqlClient.SqlClient, unknown>
) =>
  it.live(
    `I2, I5, I8 ${name}: survive ${kills} kills of either side`,
    () =>
      Effect.gen(function* () {
        const databases = yield* acquire
        const { url } = yield* EmbeddedBroker.make()
        yield* Program.planned((random) => Effect.scoped(suffer(random, databases, url)))
        const report = yield* audit((role, query) =>
          Effect.orDie(Effect.provide(query, Layer.fresh(connect(databases[role]))))
        )
        assert.deepStrictEqual(report.wrong, [])
        assert.isAtLeast(report.committed, 1)
        assert.isAtLeast(report.rejected, 1)
        if (process.env.SAGA_KILLS !== undefined) yield* Effect.log(report)
      }).pipe(Effect.scoped),
    120_000 + kills * 30_000
  )

describe("transfers between two banks", () => {
  const url = process.env.SAGA_TEST_PG_URL
  // Where there is a server, the folders are left to `npm run chaos`.
  if (url === undefined || process.env.SAGA_KILLS !== undefined) {
    suite(
      "with PGlite folders",
      Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(folder)),
        (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
      ).pipe(
        Effect.map((path) => ({
          transfers: { folder: join(path, "transfers") },
          north: { folder: join(path, "north") },
          south: { folder: join(path, "south") }
        }))
      ),
      (database) => PgliteClient.layer("folder" in database ? database : {})
    )
  }
  if (url !== undefined) {
    const server = PgClient.layer({ url: Redacted.make(url), maxConnections: 1, connectTimeout: "30 seconds" })
    const at = (name: string) => url.replace(/\/[^/]*$/, `/${name}`)
    suite(
      "on Postgres",
      Effect.gen(function* () {
        const prefix = `money_${Math.random().toString(36).slice(2, 10)}`
        const sql = (yield* Layer.build(server)).pipe((services) =>
          Effect.provideContext(
            SqlClient.SqlClient.use((client) => Effect.succeed(client)),
            services
          )
        )
        const client = yield* sql
        for (const role of roles) {
          const name = `${prefix}_${role}`
          yield* Effect.acquireRelease(client`create database ${client(name)}`, () =>
            Effect.orDie(client`drop database ${client(name)} with (force)`)
          )
        }
        return {
          transfers: { url: at(`${prefix}_transfers`) },
          north: { url: at(`${prefix}_north`) },
          south: { url: at(`${prefix}_south`) }
        }
      }).pipe(Effect.orDie),
      (database) =>
        PgClient.layer({
          url: Redacted.make("url" in database ? database.url : ""),
          maxConnections: 1,
          connectTimeout: "30 seconds"
        })
    )
  }
})
