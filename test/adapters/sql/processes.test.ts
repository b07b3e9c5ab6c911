/** Several processes on one server: each has its own client, its own repository, its own manager. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, Saga, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import * as Sample from "../../../src/testing/SampleExecutions.ts"
import { schemaOf, server, url } from "../../fixtures/postgres.ts"

const gate = Deferred.makeUnsafe<void>()
const begun = Deferred.makeUnsafe<void>()
let runs = 0

const Slow = Saga.make("Slow", { context: {} }).pipe(
  Saga.local("one", {
    success: Schema.Int,
    execute: () =>
      Effect.gen(function* () {
        yield* Deferred.succeed(begun, undefined)
        yield* Deferred.await(gate)
        return ++runs
      })
  }),
  Saga.commit
)

const process = (schema: string) =>
  Layer.fresh(
    SagaManager.layer([Slow]).pipe(
      Layer.provide([
        // No process polls within this test: news come from notifications of the database.
        SagaConfig.layer({ service: "orders", recoveryInterval: "1 hour", lease: "2 hours" }),
        SqlSagaExecutionRepository.layer({ schema }),
        Broker.layerMemory,
        TransactionCommitter.layerNone
      ])
    )
  )

// Needs a server: PGlite is one process.
describe.runIf(url !== undefined)("several processes on Postgres", () => {
  it.live(
    "C7 a caller in one process hears at once of an end in another, and the execution has run once",
    () => {
      const schema = schemaOf("processes")
      return Effect.gen(function* () {
        const run = SagaManager.execute(Slow, { context: {}, startKey: "k" })
        const [one, two] = yield* Effect.all([Layer.build(process(schema)), Layer.build(process(schema))])
        const first = yield* Effect.forkChild(Effect.provide(run, one))
        yield* Deferred.await(begun)
        const second = yield* Effect.forkChild(Effect.provide(run, two))
        // Time to begin waiting; what is asserted holds without it too.
        yield* Effect.sleep("300 millis")
        yield* Deferred.succeed(gate, undefined)
        assert.deepStrictEqual([(yield* Fiber.join(first)).one, (yield* Fiber.join(second)).one], [1, 1])
      }).pipe(Effect.scoped, Effect.provide(server(schema, 12)))
    },
    20_000
  )

  it.live(
    "C7 of two processes that continue an execution at once one gets it, and the other hears which",
    () => {
      const schema = schemaOf("taken")
      return Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const { atomically, claim, store, take } = yield* SagaExecutionRepository.SagaExecutionRepository
        // A server measures leases by its own clock.
        const now = Sample.time
        const { uuid } = yield* store(Sample.paused(Sample.started(Sample.created())))
        for (const owner of ["one", "two"]) yield* claim({ owner, limit: 0, now, leaseMillis: 3_600_000 })
        const [taken, commit] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const first = yield* take({ uuid, owner: "one", now }).pipe(
          Effect.tap(() => Effect.andThen(Deferred.succeed(taken, undefined), Deferred.await(commit))),
          atomically,
          Effect.forkChild
        )
        yield* Deferred.await(taken)
        const second = yield* Effect.forkChild(take({ uuid, owner: "two", now }), { startImmediately: true })
        // The second waits for the row, which is the first's until it has committed.
        const waiting = sql`select from pg_stat_activity
          where wait_event_type = 'Lock' and query like ${`%${schema}%`} and pid <> pg_backend_pid()`
        yield* Effect.repeat(waiting, { until: ({ length }) => length > 0 })
        yield* Deferred.succeed(commit, undefined)
        assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], ["one", "one"])
      }).pipe(
        Effect.scoped,
        Effect.provide(SqlSagaExecutionRepository.layer({ schema })),
        Effect.provide(server(schema))
      )
    },
    20_000
  )
})
