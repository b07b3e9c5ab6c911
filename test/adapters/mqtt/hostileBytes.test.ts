/**
 * I17, I19: raw bytes from a client without manners, on every topic of a process and of a participant. Each message that anybody gets
 * is counted once, runs nothing, and stops no consumer. What a field may be is checked with every value in the rooms of both
 * programs; here a part of the values crosses each field of each message, as they come from a broker.
 */
import { randomUUID } from "node:crypto"
import { assert, it } from "@effect/vitest"
import { Effect, Logger, type Scope, Struct } from "effect"
import { EmbeddedBroker } from "effect-saga/aedes"
import { Envelope } from "effect-saga/internals"
import type { MqttBroker } from "effect-saga/mqtt"
import { hostile, hostileBodies } from "../../fixtures/hostile.ts"
import { counting, outcomes } from "../../fixtures/manager.ts"
import { namespace, url as serverUrl, until } from "../../fixtures/mqtt.ts"
import * as StockOverMqtt from "../../fixtures/stockOverMqtt.ts"

/** Right messages of an execution that nobody knows. */
const messagesOf = (saga: string) => {
  const common = {
    v: 1,
    saga,
    service: "stock",
    coordinator: "orders",
    relatedServices: [],
    transactions: [],
    notAfter: Date.now() + 86_400_000
  }
  const id = `${saga}:0:execute`
  return {
    execute: { ...common, id, op: "execute", path: "0", content: { sku: "hostile" } },
    failure: { ...common, id: `${saga}:0:failure`, op: "failure", path: "0", content: {} },
    probe: { ...common, id: `${saga}:0:probe`, op: "probe", path: "0" },
    reserve: { ...common, id: `${saga}:stock:reserve`, op: "reserve", content: ["0"] },
    reply: { ...common, id: `${id}:reply`, op: "reply", inReplyTo: id, status: 200, content: "x" },
    status: { ...common, id: `${saga}:stock:status`, op: "status" }
  }
}
const topics: Readonly<Record<keyof ReturnType<typeof messagesOf>, string>> = {
  execute: "saga/v1/stock/command/orders/Reserve",
  failure: "saga/v1/stock/command/orders/Reserve",
  probe: "saga/v1/stock/command/orders/Reserve",
  reserve: "saga/v1/stock/tx/orders",
  reply: "saga/v1/orders/reply/stock",
  status: "saga/v1/orders/status/stock"
}

/** A hostile value in each field of each message; the nth of each group of so many, another one for each field. */
const fieldsWith = (nth: number, every: number) =>
  [...Struct.keys(Envelope.Envelope.fields), "unknown", "constructor"].flatMap((field, f) =>
    hostile
      .filter(([, value], i) => (i + f) % every === nth && (typeof value !== "number" || Number.isFinite(value)))
      .map(([name, value]) => ({ field, name, value }))
  )
const needed = new Set(["v", "op", "saga", "service", "coordinator", "relatedServices", "transactions", "notAfter"])

/** With levels of another number or form. Some of them reach nobody. */
const strangeTopics = [
  ...["saga", "saga/v1", "saga/v1/stock", "saga/v1/stock/command", "saga/v1/stock/command/orders"],
  ...["saga/v1/stock/command/orders/Reserve/more", "saga/v1/stock/explode/orders", "saga/v2/stock/tx/orders"],
  ...["saga/v1//reply/stock", "/saga/v1/orders/reply/stock", "SAGA/V1/orders/reply/stock", "saga/v1/orders/reply/"],
  ...["saga/v1/orders/reply/..", "saga/v1/orders/reply/a b", "saga/v1/stock/command//Reserve"],
  ...["saga/v1/stock/command/orders/", "saga/v1/stock/command/orders/7up", "saga/v1/stock/command/orders/__proto__"],
  ...["saga/v1/stock/command/orders/constructor", `saga/v1/orders/reply/${"x".repeat(60_000)}`]
]

const scenario = Effect.fnUntraced(function* (options: MqttBroker.MqttOptions, version: 4 | 5) {
  const { handled, letters, order, raw } = yield* StockOverMqtt.start(options, version)
  const prefix = options.namespace === undefined ? "" : `${options.namespace}/`
  const publish = (topic: string, body: string | Uint8Array, retain = false) =>
    raw.publish(prefix + topic, body, retain)
  const total = Effect.map(outcomes, (counts) => Object.values(counts).reduce((all, each) => all + each, 0))
  /** What becomes of one message that reaches somebody. */
  const outcomeOf = Effect.fnUntraced(function* (topic: string, body: string | Uint8Array) {
    const before = yield* outcomes
    const count = yield* total
    yield* publish(topic, body)
    yield* until(Effect.map(total, (now) => now > count))
    const after = yield* outcomes
    assert.strictEqual(yield* total, count + 1, `${topic} ${body}`)
    return Object.keys(after).find((key) => after[key] !== before[key]) ?? ""
  })

  for (const [op, topic] of Object.entries(topics)) {
    const right = JSON.stringify(messagesOf(randomUUID())[op as keyof typeof topics])
    for (const [name, body] of hostileBodies(right)) {
      // A broker with MQTT 5 knows how large a message may be, and may keep a larger one to itself (badMessages.test.ts).
      if (name === "257 KiB" && version === 5) continue
      const outcome = yield* outcomeOf(topic, body)
      assert.match(outcome, /^Message(Malformed|TooLarge)$/, `${op}: ${name}`)
    }
    // In the name of another service.
    const foreign = topic.replace(/\/(orders|stock)(\/Reserve)?$/, "/mallory$2")
    assert.strictEqual(yield* outcomeOf(foreign, right), "SenderMismatch", op)
  }
  const count = yield* total
  assert.isAbove((yield* letters.list({ limit: 10_000 })).length, count - 1)
  assert.deepStrictEqual(handled, [])
  assert.strictEqual(yield* order("book"), "book 1")
  yield* until(Effect.map(total, (now) => now === count + 2))

  for (const [nth, [op, topic]] of Object.entries(topics).entries())
    for (const { field, name, value } of fieldsWith(2 * nth, 12)) {
      // Answers go to somebody who is not there: they would be counted too.
      const sender = op === "status" ? { service: "nobody" } : op === "reply" ? {} : { coordinator: "nobody" }
      const right = { ...messagesOf(randomUUID())[op as keyof typeof topics], ...sender }
      const from = op === "reply" ? topic : topic.replace(/\/(orders|stock)(\/Reserve)?$/, "/nobody$2")
      const outcome = yield* outcomeOf(from, JSON.stringify({ ...right, [field]: value }))
      assert.match(outcome, /^(applied|stale|failed|unknown-execution|[A-Z]\w+)$/, `${op}, ${field}: ${name}`)
      // Who is meant, what is asked, and until when, is never guessed.
      const isRight = name === (field === "notAfter" ? "-1" : "a list")
      if (needed.has(field) && !isRight)
        assert.match(outcome, /^(MessageMalformed|SenderMismatch)$/, `${op}, ${field}: ${name}`)
    }
  // A field that the message does not need may have any value that its schema has.
  assert.deepStrictEqual([...new Set(handled.splice(0))].sort(), ["book", "hostile"])

  for (const topic of strangeTopics) yield* publish(topic, JSON.stringify(messagesOf(randomUUID()).execute))
  const { execute, reply } = messagesOf(randomUUID())
  yield* publish(topics.reply, JSON.stringify(reply), true)
  yield* publish(topics.reply, "", true)
  assert.strictEqual(yield* order("pen"), "pen 1")
  // A replay gets the recorded answer, and runs nothing; nor does other content under the same id.
  const send = (content: object) => publish(topics.execute, JSON.stringify({ ...execute, content }))
  yield* send(execute.content)
  yield* until(Effect.sync(() => handled.includes("hostile")))
  yield* send(execute.content)
  yield* until(Effect.map(outcomes, ({ duplicate = 0 }) => duplicate > 0))
  yield* send({ sku: "other" })
  yield* until(Effect.map(outcomes, ({ MessageIdReused = 0 }) => MessageIdReused === 1))
  assert.deepStrictEqual(handled, ["pen", "hostile"])
})

const run = <E>(test: Effect.Effect<void, E, Scope.Scope>) => counting(test).pipe(Effect.provide(Logger.layer([])))

it.live("I17, I19 hostile bytes and topics over aedes are put away or counted, and the consumers go on", () =>
  run(
    Effect.gen(function* () {
      const { url } = yield* EmbeddedBroker.make()
      yield* scenario({ url, protocol: 4 }, 4)
    })
  )
)

if (serverUrl !== undefined) {
  const url = serverUrl
  for (const version of [4, 5] as const)
    it.live(`I17, I19 hostile bytes and topics over a broker with MQTT ${version}`, () =>
      run(scenario({ url, namespace: namespace(), protocol: version }, version))
    )
}
