/** F8: what executions that wait cost the database: statements for batches, and none for each. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Effect, Layer, Schema, Stream } from "effect"
import { SqlClient, Statement } from "effect/sql"
import { Broker, Saga, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import * as Sample from "../../../src/testing/SampleExecutions.ts"
import { databases } from "../../fixtures/postgres.ts"

const Repository = SagaExecutionRepository.SagaExecutionRepository

const Asking = Saga.make("Asking", { context: {} }).pipe(
  Saga.remote("answer", { execute: { target: "people/ask", content: () => ({}) }, success: Schema.Unknown }),
  Saga.commit
)

for (const { layer, name, schema } of databases("waiting")) {
  let statements = 0
  const counting = Layer.succeed(Statement.CurrentTransformer, (statement: Statement.Statement<unknown>) =>
    Effect.sync(() => {
      statements++
      return statement
    })
  )
  const repository = Layer.fresh(SqlSagaExecutionRepository.layer({ schema })).pipe(Layer.provide(counting))

  withLayer(layer, { timeout: "2 minutes", excludeTestServices: true })(`executions that wait: ${name}`, (it) => {
    it.effect("F8 many are sent again by a few statements", () =>
      Effect.gen(function* () {
        const sent: Array<string> = []
        const broker = Layer.succeed(Broker.Broker, {
          publish: ({ body }) => Effect.sync(() => void sent.push(body)),
          subscribe: () => Stream.never
        })
        const { run } = Context.get(
          yield* Layer.build(
            SagaManager.layer([Asking]).pipe(
              Layer.provide([
                SagaConfig.layer({
                  service: "orders",
                  // One resend after a second, and none after that.
                  resend: { initial: "1 second", factor: 1_000, max: "1 hour" }
                }),
                broker,
                TransactionCommitter.layerNone
              ]),
              Layer.provide(repository)
            )
          ),
          SagaManager.SagaManager
        )
        const count = 500
        const start = run(Asking, { context: {}, pauseOnDisk: true, returnExecution: false })
        yield* Effect.all(
          Array.from({ length: count }, () => start),
          { concurrency: "unbounded", discard: true }
        )
        const before = statements
        yield* Effect.repeat(Effect.sleep("20 millis"), { until: () => sent.length >= 2 * count })
        assert.strictEqual(new Set(sent).size, count)
        assert.isBelow(statements - before, count / 2)
      })
    )

    it.effect("F12 executions that are loaded at the same time are loaded by one statement", () =>
      Effect.gen(function* () {
        const { load, store } = Context.get(yield* Layer.build(repository), Repository)
        const stored = yield* Effect.forEach(Array.from({ length: 50 }), () => store(Sample.started(Sample.created())))
        const before = statements
        const loaded = yield* Effect.forEach(stored, ({ uuid }) => load(uuid), { concurrency: "unbounded" })
        assert.deepStrictEqual(
          loaded.map(({ uuid }) => uuid),
          stored.map(({ uuid }) => uuid)
        )
        assert.strictEqual(statements - before, 1)
        const missing = yield* Effect.flip(load(Sample.created().uuid))
        assert.strictEqual(missing._tag, "SagaExecutionNotFound")
      })
    )

    it.effect("F8 half-done work is claimed before what only waits, however long that is overdue", () =>
      Effect.gen(function* () {
        const { claim, store } = Context.get(yield* Layer.build(repository), Repository)
        yield* SqlClient.SqlClient.use((sql) => sql`delete from ${sql(`${schema}.saga_execution`)}`)
        yield* store(Sample.paused(Sample.started(Sample.created())), { wakeAt: 1 })
        const halfDone = yield* store(Sample.started(Sample.created()), { owner: "dead" })
        const { executions } = yield* claim({ owner: "a", now: Date.now(), leaseMillis: 60_000, limit: 1 })
        assert.deepStrictEqual(
          executions.map(({ uuid }) => uuid),
          [halfDone.uuid]
        )
      })
    )
  })
}
