/** Inputs of an execution, and why each counts or not (SPEC C5: reply acceptance, trusted resume; C9). */
import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as Saga from "../../../src/definition/Saga.ts"
import * as ParkedInput from "../../../src/execution/rules/ParkedInput.ts"
import type { SagaEvent } from "../../../src/execution/rules/SagaEvent.ts"
import * as SagaInput from "../../../src/execution/rules/SagaInput.ts"
import * as SignalInput from "../../../src/execution/rules/SignalInput.ts"
import { stepAt } from "../../../src/execution/rules/StepTree.ts"
import * as TrustedResponse from "../../../src/execution/rules/TrustedResponse.ts"
import { Refusal } from "../../../src/execution/view/Refusal.ts"
import { messageId } from "../../../src/wire/Envelope.ts"
import type { Json } from "../../../src/wire/JsonLimits.ts"
import { PlaceOrder } from "../../definition/order.ts"
import { Journey, Tour } from "./journey.ts"
import { begin, type Story, schedule } from "./story.ts"

const order = begin(PlaceOrder, { orderId: "o-1", sku: "book", quantity: 1, amount: 120 })
const reserved = order.start().succeeds("0", "r-1")
const asked = reserved.requests("1")
const paid = asked.replies("execute", "1", 200, { paymentId: "p-1" }).succeeds("1", { paymentId: "p-1" })
const both = begin(Journey, { who: "ann" })
  .start()
  .succeeds("0", "plan")
  .succeeds("1/b1/0", "12")
  .requests("1/b0/0")
  .requests("1/b1/1")
const parked = paid.cancels().compensates("1").later(3_600_000).decided().compensated("0").decided()

const tags = (facts: ReadonlyArray<SagaEvent>) => facts.map(({ _tag }) => _tag)

/** A verdict in words: the tags of its facts, or the tag of its refusal. */
const said = <E extends { readonly _tag: string }>(verdict: SagaInput.Verdict<E>): ReadonlyArray<string> | string =>
  Result.isSuccess(verdict) ? tags(verdict.success) : verdict.failure._tag

const reply = ({ moment, state }: Story, answer: Partial<SagaInput.Reply>) =>
  SagaInput.reply(
    state,
    {
      inReplyTo: messageId(state.uuid, "1", "execute"),
      sender: "payments",
      status: 200,
      content: { paymentId: "p-1" },
      relatedServices: ["payments"],
      ...answer
    },
    moment
  )

describe("a reply", () => {
  it("a reply counts if it answers an awaited request and comes from the service that was asked", () => {
    assert.deepStrictEqual(said(reply(asked, { status: 500 }) as never), ["ReplyReceived"])
    const verdict = reply(asked, { content: { paymentId: "p-1" } })
    assert.deepStrictEqual(Result.isSuccess(verdict) && verdict.success, [
      {
        _tag: "ReplyReceived",
        path: "1",
        status: 200,
        content: { paymentId: "p-1" },
        relatedServices: ["payments"],
        at: asked.now
      }
    ])
  })

  it("a reply is stale before its request is sent, and after it was answered", () => {
    for (const story of [order, order.start(), reserved, paid])
      assert.strictEqual(story.verdict("execute", "1", 200), "stale")
    for (const status of [200, 400, 500] as const) {
      const answered = asked.replies("execute", "1", status)
      for (const again of [200, 400, 500] as const) assert.strictEqual(answered.verdict("execute", "1", again), "stale")
    }
  })

  it("a reply that answers no request of this execution is stale", () => {
    for (const inReplyTo of [
      "",
      "x",
      "a:b:c",
      messageId(asked.state.uuid, "2", "execute"),
      messageId("other", "1", "execute")
    ])
      assert.deepStrictEqual(reply(asked, { inReplyTo }), Result.fail("stale"))
    assert.strictEqual(asked.verdict("failure", "1", 200), "stale")
    assert.strictEqual(asked.verdict("probe", "1", 200), "stale")
  })

  it("a reply from another sender is dropped, whatever it contains", () => {
    for (const sender of ["shipping", "orders", "Payments", ""]) {
      assert.deepStrictEqual(reply(asked, { sender }), Result.fail("sender-mismatch"))
      assert.strictEqual(paid.cancels().compensates("1").verdict("failure", "1", 200, sender), "sender-mismatch")
    }
    // A caller of this process is trusted: there is no sender to compare.
    const { sender: _, ...trusted } = { sender: "", inReplyTo: messageId(asked.state.uuid, "1", "execute") }
    const verdict = SagaInput.reply(asked.state, { ...trusted, status: 200, relatedServices: [] }, asked.moment)
    assert.strictEqual(Result.isSuccess(verdict), true)
  })

  it("a reply 404 does not answer an execute", () => {
    assert.strictEqual(asked.verdict("execute", "1", 404), "stale")
  })

  it("a reply advances the step it answers, and only that one", () => {
    const seat = both.replies("execute", "1/b0/0", 200, "f")
    assert.deepInclude(seat.statuses, { flight: "running-on-success", breakfast: "paused-by-on-execute" })
    assert.deepStrictEqual(seat.awaited, ["execute breakfast"])
  })

  it("a reply adds the services it names to the participants", () => {
    const story = order.start({ transactional: true }).succeeds("0", "r-1").requests("1")
    const named = story.took((state, moment) =>
      SagaInput.reply(
        state,
        {
          inReplyTo: messageId(state.uuid, "1", "execute"),
          sender: "payments",
          status: 500,
          relatedServices: ["payments", "ledger"]
        },
        moment
      )
    )
    assert.deepStrictEqual(named.state.enrolled, ["payments", "ledger"])
    assert.deepStrictEqual(named.execution.relatedServices, ["ledger", "orders", "payments"])
  })

  it("a reply adds its services to the participants also in a rollback, when it is not awaited any more", () => {
    const story = order.start({ transactional: true }).succeeds("0", "r-1").requests("1").cancels()
    const judged = reply(story, { relatedServices: ["ledger"] })
    const known = story.facts(...(Result.isSuccess(judged) ? judged.success : []))
    assert.deepStrictEqual(known.state.enrolled, ["payments", "ledger"])
    assert.include(known.execution.relatedServices, "ledger")
    assert.strictEqual(known.state.direction, "backward")
  })

  it("a service that joins after all others were told to reject is told as well", () => {
    const told = order
      .start({ transactional: true })
      .succeeds("0", "r-1")
      .requests("1")
      .cancels()
      .probes("1")
      .facts(
        { _tag: "DecisionAcknowledged", service: "payments", at: order.now },
        { _tag: "TransactionSettled", state: "rejected", at: order.now }
      )
    assert.notInclude(told.next.join(), "reject")
    const same = reply(told, { relatedServices: ["payments"] })
    assert.notInclude(told.facts(...(Result.isSuccess(same) ? same.success : [])).next.join(), "reject")
    const joined = reply(told, { relatedServices: ["ledger"] })
    assert.include(told.facts(...(Result.isSuccess(joined) ? joined.success : [])).next, "reject ledger")
  })

  it("a reply that names services which are not allowed fails the step; its status still decides what to compensate", () => {
    const strict = asked.under({ relatedServices: ["payments"] })
    const answer = { content: { paymentId: "p-1" }, relatedServices: ["payments", "spy"] }
    const verdict = reply(strict, answer)
    const facts = Result.isSuccess(verdict) ? verdict.success : []
    assert.deepStrictEqual(tags(facts), ["ReplyReceived", "StepFailed"])
    const failed = strict.facts(...facts)
    assert.deepStrictEqual(failed.state.failure, {
      _tag: "StepValueRejected",
      path: "1",
      step: "payment",
      rule: "related-services",
      issue: "spy"
    })
    assert.notInclude(failed.execution.relatedServices, "spy")
    assert.deepStrictEqual(failed.next, ["request the compensation of payment"])
    const refused = reply(strict, { ...answer, status: 500 })
    const nothing = strict.facts(...(Result.isSuccess(refused) ? refused.success : []))
    assert.deepStrictEqual(nothing.next, ["CompensationStarted reservationId", "compensate reservationId"])
    const allowed = reply(strict, { ...answer, relatedServices: ["payments"] })
    assert.deepStrictEqual(said(allowed as never), ["ReplyReceived"])
  })

  it("C5, C10 a reply is read when it comes: one that does not fit its command fails the step, its sender is at fault", () => {
    const judged = (status: 200 | 400, content: Json) => reply(asked, { status, content })
    for (const [status, content, become, effect] of [
      [200, { paymentId: 7 }, "errored-on-success", "exists"],
      [400, { _tag: "CardDeclined" }, "errored-on-error", "none"]
    ] as const) {
      const verdict = judged(status, content)
      const facts = Result.isSuccess(verdict) ? verdict.success : []
      assert.deepStrictEqual(tags(facts), ["ReplyReceived", "StepFailed"])
      const { state } = asked.facts(...facts)
      assert.deepInclude(state.failure, { _tag: "StepValueRejected", path: "1", step: "payment", rule: "decode" })
      assert.deepInclude(facts[1], { status: become, effect })
    }
    const cancelled = reply(asked.cancels(), { content: { paymentId: 7 } })
    assert.deepStrictEqual(said(cancelled as never), ["ReplyReceived"])
  })

  it("a reply to a compensation other than 200 counts as a failed attempt, 400 and 404 too", () => {
    const sent = paid.cancels().compensates("1")
    for (const status of [400, 404, 500] as const)
      assert.strictEqual(sent.verdict("failure", "1", status), "CompensationFailed")
  })

  it("a failed attempt of a compensation tells when the next one is due, if there is one", () => {
    const sent = paid.cancels().compensates("1")
    const fact = (story: Story) => {
      const judged = reply(story, { inReplyTo: messageId(story.state.uuid, "1", "failure"), status: 500 })
      return Result.isSuccess(judged) ? judged.success[0] : undefined
    }
    assert.deepInclude(fact(sent), { _tag: "CompensationFailed", retryAt: sent.now + 1_000 })
    const few = { ...schedule, retryCompensate: { ...schedule.retryCompensate, times: 0 } }
    assert.notProperty(fact(sent.under({ schedule: few })), "retryAt")
  })
})

describe("an answer to the commit", () => {
  const answer = (status: 200 | 400 | 500) =>
    reply(committing, { inReplyTo: messageId(committing.state.uuid, "payments", "commit"), status, content: "Unknown" })

  it("acknowledges the decision, or says that the service cannot follow it", () => {
    assert.deepStrictEqual(said(answer(200) as never), ["DecisionAcknowledged"])
    assert.deepStrictEqual(said(answer(500) as never), ["ServiceStalled"])
  })

  it("400 is no answer", () => {
    assert.deepStrictEqual(answer(400), Result.fail("stale"))
  })
})

describe("awaited messages", () => {
  it("the awaited message of a paused step is its execute, with service and deadline", () => {
    assert.deepStrictEqual(SagaInput.awaiting(asked.state), [
      {
        id: messageId(asked.state.uuid, "1", "execute"),
        op: "execute",
        path: "1",
        service: "payments",
        deadline: asked.now + 30_000
      }
    ])
  })

  it("no message is awaited before a request and after its reply", () => {
    for (const story of [order, reserved, paid, paid.cancels()]) assert.deepStrictEqual(story.awaited, [])
  })

  it("every branch has its awaited messages, without a deadline in a rollback", () => {
    assert.deepStrictEqual(both.awaited, ["execute flight", "execute breakfast"])
    const probing = both.cancels().probes("1/b0/0")
    assert.deepStrictEqual(probing.awaited, ["execute flight", "probe flight", "execute breakfast"])
    for (const { deadline } of SagaInput.awaiting(probing.state)) assert.strictEqual(deadline, undefined)
  })

  it("a parked step still awaits its message, until it is compensated", () => {
    assert.deepStrictEqual(parked.awaited, ["failure payment"])
    assert.deepStrictEqual(parked.replies("failure", "1", 200).awaited, [])
  })

  it("the execute of a step that was compensated without its reply is not awaited", () => {
    const guide = begin(Tour, { who: "ann" }).start().succeeds("0", "plan").requests("1").cancels().compensates("1")
    const compensated = guide.replies("failure", "1", 200)
    assert.deepStrictEqual(compensated.awaited, [])
    assert.strictEqual(compensated.verdict("execute", "1", 200), "stale")
  })
})

describe("a trusted response", () => {
  const answer = { status: 200 as const, relatedServices: [] }
  type Given = Partial<Parameters<typeof SagaInput.response>[1]>
  const respond = ({ moment, state }: Story, given: Given = {}) =>
    SagaInput.response(state, { ...answer, ...given }, moment)
  const execute = ({ state }: Story, path: string) => messageId(state.uuid, path, "execute")
  const refusal = (verdict: SagaInput.Verdict<unknown>) => (Result.isFailure(verdict) ? verdict.failure : undefined)
  const request = { execute: { target: "office/approve" } } as const
  const approval = begin(
    Saga.make("Approval", { context: {} }).pipe(
      Saga.remote("approval", request),
      Saga.remote("second", request),
      Saga.commit
    )
  )
    .start()
    .requests("0")

  it("F20 a response without a name answers a step without a contract that is the only one awaited", () => {
    assert.deepStrictEqual(said(respond(approval)), ["ReplyReceived"])
    assert.strictEqual(said(respond(asked)), "SagaResponseAmbiguous")
    assert.strictEqual(said(respond(reserved)), "SagaResponseAmbiguous")
    assert.deepInclude(refusal(respond(both)), { _tag: "SagaResponseAmbiguous", awaited: ["1/b0/0", "1/b1/1"] })
  })

  it("F20 a response names its step, by name or path, or its request", () => {
    for (const given of [{ step: "payment" }, { step: "1" }, { requestId: execute(asked, "1") }])
      assert.deepStrictEqual(
        said(respond(asked, { content: { paymentId: "p-1" }, ...given })),
        ["ReplyReceived"],
        JSON.stringify(given)
      )
    assert.deepStrictEqual(
      said(respond(asked, { content: { paymentId: "p-1" }, step: "payment", requestId: execute(asked, "1") })),
      ["ReplyReceived"]
    )
    const chosen = respond(both, { step: "breakfast" })
    assert.deepInclude(Result.isSuccess(chosen) && chosen.success[0], { _tag: "ReplyReceived", path: "1/b1/1" })
  })

  it("F20 a name or a request id that nobody awaits is SagaResponseNotAwaited", () => {
    const wrong: ReadonlyArray<readonly [Given, string]> = [
      [{ step: "courier" }, "courier"],
      [{ step: "" }, ""],
      [{ requestId: "something else" }, "something else"],
      [{ requestId: "" }, ""],
      [{ requestId: messageId(asked.state.uuid, "1", "failure") }, messageId(asked.state.uuid, "1", "failure")],
      [
        { requestId: messageId(asked.state.uuid, "payments", "reserve") },
        messageId(asked.state.uuid, "payments", "reserve")
      ],
      [{ step: "courier", requestId: execute(asked, "1") }, execute(asked, "1")]
    ]
    for (const [given, named] of wrong)
      assert.deepInclude(refusal(respond(asked, given)), { _tag: "SagaResponseNotAwaited", named, awaited: ["1"] })
    // One that comes early is not kept for its step.
    assert.deepInclude(refusal(respond(approval, { step: "second" })), { _tag: "SagaResponseNotAwaited" })
  })

  it("F20 a name that several awaited steps have is SagaResponseAmbiguous", () => {
    const Ask = Saga.make("Ask", { context: {} }).pipe(Saga.remote("approval", request), Saga.commit)
    const ask = { saga: Ask, context: () => ({}) }
    const twice = begin(
      Saga.make("Twice", { context: {} }).pipe(
        Saga.parallel("both", { one: Saga.nested("one", ask), two: Saga.nested("two", ask) }),
        Saga.commit
      )
    )
      .start()
      .enters("0/b0/0", {})
      .enters("0/b1/0", {})
      .requests("0/b0/0/n/0")
      .requests("0/b1/0/n/0")
    assert.deepInclude(refusal(respond(twice, { step: "approval" })), {
      _tag: "SagaResponseAmbiguous",
      awaited: ["0/b0/0/n/0", "0/b1/0/n/0"]
    })
    assert.deepStrictEqual(said(respond(twice, { step: "0/b1/0/n/0" })), ["ReplyReceived"])
  })

  it("F20 the same answer again changes nothing, and another one is SagaResponseConflict", () => {
    const same = { content: { paymentId: "p-1" } }
    for (const story of [paid, paid.chooses("2", null).succeeds("3", "receipt").decided(), paid.cancels()])
      for (const given of [{ step: "payment" }, { requestId: execute(paid, "1") }]) {
        assert.deepStrictEqual(said(respond(story, { ...given, ...same })), [])
        for (const other of [{}, { content: { paymentId: "p-2" } }, { ...same, status: 400 as const }])
          assert.deepInclude(refusal(respond(story, { ...given, ...other })), {
            _tag: "SagaResponseConflict",
            path: "1",
            step: "payment"
          })
      }
    const silent = approval.took((state, moment) => SagaInput.response(state, { ...answer, step: "approval" }, moment))
    assert.deepStrictEqual(said(respond(silent, { step: "approval", content: null })), [])
  })

  it("a response to a compensation or a vote names its request; the same again changes nothing", () => {
    const compensating = paid.cancels().compensates("1")
    const id = messageId(paid.state.uuid, "1", "failure")
    assert.deepStrictEqual(said(respond(compensating, { requestId: id })), ["StepCompensated"])
    const done = compensating.replies("failure", "1", 200)
    assert.deepStrictEqual(said(respond(done, { requestId: id })), [])
    const vote = messageId(paid.state.uuid, "payments", "reserve")
    assert.deepStrictEqual(said(respond(reserving, { requestId: vote })), ["VoteReceived"])
    assert.deepStrictEqual(said(respond(committing, { requestId: vote })), [])
  })

  it("a response of a caller changes nothing where the execution is errored, and is an error where it is finished", () => {
    for (const given of [{}, { step: "courier" }]) {
      assert.deepStrictEqual(said(respond(parked, given)), [])
      const finished = paid.chooses("2", null).succeeds("3", "receipt").decided()
      assert.strictEqual(said(respond(finished, given)), "SagaExecutionAlreadyExecuted")
    }
    const unanswered = asked.cancels().probes("1").replies("probe", "1", 404).compensated("0").decided()
    assert.deepStrictEqual(said(respond(unanswered, { requestId: execute(asked, "1") })), [])
  })

  it("C16 a refusal by hand does not prove that the service did nothing: the step is probed before it counts as undone", () => {
    const refused = (status: 400 | 500, story = asked) =>
      story.took((state, moment) =>
        SagaInput.response(
          state,
          { ...answer, status, content: { _tag: "CardDeclined", reason: "limit" }, step: "payment" },
          moment
        )
      )
    assert.deepStrictEqual(refused(500).decided().next, ["probe payment"])
    const failed = refused(400).fails("1", { status: "errored-on-error", effect: "unknown" })
    assert.deepStrictEqual(failed.decided().next, ["probe payment"])
    const done = failed.probes("1").replies("probe", "1", 200, { paymentId: "p-1" })
    assert.deepStrictEqual(done.next, ["request the compensation of payment"])
    assert.include(failed.probes("1").replies("probe", "1", 404).next, "StepCompensated payment")
    // The reply of the service itself, brought by the caller of a runner, is a proof.
    const proven = asked.took((state, moment) =>
      SagaInput.response(state, { ...answer, status: 500, step: "payment", proven: true }, moment)
    )
    assert.notInclude(proven.decided().next.join(), "probe")
    // On the way back as well: only the service itself tells.
    const back = asked.cancels().probes("1")
    assert.deepStrictEqual(said(respond(back, { status: 400, step: "payment" })), [])
    assert.deepStrictEqual(said(respond(back, { status: 400, step: "payment", proven: true })), ["ReplyReceived"])
    assert.deepStrictEqual(said(respond(back, { step: "payment" })), ["ReplyReceived"])
  })

  it("C6 a success by hand does not prove that the service has a record of it; its own reply does, also brought by a caller", () => {
    const paidBy = (proven: { readonly proven?: true }, story = asked) =>
      stepAt(
        story.took((state, moment) =>
          SagaInput.response(state, { ...answer, content: { paymentId: "p-1" }, step: "payment", ...proven }, moment)
        ).state.root,
        "1"
      )?.step.reply?.byHand
    const back = asked.cancels().probes("1")
    assert.deepStrictEqual([paidBy({}), paidBy({}, back)], [true, true])
    assert.deepStrictEqual([paidBy({ proven: true }), paidBy({ proven: true }, back)], [undefined, undefined])
    assert.isUndefined(stepAt(back.replies("probe", "1", 200, "p").state.root, "1")?.step.reply?.byHand)
  })

  it("C16 a refusal by hand that onError has made a result of is probed when a later step fails", () => {
    const boat = begin(Tour, { who: "ann" })
      .start({ autocommit: false, transactional: true })
      .succeeds("0", "plan")
      .requests("1")
      .replies("execute", "1", 200, "g")
      .succeeds("1", "g")
      .requests("2")
      .replies("execute", "2", 200, "m")
      .succeeds("2", "m")
      .requests("3")
    const byHand = boat
      .took((state, moment) =>
        SagaInput.response(state, { ...answer, status: 400, content: "full", step: "boat" }, moment)
      )
      .recovers("3", "on foot: full")
    const rejected = byHand.decided().took((state, moment) => SagaInput.reject(state, undefined, moment))
    assert.include(rejected.next, "probe boat")
  })

  it("C16 a refusal by hand that names services which are not allowed is probed, too", () => {
    const strict = asked.under({ relatedServices: ["payments"] })
    const verdict = respond(strict, { status: 400, step: "payment", relatedServices: ["spy"] })
    assert.deepStrictEqual(
      Result.isSuccess(verdict) && verdict.success.map((fact) => "effect" in fact && fact.effect),
      ["unknown", "unknown"]
    )
  })
})

describe("F24 too many services", () => {
  const names = (count: number) => Array.from({ length: count }, (_, i) => `service-${i}`)
  const story = order.start({ transactional: true }).succeeds("0", "r-1").requests("1")

  it("a reply that names more than 64 services fails its step, and none of them joins", () => {
    assert.deepStrictEqual(said(reply(story, { relatedServices: names(64) }) as never), ["ReplyReceived"])
    for (const [status, effect] of [
      [200, "exists"],
      [400, "none"]
    ] as const) {
      const verdict = reply(story, { status, relatedServices: names(65) })
      const facts = Result.isSuccess(verdict) ? verdict.success : []
      assert.deepInclude(facts[0], { _tag: "ReplyReceived", relatedServices: [] })
      assert.deepInclude(facts[1], { _tag: "StepFailed", effect })
      assert.deepInclude((facts[1] as { readonly failure: object }).failure, {
        rule: "related-services",
        issue: "65 of them, 64 may be named"
      })
      assert.deepStrictEqual(story.facts(...facts).state.enrolled, ["payments"])
    }
  })

  it("a reply with which more than 256 services would take part fails its step", () => {
    const full = { ...story.state, enrolled: names(250) }
    const judged = SagaInput.reply(
      full,
      {
        inReplyTo: messageId(full.uuid, "1", "execute"),
        status: 200,
        relatedServices: ["a", "b", "c", "d", "e", "f", "g"]
      },
      story.moment
    )
    assert.deepInclude(Result.isSuccess(judged) && (judged.success[1] as { readonly failure: object }).failure, {
      issue: "more than 256 services would take part"
    })
    const fits = SagaInput.reply(
      full,
      {
        inReplyTo: messageId(full.uuid, "1", "execute"),
        status: 200,
        content: { paymentId: "p-1" },
        relatedServices: ["a", "b", "c", "d", "e", "f"]
      },
      story.moment
    )
    assert.lengthOf(Result.isSuccess(fits) ? fits.success : [], 1)
  })

  it("an answer to a probe with too many services enrols none of them", () => {
    const probing = story.cancels().probes("1")
    const judged = SagaInput.reply(
      probing.state,
      { inReplyTo: messageId(probing.state.uuid, "1", "probe"), status: 200, relatedServices: names(65) },
      probing.moment
    )
    assert.deepInclude(Result.isSuccess(judged) && judged.success[0], { _tag: "ProbeAnswered", relatedServices: [] })
  })
})

const cancel = ({ moment, state }: Story) => said(SagaInput.cancel(state, { actor: "ann" }, moment))
const commit = ({ moment, state }: Story) => said(SagaInput.commit(state, moment))
const reject = ({ moment, state }: Story) => said(SagaInput.reject(state, undefined, moment))
const rollback = ({ moment, state }: Story) => {
  const verdict = SagaInput.rollback(state, moment)
  return Result.isSuccess(verdict) ? tags(verdict.success) : verdict.failure.reason
}

const finish = (options: { readonly autocommit: boolean; readonly transactional?: boolean }) =>
  order
    .start(options)
    .succeeds("0", "r-1")
    .requests("1")
    .replies("execute", "1", 200, { paymentId: "p-1" })
    .succeeds("1", { paymentId: "p-1" })
    .chooses("2", null)
    .succeeds("3", "receipt")
    .decided()
const committed = finish({ autocommit: true })
const undecided = finish({ autocommit: false, transactional: true })
const reserving = undecided.took((state, moment) => SagaInput.commit(state, moment))
const committing = reserving.facts(
  { _tag: "VoteReceived", service: "payments", at: reserving.now },
  { _tag: "CommitDecided", at: reserving.now }
)
const failed = asked.replies("execute", "1", 500).decided()
const rolledBack = failed.compensated("0").decided()

describe("cancel", () => {
  it("a cancel rolls back an undecided execution, with its actor", () => {
    for (const story of [order, order.start(), asked, both, undecided, reserving])
      assert.deepStrictEqual(cancel(story), ["RollbackStarted"])
    const verdict = SagaInput.cancel(asked.state, { actor: "ann" }, asked.moment)
    assert.deepStrictEqual(Result.isSuccess(verdict) && verdict.success[0], {
      _tag: "RollbackStarted",
      failure: { _tag: "Cancelled", actor: "ann" },
      at: asked.now
    })
    const why = SagaInput.cancel(asked.state, { actor: "ann", reason: "sold out" }, asked.moment)
    assert.deepInclude(Result.isSuccess(why) && why.success[0], {
      failure: { _tag: "Cancelled", actor: "ann", reason: "sold out" }
    })
    const nobody = SagaInput.cancel(asked.state, undefined, asked.moment)
    assert.deepInclude(Result.isSuccess(nobody) && nobody.success[0], { failure: { _tag: "Cancelled" } })
  })

  it("a cancel is refused after the decision, and a second one changes nothing", () => {
    for (const story of [committed, committing, failed, rolledBack])
      assert.strictEqual(cancel(story), "SagaNotCancellable")
    assert.deepStrictEqual(cancel(asked.cancels()), [])
  })
})

describe("commit", () => {
  it("a commit needs an execution whose steps are finished", () => {
    for (const story of [order, order.start(), asked, failed, rolledBack])
      assert.strictEqual(commit(story), "SagaExecutionNotFinished")
    assert.deepStrictEqual(commit(undecided), ["ReservationStarted"])
  })

  it("a second commit changes nothing", () => {
    for (const story of [reserving, committing, committed]) assert.deepStrictEqual(commit(story), [])
  })
})

describe("reject", () => {
  it("a reject rolls back an undecided execution", () => {
    for (const story of [order.start(), asked, reserving]) assert.include(reject(story), "RollbackStarted")
    assert.deepStrictEqual(reject(undecided), ["RollbackStarted", "RejectRequested"])
    const rejected = undecided.took((state, moment) => SagaInput.reject(state, undefined, moment))
    assert.deepStrictEqual([rejected.state.decision, rejected.state.commitState], ["reject", "rejecting"])
  })

  it("a reject is refused after the decision to commit, and a second one changes nothing", () => {
    for (const story of [committing, committed]) assert.strictEqual(reject(story), "SagaAlreadyDecided")
    for (const story of [failed, rolledBack]) assert.deepStrictEqual(reject(story), [])
  })

  it("a reject tells the participants of a failure that no participant was told of", () => {
    const silent = order
      .start({ autocommit: false, transactional: true })
      .succeeds("0", "r-1")
      .requests("1")
      .replies("execute", "1", 500)
      .decided()
    assert.strictEqual(silent.state.commitState, "none")
    assert.deepStrictEqual(reject(silent), ["RejectRequested"])
    assert.deepStrictEqual(reject(silent.took((state, moment) => SagaInput.reject(state, undefined, moment))), [])
  })
})

describe("rollback", () => {
  it("a rollback compensates an undecided execution, once", () => {
    for (const story of [order.start(), asked, both, undecided, reserving])
      assert.deepStrictEqual(rollback(story), ["RollbackStarted"])
    for (const story of [failed, rolledBack, committing, committed]) assert.strictEqual(rollback(story), "already-done")
  })

  it("a rollback of a new execution does nothing, and does not prevent a later rollback", () => {
    assert.strictEqual(rollback(order), "nothing-to-do")
    assert.deepStrictEqual(rollback(order.start()), ["RollbackStarted"])
  })
})

describe("an operator and a parked step", () => {
  it("an operator cannot resolve or retry a step that is not parked", () => {
    for (const [story, path] of [
      [parked, "0"],
      [parked, "9"],
      [asked, "1"],
      [rolledBack, "1"]
    ] as const) {
      assert.strictEqual(
        said(ParkedInput.retry(story.state, { path: path, actor: "ann" }, story.moment)),
        "SagaStepNotParked"
      )
      assert.strictEqual(
        said(ParkedInput.resolve(story.state, { path: path, actor: "ann", reason: "why" }, story.moment)),
        "SagaStepNotParked"
      )
    }
  })

  it("the decision of an operator on a parked step is stored with actor and reason", () => {
    const { moment, state } = parked
    assert.deepStrictEqual(
      ParkedInput.retry(state, { path: "1", actor: "ann" }, moment),
      Result.succeed([{ _tag: "StepUnparked", path: "1", actor: "ann", at: moment.now }]) as never
    )
    assert.deepStrictEqual(
      ParkedInput.resolve(state, { path: "1", actor: "ann", reason: "why" }, moment),
      Result.succeed([{ _tag: "StepResolved", path: "1", actor: "ann", reason: "why", at: moment.now }]) as never
    )
  })
})

it("errors of inputs have a message with the values that a person needs", () => {
  const { uuid } = parked.state
  assert.include(
    new SagaInput.SagaResolutionRefused({ uuid, path: "1", reason: "no-result" }).message,
    "has no result of its own"
  )
  for (const issue of [{ issue: "$: why" }, {}])
    assert.include(
      new SagaInput.SagaResolutionRefused({ uuid, path: "1", reason: "result", ...issue }).message,
      `does not fit: ${issue.issue ?? ""}`
    )
  assert.strictEqual(
    new SagaInput.SagaStepNotParked({ uuid, path: "1" }).message,
    `Step 1 of execution ${uuid} is not parked`
  )
  assert.include(new SagaInput.SagaResponseAmbiguous({ uuid, awaited: ["1", "2"] }).message, "awaits 2 replies")
  assert.include(new SagaInput.SagaAlreadyDecided({ uuid, decision: "commit" }).message, "already decided: commit")
  assert.include(new SagaInput.SagaExecutionNotFinished({ uuid, status: "paused" }).message, "is paused, not finished")
  assert.include(new SagaInput.SagaNotCancellable({ uuid, status: "errored" }).message, "can no longer be cancelled")
  assert.include(
    new SagaInput.SagaExecutionAlreadyExecuted({ uuid, status: "finished" }).message,
    "is already finished"
  )
  assert.include(new SagaInput.SagaRollbackExecution({ uuid, reason: "nothing-to-do" }).message, "nothing-to-do")
  assert.strictEqual(
    new TrustedResponse.SagaResponseNotAwaited({ uuid, named: "payment", awaited: ["2"] }).message,
    `Execution ${uuid} does not await a response to "payment"`
  )
  assert.strictEqual(
    new TrustedResponse.SagaResponseConflict({ uuid, path: "1", step: "payment" }).message,
    `Step payment (1) of execution ${uuid} was answered before, with another answer`
  )
  assert.strictEqual(
    new SignalInput.SagaSignalConflict({ uuid, signal: "approval", id: "click" }).message,
    `Execution ${uuid} has received another signal with the id click`
  )
  assert.strictEqual(
    new SignalInput.SagaSignalRefused({ uuid, signal: "approval", reason: "going-back" }).message,
    `Execution ${uuid} takes no signal approval: it is rolled back`
  )
  assert.strictEqual(
    new SignalInput.SagaSignalsFull({ uuid, signal: "approval" }).message,
    `Execution ${uuid} has 100 signals approval that no step has taken`
  )
})

describe("an input as data", () => {
  const answer = { status: 200, content: { paymentId: "p-1" }, relatedServices: ["payments"] } as const
  const inReplyTo = messageId(asked.state.uuid, "1", "execute")
  const inputs: ReadonlyArray<readonly [SagaInput.SagaInput, Story, string | ReadonlyArray<string>]> = [
    [{ _tag: "Reply", inReplyTo, sender: "payments", ...answer }, asked, ["ReplyReceived"]],
    [{ _tag: "Reply", inReplyTo, sender: "ledger", ...answer }, asked, "sender-mismatch"],
    [{ _tag: "Response", step: "payment", ...answer }, asked, ["ReplyReceived"]],
    [
      { _tag: "Response", step: "payment", autocommit: false, ...answer },
      asked,
      ["AutocommitChanged", "ReplyReceived"]
    ],
    [{ _tag: "Response", step: "payment", autocommit: true, ...answer }, asked, ["ReplyReceived"]],
    [{ _tag: "Response", ...answer }, committed, "SagaExecutionAlreadyExecuted"],
    [{ _tag: "Cancel", actor: "ann" }, asked, ["RollbackStarted"]],
    [{ _tag: "Cancel" }, committed, "SagaNotCancellable"],
    [{ _tag: "Commit" }, undecided, ["ReservationStarted"]],
    [{ _tag: "Commit" }, asked, "SagaExecutionNotFinished"],
    [{ _tag: "Commit" }, rolledBack, "SagaAlreadyDecided"],
    [{ _tag: "Reject" }, committed, "SagaAlreadyDecided"],
    [{ _tag: "Reject", actor: "ann", reason: "sold out" }, asked, ["RollbackStarted"]],
    [{ _tag: "Rollback" }, asked, ["RollbackStarted"]],
    [{ _tag: "Rollback" }, committed, "SagaRollbackExecution"],
    [{ _tag: "RetryParked", path: "1", actor: "ann" }, parked, ["StepUnparked"]],
    [{ _tag: "RetryParked", path: "1", actor: "ann" }, asked, "SagaStepNotParked"],
    [{ _tag: "ResolveParked", path: "1", actor: "ann", reason: "paid back" }, parked, ["StepResolved"]],
    [{ _tag: "Look" }, asked, []]
  ]

  it("is judged by the rule of its kind", () => {
    for (const [input, { moment, state }, expected] of inputs) {
      const verdict = SagaInput.judge(state, input, moment)
      const given = Result.isSuccess(verdict)
        ? tags(verdict.success)
        : typeof verdict.failure === "string"
          ? verdict.failure
          : verdict.failure._tag
      assert.deepStrictEqual(given, expected, JSON.stringify(input))
    }
  })

  it("comes back from JSON as it was, and so does its refusal", () => {
    const input = Schema.fromJsonString(SagaInput.SagaInput)
    const refusal = Schema.fromJsonString(Schema.toCodecJson(Refusal))
    for (const [one, { moment, state }] of inputs) {
      assert.deepStrictEqual(Schema.decodeUnknownSync(input)(Schema.encodeSync(input)(one)), one)
      const verdict = SagaInput.judge(state, one, moment)
      if (Result.isSuccess(verdict)) continue
      const back = Schema.decodeUnknownSync(refusal)(Schema.encodeSync(refusal)(verdict.failure))
      assert.deepStrictEqual(back, verdict.failure)
    }
  })
})
