/** The order business on four orchestrators over two databases, while buckets move and a process is killed. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { SagaExecutionRepository } from "effect-saga"
import { SqlBuckets, SqlSagaExecutionRepository } from "effect-saga/sql"
import { southern } from "../fixtures/manyDatabases.ts"
import { dropping, plain, schemaOf, url } from "../fixtures/postgres.ts"
import type { Told } from "./manyDatabases.program.ts"
import * as Program from "./Program.ts"

const program = new URL("./manyDatabases.program.ts", import.meta.url)

const orders = Array.from({ length: 200 }, (_, n) => `order ${n}`)

// Needs a server that several processes reach.
describe.runIf(url !== undefined)("four orchestrators over two databases", () => {
  it.live(
    "I10 start each order once, though all are told to start all, and end each though buckets move and one is killed",
    () =>
      Effect.gen(function* () {
        const schemas = { north: schemaOf("many_n"), south: schemaOf("many_s"), effects: schemaOf("many_e") }
        const [north, south, effects] = [dropping(schemas.north), dropping(schemas.south), dropping(schemas.effects)]
        const server = yield* Layer.build(Layer.provideMerge(Layer.mergeAll(north, south, effects), plain(4)))
        const sql = Context.get(server, SqlClient.SqlClient)
        yield* sql`create schema ${sql(schemas.effects)}`
        const table = sql(`${schemas.effects}.effect`)
        yield* sql`create table ${table} (uuid text not null, step text not null, key text primary key)`
        const databases = {
          north: { client: plain(8), schema: schemas.north },
          south: { client: plain(8), schema: schemas.south }
        }
        yield* SqlBuckets.begin(databases, "north")
        const told: Told = { url: url ?? "", schemas }
        const processes = yield* Effect.forEach(
          ["one", "two", "three", "four"],
          () => Program.start(program, JSON.stringify(told)),
          { concurrency: "unbounded" }
        )
        for (const process of processes) yield* Program.printed(process, "up")
        const mover = yield* Effect.forkChild(
          SqlBuckets.move(databases, { from: "north", to: "south", buckets: southern })
        )
        for (const process of processes) yield* process.say(JSON.stringify(orders))
        // In the middle: some steps have happened, and most have not.
        const begun = Effect.map(sql<{ n: number }>`select count(*)::int as n from ${table}`, ([row]) => row?.n ?? 0)
        yield* Effect.repeat(begun, { until: (n) => n >= orders.length / 2 })
        const [victim, ...others] = processes
        yield* victim!.kill
        for (const process of others) yield* Program.printed(process, "settled")
        yield* Fiber.join(mover)
        const served = yield* SqlBuckets.served(databases)
        assert.deepStrictEqual([served.north?.length, served.south?.length], [128, 128])
        const { find } = Context.get(
          yield* Layer.build(SqlSagaExecutionRepository.layerSharded(databases)),
          SagaExecutionRepository.SagaExecutionRepository
        )
        const { items } = yield* find({}, { limit: 1_000 })
        assert.deepStrictEqual(items.map(({ startKey }) => startKey ?? "").sort(), orders.toSorted())
        assert.deepStrictEqual([...new Set(items.map(({ status }) => status))], ["finished"])
        const steps = yield* sql<{ uuid: string; step: string }>`select uuid, step from ${table}`
        const expected = items.flatMap(({ uuid }) => [`${uuid} parcel`, `${uuid} stock`])
        assert.deepStrictEqual(steps.map(({ step, uuid }) => `${uuid} ${step}`).sort(), expected.sort())
        const ofDatabase = yield* Effect.forEach([schemas.north, schemas.south], (schema) =>
          Effect.map(sql`select from ${sql(`${schema}.saga_execution`)}`, (rows) => rows.length)
        )
        assert.isTrue(
          ofDatabase.every((count) => count > 0),
          ofDatabase.join(" and ")
        )
      }).pipe(Effect.scoped),
    120_000
  )
})
