/** The cost of a part of something long and of something short, in memory and on Postgres: it must not grow with the length. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, type Saga, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import type { Report } from "./run.ts"

const url = process.env.SAGA_TEST_PG_URL ?? "postgres://postgres@127.0.0.1:5432/test"
const schema = `bench_${Math.random().toString(36).slice(2, 10)}`

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

const budget = 1.2

export interface Comparison {
  readonly sagas: ReadonlyArray<Saga.AnyCommitted>
  /** Runs something that has `length` parts, until as many parts as that are done. */
  readonly work: (length: number, parts: number) => Effect.Effect<unknown, unknown, SagaManager.SagaManager>
  /** How many in memory; on Postgres a tenth of it. */
  readonly parts: number
  readonly rounds: number
  /** Of what there are 10 in the short one. */
  readonly name: string
}

export const compare = ({ name, parts, rounds, sagas, work }: Comparison): Promise<Report> => {
  /** Microseconds for one part. */
  const cost = Effect.fnUntraced(function* (length: number, parts: number) {
    const start = performance.now()
    yield* work(length, parts)
    return (1_000 * (performance.now() - start)) / parts
  })
  const measure = Effect.fnUntraced(function* (storage: string, parts: number) {
    yield* cost(10, parts)
    yield* cost(1_000, parts)
    const pairs: Array<{ readonly short: number; readonly long: number }> = []
    for (let round = 0; round < rounds; round++)
      pairs.push({ short: yield* cost(10, parts), long: yield* cost(1_000, parts) })
    return {
      case: storage,
      inFlight: 1,
      ours: Number(median(pairs.map((pair) => pair.long)).toFixed(1)),
      reference: `10 ${name}`,
      referenceValue: Number(median(pairs.map((pair) => pair.short)).toFixed(1)),
      ratio: Number(median(pairs.map((pair) => pair.long / pair.short)).toFixed(3))
    }
  })
  const manager = SagaManager.layer(sagas).pipe(
    Layer.provide([SagaConfig.layer({ service: "bench" }), Broker.layerMemory, TransactionCommitter.layerNone])
  )
  const memory = Layer.provide(manager, SagaExecutionRepository.layerMemory)
  const postgres = Layer.provide(manager, SqlSagaExecutionRepository.layer({ schema })).pipe(
    Layer.provideMerge(PgClient.layer({ url: Redacted.make(url) }))
  )
  const program = Effect.gen(function* () {
    const inMemory = yield* Effect.provide(measure("memory", parts), memory)
    const onPostgres = yield* Effect.gen(function* () {
      const row = yield* measure("postgres", parts / 10)
      const sql = yield* SqlClient.SqlClient
      yield* sql`drop schema ${sql(schema)} cascade`
      return row
    }).pipe(Effect.provide(postgres))
    const rows = [inMemory, onPostgres]
    const failures = rows.flatMap(({ case: storage, ratio }) =>
      ratio > budget ? [`${storage}: one of 1,000 ${name} costs ${ratio} times one of 10; the budget is ${budget}`] : []
    )
    return { rows, failures }
  })
  // The services of sagas that are given as a list are not known to the compiler; these need none.
  return Effect.runPromise(program as unknown as Effect.Effect<Report>)
}
