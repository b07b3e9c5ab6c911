/** F6: what a process remembers of a summary row is forgotten when another process has written, and with the lease. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { SagaExecutionRepository } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import * as Sample from "../../../src/testing/SampleExecutions.ts"
import { databases } from "../../fixtures/postgres.ts"

const Repository = SagaExecutionRepository.SagaExecutionRepository

for (const { layer, name, schema } of databases("summary")) {
  withLayer(layer, { timeout: "2 minutes", excludeTestServices: true })(
    `the summary of an execution: ${name}`,
    (it) => {
      it.effect(
        "F6 the summary of an execution names its owner again after another process had it, though nothing else changed",
        () =>
          Effect.gen(function* () {
            const sql = yield* SqlClient.SqlClient
            const instance = Effect.map(
              Layer.build(Layer.fresh(SqlSagaExecutionRepository.layer({ schema }))),
              Context.get(Repository)
            )
            const a = yield* instance
            const b = yield* instance
            const summary = Effect.map(
              sql<{ status: string; owner: string }>`select status, owner from ${sql(`${schema}.saga_execution`)}`,
              ([row]) => row
            )
            const now = Date.now()
            yield* a.claim({ owner: "A", limit: 0, now, leaseMillis: 60_000 })
            yield* b.claim({ owner: "B", limit: 0, now, leaseMillis: 60_000 })
            const first = yield* a.store(Sample.started(Sample.created({ at: now })), { owner: "A" })
            // B goes on with it until it waits, as after a takeover.
            yield* b.store(Sample.paused(yield* b.load(first.uuid)), { owner: "B", wakeAt: now + 60_000 })
            assert.deepStrictEqual(yield* summary, { status: "paused", owner: "B" })
            // A takes the reply and runs the next step: the same summary that A wrote at first.
            const replied = Sample.after(yield* a.load(first.uuid), {
              _tag: "ReplyReceived",
              path: "1",
              status: 200,
              content: { paymentId: "p" },
              relatedServices: [],
              at: now
            })
            yield* a.store(replied, { owner: "A" })
            assert.deepStrictEqual(yield* summary, { status: "running", owner: "A" })
            assert.strictEqual(yield* b.take({ uuid: first.uuid, owner: "B", now }), "A", "A is at work on it")
          })
      )
    }
  )
}
