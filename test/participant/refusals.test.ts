/** What the log of a service says of a command that it answers 500: its caller gets one word. */
import { assert, it } from "@effect/vitest"
import { Effect, Logger, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Participant } from "effect-saga"
import { type ParticipantCode, runHandler } from "../../src/participant/ParticipantHandlers.ts"
import * as NowAndThen from "../../src/ports/NowAndThen.ts"
import type { Unit } from "../../src/ports/ParticipantStore.ts"
import { envelopeOf, uuid } from "./byHand.ts"

class Declined extends Schema.TaggedError<Declined>()("Declined", { why: Schema.String }) {}

const contract = Participant.make("bank", {
  Charge: {
    payload: { amount: Schema.Int, card: Schema.Struct({ number: Schema.String }) },
    success: Schema.Struct({ paymentId: Schema.String }),
    error: Declined
  },
  Stage: { payload: {}, effect: "staged" },
  Odd: { payload: {}, success: Schema.Unknown }
})

const unit: Unit = {
  transactions: new Map(),
  barriers: new Map(),
  accepted: [],
  attempt: (work) => work,
  run: (work) => work,
  save: () => Effect.void
}

/** Answers a command of which the handler has the outcome, and gives the words and the lines of the log. */
const make = Effect.fnUntraced(function* (maxBytes?: number) {
  const lines: Array<unknown> = []
  const logger = Logger.make(({ message }) => void lines.push([message].flat().at(-1)))
  const written = new Map<string, bigint>()
  const answer = (command: string, content: unknown, outcome: Effect.Effect<unknown, unknown> = Effect.void) => {
    const handler = () => outcome
    const code: ParticipantCode = {
      contract,
      handlers: { Charge: handler, Stage: handler, Odd: handler },
      hooks: {},
      maxBytes: () => maxBytes
    }
    const envelope = { ...envelopeOf({ op: "execute", changes: { path: "2" } }), content: content as never }
    return runHandler(code, { command, envelope } as never, unit, false).pipe(
      Effect.map(({ reply }) => reply.content),
      Effect.provideService(NowAndThen.Written, written),
      Effect.provide(Logger.layer([logger]))
    )
  }
  return { answer, lines }
})

const payload = { amount: 1, card: { number: "4711" } }

it.effect("a command that is answered 500 stands in the log, with the place and without a value", () =>
  Effect.gen(function* () {
    const { answer, lines } = yield* make(2_000)
    const answers = [
      yield* answer("Gone", payload),
      yield* answer("Charge", { amount: "secret", card: {} }),
      yield* answer("Charge", payload, Effect.succeed({ id: "secret" })),
      yield* answer("Charge", payload, Effect.succeed({ paymentId: "secret".repeat(1_000) })),
      yield* answer("Charge", payload, Effect.fail(new Declined({ why: "secret".repeat(1_000) }))),
      yield* answer("Odd", {}, Effect.succeed({ list: [1, { deep: Number.NaN }] })),
      yield* answer("Stage", {})
    ]
    const about = (command: string, reason: string, issue: string) => ({
      service: "bank",
      command,
      uuid,
      path: "2",
      reason,
      issue
    })
    assert.deepStrictEqual(lines, [
      about("Gone", "UnknownCommand", "the contract of the service has no such command"),
      about("Charge", "PayloadMalformed", "$.amount: not a number"),
      about("Charge", "ReplyMalformed", "$.paymentId: MissingKey"),
      about("Charge", "ReplyTooLarge", "it has 6381 of 2000 bytes"),
      about("Odd", "ReplyMalformed", "$: InvalidType"),
      about("Stage", "StagedOutsideTransaction", "the command stages its effect, and its message is of no transaction")
    ])
    assert.deepStrictEqual(answers, [
      "UnknownCommand",
      "PayloadMalformed",
      "ReplyMalformed",
      "ReplyTooLarge",
      // Said already, of the same command.
      "ReplyTooLarge",
      "ReplyMalformed",
      "StagedOutsideTransaction"
    ])
  })
)

it.effect("the log says it once a minute for each command and word", () =>
  Effect.gen(function* () {
    const { answer, lines } = yield* make()
    const wrong = Effect.andThen(answer("Charge", {}), answer("Odd", {}, Effect.succeed(1n)))
    for (let i = 0; i < 10; i++) yield* wrong
    assert.strictEqual(lines.length, 2)
    yield* TestClock.adjust("1 minute")
    yield* wrong
    assert.strictEqual(lines.length, 4)
    assert.strictEqual(yield* answer("Odd", {}, Effect.succeed("fine")), "fine")
    assert.strictEqual(lines.length, 4)
  })
)
