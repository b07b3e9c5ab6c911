/**
 * The messages of `docs/protocol.md`, as they stand there: what the coordinator sends is published as it is, and two
 * participants must say what the page says they do. Nothing of the library makes a message here.
 */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Broker, Participant } from "effect-saga"
import { quiet, until } from "../fixtures/manager.ts"
import * as Participants from "../fixtures/participantStore.ts"
import { isMemory } from "../fixtures/repository.ts"
import { envelopeSchema } from "../protocol.ts"

const read = (file: string) => readFileSync(new URL(`../../docs/${file}`, import.meta.url), "utf8")

interface Line {
  readonly part?: string
  /** Milliseconds in which nothing comes. */
  readonly wait?: number
  readonly topic?: string
  readonly message?: { readonly id: string }
}

const lines: ReadonlyArray<Line> = JSON.parse(read("transfer.json"))

/** Weeks pass in memory only: a store that others may write to is looked at every few seconds. */
const played = isMemory
  ? lines
  : lines.slice(
      0,
      lines.findIndex(({ message }) => message?.id.includes("000000000007"))
    )

const money = { account: Schema.String, cents: Schema.Int }
const North = Participant.make("north", {
  Withdraw: { payload: money, success: Schema.String },
  PayBack: { payload: { withdrawal: Schema.String } }
})
const South = Participant.make("south", {
  Deposit: { payload: money, success: Schema.String, effect: "staged" },
  Check: { payload: { account: Schema.String }, success: Schema.String, answer: "later" },
  Announce: { payload: { account: Schema.String }, success: Schema.String, error: Schema.Literal("Busy") }
})

const checked = "01890000-0000-7000-8000-0000000000ca"
/** The answer that south gives by itself, when the check is done. */
const answeredLater = `${checked}:0:execute:reply`

describe("docs/protocol.md", () => {
  it.effect("docs/protocol.md shows the answers of a participant to messages written by hand", () =>
    Effect.gen(function* () {
      const services = yield* Layer.build(Layer.merge(Layer.fresh(Broker.layerMemory), Participants.layerOnWire()))
      const broker = Context.get(services, Broker.Broker)
      const story: Array<string> = []
      const say = <A>(line: string, value: A) =>
        Effect.sync(() => {
          story.push(line)
          return value
        })
      let withdrawals = 0
      /** Every other announcement finds nobody. */
      let announcements = 0
      const answers = yield* Layer.mergeAll(
        Participant.layer(North, {
          Withdraw: ({ account, cents }) => say(`${account} -${cents}`, `w-${++withdrawals}`),
          PayBack: ({ withdrawal }) => say(`back ${withdrawal}`, undefined)
        }),
        Participant.layer(
          South,
          {
            Deposit: ({ account, cents }) => say(`hold ${account} +${cents}`, "d-1"),
            Check: {
              accept: ({ account }) => say(`check ${account}`, undefined),
              cancelled: ({ account }) => say(`no check of ${account}`, undefined)
            },
            Announce: ({ account }) =>
              ++announcements % 2 === 1
                ? Effect.andThen(say(`busy for ${account}`, undefined), Effect.fail("Busy" as const))
                : say(`tell ${account}`, "a-1")
          },
          { commit: () => say("give out", undefined) }
        )
      ).pipe(Layer.provide(Layer.succeedContext(services)), Layer.build)

      const said = new Map<string, unknown>()
      yield* broker.subscribe({ service: "transfers", kinds: ["reply", "status"] }).pipe(
        Stream.runForEach(({ acknowledge, address, body }) => {
          const message = JSON.parse(body)
          said.set(message.id, { topic: Broker.topic(address), message })
          return acknowledge
        }),
        Effect.forkScoped
      )
      for (const { message, topic = "", wait } of played) {
        if (wait !== undefined) yield* TestClock.adjust(wait)
        if (message === undefined) continue
        const address = Broker.parseTopic(topic)
        if (address === undefined) assert.fail(`${topic} is no topic`)
        if (address.from === "transfers") {
          yield* broker.publish({ address, body: JSON.stringify(message) })
          yield* quiet
        } else {
          if (message.id === answeredLater) {
            const answered = Participant.answer(South.commands.Check, `${checked}:0:execute`, Effect.succeed("c-1"))
            yield* Effect.orDie(Effect.provideContext(answered, answers))
          }
          yield* until(`somebody says ${message.id}`, () => said.has(message.id))
          assert.deepStrictEqual(said.get(message.id), { topic, message })
          // What is said again is heard again.
          said.delete(message.id)
        }
      }
      assert.deepStrictEqual([...said.keys()], [])
      assert.deepStrictEqual(story, [
        "ada -500",
        "hold bob +500",
        "give out",
        "ada -700",
        "back w-2",
        "ada -900",
        "ada -300",
        "busy for bob",
        "tell bob",
        "busy for bob",
        ...["ada -10", "ada -11", "back w-6", "back w-5"],
        ...["hold bob +30", "hold bob +40", "give out"],
        ...["check bob", "check bob", "no check of bob"],
        ...(isMemory ? ["ada -100", "ada -200", "back w-7"] : [])
      ])
    })
  )

  it("docs/protocol.md has the JSON Schema of the code (npm run docs)", () => {
    assert.strictEqual(read("envelope.schema.json"), envelopeSchema())
  })
})
