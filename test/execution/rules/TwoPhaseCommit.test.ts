/** The messages that end a transaction: the same bytes from each instance, also from one of another release. */
import { assert, it } from "@effect/vitest"
import type { SagaEvent } from "../../../src/execution/rules/SagaEvent.ts"
import * as TwoPhaseCommit from "../../../src/execution/rules/TwoPhaseCommit.ts"
import { message } from "../../../src/ports/TransactionCommitter.ts"
import * as Sample from "../../../src/testing/SampleExecutions.ts"

const trace = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`

const traceOf = (start: Partial<Extract<SagaEvent, { readonly _tag: "ExecutionStarted" }>>) => {
  const fact = {
    _tag: "ExecutionStarted",
    service: "orders",
    autocommit: true,
    transactional: true,
    at: Sample.time
  } as const
  const { state } = Sample.after(Sample.created(), { ...fact, ...start })
  return message(TwoPhaseCommit.transaction(state, ["payments"]), "commit", "payments").trace
}

it("a message that ends a transaction carries the trace of the start, where the start says so", () => {
  assert.strictEqual(traceOf({ trace, tracesEnd: true }), trace)
  // Started by an older release, which may have sent the message without it.
  assert.strictEqual(traceOf({ trace }), undefined)
  assert.strictEqual(traceOf({}), undefined)
})
