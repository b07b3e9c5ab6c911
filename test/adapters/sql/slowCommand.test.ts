/** F21: a command that takes longer than its unit of work may is bounded, and answered in the end. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Deferred, Effect, Layer, Logger, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, Participant } from "effect-saga"
import type { Envelope } from "effect-saga/internals"
import { SqlParticipantStore } from "effect-saga/sql"
import { databases } from "../../fixtures/postgres.ts"

const uuid = "01890000-0000-7000-8000-000000000021"
const Bank = Participant.make("bank", { Charge: { payload: {}, success: Schema.String } })

const execute: Envelope.Envelope = {
  v: 1,
  id: `${uuid}:0:execute`,
  op: "execute",
  saga: uuid,
  path: "0",
  service: "bank",
  coordinator: "orders",
  content: {},
  relatedServices: [],
  transactions: [uuid],
  notAfter: Date.now() + 86_400_000
}

for (const { layer, name, schema } of databases("slow")) {
  withLayer(layer, { timeout: "2 minutes", excludeTestServices: true })(`slow commands: ${name}`, (it) => {
    it.effect(
      "F21 a command that never ends in time is run five times, keeps nothing, and is answered 500 for good",
      () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          let runs = 0
          const handlers = {
            Charge: () =>
              Effect.gen(function* () {
                runs++
                yield* Effect.orDie(sql`insert into ${sql(`${schema}.effect`)} values (${runs})`)
                return yield* Effect.never
              })
          }
          yield* Effect.gen(function* () {
            const broker = yield* Broker.Broker
            yield* sql`create table ${sql(`${schema}.effect`)} (run int)`
            const first = yield* Deferred.make<Envelope.Envelope>()
            const second = yield* Deferred.make<Envelope.Envelope>()
            yield* broker.subscribe({ service: "orders", kinds: ["reply"] }).pipe(
              Stream.runForEach(({ acknowledge, body }) =>
                Effect.gen(function* () {
                  const isFirst = yield* Deferred.succeed(first, JSON.parse(body))
                  if (!isFirst) yield* Deferred.succeed(second, JSON.parse(body))
                  yield* acknowledge
                })
              ),
              Effect.forkScoped
            )
            yield* broker.publish(Broker.toMessage(execute, "Charge"))
            assert.deepInclude(yield* Deferred.await(first), { status: 500, content: "TimedOut" })
            yield* broker.publish(Broker.toMessage(execute, "Charge"))
            assert.deepStrictEqual(yield* Deferred.await(second), yield* Deferred.await(first))
            assert.deepStrictEqual([runs, yield* sql`select * from ${sql(`${schema}.effect`)}`], [5, []])
          }).pipe(
            Effect.provide(
              Participant.layer(Bank, handlers).pipe(
                Layer.provideMerge(
                  Layer.merge(Broker.layerMemory, SqlParticipantStore.layer({ schema, timeout: "500 millis" }))
                )
              )
            )
          )
        }).pipe(Effect.scoped, Effect.provide(Logger.layer([])))
    )
  })
}
