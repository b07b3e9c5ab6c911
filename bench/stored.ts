/**
 * What an operation costs with a million executions stored, against the same with a thousand: in milliseconds, both in turns
 * in one process on one server. The million is put in by SQL. `SAGA_BENCH_STORED` sets another number, to try it out.
 */
import { randomUUID } from "node:crypto"
import { PgClient } from "@effect/sql-pg"
import { type Context, Effect, Layer, Redacted, Schema } from "effect"
import { SqlClient } from "effect/sql"
import {
  Broker,
  Inspector,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  SagaResponse,
  TransactionCommitter
} from "effect-saga"
import { SagaExecutionStatements, SqlInspector, SqlSagaExecutionRepository } from "effect-saga/sql"
import type { Report } from "./run.ts"

const url = process.env.SAGA_TEST_PG_URL ?? "postgres://postgres@127.0.0.1:5432/test"
const many = Number(process.env.SAGA_BENCH_STORED ?? 1_000_000)
const few = 1_000

const steps = { success: Schema.Int, execute: () => Effect.succeed(1) }

const PlaceOrder = Saga.make("PlaceOrder", { context: { order: Schema.String } }).pipe(
  Saga.local("ticket", steps),
  Saga.local("payment", steps),
  Saga.local("parcel", steps),
  Saga.commit
)

const Approve = Saga.make("Approve", { context: { order: Schema.String } }).pipe(
  Saga.remote("answer", { execute: { target: "desk/Approve", content: ({ order }) => order }, timeout: "30 days" }),
  Saga.commit
)

const layerOf = (schema: string) =>
  SagaManager.layer([PlaceOrder, Approve]).pipe(
    Layer.provide([SagaConfig.layer({ service: "bench" }), Broker.layerMemory, TransactionCommitter.layerNone]),
    Layer.provideMerge(
      Layer.merge(
        SqlSagaExecutionRepository.layer({ schema, retention: Number.POSITIVE_INFINITY }),
        SqlInspector.layer({ schema })
      )
    ),
    Layer.provideMerge(PgClient.layer({ url: Redacted.make(url), maxConnections: 8 })),
    Layer.fresh
  )

// ---- rows by SQL -----------------------------------------------------------------------------------------------

const hour = 3_600_000
const now = Date.now()
/** They were started in the last year, evenly. */
const year = 365 * 24 * hour

/**
 * Three in five are settled, one in four waits (for an answer, a signal or a time), and the others are parked; of those that wait
 * four in five roll back. One in ten has a `startKey`. The facts are those of a real execution under other uuids, which are of
 * version 7 as those that the library makes.
 */
const fill = Effect.fnUntraced(function* (schema: string, rows: number) {
  const sql = yield* SqlClient.SqlClient
  const t = (table: string) => sql(`${schema}.${table}`)
  yield* SagaManager.execute(PlaceOrder, { context: { order: "template" } })
  const [template] = yield* sql<{ uuid: string; fingerprint: string }>`
    select uuid, fingerprint from ${t("saga_execution")} limit 1`
  const { fingerprint, uuid } = template!
  const [from, millis] = [BigInt(now - year), BigInt(Math.floor(year / rows))]
  yield* sql`insert into ${t("saga_execution")} (uuid, start_key, saga, fingerprint, status, direction, decision, commit_state,
      user_name, parked, revision, settled, claimable, wake_at, created_at, updated_at, settled_at, attributes, step, step_path,
      waits_for, waiting_since, failure_tag)
    select (lpad(to_hex(s.at), 12, '0') || '7' || substr(s.digits, 1, 3) || '8' || substr(s.digits, 4, 15))::uuid,
      case when n % 10 = 7 then 'key ' || n end, case when n % 2 = 0 then 'PlaceOrder' else 'Other' end,
      case when n % 2 = 0 then ${fingerprint} else 'another fingerprint' end, s.status,
      case when s.status = 'paused' and n % 20 < 16 then 'backward' else 'forward' end,
      case when s.status = 'finished' then 'commit' end, case when s.status = 'finished' then 'committed' else 'none' end,
      'user ' || n % 5, s.status = 'errored', 4, s.status = 'finished', s.status = 'paused',
      case when s.status = 'paused' then ${BigInt(now + year)}::bigint end, s.at, s.at, case when s.status = 'finished' then s.at end,
      jsonb_build_object('customer', n / 20), case when s.status <> 'finished' then 'payment' end,
      case when s.status <> 'finished' then '1' end, case when s.status = 'paused' then case n % 3 when 0 then 'payments/Charge'
        when 1 then 'signal approval' else 'timer' end end, case when s.status = 'paused' then s.at end,
      case when s.status = 'errored' then case n % 2 when 0 then 'NoCourier' else 'StepRefused' end end
    from generate_series(1, ${rows}::int) as n cross join lateral (
      select case when n % 20 < 12 then 'finished' when n % 20 < 17 then 'paused' else 'errored' end as status,
        ${from} + n * ${millis} as at, md5(n::text) as digits
    ) s`
  yield* sql`insert into ${t("saga_event")} (uuid, revision, write_id, facts)
    select h.uuid, e.revision, 'w', replace(e.facts, ${uuid}, h.uuid::text)
    from ${t("saga_execution")} h, ${t("saga_event")} e where e.uuid = ${uuid}::uuid and h.uuid <> ${uuid}::uuid`
  yield* sql`insert into ${t("saga_name")} (name, uuid, start_key, saga, context_hash)
    select 'key ' || start_key, uuid, start_key, saga, 'h' from ${t("saga_execution")} where start_key is not null`
  yield* sql`insert into ${t("saga_attribute")} (uuid, name, value, created_at)
    select h.uuid, a.key, a.value::text, h.created_at
    from ${t("saga_execution")} h cross join lateral jsonb_each(h.attributes) a`
  // Most servers have autovacuum, which does the same a little later.
  for (const table of ["saga_execution", "saga_event", "saga_name", "saga_attribute"])
    yield* sql`vacuum analyze ${t(table)}`
})

// ---- the filters -----------------------------------------------------------------------------------------------

type Filter = SagaExecutionRepository.Filter
const middle = now - year / 2

/** Each filter alone, as far as it can stand alone, and the usual pairs. One that is missing is an error of types. */
const filters: { readonly [Name in keyof Required<Filter>]: ReadonlyArray<Filter> } = {
  saga: [{ saga: "Other" }, { saga: "Other", status: "finished" }],
  status: [{ status: "paused" }],
  parked: [{ parked: true }, { parked: false }, { parked: true, saga: "Other" }],
  startKey: [{ startKey: "key 777" }],
  user: [{ user: "user 3" }],
  attributes: [{ attributes: { customer: 7 } }],
  settled: [{ settled: true }, { settled: false }],
  undoing: [{ undoing: true }, { undoing: true, saga: "Other" }],
  waitsFor: [{ waitsFor: "payments/Charge" }, { waitsFor: "payments" }, { waitsFor: "signal approval", saga: "Other" }],
  failure: [{ failure: "NoCourier" }],
  // Alone it reads all that are not settled: its docstring says with which others it goes.
  step: [
    { parked: true, step: "payment" },
    { waitsFor: "timer", step: "payment" }
  ],
  startKeyPrefix: [{ startKeyPrefix: "key " }],
  createdBefore: [{ createdBefore: middle }],
  createdAfter: [{ createdAfter: middle }]
}

const nameOf = (filter: Filter) =>
  Object.entries(filter)
    .map(([name, value]) => (value === middle ? name : `${name} ${JSON.stringify(value).replaceAll('"', "")}`))
    .join(", ")

// ---- the operations --------------------------------------------------------------------------------------------

type Services =
  | SagaManager.SagaManager
  | SagaExecutionRepository.SagaExecutionRepository
  | Inspector.Inspector
  | SqlClient.SqlClient

interface Operation {
  readonly name: string
  /** Gives the work that is measured; what it does before that is not. */
  readonly prepare: (schema: string) => Effect.Effect<Effect.Effect<unknown, unknown, Services>, unknown, Services>
}

const repository = <A, E>(
  use: (it: SagaExecutionRepository.SagaExecutionRepository["Service"]) => Effect.Effect<A, E>
) => SagaExecutionRepository.SagaExecutionRepository.use(use)

const plain = (name: string, work: Effect.Effect<unknown, unknown, Services>): Operation => ({
  name,
  prepare: () => Effect.succeed(work)
})

const found = (name: string, filter: SagaExecutionRepository.Filter, page = {}): Operation =>
  plain(
    `find: ${name}`,
    repository(({ find }) => find(filter, page))
  )

const inspected = (
  name: string,
  see: (it: Inspector.Inspector["Service"]) => Effect.Effect<unknown, unknown>
): Operation => plain(`inspect: ${name}`, Inspector.Inspector.use(see))

const start = (saga: typeof Approve) => SagaManager.start(saga, { context: { order: randomUUID() } })

const claimOf = (owner: string, limit: number) =>
  repository(({ claim }) => claim({ owner, limit, now, leaseMillis: hour }))

/** Executions of a process that is gone, as one claim takes them over. */
const left = 64

/** In the order of uuids somewhere among those that are stored. */
const someUuid = () => {
  const at = Math.floor(now - year + 0.9 * Math.random() * year)
  return `${at.toString(16).padStart(12, "0")}${randomUUID().replaceAll("-", "").slice(12)}`
}

const operations: ReadonlyArray<Operation> = [
  plain(
    "start",
    Effect.suspend(() => SagaManager.execute(PlaceOrder, { context: { order: randomUUID() } }))
  ),
  {
    name: "resume",
    prepare: () => Effect.map(start(Approve), (uuid) => SagaManager.resume(new SagaResponse({ uuid, content: 1 })))
  },
  {
    name: "load",
    prepare: (schema) =>
      Effect.map(
        SqlClient.SqlClient.use(
          (sql) => sql<{
            uuid: string
          }>`select uuid from ${sql(`${schema}.saga_execution`)} where uuid > ${someUuid()}::uuid
            and settled order by uuid limit 1`
        ),
        ([row]) => SagaManager.SagaManager.use(({ load }) => load(row!.uuid))
      )
  },
  plain("claim", claimOf("idle", 256)),
  {
    name: "takeover",
    prepare: (schema) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const t = sql(`${schema}.saga_execution`)
        yield* sql`update ${t} set owner = null, wake_at = ${BigInt(now + year)}
          where claimable and wake_at = 0 and owner = 'heir'`
        yield* sql`update ${t} set owner = 'gone', wake_at = 0 where uuid in (
          select uuid from ${t} where claimable and saga = 'Other' order by wake_at desc limit ${left})`
        return claimOf("heir", left)
      })
  },
  plain(
    "census",
    repository(({ census }) => census)
  ),
  found("all", {}),
  found("page 2", {}, { after: cursorOf(middle) }),
  found("the page before", {}, { before: cursorOf(middle) }),
  // With a thousand stored each filter finds as many, but those that find one.
  ...Object.values(filters).flatMap((given) => given.map((filter) => found(nameOf(filter), filter, { limit: 20 }))),
  inspected("count", ({ count }) => count()),
  inspected("waiting", ({ waiting }) => waiting),
  inspected("parked", ({ parked }) => parked),
  inspected("overdue", ({ overdue }) => overdue("1 minute")),
  inspected("processes", ({ processes }) => processes),
  inspected("load", ({ load }) => load("key 777"))
]

/** The `next` of a page. */
function cursorOf(createdAt: number): string {
  return Buffer.from(`${createdAt} ffffffff-ffff-4fff-bfff-ffffffffffff`).toString("base64url")
}

// ---- measuring -------------------------------------------------------------------------------------------------

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

const rounds = 40

interface Store {
  readonly schema: string
  readonly services: Context.Context<Services>
}

const timeOf = ({ prepare }: Operation, { schema, services }: Store) =>
  Effect.gen(function* () {
    const work = yield* prepare(schema)
    const begun = performance.now()
    yield* work
    return performance.now() - begun
  }).pipe(Effect.provide(services))

const measure = Effect.fnUntraced(function* (operation: Operation, large: Store, small: Store) {
  const [ours, reference]: [Array<number>, Array<number>] = [[], []]
  for (let round = -5; round < rounds; round++) {
    const [one, other] = [yield* timeOf(operation, small), yield* timeOf(operation, large)]
    // The first ones make plans and fill caches.
    if (round < 0) continue
    reference.push(one)
    ours.push(other)
  }
  return {
    case: operation.name,
    inFlight: 1,
    ours: Number(median(ours).toFixed(3)),
    reference: `${few}`,
    referenceValue: Number(median(reference).toFixed(3)),
    ratio: Number((median(ours) / median(reference)).toFixed(3))
  }
})

/** How many executions one statement of the retention removes, as in the repository. */
const batch = 2_000
const required = 20_000

/** Removes half of what is settled, as the retention does. */
const retention = ({ schema, services }: Store) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const tables = { of: (table: string) => `${schema}.${table}`, space: schema, schema }
    const { purge } = SagaExecutionStatements.postgres(sql, tables)
    const begun = performance.now()
    let removed = 0
    let from = Number.NEGATIVE_INFINITY
    while (true) {
      const { count, until } = yield* purge(now - year / 2, from, batch)
      removed += count
      if (count < batch || until === null) break
      from = Number(until)
    }
    const rate = (1_000 * removed) / (performance.now() - begun)
    return {
      case: "retention",
      inFlight: 1,
      ours: Math.round(rate),
      reference: "executions a second that are required",
      referenceValue: required,
      ratio: Number((rate / required).toFixed(3))
    }
  }).pipe(Effect.provide(services))

const benchmark = Effect.gen(function* () {
  const stores: Array<Store> = []
  for (const rows of [many, few]) {
    const schema = `bench_${Math.random().toString(36).slice(2, 10)}`
    yield* Effect.addFinalizer(() => drop(schema))
    const services = yield* Layer.build(layerOf(schema))
    yield* Effect.provide(fill(schema, rows), services)
    stores.push({ schema, services })
  }
  const [large, small] = stores as [Store, Store]
  const rows = []
  for (const operation of operations) rows.push(yield* measure(operation, large, small))
  rows.push(yield* retention(large))
  return { rows }
})

const drop = (schema: string) =>
  SqlClient.SqlClient.use((sql) => sql`drop schema if exists ${sql(schema)} cascade`).pipe(
    Effect.provide(PgClient.layer({ url: Redacted.make(url) })),
    Effect.ignore
  )

export const run = (): Promise<Report> => Effect.runPromise(Effect.scoped(benchmark))
