/**
 * What a saga of three local steps costs when it is durable, against the limit: the same four rows a saga written by hand,
 * as batched upserts through the same client. Both run in turns in one process on one server.
 */
import { PgClient } from "@effect/sql-pg"
import { Deferred, Effect, Exit, Layer, Redacted, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, Saga, SagaConfig, SagaManager, TransactionCommitter } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import type { Report } from "./run.ts"

const url = process.env.SAGA_TEST_PG_URL ?? "postgres://postgres@127.0.0.1:5432/test"
const schema = `bench_${Math.random().toString(36).slice(2, 10)}`

const step = (text: string) => Effect.sync(() => text)
const nothing = () => Effect.void

const PlaceOrder = Saga.make("PlaceOrder", { context: { orderId: Schema.String, amount: Schema.Int } }).pipe(
  Saga.local("ticketId", {
    success: Schema.String,
    execute: ({ orderId }) => step(`t-${orderId}`),
    compensate: nothing
  }),
  Saga.local("paymentId", {
    success: Schema.String,
    execute: ({ orderId }) => step(`p-${orderId}`),
    compensate: nothing
  }),
  Saga.local("shipmentId", {
    success: Schema.String,
    execute: ({ orderId }) => step(`s-${orderId}`),
    compensate: nothing
  }),
  Saga.commit
)

const ours = (n: number) => SagaManager.execute(PlaceOrder, { context: { orderId: `o${n}`, amount: n } })

// ---- the limit: one row a saga, an upsert a step, whatever has queued in one statement --------------------------

interface Upsert {
  readonly id: string
  readonly state: string
  readonly done: Deferred.Deferred<void, unknown>
}

const makeReference = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const table = sql(`${schema}.handmade`)
  yield* sql`create table ${table} (id text primary key, state text not null)`
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  let queue: Array<Upsert> = []
  let inFlight = 0
  const depart = (): void => {
    while (inFlight < 2 && queue.length > 0) {
      const batch = queue.slice(0, 512)
      queue = queue.slice(512)
      inFlight++
      const write = sql`insert into ${table} (id, state)
        select * from unnest(${batch.map(({ id }) => id)}::text[], ${batch.map(({ state }) => state)}::text[])
        on conflict (id) do update set state = excluded.state`
      fork(write).addObserver((exit) => {
        inFlight--
        for (const { done } of batch) Deferred.doneUnsafe(done, Exit.asVoid(exit))
        depart()
      })
    }
  }
  const upsert = (id: string, state: unknown) =>
    Effect.suspend(() => {
      const done = Deferred.makeUnsafe<void, unknown>()
      queue.push({ id, state: JSON.stringify(state), done })
      depart()
      return Deferred.await(done)
    })
  let sagas = 0
  return (n: number) =>
    Effect.gen(function* () {
      const id = `${n}-${sagas++}`
      const context: Record<string, unknown> = { orderId: `o${n}`, amount: n }
      yield* upsert(id, { status: "running", step: 0, context })
      context.ticketId = yield* step(`t-${n}`)
      yield* upsert(id, { status: "running", step: 1, context })
      context.paymentId = yield* step(`p-${n}`)
      yield* upsert(id, { status: "running", step: 2, context })
      context.shipmentId = yield* step(`s-${n}`)
      yield* upsert(id, { status: "finished", step: 3, context })
      return context
    })
})

// ---- measuring -------------------------------------------------------------------------------------------------

interface Counts {
  readonly statements: number
  readonly syncs: number
}

/** Statements of this database's sessions that committed, and flushes of the log, since the server started. */
const counts = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // The server publishes its counters at most once a second.
  yield* Effect.sleep("1200 millis")
  const [row] = yield* sql<Counts>`select xact_commit::float8 as statements,
    (select wal_sync from pg_stat_wal)::float8 as syncs from pg_stat_database where datname = current_database()`
  return row ?? { statements: 0, syncs: 0 }
})

const rate = Effect.fnUntraced(function* <R>(
  program: (n: number) => Effect.Effect<unknown, unknown, R>,
  inFlight: number,
  millis: number
) {
  let count = 0
  const start = performance.now()
  const loop = Effect.gen(function* () {
    while (performance.now() - start < millis) yield* program(count++)
  })
  yield* Effect.all(
    Array.from({ length: inFlight }, () => loop),
    { concurrency: "unbounded", discard: true }
  )
  return { perSecond: (1_000 * count) / (performance.now() - start), count }
})

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

const rounds = 5
const millis = 1_500

const measure = Effect.gen(function* () {
  const reference = yield* makeReference
  const rows = []
  for (const inFlight of [1, 8, 64, 512]) {
    const pairs: Array<{ readonly ours: number; readonly reference: number }> = []
    yield* rate(ours, inFlight, 1_000)
    yield* rate(reference, inFlight, 1_000)
    const before = yield* counts
    const counted = yield* rate(ours, inFlight, millis)
    const after = yield* counts
    for (let round = 0; round < rounds; round++) {
      pairs.push({
        reference: (yield* rate(reference, inFlight, millis)).perSecond,
        ours: (yield* rate(ours, inFlight, millis)).perSecond
      })
    }
    rows.push({
      case: "success",
      inFlight,
      ours: Math.round(median(pairs.map((pair) => pair.ours))),
      reference: "limit",
      referenceValue: Math.round(median(pairs.map((pair) => pair.reference))),
      ratio: Number(median(pairs.map((pair) => pair.ours / pair.reference)).toFixed(3)),
      statements: Number(((after.statements - before.statements) / counted.count).toFixed(3)),
      syncs: Number(((after.syncs - before.syncs) / counted.count).toFixed(3))
    })
  }
  const sql = yield* SqlClient.SqlClient
  yield* sql`drop schema ${sql(schema)} cascade`
  return { rows }
})

const layer = SagaManager.layer([PlaceOrder]).pipe(
  Layer.provide([
    SagaConfig.layer({ service: "bench" }),
    SqlSagaExecutionRepository.layer({ schema }),
    Broker.layerMemory,
    TransactionCommitter.layerNone
  ]),
  Layer.provideMerge(PgClient.layer({ url: Redacted.make(url), maxConnections: 8 }))
)

export const run = (): Promise<Report> => Effect.runPromise(Effect.provide(measure, layer))
