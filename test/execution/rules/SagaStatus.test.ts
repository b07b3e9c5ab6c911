/** The words of CONFORMANCE STA: what is stored and shown is the status itself. */
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Schema } from "effect"
import { CommitState, Decision, SagaStatus, SagaStepStatus } from "../../../src/execution/rules/SagaStatus.ts"

const decodes = Effect.fnUntraced(function* (schema: Schema.Codec<string>, texts: ReadonlyArray<string>) {
  for (const text of texts) {
    const status = yield* Schema.decodeUnknownEffect(schema)(text)
    assert.strictEqual(status, text)
    // A status is its own encoding: decoding one gives itself.
    assert.strictEqual(yield* Schema.decodeUnknownEffect(schema)(status), status)
    assert.strictEqual(yield* Schema.encodeEffect(schema)(status), text)
  }
  for (const wrong of ["", "Created", "RUNNING", "unknown", 1, null, undefined]) {
    assert.strictEqual(Exit.isFailure(Schema.decodeUnknownExit(schema)(wrong)), true, String(wrong))
  }
})

it.effect("STA-001 the statuses of a saga are their texts, and a text gives its status back", () =>
  Effect.gen(function* () {
    const texts = ["created", "running", "paused", "finished", "errored"]
    assert.deepStrictEqual([...SagaStatus.literals].sort(), [...texts].sort())
    yield* decodes(SagaStatus, texts)
  })
)

it.effect("STA-002 the fourteen statuses of a step are their texts, and a text gives its status back", () =>
  Effect.gen(function* () {
    const texts = [
      "created",
      "running-on-execute",
      "finished-on-execute",
      "errored-on-execute",
      "paused-by-on-execute",
      "errored-by-on-execute",
      "running-on-failure",
      "paused-on-failure",
      "errored-on-failure",
      "running-on-success",
      "errored-on-success",
      "running-on-error",
      "errored-on-error",
      "finished"
    ]
    assert.strictEqual(texts.length, 14)
    assert.deepStrictEqual([...SagaStepStatus.literals].sort(), [...texts].sort())
    yield* decodes(SagaStepStatus, texts)
  })
)

it("the states of the two-phase commit and its decisions are their texts too", () => {
  assert.deepStrictEqual(CommitState.literals, [
    "none",
    "reserving",
    "committing",
    "committed",
    "rejecting",
    "rejected"
  ])
  assert.deepStrictEqual(Decision.literals, ["commit", "reject"])
})
