/** The part of the participant store suite for what a participant does for most commands: it opens a transaction, and runs. */
import { randomUUID } from "node:crypto"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import * as Port from "../ports/ParticipantStore.ts"
import type * as Suite from "./Suite.ts"

const makePlace = () => {
  const uuid = randomUUID()
  const opens: Port.Transaction = {
    uuid,
    coordinator: "orders",
    status: "pending",
    notAfter: 1_000,
    heuristic: false,
    updatedAt: 10
  }
  const scope: Port.Scope = { service: `service-${uuid}`, transactions: [uuid], messages: [`${uuid}:0:execute`], opens }
  return { opens, scope }
}

export const units = (test: Suite.Test<Port.ParticipantStore>): void => {
  /** The stored transactions of a scope. */
  const stored = (scope: Port.Scope) =>
    Port.ParticipantStore.use(({ unit }) =>
      unit(scope, ({ transactions }) => Effect.succeed([...transactions.values()]))
    )

  test("a unit that runs code of a handler fails with it, and keeps nothing", () =>
    Effect.gen(function* () {
      const { opens, scope } = makePlace()
      const { unit } = yield* Port.ParticipantStore
      assert.strictEqual(yield* unit(scope, ({ run }) => run(Effect.succeed(7))), 7)
      const failed = unit(scope, ({ run, save }) =>
        Effect.andThen(save({ transactions: [opens] }), run(Effect.fail("declined")))
      )
      assert.strictEqual(yield* Effect.flip(failed), "declined")
      assert.deepStrictEqual(yield* stored(scope), [])
    }))

  test("a transaction that a unit expects to open is kept only as the unit saves it", () =>
    Effect.gen(function* () {
      const { unit } = yield* Port.ParticipantStore
      const [same, other, dropped] = [makePlace(), makePlace(), makePlace()]
      const ended = { ...other.opens, status: "rejected" as const, notAfter: 7 }
      yield* unit(same.scope, ({ save, transactions }) =>
        transactions.size === 0 ? save({ transactions: [same.opens] }) : Effect.void
      )
      yield* unit(other.scope, ({ save }) => save({ transactions: [ended] }))
      yield* unit(dropped.scope, () => Effect.void)
      assert.deepStrictEqual(yield* stored(same.scope), [same.opens])
      assert.deepStrictEqual(yield* stored(other.scope), [ended])
      assert.deepStrictEqual(yield* stored(dropped.scope), [])
    }))
}
