/** F35, F36, C20: rows of a newer version, and rows that make no sense. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { SagaExecutionRepository } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import * as Sample from "../../../src/testing/SampleExecutions.ts"
import { databases } from "../../fixtures/postgres.ts"

/** The same fact twice: the second does not fit. A fact that this version does not know. */
const unreadable = {
  "has a fact that does not fit": (facts: string) => `[${facts.slice(1, -1)},${facts.slice(1, -1)}]`,
  "has a fact of a newer version": (facts: string) => facts.replace("StepStarted", "StepForetold")
}

for (const { layer, name, schema } of databases("unreadable")) {
  withLayer(layer, { timeout: "2 minutes", excludeTestServices: true })(`rows that cannot be read: ${name}`, (it) => {
    const repository = Effect.map(
      Layer.build(Layer.fresh(SqlSagaExecutionRepository.layer({ schema }))),
      Context.get(SagaExecutionRepository.SagaExecutionRepository)
    )

    it.effect.each(Object.entries(unreadable))(
      "F35 an execution that %s is corrupt, belongs to nobody, and does not keep the others from being run",
      ([, change]) =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const events = sql(`${schema}.saga_event`)
          const { claim, find, load, store } = yield* repository
          const now = Date.now()
          const stored = (at: number) => store(Sample.started(Sample.created({ at })))
          const bad = yield* Effect.flatMap(store(Sample.created({ at: now })), (it) => store(Sample.started(it)))
          const good = yield* stored(now + 1)
          const [row] = yield* sql<{
            facts: string
          }>`select facts from ${events} where uuid = ${bad.uuid}::uuid and revision = 2`
          const facts = change(row!.facts)
          yield* sql`update ${events} set facts = ${facts} where uuid = ${bad.uuid}::uuid and revision = 2`

          const error = yield* Effect.flip(load(bad.uuid))
          assert.deepInclude(error, { _tag: "SagaExecutionRepositoryError", reason: "corrupt" })
          const claims = { limit: 100, now, leaseMillis: 60_000 }
          const mine = yield* claim({ ...claims, owner: "A" })
          assert.deepStrictEqual([mine.executions.map(({ uuid }) => uuid), mine.unreadable], [[good.uuid], [bad.uuid]])
          const again = yield* claim({
            ...claims,
            owner: "A",
            holds: [{ uuid: good.uuid, revision: good.revision }],
            except: [bad.uuid]
          })
          assert.deepStrictEqual([again.executions, again.unreadable ?? []], [[], []], "it is not claimed again")
          const other = yield* claim({ ...claims, owner: "B" })
          assert.deepStrictEqual([other.executions, other.unreadable], [[], [bad.uuid]], "another may claim it at once")
          const { items } = yield* find({})
          assert.deepInclude(items.find(({ uuid }) => uuid === bad.uuid)!, { status: "running", settled: false })
          yield* sql`delete from ${sql(`${schema}.saga_execution`)}`
        })
    )

    it.effect(
      "F35 an execution without a fact is said to be unreadable by a claim, and does not stay claimed in silence",
      () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const { claim, store } = yield* repository
          const now = Date.now()
          const { uuid } = yield* store(Sample.started(Sample.created({ at: now })))
          yield* sql`delete from ${sql(`${schema}.saga_event`)} where uuid = ${uuid}::uuid`
          const claimed = yield* claim({ limit: 100, now, leaseMillis: 60_000, owner: "A" })
          assert.deepStrictEqual([claimed.executions, claimed.unreadable], [[], [uuid]])
          const [row] = yield* sql`select owner from ${sql(`${schema}.saga_execution`)} where uuid = ${uuid}::uuid`
          assert.deepStrictEqual(row, { owner: null })
          yield* sql`delete from ${sql(`${schema}.saga_execution`)}`
        })
    )

    it.effect("a claim reads whole inboxes, the oldest first, and not more than a few megabytes of them", () =>
      Effect.gen(function* () {
        const { claim, store, submit } = yield* repository
        const now = Date.now()
        const stored = yield* Effect.forEach([1, 2, 3], (at) => store(Sample.started(Sample.created({ at }))))
        const input = "x".repeat(1_000_000)
        // The oldest of all is the first of the third.
        for (const [i, uuid] of [stored[2]!, stored[0]!, stored[1]!].map(({ uuid }) => uuid).entries()) {
          for (let n = 0; n < 5; n++) yield* submit({ uuid, id: `${n}`, input, at: now + 10 * i + n })
        }
        const request = { limit: 100, now: now + 100, leaseMillis: 60_000, owner: "A", holds: [] }
        const { executions, inbox } = yield* claim(request)
        assert.strictEqual(executions.length, 3)
        assert.deepStrictEqual(
          inbox.map(({ id, uuid }) => [stored.findIndex((one) => one.uuid === uuid), id]),
          [2, 0].flatMap((i) => ["0", "1", "2", "3", "4"].map((id) => [i, id]))
        )
        yield* Effect.flatMap(SqlClient.SqlClient, (sql) => sql`delete from ${sql(`${schema}.saga_execution`)}`)
      })
    )

    it.effect("F36 find lists an execution with words that this version does not know as it is, and the others", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const { find, store } = yield* repository
        const newer = yield* store(Sample.created({ at: 1 }))
        const known = yield* store(Sample.created({ at: 2 }))
        yield* sql`update ${sql(`${schema}.saga_execution`)} set status = 'asleep', direction = 'sideways',
          decision = 'perhaps', commit_state = 'wondering' where uuid = ${newer.uuid}::uuid`
        const { items } = yield* find({})
        assert.deepStrictEqual(
          items.map(({ commitState, decision, direction, status, uuid }) => [
            uuid,
            status,
            direction,
            decision,
            commitState
          ]),
          [
            [known.uuid, "created", "forward", null, "none"],
            [newer.uuid, "asleep", "sideways", "perhaps", "wondering"]
          ]
        )
      })
    )
  })
}
