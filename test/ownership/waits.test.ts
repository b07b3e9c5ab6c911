/**
 * C16 as a model that is explored to its end, on the real functions: signals, waits, deadlines and cancels at two instances and a
 * stranger, with late writes, lost answers, crashes, leases that are over, and notifications that come late or never. Every state
 * that can be reached holds the laws, comes to an end when nothing more goes wrong, and tells every sender the truth. Mutants
 * take the sentences of C16 out of the code, and this test fails for them. With `SAGA_WAIT_MODEL` set it explores more.
 */
import process from "node:process"
import { assert, describe, it } from "@effect/vitest"
import { explore } from "./explore.ts"
import { actions, type Budget, begin, check, copy, settles, textOf, tick, type World } from "./WaitWorld.ts"

const model = {
  ...{ copy, textOf, actions, check },
  settles: (world: World) => (world.now < world.budget.until ? undefined : settles(world))
}

const a = { id: "a", content: "yes" }

const other = { ...a, content: "no" }
const b = { id: "b", content: "b" }

/** How many states there are at least: a model that reaches fewer has lost some of what can happen. */
type Scenario = readonly [name: string, budget: Budget, states: number]

const scenarios: ReadonlyArray<Scenario> = [
  ["a signal, a step before its wait, and its time", { saga: "fails", said: [a], until: tick }, 1_000],
  ["a signal, a time with a result, and a crash", { saga: "goesOn", said: [a], until: tick, crashes: 1 }, 2_500],
  ["a signal, a time with a result, and a lost answer", { saga: "goesOn", said: [a], until: tick, lost: 1 }, 700],
  ["a signal, a wait, and a cancel", { saga: "goesOn", said: [a], until: 0, cancels: 1 }, 100],
  ["a signal, and another one of its id", { saga: "goesOn", said: [a, other], until: 0 }, 200],
  ["the same signal twice, and two waits for it", { saga: "twice", said: [a, a], until: 0 }, 100],
  ["two signals, and two waits one after the other", { saga: "twice", said: [a, b], until: 0 }, 250],
  ["a signal, two waits, and the deadline of the execution", { saga: "twice", said: [a], until: 2 * tick }, 3_000],
  ["a signal, and two waits at a time with its key", { saga: "both", said: [{ ...a, key: "k" }], until: 0 }, 70],
  ["two waits at a time with results", { saga: "bothGoOn", said: [a], until: tick }, 600],
  ["a sleep, and a signal before its wait", { saga: "sleeps", said: [a], until: tick }, 400],
  ["a signal of a sender that has read before", { saga: "goesOn", said: [a], until: tick, reads: true }, 600],
  [
    "the same signal twice, of a sender that has read before",
    { saga: "open", said: [a, a], until: 0, reads: true },
    250
  ],
  ["a cancel, and a sender that has read before", { saga: "fails", said: [a], until: 0, cancels: 1, reads: true }, 900],
  ["a signal, a wait without a limit, and a crash", { saga: "open", said: [a], until: 0, crashes: 1 }, 10],
  ["a signal that the saga does not know", { saga: "goesOn", said: [{ ...a, signal: "unknown" }], until: tick }, 100],
  ["a hundred unused ones", { saga: "fails", said: [a, b], before: { count: 99 }, until: 0 }, 100],
  [
    "a hundred unused ones of another key",
    { saga: "goesOn", said: [a, { ...b, key: "k" }], before: { count: 100, key: "k" }, until: 0 },
    70
  ]
]

const longer: ReadonlyArray<Scenario> = [
  ["two signals of one id, until the time is over", { saga: "goesOn", said: [a, other], until: tick }, 5_000],
  ["a signal, a step, a crash", { saga: "fails", said: [a], until: tick, crashes: 1 }, 8_000],
  ["a signal, a time with a result, and a cancel", { saga: "goesOn", said: [a], until: tick, cancels: 1 }, 3_500],
  ["a signal, a step, a cancel", { saga: "fails", said: [a], until: tick, cancels: 1 }, 20_000],
  ["two signals and two waits until the deadline", { saga: "twice", said: [a, b], until: tick }, 5_500],
  ["a sleep, a signal, a crash", { saga: "sleeps", said: [a], until: tick, crashes: 1 }, 4_000],
  [
    "a signal, and two waits at a time, until one is over",
    { saga: "both", said: [{ ...a, key: "k" }], until: tick },
    7_500
  ],
  ["two waits at a time, a cancel", { saga: "both", said: [{ ...a, key: "k" }], until: tick, cancels: 1 }, 70_000]
]

describe("C16 signals at two instances on one store, in every order of what can happen", () => {
  for (const [name, budget, least] of process.env.SAGA_WAIT_MODEL === undefined
    ? scenarios
    : [...scenarios, ...longer]) {
    it(`C16 I23 I24 keeps its laws, and everybody is told: ${name}`, () => {
      const begun = performance.now()
      const { states, violation } = explore(model, begin(budget))
      console.log(`${name}: ${states} states in ${((performance.now() - begun) / 1_000).toFixed(1)} s`)
      assert.strictEqual(violation, undefined)
      assert.isAbove(states, least)
    }, 600_000)
  }
})
