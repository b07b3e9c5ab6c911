/** The error that a stored failure becomes for a caller: the declared error itself, or a system error with its cause. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Exit, Schema } from "effect"
import { SagaResponseError } from "../../../src/definition/SagaMessage.ts"
import { isDeclared, SagaFailure } from "../../../src/execution/rules/SagaFailure.ts"
import * as Failure from "../../../src/execution/view/ExecutionErrors.ts"
import { CardDeclined, OutOfStock, PlaceOrder } from "../../definition/order.ts"

const place = { path: "0", step: "reservationId" }
const toError = (self: SagaFailure): any => Failure.toError(self, "PlaceOrder", PlaceOrder)
const throughJson = <A>(value: A): A => JSON.parse(JSON.stringify(value))

describe("a declared error", () => {
  const failure: SagaFailure = { _tag: "StepError", ...place, error: { _tag: "OutOfStock", sku: "book" } }

  it("a declared error is the error itself, read back by the schema of its step", () => {
    const error = toError(failure)
    assert.instanceOf(error, OutOfStock)
    assert.strictEqual(error.sku, "book")
    const declined = toError({
      _tag: "StepError",
      path: "1",
      step: "payment",
      error: { _tag: "CardDeclined", reason: "x" }
    })
    assert.instanceOf(declined, CardDeclined)
  })

  it("a declared error is the same object as long as this process has it", () => {
    const original = new OutOfStock({ sku: "book" })
    const same = { ...failure }
    Failure.remember(same, original)
    assert.strictEqual(toError(same), original)
    assert.notStrictEqual(toError(throughJson(same)), original)
  })

  it("a declared error is given in its stored form where the step is not known", () => {
    assert.deepStrictEqual(Failure.toError(failure, "PlaceOrder", undefined), { _tag: "OutOfStock", sku: "book" })
    assert.deepStrictEqual(toError({ ...failure, path: "9" }), { _tag: "OutOfStock", sku: "book" })
  })

  it("a declared error that cannot be decoded any more is a failed step that says so, without the value", () => {
    const error = toError({ ...failure, error: { _tag: "OutOfStock", sku: 4111 } })
    assert.deepInclude({ ...error }, { _tag: "SagaFailedExecutionStep", path: "0", step: "reservationId" })
    assert.strictEqual(error.cause._tag, "SagaContextDecodeError")
    assert.notMatch(error.message, /4111/)
  })

  it("a refusal of a service without a contract is a SagaResponseError", () => {
    const refused = toError({ _tag: "StepRefused", ...place, status: 400, content: "no" })
    assert.instanceOf(refused, SagaResponseError)
    assert.deepStrictEqual([refused.status, refused.content], [400, "no"])
  })

  it("declared errors of different steps are told apart", () => {
    assert.strictEqual(isDeclared(failure), true)
    assert.strictEqual(isDeclared({ _tag: "StepRefused", ...place, status: 400, content: null }), true)
    assert.strictEqual(isDeclared({ _tag: "StepRefused", ...place, status: 500, content: null }), false)
    assert.strictEqual(isDeclared({ _tag: "Cancelled" }), false)
  })
})

describe("any other failure of a step", () => {
  const cases: ReadonlyArray<[SagaFailure, string, string]> = [
    [{ _tag: "StepTimedOut", ...place, deadline: 5_000 }, "SagaStepTimedOut", "1970-01-01T00:00:05.000Z"],
    [{ _tag: "StepRefused", ...place, status: 500, content: "down" }, "SagaResponseError", "the service answered 500"],
    [{ _tag: "StartedNotUndone", ...place, uuid: "u-2", looks: 1 }, "SagaStartedNotUndone", "is not undone yet"],
    [{ _tag: "StepInterrupted", ...place }, "SagaStepInterrupted", "half done by a crash"],
    [{ _tag: "StepValueRejected", ...place, rule: "encode", issue: "$.a" }, "SagaContextEncodeError", "$.a"],
    [{ _tag: "StepValueRejected", ...place, rule: "decode", issue: "$.a" }, "SagaContextDecodeError", "$.a"],
    [{ _tag: "StepValueRejected", ...place, rule: "context-size", issue: "9 of 8" }, "SagaContextTooLarge", "9 of 8"],
    [{ _tag: "StepValueRejected", ...place, rule: "message-size", issue: "9 of 8" }, "SagaContextTooLarge", "9 of 8"],
    [{ _tag: "StepValueRejected", ...place, rule: "items", issue: "9 of 8" }, "SagaTooManyItems", "9 of 8"],
    [
      { _tag: "StepValueRejected", ...place, rule: "related-services", issue: "spy" },
      "SagaRelatedServicesRefused",
      "spy"
    ]
  ]

  it("an undeclared failure of a step is a SagaFailedExecutionStep with the reason as its cause, and words for both", () => {
    for (const [failure, tag, words] of cases) {
      for (const each of [failure, throughJson(failure)]) {
        const error = toError(each)
        assert.deepInclude({ ...error }, { _tag: "SagaFailedExecutionStep", saga: "PlaceOrder", ...place })
        assert.strictEqual(error.cause._tag, tag)
        assert.include(error.cause.message, words)
        assert.include(error.message, "Step reservationId (0) of saga PlaceOrder failed")
      }
    }
  })

  it("the cause of a failed step is the defect that was thrown, or its stored form", () => {
    const thrown = new TypeError("broken")
    const failure: SagaFailure = { _tag: "StepDefect", ...place, defect: Failure.encodeDefect(thrown) }
    const stored = toError(throughJson(failure)).cause
    assert.instanceOf(stored, Error)
    assert.deepStrictEqual([stored.name, stored.message], ["TypeError", "broken"])
    Failure.remember(failure, thrown)
    assert.strictEqual(toError(failure).cause, thrown)
  })

  it("the cause of a failed step is stored as JSON, whatever was thrown", () => {
    const cycle: Record<string, unknown> = {}
    cycle.self = cycle
    for (const thrown of [
      new Error("x"),
      "text",
      5,
      undefined,
      null,
      cycle,
      5n,
      () => 1,
      Symbol("s"),
      { a: new Date(0) }
    ]) {
      const encoded = Failure.encodeDefect(thrown)
      assert.deepStrictEqual(throughJson(encoded), encoded)
      assert.strictEqual(Schema.is(SagaFailure)({ _tag: "StepDefect", ...place, defect: encoded }), true)
    }
  })
})

describe("a failure of the whole execution", () => {
  it("a failure of the whole execution is a cancel with its actor, a reject, or a refused commit", () => {
    assert.deepInclude({ ...toError({ _tag: "Cancelled", actor: "ann" }) }, { _tag: "SagaCancelled", actor: "ann" })
    assert.strictEqual(toError({ _tag: "Cancelled" }).message, "The execution was cancelled")
    assert.strictEqual(toError({ _tag: "Rejected" })._tag, "SagaRejected")
    const refused = toError({ _tag: "CommitFailed", reason: "a vote of no" })
    assert.deepInclude({ ...refused }, { _tag: "SagaFailedCommitCallback", decision: "reject", reason: "a vote of no" })
    assert.include(refused.message, "The transaction was rejected: a vote of no")
    const pending = new Failure.SagaFailedCommitCallback({ decision: "commit", pending: ["a", "b"], reason: "late" })
    assert.include(pending.message, "not yet acknowledged by a, b")
  })
})

describe("a cause", () => {
  it("a cause with only an interruption becomes an error that says so, else the error that was thrown first", () => {
    const interrupted = Failure.defectOf(Cause.interrupt(1))
    assert.strictEqual((interrupted as Error).message, "the callback interrupted itself")
    assert.strictEqual(Failure.defectOf(Cause.die("broken")), "broken")
    const exit = Exit.fail("no")
    assert.strictEqual(Exit.isFailure(exit) && Failure.defectOf(exit.cause), "no")
  })
})
