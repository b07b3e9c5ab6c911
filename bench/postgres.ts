/**
 * What a saga of three local steps costs when it is durable, against the limit: the same four rows a saga written by hand,
 * as batched upserts through the same client. Both run in turns in one process on one server.
 */
import { PgClient } from "@effect/sql-pg"
import { Deferred, Effect, Exit, Layer, Redacted, Schema } from "effect"
import { SqlClient, Statement } from "effect/sql"
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

const layer = (applicationName: string) =>
  SagaManager.layer([PlaceOrder]).pipe(
    Layer.provide([
      SagaConfig.layer({ service: "bench" }),
      SqlSagaExecutionRepository.layer({ schema }),
      Broker.layerMemory,
      TransactionCommitter.layerNone
    ]),
    Layer.provideMerge(PgClient.layer({ url: Redacted.make(url), maxConnections: 8, applicationName })),
    Layer.fresh
  )

/** Flushes of the log by the whole server, also for others. Sessions give their counts when they end. */
const syncsAfter = Effect.fnUntraced(function* (name: string) {
  const sql = yield* SqlClient.SqlClient
  yield* Effect.repeat(sql`select from pg_stat_activity where application_name = ${name}`, {
    until: (sessions) => sessions.length === 0
  })
  const [row] = yield* sql<{ readonly syncs: number }>`select wal_sync::float8 as syncs from pg_stat_wal`
  return row?.syncs ?? 0
})

/** What a saga of ours makes of each. Counted on sessions of its own, before the measuring: counting takes time too. */
const countsOf = Effect.fnUntraced(function* (inFlight: number) {
  const name = `${schema}_${inFlight}`
  let statements = 0
  const counter: Statement.Transformer = (statement) =>
    Effect.sync(() => {
      statements++
      return statement
    })
  const counting = Layer.provide(layer(name), Layer.succeed(Statement.CurrentTransformer, counter))
  const before = yield* syncsAfter(name)
  const { count, made } = yield* Effect.gen(function* () {
    const start = statements
    const { count } = yield* rate(ours, inFlight, millis)
    return { count, made: statements - start }
  }).pipe(Effect.provide(counting))
  const after = yield* syncsAfter(name)
  return { statements: Number((made / count).toFixed(3)), syncs: Number(((after - before) / count).toFixed(3)) }
})

const measure = Effect.gen(function* () {
  const reference = yield* makeReference
  const rows = []
  const counts = yield* Effect.forEach([1, 8, 64, 512], (inFlight) =>
    Effect.map(countsOf(inFlight), (counts) => ({ inFlight, ...counts }))
  )
  for (const { inFlight, statements, syncs } of counts) {
    const pairs: Array<{ readonly ours: number; readonly reference: number }> = []
    yield* rate(ours, inFlight, 1_000)
    yield* rate(reference, inFlight, 1_000)
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
      statements,
      syncs
    })
  }
  const sql = yield* SqlClient.SqlClient
  yield* sql`drop schema ${sql(schema)} cascade`
  return { rows }
})

export const run = (): Promise<Report> => Effect.runPromise(Effect.provide(measure, layer(schema)))
