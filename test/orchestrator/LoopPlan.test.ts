/** The turns of the loop told as stories: plan and reconcile are pure, so no layer is needed and nothing is stored. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { Participant, Saga, SagaExecution, Signal } from "effect-saga"
import { SagaExecution as Internals } from "effect-saga/internals"
import type { Instruction } from "../../src/execution/rules/Instruction.ts"
import { defaults } from "../../src/execution/rules/RetrySchedule.ts"
import type { SagaEvent } from "../../src/execution/rules/SagaEvent.ts"
import { started } from "../../src/orchestrator/ExecutionInput.ts"
import * as Inbox from "../../src/orchestrator/Inbox.ts"
import { type Act, type Plan, plan, type UnderWay } from "../../src/orchestrator/LoopPlan.ts"
import { gain, gainOfWork, judgeInputs, type Progress, postpone, reconcile } from "../../src/orchestrator/Progress.ts"

const now = 1_000
const Bank = Participant.make("bank", { Charge: { payload: {}, success: Schema.String } })
const saga = Saga.make("Order", { context: {} }).pipe(
  Saga.local("one", { success: Schema.String, execute: () => Effect.succeed("done"), onCrash: "park" }),
  Saga.remote("two", { execute: { command: Bank.commands.Charge, payload: () => ({}) } }),
  Saga.commit
)
const hints = {
  isNamed: true,
  atWork: () => ({ owner: "me" }),
  waiting: (wakeAt: number) => ({ wakeAt, closes: true })
}

const created = Effect.runSync(SagaExecution.fromDefinition(saga, { context: {} }))
const begun = started(created, { service: "orders", autocommit: true, transactional: false, headers: undefined, now })
const withFacts = (self: SagaExecution.SagaExecution, facts: ReadonlyArray<SagaEvent>) =>
  Internals.stored(facts.reduce<SagaExecution.SagaExecution>(Internals.evolve, self))

const stepStarted: SagaEvent = { _tag: "StepStarted", path: "0", name: "one", at: now }
const stepSucceeded: SagaEvent = { _tag: "StepSucceeded", path: "0", result: "done", at: now }

const deadline = now + 60_000
const requestSent: SagaEvent = {
  _tag: "RequestSent",
  path: "1",
  name: "two",
  command: "Charge",
  message: {
    v: 1,
    id: `${created.uuid}:1:execute`,
    op: "execute",
    saga: created.uuid,
    path: "1",
    service: "bank",
    coordinator: "orders",
    relatedServices: [],
    transactions: [],
    notAfter: deadline
  },
  deadline,
  at: now
}

const progress = (
  execution: SagaExecution.SagaExecution,
  inputs: ReadonlyArray<Inbox.PendingInput> = []
): Progress => ({
  execution,
  definition: saga,
  since: now,
  presentSince: now,
  attemptSince: now,
  inbox: Inbox.make(inputs),
  elsewhere: undefined,
  isHeld: true,
  isUnsure: false,
  hint: undefined,
  gains: [],
  unbegun: undefined,
  failedCommits: 0,
  announces: true
})

/** Work that is under way: the local step at each path. */
const running = (...paths: ReadonlyArray<string>): UnderWay => ({
  isBusy: paths.length > 0,
  isJoint: false,
  isAwaited: ({ instructions }) => instructions.some(({ path }) => paths.includes(path)),
  notUnderWay: (instructions) => instructions.filter(({ path }) => !paths.includes(path))
})

const act = (it: Act): string => {
  const work = it.work.map((instruction: Instruction) => `${instruction._tag} ${instruction.path}`).join(", ")
  return it._tag === "Done" ? "done" : `${it._tag.toLowerCase()} ${work}`.trim()
}
const tell = ({ next }: Plan): string => (next._tag === "Store" ? `store, then ${act(next.then)}` : act(next))
const turn = (self: Progress, inFlight?: UnderWay) => plan(self, inFlight, now, defaults, hints)

describe("a turn of the loop", () => {
  it("stores the intent of a local step, and then runs the step in place (W7)", () => {
    assert.strictEqual(tell(turn(progress(begun))), "store, then perform RunStep 0")
  })

  it("runs a step whose intent is stored without another write", () => {
    assert.strictEqual(tell(turn(progress(withFacts(begun, [stepStarted])))), "perform RunStep 0")
  })

  it("builds a request before a write: the result before it and the message are stored together (W1)", () => {
    const self = progress(withFacts(begun, [stepStarted]))
    gain(self, [stepSucceeded])
    assert.strictEqual(tell(turn(self)), "perform BuildRequest 1")
  })

  it("waits for work that is under way, and ends where nothing is", () => {
    const self = progress(withFacts(begun, [stepStarted]))
    assert.strictEqual(tell(turn(self, running("0"))), "await")
  })

  it("says to recovery who works on the execution, and takes it with a write where nobody had it (C7, C20)", () => {
    const hintOf = ({ next }: Plan) => next._tag === "Store" && next.hint
    assert.deepStrictEqual(hintOf(turn(progress(begun))), { owner: "me" }, "a start needs no taking")
    const found = { ...progress(withFacts(begun, [])), isHeld: false }
    assert.deepStrictEqual(hintOf(turn(found)), { owner: "me", takes: true })
    found.isHeld = true
    assert.deepStrictEqual(hintOf(turn(found)), { owner: "me" })
  })

  it("closes the inbox with a wait, an end, and a deadline (C16)", () => {
    const asked = Internals.evolve(withFacts(begun, [stepStarted, stepSucceeded]), requestSent)
    const { next } = turn(progress(asked))
    assert.isTrue(next._tag === "Store" && next.then._tag === "Done" && next.hint.closes === true)
    assert.isTrue(next._tag === "Store" && next.hint.owner === undefined, "nobody has what waits")
    const late = plan(progress(Internals.stored(asked)), undefined, deadline, defaults, hints)
    assert.isTrue(late.next._tag === "Store" && late.next.hint.closes === true)
  })

  it("keeps the result of onTimeout only where it is stored before an input is judged (C16)", () => {
    const nobody = { success: Schema.String, value: () => "nobody" }
    const wait = {
      signal: Signal.make("answer", { payload: Schema.String }),
      timeout: "1 second",
      onTimeout: nobody
    } as const
    const asking = Saga.make("Ask", { context: {} }).pipe(Saga.waitFor("ask", wait), Saga.commit)
    const made = Effect.runSync(SagaExecution.fromDefinition(asking, { context: {} }))
    const options = { service: "orders", autocommit: true, transactional: false, headers: undefined, now }
    const begins = { _tag: "WaitStarted", path: "0", name: "ask", signal: "answer", deadline: now, at: now } as const
    const waits = withFacts(started(made, options), [begins])
    const ended: SagaEvent = { _tag: "StepSucceeded", path: "0", result: "nobody", timedOut: true, at: now }
    const unstored = (isJoint: boolean, inputs: ReadonlyArray<Inbox.PendingInput> = []) => {
      const self = { ...progress(waits, inputs), definition: asking }
      gainOfWork(self, [ended], isJoint)
      return self.execution.state.unstored
    }
    assert.deepStrictEqual(
      [unstored(false), unstored(true), unstored(false, [Inbox.pending({ _tag: "Look" })])],
      [1, 0, 0]
    )
    // What a step has brought is kept in any case.
    const step = progress(withFacts(begun, [stepStarted]), [Inbox.pending({ _tag: "Look" })])
    gainOfWork(step, [stepSucceeded], true)
    assert.strictEqual(step.execution.state.unstored, 1)
  })

  /** Whether the write after these facts, by which this process goes on, closes the inbox. */
  const closes = (
    self: SagaExecution.SagaExecution,
    definition: Progress["definition"],
    ...gained: ReadonlyArray<SagaEvent>
  ) => {
    const found = { ...progress(self), definition }
    gain(found, gained)
    const { next } = turn(found)
    assert.isTrue(next._tag === "Store" && next.hint.owner === "me")
    return next._tag === "Store" && next.hint.closes === true
  }

  it('closes the inbox with a wait that begins, that ends by time, and whose "onTimeout" fails (C16)', () => {
    const local = { execute: () => Effect.void, compensate: () => Effect.void }
    const wait = {
      signal: Signal.make("answer", { payload: Schema.String }),
      timeout: "1 second",
      onTimeout: { success: Schema.String, value: () => "none" }
    } as const
    const asking = Saga.make("Ask", { context: {} }).pipe(
      Saga.local("first", local),
      Saga.parallel("both", {
        ask: (branch) => branch.pipe(Saga.waitFor("answer", wait)),
        work: (branch) => branch.pipe(Saga.local("work", local))
      }),
      Saga.local("last", local),
      Saga.commit
    )
    const made = Effect.runSync(SagaExecution.fromDefinition(asking, { context: {} }))
    const options = { service: "orders", autocommit: true, transactional: false, headers: undefined, now }
    const branches = [
      { name: "ask", steps: 1 },
      { name: "work", steps: 1 }
    ]
    const open = withFacts(started(made, options), [
      { _tag: "StepStarted", path: "0", name: "first", at: now },
      { _tag: "StepSucceeded", path: "0", at: now },
      { _tag: "ParallelStarted", path: "1", name: "both", branches, at: now }
    ])
    const path = "1/b0/0"
    const begins: SagaEvent = {
      _tag: "WaitStarted",
      path,
      name: "answer",
      signal: "answer",
      deadline: now + 9,
      at: now
    }
    const works: SagaEvent = { _tag: "StepStarted", path: "1/b1/0", name: "work", at: now }
    const waits = withFacts(open, [begins, works, { _tag: "StepSucceeded", path: "1/b1/0", at: now }])
    const failure = { _tag: "StepDefect", path, step: "answer", defect: "bug" } as const
    const broken: SagaEvent = {
      _tag: "StepFailed",
      path,
      status: "errored-on-execute",
      effect: "none",
      failure,
      at: now
    }
    assert.isTrue(closes(open, asking), "it begins, beside work")
    assert.isTrue(closes(waits, asking, { _tag: "StepSucceeded", path, result: "none", timedOut: true, at: now }))
    assert.isTrue(closes(waits, asking, broken))
    assert.isFalse(
      closes(waits, asking, { _tag: "SignalReceived", signal: "answer", id: "a", content: "yes", at: now })
    )
  })

  it("closes the inbox with the end of an execution that has to tell services of it (C16)", () => {
    const options = { service: "orders", autocommit: true, transactional: true, headers: undefined, now }
    const asked = withFacts(started(created, options), [
      stepStarted,
      stepSucceeded,
      requestSent,
      { _tag: "ReplyReceived", path: "1", status: 200, content: "p-1", relatedServices: [], at: now },
      { _tag: "StepSucceeded", path: "1", result: "p-1", at: now }
    ])
    assert.isFalse(closes(asked, saga), "votes are asked for")
    const reserving = withFacts(asked, [{ _tag: "ReservationStarted", at: now }])
    assert.isTrue(closes(reserving, saga, { _tag: "VoteReceived", service: "bank", at: now }))
  })

  it("of a process that stops begins nothing: not even an intent is stored (C7)", () => {
    const self = progress(withFacts(begun, []))
    Inbox.stop(self.inbox)
    assert.strictEqual(tell(turn(self)), "done")
    const late = progress(withFacts(begun, [stepStarted]))
    gain(late, [stepSucceeded])
    Inbox.stop(late.inbox)
    const planned = turn(late)
    assert.strictEqual(tell(planned), "store, then done", "the result is kept")
    assert.strictEqual(planned.execution.events.at(-1)?._tag, "StepSucceeded")
    assert.strictEqual(tell(turn(late, running("5"))), "store, then await", "work that is under way may end")
  })

  it("of a process whose grace is over keeps the results that there are, and waits for no others (C7)", () => {
    const self = progress(withFacts(begun, [stepStarted]))
    gain(self, [stepSucceeded])
    Inbox.stop(self.inbox)
    Inbox.end(self.inbox)
    const planned = turn(self, running("5"))
    assert.strictEqual(tell(planned), "store, then done")
    assert.strictEqual(planned.execution.events.at(-1)?._tag, "StepSucceeded")
  })

  it("that was planned and has not begun is planned again after an input", () => {
    const self = progress(withFacts(begun, [stepStarted]))
    const { next } = turn(self)
    if (next._tag !== "Store") postpone(self, next.work)
    assert.deepStrictEqual([...(self.unbegun ?? [])], ["0"])
  })
})

describe("after a lost race (W5)", () => {
  const policy = { schedule: defaults }
  const me = { isNamed: true, isRunning: () => false, policy }

  it("the result of a step is offered to the newer state, and what was decided is not", () => {
    const before = withFacts(begun, [stepStarted])
    const self = progress(before)
    gain(self, [stepSucceeded])
    // Another instance has cancelled the execution meanwhile: the step's effect must be compensated.
    const newer = withFacts(before, [{ _tag: "RollbackStarted", failure: { _tag: "Cancelled" }, at: now }])
    reconcile(self, { execution: newer, elsewhere: undefined, isHeld: true }, now, {
      isNamed: true,
      isRunning: (path) => path === "0",
      policy
    })
    assert.strictEqual(self.execution.state.direction, "backward")
    assert.strictEqual(self.execution.events.at(-1)?._tag, "StepSucceeded")
    assert.strictEqual(self.gains.length, 1)
  })

  it("an input whose facts no longer fit is judged again", () => {
    const before = withFacts(begun, [stepStarted])
    const input = Inbox.pending({ _tag: "Cancel" })
    const self = progress(before, [input])
    judgeInputs(self, now, policy)
    assert.strictEqual(self.inbox.judged.length, 1)
    const newer = withFacts(before, [{ _tag: "RollbackStarted", failure: { _tag: "Rejected" }, at: now }])
    reconcile(self, { execution: newer, elsewhere: undefined, isHeld: true }, now, me)
    assert.deepStrictEqual([self.inbox.inputs.length, self.inbox.judged.length, self.gains.length], [1, 0, 0])
    judgeInputs(self, now, policy)
    assert.isTrue(self.inbox.judged.every(({ refused }) => Result.isFailure(refused)))
  })

  it("an input whose facts still fit is not judged again", () => {
    const before = withFacts(begun, [stepStarted])
    const self = progress(before, [Inbox.pending({ _tag: "Cancel" })])
    judgeInputs(self, now, policy)
    const newer = withFacts(before, [stepSucceeded])
    reconcile(self, { execution: newer, elsewhere: undefined, isHeld: true }, now, me)
    assert.deepStrictEqual([self.inbox.inputs.length, self.inbox.judged.length], [0, 1])
    assert.strictEqual(self.execution.state.direction, "backward")
  })

  it("a step that is stored as running and that this loop does not run was left half done", () => {
    const self = progress(begun)
    const newer = withFacts(begun, [stepStarted])
    reconcile(self, { execution: newer, elsewhere: undefined, isHeld: true }, now, me)
    assert.deepStrictEqual(self.execution.parked, ["0"], "its onCrash is park")
    const mine = progress(begun)
    reconcile(mine, { execution: newer, elsewhere: undefined, isHeld: true }, now, { ...me, isRunning: () => true })
    assert.deepStrictEqual(mine.execution.parked, [])
  })
})
