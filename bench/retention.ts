/**
 * Whether the retention of ten million facts needs more than an index: how many settled executions it removes in a second, and
 * whether vacuum keeps up. Beside it a connection vacuums the tables again and again, at the pace of autovacuum with its default
 * settings. `behind`: seconds from the last removal until all that was removed is vacuumed. `SAGA_BENCH_STORED` is another number of
 * executions; each has four facts rows.
 */
import { randomUUID } from "node:crypto"
import { PgClient } from "@effect/sql-pg"
import { Effect, Fiber, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import type { Report } from "./run.ts"
import * as Full from "./stored/full.ts"

const url = process.env.SAGA_TEST_PG_URL ?? "postgres://postgres@127.0.0.1:5432/test"
const executions = Number(process.env.SAGA_BENCH_STORED ?? 2_500_000)
const tables = ["saga_execution", "saga_event", "saga_name", "saga_attribute"]

/** A connection that is throttled as an autovacuum is. */
const throttled = Layer.effectDiscard(SqlClient.SqlClient.use((sql) => sql`set vacuum_cost_delay = 2`)).pipe(
  Layer.provideMerge(PgClient.layer({ url: Redacted.make(url), maxConnections: 1 })),
  Layer.fresh
)

/** Vacuums each table once. Gives the seconds. */
const vacuumed = Effect.fnUntraced(function* (schema: string) {
  const sql = yield* SqlClient.SqlClient
  const begun = performance.now()
  for (const table of tables) yield* sql`vacuum ${sql(`${schema}.${table}`)}`
  return (performance.now() - begun) / 1_000
})

const bytesOf = (schema: string) =>
  SqlClient.SqlClient.use((sql) =>
    Effect.map(
      sql<{ readonly bytes: number }>`select sum(pg_total_relation_size(c.oid))::float8 as bytes
        from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = ${schema} and c.relkind = 'r'`,
      ([row]) => Math.round((row?.bytes ?? 0) / 1e6)
    )
  )

const measure = Effect.gen(function* () {
  const schema = `bench_retention_${randomUUID().slice(0, 8)}`
  yield* Effect.addFinalizer(() => Full.drop(schema))
  const services = yield* Layer.build(Full.layerOf(schema))
  yield* Effect.provide(Full.fill(schema, executions), services)
  const megabytes = yield* Effect.provide(bytesOf(schema), services)
  const passes: Array<number> = []
  let isOver = false
  const passesUntilOver = Effect.gen(function* () {
    while (!isOver) passes.push(yield* vacuumed(schema))
  })
  const vacuuming = yield* Effect.forkChild(Effect.provide(passesUntilOver, throttled))
  const { executions: count, rate, seconds } = yield* Effect.provide(Full.removed(schema), services)
  isOver = true
  const ended = performance.now()
  yield* Fiber.join(vacuuming)
  // One more pass, for the rows that were removed during the last one.
  yield* Effect.provide(vacuumed(schema), throttled)
  const round = (value: number) => Math.round(value * 10) / 10
  const row = {
    case: "retention with vacuum beside it",
    executions,
    megabytes,
    removed: count,
    "removed/s": Math.round(rate),
    seconds: round(seconds),
    passes: passes.length,
    longestPass: round(Math.max(...passes)),
    behind: round((performance.now() - ended) / 1_000)
  }
  return { rows: [row] } satisfies Report
}).pipe(Effect.scoped)

export const run = (): Promise<Report> => Effect.runPromise(measure)
