/** A test of a saga with a command that answers later: hours and days pass, and what is not wanted any more is cancelled. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schema } from "effect"
import { Participant, Saga } from "effect-saga"
import { SagaTest } from "effect-saga/testing"

const Lab = Participant.make("lab", {
  Examine: {
    payload: { sample: Schema.String },
    success: Schema.String,
    error: Schema.Literal("spoiled"),
    answer: "later"
  },
  Forget: { payload: { result: Schema.String } }
})
const Post = Participant.make("post", { Send: { payload: { result: Schema.String } } })

const Visit = Saga.make("Visit", { context: { sample: Schema.String } }).pipe(
  Saga.remote("result", {
    execute: { command: Lab.commands.Examine, payload: ({ sample }) => ({ sample }) },
    compensate: { command: Lab.commands.Forget, payload: ({ result }) => ({ result }) },
    timeout: "2 days"
  }),
  Saga.remote("letter", { execute: { command: Post.commands.Send, payload: ({ result }) => ({ result }) } }),
  Saga.commit
)

const visit = (
  result: Parameters<typeof SagaTest.late<string, "spoiled">>[1],
  after: Duration.Input,
  letter: unknown = undefined
) =>
  SagaTest.run(Visit, {
    context: { sample: "blood" },
    replies: { result: SagaTest.late(after, result), letter: letter as undefined }
  })

describe("a command that answers later, in SagaTest", () => {
  it.effect("is waited for as long as its step says, not as long as other commands", () =>
    Effect.gen(function* () {
      const run = yield* visit("well", "47 hours")
      assert.strictEqual(run.execution.status, "finished")
      assert.deepStrictEqual(
        run.commands.map(({ step, after }) => [step, Math.floor(Duration.toHours(after))]),
        [
          ["result", 0],
          ["letter", 47]
        ]
      )
    })
  )

  it.effect("is cancelled where it comes too late: there is nothing to compensate", () =>
    Effect.gen(function* () {
      const run = yield* visit("well", "3 days")
      assert.strictEqual(run.execution.status, "errored")
      assert.deepStrictEqual(
        run.commands.map(({ does, step }) => `${does} ${step}`),
        ["execute result"]
      )
    })
  )

  it.effect("refuses, dies, and is compensated like any other", () =>
    Effect.gen(function* () {
      for (const said of [SagaTest.error("spoiled" as const), SagaTest.dies]) {
        const run = yield* visit(said, "1 hour")
        assert.deepStrictEqual([run.execution.status, run.commands.length], ["errored", 1])
      }
      const undone = yield* visit("well", "1 hour", SagaTest.dies)
      assert.deepStrictEqual(
        undone.commands.map(({ does, step }) => `${does} ${step}`),
        ["execute result", "execute letter", "compensate result"]
      )
    })
  )
})
