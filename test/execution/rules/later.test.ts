/** C19: the word that a service has begun, and the time that its answer has. */
import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as Participant from "../../../src/definition/ParticipantContract.ts"
import * as Saga from "../../../src/definition/Saga.ts"
import * as SagaInput from "../../../src/execution/rules/SagaInput.ts"
import { messageId, type Op } from "../../../src/wire/Envelope.ts"
import { begin, type Story } from "./story.ts"

const Lab = Participant.make("lab", {
  Examine: { payload: {}, success: Schema.String, answer: "later" },
  Print: { payload: {}, success: Schema.String },
  Forget: { payload: {} }
})
const hour = 3_600_000
const start = Saga.make("Visit", { context: {} })
const request = (command: (typeof Lab.commands)["Examine" | "Print"]) => ({ execute: { command, payload: () => ({}) } })
const compensate = { command: Lab.commands.Forget, payload: () => ({}) }

const Timed = start.pipe(
  Saga.remote("result", { ...request(Lab.commands.Examine), compensate, timeout: "6 hours" }),
  Saga.remote("paper", request(Lab.commands.Print)),
  Saga.commit
)
const Untimed = Saga.make("Visit", { context: {}, deadline: "4 hours" }).pipe(
  Saga.remote("result", request(Lab.commands.Examine)),
  Saga.commit
)
const Sure = start.pipe(
  Saga.pivot,
  Saga.remote("result", { ...request(Lab.commands.Examine), timeout: "1 hour" }),
  Saga.commit
)

const word = ({ moment, state }: Story, path: string, op: Op = "execute", attempt = 1) =>
  SagaInput.reply(
    state,
    { inReplyTo: messageId(state.uuid, path, op, attempt), sender: "lab", status: 202, relatedServices: [] },
    moment
  )
const accepted = (story: Story, path: string, attempt?: number) => {
  const verdict = word(story, path, "execute", attempt)
  return Result.isSuccess(verdict) ? story.facts(...verdict.success) : assert.fail(verdict.failure)
}

describe("the word that a service has begun", () => {
  it("replaces the time for a reply by the time of the step, and counts once", () => {
    const asked = begin(Timed).start().requests("0")
    const begun = accepted(asked.later(20), "0")
    assert.strictEqual(begun.state.root.current?.deadline, asked.now + 6 * hour)
    assert.strictEqual(begun.state.root.current?.request?.accepted, asked.now + 20)
    assert.deepStrictEqual(word(begun, "0"), Result.fail("stale"))
    assert.deepStrictEqual(begun.later(hour).statuses, { result: "paused-by-on-execute" })
  })

  it("a step without a time waits until the deadline of its saga", () => {
    const begun = accepted(begin(Untimed).start().requests("0"), "0")
    assert.strictEqual(begun.state.root.current?.deadline, undefined)
    assert.notInclude(begun.later(3 * hour).next.join(), "failed")
  })

  it("to a command that answers at once, and to a question what became of it, it says nothing", () => {
    const paper = begin(Timed)
      .start()
      .requests("0")
      .replies("execute", "0", 200, "well")
      .succeeds("0", "well")
      .requests("1")
    assert.deepStrictEqual(word(paper, "1"), Result.fail("stale"))
    const asked = begin(Timed).start().requests("0").cancels().probes("0")
    assert.include(asked.awaited, "probe result")
    assert.deepStrictEqual(word(asked, "0", "probe"), Result.fail("stale"))
  })

  it("after the rollback has begun it changes nothing", () => {
    const asked = begin(Timed).start().requests("0")
    const fact = { _tag: "RequestAccepted", path: "0", at: asked.now } as const
    assert.throws(() => asked.cancels().facts(fact), "not admitted")
  })
})

describe("behind the pivot", () => {
  it("each try has a word of its own", () => {
    const first = accepted(begin(Sure).start().requests("1"), "1")
    assert.notProperty(first.execution.events.at(-1), "attempt")
    const again = first.replies("execute", "1", 500).decided().later(hour).requests("1", 2)
    assert.deepStrictEqual(word(again, "1"), Result.fail("stale"))
    assert.propertyVal(accepted(again, "1", 2).execution.events.at(-1), "attempt", 2)
  })
})
