/** Waits, sleeps, signals and deadlines, decided without a runtime (SPEC C16, C18). */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import * as Saga from "../../../src/definition/Saga.ts"
import * as Signal from "../../../src/definition/Signal.ts"
import * as Decision from "../../../src/execution/rules/SagaDecision.ts"
import type { SagaEvent } from "../../../src/execution/rules/SagaEvent.ts"
import { evolve } from "../../../src/execution/rules/SagaEvolution.ts"
import * as SagaInput from "../../../src/execution/rules/SagaInput.ts"
import * as SagaSignals from "../../../src/execution/rules/SagaSignals.ts"
import * as SignalInput from "../../../src/execution/rules/SignalInput.ts"
import { maxContextSize } from "../../../src/wire/JsonLimits.ts"
import { begin, type Story } from "./story.ts"

const Approval = Signal.make("approval", { payload: Schema.String })
const Ping = Signal.make("ping", { payload: Schema.Void })
const second = 1_000
const done = { execute: () => Effect.void, compensate: () => Effect.void }
const make = Saga.make("S", { context: {} })

const Order = make.pipe(
  Saga.local("stock", done),
  Saga.waitFor("approval", { signal: Approval, timeout: "2 seconds" }),
  Saga.local("parcel", done),
  Saga.commit
)
const Patient = make.pipe(
  Saga.waitFor("approval", {
    signal: Approval,
    timeout: "2 seconds",
    onTimeout: { success: Schema.Literal("nobody"), value: () => "nobody" }
  }),
  Saga.waitFor("ping", { signal: Ping }),
  Saga.commit
)
const waiting = begin(Order).start().succeeds("0").stored()

const refusal = (story: Story, signal: Partial<SagaInput.Of<"Signal">>): unknown => {
  const said = { _tag: "Signal" as const, signal: "approval", id: "new", content: "yes", ...signal }
  const judged = SagaInput.judge(story.decided().state, said, story.moment)
  return Result.isFailure(judged) ? judged.failure : judged.success.map(({ _tag }) => _tag)
}

describe("a wait (C16)", () => {
  it("begins as a fact, and the execution is paused until its deadline or a signal", () => {
    assert.deepStrictEqual(waiting.next, ["WaitStarted approval"])
    const paused = waiting.decided()
    assert.strictEqual(paused.state.status, "paused")
    assert.deepStrictEqual(paused.statuses, { stock: "finished", approval: "paused-by-on-execute" })
    assert.deepStrictEqual([paused.next, paused.wakesIn, paused.awaited], [[], 2 * second, []])
    assert.strictEqual(paused.execution.pausedStep?.name, "approval")
  })

  it("begins with the trace of the activation that came to it, where there is one", () => {
    const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    const { facts } = Decision.decide(waiting.state, { ...waiting.moment, trace })
    assert.deepStrictEqual(
      facts.map((fact) => [fact._tag, "trace" in fact && fact.trace]),
      [["WaitStarted", trace]]
    )
  })

  it("gives the payload of its signal, which is then in the context, and is used", () => {
    const heard = waiting.hears("approval", "yes")
    assert.deepStrictEqual(heard.next, ["StepSucceeded approval", "StepStarted parcel", "execute parcel"])
    const { state } = heard.decided()
    assert.deepStrictEqual(heard.decided().execution.context, { stock: undefined, approval: "yes" })
    assert.deepStrictEqual([state.signals.unused, state.signals.waits], [[], []])
  })

  it("takes a signal that came before, at once", () => {
    const early = begin(Order).start().hears("approval", "yes")
    assert.deepStrictEqual(early.succeeds("0").next.slice(0, 3), [
      "WaitStarted approval",
      "StepSucceeded approval",
      "StepStarted parcel"
    ])
  })

  it("takes signals of its name and key only, the oldest first", () => {
    const Keyed = make.pipe(Saga.waitFor("one", { signal: Approval, key: () => "a" }), Saga.commit)
    const begun = begin(Keyed).start()
    assert.deepStrictEqual(begun.next, ["make the key and the time of one"])
    const open = begun.facts({ _tag: "WaitStarted", path: "0", name: "one", signal: "approval", key: "a", at: 0 })
    const others = open.hears("approval", "no key", { id: "0" }).hears("approval", "other", { id: "1", key: "b" })
    assert.deepStrictEqual([others.next, others.wakesIn], [[], Number.POSITIVE_INFINITY])
    const both = others.hears("approval", "first", { id: "2", key: "a" })
    assert.deepStrictEqual(both.decided().execution.context, { one: "first" })
    assert.strictEqual(both.decided().execution.unusedSignals, 2)
  })

  it("fails when its time is over, and the saga is rolled back; the wait itself has nothing to compensate", () => {
    const late = waiting.decided().later(2 * second)
    assert.deepStrictEqual(late.next.slice(0, 2), ["StepFailed approval", "CompensationStarted stock"])
    assert.strictEqual(late.decided().state.failure?._tag, "StepTimedOut")
    assert.deepStrictEqual(late.decided().statuses.approval, "errored-by-on-execute")
  })
})

describe("time over (C16)", () => {
  const quiet = begin(Patient)
    .start()
    .decided()
    .later(2 * second)

  it("asks for the result of onTimeout, which may be of another type, and goes on", () => {
    assert.deepStrictEqual(quiet.next, ["make the result of approval"])
    const after = quiet.facts({ _tag: "StepSucceeded", path: "0", result: "nobody", timedOut: true, at: quiet.now })
    assert.deepStrictEqual(after.next, ["WaitStarted ping"])
    assert.deepStrictEqual(after.execution.context, { approval: "nobody" })
  })

  it("fails only the wait that no signal is there for: the one before it takes what came in the same moment", () => {
    const keyed = { signal: Approval, key: () => "a", timeout: 2 * second }
    const Both = make.pipe(
      Saga.parallel("both", { one: Saga.waitFor("one", keyed), two: Saga.waitFor("two", keyed) }),
      Saga.commit
    )
    const open = (name: "one" | "two", at = 0) => {
      const path = name === "one" ? "0/b0/0" : "0/b1/0"
      const deadline = begin(Both).now + 2 * second
      return { _tag: "WaitStarted" as const, path, name, signal: "approval", key: "a", deadline, at }
    }
    const decided = (...waits: ReadonlyArray<ReturnType<typeof open>>) => {
      const { moment, state } = waits.reduce(
        (story, wait) => story.facts(wait).later(second),
        begin(Both).start().decided()
      )
      const said = { signal: "approval", id: "1", key: "a", content: "yes" }
      const heard = evolve(state, { _tag: "SignalReceived", ...said, at: moment.now })
      return Decision.decide(heard, moment).facts.map((fact) => [fact._tag, "path" in fact && fact.path])
    }
    assert.deepStrictEqual(decided(open("one"), open("two", 1)), [
      ["StepSucceeded", "0/b0/0"],
      ["StepFailed", "0/b1/0"]
    ])
    assert.deepStrictEqual(decided(open("two"), open("one", 1)), [
      ["StepSucceeded", "0/b1/0"],
      ["StepFailed", "0/b0/0"]
    ])
  })

  it("fires only if no signal is there: the result of onTimeout and the failure are not admitted then", () => {
    const heard = begin(Patient).start().decided().hears("approval", "yes")
    const facts = [
      { _tag: "StepSucceeded", path: "0", result: "nobody", timedOut: true, at: 0 },
      { _tag: "StepSucceeded", path: "0", at: 0 },
      { _tag: "StepSucceeded", path: "0", signal: "another", at: 0 },
      {
        _tag: "StepFailed",
        path: "0",
        status: "errored-by-on-execute",
        effect: "none",
        failure: { _tag: "StepTimedOut", path: "0", step: "approval", deadline: 0 },
        at: 0
      }
    ] as const
    const undecided = new Undecided(heard)
    for (const fact of facts) assert.strictEqual(undecided.admits(fact), false, fact._tag)
    assert.strictEqual(undecided.admits({ _tag: "StepSucceeded", path: "0", signal: "1", at: 0 }), true)
    assert.deepStrictEqual(heard.later(3 * second).next[0], "StepSucceeded approval")
  })

  it("a wait without a result of its own ends by a signal, or by the time that its step has a result for", () => {
    const open = new Undecided(begin(Patient).start().decided())
    assert.strictEqual(open.admits({ _tag: "StepSucceeded", path: "0", at: 0 }), false)
    assert.strictEqual(open.admits({ _tag: "StepSucceeded", path: "0", timedOut: true, at: 0 }), true)
  })
})

describe("a sleep (C16)", () => {
  const Nap = make.pipe(Saga.sleep("nap", "1 second"), Saga.local("next", done), Saga.commit)

  it("ends with its time, and has no entry in the context", () => {
    const asleep = begin(Nap).start().decided().stored()
    assert.deepStrictEqual([asleep.next, asleep.wakesIn, asleep.state.status], [[], second, "paused"])
    const awake = asleep.later(second)
    assert.deepStrictEqual(awake.next, ["StepSucceeded nap", "StepStarted next", "execute next"])
    assert.deepStrictEqual(awake.decided().execution.context, {})
  })

  it("until a time of the context: that is made once, and one that is over ends it at once", () => {
    const Until = make.pipe(
      Saga.sleep("nap", () => 5),
      Saga.commit
    )
    const begun = begin(Until).start()
    assert.deepStrictEqual(begun.next, ["make the key and the time of nap"])
    const started = begun.facts({ _tag: "WaitStarted", path: "0", name: "nap", deadline: 5, at: begun.now })
    assert.deepStrictEqual(started.next.slice(0, 2), ["StepSucceeded nap", "ExecutionFinished"])
    assert.deepStrictEqual(begun.fails("0", { name: "nap", kind: "wait" }).decided().state.status, "errored")
  })

  it("is over at once on the way back", () => {
    const cancelled = begin(Nap).start().decided().cancels()
    assert.deepStrictEqual(cancelled.next.slice(0, 2), ["StepCompensated nap", "ExecutionErrored"])
    const late = new Undecided(cancelled)
    assert.strictEqual(late.admits({ _tag: "StepSucceeded", path: "0", at: 0 }), false)
  })
})

/** Facts against a state in which nothing more is decided. */
class Undecided {
  private readonly story: Story
  constructor(story: Story) {
    this.story = story
  }
  admits(fact: SagaEvent): boolean {
    return evolve(this.story.state, fact) !== this.story.state
  }
}

describe("a signal (C16)", () => {
  const heard = waiting.hears("approval", "yes", { id: "a" })

  it("that is sent again is answered as the first time: also when it is used, and when the execution has ended", () => {
    const again = { id: "a", content: "yes" }
    const finished = heard.decided().succeeds("2").decided()
    assert.strictEqual(finished.state.status, "finished")
    const errored = heard.decided().cancels()
    for (const story of [heard, finished, errored]) assert.deepStrictEqual(refusal(story, again), [])
  })

  it("under a known id that says something else is a conflict, before any other refusal", () => {
    const finished = heard.decided().succeeds("2").decided()
    for (const story of [heard, finished]) {
      for (const other of [{ content: "no" }, { signal: "nothing" }, { key: "k" }]) {
        assert.instanceOf(refusal(story, { id: "a", content: "yes", ...other }), SignalInput.SagaSignalConflict)
      }
    }
  })

  it("is refused with the reason, and is not remembered", () => {
    const why = (story: Story, signal: Partial<SagaInput.Of<"Signal">> = {}) => {
      const refused = refusal(story, signal)
      return refused instanceof SignalInput.SagaSignalRefused ? [refused.reason, refused.message.slice(-20)] : refused
    }
    assert.deepStrictEqual(why(heard.decided().succeeds("2"))?.[0 as never], "ended")
    assert.deepStrictEqual(why(waiting.cancels().decided())?.[0 as never], "going-back")
    assert.deepStrictEqual(why(waiting, { signal: "other" })?.[0 as never], "unknown-signal")
    assert.deepStrictEqual(why(waiting, { content: 7 })?.[0 as never], "payload")
    assert.deepStrictEqual(why(waiting, { content: 7, accepted: true }), ["SignalReceived"])
    assert.deepStrictEqual(why(waiting), ["SignalReceived"])
  })

  it("is too many where a hundred of its name and key are unused, unless a wait takes it at once", () => {
    let full = begin(Order).start()
    for (let i = 0; i < SagaSignals.maxUnused; i++) full = full.hears("approval", "yes", { id: `${i}`, key: "k" })
    assert.instanceOf(refusal(full, { key: "k" }), SignalInput.SagaSignalsFull)
    assert.include((refusal(full, { key: "k" }) as Error).message, "100 signals approval")
    assert.deepStrictEqual(refusal(full, {}), ["SignalReceived"])
    let open = begin(Order).start()
    for (let i = 0; i < SagaSignals.maxUnused; i++) open = open.hears("approval", "yes", { id: `${i}` })
    assert.instanceOf(refusal(open, {}), SignalInput.SagaSignalsFull)
    // The wait takes one of them, so there is room again.
    assert.deepStrictEqual(refusal(open.succeeds("0"), {}), ["SignalReceived"])
  })

  it("of an open wait is never too many", () => {
    const { nothing } = SagaSignals
    const wait = { path: "0", signal: "s", key: undefined, startedAt: 0 }
    let signals = SagaSignals.begin(nothing, wait)
    const one = (id: string): SagaSignals.Received => ({ _tag: "SignalReceived", signal: "s", id, at: 0 })
    for (let i = 0; i < SagaSignals.maxUnused; i++) signals = SagaSignals.receive(signals, one(`${i}`))
    assert.strictEqual(SagaSignals.isFull(signals, { signal: "s" }), false)
    assert.strictEqual(SagaSignals.isFull({ ...signals, waits: [] }, { signal: "s" }), true)
  })

  it("with a payload that the context has no room for fails its wait", () => {
    const large = waiting.decided().hears("approval", "x".repeat(maxContextSize), { id: "large" })
    assert.deepStrictEqual(large.next[0], "StepFailed approval")
    assert.deepInclude(large.decided().state.failure, { _tag: "StepValueRejected", rule: "context-size" })
  })

  it("is taken with its actor, and without its definition by any name: the store refuses a name", () => {
    const { state } = waiting.decided()
    const said = { signal: "other", id: "a", content: 7, actor: "Ann" }
    const judged = SignalInput.signal(state, said, { definition: undefined, now: 5 })
    assert.deepStrictEqual(judged, Result.succeed([{ _tag: "SignalReceived", ...said, at: 5 }]))
  })

  it("may have no payload", () => {
    const pinged = begin(Patient).start().hears("approval", "yes").hears("ping", undefined, { id: "2" })
    assert.deepStrictEqual(pinged.decided().execution.context, { approval: "yes", ping: undefined })
    assert.strictEqual(pinged.decided().state.status, "finished")
  })
})

describe("the order of waits (C16)", () => {
  const wait = (path: string, startedAt: number) => ({ path, signal: "s", key: undefined, startedAt })
  const received = ["a", "b"].map((id): SagaSignals.Received => ({ _tag: "SignalReceived", signal: "s", id, at: 0 }))
  const takers = (...waits: ReadonlyArray<SagaSignals.OpenWait>) =>
    Object.fromEntries(
      [
        ...SagaSignals.taken(received.reduce(SagaSignals.receive, waits.reduce(SagaSignals.begin, SagaSignals.nothing)))
      ].map(([path, { id }]) => [path, id])
    )

  it("the wait that began first takes the first signal, whatever its path", () => {
    assert.deepStrictEqual(takers(wait("0/b1/0", 1), wait("0/b0/3", 2)), { "0/b1/0": "a", "0/b0/3": "b" })
  })

  it("waits that began at one time take them in the order of their paths, by number", () => {
    const all = [wait("0/b10/0", 1), wait("0/b2/0/b1/1", 1), wait("0/b2/0/b0/1", 1)]
    assert.deepStrictEqual(takers(...all), { "0/b2/0/b0/1": "a", "0/b2/0/b1/1": "b" })
    assert.deepStrictEqual(takers(wait("0/b0/1", 0), wait("0/b3/0", 1), wait("0/b1/0", 1)), {
      "0/b0/1": "a",
      "0/b1/0": "b"
    })
  })
})

describe("waits in branches (C16)", () => {
  const Both = make.pipe(
    Saga.parallel("both", {
      left: Saga.waitFor("left", { signal: Approval, timeout: "1 second" }),
      right: (branch) => branch.pipe(Saga.local("work", done), Saga.waitFor("right", { signal: Ping }))
    }),
    Saga.commit
  )
  const begun = begin(Both).start().decided()

  it("an execution is paused when all branches wait, and a signal ends the wait that it is for", () => {
    assert.strictEqual(begun.state.status, "running")
    const both = begun.succeeds("0/b1/0").decided()
    assert.strictEqual(both.state.status, "paused")
    assert.deepStrictEqual(both.hears("ping").decided().statuses.right, "finished")
    assert.strictEqual(both.hears("ping").decided().state.status, "paused")
    assert.strictEqual(both.hears("ping").hears("approval", "yes", { id: "2" }).decided().state.status, "finished")
  })

  it("time over in one branch ends the wait of the other, and compensates what is done", () => {
    const late = begun.succeeds("0/b1/0").decided().later(second)
    assert.deepStrictEqual(late.next.slice(0, 2), ["StepFailed left", "StepCompensated right"])
    assert.deepStrictEqual(late.decided().state.signals.waits, [])
  })
})

describe("a deadline of the execution (C18)", () => {
  const Brief = Saga.make("S", { context: {}, deadline: "3 seconds" }).pipe(
    Saga.local("stock", done),
    Saga.waitFor("approval", { signal: Approval }),
    Saga.commit
  )
  const set = (story: Story) =>
    story.facts({ _tag: "DeadlineSet", deadline: story.now + Brief.deadline!, at: story.now })
  const open = set(begin(Brief)).start().succeeds("0").decided()

  it("that passes while nothing is decided starts the rollback", () => {
    assert.deepStrictEqual([open.next, open.wakesIn], [[], 3 * second])
    const over = open.later(3 * second)
    assert.deepStrictEqual(over.next.slice(0, 3), [
      "RollbackStarted",
      "StepCompensated approval",
      "CompensationStarted stock"
    ])
    assert.strictEqual((over.decided().execution.cause as { _tag: string })._tag, "SagaDeadlinePassed")
  })

  it("also ends a local step's saga, which is looked at by then", () => {
    const running = set(begin(Brief)).start().decided()
    assert.deepStrictEqual([running.next, running.wakesIn], [["execute stock"], 3 * second])
    assert.deepStrictEqual(running.later(3 * second).next, ["RollbackStarted", "execute stock"])
    const begun = set(begin(Brief)).start()
    assert.strictEqual(Decision.advance(begun.state, begun.moment).decision.wakeAt, begun.now + 3 * second)
  })

  it("does not count once the decision is made, and is set once, before the start", () => {
    const decided = open.hears("approval", "yes").decided()
    assert.strictEqual(decided.state.decision, "commit")
    assert.deepStrictEqual(decided.later(4 * second).next, [])
    assert.strictEqual(new Undecided(open).admits({ _tag: "DeadlineSet", deadline: 1, at: 0 }), false)
    const created = set(begin(Brief))
    assert.strictEqual(new Undecided(created).admits({ _tag: "DeadlineSet", deadline: 1, at: 0 }), false)
  })
})
