/**
 * `docs/mosquitto.acl` on a Mosquitto of the test's own, where there is one: a service that has been taken over can say
 * nothing in the name of another one, and hears nothing that is not for it (SPEC C12).
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Logger, Redacted, Schema, Stream } from "effect"
import {
  Broker,
  DeadLetters,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import type { Envelope } from "effect-saga/internals"
import { MqttBroker } from "effect-saga/mqtt"
import * as Mosquitto from "../../fixtures/mosquitto.ts"
import { ready, until } from "../../fixtures/mqtt.ts"
import * as RawMqtt from "../../fixtures/rawMqtt.ts"

const notAuthorized = 0x87

const users = { orders: "o-secret", stock: "s-secret", mallory: "m-secret" }
type User = keyof typeof users

const acl = fileURLToPath(new URL("../../../docs/mosquitto.acl", import.meta.url))
const guarded = Mosquitto.started({ acl, users })

/** The rules of replies to one instance. */
const ownWrite = "pattern write saga/v1/+/reply/%u/+\n"
const ownRead = "pattern read saga/v1/%u/reply/+/+\n"

/** The same rules for one namespace, as their comment says how to make them. */
const guardedFor = (namespace: string) =>
  guardedBy((rules) => rules.replaceAll(/^(pattern \w+) saga/gm, `$1 ${namespace}/saga`))

const guardedBy = (change: (rules: string) => string) =>
  Effect.gen(function* () {
    const folder = mkdtempSync(join(tmpdir(), "acl-"))
    yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
    const file = join(folder, "mosquitto.acl")
    writeFileSync(file, change(readFileSync(acl, "utf8")))
    return yield* Mosquitto.started({ acl: file, users })
  })

const broker = (url: string, user: User, options: Partial<MqttBroker.MqttOptions> = {}) =>
  Effect.gen(function* () {
    const password = Redacted.make(users[user])
    const services = yield* Layer.build(
      MqttBroker.layer({ url, clientId: `${user}-1`, username: user, password, ...options })
    )
    return {
      layer: Layer.succeedContext(services),
      ready: ready(Context.get(services, MqttBroker.MqttConnections)),
      ...Context.get(services, Broker.Broker)
    }
  })

const intruder = (url: string) => RawMqtt.connect(url, { username: "mallory", password: users.mallory })

const Stock = Participant.make("stock", { Reserve: { payload: { sku: Schema.String }, success: Schema.String } })

const Order = Saga.make("Order", { context: { sku: Schema.String } }).pipe(
  Saga.remote("place", { execute: { command: Stock.commands.Reserve, payload: ({ sku }) => ({ sku }) } }),
  Saga.commit
)

/** Dead letters of its own. */
const letters = () => {
  const service = DeadLetters.makeMemory()
  return {
    layer: Layer.succeed(DeadLetters.DeadLetters, service),
    reasons: Effect.map(Effect.orDie(service.list()), (list) => list.map(({ reason }) => reason).sort())
  }
}

const quietly = Effect.provide(Logger.layer([]))

if (Mosquitto.binary !== undefined) {
  describe("docs/mosquitto.acl", () => {
    it.live(
      "C12 a reply or vote in the name of another service is refused by the broker; one in the own name is a dead letter",
      () =>
        Effect.gen(function* () {
          const { url } = yield* guarded
          const orders = yield* broker(url, "orders")
          const dead = letters()
          const services = yield* Layer.build(
            SagaManager.layer([Order]).pipe(
              Layer.provide([
                SagaConfig.layer({ service: "orders" }),
                SagaExecutionRepository.layerMemory,
                TransactionCommitter.layerNone,
                orders.layer,
                dead.layer
              ])
            )
          )
          yield* orders.ready
          const manager = Context.get(services, SagaManager.SagaManager)
          const running = yield* SagaManager.execute(Order, { context: { sku: "book" } }).pipe(
            Effect.provideContext(services),
            Effect.forkChild
          )
          const paused = Effect.map(Effect.orDie(manager.find({ status: "paused" })), ({ items }) => items[0]?.uuid)
          yield* until(Effect.map(paused, (uuid) => uuid !== undefined))
          const saga = (yield* paused) ?? ""
          const forged = (inReplyTo: string, service: string) =>
            JSON.stringify({
              v: 1,
              id: `${inReplyTo}:reply`,
              op: "reply",
              saga,
              service,
              coordinator: "orders",
              inReplyTo,
              status: 200,
              content: "forged",
              relatedServices: [],
              transactions: [],
              notAfter: 1
            })
          const mallory = yield* intruder(url)
          for (const inReplyTo of [`${saga}:0:execute`, `${saga}:stock:reserve`]) {
            const asStock = yield* mallory.publish("saga/v1/orders/reply/stock", forged(inReplyTo, "stock"))
            assert.strictEqual(asStock, notAuthorized)
            const toOne = yield* mallory.publish("saga/v1/orders/reply/stock/i1", forged(inReplyTo, "stock"))
            assert.strictEqual(toOne, notAuthorized)
            const claiming = yield* mallory.publish("saga/v1/orders/reply/mallory", forged(inReplyTo, "stock"))
            assert.strictEqual(claiming, 0)
          }
          // Mallory replies in its own name to a request for another service.
          yield* mallory.publish("saga/v1/orders/reply/mallory", forged(`${saga}:0:execute`, "mallory"))
          yield* until(Effect.map(dead.reasons, (reasons) => reasons.length === 3))
          assert.deepStrictEqual(yield* dead.reasons, ["SenderMismatch", "SenderMismatch", "SenderMismatch"])
          assert.strictEqual((yield* manager.load(saga)).status, "paused")
          // The service that was asked is believed.
          const stock = yield* broker(url, "stock")
          yield* Layer.build(
            Participant.layer(Stock, { Reserve: ({ sku }) => Effect.succeed(`shelf of ${sku}`) }).pipe(
              Layer.provide([ParticipantStore.layerMemory, stock.layer])
            )
          )
          assert.strictEqual((yield* Fiber.join(running)).place, "shelf of book")
        }).pipe(quietly)
    )

    it.live(
      "C12 a commit in the name of another service is refused by the broker; one in the own name changes nothing",
      () =>
        Effect.gen(function* () {
          const { url } = yield* guarded
          const stock = yield* broker(url, "stock")
          const orders = yield* broker(url, "orders")
          const dead = letters()
          const committed: Array<string> = []
          yield* Layer.build(
            Participant.layer(
              Stock,
              { Reserve: () => Effect.succeed("shelf") },
              { commit: ({ uuid }) => Effect.sync(() => committed.push(uuid)) }
            ).pipe(Layer.provide([ParticipantStore.layerMemory, stock.layer, dead.layer]))
          )
          const replies: Array<Envelope.Envelope> = []
          yield* orders.subscribe({ service: "orders", kinds: ["reply"] }).pipe(
            Stream.runForEach((delivery) =>
              Effect.flatMap(Broker.decode(delivery), (envelope) => {
                replies.push(envelope)
                return delivery.acknowledge
              })
            ),
            Effect.forkScoped
          )
          yield* Effect.all([orders.ready, stock.ready])
          const saga = "018bcfe5-6800-7a38-9b46-54d90b1b8266"
          const message = (op: "execute" | "reserve" | "commit", coordinator: string): Envelope.Envelope => ({
            v: 1,
            id: op === "execute" ? `${saga}:0:execute` : `${saga}:stock:${op}`,
            op,
            saga,
            ...(op === "execute" && { path: "0" }),
            service: "stock",
            coordinator,
            content: op === "execute" ? { sku: "book" } : op === "reserve" ? ["0"] : null,
            relatedServices: [],
            transactions: [saga],
            notAfter: 8_000_000_000_000
          })
          const ask = Effect.fnUntraced(function* (op: "execute" | "reserve" | "commit") {
            yield* orders.publish(Broker.toMessage(message(op, "orders"), "Reserve"))
            yield* until(Effect.sync(() => replies.some(({ inReplyTo }) => inReplyTo === message(op, "orders").id)))
            return replies.find(({ inReplyTo }) => inReplyTo === message(op, "orders").id)?.status
          })
          assert.strictEqual(yield* ask("execute"), 200)
          assert.strictEqual(yield* ask("reserve"), 200)
          const mallory = yield* intruder(url)
          const body = (coordinator: string) => JSON.stringify(message("commit", coordinator))
          assert.strictEqual(yield* mallory.publish("saga/v1/stock/tx/orders", body("orders")), notAuthorized)
          assert.strictEqual(yield* mallory.publish("saga/v1/stock/tx/mallory", body("orders")), 0)
          assert.strictEqual(yield* mallory.publish("saga/v1/stock/tx/mallory", body("mallory")), 0)
          yield* until(Effect.map(dead.reasons, (reasons) => reasons.length === 2))
          assert.deepStrictEqual(yield* dead.reasons, ["SenderMismatch", "SenderMismatch"])
          assert.deepStrictEqual(committed, [])
          assert.strictEqual(yield* ask("commit"), 200)
          assert.deepStrictEqual(committed, [saga])
        }).pipe(quietly)
    )

    for (const [rules, missing] of [
      ["the rules", []],
      ["the rules of release 0.1.0", [ownWrite, ownRead]],
      ["a rule for readers only", [ownWrite]]
    ] as const)
      it.live(`C12 C13 with ${rules} replies come at once, to the instance that has asked or to any`, () =>
        Effect.gen(function* () {
          const { url } = yield* guardedBy((text) => missing.reduce((left, rule) => left.replace(rule, ""), text))
          const [orders, stock] = [yield* broker(url, "orders"), yield* broker(url, "stock")]
          yield* Layer.build(
            Participant.layer(Stock, { Reserve: ({ sku }) => Effect.succeed(sku) }).pipe(
              Layer.provide([ParticipantStore.layerMemory, stock.layer])
            )
          )
          const services = yield* Layer.build(
            SagaManager.layer([Order]).pipe(
              Layer.provide([
                // Nothing is sent again within the test.
                SagaConfig.layer({ service: "orders", resend: { initial: "1 minute", max: "1 minute" } }),
                SagaExecutionRepository.layerMemory,
                TransactionCommitter.layerNone,
                orders.layer
              ])
            )
          )
          yield* Effect.all([orders.ready, stock.ready])
          for (const sku of ["book", "pen"]) {
            const { place } = yield* Effect.provideContext(SagaManager.execute(Order, { context: { sku } }), services)
            assert.strictEqual(place, sku)
          }
        }).pipe(quietly)
      )

    it.live("C12 a service gets no message for another service, and no client connects without a password", () =>
      Effect.gen(function* () {
        const { url } = yield* guarded
        const mallory = yield* intruder(url)
        const heard: Array<string> = []
        mallory.client.on("message", (topic) => heard.push(topic))
        yield* Effect.promise(() => mallory.client.subscribeAsync("saga/v1/#", { qos: 1 }))
        yield* Effect.promise(() => mallory.client.subscribeAsync("$share/stock/saga/v1/stock/tx/+", { qos: 1 }))
        const orders = yield* broker(url, "orders")
        yield* orders.publish({ address: { to: "stock", kind: "tx", from: "orders" }, body: "secret" })
        yield* orders.publish({ address: { to: "mallory", kind: "tx", from: "orders" }, body: "hello" })
        yield* until(Effect.sync(() => heard.length > 0))
        assert.deepStrictEqual(heard, ["saga/v1/mallory/tx/orders"])
        const stranger = RawMqtt.connect(url, { username: "orders", password: "guessed", reconnectPeriod: 0 })
        assert.strictEqual((yield* Effect.exit(stranger))._tag, "Failure")
      })
    )

    it.live("C12 the rules for a namespace let its services work, and say nothing in another one", () =>
      Effect.gen(function* () {
        const { url } = yield* guardedFor("shop")
        const stock = yield* broker(url, "stock", { namespace: "shop" })
        const heard: Array<string> = []
        yield* stock.subscribe({ service: "stock", kinds: ["command", "tx"] }).pipe(
          Stream.runForEach(({ acknowledge, body }) =>
            Effect.andThen(
              acknowledge,
              Effect.sync(() => heard.push(body))
            )
          ),
          Effect.forkScoped
        )
        const orders = yield* broker(url, "orders", { namespace: "shop" })
        yield* Effect.all([orders.ready, stock.ready])
        const mallory = yield* intruder(url)
        for (const topic of ["saga/v1/stock/tx/orders", "saga/v1/stock/tx/mallory", "shop/saga/v1/stock/tx/orders"])
          assert.strictEqual(yield* mallory.publish(topic, "forged"), notAuthorized)
        yield* orders.publish({ address: { to: "stock", kind: "command", from: "orders", name: "Reserve" }, body: "1" })
        yield* orders.publish({ address: { to: "stock", kind: "tx", from: "orders" }, body: "2" })
        yield* until(Effect.sync(() => heard.length >= 2))
        assert.deepStrictEqual(heard.sort(), ["1", "2"])
      }).pipe(quietly)
    )

    it.live("I21 the error of a refused message names the broker, but neither password nor content", () =>
      Effect.gen(function* () {
        const { url } = yield* guarded
        const logged: Array<string> = []
        const logger = Logger.make((options) => {
          logged.push(JSON.stringify([options.message, String(options.cause)]))
        })
        yield* Effect.gen(function* () {
          const wrong = Redacted.make("not-the-secret")
          yield* Layer.build(MqttBroker.layer({ url, username: "orders", password: wrong }))
          yield* until(Effect.sync(() => logged.some((line) => line.includes("Not authorized"))))
          const mallory = yield* broker(url, "mallory")
          yield* mallory.publish({ address: { to: "orders", kind: "reply", from: "stock" }, body: "content-4111" })
          yield* until(Effect.sync(() => logged.some((line) => line.includes("did not take"))))
        }).pipe(Effect.provide(Logger.layer([logger])))
        const all = logged.join("\n")
        for (const secret of ["not-the-secret", users.mallory, "4111"]) assert.notInclude(all, secret)
      })
    )
  })
}
