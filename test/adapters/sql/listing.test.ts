/** F9: what lists, the census and the retention tell of rows of this release, and of those that the former one has written. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { SagaExecutionRepository } from "effect-saga"
import { SagaExecutionStatements, SqlSagaExecutionRepository } from "effect-saga/sql"
import * as ExecutionSummary from "../../../src/ports/ExecutionSummary.ts"
import * as Sample from "../../../src/testing/SampleExecutions.ts"
import { databases } from "../../fixtures/postgres.ts"

const Repository = SagaExecutionRepository.SagaExecutionRepository

const { time } = Sample

for (const { layer, name, schema } of databases("listing")) {
  const repository = Layer.provideMerge(SqlSagaExecutionRepository.layer({ schema }), layer)
  withLayer(repository, { timeout: "2 minutes", excludeTestServices: true })(`lists: ${name}`, (it) => {
    const table = Effect.map(SqlClient.SqlClient, (sql) => sql(`${schema}.saga_execution`))
    const statements = Effect.map(SqlClient.SqlClient, (sql) =>
      SagaExecutionStatements.postgres(sql, { of: (of) => `${schema}.${of}`, space: schema, schema })
    )
    const placeOf = ({ step, waitingSince, waitsFor }: ExecutionSummary.ExecutionSummary) => ({
      step: step === undefined ? undefined : `${step.path} ${step.name}`,
      waitsFor,
      waitingSince
    })
    const nowhere = { step: undefined, waitsFor: undefined, waitingSince: undefined }

    it.effect("a list says at which step an execution is, and whose answer it waits for since when", () =>
      Effect.gen(function* () {
        const { find, store } = yield* Repository
        const saga = Sample.uniqueName()
        const shown = Effect.map(find({ saga }), ({ items }) => placeOf(items[0]!))
        const begun = yield* store(Sample.started(Sample.created({ saga })))
        assert.deepStrictEqual(yield* shown, { ...nowhere, step: "0 reservation" })
        const paused = yield* store(Sample.paused(begun), { wakeAt: time })
        const waits = { step: "1 payment", waitsFor: "payments/Charge", waitingSince: paused.state.updatedAt }
        assert.deepStrictEqual(yield* shown, waits)
        const [summary] = (yield* find({ saga })).items
        const { wakeAt: _, ...others } = summary!
        assert.deepStrictEqual(others, ExecutionSummary.of(paused), "the same as from memory")
        const undoing = yield* store(Sample.refused(paused))
        assert.deepStrictEqual(yield* shown, { ...nowhere, step: "0 reservation" })
        yield* store(Sample.rejected(undoing))
        assert.deepStrictEqual(yield* shown, nowhere, "it is settled")
      })
    )

    it.effect("what the former release leaves in a row that it does not know is not shown", () =>
      Effect.gen(function* () {
        const { find, store } = yield* Repository
        const saga = Sample.uniqueName()
        yield* store(Sample.paused(Sample.started(Sample.created({ saga }))), { wakeAt: time })
        const [sql, t] = [yield* SqlClient.SqlClient, yield* table]
        for (const [status, settled] of [
          ["running", false],
          ["finished", true]
        ] as const) {
          yield* sql`update ${t} set status = ${status}, settled = ${settled} where saga = ${saga}`
          assert.isUndefined(placeOf((yield* find({ saga })).items[0]!).waitsFor)
        }
        assert.deepStrictEqual(placeOf((yield* find({ saga })).items[0]!), nowhere)
      })
    )

    it.effect(
      "a list of some status has the newest of all sagas, page after page, and statuses of a later release",
      () =>
        Effect.gen(function* () {
          const { find } = yield* Repository
          const [sql, t] = [yield* SqlClient.SqlClient, yield* table]
          yield* sql`insert into ${t} (uuid, saga, fingerprint, status, direction, commit_state, parked, revision, settled, claimable,
            created_at, updated_at)
          select gen_random_uuid(), 'Saga ' || n % 7, 'f' || n % 3, case when n % 2 = 0 then 'resting' else 'paused' end,
            'forward', 'none', false, 1, false, false, n, n from generate_series(1, 140) as n`
          const all: Array<number> = []
          let after: string | undefined
          do {
            const filter = { status: "resting" as "paused", createdBefore: 1_000 }
            const page = yield* find(filter, { limit: 9, ...(after !== undefined && { after }) })
            all.push(...page.items.map(({ createdAt }) => createdAt))
            after = page.next
          } while (after !== undefined)
          assert.deepStrictEqual(
            all,
            Array.from({ length: 70 }, (_, i) => 140 - 2 * i)
          )
        })
    )

    it.effect("the census counts the executions of a definition up to a limit, and those of every definition", () =>
      Effect.gen(function* () {
        const { census } = yield* Repository
        const [sql, t] = [yield* SqlClient.SqlClient, yield* table]
        const saga = Sample.uniqueName()
        yield* sql`insert into ${t} (uuid, saga, fingerprint, status, direction, commit_state, parked, revision, settled, claimable,
            created_at, updated_at)
          select gen_random_uuid(), ${saga}, case when n > 150 then 'few' else 'many' end, 'paused', 'forward', 'none', false, 1,
            n > 155, false, 1000000, 1000000 from generate_series(1, 200) as n`
        assert.deepStrictEqual(
          (yield* census).filter((one) => one.saga === saga),
          [
            { saga, fingerprint: "few", count: 5 },
            { saga, fingerprint: "many", count: ExecutionSummary.maxCounted }
          ]
        )
      })
    )

    it.effect(
      "C14 the retention removes what was settled before a time, in parts, also what the former release has settled",
      () =>
        Effect.gen(function* () {
          const { find, store } = yield* Repository
          const { purge } = yield* statements
          const [sql, t] = [yield* SqlClient.SqlClient, yield* table]
          const saga = Sample.uniqueName()
          const settled = (at: number) =>
            Effect.reduce(
              Sample.story,
              () => Sample.created({ saga, at }),
              (execution, step) => store(step(execution), { wakeAt: at })
            )
          const all = yield* Effect.forEach([0, 100, 200, 300, 400, 500], settled)
          const waiting = yield* store(Sample.paused(Sample.started(Sample.created({ saga, at: 0 }))), { wakeAt: time })
          // Rows of the former release: they do not say when they were settled.
          yield* sql`update ${t} set settled_at = null where uuid = any(${[all[0]!.uuid, all[3]!.uuid]}::uuid[])`
          const left = Effect.map(find({ saga }), ({ items }) =>
            items
              .map(({ uuid }) => (uuid === waiting.uuid ? "waiting" : all.findIndex((one) => one.uuid === uuid)))
              .sort()
          )
          assert.strictEqual((yield* purge(0, Number.NEGATIVE_INFINITY, 10)).count, 0)
          const first = yield* purge(450, Number.NEGATIVE_INFINITY, 2)
          assert.strictEqual(first.count, 4, "two of each release")
          assert.strictEqual(Number(first.until), all[2]!.state.updatedAt)
          assert.deepStrictEqual(yield* left, [4, 5, "waiting"])
          assert.strictEqual((yield* purge(450, Number(first.until), 2)).count, 1)
          assert.deepStrictEqual(yield* left, [5, "waiting"])
          const [events] = yield* sql<{ n: number }>`select count(*)::int as n from ${sql(`${schema}.saga_event`)}
          where uuid = any(${all.slice(0, 5).map(({ uuid }) => uuid)}::uuid[])`
          assert.strictEqual(events?.n, 0)
        })
    )
  })
}
