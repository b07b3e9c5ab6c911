/**
 * C19 as a model that is explored to its end, on the real functions: answers, probes, compensations, rejections, votes, `pendingTtl`, the
 * purge, lost answers and a `cancelled` that dies, in every order and as often as they may come. Mutants take each sentence of C19 out
 * of the code, and this test fails for them.
 */
import { assert, describe, it } from "@effect/vitest"
import { explore } from "../ownership/explore.ts"
import { actions, begin, check, copy, textOf } from "./LaterWorld.ts"

const model = { copy, textOf, actions, check, settles: () => undefined }

describe("C19 a command that answers later, in every order of what can happen", () => {
  for (const [name, alone, deaths, least] of [
    ["within a transaction", false, 0, 150],
    ["without a transaction", true, 0, 50],
    ["within a transaction, where `cancelled` dies once", false, 1, 300],
    ["without a transaction, where `cancelled` dies once", true, 1, 100]
  ] as const)
    it(`C19 I27 has one answer, and the effects that its record says: ${name}`, () => {
      const { states, violation } = explore(model, begin(alone, deaths))
      console.log(`${name}: ${states} states`)
      assert.strictEqual(violation, undefined)
      assert.isAbove(states, least)
    }, 120_000)
})
