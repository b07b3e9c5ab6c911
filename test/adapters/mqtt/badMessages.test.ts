/** Messages that are none: each is put away or counted, none stops a consumer, and none stays in memory (SPEC I17, I19). */

import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, type Scope } from "effect"
import { SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import { EmbeddedBroker } from "effect-saga/aedes"
import { MqttBroker } from "effect-saga/mqtt"
import { counting, outcomes } from "../../fixtures/manager.ts"
import * as Mosquitto from "../../fixtures/mosquitto.ts"
import { until } from "../../fixtures/mqtt.ts"
import * as RawMqtt from "../../fixtures/rawMqtt.ts"
import * as StockOverMqtt from "../../fixtures/stockOverMqtt.ts"

const saga = "018bcfe5-6800-7a38-9b46-54d90b1b8266"

const reply = {
  v: 1,
  id: `${saga}:0:execute:reply`,
  op: "reply",
  saga,
  service: "stock",
  coordinator: "orders",
  inReplyTo: `${saga}:0:execute`,
  status: 200,
  relatedServices: [],
  transactions: [],
  notAfter: 1
}

const json = (changes: Record<string, unknown>) => JSON.stringify({ ...reply, ...changes })
const nested = "[".repeat(10_000) + "]".repeat(10_000)

const replies = "saga/v1/orders/reply/stock"

/** With what becomes of each. `unknown-execution` is only counted: a late reply is nothing that people have to look at. */
const bad: ReadonlyArray<[string, string, string | Uint8Array, string]> = [
  ["not UTF-8", replies, new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]), "MessageMalformed"],
  ["not UTF-8 in a text", replies, Buffer.from(json({ content: "caf\u00e9" }), "latin1"), "MessageMalformed"],
  ["with a mark of its byte order", replies, `\ufeff${json({})}`, "MessageMalformed"],
  ["empty", replies, "", "MessageMalformed"],
  ["not JSON", replies, "{", "MessageMalformed"],
  ["of another version", replies, json({ v: 2 }), "MessageMalformed"],
  ["nested deeply", replies, json({}).replace("{", `{"content":${nested},`), "MessageMalformed"],
  ["with a hostile key", replies, json({}).replace("{", '{"__proto__":{"a":1},'), "MessageMalformed"],
  ["too large", replies, json({ content: "x".repeat(300_000) }), "MessageTooLarge"],
  ["from somebody who says to be another", "saga/v1/orders/reply/mallory", json({}), "SenderMismatch"],
  ["of an execution that nobody knows", replies, json({}), "unknown-execution"],
  ["for another operation", "saga/v1/stock/tx/orders", json({ op: "explode" }), "MessageMalformed"],
  ["of a command that is no name", "saga/v1/stock/command/orders/7up", json({}), "unknown-topic"],
  ["from a sender that is no name", "saga/v1/orders/reply/..", json({}), "unknown-topic"]
]

/** Bytes that something still refers to. Where they cannot be told, none. */
const held = ((): (() => number) => {
  if ("bun" in process.versions || "deno" in process.versions) return () => 0
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc")
  return () => {
    collect()
    const { arrayBuffers, heapUsed } = process.memoryUsage()
    return heapUsed + arrayBuffers
  }
})()

const scenario = Effect.fnUntraced(function* (options: MqttBroker.MqttOptions, version: 4 | 5) {
  const { letters, order, raw } = yield* StockOverMqtt.start(options, version)

  const expected: Record<string, number> = {}
  const add = (outcome: string) => {
    expected[outcome] = (expected[outcome] ?? 0) + 1
  }
  const counted = Effect.map(outcomes, (counts) =>
    Object.entries(expected).every(([outcome, count]) => counts[outcome] === count)
  )
  for (const [, topic, payload, outcome] of bad) {
    yield* raw.publish(topic, payload)
    add(outcome)
  }
  yield* until(counted)
  const reasons = Object.groupBy(yield* letters.list({ limit: 100 }), ({ reason }) => reason)
  for (const [reason, count] of Object.entries(expected))
    assert.strictEqual(reasons[reason]?.length ?? 0, /^[a-z]/.test(reason) ? 0 : count, reason)
  assert.strictEqual(yield* order("book"), "book 1")

  // 10 MB at a time, and 45 MB of what is just too large: nothing of it may stay.
  const ten = Buffer.alloc(10_000_000, "[")
  const large = Buffer.alloc(300_000, "[")
  const before = held()
  for (let i = 0; i < 3; i++) {
    yield* raw.publish(replies, ten)
    // A broker with MQTT 5 knows that we do not want it.
    if (version === 4) add("MessageTooLarge")
  }
  for (let i = 0; i < 150; i++) {
    yield* raw.publish(replies, large)
    add("MessageTooLarge")
  }
  yield* until(counted)
  assert.strictEqual(yield* order("pen"), "pen 2")
  // Buffers go with a collection, or one soon after.
  yield* until(Effect.sync(() => held() - before < 16_000_000))
})

const run = <E>(test: Effect.Effect<void, E, Scope.Scope>) => counting(test).pipe(Effect.provide(Logger.layer([])))

describe("bad messages", () => {
  it.live("I17 I19 bad messages are kept as dead letters or counted, with MQTT 3.1.1", () =>
    run(
      Effect.gen(function* () {
        const { url } = yield* EmbeddedBroker.make()
        yield* scenario({ url, protocol: 4 }, 4)
      })
    )
  )

  it.live("retained messages are not taken for replies", () =>
    run(
      Effect.gen(function* () {
        const { url } = yield* EmbeddedBroker.make()
        const raw = yield* RawMqtt.connect(url, { protocolVersion: 4 })
        yield* raw.publish(replies, json({}), true)
        const services = yield* Layer.build(MqttBroker.layer({ url, protocol: 4 }))
        yield* Layer.build(
          SagaManager.layer([StockOverMqtt.Order]).pipe(
            Layer.provide([
              SagaConfig.layer({ service: "orders" }),
              SagaExecutionRepository.layerMemory,
              TransactionCommitter.layerNone,
              Layer.succeedContext(services)
            ])
          )
        )
        yield* until(Effect.map(outcomes, ({ retained }) => retained === 1))
        assert.deepStrictEqual(yield* outcomes, { retained: 1 })
      })
    )
  )

  if (Mosquitto.binary !== undefined) {
    it.live("I17 I19 bad messages are kept as dead letters or counted, with MQTT 5", () =>
      run(
        Effect.gen(function* () {
          const { url } = yield* Mosquitto.started()
          yield* scenario({ url }, 5)
        })
      )
    )
  }
})
