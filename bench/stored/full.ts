/** A schema with many executions, put in by SQL: what the benchmarks of a full database stand on. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, Saga, SagaConfig, SagaManager, TransactionCommitter } from "effect-saga"
import { SagaExecutionStatements, SqlInspector, SqlSagaExecutionRepository } from "effect-saga/sql"

const url = process.env.SAGA_TEST_PG_URL ?? "postgres://postgres@127.0.0.1:5432/test"
const steps = { success: Schema.Int, execute: () => Effect.succeed(1) }

export const PlaceOrder = Saga.make("PlaceOrder", { context: { order: Schema.String } }).pipe(
  Saga.local("ticket", steps),
  Saga.local("payment", steps),
  Saga.local("parcel", steps),
  Saga.commit
)

export const Approve = Saga.make("Approve", { context: { order: Schema.String } }).pipe(
  Saga.remote("answer", { execute: { target: "desk/Approve", content: ({ order }) => order }, timeout: "30 days" }),
  Saga.commit
)

export const layerOf = (schema: string) =>
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

export const hour = 3_600_000
export const now = Date.now()
/** They were started in the last year, evenly. */
export const year = 365 * 24 * hour

/**
 * Three in five are settled, one in four waits (for an answer, a signal or a time), and the others are parked; of those that wait
 * four in five roll back. One in ten has a `startKey`. The facts are those of a real execution under other uuids, which are of
 * version 7 as those that the library makes.
 */
export const fill = Effect.fnUntraced(function* (schema: string, rows: number) {
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

export const drop = (schema: string) =>
  SqlClient.SqlClient.use((sql) => sql`drop schema if exists ${sql(schema)} cascade`).pipe(
    Effect.provide(PgClient.layer({ url: Redacted.make(url) })),
    Effect.ignore
  )

/** How many executions one statement of the retention removes, as in the repository. */
const batch = 2_000

/** Removes half of what is settled, as the retention does. `rate`: executions a second. */
export const removed = Effect.fnUntraced(function* (schema: string) {
  const sql = yield* SqlClient.SqlClient
  const tables = { of: (table: string) => `${schema}.${table}`, space: schema, schema }
  const { purge } = SagaExecutionStatements.postgres(sql, tables)
  const begun = performance.now()
  let executions = 0
  let from = Number.NEGATIVE_INFINITY
  while (true) {
    const { count, until } = yield* purge(now - year / 2, from, batch)
    executions += count
    if (count < batch || until === null) break
    from = Number(until)
  }
  const seconds = (performance.now() - begun) / 1_000
  return { executions, seconds, rate: executions / seconds }
})
