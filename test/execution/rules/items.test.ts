/** Items told by hand: the window, the turn, and facts that make no sense (SPEC C17). */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Saga from "../../../src/definition/Saga.ts"
import * as RetrySchedule from "../../../src/execution/rules/RetrySchedule.ts"
import * as Decision from "../../../src/execution/rules/SagaDecision.ts"
import type { Of, SagaEvent } from "../../../src/execution/rules/SagaEvent.ts"
import { evolve } from "../../../src/execution/rules/SagaEvolution.ts"
import type { SagaState } from "../../../src/execution/rules/SagaState.ts"
import { stepAt } from "../../../src/execution/rules/StepTree.ts"
import * as Execution from "../../../src/execution/view/SagaExecution.ts"
import { deepFreeze } from "./freeze.ts"

const at = 1_000
const step = (name: string) =>
  Saga.local(
    name as never,
    {
      success: Schema.String,
      execute: () => Effect.succeed(name),
      compensate: () => Effect.void
    } as never
  )
const List = Saga.make("List", { context: {} }).pipe(
  Saga.forEach("each", {
    items: () => [],
    item: Schema.String,
    as: "one",
    concurrency: 2,
    steps: (each) => each.pipe(step("a") as never, step("b") as never) as any // names that the compiler does not see
  }),
  Saga.commit
) as unknown as Saga.AnyCommitted

const begun = (count: number, given: Partial<Of<"ForEachStarted">> = {}): SagaState => {
  const created = Execution.creation(List, { uuid: "6f1c9a52-58aa-4d0c-9a5e-1a2b3c4d5e6f", context: {} }, at)
  if (!(created instanceof Execution.SagaExecution)) throw created
  const items = Array.from({ length: count }, (_, i) => `i${i}`)
  const list = {
    _tag: "ForEachStarted",
    path: "0",
    name: "each",
    as: "one",
    steps: 2,
    concurrency: 2,
    items,
    at
  } as const
  return folded(
    created.state,
    { _tag: "ExecutionStarted", service: "s", autocommit: true, transactional: false, at },
    { ...list, ...given }
  )
}

/** Every state is frozen: a fact makes a new one. */
const folded = (self: SagaState, ...facts: ReadonlyArray<SagaEvent>): SagaState =>
  facts.reduce((state, fact) => {
    const next = evolve(deepFreeze(state), fact)
    assert.notStrictEqual(next, state, JSON.stringify(fact))
    return next
  }, self)

const starts = (path: string, name = "a"): SagaEvent => ({ _tag: "StepStarted", path, name, at })
const succeeds = (path: string, result = "r"): SagaEvent => ({ _tag: "StepSucceeded", path, result, at })
const fails = (path: string): SagaEvent => ({
  _tag: "StepFailed",
  path,
  status: "errored-on-execute",
  effect: "none",
  failure: { _tag: "StepDefect", path, step: "a", defect: "broken" },
  at
})

const moment = {
  definition: List,
  now: at,
  since: at,
  presentSince: Number.NEGATIVE_INFINITY,
  attemptSince: Number.NEGATIVE_INFINITY,
  schedule: RetrySchedule.defaults
}
const decided = (self: SagaState) => {
  const { facts, instructions } = Decision.decide(self, moment)
  return [...facts, ...instructions].map((one) => `${one._tag} ${"path" in one ? one.path : ""}`.trim())
}

/** All steps of an item, one after the other. */
const whole = (item: number): ReadonlyArray<SagaEvent> => [
  starts(`0/i${item}/0`),
  succeeds(`0/i${item}/0`),
  starts(`0/i${item}/1`, "b"),
  succeeds(`0/i${item}/1`)
]

describe("the window of items (C17)", () => {
  it("has as many as may run; an item that is over lets the next one in, without a fact of its own", () => {
    const self = begun(5)
    assert.deepStrictEqual(decided(self), ["StepStarted 0/i0/0", "StepStarted 0/i1/0"])
    const slow = folded(self, starts("0/i0/0"), ...whole(1), ...whole(2))
    assert.deepStrictEqual(decided(slow), ["StepStarted 0/i3/0", "RunStep 0/i0/0"])
    const last = folded(slow, ...whole(3), ...whole(4))
    assert.deepStrictEqual(decided(last), ["RunStep 0/i0/0"])
    const over = folded(last, succeeds("0/i0/0"), starts("0/i0/1", "b"), succeeds("0/i0/1"))
    assert.deepStrictEqual(decided(over), ["StepSucceeded 0"])
  })

  it("begins again with the last item when the execution turns; what runs below may end, in its own time", () => {
    const turned = folded(
      begun(9),
      starts("0/i0/0"),
      ...whole(1),
      ...whole(2),
      ...whole(3),
      starts("0/i4/0"),
      fails("0/i4/0")
    )
    // The first item runs, and is undone when its turn comes.
    assert.deepStrictEqual(decided(turned), [
      "CompensationStarted 0/i3/1",
      "CompensationStarted 0/i2/1",
      "RunStep 0/i0/0"
    ])
    const ended = folded(turned, succeeds("0/i0/0"))
    assert.deepStrictEqual(decided(ended), ["CompensationStarted 0/i3/1", "CompensationStarted 0/i2/1"])
    const undone = ["3", "2", "1"].flatMap((item) =>
      ["1", "0"].flatMap((step): ReadonlyArray<SagaEvent> => {
        const path = `0/i${item}/${step}`
        return [
          { _tag: "CompensationStarted", path, at },
          { _tag: "StepCompensated", path, at }
        ]
      })
    )
    assert.deepStrictEqual(decided(folded(ended, ...undone)), ["CompensationStarted 0/i0/0"])
  })

  it("an item below that is between two of its steps when the execution turns begins no other", () => {
    const between = folded(begun(9), starts("0/i0/0"), ...whole(1), ...whole(2), ...whole(3), starts("0/i4/0"))
    const turned = folded(between, succeeds("0/i0/0"), fails("0/i4/0"))
    assert.deepStrictEqual(decided(turned), ["CompensationStarted 0/i3/1", "CompensationStarted 0/i2/1"])
  })

  it("results that together are more than the context has room for fail the step, and all is undone (C11)", () => {
    const large = "x".repeat(600_000)
    const self = folded(
      begun(2),
      starts("0/i0/0"),
      starts("0/i1/0"),
      succeeds("0/i0/0", large),
      succeeds("0/i1/0", large),
      starts("0/i0/1", "b"),
      starts("0/i1/1", "b"),
      succeeds("0/i0/1"),
      succeeds("0/i1/1")
    )
    const { state } = Decision.advance(self, moment)
    assert.strictEqual(state.direction, "backward")
    assert.strictEqual(state.failure?._tag, "StepValueRejected")
    assert.strictEqual(stepAt(state.root, "0")?.step.status, "errored-by-on-execute")
    assert.deepStrictEqual(decided(state), ["Compensate 0/i1/1", "Compensate 0/i0/1"])
  })
})

describe("facts of items that make no sense", () => {
  it("a fact about an item that there is not changes nothing", () => {
    const self = begun(2)
    for (const fact of [starts("0/i2/0"), starts("0/i-1/0"), starts("0/ix/0"), starts("0/i0/1"), succeeds("0/i0/0")])
      assert.strictEqual(evolve(self, fact), self, JSON.stringify(fact))
  })

  it("a list with no concurrency, or without steps, ends all the same", () => {
    assert.deepStrictEqual(decided(begun(2, { concurrency: -1 })), ["StepStarted 0/i0/0"])
    assert.deepStrictEqual(decided(begun(3, { steps: 0 })), ["StepSucceeded 0"])
  })

  it("a list that begins twice is there once", () => {
    const self = begun(2)
    const again: SagaEvent = {
      _tag: "ForEachStarted",
      path: "0",
      name: "each",
      as: "one",
      steps: 2,
      concurrency: 1,
      items: [],
      at
    }
    assert.strictEqual(evolve(self, again), self)
    assert.strictEqual(self.items, 2)
  })
})
