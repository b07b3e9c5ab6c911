/** The rules of a step that starts another saga: what is stored before the start, and when its rollback is looked at. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Saga from "../../../src/definition/Saga.ts"
import * as Decision from "../../../src/execution/rules/SagaDecision.ts"
import type { SagaEvent } from "../../../src/execution/rules/SagaEvent.ts"
import { evolve } from "../../../src/execution/rules/SagaEvolution.ts"
import type { SagaState } from "../../../src/execution/rules/SagaState.ts"
import { stepAt } from "../../../src/execution/rules/StepTree.ts"
import * as Execution from "../../../src/execution/view/SagaExecution.ts"
import { schedule } from "./simulate.ts"

const uuid = "00000000-0000-4000-8000-000000000001"
const other = "00000000-0000-4000-8000-000000000002"

const Other = Saga.make("Other", { context: {} }).pipe(Saga.local("one", { execute: () => Effect.void }), Saga.commit)
const Parent = Saga.make("Parent", { context: { order: Schema.Int } }).pipe(
  Saga.start("other", { saga: Other, context: () => ({}) }),
  Saga.local("last", { execute: () => Effect.void }),
  Saga.commit
)

const created = (): SagaState => {
  const made = Execution.creation(Parent, { uuid, context: { order: 1 } }, 0)
  if (!(made instanceof Execution.SagaExecution)) throw made
  return folded(made.state, {
    _tag: "ExecutionStarted",
    service: "orders",
    autocommit: true,
    transactional: false,
    at: 0
  })
}

/** The state after facts that it admits. */
const folded = (state: SagaState, ...facts: ReadonlyArray<SagaEvent>): SagaState =>
  facts.reduce((before, fact) => {
    const next = evolve(before, fact)
    assert.notStrictEqual(next, before, fact._tag)
    return next
  }, state)

const asked: SagaEvent = {
  _tag: "StartRequested",
  path: "0",
  name: "other",
  saga: "Other",
  uuid: other,
  startKey: `${uuid}:0`,
  context: {},
  at: 1
}
const done: SagaEvent = { _tag: "StepSucceeded", path: "0", result: other, at: 2 }
const cancelled: SagaEvent = { _tag: "RollbackStarted", failure: { _tag: "Cancelled" }, at: 3 }
const begun: SagaEvent = { _tag: "CompensationStarted", path: "0", at: 4 }
const look = (looks: number, retryAt: number): SagaEvent => ({
  _tag: "CompensationFailed",
  path: "0",
  failure: { _tag: "StartedNotUndone", path: "0", step: "other", uuid: other, looks },
  retryAt,
  at: retryAt - 1
})

const never = Number.NEGATIVE_INFINITY
const work = (state: SagaState, now = 10) => {
  const moment = { definition: Parent, now, since: never, presentSince: never, attemptSince: never, schedule }
  const { decision, state: next } = Decision.advance(state, moment)
  return {
    facts: next.unstored - state.unstored,
    wakeAt: decision.wakeAt,
    what: decision.instructions.map(({ _tag }) => _tag)
  }
}

describe("a start", () => {
  it("names and values are made first, and the start waits for their write", () => {
    assert.deepStrictEqual(work(created()).what, ["BuildStart"])
    assert.deepStrictEqual(work(folded(created(), asked)).what, ["RunStep"])
    assert.deepStrictEqual(stepAt(folded(created(), asked).root, "0")?.step.child, asked)
  })

  it("a start that is half done at the rollback is done before it is undone", () => {
    const state = folded(created(), asked, cancelled)
    assert.deepStrictEqual(work(state).what, ["RunStep"])
    assert.strictEqual(evolve(state, begun), state)
    assert.strictEqual(evolve(state, { _tag: "StepCompensated", path: "0", at: 4 }), state)
    assert.deepStrictEqual(work(folded(state, done)).what, ["Compensate"])
  })

  it("the execution of another starter is not undone", () => {
    const there = folded(created(), asked, { ...done, existing: true } as SagaEvent, cancelled)
    assert.deepStrictEqual(work(there).what, [])
    assert.strictEqual(work(there).facts > 0, true)
  })

  it("looks are counted apart from attempts, and each wakes the execution again", () => {
    const first = folded(created(), asked, done, cancelled, begun, look(1, 1_000))
    assert.deepStrictEqual([work(first).what, work(first).wakeAt], [[], 1_000])
    assert.deepStrictEqual(work(first, 1_000).what, ["Compensate"])
    const again: SagaEvent = { ...begun, at: 1_000 } as SagaEvent
    const second = folded(first, again, look(2, 3_000))
    assert.strictEqual(stepAt(second.root, "0")?.step.compensation?.failedAttempts, 0)
    // The one of its author is an attempt.
    const failure = { _tag: "StepDefect", path: "0", step: "other", defect: "no" } as const
    const tried = folded(second, { ...begun, at: 3_000 } as SagaEvent, {
      _tag: "CompensationFailed",
      path: "0",
      failure,
      at: 3_000
    })
    assert.strictEqual(stepAt(tried.root, "0")?.step.compensation?.failedAttempts, 1)
    assert.strictEqual(folded(tried, { _tag: "StepParked", path: "0", reason: "no", at: 3_001 }).parked[0], "0")
  })
})
