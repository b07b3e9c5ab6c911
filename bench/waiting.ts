/**
 * What executions that wait cost (`WAITING_EXECUTIONS` of them, default 100,000), for a remote reply, for a time, or for a signal:
 * to insert them, starts beside them, what is sent again, and what a process does while nothing is due. Then many end their
 * sleep in one second (`DUE_EXECUTIONS`, default 10,000). The broker counts messages and answers none.
 */
import { PgClient } from "@effect/sql-pg"
import { Effect, Fiber, Layer, Redacted, Schema, Stream } from "effect"
import { SqlClient, Statement } from "effect/sql"
import { Broker, Saga, SagaConfig, SagaManager, Signal, TransactionCommitter } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import * as RetrySchedule from "../src/execution/rules/RetrySchedule.ts"
import type { Report } from "./run.ts"

const url = process.env.SAGA_TEST_PG_URL ?? "postgres://postgres@127.0.0.1:5432/test"
const schema = `bench_${Math.random().toString(36).slice(2, 10)}`
const executions = Number(process.env.WAITING_EXECUTIONS ?? 100_000)
const callers = 5_000
const dueAtOnce = Number(process.env.DUE_EXECUTIONS ?? 10_000)

const Approval = Saga.make("Approval", { context: { n: Schema.Int } }).pipe(
  Saga.local("prepared", { success: Schema.Int, execute: ({ n }) => Effect.succeed(n), compensate: () => Effect.void }),
  Saga.remote("approved", {
    execute: { target: "people/approve", content: ({ n }) => ({ n }) },
    success: Schema.Unknown,
    timeout: "30 days"
  }),
  Saga.commit
)

const month = 30 * 86_400_000

const Sleeping = Saga.make("Sleeping", { context: { n: Schema.Int, until: Schema.Finite } }).pipe(
  Saga.local("prepared", { success: Schema.Int, execute: ({ n }) => Effect.succeed(n), compensate: () => Effect.void }),
  Saga.sleep("rest", ({ until }) => until),
  Saga.commit
)

const Yes = Signal.make("yes", { payload: Schema.Void })

const Signalled = Saga.make("Signalled", { context: { n: Schema.Int } }).pipe(
  Saga.local("prepared", { success: Schema.Int, execute: ({ n }) => Effect.succeed(n), compensate: () => Effect.void }),
  Saga.waitFor("approved", { signal: Yes, timeout: "30 days" }),
  Saga.commit
)

const Local = Saga.make("Local", { context: { n: Schema.Int } }).pipe(
  Saga.local("one", { success: Schema.Int, execute: ({ n }) => Effect.succeed(n) }),
  Saga.local("two", { success: Schema.Int, execute: ({ n }) => Effect.succeed(n) }),
  Saga.local("three", { success: Schema.Int, execute: ({ n }) => Effect.succeed(n) }),
  Saga.commit
)

let published = 0
const broker = Layer.succeed(
  Broker.Broker,
  Broker.Broker.of({ publish: () => Effect.sync(() => void published++), subscribe: () => Stream.never })
)

let statements = 0
const counting = Layer.succeed(Statement.CurrentTransformer, (statement: Statement.Statement<unknown>) =>
  Effect.sync(() => {
    statements++
    return statement
  })
)

const manager = (options: Partial<SagaConfig.SagaConfigOptions>) =>
  SagaManager.layer([Approval, Local, Sleeping, Signalled]).pipe(
    Layer.provide([
      SagaConfig.layer({ service: "bench", ...options }),
      SqlSagaExecutionRepository.layer({ schema }),
      broker,
      TransactionCommitter.layerNone
    ]),
    Layer.provide(counting),
    Layer.fresh
  )

const database = PgClient.layer({ url: Redacted.make(url), maxConnections: 10 })

// ---- measuring -------------------------------------------------------------------------------------------------

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

const rounds = 5
const millis = 2_000

/**
 * Sagas of three local steps that are started and end: how many in a second, and the CPU of this process for one, in milliseconds.
 * Where other programs take the processors meanwhile, only the CPU can be compared.
 */
const starts = Effect.gen(function* () {
  const rates: Array<number> = []
  const costs: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    let count = 0
    const [start, cpu] = [performance.now(), process.cpuUsage()]
    const one = Effect.gen(function* () {
      while (performance.now() - start < millis)
        yield* SagaManager.run(Local, { context: { n: count++ }, returnExecution: false })
    })
    yield* Effect.all(
      Array.from({ length: 64 }, () => one),
      { concurrency: "unbounded", discard: true }
    )
    const { system, user } = process.cpuUsage(cpu)
    rates.push((1_000 * count) / (performance.now() - start))
    costs.push((system + user) / 1_000 / count)
  }
  return { rate: median(rates), cpu: median(costs) }
})

const compared = (beside: Effect.Success<typeof starts>, without: Effect.Success<typeof starts>) => ({
  ours: Number((beside.rate / without.rate).toFixed(3)),
  beside: Math.round(beside.rate),
  without: Math.round(without.rate),
  cpu: Number((without.cpu / beside.cpu).toFixed(3))
})

const kinds = {
  reply: (n: number) => SagaManager.run(Approval, { context: { n }, pauseOnDisk: true, returnExecution: false }),
  sleep: (n: number) =>
    SagaManager.run(Sleeping, {
      context: { n, until: Date.now() + month },
      pauseOnDisk: true,
      returnExecution: false
    }),
  signal: (n: number) => SagaManager.run(Signalled, { context: { n }, pauseOnDisk: true, returnExecution: false })
}

const inserted = Effect.fnUntraced(function* (kind: keyof typeof kinds) {
  const start = performance.now()
  yield* Effect.forEach(
    Array.from({ length: executions }, (_, n) => n),
    (n) => Effect.asVoid(kinds[kind](n)),
    { concurrency: 512, discard: true }
  )
  return (performance.now() - start) / 1_000
})

/** Messages that the curve has in a window, for executions that were started evenly between two times. */
const predicted = (from: number, to: number, since: number, until: number): number => {
  const sample = 1_000
  let due = 0
  for (let i = 0; i < sample; i++) {
    const at = from + ((to - from) * i) / sample
    let { next } = RetrySchedule.around(at, since, RetrySchedule.defaults.resend, `${i}`)
    for (; next <= until; due++) next = RetrySchedule.around(at, next, RetrySchedule.defaults.resend, `${i}`).next
  }
  return (due * executions) / sample
}

const eventReads = Effect.fnUntraced(function* (sql: SqlClient.SqlClient) {
  const [row] = yield* sql<{ readonly reads: number }>`select (seq_scan + coalesce(idx_scan, 0))::float8 as reads
    from pg_stat_user_tables where schemaname = ${schema} and relname = 'saga_event'`
  return row?.reads ?? 0
})

/** On disk, of all tables and their indexes. */
const bytes = Effect.fnUntraced(function* (sql: SqlClient.SqlClient) {
  const [row] = yield* sql<{ readonly bytes: number }>`select sum(pg_total_relation_size(c.oid))::float8 as bytes
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = ${schema} and c.relkind = 'r'`
  return row?.bytes ?? 0
})

const resending = Effect.fnUntraced(function* (sql: SqlClient.SqlClient) {
  // Until the code is compiled.
  yield* starts
  const without = yield* starts
  const [from, empty] = [Date.now(), yield* bytes(sql)]
  const insert = yield* inserted("reply")
  const [to, full] = [Date.now(), yield* bytes(sql)]
  const beside = yield* starts
  const seconds = 15
  const [since, before] = [Date.now(), published]
  yield* Effect.sleep(`${seconds} seconds`)
  const resent = (published - before) / seconds
  return [
    { case: "insert", ours: Number(insert.toFixed(1)), executions },
    { case: "size", ours: Math.round((full - empty) / executions) },
    { case: "start", ...compared(beside, without) },
    {
      case: "resends",
      ours: Math.round(resent),
      predicted: Math.round(predicted(from, to, since, since + seconds * 1_000) / seconds)
    }
  ]
})

/** Executions that send nothing while they wait: to insert them, their size, and starts beside them. */
const silent = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, kind: "sleep" | "signal") {
  const without = yield* starts
  const empty = yield* bytes(sql)
  const insert = yield* inserted(kind)
  const full = yield* bytes(sql)
  const beside = yield* starts
  return [
    { case: `${kind} insert`, ours: Number(insert.toFixed(1)), executions },
    { case: `${kind} size`, ours: Math.round((full - empty) / executions) },
    { case: `${kind} start`, ...compared(beside, without) }
  ]
})

/** Many that end their sleep in the same second: after how many seconds the last one has ended, and the one in the middle. */
const due = Effect.fnUntraced(function* (sql: SqlClient.SqlClient) {
  const until = Date.now() + 30_000
  yield* Effect.forEach(
    Array.from({ length: dueAtOnce }, (_, n) => n),
    (n) =>
      SagaManager.run(Sleeping, {
        context: { n, until: until + (n % 1_000) },
        pauseOnDisk: true,
        returnExecution: false
      }),
    { concurrency: 512, discard: true }
  )
  yield* Effect.sleep(Math.max(0, until - Date.now()))
  const [made, cpu] = [statements, process.cpuUsage()]
  const table = sql(`${schema}.saga_execution`)
  const ended = sql<{ readonly n: number; readonly last: number; readonly middle: number }>`select count(*)::int as n,
      coalesce(max(updated_at), 0)::float8 as last,
      coalesce(percentile_disc(0.5) within group (order by updated_at), 0)::float8 as middle
    from ${table} where saga = 'Sleeping' and status = 'finished'`
  const [row] = yield* Effect.repeat(Effect.andThen(Effect.sleep("200 millis"), ended), {
    until: ([row]) => (row?.n ?? 0) >= dueAtOnce
  })
  const after = (at = 0) => Number(((at - until) / 1_000).toFixed(1))
  const { system, user } = process.cpuUsage(cpu)
  // An instance that was without its lease goes on under another name.
  const [lost] = yield* sql<{ readonly n: number }>`select count(*)::int as n from ${sql(`${schema}.saga_instance`)}
    where id not like '%#1'`
  return [
    {
      case: "due",
      ours: after(row?.last),
      middle: after(row?.middle),
      executions: dueAtOnce,
      statements: statements - made,
      cpu: Number(((system + user) / 1_000_000).toFixed(1)),
      lost: lost?.n ?? 0
    }
  ]
})

/** The statements, loads, resends and CPU of a process while nothing is due. */
const idle = Effect.fnUntraced(function* (sql: SqlClient.SqlClient) {
  const seconds = 10
  yield* Effect.sleep("5 seconds")
  const [made, read, sent, cpu] = [statements, yield* eventReads(sql), published, process.cpuUsage()]
  yield* Effect.sleep(`${seconds} seconds`)
  const { system, user } = process.cpuUsage(cpu)
  return {
    statements: Number(((statements - made) / seconds).toFixed(1)),
    loads: ((yield* eventReads(sql)) - read) / seconds,
    resends: (published - sent) / seconds,
    percent: Number(((system + user) / 10_000 / seconds).toFixed(2))
  }
})

const waiting = Effect.fnUntraced(function* (sql: SqlClient.SqlClient) {
  const quiet = yield* idle(sql)
  const fibers = yield* Effect.forEach(
    Array.from({ length: callers }, (_, n) => n),
    (n) => Effect.forkChild(SagaManager.run(Approval, { context: { n } }), { startImmediately: true })
  )
  const waited = sql<{ readonly n: number }>`select count(*)::int as n from ${sql(`${schema}.saga_execution`)}
    where status = 'paused'`
  yield* Effect.repeat(Effect.andThen(Effect.sleep("200 millis"), waited), {
    until: ([row]) => (row?.n ?? 0) >= executions + callers
  })
  const called = yield* idle(sql)
  yield* Fiber.interruptAll(fibers)
  return [
    { case: "idle", ours: quiet.statements, loads: quiet.loads, resends: quiet.resends, percent: quiet.percent },
    {
      case: "callers",
      // Of the process as a whole, the part that it takes without them is not theirs.
      ours: Number(Math.max(0, called.percent - quiet.percent).toFixed(2)),
      percent: called.percent,
      loads: called.loads,
      resends: called.resends,
      statements: called.statements
    }
  ]
})

const measure = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const busy = yield* Effect.provide(resending(sql), manager({ maxPending: 2 * executions }))
  const table = sql(`${schema}.saga_execution`)
  yield* sql`update ${table} set wake_at = wake_at + 86400000, owner = null where status = 'paused'`
  yield* sql`vacuum analyze ${table}`
  const day = "1 day"
  const rare = { initial: day, max: day, slowMax: day } as const
  const still = yield* Effect.provide(waiting(sql), manager({ resend: rare }))
  const drop = sql`drop schema ${sql(schema)} cascade`
  yield* drop
  const silence = Effect.fnUntraced(function* (kind: "sleep" | "signal") {
    const rows = yield* Effect.provide(silent(sql, kind), manager({ maxPending: 2 * executions }))
    yield* sql`vacuum analyze ${table}`
    const quiet = yield* Effect.provide(idle(sql), manager({}))
    yield* drop
    const { loads, percent, statements } = quiet
    return [...rows, { case: `${kind} idle`, ours: statements, loads, percent }]
  })
  const silents = [...(yield* silence("sleep")), ...(yield* silence("signal"))]
  const late = yield* Effect.provide(due(sql), manager({}))
  yield* drop
  return { rows: [...busy, ...still, ...silents, ...late] }
})

export const run = (): Promise<Report> => Effect.runPromise(Effect.provide(measure, database))
