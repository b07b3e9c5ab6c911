/**
 * Executions that wait in a queue (`QUEUE_EXECUTIONS` of them, default 10,000), two processes that run them, and a sleep in each
 * execution. Each queue has its reference: no queue, and as many executions that run at once (`maxRunning` of the two processes).
 * `admission` is the rate with the queue by that of the reference. Then one process is killed, and a ledger of begins and ends shows
 * whether the limits held at every moment.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import * as Program from "../test/kill/Program.ts"
import type { Order } from "../test/kill/queue.program.ts"
import { type Audit, audit, ended } from "../test/kill/queue.ts"
import type { Report } from "./run.ts"

const url = process.env.SAGA_TEST_PG_URL ?? "postgres://postgres@127.0.0.1:5432/test"
const executions = Number(process.env.QUEUE_EXECUTIONS ?? 10_000)
const program = new URL("../test/kill/queue.program.ts", import.meta.url)
const keys = 50
const limitsOf = (concurrency: number) => ({
  concurrency,
  perKey: { concurrency: concurrency >> 3 },
  maxQueued: 1_000_000
})
const sizes = [128, 1_024]

interface Run extends Audit {
  /** Executions a second, from the first start to the last end. */
  readonly rate: number
}

const play = (name: string, options: Pick<Order, "atOnce" | "limits" | "pace">, kills: boolean) =>
  Effect.gen(function* () {
    const schema = `bench_queue_${name}_${Math.random().toString(36).slice(2, 8)}`
    const folder = mkdtempSync(join(tmpdir(), "queue-"))
    yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
    const drop = SqlClient.SqlClient.use((sql) => sql`drop schema if exists ${sql(schema)} cascade`)
    yield* Effect.addFinalizer(() =>
      Effect.ignore(Effect.provide(drop, PgClient.layer({ url: Redacted.make(url), maxConnections: 1 })))
    )
    const order: Order = { url, schema, folder, keys, pause: 50, ...options }
    const start = Effect.tap(Program.start(program, JSON.stringify(order)), (one) => Program.printed(one, "ready"))
    const first = yield* start
    const second = yield* start
    const half = executions >> 1
    const begun = performance.now()
    yield* first.say(`start 0 ${half}`)
    yield* second.say(`start ${half} ${executions}`)
    yield* Effect.all([Program.printed(first, "started"), Program.printed(second, "started")], { concurrency: 2 })
    if (kills) yield* first.kill
    while (ended(folder) < executions) yield* Effect.sleep("250 millis")
    const rate = (1_000 * executions) / (performance.now() - begun)
    return { ...audit(folder, keys), rate } satisfies Run
  }).pipe(Effect.scoped)

const rowOf = (name: string, { done, most, mostOfKey, rate }: Run) => ({
  case: name,
  executions: done,
  "executions/s": Math.round(rate),
  most,
  mostOfKey
})

const isHeld = ({ most, mostOfKey }: Run, { concurrency, perKey }: ReturnType<typeof limitsOf>) =>
  most <= concurrency && mostOfKey <= perKey.concurrency

const measure = Effect.gen(function* () {
  const pairs = yield* Effect.forEach(sizes, (atOnce) =>
    Effect.gen(function* () {
      const limits = limitsOf(atOnce)
      const without = yield* play("none", { pace: 0, atOnce: atOnce >> 1 }, false)
      const within = yield* play("queue", { pace: 0, limits }, false)
      return {
        isHeld: isHeld(within, limits),
        rows: [
          rowOf(`without a queue, ${atOnce} at once`, without),
          {
            ...rowOf(`in a queue, ${atOnce} at once and ${limits.perKey.concurrency} of a key`, within),
            admission: Math.round((100 * within.rate) / without.rate) / 100
          }
        ]
      }
    })
  )
  const few = limitsOf(128)
  const killed = yield* play("killed", { pace: 5, limits: few }, true)
  const rows = [
    ...pairs.flatMap(({ rows }) => rows),
    rowOf("128 at once, with steps of 5 ms and a process that is killed", killed)
  ]
  const areHeld = pairs.every(({ isHeld }) => isHeld) && isHeld(killed, few)
  return { rows, failures: areHeld ? [] : ["a limit was exceeded"] } satisfies Report
})

const report = (): Promise<Report> => Effect.runPromise(measure)

export { report as run }
