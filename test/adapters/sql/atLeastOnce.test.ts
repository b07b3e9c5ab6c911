/** Handlers without a transaction hold no connection: more of them run side by side than there are connections. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Deferred, Effect, Latch, Layer, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, Participant } from "effect-saga"
import type { Envelope } from "effect-saga/internals"
import { SqlParticipantStore } from "effect-saga/sql"
import * as Pglite from "../../fixtures/pglite.ts"
import { schemaOf, server, url } from "../../fixtures/postgres.ts"

const Bank = Participant.make("bank", { Pay: { payload: {}, success: Schema.String } })
const many = 64
const schema = schemaOf("outside")

const execute = (uuid: string): Envelope.Envelope => ({
  ...{ v: 1, op: "execute", saga: uuid, path: "0", id: `${uuid}:0:execute`, service: "bank", coordinator: "orders" },
  ...{ content: {}, relatedServices: [], transactions: [uuid], notAfter: Date.now() + 86_400_000 }
})

const databases: ReadonlyArray<{ readonly name: string; readonly layer: Layer.Layer<SqlClient.SqlClient, unknown> }> = [
  { name: "PGlite, one session", layer: Pglite.layer() },
  ...(url === undefined ? [] : [{ name: "Postgres, 10 connections", layer: server(schema, 10) }])
]

for (const { layer, name } of databases)
  withLayer(layer, { timeout: "2 minutes", excludeTestServices: true })(
    `handlers without a transaction: ${name}`,
    (it) => {
      it.effect("64 of them run side by side, none of them in a transaction, and each is answered", () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const all = yield* Latch.make()
          const keys = new Set<string>()
          let inTransaction = 0
          // Each waits for the others, so none ends before all have begun.
          const handle = (_: object, key: string) =>
            Effect.gen(function* () {
              if ((yield* Effect.serviceOption(sql.transactionService))._tag === "Some") inTransaction++
              keys.add(key)
              if (keys.size === many) yield* all.open
              yield* all.await
              return key
            })
          const live = Participant.layer(Bank, { Pay: { transaction: false, handle } }).pipe(
            Layer.provideMerge(Layer.merge(Broker.layerMemory, SqlParticipantStore.layer({ schema })))
          )
          yield* Effect.gen(function* () {
            const broker = yield* Broker.Broker
            const answered = new Map<string, unknown>()
            const done = yield* Deferred.make<void>()
            yield* broker.subscribe({ service: "orders", kinds: ["reply"] }).pipe(
              Stream.runForEach(({ acknowledge, body }) => {
                const { content, inReplyTo = "", status }: Envelope.Envelope = JSON.parse(body)
                answered.set(inReplyTo, [status, content])
                return Effect.andThen(
                  answered.size === many ? Deferred.succeed(done, undefined) : Effect.void,
                  acknowledge
                )
              }),
              Effect.forkScoped
            )
            for (let i = 0; i < many; i++) {
              const uuid = `01890000-0000-7000-8000-0000000${String(i).padStart(5, "0")}`
              yield* broker.publish(Broker.toMessage(execute(uuid), "Pay"))
            }
            yield* Deferred.await(done)
            for (const key of keys) assert.deepStrictEqual(answered.get(key), [200, key])
            assert.deepStrictEqual([answered.size, inTransaction], [many, 0])
            const rows = yield* sql`select count(*)::int as n from ${sql(`${schema}.saga_barrier`)}
              where status = 200 and effect = 'immediate' and open and accepted is null`
            assert.deepStrictEqual(rows, [{ n: many }])
          }).pipe(Effect.provide(live))
        }).pipe(Effect.scoped)
      )
    }
  )
