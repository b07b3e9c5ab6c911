/**
 * Each field of each message that a participant takes, with each hostile value (SPEC I17, I19): it is applied, a duplicate, stale or
 * a dead letter; it changes no row but its own; and the next message is handled.
 */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Schema, Struct } from "effect"
import { Broker, DeadLetters, Participant, ParticipantStore } from "effect-saga"
import { Envelope } from "effect-saga/internals"
import { hostile, hostileBodies, textOf } from "../fixtures/hostile.ts"
import { counting, outcomes } from "../fixtures/manager.ts"
import * as Participants from "../fixtures/participantStore.ts"
import * as Repository from "../fixtures/repository.ts"
import { envelopeOf, type Message, type Op } from "./byHand.ts"

const Bank = Participant.make("bank", {
  Charge: { payload: {}, success: Schema.String },
  Refund: { payload: {} }
})

const ops: ReadonlyArray<Op> = [
  "execute",
  "failure",
  "probe",
  "reserve",
  "commit",
  "reject",
  "told commit",
  "told reject"
]

const known = /^(applied|duplicate|stale|failed|[A-Z]\w+)$/
const uuidOf = (n: number) => `01890000-0000-7000-8000-${String(n).padStart(12, "0")}`

/** Transactions that have nothing to do with what comes. */
const others: ReadonlyArray<readonly [uuid: string, messages: ReadonlyArray<Message["op"]>]> = [
  [uuidOf(1), ["execute"]],
  [uuidOf(2), ["execute", "reserve"]],
  [uuidOf(3), ["execute", "reserve", "commit"]],
  [uuidOf(4), ["execute", "reject"]]
]

const bank = Effect.gen(function* () {
  const services = yield* Layer.build(Layer.merge(Layer.fresh(Broker.layerMemory), Participants.layerOnWire()))
  const broker = Context.get(services, Broker.Broker)
  const store = Context.get(services, ParticipantStore.ParticipantStore)
  const letters = DeadLetters.makeMemory(10_000)
  yield* Participant.layer(Bank, { Charge: () => Effect.succeed("c-1"), Refund: () => Effect.void }).pipe(
    Layer.provide([Layer.succeedContext(services), Layer.succeed(DeadLetters.DeadLetters, letters), Logger.layer([])]),
    Layer.build
  )
  const total = Effect.map(outcomes, (counts) => Object.values(counts).reduce((all, each) => all + each, 0))
  const addressOf = ({ op }: Envelope.Envelope): Broker.Address =>
    op === "execute" || op === "failure" || op === "probe"
      ? { to: "bank", kind: "command", from: "orders", name: op === "failure" ? "Refund" : "Charge" }
      : { to: "bank", kind: "tx", from: "orders" }
  /** The outcome of a message. */
  const outcomeOf = Effect.fnUntraced(function* (address: Broker.Address, body: string) {
    const before = yield* outcomes
    const count = yield* total
    yield* Effect.orDie(broker.publish({ address, body }))
    for (let turn = 0; turn < 5_000 && (yield* total) === count; turn++) yield* Repository.turn
    const after = yield* outcomes
    const outcome = Object.keys(after).filter((key) => after[key] !== before[key])
    assert.deepStrictEqual([outcome.length, yield* total], [1, count + 1], `${outcome}`)
    return outcome[0] ?? ""
  })
  const handle = (envelope: Envelope.Envelope) => outcomeOf(addressOf(envelope), JSON.stringify(envelope))
  /** The rows of those others. */
  const rows = Effect.orDie(
    store.unit(
      {
        service: "bank",
        transactions: others.map(([uuid]) => uuid),
        messages: others.flatMap(([uuid]) =>
          ["0:execute", "bank:reserve", "bank:commit", "bank:reject"].map((id) => `${uuid}:${id}`)
        )
      },
      ({ barriers, transactions }) => Effect.succeed(structuredClone([...transactions, ...barriers]))
    )
  )
  for (const [saga, messages] of others)
    for (const op of messages) assert.strictEqual(yield* handle(envelopeOf({ op, changes: { saga } })), "applied")
  const before = yield* rows
  assert.strictEqual(before.length, 4 + 8)
  return {
    addressOf,
    broker,
    handle,
    letters,
    outcomeOf,
    rows: Effect.map(rows, (now) => assert.deepStrictEqual(now, before))
  }
})

/** Fields without which a message is none. */
const needed = new Set(["v", "op", "saga", "service", "coordinator", "relatedServices", "transactions", "notAfter"])

/** Values of which there is one in JSON. */
const inJson = hostile.filter(([, value]) => typeof value !== "number" || Number.isFinite(value))

for (const [nth, op] of ops.entries())
  it.effect(`I17, I19 ${op}: no hostile value of a field changes a row of others, or stops the consumer`, () =>
    counting(
      Effect.gen(function* () {
        const { addressOf, handle, outcomeOf, rows } = yield* bank
        let n = 1_000 * (nth + 1)
        const fields = [...Struct.keys(Envelope.Envelope.fields), "unknown", "constructor"]
        const all = fields.flatMap((field) => inJson.map(([name, value]) => [field, name, value] as const))
        for (const [field, name, value] of Participants.some(all, 7)) {
          const right = envelopeOf({ op, changes: { saga: uuidOf(++n) } })
          const outcome = yield* outcomeOf(addressOf(right), JSON.stringify({ ...right, [field]: value }))
          assert.match(outcome, known, `${field}: ${name}`)
          // Who is meant, what is asked, and until when, is never guessed.
          const isRight = name === (field === "notAfter" ? "-1" : "a list")
          if (needed.has(field) && !isRight)
            assert.match(outcome, /^(MessageMalformed|SenderMismatch)$/, `${field}: ${name}`)
        }
        yield* rows
        assert.strictEqual(yield* handle(envelopeOf({ op: "execute", changes: { saga: uuidOf(++n) } })), "applied")
      })
    )
  )

it.effect("I17, I19 no hostile body changes a row of others, or is taken for the message that it is made of", () =>
  counting(
    Effect.gen(function* () {
      const { addressOf, handle, letters, outcomeOf, rows } = yield* bank
      let n = 20_000
      let count = 0
      for (const op of ops) {
        const right = envelopeOf({ op, changes: { saga: uuidOf(++n) } })
        for (const [name, body] of hostileBodies(JSON.stringify(right))) {
          const outcome = yield* outcomeOf(addressOf(right), textOf(body))
          // A transport that gives bytes refuses them; here each byte is a character.
          const isText = name === "bad UTF-8" || name === "half a surrogate in bytes"
          if (!isText) assert.match(outcome, /^Message(Malformed|TooLarge)$/, `${op}: ${name}`)
          if (outcome.startsWith("Message")) count++
        }
        const { length } = yield* letters.list({ limit: 10_000 })
        assert.isAtLeast(length, count)
        for (const address of [
          { ...addressOf(right), from: "eve" },
          { ...addressOf(right), kind: "reply" as const },
          {
            ...addressOf(right),
            kind: addressOf(right).kind === "tx" ? ("command" as const) : ("tx" as const),
            name: "Charge"
          }
        ].filter(({ kind }) => kind !== "reply")) {
          assert.match(yield* outcomeOf(address, JSON.stringify(right)), /^(SenderMismatch|MessageMalformed)$/, op)
        }
      }
      yield* rows
      const right = envelopeOf({ op: "execute", changes: { saga: uuidOf(++n) } })
      assert.strictEqual(yield* handle(right), "applied")
      assert.strictEqual(yield* handle(right), "duplicate")
      assert.strictEqual(yield* handle({ ...right, content: { other: 1 } }), "MessageIdReused")
    })
  )
)
