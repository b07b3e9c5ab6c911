/**
 * Decision 0058, SPEC C6 and I4 as a model that is explored to its end, on the real functions: a handler without a transaction at one or two
 * processes that call a bank, end, die, have no more time, stop, are killed or are too slow to say that they run; copies, probes, compensations
 * with and without a transaction, rejections, votes, `pendingTtl` and the purge, in every order. Mutants take each sentence out of the
 * code, and this test fails for them. With `SAGA_BEGUN_MODEL` set it explores more.
 */
import process from "node:process"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { exploreInTurns } from "../ownership/explore.ts"
import { actions, type Budget, begin, check, copy, old, older, settles, soon, textOf } from "./BegunWorld.ts"

const model = { copy, textOf, actions, check, settles }

/** How many states there are at least: a model that reaches fewer has lost some of what can happen. */
type Scenario = readonly [name: string, budget: Budget, states: number]

const scenarios: ReadonlyArray<Scenario> = [
  ["in a transaction", { alone: false, undo: "Refund", most: 1, times: [old] }, 1_200],
  [
    "in a transaction that commits without it",
    { alone: false, undo: "Refund", most: 1, without: true, times: [old] },
    400
  ],
  ["in no transaction", { alone: true, undo: "Refund", most: 1, times: [soon, old, older] }, 900],
  [
    "at two processes, with a compensation without a transaction",
    { alone: true, undo: "Repay", most: 2, times: [soon] },
    1_400
  ]
]

const longer: ReadonlyArray<Scenario> = [
  ["in a transaction, until it is purged", { alone: false, undo: "Refund", most: 1, times: [soon, old, older] }, 5_000],
  [
    "in a transaction, with a compensation without a transaction",
    { alone: false, undo: "Repay", most: 1, times: [soon, old] },
    1_200
  ],
  ["in a transaction, at two processes", { alone: false, undo: "Refund", most: 2, times: [soon] }, 1_200],
  [
    "in a transaction, at two processes, with a compensation without a transaction",
    { alone: false, undo: "Repay", most: 2, times: [soon] },
    1_200
  ]
]

describe("C6 I4 a handler without a transaction, in every order of what can happen", () => {
  for (const [name, budget, least] of process.env.SAGA_BEGUN_MODEL === undefined
    ? scenarios
    : [...scenarios, ...longer])
    it.live(
      `has one answer, and the effect that it says: ${name}`,
      () =>
        Effect.gen(function* () {
          const { states, violation } = yield* exploreInTurns(model, begin(budget))
          console.log(`${name}: ${states} states`)
          assert.strictEqual(violation, undefined)
          assert.isAbove(states, least)
        }),
      1_800_000
    )
})
