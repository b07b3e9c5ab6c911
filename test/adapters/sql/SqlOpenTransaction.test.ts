/** A caller that has a transaction open: what it starts is no part of it, and outlives it. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, Saga, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import { databases } from "../../fixtures/postgres.ts"

for (const { layer, name, schema } of databases("callers")) {
  const ledger = `${schema}.ledger`
  const write = (line: string) =>
    SqlClient.SqlClient.use((sql) => sql`insert into ${sql(ledger)} (line) values (${line})`).pipe(
      Effect.asVoid,
      Effect.orDie
    )
  const Note = Saga.make("Note", { context: { line: Schema.String } }).pipe(
    Saga.local("first", { execute: ({ line }) => write(`${line} 1`) }),
    Saga.local("second", { execute: ({ line }) => Effect.andThen(Effect.sleep("20 millis"), write(`${line} 2`)) }),
    Saga.commit
  )
  const table = Layer.effectDiscard(
    SqlClient.SqlClient.use((sql) => sql`create table ${sql(ledger)} (line text not null)`)
  )
  const live = SagaManager.layer([Note]).pipe(
    Layer.provide([SagaConfig.layer({ service: "notes" }), Broker.layerMemory, TransactionCommitter.layerNone]),
    Layer.provideMerge(Layer.provideMerge(table, SqlSagaExecutionRepository.layer({ schema }))),
    Layer.provideMerge(layer)
  )

  withLayer(live, { timeout: "2 minutes", excludeTestServices: true })(`a caller in a transaction: ${name}`, (it) => {
    it.effect(
      "C9 an execution that is started inside a transaction is kept, with its effects, when that transaction rolls back",
      () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const run = SagaManager.run(Note, { context: { line: "in" } })
          const begun = yield* Deferred.make<Fiber.Fiber<Effect.Success<typeof run>, Effect.Error<typeof run>>>()
          // The caller does not wait inside its transaction: with one session it would wait for ever.
          const start = Effect.flatMap(Effect.forkChild(run, { startImmediately: true }), (fiber) =>
            Deferred.succeed(begun, fiber)
          )
          yield* Effect.flip(sql.withTransaction(Effect.andThen(start, Effect.fail("undone"))))
          const { uuid } = yield* Fiber.join(yield* Deferred.await(begun))
          const { load } = yield* SagaExecutionRepository.SagaExecutionRepository
          assert.strictEqual((yield* load(uuid)).status, "finished")
          const rows = yield* sql<{ line: string }>`select line from ${sql(ledger)} order by line`
          assert.deepStrictEqual(
            rows.map(({ line }) => line),
            ["in 1", "in 2"]
          )
        })
    )
  })
}
