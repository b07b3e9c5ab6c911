/** The part of the participant store suite for messages without a final answer: accepted ones, and those whose handler runs (SPEC C19). */
import { randomUUID } from "node:crypto"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import * as Port from "../ports/ParticipantStore.ts"
import type * as Suite from "./Suite.ts"

const makePlace = (inTransaction: boolean) => {
  const uuid = randomUUID()
  const id = `${uuid}:0:execute`
  const transaction: Port.Transaction = {
    ...{ uuid, coordinator: "orders", status: "committed", notAfter: 1_000, heuristic: false, updatedAt: 10 }
  }
  const row: Port.Barrier = {
    ...{ id, transaction: inTransaction ? uuid : undefined, coordinator: "orders", request: "0".repeat(64) },
    ...{
      status: 202,
      reply: "{}",
      effect: "none",
      open: true,
      accepted: ` {"b":1,"a":"ü"}`,
      keepUntil: 1_000,
      createdAt: 10
    }
  }
  const scope: Port.Scope = {
    service: `service-${uuid}`,
    transactions: inTransaction ? [uuid] : [],
    messages: [id]
  }
  return { row, scope, records: { transactions: inTransaction ? [transaction] : [], barriers: [row] } }
}

const final = (row: Port.Barrier): Port.Barrier => ({ ...row, status: 200, reply: "{1}", accepted: undefined })

export const accepted = (test: Suite.Test<Port.ParticipantStore>): void => {
  const save = (scope: Port.Scope, records: Partial<Port.Records>) =>
    Port.ParticipantStore.use(({ unit }) => unit(scope, (unit) => unit.save(records)))
  const read = (scope: Port.Scope) =>
    Port.ParticipantStore.use(({ unit }) =>
      unit(scope, ({ accepted, barriers }) => Effect.succeed({ accepted, stored: [...barriers.values()] }))
    )

  test("C19 a message without an answer is never purged, nor is its transaction; with its answer both are", () =>
    Effect.gen(function* () {
      const store = yield* Port.ParticipantStore
      for (const inTransaction of [true, false]) {
        const { records, row, scope } = makePlace(inTransaction)
        const request = { service: scope.service, before: 5_000, alone: 5_000, limit: 10 }
        yield* save(scope, records)
        assert.strictEqual(yield* store.purge(request), 0)
        assert.deepStrictEqual((yield* read(scope)).stored, [row])
        yield* save(scope, { barriers: [final(row)] })
        assert.strictEqual(yield* store.purge(request), 1)
        assert.deepStrictEqual((yield* read(scope)).stored, [])
      }
    }))

  test("C19 a unit that may end a transaction reads what is accepted in it, and only that", () =>
    Effect.gen(function* () {
      const { records, row, scope } = makePlace(true)
      yield* save(scope, records)
      const other = `${row.id}:2`
      yield* save({ ...scope, messages: [other] }, { barriers: [{ ...final(row), id: other }] })
      const ending = { ...scope, messages: [] }
      assert.deepStrictEqual((yield* read(ending)).accepted, [])
      assert.deepStrictEqual((yield* read({ ...ending, ending: true })).accepted, [row])
      yield* save(scope, { barriers: [final(row)] })
      assert.deepStrictEqual((yield* read({ ...ending, ending: true })).accepted, [])
    }))

  test("C19 a unit that ends a message without an answer replaces its record, and the next one finds that", () =>
    Effect.gen(function* () {
      const store = yield* Port.ParticipantStore
      for (const inTransaction of [true, false]) {
        const { records, row, scope } = makePlace(inTransaction)
        yield* save(scope, records)
        const seen: Array<number | undefined> = []
        const ends = store.unit(scope, ({ barriers, save }) => {
          const known = barriers.get(row.id)
          seen.push(known?.status)
          return known?.status === 202 ? save({ barriers: [final(row)] }) : Effect.void
        })
        yield* ends
        yield* ends
        assert.deepStrictEqual(seen, [202, 200])
      }
    }))
}
