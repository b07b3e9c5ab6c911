/**
 * What it costs that a command has its effect once: a unit of work with one row of the handler's own, against the same row
 * and a row that remembers it, in a transaction written by hand. And the bytes that a message leaves.
 */
import { randomUUID } from "node:crypto"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { ParticipantStore } from "effect-saga"
import { SqlParticipantStore } from "effect-saga/sql"
import type { Report } from "./run.ts"

const url = process.env.SAGA_TEST_PG_URL ?? "postgres://postgres@127.0.0.1:5432/test"
const schema = `bench_${Math.random().toString(36).slice(2, 10)}`

/** The answer to a command with three fields, as it is on the wire. */
const replyTo = (id: string, uuid: string) =>
  JSON.stringify({
    v: 1,
    id: `${id}:reply`,
    op: "reply",
    saga: uuid,
    path: "1",
    service: "payments",
    coordinator: "orders",
    inReplyTo: id,
    status: 200,
    content: { paymentId: randomUUID(), amount: 1_250, currency: "EUR" },
    relatedServices: ["payments"],
    transactions: [],
    notAfter: 4_102_444_800_000
  })

const effect = (id: string) =>
  SqlClient.SqlClient.use((sql) => sql`insert into ${sql(`${schema}.effect`)} (id, amount) values (${id}, 1250)`)

const execute = (transactional: boolean) => {
  const uuid = randomUUID()
  const id = `${uuid}:1:execute`
  const barrier: ParticipantStore.Barrier = {
    id,
    transaction: transactional ? uuid : undefined,
    coordinator: "orders",
    request: "0".repeat(64),
    status: 200,
    reply: replyTo(id, uuid),
    effect: "immediate",
    open: true,
    accepted: undefined,
    keepUntil: 4_102_444_800_000,
    createdAt: 1_700_000_000_000
  }
  const transaction: ParticipantStore.Transaction = {
    uuid,
    coordinator: "orders",
    status: "pending",
    notAfter: barrier.keepUntil,
    heuristic: false,
    updatedAt: barrier.createdAt
  }
  const transactions = transactional ? [transaction] : []
  return ParticipantStore.ParticipantStore.use((store) =>
    store.unit(
      {
        service: "payments",
        transactions: transactional ? [uuid] : [],
        messages: [id],
        ...(transactional && { opens: transaction })
      },
      ({ run, save }) => Effect.andThen(run(effect(id)), save({ transactions, barriers: [barrier] }))
    )
  )
}

/** One look, the effect, and the row that remembers it. */
const byHand = SqlClient.SqlClient.use((sql) =>
  Effect.suspend(() => {
    const uuid = randomUUID()
    const id = `${uuid}:1:execute`
    const table = sql(`${schema}.handmade`)
    return sql.withTransaction(
      sql`select reply from ${table} where id = ${id} for update`.pipe(
        Effect.andThen(effect(id)),
        Effect.andThen(sql`insert into ${table} (id, reply) values (${id}, ${replyTo(id, uuid)})`)
      )
    )
  })
)

const rate = Effect.fnUntraced(function* <E, R>(program: Effect.Effect<unknown, E, R>, inFlight: number) {
  let count = 0
  const start = performance.now()
  const loop = Effect.gen(function* () {
    while (performance.now() - start < 1_500) {
      yield* program
      count++
    }
  })
  yield* Effect.all(
    Array.from({ length: inFlight }, () => loop),
    { concurrency: "unbounded", discard: true }
  )
  return { perSecond: (1_000 * count) / (performance.now() - start), count }
})

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

/** Of both tables, with their indexes. */
const bytes = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ total: number }>`
    select (pg_total_relation_size(${`${schema}.saga_barrier`}) + pg_total_relation_size(${`${schema}.saga_transaction`}))::float8
      as total`
  return row?.total ?? 0
})

const measure = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table ${sql(`${schema}.effect`)} (id text primary key, amount int not null)`
  yield* sql`create table ${sql(`${schema}.handmade`)} (id text primary key, reply text not null)`
  const rows = []
  for (const name of ["own unit in a transaction", "own unit"] as const) {
    const transactional = name === "own unit in a transaction"
    for (const inFlight of [1, 8, 64]) {
      yield* rate(
        Effect.suspend(() => execute(transactional)),
        inFlight
      )
      yield* rate(byHand, inFlight)
      const before = yield* bytes
      const pairs = []
      let count = 0
      for (let round = 0; round < 5; round++) {
        const reference = yield* rate(byHand, inFlight)
        const ours = yield* rate(
          Effect.suspend(() => execute(transactional)),
          inFlight
        )
        count += ours.count
        pairs.push({ ours: ours.perSecond, reference: reference.perSecond })
      }
      rows.push({
        case: name,
        inFlight,
        ours: Math.round(median(pairs.map(({ ours }) => ours))),
        reference: "by hand",
        referenceValue: Math.round(median(pairs.map(({ reference }) => reference))),
        ratio: Number(median(pairs.map(({ ours, reference }) => ours / reference)).toFixed(3)),
        bytes: Math.round(((yield* bytes) - before) / count)
      })
    }
  }
  yield* sql`drop schema ${sql(schema)} cascade`
  return { rows }
})

const layer = SqlParticipantStore.layer({ schema }).pipe(
  Layer.provideMerge(PgClient.layer({ url: Redacted.make(url), maxConnections: 8 }))
)

export const run = (): Promise<Report> => Effect.runPromise(Effect.provide(measure, layer))
