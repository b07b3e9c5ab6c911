/** Answers of a broker to published messages, and the packet ids of messages in flight. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Logger, Metric, Result, Stream } from "effect"
import { Broker } from "effect-saga"
import { MqttBroker } from "effect-saga/mqtt"
import * as FakeBroker from "../../fixtures/fakeBroker.ts"
import * as Mqtt from "../../fixtures/mqtt.ts"

const message = (body: string): Broker.Message => ({ address: { to: "a", kind: "reply", from: "b" }, body })

/** Connected to a broker that hands everything to `take`. */
const open = Effect.fnUntraced(function* (options: Parameters<typeof FakeBroker.make>[0]) {
  const { url } = yield* FakeBroker.make(options)
  const services = yield* Layer.build(MqttBroker.layer({ url, protocol: 5 }))
  yield* Mqtt.ready(Context.get(services, MqttBroker.MqttConnections))
  const { publish } = Context.get(services, Broker.Broker)
  return { publish: (body: string) => publish(message(body)) }
})

/** How many messages were refused, by reason. */
const refused = Effect.map(Metric.snapshot, (metrics) => {
  const counts: Record<string, number> = {}
  for (const metric of metrics)
    if (metric.type === "Counter" && metric.id === "effect_saga_mqtt_refused_total")
      counts[metric.attributes?.reason ?? ""] = Number(metric.state.count)
  return counts
})

/** The counters of this test only, and no log. */
const quietly = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  self.pipe(Effect.provide(Logger.layer([])), Effect.provideService(Metric.MetricRegistry, new Map()))

describe("a message that was sent", () => {
  it.live("a message that the broker refuses is counted under the name of the reason, and not sent again", () =>
    Effect.gen(function* () {
      const reasons: ReadonlyArray<readonly [number, string | undefined]> = [
        [0x00, undefined],
        // There is no subscriber yet: the broker takes the message all the same.
        [0x10, undefined],
        [0x80, "Unspecified error"],
        [0x83, "Implementation specific error"],
        [0x87, "Not authorized"],
        [0x87, "Not authorized"],
        [0x90, "Topic Name invalid"],
        [0x97, "Quota exceeded"],
        [0x99, "Payload format invalid"]
      ]
      const taken: Array<string> = []
      const { publish } = yield* open({
        take: ({ answer, body }) => {
          taken.push(body)
          answer(reasons[Number(body)]?.[0])
        }
      })
      for (const i of reasons.keys()) yield* publish(`${i}`)
      const expected: Record<string, number> = {}
      for (const [, reason] of reasons) if (reason !== undefined) expected[reason] = (expected[reason] ?? 0) + 1
      const sum = (counts: Record<string, number>) => Object.values(counts).reduce((all, one) => all + one, 0)
      yield* Mqtt.until(Effect.map(refused, (counts) => sum(counts) >= sum(expected)))
      assert.deepStrictEqual(yield* refused, expected)
      assert.deepStrictEqual(
        taken,
        Array.from(reasons.keys(), (i) => `${i}`)
      )
    }).pipe(quietly)
  )

  it.live("a message keeps a packet id of its own until it is acknowledged, also after the ids wrap around", () =>
    Effect.gen(function* () {
      const held: Array<FakeBroker.Taken> = []
      const inFlight = new Set<number>()
      const used = new Map<number, number>()
      let answered = 0
      const { publish } = yield* open({
        properties: { receiveMaximum: 64 },
        take: (taken) => {
          assert.isFalse(inFlight.has(taken.id), `${taken.id} is taken`)
          assert.isTrue(taken.id >= 1 && taken.id <= 65_535, `${taken.id}`)
          used.set(taken.id, (used.get(taken.id) ?? 0) + 1)
          inFlight.add(taken.id)
          if (taken.body === "slow") return void held.push(taken)
          inFlight.delete(taken.id)
          taken.answer()
          answered++
        }
      })
      const fast = Effect.fnUntraced(function* (count: number) {
        const until = answered + count
        for (let left = count; left > 0; ) {
          const exit = yield* Effect.exit(publish("fast"))
          if (Exit.isSuccess(exit)) left--
          // There is no room for more before some are answered.
          else yield* Effect.sleep("1 millis")
        }
        yield* Mqtt.until(Effect.sync(() => answered >= until))
      })
      for (let i = 0; i < 3; i++) {
        yield* publish("slow")
        yield* fast(2)
      }
      yield* Mqtt.until(Effect.sync(() => held.length === 3))
      const slow = held.map(({ id }) => id)
      assert.deepStrictEqual(slow, [1, 4, 7])
      // Of the 64 that the broker wants at a time there is room for one when they come round: what is sent next is sent
      // after the answer before it has arrived.
      yield* fast(65_535 - 9 - 60)
      for (let i = 0; i < 60; i++) yield* publish("slow")
      yield* Mqtt.until(Effect.sync(() => held.length === 63))
      assert.strictEqual(used.size, 65_535)
      inFlight.delete(4)
      held[1]!.answer()
      yield* fast(6)
      assert.deepStrictEqual(
        [1, 2, 3, 4, 5, 6, 7, 8, 9].map((id) => used.get(id)),
        [1, 2, 2, 2, 2, 2, 1, 2, 1]
      )
    }).pipe(quietly)
  )

  it.live("no more messages are in flight than the broker allows", () =>
    Effect.gen(function* () {
      const held: Array<FakeBroker.Taken> = []
      const { publish } = yield* open({
        properties: { receiveMaximum: 3 },
        take: (taken) => {
          held.push(taken)
          assert.isAtMost(held.length, 3)
        }
      })
      const told: Array<string> = []
      for (let i = 0; i < 20; i++) yield* publish(`${i}`)
      while (told.length < 20) {
        yield* Mqtt.until(Effect.sync(() => held.length === Math.min(3, 20 - told.length)))
        const [first] = held.splice(0, 1)
        told.push(first!.body)
        first!.answer(told.length % 2 === 0 ? 0 : 0x97)
      }
      assert.deepStrictEqual(
        told,
        Array.from({ length: 20 }, (_, i) => `${i}`)
      )
    }).pipe(quietly)
  )

  it.live("a message is sent if its size is within the limit of the broker to the byte, else it is refused", () =>
    Effect.gen(function* () {
      const bodies = ["x".repeat(978), "\u20ac".repeat(326), "x".repeat(979), "\u20ac".repeat(327), "last"]
      const taken: Array<string> = []
      const { publish } = yield* open({
        properties: { maximumPacketSize: 1_003 },
        take: ({ answer, body }) => {
          taken.push(body)
          answer()
        }
      })
      const outcomes = yield* Effect.forEach(bodies, (body) => Effect.result(publish(body)))
      assert.deepStrictEqual(
        outcomes.map((outcome) => (Result.isFailure(outcome) ? outcome.failure.reason : "sent")),
        ["sent", "sent", "too-large", "too-large", "sent"]
      )
      yield* Mqtt.until(Effect.sync(() => taken.includes("last")))
      assert.deepStrictEqual(
        taken.map((body) => bodies.indexOf(body)),
        [0, 1, 4]
      )
      assert.deepStrictEqual(yield* refused, { PacketTooLarge: 2 })
    }).pipe(quietly)
  )

  it.live("no message is sent to a broker without QoS 1, and the log says so", () =>
    Effect.gen(function* () {
      const taken: Array<FakeBroker.Taken> = []
      const said: Array<string> = []
      const { url } = yield* FakeBroker.make({ properties: { maximumQoS: 0 }, take: (one) => void taken.push(one) })
      yield* Effect.gen(function* () {
        const services = yield* Layer.build(MqttBroker.layer({ url }))
        yield* Context.get(services, Broker.Broker).publish(message("a"))
        yield* Mqtt.until(Effect.sync(() => said.length > 0))
        assert.isFalse((yield* Context.get(services, MqttBroker.MqttConnections).list).some(({ ready }) => ready))
      }).pipe(Effect.provide(Logger.layer([Logger.make((it) => void said.push(JSON.stringify(it.message)))])))
      assert.include(said[0], "the broker knows no QoS 1")
      assert.deepStrictEqual(taken, [])
    })
  )

  it.live("a subscription that the broker grants only with QoS 0 is refused, and the log says so", () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const { url } = yield* FakeBroker.make({ grants: 0, take: () => {} })
      yield* Effect.gen(function* () {
        const services = yield* Layer.build(MqttBroker.layer({ url, clientId: "a-1" }))
        const { subscribe } = Context.get(services, Broker.Broker)
        yield* Effect.forkScoped(Stream.runDrain(subscribe({ service: "a", kinds: ["command"] })))
        yield* Mqtt.until(Effect.sync(() => said.length > 0))
      }).pipe(Effect.provide(Logger.layer([Logger.make((it) => void said.push(JSON.stringify(it.message)))])))
      assert.include(said[0], "the broker refused the subscription")
    })
  )

  it.live("a message is sent again over the next connection, in its old order, and acknowledged there", () =>
    Effect.gen(function* () {
      const taken: Array<FakeBroker.Taken> = []
      const { publish } = yield* open({ take: (one) => void taken.push(one) })
      for (const body of ["a", "b", "c"]) yield* publish(body)
      yield* Mqtt.until(Effect.sync(() => taken.length === 3))
      taken[1]!.answer()
      taken[0]!.cut()
      yield* publish("d")
      const bodies = (from: number) => taken.slice(from).map(({ body }) => body)
      // The answer to the second may have come before the end, or not.
      yield* Mqtt.until(Effect.sync(() => bodies(3).includes("d")))
      assert.deepStrictEqual(
        bodies(3).filter((body) => body !== "b"),
        ["a", "c", "d"]
      )
      for (const { answer } of taken.splice(0)) answer(0x97)
      yield* Mqtt.until(Effect.map(refused, (counts) => (counts["Quota exceeded"] ?? 0) >= 3))
      // Everything is answered: nothing is on its way any more.
      assert.deepStrictEqual(bodies(0), [])
    }).pipe(quietly)
  )

  it.live("a message is given up when the third connection ends while it is in flight", () =>
    Effect.gen(function* () {
      let times = 0
      let isThere = false
      const { publish } = yield* open({
        take: ({ answer, body, cut }) => {
          if (body === "good") {
            isThere = true
            return answer()
          }
          times++
          cut()
        }
      })
      yield* publish("bad")
      yield* Mqtt.until(Effect.map(refused, ({ ConnectionLost = 0 }) => ConnectionLost === 1))
      assert.strictEqual(times, 3)
      yield* publish("good")
      yield* Mqtt.until(Effect.sync(() => isThere))
    }).pipe(quietly)
  )
})
