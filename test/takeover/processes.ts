/** Two processes and more on a database of their own, whose executions are shared out by leases or by a cluster. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { freePort } from "../fixtures/ownServer.ts"
import { url } from "../fixtures/postgres.ts"
import * as Program from "../kill/Program.ts"
import type { Order } from "./takeover.program.ts"

export type Ownership = "leases" | "cluster"

/** A database of its own: its transactions are counted. */
export const withDatabase = <A, E, R>(
  use: (url: string, transactions: Effect.Effect<number>) => Effect.Effect<A, E, R>
) => {
  const name = `takeover_${Math.random().toString(36).slice(2, 10)}`
  const own = new URL(url ?? "")
  own.pathname = name
  const server = PgClient.layer({ url: Redacted.make(url ?? ""), maxConnections: 2 })
  return Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const transactions = sql<{ readonly count: number }>`
      select (xact_commit + xact_rollback)::float8 as count from pg_stat_database where datname = ${name}`
    return yield* Effect.acquireUseRelease(
      sql`create database ${sql(name)}`,
      () =>
        use(
          own.href,
          Effect.map(Effect.orDie(transactions), ([row]) => row?.count ?? Number.NaN)
        ),
      () => sql`drop database ${sql(name)} with (force)`
    )
  }).pipe(Effect.provide(server))
}

export const started = Effect.fnUntraced(function* (order: Omit<Order, "port" | "schema">, ownership: Ownership) {
  const port = ownership === "cluster" ? yield* freePort : undefined
  const told: Order = { ...order, schema: "public", ...(port !== undefined && { port }) }
  const program = yield* Program.start(new URL("./takeover.program.ts", import.meta.url), JSON.stringify(told))
  yield* Program.printed(program, "up")
  return program
})

/** Each program has the executions that it will have, until another one comes or goes. */
export const settled = (programs: ReadonlyArray<Program.Program>) =>
  Effect.forEach(programs, (it) => Effect.andThen(it.say("settle"), Program.printed(it, "settled")), {
    concurrency: "unbounded",
    discard: true
  })
