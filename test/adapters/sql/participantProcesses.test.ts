/**
 * Two processes of one participant on one database, on a wire that repeats everything, while one of them stops and starts
 * again: each command has its effect once, in the tables of its handler, and each message one answer (SPEC I1, I4, I8).
 */
import { PgClient } from "@effect/sql-pg"
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Redacted, Schedule, Schema, Scope, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, Participant, ParticipantStore, SagaTransaction } from "effect-saga"
import type { Envelope } from "effect-saga/internals"
import { SqlParticipantStore } from "effect-saga/sql"
import { databases, url } from "../../fixtures/postgres.ts"
import { envelopeOf, type Message } from "../../participant/byHand.ts"

class Declined extends Schema.TaggedError<Declined>()("Declined", {}) {}

const Bank = Participant.make("bank", {
  Charge: { payload: {}, success: Schema.String, error: Declined },
  Stage: { payload: {}, success: Schema.String, effect: "staged" },
  Refund: { payload: {} }
})

/** How executions end, and what they leave in the tables of the handlers. */
const ends = {
  committed: { rows: ["charge 0:execute", "given 1:execute"], status: "committed" },
  rejected: { rows: ["charge 0:execute", "refund 0:failure"], status: "rejected" },
  declined: { rows: [], status: "rejected" }
} as const
type End = keyof typeof ends

for (const { layer, name, schema } of databases("processes")) {
  const ledger = `${schema}.ledger`
  const holds = `${schema}.hold`

  const key = Effect.map(SagaTransaction, ({ idempotencyKey }) => idempotencyKey)
  const write = (what: string) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`insert into ${sql(ledger)} (what, key) values (${what}, ${yield* key})`
    }).pipe(Effect.orDie)
  const handlers = {
    Charge: () =>
      Effect.gen(function* () {
        yield* write("charge")
        // The payload is empty: the id says it.
        const { uuid } = yield* SagaTransaction
        if (uuid.endsWith("d")) return yield* new Declined()
        return "charged"
      }),
    Stage: () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const { uuid } = yield* SagaTransaction
        yield* sql`insert into ${sql(holds)} (uuid, key) values (${uuid}, ${yield* key})`
        return "held"
      }).pipe(Effect.orDie),
    Refund: () => write("refund")
  }
  const hooks = {
    commit: ({ uuid }: Participant.TransactionPart) =>
      SqlClient.SqlClient.use(
        (sql) => sql`with given as (delete from ${sql(holds)} where uuid = ${uuid} returning key)
          insert into ${sql(ledger)} (what, key) select 'given', key from given`
      ).pipe(Effect.asVoid, Effect.orDie),
    reject: ({ uuid }: Participant.TransactionPart) =>
      SqlClient.SqlClient.use((sql) => sql`delete from ${sql(holds)} where uuid = ${uuid}`).pipe(
        Effect.asVoid,
        Effect.orDie
      )
  }
  // No key is unique: only the records of the participant keep an effect from happening twice.
  const tables = Layer.effectDiscard(
    SqlClient.SqlClient.use((sql) =>
      Effect.andThen(
        sql`create table ${sql(ledger)} (what text not null, key text not null)`,
        sql`create table ${sql(holds)} (uuid text not null, key text not null)`
      )
    )
  )
  const participants = SqlParticipantStore.layer({ schema })
  const live = Layer.provideMerge(Layer.provideMerge(tables, participants), layer)

  withLayer(live, { timeout: "2 minutes", excludeTestServices: true })(`two processes on ${name}`, (it) => {
    it.effect(
      "I1, I4, I8, I13 two processes of one participant have every effect once and give every message one answer",
      () =>
        Effect.gen(function* () {
          const mine = yield* Effect.context<SqlClient.SqlClient>()
          const broker = Context.get(yield* Layer.build(Layer.fresh(Broker.layerMemory)), Broker.Broker)
          const scope = yield* Scope.Scope
          /** A process: connections of its own where there is a server, and a store of its own. */
          const start = Effect.gen(function* () {
            const own = yield* Scope.fork(scope)
            const client =
              name === "PGlite" ? Layer.succeedContext(mine) : PgClient.layer({ url: Redacted.make(url ?? "") })
            yield* Participant.layer(Bank, handlers, hooks).pipe(
              Layer.provide(Layer.succeed(Broker.Broker, broker)),
              Layer.provide(Layer.fresh(participants)),
              Layer.provide(Layer.fresh(client)),
              Layer.buildWithScope(own)
            )
            return Scope.close(own, Exit.void)
          })
          yield* start
          const notAfter = Date.now() + 3_600_000
          const restarts = { count: 0 }
          yield* Effect.forkScoped(
            Effect.forever(
              Effect.gen(function* () {
                const stop = yield* start
                yield* Effect.sleep("40 millis")
                yield* stop
                restarts.count++
              })
            )
          )

          const replies = new Map<string, Set<string>>()
          yield* broker.subscribe({ service: "orders", kinds: ["reply"] }).pipe(
            Stream.runForEach(({ acknowledge, body }) => {
              const { inReplyTo = "" }: Envelope.Envelope = JSON.parse(body)
              replies.set(inReplyTo, (replies.get(inReplyTo) ?? new Set()).add(body))
              return acknowledge
            }),
            Effect.forkScoped
          )
          const publish = (uuid: string, message: Message) =>
            Effect.gen(function* () {
              const envelope = envelopeOf({ ...message, changes: { saga: uuid, notAfter } })
              const command = envelope.path === undefined ? undefined : (message.command ?? "Refund")
              yield* Effect.repeat(broker.publish(Broker.toMessage(envelope, command)), { times: 2 })
              return envelope.id
            })
          const ask = (uuid: string, message: Message) =>
            Effect.gen(function* () {
              const id = yield* publish(uuid, message)
              yield* Effect.repeat(Effect.sleep("5 millis"), { until: () => replies.has(id) })
              const [body = ""] = replies.get(id) ?? []
              return Number(JSON.parse(body).status)
            })
          const play = (uuid: string, end: End) =>
            Effect.gen(function* () {
              const sent: Array<Message> = []
              const say = (message: Message) => {
                sent.push(message)
                return ask(uuid, message)
              }
              const charged = yield* say({ op: "execute", path: "0", command: "Charge" })
              assert.strictEqual(charged, end === "declined" ? 400 : 200)
              if (end !== "declined") yield* say({ op: "execute", path: "1", command: "Stage" })
              if (end === "committed") {
                assert.strictEqual(yield* say({ op: "reserve", paths: ["0", "1"] }), 200)
                yield* say({ op: "commit" })
              } else {
                const both = [say({ op: "reject" }), ...(end === "rejected" ? [say({ op: "failure", path: "0" })] : [])]
                yield* Effect.all(both, { concurrency: "unbounded" })
              }
              // And all of it once more, when it is over.
              for (const message of sent) yield* publish(uuid, message)
            })
          const executions = Array.from({ length: 24 }, (_, i): readonly [string, End] => {
            const end = (["committed", "rejected", "declined"] as const)[i % 3] ?? "committed"
            return [crypto.randomUUID().replace(/.$/, end === "declined" ? "d" : "a"), end]
          })
          yield* Effect.forEach(executions, ([uuid, end]) => play(uuid, end), { concurrency: 8, discard: true })
          yield* Effect.sleep("20 millis").pipe(
            Effect.andThen(Effect.sync(() => restarts.count)),
            Effect.repeat({ until: (count) => count > 2, schedule: Schedule.spaced("20 millis") })
          )

          const sql = yield* SqlClient.SqlClient
          const rows = yield* sql<{ what: string; key: string }>`select what, key from ${sql(ledger)}`
          const { unit } = yield* ParticipantStore.ParticipantStore
          for (const [uuid, end] of executions) {
            const did = rows
              .filter(({ key }) => key.startsWith(uuid))
              .map(({ key, what }) => `${what} ${key.slice(37)}`)
            assert.deepStrictEqual(did.sort(), [...ends[end].rows], `${uuid} ${end}`)
            const status = yield* unit({ service: "bank", transactions: [uuid], messages: [] }, ({ transactions }) =>
              Effect.succeed(transactions.get(uuid)?.status)
            )
            assert.strictEqual(status, ends[end].status)
          }
          assert.deepStrictEqual(yield* sql`select * from ${sql(holds)}`, [])
          for (const [id, bodies] of replies) assert.strictEqual(bodies.size, 1, id)
        }).pipe(Effect.scoped)
    )
  })
}
