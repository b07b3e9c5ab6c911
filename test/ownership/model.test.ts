/**
 * C20 as a model that is explored to its end: two instances on the real memory store, with late writes and give-backs, lost
 * answers, crashes, leases that are over, and notifications that come late or never. Every state that can be reached holds the
 * laws, and comes to an end when nothing more goes wrong. Each sentence of C20 that is taken out breaks a law.
 */
import { assert, describe, it } from "@effect/vitest"
import type { Budget, Rules, Sentence, World } from "./World.ts"
import { actions, begin, check, copy, sentences, settles, textOf, tick } from "./World.ts"

/** How a state was reached. */
interface Way {
  readonly name: string
  readonly before: Way | undefined
}

const told = (violation: string, way: Way | undefined): string => {
  const names: Array<string> = []
  for (let at = way; at !== undefined; at = at.before) names.unshift(at.name)
  return [violation, ...names].join("\n  ")
}

/** Every state that can be reached, the nearest first. Ends at the first violation, and tells how it came to it. */
const explore = (budget: Budget, rules: Rules) => {
  const first = begin(budget, rules)
  const queue: Array<{ readonly world: World; readonly way: Way | undefined } | undefined> = []
  const seen = new Set<string>()
  const reach = (world: World, way: Way | undefined): void => {
    const text = textOf(world)
    if (seen.has(text)) return
    seen.add(text)
    queue.push({ world, way })
  }
  reach(first, undefined)
  for (let i = 0; i < queue.length; i++) {
    const { way, world } = queue[i]!
    queue[i] = undefined
    const stuck = world.now < budget.until ? undefined : settles(world)
    if (stuck !== undefined) return { states: seen.size, violation: told(stuck, way) }
    for (const { name, run } of actions(world)) {
      const next = copy(world)
      run(next)
      const violation = check(next)
      if (violation !== undefined) return { states: seen.size, violation: told(violation, { name, before: way }) }
      reach(next, { name, before: way })
    }
  }
  return { states: seen.size, violation: undefined }
}

const rulesWithout = (sentence: Sentence | undefined): Rules => {
  const all = Object.keys(sentences) as ReadonlyArray<Sentence>
  return Object.fromEntries(all.map((one) => [one, one !== sentence])) as Rules
}

const nothing = { until: 2 * tick, crashes: 0, lost: 0, cancels: 0, replies: 0 }

/** How many states there are at least: a model that reaches fewer has lost some of what can happen. */
const scenarios: ReadonlyArray<readonly [name: string, Budget, states: number]> = [
  ["a local step, and a crash", { ...nothing, saga: "local", crashes: 1 }, 6_000],
  ["a local step, and a lost answer", { ...nothing, saga: "local", lost: 1 }, 3_000],
  ["a local step, and a cancel at any instance", { ...nothing, saga: "local", cancels: 1 }, 15_000],
  ["a remote step, and a reply to any instance", { ...nothing, saga: "remote", replies: 1 }, 2_000],
  ["a remote step, a reply, and a lost answer", { ...nothing, saga: "remote", replies: 1, lost: 1 }, 8_000],
  ["a remote step, and an absence", { ...nothing, saga: "remote", isAlone: true, until: 5 * tick, crashes: 1 }, 1_000]
]

/** The scenario in which each sentence is missed. */
const missed: ReadonlyArray<readonly [Sentence, Budget]> = [
  ["onlyTheOwnerRuns", { ...nothing, saga: "local", cancels: 1 }],
  ["inputsAreStored", { ...nothing, saga: "local", cancels: 1 }],
  ["pausedHasNoOwner", { ...nothing, saga: "remote", replies: 1 }],
  ["dueIsClaimed", { ...nothing, saga: "remote" }],
  ["takesUpItsOwn", { ...nothing, saga: "local", lost: 1 }],
  ["closes", { ...nothing, saga: "local", cancels: 1 }],
  ["ownClock", { ...nothing, saga: "local" }],
  ["spares", { ...nothing, saga: "local" }],
  ["adopts", { ...nothing, saga: "local" }],
  ["keepsResults", { ...nothing, saga: "local", cancels: 1 }],
  ["waitsAfterAbsence", { ...nothing, saga: "remote", isAlone: true, until: 5 * tick, crashes: 1 }]
]

describe("C20 two instances on one store, in every order of what can happen", () => {
  for (const [name, budget, least] of scenarios) {
    it(`C20 keeps its laws, and comes to an end: ${name}`, () => {
      const { states, violation } = explore(budget, rulesWithout(undefined))
      console.log(`${name}: ${states} states`)
      assert.strictEqual(violation, undefined)
      assert.isAbove(states, least)
    }, 120_000)
  }

  for (const [sentence, budget] of missed) {
    it(`C20 breaks a law without the sentence that ${sentences[sentence]}`, () => {
      assert.isDefined(explore(budget, rulesWithout(sentence)).violation)
    }, 60_000)
  }
})
