/** C18, I26, by example: the point of no return, what fails behind it, and what a person does about it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import * as Participant from "../../../src/definition/ParticipantContract.ts"
import * as Saga from "../../../src/definition/Saga.ts"
import * as Signal from "../../../src/definition/Signal.ts"
import { fullWith, joining } from "../../../src/execution/rules/EnrolmentEvolution.ts"
import { interrupted } from "../../../src/execution/rules/Interruption.ts"
import * as ParkedInput from "../../../src/execution/rules/ParkedInput.ts"
import type { EffectKnowledge, SagaEvent } from "../../../src/execution/rules/SagaEvent.ts"
import { evolve } from "../../../src/execution/rules/SagaEvolution.ts"
import * as SagaInput from "../../../src/execution/rules/SagaInput.ts"
import { isParkedForward, isSettled, parkedFailure } from "../../../src/execution/rules/SagaState.ts"
import { stepAt } from "../../../src/execution/rules/StepTree.ts"
import type { Json } from "../../../src/wire/JsonLimits.ts"
import { begin, type Story, schedule } from "./story.ts"

const specs = {
  Book: { payload: { for: Schema.String }, success: Schema.String, error: Schema.String },
  Cancel: { payload: {} }
}
const Airline = Participant.make("airline", specs)
const Tourist = Participant.make("tourist", specs, { probe: false })
const Ask = Signal.make("ask", { payload: Schema.String })

const text = { success: Schema.String, execute: () => Effect.succeed("") }
const book = { command: Airline.commands.Book, payload: () => ({ for: "ann" }) }
const undone = { execute: book, compensate: { command: Airline.commands.Cancel, payload: () => ({}) } }

const second = 1_000
const minute = 60 * second

/** Saga with one step behind the pivot, at path 1. */
const one = (step: any) => begin((Saga.make("One", { context: {} }).pipe as any)(Saga.pivot, step, Saga.commit)) // any kind of step

const remote = (options: object = {}) =>
  one(Saga.remote("flight" as never, { execute: book, timeout: "10 seconds", ...options } as any)).start() // any options
const local = (options: object = {}) => one(Saga.local("seat" as never, { ...text, ...options } as any)).start() // any options

const sent = remote().requests("1")
const step = (story: Story, path = "1") => stepAt(story.state.root, path)!.step
const refusal = <E extends { readonly _tag: string; readonly reason?: string }>(verdict: Result.Result<unknown, E>) =>
  Result.isFailure(verdict) ? `${verdict.failure._tag} ${verdict.failure.reason ?? ""}`.trim() : "taken"

/** Tries until the step is parked: `again` makes the next try fail. */
const untilParked = (story: Story, again: (story: Story) => Story): Story => {
  let next = story.decided()
  for (let i = 0; i < schedule.retryForward.times; i++) next = again(next.later(5 * minute).decided()).decided()
  return next
}

describe("the pivot", () => {
  const Trip = Saga.make("Trip", { context: {}, deadline: "1 hour" }).pipe(
    Saga.remote("hotel", undone),
    Saga.pivot,
    Saga.remote("flight", { execute: book }),
    Saga.commit
  )
  const booked = (transactional: boolean, autocommit = true) =>
    begin(Trip).start({ transactional, autocommit }).requests("0").replies("execute", "0", 200, "h").succeeds("0", "h")
  const vote = (story: Story) => story.facts({ _tag: "VoteReceived", service: "airline", at: story.now })

  it("without a transaction is the decision", () => {
    const story = booked(false)
    assert.deepStrictEqual(story.next, ["PivotPassed pivot", "request flight"])
    const { commitState, decision, passed, status } = story.decided().state
    assert.deepStrictEqual([decision, commitState, passed, status], ["commit", "none", true, "running"])
  })

  it("with a transaction asks everybody first, and then tells them and goes on", () => {
    for (const autocommit of [true, false]) {
      const story = booked(true, autocommit)
      assert.deepStrictEqual(story.next, ["ReservationStarted", "reserve airline"])
      const voted = vote(story)
      assert.deepStrictEqual(voted.next, ["PivotPassed pivot", "request flight", "commit airline"])
      const { commitState, decision, status } = voted.decided().state
      assert.deepStrictEqual([decision, commitState, status], ["commit", "committing", "running"])
      assert.deepStrictEqual(voted.decided().stored().wakesIn > 0, true)
    }
  })

  it("tells them beside a local step as well, and again until they have answered", () => {
    const Send = Saga.make("Send", { context: {} }).pipe(
      Saga.remote("hotel", undone),
      Saga.pivot,
      Saga.local("parcel", text),
      Saga.local("letter", text),
      Saga.commit
    )
    const asked = begin(Send).start({ transactional: true }).requests("0").replies("execute", "0", 200, "h")
    const voted = vote(asked.succeeds("0", "h"))
    assert.deepStrictEqual(voted.next, ["PivotPassed pivot", "StepStarted parcel", "execute parcel", "commit airline"])
    const sent = voted.decided().stored().succeeds("2", "p").decided().stored()
    assert.deepStrictEqual(sent.next, ["execute letter"])
    assert.deepStrictEqual(sent.later(2 * second).next, ["execute letter", "commit airline"])
  })

  it("is not passed before the last vote, and a no turns back", () => {
    const story = booked(true).decided()
    const pivot: SagaEvent = { _tag: "PivotPassed", path: "1", at: story.now }
    assert.strictEqual(evolve(story.state, pivot), story.state)
    const unasked = booked(true).state
    assert.strictEqual(evolve(unasked, pivot), unasked)
    const [no] = SagaInput.vote("airline", "full", story.now)
    assert.deepStrictEqual(story.facts(no!).state.direction, "backward")
    assert.include(story.later(minute).next, "RollbackStarted")
  })

  it("is passed once, in its place, between two steps", () => {
    const passed = booked(false).decided()
    const at = passed.now
    for (const path of ["1", "2", "7"])
      assert.strictEqual(evolve(passed.state, { _tag: "PivotPassed", path, at }), passed.state)
    const before = booked(false).state
    assert.strictEqual(evolve(before, { _tag: "PivotPassed", path: "2", at }), before)
    const asked = begin(Trip).start().requests("0").state
    assert.strictEqual(evolve(asked, { _tag: "PivotPassed", path: "1", at }), asked)
  })

  it("ends the time of the deadline, and the ways back", () => {
    const { moment, state } = booked(false).decided()
    assert.strictEqual(refusal(SagaInput.cancel(state, undefined, moment)), "SagaNotCancellable")
    assert.strictEqual(refusal(SagaInput.reject(state, undefined, moment)), "SagaAlreadyDecided")
    assert.strictEqual(refusal(SagaInput.rollback(state, moment)), "SagaRollbackExecution already-done")
    assert.deepStrictEqual(SagaInput.commit(state, moment), Result.succeed([]))
  })

  it("is settled when everybody has committed and every step is done, whichever comes first", () => {
    const acknowledge = (story: Story) =>
      story.facts({ _tag: "DecisionAcknowledged", service: "airline", at: story.now })
    const finish = (story: Story) => story.requests("2").replies("execute", "2", 200, "f").succeeds("2", "f").decided()
    const told = acknowledge(vote(booked(true, false))).decided()
    assert.deepStrictEqual([told.state.commitState, told.state.status], ["committed", "running"])
    assert.isFalse(isSettled(told.state))
    const again = { _tag: "DecisionAcknowledged", service: "airline", at: told.now } as const
    assert.strictEqual(evolve(told.state, again), told.state)
    const stalled = { _tag: "ServiceStalled", service: "airline", reason: "late", at: told.now } as const
    assert.strictEqual(evolve(told.state, stalled), told.state)
    const early = finish(told)
    const late = finish(vote(booked(true, false)))
    assert.deepStrictEqual([late.state.commitState, late.state.status], ["committing", "finished"])
    assert.deepStrictEqual(acknowledge(late).next, ["TransactionSettled"])
    for (const { state } of [early, acknowledge(late).decided(), finish(booked(false, false))])
      assert.deepStrictEqual([state.commitState, state.status, isSettled(state)], ["committed", "finished", true])
  })

  it("has no transaction behind it: nobody joins, and nobody is too many", () => {
    const { state } = vote(booked(true)).decided()
    assert.deepStrictEqual(joining(state, ["a", "b"], []), { services: [], issue: undefined })
    assert.isUndefined(
      fullWith(
        state,
        Array.from({ length: 300 }, (_, i) => `s${i}`)
      )
    )
    const replied = vote(booked(true)).requests("2").replies("execute", "2", 200, "f")
    assert.deepStrictEqual([replied.state.enrolled, replied.state.notAfter], [["airline"], state.notAfter])
  })
})

describe("a request behind the pivot", () => {
  it("that is refused is asked again after a pause, with the next message", () => {
    for (const status of [400, 500] as const) {
      const refused =
        status === 500
          ? sent.replies("execute", "1", 500)
          : sent.replies("execute", "1", 400, "no").fails("1", { status: "errored-on-error" })
      const waiting = refused.decided()
      assert.deepStrictEqual([waiting.state.status, waiting.next, waiting.wakesIn], ["paused", [], second])
      assert.deepStrictEqual(waiting.awaited, [])
      assert.deepStrictEqual(waiting.later(second).next, ["TryStarted flight", "request flight 2"])
      const again = waiting.later(second).requests("1", 2)
      assert.deepStrictEqual([again.state.status, again.awaited], ["paused", ["execute flight"]])
      const third = again
        .replies("execute", "1", 500, undefined, 2)
        .decided()
        .later(2 * second)
      assert.deepStrictEqual(third.next, ["TryStarted flight", "request flight 3"])
    }
  })

  it("takes no answer of an earlier message, and no message out of turn", () => {
    const again = sent.replies("execute", "1", 500).decided().later(second).requests("1", 2)
    assert.strictEqual(again.verdict("execute", "1", 200), "stale")
    const old: SagaEvent = { _tag: "ReplyReceived", path: "1", status: 200, relatedServices: [], at: again.now }
    assert.strictEqual(evolve(again.state, old), again.state)
    const ready = sent.replies("execute", "1", 500).decided().later(second).decided()
    for (const attempt of [1, 3]) assert.throws(() => ready.requests("1", attempt), "is not admitted")
  })

  it("stays parked when a copy of its last answer is stored after that, which another instance had got", () => {
    let story = sent.replies("execute", "1", 500).decided()
    for (let attempt = 2; attempt <= schedule.retryForward.times + 1; attempt++)
      story = story
        .later(5 * minute)
        .requests("1", attempt)
        .replies("execute", "1", 500, undefined, attempt)
        .decided()
    assert.deepStrictEqual([story.state.parked, story.next], [["1"], []])
    const attempt = schedule.retryForward.times + 1
    const answer = { _tag: "ReplyReceived", path: "1", status: 500, relatedServices: [], at: story.now } as const
    assert.strictEqual(evolve(story.state, { ...answer, attempt }), story.state)
    assert.strictEqual(evolve(story.state, answer), story.state)
  })

  it("without an answer is the same message, for the same time", () => {
    const late = sent.later(10 * second).decided()
    assert.deepStrictEqual([late.next, late.wakesIn, late.awaited], [[], second, ["execute flight"]])
    const again = late.later(second).decided()
    assert.deepStrictEqual(step(again).request!.message, step(sent).request!.message)
    assert.strictEqual(step(again).deadline, again.now + 10 * second)
    assert.deepStrictEqual(late.replies("execute", "1", 200, "f").next, ["handle the reply of flight"])
  })

  it("is answered by hand without proof: it is the same message again", () => {
    const { moment, state } = sent
    const given = SagaInput.response(state, { step: "flight", status: 400, content: "no", relatedServices: [] }, moment)
    assert.isTrue(Result.isSuccess(given))
    const failed = sent
      .took(() => given)
      .fails("1", { status: "errored-on-error", effect: "unknown" })
      .decided()
    const again = failed.later(second).decided()
    assert.deepStrictEqual([again.awaited, step(again).reply], [["execute flight"], undefined])
  })

  it("whose reply cannot be read, or whose callback fails, runs the callback again with the stored reply", () => {
    const unread = sent.replies("execute", "1", 200, 17).decided()
    assert.deepStrictEqual(unread.later(second).next, ["TryStarted flight", "handle the reply of flight"])
    const story = remote({ onError: () => Effect.die("bug") })
      .requests("1")
      .replies("execute", "1", 400, "no")
    const defect = { _tag: "StepDefect", path: "1", step: "flight", defect: null } as const
    const died = story.fails("1", { status: "errored-on-error", failure: defect }).decided()
    assert.deepStrictEqual(died.later(second).next, ["TryStarted flight", "handle the reply of flight"])
    const recovered = died.later(second).decided().recovers("1", "walk")
    assert.deepStrictEqual([recovered.state.status, step(recovered).tries], ["running", undefined])
  })

  it("that cannot be built is built again", () => {
    const story = remote().cannotBegin("1", "remote").decided()
    assert.deepStrictEqual([story.state.status, story.next], ["paused", []])
    const again = story.later(second)
    assert.deepStrictEqual(again.next, ["TryStarted flight", "request flight"])
    assert.deepStrictEqual(again.cannotBegin("1", "remote").decided().wakesIn, 2 * second)
    assert.deepStrictEqual(again.requests("1").awaited, ["execute flight"])
  })
})

describe("a step behind the pivot", () => {
  it("is parked after its tries, and its execution waits and fails nobody", () => {
    const parked = untilParked(local().decided().fails("1"), (story) => story.fails("1"))
    const { commitState, direction, failure, status } = parked.state
    assert.deepStrictEqual([parked.state.parked, status, direction], [["1"], "paused", "forward"])
    assert.deepStrictEqual([commitState, failure, isSettled(parked.state)], ["none", undefined, false])
    assert.deepStrictEqual([parked.next, parked.wakesIn], [[], Number.POSITIVE_INFINITY])
    assert.deepStrictEqual([isParkedForward(parked.state), parkedFailure(parked.state)?._tag], [true, "StepError"])
    assert.isUndefined(parkedFailure(local().state))
    assert.strictEqual(step(parked).parked?.reason, "it has failed 11 times")
    const twice = { _tag: "StepParked", path: "1", reason: "", at: parked.now } as const
    assert.strictEqual(evolve(parked.state, twice), parked.state)
    const running = local().decided().state
    assert.strictEqual(evolve(running, twice), running)
    assert.strictEqual(evolve(running, { _tag: "TryStarted", path: "1", at: 0 }), running)
  })

  it("whose work is done and whose result cannot be stored waits for a person at once: the work is not done twice", () => {
    const lost = (rule: "encode" | "context-size" | "decode", effect: EffectKnowledge) =>
      local()
        .decided()
        .fails("1", { effect, failure: { _tag: "StepValueRejected", path: "1", step: "seat", rule, issue: "" } })
        .decided()
    for (const rule of ["encode", "context-size"] as const) {
      const parked = lost(rule, "exists")
      assert.deepStrictEqual([parked.state.parked, parked.state.status], [["1"], "paused"])
      assert.deepStrictEqual([parked.next, parked.wakesIn], [[], Number.POSITIVE_INFINITY])
      assert.strictEqual(step(parked).parked?.reason, "its result cannot be stored")
      const again = parked.retries("1")
      assert.deepStrictEqual(again.next, ["TryStarted seat", "execute seat"])
      // Any other failure of that try is tried again as usual.
      assert.deepStrictEqual(again.decided().fails("1").decided().wakesIn, second)
      const done = parked.resolves("1", "12a")
      assert.deepStrictEqual([step(done).status, step(done).result], ["finished", "12a"])
    }
    // Rolled back with its transaction, or not called at all, it has done nothing.
    assert.deepStrictEqual([lost("encode", "none").wakesIn, lost("decode", "exists").wakesIn], [second, second])
  })

  it("fails once in a try: the same failure again is none", () => {
    const failed = local().decided().fails("1")
    assert.throws(() => failed.fails("1"), "is not admitted")
  })

  it("is tried again at once when a person says so, and has all its tries again", () => {
    const parked = untilParked(local({ timeout: "3 seconds" }).decided().fails("1"), (story) => story.fails("1"))
    const again = parked.retries("1")
    assert.deepStrictEqual(again.next, ["TryStarted seat", "execute seat"])
    assert.strictEqual(step(again.decided()).deadline, again.now + 3 * second)
    assert.deepStrictEqual(again.decided().fails("1").decided().wakesIn, second)
    const at = { _tag: "StepUnparked", path: "1", actor: "ann", at: 0 } as const
    assert.strictEqual(evolve(again.state, at), again.state)
  })

  it("that a crash left half done is tried again, or parked at once where its author says so", () => {
    const again = local().decided()
    assert.deepStrictEqual(interrupted(again.state, again.moment), [])
    const story = local({ onCrash: "park" }).decided()
    const left = story.facts(...interrupted(story.state, story.moment))
    assert.deepStrictEqual([left.state.parked, left.state.status], [["1"], "paused"])
    assert.deepStrictEqual(left.retries("1").next, ["TryStarted seat", "execute seat"])
  })

  it("stops no other branch, and what comes after waits for it", () => {
    const Both = Saga.make("Both", { context: {} }).pipe(
      Saga.pivot,
      Saga.parallel("both", { a: Saga.local("one", text), b: Saga.local("two", text) }),
      Saga.local("last", text),
      Saga.commit
    )
    const begun = begin(Both).start().decided()
    const failed = begun.fails("1/b0/0")
    assert.deepStrictEqual([failed.next, failed.state.status], [["execute two"], "running"])
    assert.deepStrictEqual(untilParked(failed, (story) => story.fails("1/b0/0")).next, ["execute two"])
    const waiting = failed.succeeds("1/b1/0", "2").decided()
    assert.deepStrictEqual([waiting.next, waiting.state.status], [[], "paused"])
    const parked = untilParked(waiting, (story) => story.fails("1/b0/0"))
    assert.deepStrictEqual(parked.state.parked, ["1/b0/0"])
    const done = parked.resolves("1/b0/0", "by hand")
    assert.deepStrictEqual(done.next, ["StepSucceeded both", "StepStarted last", "execute last"])
  })

  it("whose condition or nested context fails is asked again, and has no result that a person could give", () => {
    const way: any = Saga.conditional("way" as never, [Saga.elseThen(Saga.local("mail" as never, text as any))] as any)
    const failed = one(way).start().cannotBegin("1", "conditional")
    assert.deepStrictEqual(failed.decided().later(second).next, ["TryStarted way", "choose way"])
    const chosen = failed.decided().later(second).chooses("1", 0, "else")
    assert.deepStrictEqual(chosen.next, ["StepStarted mail", "execute mail"])
    const { moment, state } = untilParked(failed, (story) => story.cannotBegin("1", "conditional"))
    const by = { path: "1", actor: "ann", reason: "why" }
    assert.strictEqual(refusal(ParkedInput.resolve(state, by, moment)), "SagaResolutionRefused no-result")
  })
})

describe("a wait behind the pivot", () => {
  const waiting = one(Saga.waitFor("approval" as never, { signal: Ask, timeout: "1 minute" })).start()
  const late = waiting.decided().later(minute)

  it("is parked at once when its time is over, and is not tried again by itself", () => {
    assert.deepStrictEqual(late.next, ["StepFailed approval", "StepParked approval"])
    assert.strictEqual(step(late.decided()).parked?.reason, "nothing has come in time")
  })

  it("takes a signal that comes too late", () => {
    const heard = late.decided().hears("ask", "yes")
    assert.deepStrictEqual(heard.next.slice(0, 2), ["TryStarted approval", "StepSucceeded approval"])
    assert.deepStrictEqual([heard.decided().state.parked, isSettled(heard.decided().state)], [[], true])
  })

  it("waits for the same time again when a person says so, or ends with a person's result", () => {
    const again = late.decided().retries("1").decided()
    assert.strictEqual(step(again).deadline, again.now + minute)
    assert.deepStrictEqual(again.later(minute).next, ["StepFailed approval", "StepParked approval"])
    const third = again
      .later(minute)
      .decided()
      .later(10 * minute)
      .retries("1")
      .decided()
    assert.strictEqual(step(third).deadline, third.now + minute)
    const resolved = late.decided().resolves("1", "by hand").decided()
    assert.deepStrictEqual([isSettled(resolved.state), resolved.state.signals.waits], [true, []])
  })

  it("whose key or whose late value cannot be made is tried again", () => {
    const key = one(Saga.waitFor("approval" as never, { signal: Ask, timeout: 1, key: () => "k" })).start()
    const failed = key.fails("1", { name: "approval", kind: "wait" }).decided().later(second)
    assert.deepStrictEqual(failed.next, ["TryStarted approval", "make the key and the time of approval"])
    const onTimeout = { success: Schema.String, value: () => "nobody" }
    const timed = one(Saga.waitFor("approval" as never, { signal: Ask, timeout: 1, onTimeout }))
      .start()
      .decided()
    const over = timed.later(1).fails("1").decided().later(second)
    assert.deepStrictEqual(over.next, ["TryStarted approval", "make the result of approval"])
  })
})

describe("a result by hand", () => {
  const silent = (story: Story) => story.later(10 * second)
  const parked = untilParked(sent.later(10 * second), silent)
  const by = (result?: Json) => ({ path: "1", actor: "ann", reason: "why", ...(result !== undefined && { result }) })

  it("must fit the schema of the step and its context", () => {
    const { moment, state } = parked
    for (const result of [undefined, 17, "x".repeat(2_000_000)])
      assert.strictEqual(refusal(ParkedInput.resolve(state, by(result), moment)), "SagaResolutionRefused result")
    const other = { ...by("f"), path: "0" }
    assert.strictEqual(refusal(ParkedInput.resolve(state, other, moment)), "SagaStepNotParked")
    const late = evolve(state, { _tag: "StepResolved", ...other, at: 0 })
    assert.strictEqual(late, state)
  })

  it("is no answer for a place that has none", () => {
    const trip = begin(
      Saga.make("T", { context: {} }).pipe(
        Saga.remote("hotel", undone),
        Saga.pivot,
        Saga.local("seat", text),
        Saga.commit
      )
    )
      .start({ transactional: true })
      .requests("0")
      .replies("execute", "0", 200, "h")
      .succeeds("0", "h")
    const voted = trip.facts({ _tag: "VoteReceived", service: "airline", at: trip.now }).decided().stored()
    const stalled = voted.facts({ _tag: "ServiceStalled", service: "airline", reason: "why", at: voted.now })
    const place = { path: "airline:commit", actor: "ann", reason: "why" }
    const { moment, state } = stalled
    assert.strictEqual(
      refusal(ParkedInput.resolve(state, { ...place, result: 1 }, moment)),
      "SagaResolutionRefused no-result"
    )
    assert.strictEqual(refusal(ParkedInput.resolve(state, place, moment)), "taken")
  })

  it("counts at once where nothing can have been done", () => {
    const refused = untilParked(sent.replies("execute", "1", 500), (story) => {
      const attempt = Number(story.next.at(-1)!.split(" ").at(-1))
      return story.requests("1", attempt).replies("execute", "1", 500, undefined, attempt)
    })
    const done = refused.resolves("1", "by hand").decided()
    assert.isTrue(isSettled(done.state))
    assert.deepStrictEqual(done.execution.context as unknown, { flight: "by hand" } as unknown)
    const blind = one(
      Saga.remote("flight" as never, { execute: { ...book, command: Tourist.commands.Book } } as any)
    ).start()
    const unasked = untilParked(blind.requests("1").later(5 * minute), (story) => story.later(5 * minute))
    assert.isTrue(isSettled(unasked.resolves("1", "by hand").decided().state))
  })

  it("waits for the answer of a service that can be asked", () => {
    const asking = parked.resolves("1", "by hand")
    assert.deepStrictEqual([asking.state.parked, asking.next], [[], ["probe flight"]])
    const probed = asking.probes("1")
    assert.deepStrictEqual(probed.awaited, ["execute flight", "probe flight"])
    assert.throws(() => probed.probes("1"), "is not admitted")
    assert.strictEqual(probed.verdict("probe", "1", 500), "stale")
    const not = evolve(probed.state, { _tag: "ProbeAnswered", path: "1", status: 500, at: 0 })
    assert.strictEqual(not, probed.state)
    for (const status of [404, 400] as const) {
      const done = probed.replies("probe", "1", status).decided()
      assert.deepStrictEqual([step(done).result, isSettled(done.state)], ["by hand", true])
    }
    const overruled = probed.replies("probe", "1", 200, "f-1")
    assert.deepStrictEqual(overruled.next, ["handle the reply of flight"])
    assert.deepStrictEqual(step(overruled).reply?.content, "f-1")
  })

  it("yields to the answer of the request itself, and stands where that is none", () => {
    const probed = parked.resolves("1", "by hand").probes("1")
    assert.deepStrictEqual(probed.replies("execute", "1", 200, "f-1").next, ["handle the reply of flight"])
    for (const status of [400, 500] as const)
      assert.strictEqual(step(probed.replies("execute", "1", status).decided()).result, "by hand")
    const fact: SagaEvent = { _tag: "ReplyReceived", path: "1", status: 200, relatedServices: [], at: 0 }
    assert.strictEqual(evolve(probed.state, fact), probed.state)
  })

  it("does not count by a refusal that is given by hand: that proves nothing, and the service is asked on", () => {
    const { moment, state } = parked.resolves("1", "by hand").probes("1")
    const respond = (answer: { readonly status: 200 | 400 | 500; readonly proven?: true }) =>
      Result.getOrThrow(SagaInput.response(state, { step: "flight", relatedServices: [], ...answer }, moment))
    for (const status of [400, 500] as const) {
      assert.deepStrictEqual(respond({ status }), [])
      assert.deepInclude(respond({ status, proven: true })[0], { _tag: "ProbeAnswered" })
    }
    assert.deepInclude(respond({ status: 200 })[0], { _tag: "ProbeAnswered", status: 200 })
  })

  it("is given up where the service does not answer: the step is parked again", () => {
    const again = parked
      .resolves("1", "by hand")
      .probes("1")
      .later(60 * minute)
    assert.deepStrictEqual(again.next, ["StepParked flight"])
    const { resolution, compensation } = step(again.decided())
    assert.deepStrictEqual([again.decided().state.parked, resolution, compensation], [["1"], undefined, undefined])
  })
})
