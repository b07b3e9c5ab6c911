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
import * as Program from "./Program.ts"

/** What a program is told. It prints `found` and a number, `up`, and at the end `settled`. */
export interface Order {
  /** A folder, or the address of a server. */
  readonly database: { readonly folder: string } | { readonly url: string }
  readonly schema: string
  readonly inFlight: number
  /** Where it kills itself, the how manieth time it comes there. */
  readonly fault?: { readonly name: string; readonly nth: number }
  readonly finish: boolean
}

/** What happened, compared with what is recorded. */
export interface Report {
  readonly committed: number
  readonly rejected: number
  readonly wrong: ReadonlyArray<string>
}

const kills = Number(process.env.SAGA_KILLS ?? 4)
const inFlight = Number(process.env.SAGA_IN_FLIGHT ?? 40)
const timeout = 120_000 + kills * 10_000 + inFlight * 100

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
const killOnce = (program: URL, order: Omit<Order, "finish">) =>
  Effect.gen(function* () {
    const run = yield* Program.start(program, JSON.stringify({ ...order, finish: false }))
    const found = Number(yield* Program.printed(run, "found"))
    if (order.fault === undefined) {
      yield* Program.printed(run, "up")
      yield* Effect.sleep(100 + Math.random() * 300)
      yield* run.kill
    }
    assert.strictEqual(yield* run.ended, "SIGKILL")
    return found
  }).pipe(Effect.scoped)

const suffer = Effect.fnUntraced(function* (program: URL, base: Omit<Order, "finish" | "fault">) {
  const found: Array<number> = []
  for (let kill = 0; kill <= kills; kill++) {
    const name = kill % 2 === 0 ? undefined : places[(kill >> 1) % places.length]
    const nth = 1 + Math.floor(Math.random() * inFlight * 2)
    found.push(yield* killOnce(program, { ...base, ...(name !== undefined && { fault: { name, nth } }) }))
  }
  const last = yield* Program.start(program, JSON.stringify({ ...base, finish: true }))
  found.push(Number(yield* Program.printed(last, "found")))
  yield* Program.printed(last, "settled")
  assert.strictEqual(yield* last.ended, 0)
  return found.slice(1)
}, Effect.scoped)

type Audit = (schema: string) => Effect.Effect<Report, unknown, SqlClient.SqlClient>

const onDatabase = (
  name: string,
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
          const found = yield* suffer(program, { database, schema, inFlight })
          assert.isAtLeast(found.filter((count) => count > 0).length, kills, `found ${found}`)
          const report = yield* Effect.provide(audit(schema), connect(database))
          assert.deepStrictEqual(report.wrong, [])
          assert.isAtLeast(report.committed, 1)
          assert.isAtLeast(report.rejected, 1)
          if (process.env.SAGA_KILLS !== undefined) yield* Effect.log({ found, ...report })
        }).pipe(Effect.scoped),
      timeout
    )
  })

const url = process.env.SAGA_TEST_PG_URL

const server = PgClient.layer({ url: Redacted.make(url ?? "") })

/** The program on a PGlite folder, and on the server where there is one. */
export const suite = (program: URL, audit: Audit): void => {
  onDatabase(
    "a PGlite folder",
    program,
    audit,
    Effect.sync(() => ({ folder: join(mkdtempSync(join(tmpdir(), "effect-saga-kill-")), "data") })),
    (database) => PgliteClient.layer("folder" in database ? database : {}),
    (database) =>
      Effect.sync(() => "folder" in database && rmSync(join(database.folder, ".."), { recursive: true, force: true }))
  )
  onDatabase(
    "Postgres",
    program,
    audit,
    url === undefined ? undefined : Effect.succeed({ url }),
    () => server,
    (_, schema) =>
      Effect.provide(
        SqlClient.SqlClient.use((sql) => sql`drop schema if exists ${sql(schema)} cascade`),
        server
      )
  )
}
