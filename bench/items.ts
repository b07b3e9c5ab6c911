/**
 * The cost of an item in a list of 1,000 and of 10, on Postgres and in memory: it must not grow with the list. Four items
 * are under way at a time; each has two local steps, and the value of an item is a text of the initial context.
 */
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, Saga, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import type { Report } from "./run.ts"

const url = process.env.SAGA_TEST_PG_URL ?? "postgres://postgres@127.0.0.1:5432/test"
const schema = `bench_${Math.random().toString(36).slice(2, 10)}`

const List = Saga.make("List", { context: { values: Schema.Array(Schema.String) } }).pipe(
  Saga.forEach("each", {
    items: ({ values }) => values,
    item: Schema.String,
    as: "value",
    concurrency: 4,
    steps: (each) =>
      each.pipe(
        Saga.local("first", { success: Schema.Int, execute: ({ value }) => Effect.succeed(value.length) }),
        Saga.local("second", { success: Schema.Int, execute: ({ first }) => Effect.succeed(first + 1) })
      )
  }),
  Saga.commit
)

const valuesOf = (count: number) => Array.from({ length: count }, (_, i) => `value ${i}`)

/** Microseconds for one item; as many items of either list. */
const cost = Effect.fnUntraced(function* (count: number, items: number) {
  const context = { values: valuesOf(count) }
  const start = performance.now()
  for (let done = 0; done < items; done += count) yield* SagaManager.execute(List, { context })
  return (1_000 * (performance.now() - start)) / items
})

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

const rounds = 5

const measure = (name: string, items: number) =>
  Effect.gen(function* () {
    yield* cost(10, items)
    yield* cost(1_000, items)
    const pairs: Array<{ readonly few: number; readonly many: number }> = []
    for (let round = 0; round < rounds; round++) {
      pairs.push({ few: yield* cost(10, items), many: yield* cost(1_000, items) })
    }
    return {
      case: name,
      inFlight: 1,
      ours: Number(median(pairs.map((pair) => pair.many)).toFixed(1)),
      reference: "10 items",
      referenceValue: Number(median(pairs.map((pair) => pair.few)).toFixed(1)),
      ratio: Number(median(pairs.map((pair) => pair.many / pair.few)).toFixed(3))
    }
  })

const manager = SagaManager.layer([List]).pipe(
  Layer.provide([SagaConfig.layer({ service: "bench" }), Broker.layerMemory, TransactionCommitter.layerNone])
)
const memory = Layer.provide(manager, SagaExecutionRepository.layerMemory)
const postgres = Layer.provide(manager, SqlSagaExecutionRepository.layer({ schema })).pipe(
  Layer.provideMerge(PgClient.layer({ url: Redacted.make(url) }))
)

const program = Effect.gen(function* () {
  const inMemory = yield* Effect.provide(measure("memory", 10_000), memory)
  const onPostgres = yield* Effect.gen(function* () {
    const row = yield* measure("postgres", 1_000)
    const sql = yield* SqlClient.SqlClient
    yield* sql`drop schema ${sql(schema)} cascade`
    return row
  }).pipe(Effect.provide(postgres))
  const rows = [inMemory, onPostgres]
  const failures = rows.flatMap(({ case: name, ratio }) =>
    ratio > 1.2 ? [`${name}: an item among 1,000 costs ${ratio} times one among 10; the budget is 1.2`] : []
  )
  return { rows, failures }
})

export const run = (): Promise<Report> => Effect.runPromise(program)
