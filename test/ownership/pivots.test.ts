/**
 * C18 as a model that is explored to its end, on the real functions: a pivot with both committers, two instances, crashes, a network
 * that loses, doubles and delays, refusals and silence, cancels, deadlines, and what a person does about what is parked. Every state
 * that can be reached holds the laws, and from every one the execution ends, or waits visibly for a person, whether participants
 * answer or not. Mutants take the sentences of C18 out of the code. With `SAGA_PIVOT_MODEL` set it explores more.
 */
import process from "node:process"
import { assert, describe, it } from "@effect/vitest"
import { explore } from "./explore.ts"
import * as Pivots from "./PivotWorld.ts"
import { copy, textOf, tick, type World } from "./WaitWorld.ts"

const model = {
  ...{ copy, textOf, actions: Pivots.actions, check: Pivots.check },
  settles: (world: World) => Pivots.settles(world, "answered") ?? Pivots.settles(world, "silent")
}

/** How many states there are at least: a model that reaches fewer has lost some of what can happen. */
type Scenario = readonly [name: string, budget: Pivots.PivotBudget, states: number]

/** Instances renew in time and write at once: late writes and leases are the models of C16 and of C20. */
const steady = { isSteady: true, isPrompt: true } as const
/** What comes from outside comes to one instance while that is there. */
const apart = { ...steady, isApart: true } as const
/** A write lands at some time after it was sent. */
const late = { isSteady: true, isApart: true } as const
const passed = { isPassed: true } as const
const both = { transactional: true } as const
const yes = { said: [{ id: "a", content: "yes" }] }

const scenarios: ReadonlyArray<Scenario> = [
  [
    "a refusal, another try",
    { ...steady, ...passed, saga: "remote", until: tick, refusals: { 400: 1 }, tries: 1 },
    600
  ],
  [
    "a refusal, a retry of a person",
    { ...steady, ...passed, saga: "remote", until: 0, refusals: { 500: 1 }, person: ["RetryParked"] },
    1_800
  ],
  [
    "a refusal, late writes, a crash",
    { isSteady: true, isApart: true, ...passed, saga: "remote", until: 0, refusals: { 400: 1 }, crashes: 1 },
    1_200
  ],
  [
    "silence, what a person does",
    { ...apart, ...passed, saga: "remote", until: tick, person: ["ResolveParked", "RetryParked"] },
    250
  ],
  [
    "a callback of a reply fails",
    { ...steady, ...passed, saga: "handled", until: 0, failures: 1, person: ["RetryParked"] },
    180
  ],
  [
    "a local step fails, a crash, what a person does",
    {
      ...apart,
      ...passed,
      saga: "local",
      until: tick,
      failures: 1,
      crashes: 1,
      tries: 1,
      person: ["ResolveParked", "RetryParked"]
    },
    90
  ],
  [
    "a wait, a signal, a retry, a crash",
    { ...steady, ...passed, ...yes, saga: "waits", until: tick, crashes: 1, person: ["RetryParked"] },
    600
  ],
  ["acknowledgements, a crash", { ...apart, ...passed, ...both, saga: "local", until: tick, crashes: 1 }, 400],
  ["a cancel, a crash", { ...apart, saga: "local", until: 0, cancels: 1, crashes: 1 }, 4_000],
  ["a deadline, a crash", { ...apart, saga: "timed", until: tick, crashes: 1 }, 3_000],
  [
    "a lost answer of the store, a refusal",
    { ...late, ...passed, saga: "remote", until: 0, refusals: { 400: 1 }, lost: 1 },
    25
  ],
  ["a lost answer of the store at the pivot", { ...late, saga: "local", until: 0, lost: 1 }, 25],
  [
    "branches behind the pivot",
    { ...apart, ...passed, saga: "behind", until: tick, refusals: { 400: 1 }, failures: 1 },
    500
  ],
  [
    "branches before the pivot, one is refused, a cancel",
    { ...apart, saga: "before", until: 0, cancels: 1, refusals: { 400: 1 } },
    900
  ],
  ["without autocommit, a crash", { ...apart, ...both, saga: "local", until: 0, isManual: true, crashes: 1 }, 900],
  ["two votes", { ...apart, ...both, saga: "votes", until: 0, against: 1 }, 3_000]
]

const longer: ReadonlyArray<Scenario> = [
  [
    "a lost answer of the store, a refusal, a crash",
    { ...late, ...passed, saga: "remote", until: 0, refusals: { 400: 1 }, lost: 1, crashes: 1 },
    7_000
  ],
  [
    "branches before the pivot, one fails, a crash",
    { ...apart, saga: "before", until: 0, failures: 1, crashes: 1 },
    2_000
  ],
  [
    "branches before the pivot, one fails, a vote",
    { ...apart, ...both, saga: "before", until: 0, failures: 1, against: 1 },
    1_000
  ],
  [
    "without autocommit, a vote, a cancel",
    { ...apart, ...both, saga: "local", until: 0, isManual: true, cancels: 1, against: 1 },
    9_000
  ],
  ["a vote, a cancel", { ...apart, ...both, saga: "local", until: 0, against: 1, cancels: 1 }, 9_000],
  [
    "acknowledgements, a step that is refused",
    { ...steady, ...passed, ...both, saga: "remote", until: 0, refusals: { 400: 1 } },
    9_000
  ],
  [
    "acknowledgements, a refusal, a crash",
    { ...apart, ...passed, ...both, saga: "remote", until: 0, refusals: { 400: 1 }, crashes: 1 },
    9_000
  ],
  [
    "acknowledgements, until time is over",
    { ...apart, ...passed, ...both, saga: "remote", until: tick, refusals: { 400: 1 } },
    2_500
  ]
]

describe("C18 pivots at two instances on one store, in every order of what can happen", () => {
  for (const [name, budget, least] of process.env.SAGA_PIVOT_MODEL === undefined
    ? scenarios
    : [...scenarios, ...longer]) {
    it(`C18 I26 I11 I6 I2 keeps its laws, and comes to an end: ${name}`, () => {
      const begun = performance.now()
      const { states, violation } = explore(model, Pivots.begin(budget))
      console.log(`${name}: ${states} states in ${((performance.now() - begun) / 1_000).toFixed(1)} s`)
      assert.strictEqual(violation, undefined)
      assert.isAbove(states, least)
    }, 600_000)
  }
})
