/**
 * The broker suite over MQTT: 3.1.1 on aedes in the process, 5 on the server that `SAGA_TEST_MQTT_URL` names. And what is
 * particular to it: what it is told, what it keeps while nobody listens, and whose acknowledgement counts.
 */
import { writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import {
  ConfigProvider,
  Context,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Queue,
  Redacted,
  Schema,
  Scope,
  Stream
} from "effect"
import {
  Broker,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { EmbeddedBroker } from "effect-saga/aedes"
import { MqttBroker } from "effect-saga/mqtt"
import { BrokerSuite } from "effect-saga/testing/suites"
import * as Mosquitto from "../../fixtures/mosquitto.ts"
import * as Mqtt from "../../fixtures/mqtt.ts"
import * as RawMqtt from "../../fixtures/rawMqtt.ts"

const aedes = Mqtt.settling(Mqtt.aedes)

// With MQTT 3.1.1 there is nothing that several subscribers could share.
BrokerSuite.suite("aedes, MQTT 3.1.1", aedes.layer, {
  parts: ["core", "recovery"],
  settle: aedes.settle,
  excludeTestServices: true
})

if (Mqtt.url !== undefined) {
  // The suite asks for messages that came while nobody was there.
  const server = Mqtt.settling(
    MqttBroker.layer({ url: Mqtt.url, namespace: Mqtt.namespace(), sessionExpiry: "5 minutes" })
  )
  BrokerSuite.suite("MQTT 5", server.layer, { settle: server.settle, ownAddresses: true, excludeTestServices: true })
}

const quietly = Effect.provide(Logger.layer([]))

const open = (options: MqttBroker.MqttOptions) =>
  Effect.map(Layer.build(MqttBroker.layer(options)), (services) => ({
    ...Context.get(services, Broker.Broker),
    connections: Context.get(services, MqttBroker.MqttConnections),
    ready: Mqtt.ready(Context.get(services, MqttBroker.MqttConnections))
  }))

const message = (body: string): Broker.Message => ({ address: { to: "a", kind: "reply", from: "b" }, body })

/** Deliveries to `a`, acknowledged by hand. */
const deliveries = Effect.fnUntraced(function* ({ ready, subscribe }: Effect.Success<ReturnType<typeof open>>) {
  const arrived = yield* Queue.unbounded<Broker.Delivery>()
  const fiber = yield* subscribe({ service: "a", kinds: ["reply"] }).pipe(
    Stream.runForEach((delivery) => Queue.offer(arrived, delivery)),
    Effect.forkScoped({ startImmediately: true })
  )
  yield* ready
  return { next: Queue.take(arrived), end: Fiber.interrupt(fiber) }
})

/** A port that nobody listens on, for a broker that comes later. */
const laterPort = Effect.scoped(Effect.map(EmbeddedBroker.make(), ({ port }) => port))

describe("settings", () => {
  const url = "mqtt://127.0.0.1:1"
  const wrong: ReadonlyArray<readonly [string, MqttBroker.MqttOptions]> = [
    ["url", { url: "nowhere" }],
    ["url", { url: "http://broker" }],
    ["url", { url: "mqtt://" }],
    ["url", { url: "mqtt://user:4111@broker" }],
    ["tls", { url, tls: { ca: "-----BEGIN CERTIFICATE-----" } }],
    ["tls", { url: "mqtts://broker", tls: { certificate: "-----BEGIN CERTIFICATE-----" } }],
    // Deno looks at it when it connects.
    ...("deno" in process.versions
      ? []
      : ([["tls", { url: "mqtts://broker", tls: { certificate: "4111", key: Redacted.make("4111") } }]] as const)),
    ["clientId", { url, clientId: "" }],
    ["clientId", { url, clientId: "two words" }],
    ["keepalive", { url, keepalive: 0 }],
    ["sessionExpiry", { url, sessionExpiry: -1 }],
    ["namespace", { url, namespace: "" }],
    ["namespace", { url, namespace: "a/b" }],
    ["namespace", { url, namespace: "+" }],
    ["namespace", { url, namespace: "a".repeat(65) }],
    ["maxOutgoing", { url, maxOutgoing: 0 }]
  ]

  it.effect("settings that cannot work are refused by name when the layer is built, without their secrets", () =>
    Effect.gen(function* () {
      for (const [setting, options] of wrong) {
        const error = yield* Effect.flip(Effect.scoped(Layer.build(MqttBroker.layer(options))))
        assert.deepStrictEqual([error._tag, error.setting], ["InvalidSetting", `MqttBroker.${setting}`])
        assert.notInclude(error.message, "4111")
      }
    })
  )

  it.live("settings are read from the configuration", () =>
    Effect.gen(function* () {
      const broker = yield* EmbeddedBroker.make()
      const from = (variables: Record<string, string>) =>
        Layer.build(MqttBroker.layerConfig).pipe(
          Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(variables)))
        )
      const services = yield* from({
        SAGA_MQTT_URL: broker.url,
        SAGA_MQTT_PROTOCOL: "4",
        SAGA_MQTT_CLIENT_ID: "orders-1",
        SAGA_MQTT_NAMESPACE: "shop",
        SAGA_MQTT_USERNAME: "orders",
        SAGA_MQTT_PASSWORD: "secret",
        SAGA_MQTT_KEEPALIVE: "5 seconds",
        SAGA_MQTT_SESSION_EXPIRY: "1 hour",
        SAGA_MQTT_MAX_OUTGOING: "3000000"
      })
      const connections = Context.get(services, MqttBroker.MqttConnections)
      yield* Mqtt.ready(connections)
      const [sender] = yield* connections.list
      assert.match(sender?.clientId ?? "", /^shop\.orders-1\.out\./)

      const file = join(tmpdir(), `effect-saga-${process.pid}.pem`)
      writeFileSync(file, "no certificate")
      for (const [setting, variables] of [
        ["protocol", { SAGA_MQTT_URL: broker.url, SAGA_MQTT_PROTOCOL: "3" }],
        ["ca", { SAGA_MQTT_URL: broker.url, SAGA_MQTT_CA_FILE: "/nowhere/ca.pem" }],
        ["tls", { SAGA_MQTT_URL: broker.url, SAGA_MQTT_CA_FILE: file }]
      ] as const) {
        const error = yield* Effect.flip(from(variables))
        assert.strictEqual(error._tag === "InvalidSetting" ? error.setting : error._tag, `MqttBroker.${setting}`)
      }
      assert.strictEqual((yield* Effect.flip(from({})))._tag, "ConfigError")
    })
  )
})

describe("publishing", () => {
  it.live("C11 a name that no topic can have, or a message that is too large, is refused for good", () =>
    Effect.gen(function* () {
      const { publish } = yield* open({ url: "mqtt://127.0.0.1:1" })
      const { address } = message("")
      const wrong: ReadonlyArray<Broker.Message> = [
        { address: { ...address, to: "+" }, body: "" },
        { address: { ...address, from: "b/c" }, body: "" },
        { address: { ...address, kind: "command", name: "#" }, body: "" },
        { address: { ...address, kind: "command" }, body: "" },
        { address, body: "x".repeat(Broker.maxMessageBytes + 1) },
        { address, body: "\u20ac".repeat(Broker.maxMessageBytes / 3 + 1) }
      ]
      for (const one of wrong) {
        const error = yield* Effect.flip(publish(one))
        assert.deepStrictEqual([error.operation, error.reason], ["publish", "rejected"])
      }
    }).pipe(quietly)
  )

  it.live(
    "C13 without a broker, publish keeps messages up to its limit, refuses more, and sends the kept ones later",
    () =>
      Effect.gen(function* () {
        const port = yield* laterPort
        const { connections, publish } = yield* open({
          url: `mqtt://127.0.0.1:${port}`,
          protocol: 4,
          maxOutgoing: 2_097_152
        })
        let accepted = 0
        let error: Broker.BrokerError | undefined
        while (error === undefined) {
          const exit = yield* Effect.result(publish(message(`${accepted}`.padEnd(150_000))))
          if (exit._tag === "Failure") error = exit.failure
          else accepted++
        }
        assert.deepStrictEqual([error.reason, accepted > 10 && accepted < 20], ["unavailable", true])
        // Already waiting: it takes no more room.
        yield* publish(message("0".padEnd(150_000)))
        assert.deepStrictEqual(
          (yield* connections.list).map(({ ready }) => ready),
          [false]
        )
        yield* EmbeddedBroker.make({ port })
        const receiver = yield* open({ url: `mqtt://127.0.0.1:${port}`, protocol: 4, clientId: "receiver" })
        const { next } = yield* deliveries(receiver)
        // Kept messages may have been sent before there was a subscriber; there is room again.
        yield* Mqtt.until(Effect.map(Effect.exit(publish(message("last"))), Exit.isSuccess))
        yield* Mqtt.until(
          Effect.map(Effect.andThen(Effect.ignore(publish(message("last"))), next), ({ body }) => body === "last")
        )
      }).pipe(quietly)
  )
})

describe("receiving", () => {
  it.live("a subscription with a name that is no service is refused for good", () =>
    Effect.gen(function* () {
      const { subscribe } = yield* open({ url: "mqtt://127.0.0.1:1" })
      for (const group of [
        { service: "#", kinds: ["reply"] },
        { service: "a", kinds: [] },
        { service: "a", kinds: ["reply"], maxInFlight: 0 }
      ] as const) {
        const error = yield* Effect.flip(Stream.runDrain(subscribe(group)))
        assert.deepStrictEqual([error.operation, error.reason], ["subscribe", "rejected"])
      }
    }).pipe(quietly)
  )

  it.live("an instance that restarts under its client id gets the messages that arrived meanwhile", () =>
    Effect.gen(function* () {
      const { url } = yield* EmbeddedBroker.make()
      const options = { url, protocol: 4, clientId: "a-1" } as const
      const scope = yield* Scope.make()
      yield* Scope.provide(Effect.flatMap(open(options), deliveries), scope)
      yield* Scope.close(scope, Exit.void)
      const { publish } = yield* open({ url, protocol: 4, clientId: "b-1" })
      yield* publish(message("meanwhile"))
      const { next } = yield* deliveries(yield* open(options))
      assert.strictEqual((yield* next).body, "meanwhile")
    })
  )

  it.live("W2 an acknowledgement over a lost connection does not count: the message comes again until one counts", () =>
    Effect.gen(function* () {
      const { port } = yield* EmbeddedBroker.make()
      const { cut, url } = yield* Mqtt.line(port)
      const broker = yield* open({ url, protocol: 4, clientId: "x" })
      const { end, next } = yield* deliveries(broker)
      yield* broker.publish(message("1"))
      const first = yield* next
      yield* cut
      const second = yield* next
      assert.deepStrictEqual([first.redelivered, second.redelivered, second.body], [false, true, "1"])
      yield* first.acknowledge
      yield* end
      const again = yield* deliveries(broker)
      const third = yield* again.next
      assert.deepStrictEqual([third.redelivered, third.body], [true, "1"])
      yield* third.acknowledge
      yield* broker.publish(message("2"))
      assert.strictEqual((yield* again.next).body, "2")
    }).pipe(quietly)
  )
})

describe("a subscription says whether it stands", () => {
  it.live("F10 C20 not before the broker is there, and not while its connection is lost", () =>
    Effect.gen(function* () {
      const { port } = yield* EmbeddedBroker.make()
      const { cut, url } = yield* Mqtt.line(port)
      const { subscribe } = yield* open({ url, protocol: 4 })
      const told: Array<boolean> = []
      const reading = yield* subscribe({ service: "a", kinds: ["reply"], onStanding: (it) => told.push(it) }).pipe(
        Stream.runDrain,
        Effect.forkScoped({ startImmediately: true })
      )
      assert.deepStrictEqual(told, [false])
      yield* Mqtt.until(Effect.sync(() => told.length === 2))
      yield* cut
      yield* Mqtt.until(Effect.sync(() => told.length === 4))
      yield* Fiber.interrupt(reading)
      assert.deepStrictEqual(told, [false, true, false, true, false])
    }).pipe(quietly)
  )
})

describe("overload", () => {
  const Stock = Participant.make("stock", { Reserve: { payload: { sku: Schema.String } } })
  const Order = Saga.make("Order", { context: { sku: Schema.String } }).pipe(
    Saga.remote("place", { execute: { command: Stock.commands.Reserve, payload: ({ sku }) => ({ sku }) } }),
    Saga.commit
  )

  it.live("C13 an execution that waits for a broker that is away holds no place, and ends when it is back", () =>
    Effect.gen(function* () {
      const port = yield* laterPort
      const transport = yield* Layer.build(MqttBroker.layer({ url: `mqtt://127.0.0.1:${port}`, protocol: 4 }))
      const services = yield* Layer.build(
        Layer.mergeAll(SagaManager.layer([Order]), Participant.layer(Stock, { Reserve: () => Effect.void })).pipe(
          Layer.provide([
            SagaConfig.layer({ service: "orders", maxPending: 5 }),
            SagaExecutionRepository.layerMemory,
            ParticipantStore.layerMemory,
            TransactionCommitter.layerNone,
            Layer.succeedContext(transport)
          ])
        )
      )
      const order = Effect.provideContext(SagaManager.execute(Order, { context: { sku: "book" } }), services)
      const pending = yield* Effect.forEach([1, 2, 3, 4, 5], () => Effect.forkChild(order, { startImmediately: true }))
      const more = yield* Effect.forkChild(order, { startImmediately: true })
      yield* EmbeddedBroker.make({ port })
      yield* Effect.forEach([...pending, more], Fiber.join)
    }).pipe(quietly)
  )
})

if (Mosquitto.binary !== undefined) {
  describe("on a Mosquitto of its own", () => {
    it.live("every instance gets messages again after a restart of a broker that loses shared subscriptions", () =>
      Effect.gen(function* () {
        const server = yield* Mosquitto.started({ persistence: true })
        const instances = yield* Effect.forEach(["a-1", "a-2"], (clientId) => open({ url: server.url, clientId }))
        const [one, two] = yield* Effect.forEach(instances, deliveries)
        const all = (ready: boolean) =>
          Mqtt.until(
            Effect.map(Effect.all(instances.map(({ connections }) => connections.list)), (lists) =>
              lists.flat().every((it) => it.ready === ready)
            )
          )
        yield* server.stop
        yield* all(false)
        yield* server.start
        yield* all(true)
        for (const body of ["1", "2", "3", "4"]) yield* instances[0]!.publish(message(body))
        const arrived = yield* Effect.all([one!.next, two!.next, one!.next, two!.next])
        assert.deepStrictEqual(arrived.map(({ body }) => body).sort(), ["1", "2", "3", "4"])
      }).pipe(quietly)
    )

    it.live("C12 a sender may want the reply at an instance of its own service, and nowhere else", () =>
      Effect.gen(function* () {
        const { url } = yield* Mosquitto.started()
        const { ready, subscribe } = yield* open({ url, namespace: "shop" })
        const arrived = yield* Queue.unbounded<Broker.Delivery>()
        yield* subscribe({ service: "stock", kinds: ["tx"] }).pipe(
          Stream.runForEach((delivery) => Queue.offer(arrived, delivery)),
          Effect.forkScoped({ startImmediately: true })
        )
        yield* ready
        const { client } = yield* RawMqtt.connect(url)
        const wanted = [
          "shop/saga/v1/orders/reply/stock/i1",
          "shop/saga/v1/orders/reply/stock",
          "shop/saga/v1/payments/reply/stock/i1",
          "shop/saga/v1/orders/reply/payments/i1",
          "shop/saga/v1/orders/command/stock/i1",
          "saga/v1/orders/reply/stock/i1",
          "shop/saga/v1/orders/reply/stock/+"
        ]
        const found: Array<string | undefined> = []
        for (const responseTopic of wanted) {
          const sent = client.publishAsync("shop/saga/v1/stock/tx/orders", "1", {
            qos: 1,
            properties: { responseTopic }
          })
          // A topic with a wildcard is no topic: a broker may refuse it.
          yield* Effect.ignore(Effect.tryPromise(() => sent))
          const next = yield* Effect.timeoutOption(Queue.take(arrived), "1 second")
          if (next._tag === "Some") found.push(next.value.replyTo)
        }
        assert.deepStrictEqual([found[0], new Set(found.slice(1))], ["i1", new Set([undefined])])
        assert.isTrue(found.length >= 6)
      }).pipe(quietly)
    )

    it.live("an instance without a client id leaves no session behind that takes messages from others", () =>
      Effect.gen(function* () {
        const { url } = yield* Mosquitto.started()
        const stays = yield* open({ url })
        const { next } = yield* deliveries(stays)
        yield* Effect.scoped(Effect.flatMap(open({ url }), deliveries))
        const bodies = ["1", "2", "3", "4", "5", "6"]
        for (const body of bodies) yield* stays.publish(message(body))
        const arrived = yield* Effect.forEach(bodies, () => Effect.tap(next, ({ acknowledge }) => acknowledge))
        assert.deepStrictEqual(
          arrived.map(({ body }) => body),
          bodies
        )
      }).pipe(quietly)
    )
  })

  const { settle, layer } = Mqtt.settling(
    Layer.unwrap(Effect.map(Mosquitto.started(), ({ url }) => MqttBroker.layer({ url, protocol: 4 })))
  )
  BrokerSuite.suite("Mosquitto, MQTT 3.1.1", layer, {
    parts: ["core", "recovery"],
    settle,
    excludeTestServices: true
  })
}
