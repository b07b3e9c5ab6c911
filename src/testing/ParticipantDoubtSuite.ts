/** The part of the participant store suite for decisions of people about transactions in doubt. */
import { randomUUID } from "node:crypto"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import * as Port from "../ports/ParticipantStore.ts"
import type * as Suite from "./Suite.ts"

export const doubts = (test: Suite.Test<Port.ParticipantStore>): void => {
  test("C6 a decision about a transaction in doubt is kept once, until it is carried out", () =>
    Effect.gen(function* () {
      const { doubts, unit } = yield* Port.ParticipantStore
      if (doubts === undefined) return
      const [service, uuid] = [`service-${randomUUID()}`, randomUUID()]
      const becomes = (status: "pending" | "reserved") =>
        unit({ service, transactions: [uuid], messages: [] }, ({ save }) =>
          save({
            transactions: [{ uuid, coordinator: "orders", status, notAfter: 9e12, heuristic: false, updatedAt: 10 }]
          })
        )
      const decision = { service, uuid, decision: "commit", actor: "anna", reason: "orders is gone", at: 7 } as const
      yield* becomes("pending")
      assert.strictEqual(yield* doubts.decide(decision), "not-in-doubt")
      yield* becomes("reserved")
      assert.strictEqual(yield* doubts.decide(decision), "stored")
      assert.strictEqual(yield* doubts.decide({ ...decision, decision: "reject" }), "known")
      assert.strictEqual(yield* doubts.decide({ ...decision, uuid: randomUUID() }), "not-in-doubt")
      assert.deepStrictEqual(yield* doubts.open(service), [decision])
      assert.isUndefined(yield* doubts.outcome(service, uuid))
      yield* doubts.close(service, uuid, "applied", 8)
      assert.deepStrictEqual(yield* doubts.open(service), [])
      assert.strictEqual(yield* doubts.outcome(service, uuid), "applied")
      assert.strictEqual(yield* doubts.decide(decision), "known")
    }))
}
