/** Who gets which messages: sessions that others have left at the broker (F38), and several applications on one. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Queue, Stream } from "effect"
import { Broker } from "effect-saga"
import { EmbeddedBroker } from "effect-saga/aedes"
import { MqttBroker } from "effect-saga/mqtt"
import * as Mosquitto from "../../fixtures/mosquitto.ts"
import { ready, until } from "../../fixtures/mqtt.ts"
import * as RawMqtt from "../../fixtures/rawMqtt.ts"

const quietly = Effect.provide(Logger.layer([]))

/** A process of the service `a` that receives. */
const receiver = Effect.fnUntraced(function* (options: MqttBroker.MqttOptions) {
  const services = yield* Layer.build(MqttBroker.layer(options))
  const { publish, subscribe } = Context.get(services, Broker.Broker)
  const bodies = yield* Queue.unbounded<string>()
  yield* subscribe({ service: "a", kinds: ["reply"] }).pipe(
    Stream.runForEach(({ acknowledge, body }) => Effect.andThen(Queue.offer(bodies, body), acknowledge)),
    Effect.forkScoped({ startImmediately: true })
  )
  yield* ready(Context.get(services, MqttBroker.MqttConnections))
  const send = (body: string) => publish({ address: { to: "a", kind: "reply", from: "b" }, body })
  return { send, bodies }
})

const texts = Array.from({ length: 20 }, (_, n) => `${n}`)

const take = (bodies: Queue.Dequeue<string>, count: number) =>
  Effect.map(
    Effect.forEach(Array.from({ length: count }), () => Queue.take(bodies)),
    (all) => all.sort()
  )

/** What release 0.1.0 asks the broker for, for the replies to `a`. */
const former = "$share/a/saga/v1/a/reply/+"

if (Mosquitto.binary !== undefined) {
  describe("F38 sessions that others have left at the broker", () => {
    const left = (url: string, clientId: string) =>
      Effect.scoped(
        Effect.gen(function* () {
          const { client } = yield* RawMqtt.connect(url, {
            clientId,
            clean: false,
            properties: { sessionExpiryInterval: 86_400 }
          })
          yield* Effect.promise(() => client.subscribeAsync(former, { qos: 1 }))
          client.stream.destroy()
        })
      )

    it.live("F38 seven of a former release get copies of what is sent, and take nothing away", () =>
      Effect.gen(function* () {
        const { url } = yield* Mosquitto.started()
        yield* Effect.forEach([1, 2, 3, 4, 5, 6, 7], (n) => left(url, `orders-${n}.a.reply`))
        const { bodies, send } = yield* receiver({ url, clientId: "orders-8" })
        yield* Effect.forEach(texts, send)
        assert.deepStrictEqual(yield* take(bodies, texts.length), [...texts].sort())
      }).pipe(quietly)
    )

    it.live("F38 an instance that comes back with a newer release gets each message once", () =>
      Effect.gen(function* () {
        const { url } = yield* Mosquitto.started()
        yield* left(url, "orders-1.a.reply")
        const { bodies, send } = yield* receiver({ url, clientId: "orders-1" })
        yield* Effect.forEach([...texts, "last"], send)
        const all = yield* take(bodies, texts.length + 1)
        assert.deepStrictEqual(all, [...texts, "last"].sort())
        assert.strictEqual(yield* Queue.size(bodies), 0)
      }).pipe(quietly)
    )

    it.live("F38 a living instance of a former release gets each message too", () =>
      Effect.gen(function* () {
        const { url } = yield* Mosquitto.started()
        const old = yield* RawMqtt.connect(url)
        const heard: Array<string> = []
        old.client.on("message", (_, payload) => heard.push(payload.toString()))
        yield* Effect.promise(() => old.client.subscribeAsync(former, { qos: 1 }))
        const { bodies, send } = yield* receiver({ url })
        yield* Effect.forEach(texts, send)
        assert.deepStrictEqual(yield* take(bodies, texts.length), [...texts].sort())
        yield* until(Effect.sync(() => heard.length === texts.length))
      }).pipe(quietly)
    )
  })
}

describe("several applications on one broker", () => {
  const both = (url: string, version: 4 | 5) =>
    Effect.gen(function* () {
      const options = { url, protocol: version, clientId: "a-1" } as const
      const shop = yield* receiver({ ...options, namespace: "shop" })
      const bank = yield* receiver({ ...options, namespace: "bank" })
      const none = yield* receiver(options)
      for (const [name, { send }] of [
        ["shop", shop],
        ["bank", bank],
        ["none", none]
      ] as const)
        yield* Effect.forEach(texts, (text) => send(`${name} ${text}`))
      for (const [name, { bodies }] of [
        ["shop", shop],
        ["bank", bank],
        ["none", none]
      ] as const) {
        assert.deepStrictEqual(yield* take(bodies, texts.length), texts.map((text) => `${name} ${text}`).sort())
        assert.strictEqual(yield* Queue.size(bodies), 0)
      }
    }).pipe(quietly)

  it.live("have a namespace each, and services with the same names and client ids share nothing", () =>
    Effect.flatMap(EmbeddedBroker.make(), ({ url }) => both(url, 4))
  )

  if (Mosquitto.binary !== undefined) {
    it.live("also with MQTT 5, where the instances of a service share messages", () =>
      Effect.flatMap(Mosquitto.started(), ({ url }) => both(url, 5))
    )
  }
})
