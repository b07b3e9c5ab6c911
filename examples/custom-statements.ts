/** One statement replaced: lists leave out the orders of the nightly test, which the support desk must not see. */
import { Console, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, Saga, SagaConfig, SagaManager, TransactionCommitter } from "effect-saga"
import { PgliteClient } from "effect-saga/pglite"
import { SagaExecutionStatements, SqlSagaExecutionRepository } from "effect-saga/sql"

const Order = Saga.make("Order", { context: { book: Schema.String } }).pipe(
  Saga.local("parcel", { execute: ({ book }) => Console.log(`pack ${book}`) }),
  Saga.commit
)

/** The view has the columns of the table. It is made after the tables, and before anything is read. */
const withoutTests = SqlSagaExecutionRepository.layer({
  statements: Effect.fn(function* (postgres, tables) {
    const sql = yield* SqlClient.SqlClient
    yield* sql`create or replace view visible_execution as
      select * from ${sql(tables.of("saga_execution"))} where user_name is distinct from 'nightly test'`
    const onView = SagaExecutionStatements.postgres(sql, {
      ...tables,
      of: (table) => (table === "saga_execution" ? "visible_execution" : tables.of(table))
    })
    return { ...postgres, find: onView.find }
  })
})

const program = Effect.gen(function* () {
  yield* SagaManager.run(Order, { context: { book: "a novel" }, user: "ann" })
  yield* SagaManager.run(Order, { context: { book: "a test" }, user: "nightly test" })
  const manager = yield* SagaManager.SagaManager
  const { items } = yield* manager.find({})
  for (const { saga, status, user } of items) yield* Console.log(`listed: ${saga} of ${user}, ${status}`)
})

const Live = SagaManager.layer([Order]).pipe(
  Layer.provide([
    SagaConfig.layer({ service: "shop" }),
    withoutTests.pipe(Layer.provide(PgliteClient.layer())),
    Broker.layerMemory,
    TransactionCommitter.layerNone
  ])
)

Effect.runPromise(Effect.provide(program, Live))
