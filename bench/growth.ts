/** What a step costs in a long saga and in a short one, on Postgres and in memory: the cost must not grow with the length. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, Saga, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import type { Report } from "./run.ts"

const url = process.env.SAGA_TEST_PG_URL ?? "postgres://postgres@127.0.0.1:5432/test"
const schema = `bench_${Math.random().toString(36).slice(2, 10)}`

/** The type of a saga grows with its steps; a list that is made at run time has none. */
const sagaOf = (length: number): Saga.AnyCommitted => {
  let saga: any = Saga.make(`Steps${length}`, { context: {} })
  for (let i = 0; i < length; i++) {
    saga = saga.pipe(
      Saga.local(`step${i}` as never, { success: Schema.Int, execute: () => Effect.succeed(i) } as never)
    )
  }
  return saga.pipe(Saga.commit)
}

const short = sagaOf(10)
const long = sagaOf(1_000)

/** Microseconds for one step; about as many steps of either. */
const cost = Effect.fnUntraced(function* (saga: Saga.AnyCommitted, length: number, steps: number) {
  const start = performance.now()
  for (let done = 0; done < steps; done += length) {
    yield* SagaManager.SagaManager.use((manager) => manager.execute(saga, { context: {} }))
  }
  return (1_000 * (performance.now() - start)) / steps
})

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

const rounds = 7

const measure = (name: string, steps: number) =>
  Effect.gen(function* () {
    yield* cost(short, 10, steps)
    yield* cost(long, 1_000, steps)
    const pairs: Array<{ readonly short: number; readonly long: number }> = []
    for (let round = 0; round < rounds; round++) {
      pairs.push({ short: yield* cost(short, 10, steps), long: yield* cost(long, 1_000, steps) })
    }
    return {
      case: name,
      inFlight: 1,
      ours: Number(median(pairs.map((pair) => pair.long)).toFixed(1)),
      reference: "10 steps",
      referenceValue: Number(median(pairs.map((pair) => pair.short)).toFixed(1)),
      ratio: Number(median(pairs.map((pair) => pair.long / pair.short)).toFixed(3))
    }
  })

const manager = SagaManager.layer([short, long]).pipe(
  Layer.provide([SagaConfig.layer({ service: "bench" }), Broker.layerMemory, TransactionCommitter.layerNone])
)
const memory = Layer.provide(manager, SagaExecutionRepository.layerMemory)
const postgres = Layer.provide(manager, SqlSagaExecutionRepository.layer({ schema })).pipe(
  Layer.provideMerge(PgClient.layer({ url: Redacted.make(url) }))
)

const program = Effect.gen(function* () {
  const inMemory = yield* Effect.provide(measure("memory", 20_000), memory)
  const onPostgres = yield* Effect.gen(function* () {
    const row = yield* measure("postgres", 2_000)
    const sql = yield* SqlClient.SqlClient
    yield* sql`drop schema ${sql(schema)} cascade`
    return row
  }).pipe(Effect.provide(postgres))
  const rows = [inMemory, onPostgres]
  const failures = rows.flatMap(({ case: name, ratio }) =>
    ratio > 1.2 ? [`${name}: a step of a long saga costs ${ratio} times that of a short one; the budget is 1.2`] : []
  )
  return { rows, failures }
})

// The services of sagas made at run time are not known to the compiler; these need none.
export const run = (): Promise<Report> => Effect.runPromise(program as unknown as Effect.Effect<Report>)
