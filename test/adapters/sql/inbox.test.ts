/**
 * C16 and C20 on a database: what the inbox costs executions that have none, that a writer and a sender meet
 * at the row of the execution, and that the former release works on beside this one.
 */
import { assert, describe, it, layer as withLayer } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer } from "effect"
import { SqlClient, Statement } from "effect/sql"
import { SagaExecutionRepository } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import * as SqlConnections from "../../../src/adapters/sql/SqlConnections.ts"
import * as SqlTables from "../../../src/adapters/sql/SqlTables.ts"
import type { SagaExecution } from "../../../src/execution/view/SagaExecution.ts"
import * as Sample from "../../../src/testing/SampleExecutions.ts"
import { databases, dropping, schemaOf, server, url } from "../../fixtures/postgres.ts"

const Repository = SagaExecutionRepository.SagaExecutionRepository

const minute = 60_000

/** Every statement that runs, as its text and its values. */
const recording = () => {
  const statements: Array<readonly [string, ReadonlyArray<unknown>]> = []
  const transformer: Statement.Transformer = (self) =>
    Effect.sync(() => {
      statements.push(self.compile())
      return self
    })
  return { statements, recorded: Effect.provideService(Statement.CurrentTransformer, transformer) }
}

/** A repository of a process of its own. */
const repositoryOf = (schema: string) =>
  Effect.map(Layer.build(Layer.fresh(SqlSagaExecutionRepository.layer({ schema }))), Context.get(Repository))

const input = ({ uuid }: SagaExecution, id: string) => ({ uuid, id, input: { _tag: "Cancel" }, at: Sample.time })

for (const { layer, name, schema } of databases("inbox")) {
  withLayer(layer, { timeout: "2 minutes", excludeTestServices: true })(`the inbox: ${name}`, (it) => {
    it.effect("C16 an execution without inputs is written by one statement a write, and its end by no other one", () =>
      Effect.gen(function* () {
        const { recorded, statements } = recording()
        yield* Effect.gen(function* () {
          const { store } = yield* repositoryOf(schema)
          statements.length = 0
          let execution = yield* store(Sample.started(Sample.created()), { owner: "a" })
          for (const step of [Sample.paused, Sample.finished, Sample.committed])
            execution = yield* store(step(execution), { wakeAt: Sample.time, closes: true })
          assert.isTrue(execution.settled)
        }).pipe(Effect.scoped, recorded)
        assert.strictEqual(statements.length, 4)
        for (const [text] of statements) {
          assert.notInclude(text, "saga_inbox")
          assert.notInclude(text, "for update")
        }
      })
    )

    it.effect("C16 one write that is refused does not keep those from the database that are sent with it", () =>
      Effect.gen(function* () {
        const { load, store, submit } = yield* repositoryOf(schema)
        const all = yield* Effect.forEach(Array.from({ length: 8 }), () =>
          store(Sample.paused(Sample.started(Sample.created())), { wakeAt: Sample.time + minute })
        )
        yield* submit(input(all[3]!, "x"))
        const hint = { wakeAt: Sample.time, closes: true }
        const results = yield* Effect.forEach(all, (one) => Effect.result(store(Sample.finished(one), hint)), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(
          results.map(({ _tag }) => _tag),
          all.map((_, i) => (i === 3 ? "Failure" : "Success"))
        )
        assert.strictEqual((yield* load(all[3]!.uuid)).revision, 1)
      })
    )

    it.effect("C11 the former release writes and reads on tables of this one, and this one on rows of the former", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const schema = schemaOf("former")
        yield* Layer.build(dropping(schema))
        yield* SqlTables.setUp({ schema }, yield* SqlConnections.make("SqlSagaExecutionRepository", {}), {
          module: "SqlSagaExecutionRepository",
          list: "saga_execution_migration",
          migrations: (tables) => ({ "0001_executions": SqlTables.executions(tables)["0001_executions"] })
        })
        const table = sql(`${schema}.saga_execution`)
        // The statement of the former release: all columns, but those that it does not know are not set.
        const former = (execution: SagaExecution, values: Record<string, unknown>) => sql`
          with h as (select * from json_populate_recordset(null::${table}, ${JSON.stringify([
            {
              uuid: execution.uuid,
              saga: execution.saga,
              fingerprint: execution.state.creation.fingerprint,
              status: execution.status,
              direction: "forward",
              commit_state: "none",
              parked: false,
              revision: execution.revision,
              settled: false,
              created_at: Sample.time,
              updated_at: Sample.time,
              ...values
            }
          ])}::json))
          insert into ${table} select * from h on conflict (uuid) do update set status = excluded.status,
            revision = excluded.revision, claimable = excluded.claimable, owner = excluded.owner,
            wake_at = excluded.wake_at`
        const before = Sample.paused(Sample.started(Sample.created()))
        yield* former(before, { claimable: true, owner: "former", wake_at: Sample.time + minute })
        const { claim, giveBack, store, submit } = yield* repositoryOf(schema)
        yield* claim({ owner: "former", now: Sample.time, leaseMillis: minute, limit: 0 })
        const request = { owner: "mine", now: Sample.time, leaseMillis: minute, limit: 10, holds: [] }
        // Stored by the former release before and after the migration, with its owner alive.
        const mine = yield* store(Sample.paused(Sample.started(Sample.created())), { owner: "mine" })
        yield* former(mine, { claimable: true, owner: "former", wake_at: 0 })
        yield* claim(request)
        for (const one of [before, mine]) assert.strictEqual(yield* submit(input(one, "x")), "stored")
        assert.deepStrictEqual((yield* claim(request)).executions, [])
        const rows = sql<{ owner: string; wake_at: bigint; inbox: number }>`
          select owner, wake_at, inbox from ${table} order by wake_at`
        assert.deepStrictEqual(
          (yield* rows).map(({ inbox, owner, wake_at }) => [owner, Number(wake_at), inbox]),
          [
            ["former", 0, 1],
            ["former", Sample.time, 1]
          ]
        )
        // A write of the former release leaves the number of inputs; this one still refuses to close the execution.
        yield* former(mine, { claimable: true, owner: "mine", wake_at: 0 })
        assert.isFalse(yield* giveBack({ uuid: mine.uuid, owner: "mine", revision: 1, wakeAt: Sample.time }))
        const closing = yield* Effect.flip(store(Sample.finished(mine), { closes: true }))
        assert.propertyVal(closing, "unread", true)
        assert.strictEqual((yield* store(Sample.finished(mine), { reads: ["x"], closes: true })).revision, 2)
        // The former release begins a wait, with or without a time, over an input that it does not know of.
        for (const values of [
          { claimable: true, owner: null, wake_at: Sample.time + 30 * minute },
          { claimable: true, owner: null, wake_at: null },
          { claimable: false, owner: null, wake_at: null }
        ]) {
          const { claim, store, submit } = yield* repositoryOf(schema)
          const left = yield* store(Sample.paused(Sample.started(Sample.created())), { wakeAt: Sample.time + minute })
          yield* submit(input(left, "x"))
          yield* former(left, values)
          const later = { ...request, now: Sample.time + minute + 1 }
          const { executions, inbox } = yield* claim(later)
          assert.include(
            executions.map(({ uuid }) => uuid),
            left.uuid
          )
          assert.include(
            inbox.map(({ uuid }) => uuid),
            left.uuid
          )
        }
      })
    )
  })
}

// Needs a server: a PGlite has one unit of work at a time.
describe.runIf(url !== undefined)("a writer and a sender on Postgres", () => {
  /** Two units of work at once: the first is open while the second begins, and the second waits for its row. */
  const inTurn = Effect.fnUntraced(function* <A, B>(
    schema: string,
    first: Effect.Effect<A, unknown>,
    second: Effect.Effect<B, unknown>
  ) {
    const sql = yield* SqlClient.SqlClient
    const { atomically } = yield* Repository
    const [done, commit] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
    const one = yield* first.pipe(
      Effect.tap(() => Effect.andThen(Deferred.succeed(done, undefined), Deferred.await(commit))),
      atomically,
      Effect.result,
      Effect.forkChild
    )
    yield* Deferred.await(done)
    const other = yield* Effect.forkChild(Effect.result(second), { startImmediately: true })
    const waiting = sql`select from pg_stat_activity
      where wait_event_type = 'Lock' and query like ${`%${schema}%`} and pid <> pg_backend_pid()`
    yield* Effect.repeat(waiting, { until: ({ length }) => length > 0 })
    yield* Deferred.succeed(commit, undefined)
    return [yield* Fiber.join(one), yield* Fiber.join(other)] as const
  })

  it.live(
    "C16 a write that closes an execution waits for an input that is being stored, and is refused then",
    () => {
      const schema = schemaOf("race")
      return Effect.gen(function* () {
        const { load, store, submit } = yield* Repository
        for (const reads of [undefined, ["another"]]) {
          const paused = yield* store(Sample.paused(Sample.started(Sample.created())), { wakeAt: Sample.time + minute })
          if (reads !== undefined) yield* submit(input(paused, "another"))
          const hint = { closes: true, ...(reads && { reads }) }
          const [sent, ended] = yield* inTurn(schema, submit(input(paused, "x")), store(Sample.finished(paused), hint))
          assert.propertyVal(sent, "success", "stored")
          assert.propertyVal(ended._tag === "Failure" ? ended.failure : {}, "unread", true)
          assert.strictEqual((yield* load(paused.uuid)).revision, 1)
        }
      }).pipe(
        Effect.scoped,
        Effect.provide(SqlSagaExecutionRepository.layer({ schema })),
        Effect.provide(server(schema))
      )
    },
    20_000
  )

  it.live(
    "C16 an input waits for a write that ends its execution, and is not stored then; for one that pauses, it is due",
    () => {
      const schema = schemaOf("race")
      return Effect.gen(function* () {
        const { claim, store, submit } = yield* Repository
        const paused = yield* store(Sample.paused(Sample.started(Sample.created())), { owner: "a" })
        const end = store(Sample.committed(Sample.finished(paused)), { closes: true })
        const [, late] = yield* inTurn(schema, end, submit(input(paused, "x")))
        assert.propertyVal(late, "success", "settled")
        const running = yield* store(Sample.started(Sample.created()), { owner: "a" })
        const pause = store(Sample.paused(running), { wakeAt: Sample.time + minute, closes: true })
        const [, sent] = yield* inTurn(schema, pause, submit(input(running, "x")))
        assert.propertyVal(sent, "success", "stored")
        const { executions } = yield* claim({ owner: "b", now: Sample.time, leaseMillis: minute, limit: 10 })
        assert.deepStrictEqual(
          executions.map(({ uuid }) => uuid),
          [running.uuid]
        )
      }).pipe(
        Effect.scoped,
        Effect.provide(SqlSagaExecutionRepository.layer({ schema })),
        Effect.provide(server(schema))
      )
    },
    20_000
  )
})
