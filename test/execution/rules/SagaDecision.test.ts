/** The next work of an execution, by example: the rows of SPEC C5 that depend on the execution alone. */
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { needsIntent } from "../../../src/execution/rules/Instruction.ts"
import { interrupted } from "../../../src/execution/rules/Interruption.ts"
import * as ParkedInput from "../../../src/execution/rules/ParkedInput.ts"
import * as Decision from "../../../src/execution/rules/SagaDecision.ts"
import { evolve } from "../../../src/execution/rules/SagaEvolution.ts"
import * as SagaInput from "../../../src/execution/rules/SagaInput.ts"
import { stepAt } from "../../../src/execution/rules/StepTree.ts"
import * as TwoPhaseCommit from "../../../src/execution/rules/TwoPhaseCommit.ts"
import * as Execution from "../../../src/execution/view/SagaExecution.ts"
import { PlaceOrder } from "../../definition/order.ts"
import { Crashes, Journey, Tour, Weekend } from "./journey.ts"
import { begin, type Story, schedule } from "./story.ts"

const order = begin(PlaceOrder, { orderId: "o-1", sku: "book", quantity: 1, amount: 120 })
const reserved = order.start().succeeds("0", "r-1")
const asked = reserved.requests("1")
const paid = asked.replies("execute", "1", 200, { paymentId: "p-1" }).succeeds("1", { paymentId: "p-1" })
const delivered = paid
  .chooses("2", 0, "if0")
  .requests("2/if0/0")
  .replies("execute", "2/if0/0", 200, { courierId: "c-1" })
  .succeeds("2/if0/0", { courierId: "c-1" })

const complete = (started: Story) =>
  started
    .succeeds("0", "r-1")
    .requests("1")
    .replies("execute", "1", 200, { paymentId: "p-1" })
    .succeeds("1", { paymentId: "p-1" })
    .chooses("2", null)
    .succeeds("3", "receipt")

const failureAt = (path: string) => ({
  _tag: "StepFailed" as const,
  path,
  status: "errored-on-execute" as const,
  effect: "none" as const,
  failure: { _tag: "Rejected" as const }
})

const seconds = (count: number) => count * 1_000
const minutes = (count: number) => count * 60_000

describe("forward", () => {
  it("an execution that was not started has nothing to do", () => {
    assert.deepStrictEqual(order.next, [])
    assert.strictEqual(order.wakesIn, Number.POSITIVE_INFINITY)
  })

  it("an execution stores the start of a local step, then executes it", () => {
    const started = order.start()
    assert.deepStrictEqual(started.next, ["StepStarted reservationId", "execute reservationId"])
    assert.strictEqual(started.state.status, "running")
    assert.deepStrictEqual(started.decided().statuses, { reservationId: "running-on-execute" })
  })

  it("an execution executes again a step that was started and has no result, and stores nothing for that", () => {
    assert.deepStrictEqual(order.start().decided().next, ["execute reservationId"])
  })

  it("an execution goes on with the request of a remote step", () => {
    assert.deepStrictEqual(reserved.next, ["request payment"])
  })

  it("an execution is paused once the request is sent, and awaits its reply", () => {
    assert.deepStrictEqual(asked.next, [])
    assert.strictEqual(asked.state.status, "paused")
    assert.strictEqual(asked.execution.pausedStep?.name, "payment")
    assert.strictEqual(asked.statuses.payment, "paused-by-on-execute")
    assert.deepStrictEqual(asked.awaited, ["execute payment"])
  })

  it("an execution keeps the latest notAfter of its messages: later messages are never valid for less", () => {
    const day = minutes(24 * 60)
    assert.strictEqual(asked.state.notAfter, asked.now + day)
    assert.strictEqual(paid.state.notAfter, asked.now + day)
    const later = paid.later(5_000).chooses("2", 0, "if0").requests("2/if0/0")
    assert.strictEqual(later.state.notAfter, asked.now + 5_000 + day)
    assert.strictEqual(later.cancels().probes("2/if0/0").state.notAfter, later.state.notAfter)
  })

  it("an execution enrols the service of a step only in a transaction", () => {
    assert.deepStrictEqual(asked.state.enrolled, [])
    const transactional = order.start({ transactional: true }).succeeds("0", "r-1").requests("1")
    assert.deepStrictEqual(transactional.state.enrolled, ["payments"])
  })

  it("an execution rolls back when a request cannot be built, and sends nothing for that step", () => {
    const failed = reserved.cannotBegin("1", "remote")
    assert.deepStrictEqual(failed.next, ["CompensationStarted reservationId", "compensate reservationId"])
    assert.strictEqual(failed.statuses.payment, "errored-on-execute")
    assert.deepStrictEqual([failed.state.direction, failed.state.decision], ["backward", "reject"])
    assert.deepStrictEqual(failed.awaited, [])
  })

  it("an execution hands a reply 200 to the step, and goes on when that succeeds", () => {
    const replied = asked.replies("execute", "1", 200, { paymentId: "p-1" })
    assert.deepStrictEqual(replied.next, ["handle the reply of payment"])
    assert.deepStrictEqual([replied.state.status, replied.statuses.payment], ["running", "running-on-success"])
    assert.strictEqual(paid.statuses.payment, "finished")
    assert.deepStrictEqual(paid.next, ["choose delivery"])
    assert.deepStrictEqual(
      paid.execution.executedSteps.map(({ name }) => name),
      ["reservationId", "payment"]
    )
  })

  it("an execution whose onSuccess fails compensates that step first", () => {
    const failed = asked
      .replies("execute", "1", 200, { paymentId: "p-1" })
      .fails("1", { status: "errored-on-success", effect: "exists" })
    assert.deepStrictEqual(failed.next, ["request the compensation of payment"])
    assert.strictEqual(failed.statuses.payment, "errored-on-success")
  })

  it("an execution hands a reply 400 to the error handler, and goes on when that recovers", () => {
    const tour = begin(Tour, { who: "ann" }).start().succeeds("0", "plan")
    const refused = tour
      .requests("1")
      .replies("execute", "1", 200, "g")
      .succeeds("1", "g")
      .requests("2")
      .replies("execute", "2", 200, "m")
      .succeeds("2", "m")
      .requests("3")
      .replies("execute", "3", 400, "full")
    assert.deepStrictEqual([refused.state.status, refused.statuses.boat], ["running", "running-on-error"])
    assert.deepStrictEqual(refused.next, ["handle the reply of boat"])
    const recovered = refused.recovers("3", "on foot: full")
    assert.deepStrictEqual(recovered.next, ["ExecutionFinished", "TransactionSettled"])
    assert.strictEqual(recovered.statuses.boat, "finished")
  })

  it("an execution rolls back after a reply 400 without onError: a refusal is not a success", () => {
    const failed = asked
      .replies("execute", "1", 400, { _tag: "CardDeclined", reason: "limit" })
      .fails("1", { status: "errored-on-error", effect: "none" })
    assert.strictEqual(failed.statuses.payment, "errored-on-error")
    // The participant has rolled its effect back: there is nothing to compensate but the step before.
    assert.deepStrictEqual(failed.next, ["CompensationStarted reservationId", "compensate reservationId"])
  })

  it("an execution rolls back after a reply 500", () => {
    const failed = asked.replies("execute", "1", 500, "down")
    assert.deepStrictEqual(failed.next, [
      "StepFailed payment",
      "CompensationStarted reservationId",
      "compensate reservationId"
    ])
    const { failure } = failed.decided().state
    assert.deepStrictEqual(failure, { _tag: "StepRefused", path: "1", step: "payment", status: 500, content: "down" })
    assert.strictEqual(failed.decided().statuses.payment, "errored-by-on-execute")
  })

  it("an execution rolls back at the deadline of a step, not before, and probes the step", () => {
    assert.deepStrictEqual(asked.later(seconds(30) - 1).state.direction, "forward")
    assert.notInclude(asked.later(seconds(30) - 1).next, "StepFailed payment")
    const late = asked.later(seconds(30))
    assert.deepStrictEqual(late.next, ["StepFailed payment", "probe payment"])
    assert.strictEqual(late.decided().state.failure?._tag, "StepTimedOut")
    assert.strictEqual(late.decided().statuses.payment, "errored-by-on-execute")
  })

  it("F37: a step that is late says whether anybody takes the commands of its service", () => {
    const late = asked.later(seconds(30))
    for (const heard of ["payments", "others"]) {
      const isUnheard = (service: string) => service !== heard
      const { failure } = Decision.advance(late.state, { ...late.moment, isUnheard }).state
      const isNamed = failure?._tag === "StepTimedOut" && failure.unheard === true
      assert.deepStrictEqual([failure?._tag, isNamed], ["StepTimedOut", heard === "others"])
    }
  })

  it("F30: a step that is late says why the broker did not take its request", () => {
    const late = asked.later(seconds(30))
    const refusal = () => "message of 9 bytes over the broker's limit of 8"
    const { failure } = Decision.advance(late.state, { ...late.moment, refusal, isUnheard: () => true }).state
    assert.deepInclude(failure, { _tag: "StepTimedOut", refused: refusal() })
    assert.notProperty(failure, "unheard")
  })

  it("an execution waits five minutes for a step without a timeout", () => {
    const journey = begin(Weekend, { who: "ann" }).start().succeeds("0", "plan").enters("1", { guest: "ann" })
    const key = journey.requests("1/n/0")
    assert.notInclude(key.later(minutes(5) - 1).next, "StepFailed key")
    assert.include(key.later(minutes(5)).next, "StepFailed key")
  })

  it("an execution stores the deadline of a local step with a timeout", () => {
    const crashes = begin(Crashes).start().succeeds("0").succeeds("1").succeeds("2").decided()
    assert.deepInclude(crashes.state.history?.head, { _tag: "StepStarted", path: "3", deadline: crashes.now + 2_001 })
    assert.notProperty(order.start().decided().state.history?.head, "deadline")
  })
})

describe("resends", () => {
  it("a request is sent again after 1 s, 2 s, 4 s and so on up to 30 s, a tenth late at most, until its deadline", () => {
    const key = begin(Weekend, { who: "ann" })
      .start()
      .succeeds("0", "plan")
      .enters("1", { guest: "ann" })
      .requests("1/n/0")
    const waits: Array<number> = []
    let story = key
    let last = key.now
    while (story.now < key.now + minutes(5) - 1) {
      const wait = story.wakesIn
      assert.isAbove(wait, 0)
      story = story.later(wait)
      if (story.now >= key.now + minutes(5)) break
      assert.deepStrictEqual(story.next, ["resend the execute of key"])
      waits.push((story.now - last) / 1_000)
      last = story.now
    }
    assert.strictEqual(waits.length, 13)
    for (const [i, wait] of waits.entries()) {
      const expected = [1, 2, 4, 8, 16][i] ?? 30
      assert.isAtLeast(wait, expected)
      assert.isAtMost(wait, expected * 1.1)
    }
    assert.deepStrictEqual(story.next, ["StepFailed key", "probe key"])
  })

  it("a resend has the same message, and stores nothing", () => {
    const later = asked.later(asked.wakesIn)
    const { decision, state } = later.decision
    assert.strictEqual(state, later.state)
    const [resend] = decision.instructions
    assert.strictEqual(resend?._tag === "Resend" && resend.sent, asked.state.root.current?.request)
  })

  it("a request that came due several times meanwhile is sent once", () => {
    assert.deepStrictEqual(asked.later(seconds(20)).next, ["resend the execute of payment"])
    assert.deepStrictEqual(asked.later(seconds(20)).later(1).next, [])
  })

  it("after a takeover all awaited requests are sent again", () => {
    assert.deepStrictEqual(asked.next, [])
    assert.deepStrictEqual(asked.restarted().next, ["resend the execute of payment"])
    const rollback = asked.replies("execute", "1", 500).decided()
    assert.deepStrictEqual(rollback.restarted().next, ["compensate reservationId"])
    const refunding = paid.cancels().compensates("1")
    assert.deepStrictEqual(refunding.next, [])
    assert.deepStrictEqual(refunding.restarted().next, ["resend the failure of payment"])
    const probing = asked.cancels().probes("1")
    assert.deepStrictEqual(probing.restarted().next, ["resend the probe of payment"])
  })
})

describe("rollback", () => {
  it("a rollback compensates in reverse order, and ends errored", () => {
    const failed = delivered.fails("3")
    assert.deepStrictEqual(failed.next, ["CompensationStarted delivery", "request the compensation of courier"])
    const courier = failed.compensates("2/if0/0").replies("failure", "2/if0/0", 200)
    assert.deepStrictEqual(courier.next, ["StepCompensated delivery", "request the compensation of payment"])
    const payment = courier.compensates("1").replies("failure", "1", 200)
    assert.deepStrictEqual(payment.next, ["CompensationStarted reservationId", "compensate reservationId"])
    const reservation = payment.compensated("0")
    assert.deepStrictEqual(reservation.next, ["ExecutionErrored", "TransactionSettled"])
    const over = reservation.decided()
    assert.deepStrictEqual([over.state.status, over.state.commitState], ["errored", "rejected"])
    assert.strictEqual(over.state.alreadyRollback, true)
    assert.deepStrictEqual(over.next, [])
    assert.strictEqual(over.wakesIn, Number.POSITIVE_INFINITY)
  })

  it("a compensated step gets the status back that it had before its compensation", () => {
    const failed = delivered.fails("3").decided()
    assert.strictEqual(failed.statuses.delivery, "running-on-failure")
    const sent = failed.compensates("2/if0/0")
    assert.strictEqual(sent.statuses.courier, "paused-on-failure")
    const compensated = sent.replies("failure", "2/if0/0", 200).decided()
    assert.deepInclude(compensated.statuses, {
      courier: "finished",
      delivery: "finished",
      receipt: "errored-on-execute"
    })
    assert.deepStrictEqual(
      compensated.execution.executedSteps.map(({ alreadyRollback, name }) => [name, alreadyRollback]),
      [
        ["reservationId", false],
        ["payment", false],
        ["delivery", true],
        ["receipt", false]
      ]
    )
  })

  it("a cancel probes a paused step first, and compensates it if it has an effect", () => {
    const cancelled = asked.cancels()
    assert.deepStrictEqual(cancelled.next, ["probe payment"])
    assert.strictEqual(cancelled.state.failure?._tag, "Cancelled")
    const probing = cancelled.probes("1")
    assert.deepStrictEqual(probing.next, [])
    // Both stay awaited: the first final answer counts.
    assert.deepStrictEqual(probing.awaited, ["execute payment", "probe payment"])
    for (const op of ["probe", "execute"] as const) {
      const known = probing.replies(op, "1", 200, { paymentId: "p-1" })
      assert.deepStrictEqual(known.next, ["request the compensation of payment"])
      assert.deepStrictEqual(known.awaited, [])
    }
  })

  it("C5 a cancel while onError handles a refusal has nothing to compensate for that step", () => {
    const handling = asked.replies("execute", "1", 400, { _tag: "CardDeclined", reason: "limit" })
    assert.deepStrictEqual(handling.next, ["handle the reply of payment"])
    assert.deepStrictEqual(handling.cancels().next.slice(0, 2), [
      "StepCompensated payment",
      "CompensationStarted reservationId"
    ])
  })

  it("a step whose probe is answered 400 or 404 is not compensated", () => {
    for (const status of [400, 404] as const) {
      const known = asked.cancels().probes("1").replies("probe", "1", status)
      assert.deepStrictEqual(known.next, [
        "StepCompensated payment",
        "CompensationStarted reservationId",
        "compensate reservationId"
      ])
    }
  })

  it("a probe that is answered 500 is repeated, and the step is parked when the attempts are used up", () => {
    let story = asked.cancels().probes("1")
    for (let attempt = 1; attempt <= 11; attempt++) {
      assert.strictEqual(story.statuses.payment, "paused-by-on-execute")
      assert.deepStrictEqual(story.state.parked, [])
      if (attempt > 1) assert.include(story.next, "resend the probe of payment")
      story = story.replies("probe", "1", 500)
      story = story.later(story.wakesIn)
    }
    assert.include(story.next, "StepParked payment")
    assert.deepStrictEqual(story.decided().state.parked, ["1"])
  })

  it("a cancel lets a running local step end, and then compensates it", () => {
    const cancelled = order.start().cancels()
    assert.deepStrictEqual(cancelled.next, ["execute reservationId"])
    // The effect of a running step is not known before it ends.
    assert.throws(() => cancelled.compensated("0"), "is not admitted")
    const ended = cancelled.succeeds("0", "r-1")
    assert.deepStrictEqual(ended.next, ["CompensationStarted reservationId", "compensate reservationId"])
    assert.deepStrictEqual(Object.keys(ended.execution.context as object).sort(), [
      "amount",
      "orderId",
      "quantity",
      "sku"
    ])
  })

  it("a step that onError finished is not compensated: the service has no effect", () => {
    const recovered = begin(Tour, { who: "ann" })
      .start({ autocommit: false })
      .succeeds("0", "plan")
      .requests("1")
      .replies("execute", "1", 200, "g")
      .succeeds("1", "g")
      .requests("2")
      .replies("execute", "2", 200, "m")
      .succeeds("2", "m")
      .requests("3")
      .replies("execute", "3", 400, "full")
      .recovers("3", "on foot: full")
    const rejected = recovered.took((state, moment) => SagaInput.reject(state, undefined, moment))
    assert.deepStrictEqual(rejected.next, ["StepCompensated boat", "request the compensation of museum"])
  })

  it("a local step that failed, or has no compensation, is not compensated", () => {
    const label = paid.chooses("2", 1, "else").succeeds("2/else/0", "desk").fails("2/else/1")
    assert.deepStrictEqual(label.next, [
      "StepCompensated pickup",
      "StepCompensated delivery",
      "request the compensation of payment"
    ])
  })

  it("a service that cannot be probed is compensated by `unknown` if the step has one", () => {
    const guide = begin(Tour, { who: "ann" }).start().succeeds("0", "plan").requests("1")
    const cancelled = guide.cancels()
    assert.deepStrictEqual(cancelled.next, ["request the compensation of guide"])
    const sent = cancelled.compensates("1")
    // The compensation is on its way: a late reply to the execute would only change what was said.
    assert.deepStrictEqual(sent.awaited, ["failure guide"])
    assert.strictEqual(sent.verdict("execute", "1", 200), "stale")
    assert.deepStrictEqual(sent.replies("failure", "1", 200).next, ["CompensationStarted plan", "compensate plan"])
  })

  it("a service that cannot be probed is compensated as any other once its reply is known", () => {
    const guide = begin(Tour, { who: "ann" }).start().succeeds("0", "plan").requests("1")
    const known = guide.cancels().replies("execute", "1", 200, "g-1")
    assert.deepStrictEqual(known.next, ["request the compensation of guide"])
    assert.strictEqual(known.state.root.current?.effect, "exists")
    assert.deepStrictEqual(guide.cancels().replies("execute", "1", 500).next, [
      "StepCompensated guide",
      "CompensationStarted plan",
      "compensate plan"
    ])
  })

  it("a step with an unknown effect is parked if it has neither a probe nor an `unknown`", () => {
    const asked = begin(Tour, { who: "ann" })
      .start()
      .succeeds("0", "plan")
      .requests("1")
      .replies("execute", "1", 200, "g")
      .succeeds("1", "g")
      .requests("2")
    const cancelled = asked.cancels()
    assert.deepStrictEqual(cancelled.next, ["StepParked museum", "request the compensation of guide"])
    assert.deepStrictEqual(cancelled.decided().state.parked, ["2"])
    // Its reply still counts: then there is something to compensate, or nothing.
    const known = cancelled.decided().replies("execute", "2", 200, "m")
    assert.deepStrictEqual(known.state.parked, [])
    assert.include(known.next, "request the compensation of museum")
    assert.include(cancelled.decided().replies("execute", "2", 500).next, "StepCompensated museum")
  })

  it("a local step with an unknown effect is parked if its compensation needs the result", () => {
    const half = order.start().fails("0", { effect: "unknown" })
    assert.deepStrictEqual(half.next, ["StepParked reservationId", "ExecutionErrored", "TransactionSettled"])
    assert.deepStrictEqual(half.decided().state.parked, ["0"])
  })

  it("a local compensation is tried again when it is due, and parked when the attempts are used up", () => {
    const failed = begin(Crashes).start().succeeds("0").fails("1")
    assert.deepStrictEqual(failed.next, ["CompensationStarted again", "compensate again"])
    const once = failed.dies("0", seconds(2))
    assert.strictEqual(once.statuses.again, "paused-on-failure")
    assert.deepStrictEqual([once.next, once.wakesIn], [[], seconds(2)])
    assert.deepStrictEqual(once.later(seconds(2) - 1).next, [])
    const again = once.later(seconds(2))
    assert.deepStrictEqual(again.next, ["CompensationStarted again", "compensate again"])
    const exhausted = again.dies("0")
    assert.strictEqual(exhausted.statuses.again, "errored-on-failure")
    assert.deepStrictEqual(exhausted.next, ["StepParked again", "ExecutionErrored", "TransactionSettled"])
    assert.strictEqual(exhausted.decided().state.alreadyRollback, false)
  })
})

describe("a remote compensation", () => {
  const sent = paid.cancels().compensates("1")

  it("a remote compensation is awaited, and sent again with the same id", () => {
    assert.deepStrictEqual(sent.awaited, ["failure payment"])
    const later = sent.later(sent.wakesIn)
    assert.deepStrictEqual(later.next, ["resend the failure of payment"])
    assert.strictEqual(later.state.root.current?.compensation?.sent?.message.id, `${sent.state.uuid}:1:failure`)
  })

  it("a remote compensation is tried again after a 500, as the next attempt", () => {
    const refused = sent.replies("failure", "1", 500, "busy")
    assert.strictEqual(refused.statuses.payment, "paused-on-failure")
    assert.strictEqual(refused.state.root.current?.compensation?.failedAttempts, 1)
    assert.deepStrictEqual(refused.next, [])
    assert.deepStrictEqual(refused.later(refused.wakesIn).next, ["resend the failure of payment"])
    assert.strictEqual(refused.execution.later.length, 1)
  })

  it("a repeated 500 counts as one attempt of a remote compensation", () => {
    const refused = sent.replies("failure", "1", 500, "busy")
    assert.strictEqual(refused.verdict("failure", "1", 500), "stale")
    assert.strictEqual(refused.later(seconds(2)).verdict("failure", "1", 500), "CompensationFailed")
  })

  it("a remote compensation is parked when no attempt is left, and the step before is compensated all the same", () => {
    let story = sent
    for (let attempt = 0; attempt <= 10; attempt++) {
      story = story.replies("failure", "1", 500)
      story = story.later(attempt < 10 ? story.wakesIn : 0)
    }
    assert.strictEqual(story.statuses.payment, "errored-on-failure")
    assert.deepStrictEqual(story.next, [
      "StepParked payment",
      "CompensationStarted reservationId",
      "compensate reservationId"
    ])
  })

  it("a remote compensation that the service has no record for is parked with that as the reason", () => {
    const reasonAfter = (content: string): string | undefined => {
      let story = sent
      for (let attempt = 0; attempt <= 10; attempt++) {
        story = story.replies("failure", "1", 500, content)
        story = story.later(attempt < 10 ? story.wakesIn : 0)
      }
      const { state } = story.decided()
      return stepAt(state.root, "1")?.step.parked?.reason
    }
    assert.strictEqual(
      reasonAfter("Unrecorded"),
      "the service has no record of what it has done: do all its instances keep the same records?"
    )
    assert.strictEqual(reasonAfter("busy"), "its compensation failed")
  })

  it("I12 a copy of the answer to the request leaves a parked compensation parked", () => {
    let story = sent
    for (let attempt = 0; attempt <= 10; attempt++) {
      story = story.replies("failure", "1", 500)
      story = story.later(attempt < 10 ? story.wakesIn : 0)
    }
    const { state } = story.decided()
    assert.deepStrictEqual(state.parked, ["1"])
    const answer = { _tag: "ReplyReceived", path: "1", status: 200, relatedServices: [], at: story.now } as const
    assert.strictEqual(evolve(state, answer), state)
  })

  it("a remote compensation without an answer is parked after its last attempt", () => {
    let story = sent
    const resends: Array<number> = []
    while (!story.next.includes("StepParked payment")) {
      story = story.later(story.wakesIn)
      if (story.next.includes("resend the failure of payment")) resends.push((story.now - sent.now) / 1_000)
    }
    assert.strictEqual(resends.length, 10)
    assert.strictEqual(story.decided().statuses.payment, "errored-on-failure")
  })
})

describe("a parked step", () => {
  const parked = paid.cancels().compensates("1").later(minutes(60)).decided().compensated("0").decided()
  const unanswered = asked.cancels().probes("1").later(minutes(60)).decided().compensated("0").decided()

  it("a parked step leaves the execution errored, and not rolled back", () => {
    for (const { state } of [parked, unanswered]) {
      assert.deepStrictEqual([state.status, state.commitState], ["errored", "rejected"])
      assert.deepStrictEqual([state.parked, state.alreadyRollback], [["1"], false])
    }
    assert.deepStrictEqual(parked.next, [])
    assert.deepStrictEqual(parked.awaited, ["failure payment"])
    assert.deepStrictEqual(unanswered.awaited, ["execute payment", "probe payment"])
  })

  it("a parked step is resolved by a late 200 to its compensation, once", () => {
    const late = parked.replies("failure", "1", 200)
    assert.deepStrictEqual([late.state.parked, late.state.alreadyRollback], [[], true])
    assert.deepStrictEqual(late.next, [])
    assert.strictEqual(late.verdict("failure", "1", 200), "stale")
    assert.strictEqual(late.statuses.payment, "finished")
  })

  it("a parked step is not changed by a late 500", () => {
    assert.strictEqual(parked.verdict("failure", "1", 500), "stale")
  })

  it("a parked step is resolved by a late probe answer 400 or 404", () => {
    for (const status of [400, 404] as const) {
      const late = unanswered.replies("probe", "1", status)
      assert.strictEqual(late.state.alreadyRollback, false)
      assert.deepStrictEqual(late.next, ["StepCompensated payment"])
      const over = late.decided()
      assert.deepStrictEqual([over.state.parked, over.state.reopened], [[], []])
      assert.strictEqual(over.state.alreadyRollback, true)
    }
  })

  it("a parked step is compensated after a late probe answer 200, and rolled back only then", () => {
    const late = unanswered.replies("probe", "1", 200, { paymentId: "p-1" })
    assert.deepStrictEqual(late.next, ["request the compensation of payment"])
    const sent = late.compensates("1")
    assert.deepStrictEqual([sent.state.parked, sent.state.alreadyRollback], [[], false])
    assert.deepStrictEqual(sent.awaited, ["failure payment"])
    const over = sent.replies("failure", "1", 200)
    assert.strictEqual(over.state.alreadyRollback, true)
    assert.deepStrictEqual(over.next, [])
  })

  it("a parked step is compensated after a late probe answer that names no services", () => {
    const late = unanswered.facts({ _tag: "ProbeAnswered", path: "1", status: 200, at: unanswered.now })
    assert.deepStrictEqual(late.next, ["request the compensation of payment"])
  })

  it("C8 a parked step that a person retries is asked again at least once, also where nothing is tried again", () => {
    const once = { ...schedule, retryCompensate: { ...schedule.retryCompensate, times: 0 } }
    const first = paid.under({ schedule: once }).cancels().compensates("1")
    assert.strictEqual(first.later(first.wakesIn).next[0], "StepParked payment")
    const retried = first.later(first.wakesIn).decided().compensated("0").decided().later(minutes(60)).retries("1")
    const again = retried.later(retried.wakesIn)
    assert.deepStrictEqual(again.next, ["resend the failure of payment"])
    assert.deepStrictEqual(again.later(again.wakesIn).next, ["StepParked payment"])
    const answered = again.replies("failure", "1", 500, "Unrecorded")
    assert.deepStrictEqual(answered.next, ["StepParked payment"])
  })

  it("a parked step may be parked again after a late probe answer 200", () => {
    const sent = unanswered.replies("probe", "1", 200, { paymentId: "p-1" }).compensates("1")
    const again = sent.later(minutes(60))
    assert.deepStrictEqual(again.next, ["StepParked payment"])
    assert.deepStrictEqual(again.decided().state.parked, ["1"])
  })

  it("a parked step is tried again, with the same message, when an operator says so", () => {
    const retried = parked.retries("1")
    assert.deepStrictEqual([retried.state.parked, retried.state.alreadyRollback], [[], false])
    assert.deepStrictEqual(retried.awaited, ["failure payment"])
    const due = retried.later(retried.wakesIn)
    assert.deepStrictEqual(due.next, ["resend the failure of payment"])
    assert.strictEqual(due.replies("failure", "1", 200).state.alreadyRollback, true)
    assert.deepStrictEqual(retried.later(minutes(60)).next, ["StepParked payment"])
  })

  it("a parked step has all its attempts again when an operator has it tried again", () => {
    let refused = paid.cancels().compensates("1")
    for (let attempt = 0; attempt <= 10; attempt++) {
      refused = refused.replies("failure", "1", 500)
      if (attempt < 10) refused = refused.later(refused.wakesIn)
    }
    const retried = refused.decided().retries("1")
    assert.deepStrictEqual(retried.state.parked, [])
    const once = retried.later(retried.wakesIn).replies("failure", "1", 500)
    assert.notInclude(once.next, "StepParked payment")
    assert.strictEqual(once.statuses.payment, "paused-on-failure")
  })

  it("a parked step is over when an operator has resolved it", () => {
    const resolved = parked.resolves("1")
    assert.deepStrictEqual([resolved.state.parked, resolved.state.alreadyRollback], [[], true])
    assert.deepStrictEqual([resolved.next, resolved.awaited], [[], []])
    assert.strictEqual(resolved.verdict("failure", "1", 200), "stale")
  })

  it("a parked step that is reopened before the others are compensated keeps the execution from being rolled back", () => {
    const early = paid.cancels().compensates("1").later(minutes(60)).decided().retries("1")
    const errored = early.compensated("0").decided()
    assert.strictEqual(errored.state.status, "errored")
    assert.deepStrictEqual([errored.state.reopened, errored.state.alreadyRollback], [["1"], false])
    assert.strictEqual(errored.replies("failure", "1", 200).state.alreadyRollback, true)
  })
})

describe("the end", () => {
  it("an execution without participants is finished and committed in one write", () => {
    const done = complete(order.start())
    assert.deepStrictEqual(done.next, ["ExecutionFinished", "TransactionSettled"])
    const { commitState, decision, status } = done.decided().state
    assert.deepStrictEqual([status, decision, commitState], ["finished", "commit", "committed"])
  })

  it("an execution with participants asks them to reserve, and finishes when all vote yes", () => {
    const done = complete(order.start({ transactional: true }))
    assert.deepStrictEqual(done.next, ["ReservationStarted", "reserve payments"])
    assert.deepStrictEqual([done.decided().state.status, done.decided().state.commitState], ["running", "reserving"])
    // While the participants are asked no step begins, and none can fail.
    assert.throws(() => done.facts({ _tag: "StepStarted", path: "4", name: "more", at: done.now }), "is not admitted")
    assert.throws(
      () => done.facts({ ...failureAt("4"), name: "more", kind: "local", at: done.now }),
      "StepFailed is not admitted"
    )
    assert.throws(() => done.decided().facts({ _tag: "CommitDecided", at: done.now }), "is not admitted")
    const decided = done.decided().facts({ _tag: "VoteReceived", service: "payments", at: done.now })
    assert.deepStrictEqual(decided.next, ["CommitDecided", "ExecutionFinished", "commit payments"])
    const over = decided.decided().facts({ _tag: "DecisionAcknowledged", service: "payments", at: done.now })
    assert.deepStrictEqual(over.next, ["TransactionSettled"])
    assert.strictEqual(over.decided().state.commitState, "committed")
  })

  it("an execution rolls back when a participant votes no: the rejects do not wait for the compensations", () => {
    const refused = complete(order.start({ transactional: true })).facts({
      _tag: "RollbackStarted",
      failure: { _tag: "CommitFailed", reason: "a vote of no" },
      at: order.now
    })
    assert.deepStrictEqual(refused.next, [
      // Neither has a compensation, nor anything inside.
      "StepCompensated receipt",
      "StepCompensated delivery",
      "reject payments",
      "request the compensation of payment"
    ])
    const told = refused.facts(
      { _tag: "DecisionAcknowledged", service: "payments", at: order.now },
      { _tag: "TransactionSettled", state: "rejected", at: order.now }
    )
    assert.deepStrictEqual([told.state.status, told.state.commitState], ["running", "rejected"])
    assert.deepStrictEqual(told.next, ["request the compensation of payment"])
  })

  it("without autocommit an execution waits for a commit", () => {
    const done = complete(order.start({ autocommit: false, transactional: true }))
    assert.deepStrictEqual(done.next, ["ExecutionFinished"])
    const finished = done.decided()
    assert.deepStrictEqual([finished.state.status, finished.state.commitState], ["finished", "none"])
    assert.deepStrictEqual(finished.next, [])
    const committing = finished.took((state, moment) => SagaInput.commit(state, moment))
    assert.deepStrictEqual(committing.next, ["reserve payments"])
    const voted = committing.facts({ _tag: "VoteReceived", service: "payments", at: done.now })
    assert.deepStrictEqual(voted.next, ["CommitDecided", "commit payments"])
  })

  it("a commit by hand is done at once where nobody is enrolled", () => {
    const committing = complete(order.start({ autocommit: false })).took((state, moment) =>
      SagaInput.commit(state, moment)
    )
    assert.deepStrictEqual(committing.next, ["CommitDecided", "TransactionSettled"])
    assert.strictEqual(committing.decided().state.commitState, "committed")
  })

  it("without autocommit an execution waits for a reject", () => {
    const finished = complete(order.start({ autocommit: false, transactional: true }))
    const rejected = finished.took((state, moment) => SagaInput.reject(state, undefined, moment))
    assert.deepStrictEqual([rejected.state.status, rejected.state.direction], ["running", "backward"])
    assert.include(rejected.next, "reject payments")
    assert.include(rejected.next, "request the compensation of payment")
  })

  it("without autocommit no participant is told of a failure until a reject", () => {
    const failed = order
      .start({ autocommit: false, transactional: true })
      .succeeds("0", "r-1")
      .requests("1")
      .replies("execute", "1", 500)
      .compensated("0")
      .decided()
    assert.deepStrictEqual([failed.state.status, failed.state.commitState], ["errored", "none"])
    assert.deepStrictEqual(failed.next, [])
    assert.deepStrictEqual(failed.took((state, moment) => SagaInput.reject(state, undefined, moment)).next, [
      "reject payments"
    ])
  })
})

describe("the way of ending", () => {
  const changed = (story: Story, autocommit: boolean) =>
    story.facts({ _tag: "AutocommitChanged", autocommit, at: story.now }).state.autocommit

  it("is changed by a resume as long as nothing is asked of the participants", () => {
    assert.isFalse(changed(asked, false))
    assert.isTrue(changed(order.start({ autocommit: false }), true))
  })

  it("stays as it is where a resume asks for the same, or comes too late", () => {
    const reserving = complete(order.start({ transactional: true })).decided()
    assert.strictEqual(reserving.state.commitState, "reserving")
    for (const [story, autocommit] of [
      [order, false],
      [asked, true],
      [reserving, false]
    ] as const)
      assert.throws(() => changed(story, autocommit), "is not admitted")
  })
})

describe("the outcome of an input", () => {
  it("stands in the history, and changes nothing else (C16)", () => {
    for (const fact of [
      { _tag: "ActionApplied", id: "an-input", at: asked.now },
      { _tag: "ActionRefused", id: "another", why: "stale", at: asked.now }
    ] as const) {
      const after = asked.facts(fact)
      assert.deepStrictEqual(after.state.history?.head, fact)
      assert.deepStrictEqual(
        { ...after.state, history: undefined, unstored: 0, updatedAt: 0 },
        { ...asked.state, history: undefined, unstored: 0, updatedAt: 0 }
      )
      assert.deepStrictEqual(after.next, asked.next)
    }
  })
})

describe("the own service", () => {
  it("takes part with its first local step where it has hooks", () => {
    assert.deepStrictEqual(order.start({ transactional: true }).decided().state.enrolled, [])
    const started = order.start({ transactional: true, takesPart: true })
    assert.deepStrictEqual(started.state.enrolled, [])
    assert.deepStrictEqual(started.decided().state.enrolled, ["orders"])
  })
})

describe("a service that a local step names", () => {
  const named = (story: Story) =>
    story.facts({ _tag: "StepSucceeded", path: "0", result: "r-1", relatedServices: ["ledger"], at: story.now })

  it("takes part from then on", () => {
    const story = named(order.start({ transactional: true }))
    assert.deepStrictEqual(story.state.enrolled, ["ledger"])
    assert.deepStrictEqual(story.execution.relatedServices, ["ledger", "orders"])
  })

  it("is told of the rejection although nobody took part when the rollback began", () => {
    const cancelled = order.start({ transactional: true }).decided().cancels()
    assert.isUndefined(cancelled.state.phase)
    assert.include(named(cancelled).next, "reject ledger")
  })

  it("changes nothing by its answer before it takes part", () => {
    const cancelled = order.start({ transactional: true }).decided().cancels().state
    assert.deepStrictEqual([cancelled.commitState, cancelled.phase], ["rejecting", undefined])
    assert.strictEqual(evolve(cancelled, { _tag: "DecisionAcknowledged", service: "ledger", at: order.now }), cancelled)
  })
})

describe("a service that does not answer the commit", () => {
  const committing = complete(order.start({ transactional: true }))
    .decided()
    .facts({ _tag: "VoteReceived", service: "payments", at: order.now })
    .decided()
  const stalled = committing.later(minutes(24 * 60)).decided()

  it("is stalled after ten messages, and needs a person", () => {
    assert.deepStrictEqual(committing.execution.parked, [])
    assert.deepStrictEqual(stalled.execution.parked, ["payments:commit"])
    assert.strictEqual(stalled.state.commitState, "committing")
  })

  it("is asked as if it were the first time when a person says so", () => {
    const again = stalled.retries("payments:commit")
    assert.deepStrictEqual(again.execution.parked, [])
    assert.deepStrictEqual(again.next, ["commit payments"])
  })

  it("C14 is not listed any more when a person resolves it, and is asked until it answers itself", () => {
    const resolved = stalled.resolves("payments:commit")
    assert.deepStrictEqual(resolved.execution.parked, [])
    assert.deepStrictEqual([resolved.next, resolved.state.commitState], [["commit payments"], "committing"])
    const answered = resolved.facts({ _tag: "DecisionAcknowledged", service: "payments", at: resolved.now })
    assert.deepStrictEqual(answered.next, ["TransactionSettled"])
  })

  it("C14 counts as having answered a reject when a person resolves it", () => {
    const silent = complete(order.start({ transactional: true }))
      .cancels()
      .decided()
      .later(minutes(24 * 60))
      .decided()
    assert.deepStrictEqual(silent.state.commitState, "rejecting")
    assert.include(silent.execution.parked, "payments:reject")
    const resolved = silent.resolves("payments:reject")
    assert.notInclude(resolved.execution.parked, "payments:reject")
    assert.deepStrictEqual(TwoPhaseCommit.pending(resolved.state.phase), [])
  })
})

describe("an execution that is set aside as a whole (F13)", () => {
  const refusal = (verdict: SagaInput.Verdict<SagaInput.SagaStepNotParked | SagaInput.SagaResolutionRefused>) =>
    Result.isFailure(verdict) ? verdict.failure._tag : "taken"
  const put = (story: Story) =>
    story.facts({ _tag: "StepParked", path: "execution", reason: "Error: a bug", at: story.now })

  it("decides nothing, whatever its state, and treats no step as half done", () => {
    for (const story of [order, order.start(), reserved, asked, paid, asked.cancels(), order.start().decided()]) {
      const aside = put(story)
      assert.deepStrictEqual([aside.next, aside.execution.parked.at(0)], [[], "execution"])
      assert.deepStrictEqual(interrupted(aside.state, aside.moment), [])
      const { execution } = aside
      assert.strictEqual(Execution.evolve(execution, execution.events.at(-1)!), execution)
    }
  })

  it("still takes replies, and goes on with them when a person retries it, after the write that says so", () => {
    const replied = put(asked).replies("execute", "1", 200, { paymentId: "p-1" })
    assert.deepStrictEqual([replied.next, replied.statuses.payment], [[], "running-on-success"])
    const retried = replied.retries("execution")
    assert.deepStrictEqual([retried.next, retried.execution.parked, retried.wakesIn], [[], [], 0])
    const stored = Execution.stored(retried.execution).state
    const { decision } = Decision.advance(stored, retried.moment)
    assert.deepStrictEqual(
      decision.instructions.map(({ _tag, path }) => [_tag, path]),
      [["HandleReply", "1"]]
    )
  })

  it("is not resolved by hand, and one that is settled is not set aside", () => {
    const aside = put(asked)
    const who = { actor: "ann", reason: "done by hand" }
    assert.strictEqual(
      refusal(ParkedInput.resolve(aside.state, { path: "execution", ...who }, aside.moment)),
      "SagaStepNotParked"
    )
    assert.strictEqual(
      refusal(ParkedInput.retry(asked.state, { path: "execution", ...who }, asked.moment)),
      "SagaStepNotParked"
    )
    // A second retry finds nothing that is parked.
    const again = { _tag: "StepUnparked", path: "execution", at: asked.now, ...who } as const
    assert.throws(() => asked.facts(again), "is not admitted")
  })
})

describe("a conditional step", () => {
  it("a conditional step runs the chosen alternative, and evaluates no condition twice", () => {
    const chosen = paid.chooses("2", 1, "else")
    assert.deepStrictEqual(chosen.next, ["StepStarted pickup", "execute pickup"])
    const label = chosen.succeeds("2/else/0", "desk").succeeds("2/else/1", "DESK")
    assert.deepStrictEqual(label.next, ["StepSucceeded delivery", "StepStarted receipt", "execute receipt"])
    const context = label.decided().execution.context as Record<string, unknown>
    assert.deepInclude(context, { delivery: 1, pickup: "desk", label: "DESK" })
  })

  it("a conditional step is over at once where no alternative was chosen", () => {
    const passed = paid.chooses("2", null)
    assert.deepStrictEqual(passed.next, ["StepSucceeded delivery", "StepStarted receipt", "execute receipt"])
    assert.propertyVal(passed.decided().execution.context as object, "delivery", null)
  })

  it("a conditional step is paused with its branch", () => {
    const inside = paid.chooses("2", 0, "if0").requests("2/if0/0")
    assert.strictEqual(inside.state.status, "paused")
    assert.deepInclude(inside.statuses, { delivery: "paused-by-on-execute", courier: "paused-by-on-execute" })
    assert.strictEqual(inside.execution.pausedStep?.name, "delivery")
    assert.deepStrictEqual(inside.awaited, ["execute courier"])
  })

  it("a conditional step fails with its branch, which is compensated before the earlier steps", () => {
    const failed = paid.chooses("2", 0, "if0").requests("2/if0/0").replies("execute", "2/if0/0", 500).decided()
    assert.deepInclude(failed.statuses, { delivery: "errored-by-on-execute", courier: "errored-by-on-execute" })
    assert.deepStrictEqual(failed.next, ["request the compensation of payment"])
  })

  it("a conditional step fails when a condition throws", () => {
    const failed = paid.cannotBegin("2", "conditional")
    assert.strictEqual(failed.statuses.delivery, "errored-on-execute")
    assert.deepStrictEqual(failed.next, ["request the compensation of payment"])
  })

  it("a conditional step keeps its status when it is compensated while its branch is paused", () => {
    const cancelled = paid.chooses("2", 0, "if0").requests("2/if0/0").cancels().probes("2/if0/0")
    assert.strictEqual(cancelled.statuses.delivery, "paused-by-on-execute")
    const compensated = cancelled
      .replies("probe", "2/if0/0", 200, { courierId: "c-1" })
      .compensates("2/if0/0")
      .replies("failure", "2/if0/0", 200)
      .decided()
    assert.deepInclude(compensated.statuses, { delivery: "paused-by-on-execute", courier: "paused-by-on-execute" })
  })
})

describe("a nested saga", () => {
  const weekend = begin(Weekend, { who: "ann" }).start().succeeds("0", "plan")
  const inside = weekend.enters("1", { guest: "ann" })

  it("a nested saga runs with a context of its own, and its final context is the result of the step", () => {
    assert.deepStrictEqual(weekend.next, ["enter stay"])
    assert.deepStrictEqual(inside.next, ["request key"])
    const key = inside.requests("1/n/0").replies("execute", "1/n/0", 200, "k-7").succeeds("1/n/0", "k-7")
    assert.deepStrictEqual(key.next, ["StepStarted breakfast", "execute breakfast"])
    const breakfast = key.succeeds("1/n/1", "eggs")
    assert.deepStrictEqual(breakfast.next, ["StepSucceeded stay", "StepStarted postcard", "execute postcard"])
    assert.deepStrictEqual(JSON.parse(JSON.stringify(breakfast.decided().execution.context)), {
      who: "ann",
      plan: "plan",
      stay: { guest: "ann", key: "k-7", breakfast: "eggs" }
    })
  })

  it("a nested saga is compensated in reverse, then the steps before it", () => {
    const failed = inside
      .requests("1/n/0")
      .replies("execute", "1/n/0", 200, "k-7")
      .succeeds("1/n/0", "k-7")
      .succeeds("1/n/1", "eggs")
      .fails("2")
    assert.deepStrictEqual(failed.next, [
      "CompensationStarted stay",
      "CompensationStarted breakfast",
      "compensate breakfast"
    ])
    const breakfast = failed.compensated("1/n/1")
    assert.deepStrictEqual(breakfast.next, ["request the compensation of key"])
    const key = breakfast.compensates("1/n/0").replies("failure", "1/n/0", 200)
    assert.deepStrictEqual(key.next, ["StepCompensated stay", "CompensationStarted plan", "compensate plan"])
  })

  it("a nested saga fails where its initial context cannot be made", () => {
    const failed = weekend.cannotBegin("1", "nested")
    assert.deepStrictEqual(failed.next, ["CompensationStarted plan", "compensate plan"])
    assert.strictEqual(failed.statuses.stay, "errored-on-execute")
  })
})

describe("parallel branches", () => {
  const journey = begin(Journey, { who: "ann" }).start().succeeds("0", "plan")

  it("parallel branches begin together", () => {
    assert.deepStrictEqual(journey.next, [
      "ParallelStarted bookings",
      "StepStarted room",
      "request flight",
      "execute room"
    ])
  })

  it("parallel branches are paused only when no local step runs and something is awaited", () => {
    const flight = journey.requests("1/b0/0")
    // The room is still being booked.
    assert.deepStrictEqual([flight.state.status, flight.statuses.bookings], ["running", "running-on-execute"])
    const both = flight.succeeds("1/b1/0", "12").requests("1/b1/1")
    assert.deepStrictEqual([both.state.status, both.statuses.bookings], ["paused", "paused-by-on-execute"])
    assert.strictEqual(both.execution.pausedStep?.name, "bookings")
    assert.deepStrictEqual(both.awaited, ["execute flight", "execute breakfast"])
    assert.deepStrictEqual(both.next, [])
    const seat = both.replies("execute", "1/b0/0", 200, "f").succeeds("1/b0/0", "f").decided()
    assert.strictEqual(seat.state.status, "running")
    // One branch is over, the other one is awaited.
    const waiting = seat.succeeds("1/b0/1", "14A")
    assert.strictEqual(waiting.state.status, "paused")
  })

  it("parallel branches are over when all of them are, and their results are in the context", () => {
    const done = journey
      .succeeds("1/b1/0", "12")
      .requests("1/b0/0")
      .requests("1/b1/1")
      .replies("execute", "1/b1/1", 200, "eggs")
      .succeeds("1/b1/1", "eggs")
      .replies("execute", "1/b0/0", 200, "f")
      .succeeds("1/b0/0", "f")
      .succeeds("1/b0/1", "14A")
    assert.deepStrictEqual(done.next, ["StepSucceeded bookings", "StepStarted itinerary", "execute itinerary"])
    assert.deepStrictEqual(Object.entries(done.decided().execution.context as object).sort(), [
      ["breakfast", "eggs"],
      ["flight", "f"],
      ["plan", "plan"],
      ["room", "12"],
      ["seat", "14A"],
      ["who", "ann"]
    ])
  })

  it("parallel branches roll back with the first failure: a running step ends and is compensated, an awaited one is probed", () => {
    const flight = journey.requests("1/b0/0").replies("execute", "1/b0/0", 200, "f").succeeds("1/b0/0", "f")
    const failed = flight.fails("1/b0/1")
    assert.deepStrictEqual([failed.state.direction, failed.statuses.bookings], ["backward", "errored-by-on-execute"])
    assert.deepStrictEqual(failed.next, ["request the compensation of flight", "execute room"])
    const room = failed.succeeds("1/b1/0", "12")
    assert.strictEqual(room.statuses.room, "finished")
    assert.include(room.next, "compensate room")
    const compensated = room.compensated("1/b1/0").compensates("1/b0/0").replies("failure", "1/b0/0", 200)
    assert.deepStrictEqual(compensated.next, [
      "StepCompensated bookings",
      "CompensationStarted plan",
      "compensate plan"
    ])

    const awaited = journey.succeeds("1/b1/0", "12").requests("1/b0/0").requests("1/b1/1")
    const refused = awaited.replies("execute", "1/b1/1", 500)
    assert.deepStrictEqual(refused.next, [
      "StepFailed breakfast",
      "CompensationStarted room",
      "probe flight",
      "compensate room"
    ])
    assert.deepStrictEqual(refused.probes("1/b0/0").awaited, ["execute flight", "probe flight"])
  })

  it("parallel branches begin no step after the first failure, not even in the same moment", () => {
    const waiting = journey.succeeds("1/b1/0", "12").requests("1/b1/1").requests("1/b0/0")
    // The breakfast is refused by its deadline while the seat could be begun.
    const late = waiting.later(minutes(5) - 1).replies("execute", "1/b0/0", 200, "f")
    const flight = late.facts({ _tag: "StepSucceeded", path: "1/b0/0", result: "f", at: late.now })
    const both = flight.later(1)
    assert.include(both.next, "StepFailed breakfast")
    assert.notInclude(both.next, "StepStarted seat")
  })

  it("parallel branches drop a running onSuccess after a failure, and compensate its step by the reply", () => {
    const both = journey.succeeds("1/b1/0", "12").requests("1/b0/0").requests("1/b1/1")
    const handling = both.replies("execute", "1/b0/0", 200, "f")
    const failed = handling.replies("execute", "1/b1/1", 500)
    assert.include(failed.next, "request the compensation of flight")
    assert.notInclude(failed.next, "handle the reply of flight")
  })

  it("parallel branches keep the first failure as the cause, and the later ones beside it", () => {
    const first = journey.requests("1/b0/0").replies("execute", "1/b0/0", 500, "down").decided()
    const second = first.fails("1/b1/0", { failure: { ...journey.error("1/b1/0", "no room") } })
    for (const { state } of [first, second])
      assert.deepInclude(state.failure, { _tag: "StepRefused", path: "1/b0/0", content: "down" })
    assert.deepStrictEqual([first.execution.later.length, second.execution.later.length], [0, 1])
  })
})

describe("after a crash", () => {
  const at = (path: string) => {
    let story = begin(Crashes).start()
    for (const before of ["0", "1", "2", "3", "4"].slice(0, Number(path))) story = story.succeeds(before)
    return story.decided()
  }
  const found = (story: Story) => interrupted(story.state, story.moment)

  it("after a crash a half-done local step with onCrash retry runs again under the same key", () => {
    assert.deepStrictEqual(found(at("0")), [])
    assert.deepStrictEqual(at("0").restarted().next, ["execute again"])
  })

  it("after a crash a half-done step with onCrash compensate is compensated without its result", () => {
    const crashed = at("1")
    const story = crashed.facts(...found(crashed))
    assert.strictEqual(story.state.failure?._tag, "StepInterrupted")
    assert.deepStrictEqual(story.next, ["CompensationStarted compensated", "compensate compensated"])
    assert.strictEqual(story.decided().state.root.current?.effect, "unknown")
  })

  it("after a crash a half-done step with onCrash park is parked", () => {
    const crashed = at("2")
    const story = crashed.facts(...found(crashed))
    assert.deepStrictEqual(story.state.parked, ["2"])
    assert.deepStrictEqual(story.next, ["CompensationStarted compensated", "compensate compensated"])
  })

  it("after a crash a half-done transactional step runs again: it left no effect", () => {
    assert.deepStrictEqual(found(at("4")), [])
    assert.deepStrictEqual(at("4").restarted().next, ["execute stored"])
  })

  it("after a crash the half-done steps of every branch are found", () => {
    const journey = begin(Journey, { who: "ann" }).start().succeeds("0", "plan").requests("1/b0/0").decided()
    assert.deepStrictEqual(journey.statuses.room, "running-on-execute")
    assert.deepStrictEqual(found(journey), [])
    assert.deepStrictEqual(journey.restarted().next, ["resend the execute of flight", "execute room"])
  })

  it("after a crash a step past its deadline is compensated without its result", () => {
    const story = at("3").fails("3", { effect: "unknown" })
    assert.deepStrictEqual(story.next, ["CompensationStarted timed", "compensate timed"])
  })
})

describe("intent of an instruction", () => {
  it("local steps and messages need their intent stored first; other instructions may be repeated", () => {
    const needs = (story: Story) => story.decision.decision.instructions.map(needsIntent)
    assert.deepStrictEqual(needs(order.start()), [true])
    assert.deepStrictEqual(needs(asked.restarted()), [true])
    assert.deepStrictEqual(needs(reserved), [false])
    assert.deepStrictEqual(needs(paid), [false])
    assert.deepStrictEqual(needs(asked.cancels()), [false])
    assert.deepStrictEqual(needs(reserved.cancels()), [true])
    for (const _tag of ["Reserve", "Commit", "Reject"] as const)
      assert.isTrue(needsIntent({ _tag, path: "payments", services: ["payments"] }), _tag)
  })
})

it("attributes that follow a step are added to those that the execution has (OPERATIONS 1)", () => {
  const labelled = order
    .start()
    .succeeds("0", "r-1")
    .facts({ _tag: "AttributesChanged", path: "0", attributes: { shelf: "a" }, at: order.now })
    .facts({ _tag: "AttributesChanged", path: "0", attributes: { room: 4 }, at: order.now })
  assert.deepStrictEqual(labelled.state.attributes, { ...order.state.attributes, shelf: "a", room: 4 })
})
