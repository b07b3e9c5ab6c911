/**
 * What a broker can do to sagas: end at any instruction, with or without what it has promised to keep, stop for a while,
 * not be there, deliver twice. Each runs against a Mosquitto of its own; without the program there are no such tests.
 * `SAGA_TEST_ORDERS` says how many sagas there are (`npm run chaos:mqtt`).
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Logger, Stream } from "effect"
import { Broker } from "effect-saga"
import { EmbeddedBroker } from "effect-saga/aedes"
import { MqttBroker } from "effect-saga/mqtt"
import * as Fleet from "../../fixtures/fleet.ts"
import * as Mosquitto from "../../fixtures/mosquitto.ts"
import { until } from "../../fixtures/mqtt.ts"

const orders = Number(process.env.SAGA_TEST_ORDERS ?? 36)
const timeout = orders * 1_000 + 60_000

/** Every service with its own connections, and what becomes of them. */
const connecting = (options: Omit<MqttBroker.MqttOptions, "clientId">) => {
  const all: Array<MqttBroker.MqttConnections["Service"]> = []
  const transport: Fleet.Transport = (clientId) =>
    Layer.tap(MqttBroker.layer({ ...options, clientId }), (services) =>
      Effect.sync(() => all.push(Context.get(services, MqttBroker.MqttConnections)))
    )
  const connected = (ready: boolean) =>
    until(
      Effect.map(Effect.all(all.map(({ list }) => list)), (lists) => lists.flat().every((it) => it.ready === ready))
    )
  return { transport, connected }
}

/** Every message that can be seen goes out a second time. */
const duplicating = Effect.fnUntraced(function* (url: string) {
  const services = yield* Layer.build(MqttBroker.layer({ url, clientId: "again" }))
  const { publish } = Context.get(services, Broker.Broker)
  return (transport: Fleet.Transport): Fleet.Transport =>
    (clientId) =>
      Layer.effect(
        Broker.Broker,
        Effect.map(Broker.Broker, (broker) => ({
          publish: (message) => Effect.andThen(broker.publish(message), Effect.ignore(publish(message))),
          subscribe: (group) => broker.subscribe(group)
        }))
      ).pipe(Layer.provide(transport(clientId)))
})

describe("over aedes", () => {
  it.live(
    "I4 no effect happens twice with MQTT 3.1.1, where every instance gets a copy of each message",
    () =>
      Effect.gen(function* () {
        const { url } = yield* EmbeddedBroker.make()
        const { connected, transport } = connecting({ url, protocol: 4 })
        const { place } = yield* Fleet.make(transport)
        yield* connected(true)
        // Every message comes to both instances of payments, and through one process.
        yield* place(Math.ceil(orders / 3))
      }),
    timeout
  )
})

if (Mosquitto.binary !== undefined) {
  describe("on a Mosquitto of its own", () => {
    for (const persistence of [true, false]) {
      it.live(
        `I11 every order settles, with no effect twice, when a broker ${persistence ? "with" : "without"} persistence is killed again and again`,
        () =>
          Effect.gen(function* () {
            const broker = yield* Mosquitto.started({ persistence })
            const { connected, transport } = connecting({ url: broker.url })
            const { place, progress } = yield* Fleet.make(transport)
            yield* connected(true)
            const placed = yield* Effect.forkChild(place(orders))
            for (const part of [1, 2, 3, 4]) {
              yield* progress(Math.floor((orders * 3 * part) / 5))
              yield* broker.kill
              yield* connected(false)
              yield* broker.start
            }
            yield* Fiber.join(placed)
          }),
        timeout
      )
    }

    it.live(
      "I11 every order settles when the broker stops answering for longer than the connections wait",
      () =>
        Effect.gen(function* () {
          const broker = yield* Mosquitto.started()
          const { connected, transport } = connecting({ url: broker.url, keepalive: "1 second" })
          const { place, progress } = yield* Fleet.make(transport)
          yield* connected(true)
          const placed = yield* Effect.forkChild(place(orders))
          yield* progress(orders)
          yield* broker.freeze
          // Nothing was closed: only silence can tell.
          yield* connected(false)
          yield* broker.thaw
          yield* Fiber.join(placed)
        }),
      timeout
    )

    it.live(
      "I11 orders settle that were placed before there was a broker",
      () =>
        Effect.gen(function* () {
          const broker = yield* Mosquitto.make()
          const { connected, transport } = connecting({ url: broker.url })
          const { place } = yield* Fleet.make(transport)
          const placed = yield* Effect.forkChild(place(orders))
          yield* connected(false)
          yield* broker.start
          yield* Fiber.join(placed)
        }),
      timeout
    )

    it.live(
      "I3 I4 no effect happens twice when every message is delivered twice",
      () =>
        Effect.gen(function* () {
          const broker = yield* Mosquitto.started()
          const { connected, transport } = connecting({ url: broker.url })
          const { place } = yield* Fleet.make((yield* duplicating(broker.url))(transport))
          yield* connected(true)
          yield* place(orders)
        }),
      timeout
    )

    it.live("two clients with the same id take turns, log it, and both get their messages", () => {
      const logged: Array<string> = []
      const logger = Logger.make(({ message }) => logged.push(JSON.stringify(message)))
      return Effect.gen(function* () {
        const broker = yield* Mosquitto.started()
        const arrived = new Set<string>()
        const instance = Effect.fnUntraced(function* () {
          const services = yield* Layer.build(MqttBroker.layer({ url: broker.url, clientId: "same" }))
          const { publish, subscribe } = Context.get(services, Broker.Broker)
          yield* subscribe({ service: "a", kinds: ["reply"] }).pipe(
            Stream.runForEach(({ acknowledge, body }) =>
              Effect.andThen(
                acknowledge,
                Effect.sync(() => arrived.add(body))
              )
            ),
            Effect.forkScoped
          )
          return { publish, connections: Context.get(services, MqttBroker.MqttConnections) }
        })
        const one = yield* instance()
        const isReady = Effect.map(one.connections.list, (all) => all.length === 2 && all.every(({ ready }) => ready))
        yield* until(isReady)
        yield* instance()
        // The client has lost its session to the other client, and takes it back.
        yield* until(Effect.map(isReady, (ready) => !ready))
        const bodies = Array.from({ length: 20 }, (_, i) => `${i}`)
        // Requests are repeated: a reply that arrives while the other client subscribes anew is lost.
        const send = Effect.suspend(() =>
          Effect.forEach(
            bodies.filter((body) => !arrived.has(body)),
            (body) => one.publish({ address: { to: "a", kind: "reply", from: "b" }, body })
          )
        )
        yield* Effect.repeat(Effect.andThen(send, Effect.sleep("100 millis")), {
          until: () => arrived.size === bodies.length
        })
        assert.match(logged.join(), /another client (may have|has) its id/)
      }).pipe(Effect.provide(Logger.layer([logger])))
    })
  })
}
