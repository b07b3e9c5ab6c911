/**
 * Kills a program again and again while it is at work, from outside or by itself between two writes, and then lets it end.
 * Small by default; `npm run chaos` is the real thing: SAGA_KILLS kills with SAGA_IN_FLIGHT executions each time.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { PgliteClient } from "../../src/pglite.ts"
import { below, type Chance, pick } from "../execution/rules/chance.ts"
import * as Pglite from "../fixtures/pglite.ts"
import * as Program from "./Program.ts"

/**
 * What a program is told. It prints `found` and a number, `up`, and at the end `settled`: that comes where it is told to
 * finish, now or by a line.
 */
export interface Order {
  /** A folder, or the address of a server. */
  readonly database: { readonly folder: string } | { readonly url: string }
  readonly schema: string
  readonly inFlight: number
  /** Where it kills itself, the how manieth time it comes there. */
  readonly fault?: { readonly name: string; readonly nth: number }
  readonly finish: boolean
}

/** Compares the effects with the records. */
export interface Report {
  readonly committed: number
  readonly rejected: number
  readonly wrong: ReadonlyArray<string>
}

const kills = Number(process.env.SAGA_KILLS ?? 3)
const inFlight = Number(process.env.SAGA_IN_FLIGHT ?? 40)
const timeout = 120_000 + kills * 60_000 + inFlight * 600

/** Where a process kills itself, every other time: after a write and before what it allows, and the other way round. */
const places = [
  "store.after",
  "callback.after",
  "publish.before",
  "callback.before",
  "store.before",
  "acknowledge.before"
]

/** How many executions it found between two writes, before it was killed itself. */
const killOnce = (random: Chance, program: URL, order: Omit<Order, "finish">) =>
  Effect.gen(function* () {
    const run = yield* Program.start(program, JSON.stringify({ ...order, finish: false }))
    const found = Number(yield* Program.printed(run, "found"))
    if (order.fault === undefined) {
      yield* Program.printed(run, "up")
      yield* Effect.sleep(100 + below(random, 300))
      yield* run.kill
    }
    assert.strictEqual(yield* run.ended, "SIGKILL")
    return found
  }).pipe(Effect.scoped)

const fault = (random: Chance, { inFlight }: Pick<Order, "inFlight">) => ({
  name: pick(random, places),
  nth: 1 + below(random, inFlight * 2)
})

/**
 * Until enough kills count, half of them at named places: one counts if the next process finds executions between two
 * writes.
 */
const suffer = Effect.fnUntraced(function* (random: Chance, program: URL, base: Omit<Order, "finish" | "fault">) {
  const counted = { outside: 0, inside: 0 }
  let last: keyof typeof counted | undefined
  for (let kill = 0; counted.outside + counted.inside < kills; kill++) {
    assert.isBelow(kill, 2 * kills + 4, `too few kills count: ${JSON.stringify(counted)}`)
    const planned = { ...counted, ...(last !== undefined && { [last]: counted[last] + 1 }) }
    const where = planned.inside < planned.outside ? "inside" : "outside"
    const found = yield* killOnce(random, program, {
      ...base,
      ...(where === "inside" && { fault: fault(random, base) })
    })
    if (last !== undefined && found > 0) counted[last]++
    last = where
  }
  const survivor = yield* Program.start(program, JSON.stringify({ ...base, finish: true }))
  yield* Program.printed(survivor, "settled")
  assert.strictEqual(yield* survivor.ended, 0)
  return counted
}, Effect.scoped)

/**
 * Two processes at a time. One kills itself; then the other is killed at once, or has to go on with what both were at. The
 * last one that is left ends everything, and no new process helps it.
 */
const sufferTogether = Effect.fnUntraced(function* (
  random: Chance,
  program: URL,
  base: Omit<Order, "finish" | "fault">
) {
  const begin = Effect.fnUntraced(function* (order: Pick<Order, "fault">) {
    const run = yield* Program.start(program, JSON.stringify({ ...base, ...order, finish: false }))
    yield* Program.printed(run, "found")
    return run
  })
  const up = Effect.fnUntraced(function* () {
    const run = yield* begin({})
    yield* Program.printed(run, "up")
    return run
  })
  let other = yield* up()
  for (let round = 0; round < kills; round++) {
    const one = yield* begin({ fault: fault(random, base) })
    assert.strictEqual(yield* one.ended, "SIGKILL")
    if (round % 2 === 1) continue
    yield* other.kill
    assert.strictEqual(yield* other.ended, "SIGKILL")
    other = yield* up()
  }
  yield* other.say("finish")
  yield* other.closeInput
  yield* Program.printed(other, "settled")
  assert.strictEqual(yield* other.ended, 0)
}, Effect.scoped)

type Audit = (schema: string) => Effect.Effect<Report, unknown, SqlClient.SqlClient>

const judged = Effect.fnUntraced(function* (audit: Effect.Effect<Report, unknown>, counted: object) {
  const report = yield* audit
  assert.deepStrictEqual(report.wrong, [])
  assert.isAtLeast(report.committed, 1)
  assert.isAtLeast(report.rejected, 1)
  if (process.env.SAGA_KILLS !== undefined) yield* Effect.log({ ...counted, ...report })
})

const onDatabase = (
  name: string,
  inFlight: number,
  program: URL,
  audit: Audit,
  acquire: Effect.Effect<Order["database"], never, never> | undefined,
  connect: (database: Order["database"]) => Layer.Layer<SqlClient.SqlClient, SqlError | PgliteClient.PgliteError>,
  release: (database: Order["database"], schema: string) => Effect.Effect<unknown, unknown>
) =>
  describe.skipIf(acquire === undefined)(name, () => {
    it.live(
      `survives ${kills} kills with ${inFlight} executions in flight`,
      () =>
        Effect.gen(function* () {
          const database = yield* acquire ?? Effect.never
          const schema = `chaos_${Math.random().toString(36).slice(2, 10)}`
          yield* Effect.addFinalizer(() => Effect.orDie(release(database, schema)))
          const counted = yield* Program.planned((random) => suffer(random, program, { database, schema, inFlight }))
          yield* judged(Effect.provide(audit(schema), connect(database)), counted)
        }).pipe(Effect.scoped),
      timeout
    )
  })

const url = process.env.SAGA_TEST_PG_URL

// A server that makes a checkpoint for another test may keep a connection waiting for longer than 5 seconds.
const server = PgClient.layer({ url: Redacted.make(url ?? ""), connectTimeout: "30 seconds" })

const dropped = (schema: string) =>
  Effect.provide(
    SqlClient.SqlClient.use((sql) => sql`drop schema if exists ${sql(schema)} cascade`),
    server
  )

/** The program on a PGlite folder, and on the server where there is one. `most`: executions in flight, at the most. */
export const suite = (program: URL, audit: Audit, most = Number.POSITIVE_INFINITY): void => {
  onDatabase(
    "a PGlite folder",
    Math.min(inFlight, most),
    program,
    audit,
    Effect.gen(function* () {
      const folder = join(mkdtempSync(join(tmpdir(), "effect-saga-kill-")), "data")
      yield* Pglite.makeFolder(folder)
      return { folder }
    }),
    (database) => PgliteClient.layer("folder" in database ? database : {}),
    (database) =>
      Effect.sync(() => "folder" in database && rmSync(join(database.folder, ".."), { recursive: true, force: true }))
  )
  onDatabase(
    "Postgres",
    Math.min(inFlight, most),
    program,
    audit,
    url === undefined ? undefined : Effect.succeed({ url }),
    () => server,
    (_, schema) => dropped(schema)
  )
}

/** Two processes at a time on the server. */
export const suiteTogether = (program: URL, audit: Audit): void => {
  // Needs a server: a PGlite folder belongs to one process.
  describe.runIf(url !== undefined)("Postgres", () => {
    it.live(
      `two processes survive the kills of each other with ${inFlight} executions in flight`,
      () =>
        Effect.gen(function* () {
          const schema = `chaos_${Math.random().toString(36).slice(2, 10)}`
          yield* Effect.addFinalizer(() => Effect.orDie(dropped(schema)))
          const order = { database: { url: url ?? "" }, schema, inFlight }
          yield* Program.planned((random) => sufferTogether(random, program, order))
          yield* judged(Effect.provide(audit(schema), server), {})
        }).pipe(Effect.scoped),
      timeout
    )
  })
}
