/**
 * `docs/nats-permissions.conf` on a NATS server of the test's own, where there is one: a service that has been taken over can say
 * nothing in the name of another one, and hears nothing that is not for it (SPEC C12).
 */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { jetstreamManager } from "@nats-io/jetstream"
import { ConfigProvider, Effect, Layer, Logger, Redacted, Schema, Stream } from "effect"
import {
  type Broker,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { NatsBroker } from "effect-saga/nats"
import { makeStreams } from "../../../examples/nats/streams.ts"
import { until } from "../../fixtures/mqtt.ts"
import * as Nats from "../../fixtures/nats.ts"

const passwords = {
  DEPLOY_PASSWORD: "d-secret",
  ORDERS_PASSWORD: "o-secret",
  PAYMENTS_PASSWORD: "p-secret",
  SHIPPING_PASSWORD: "s-secret"
}

const permissions = readFileSync(new URL("../../../docs/nats-permissions.conf", import.meta.url), "utf8")

const options = (url: string, user: "deploy" | "orders" | "payments" | "shipping"): NatsBroker.NatsOptions => ({
  url,
  username: user,
  password: Redacted.make(passwords[`${user.toUpperCase()}_PASSWORD` as keyof typeof passwords])
})

/** A server with the streams of three services. */
const guardedBy = Effect.fnUntraced(function* (rules: string) {
  const { url } = yield* Nats.started([rules], passwords)
  const variables = { SAGA_NATS_URL: url, SAGA_NATS_USERNAME: "deploy", SAGA_NATS_PASSWORD: passwords.DEPLOY_PASSWORD }
  yield* Effect.provide(makeStreams, ConfigProvider.layer(ConfigProvider.fromUnknown(variables)))
  return url
})

const guarded = guardedBy(permissions)

/** A client that has taken over the service `shipping`. */
const intruder = (url: string) => Nats.raw(url, { user: "shipping", pass: passwords.SHIPPING_PASSWORD })

const refused = (request: () => Promise<unknown>) =>
  Effect.map(Effect.flip(Effect.tryPromise(request)), ({ cause }) => `${cause}`)

const Payments = Participant.make("payments", { Charge: { payload: { amount: Schema.Int }, success: Schema.Int } })

const Pay = Saga.make("Pay", { context: { amount: Schema.Int } }).pipe(
  Saga.remote("paid", { execute: { command: Payments.commands.Charge, payload: ({ amount }) => ({ amount }) } }),
  Saga.commit
)

const quietly = Effect.provide(Logger.layer([]))

if (Nats.binary !== undefined) {
  describe("docs/nats-permissions.conf", () => {
    it.live("lets the services work with each other", () =>
      Effect.gen(function* () {
        const url = yield* guarded
        const orders = yield* Nats.open(options(url, "orders"))
        const payments = yield* Nats.open(options(url, "payments"))
        yield* Layer.build(
          Participant.layer(Payments, { Charge: ({ amount }) => Effect.succeed(amount) }).pipe(
            Layer.provide([ParticipantStore.layerMemory, payments.layer])
          )
        )
        const manager = yield* Layer.build(
          SagaManager.layer([Pay]).pipe(
            Layer.provide([
              SagaConfig.layer({ service: "orders" }),
              SagaExecutionRepository.layerMemory,
              TransactionCommitter.layerNone,
              orders.layer
            ])
          )
        )
        const { paid } = yield* Effect.provideContext(SagaManager.execute(Pay, { context: { amount: 7 } }), manager)
        assert.strictEqual(paid, 7)
      }).pipe(quietly)
    )

    it.live("C12 a service can say nothing in the name of another one", () =>
      Effect.gen(function* () {
        const url = yield* guarded
        const heard: Array<Broker.Message> = []
        const orders = yield* Nats.open(options(url, "orders"))
        yield* orders.subscribe({ service: "orders", kinds: ["reply", "status"] }).pipe(
          Stream.runForEach(({ acknowledge, address, body }) =>
            Effect.andThen(
              acknowledge,
              Effect.sync(() => heard.push({ address, body }))
            )
          ),
          Effect.forkScoped({ startImmediately: true })
        )
        yield* orders.ready
        const mallory = yield* intruder(url)
        const say = (subject: string) => mallory.request(subject, "forged", { timeout: 2_000 })
        for (const subject of [
          "saga.v1.orders.reply.payments",
          "saga.v1.orders.reply.payments.i1",
          "saga.v1.payments.tx.orders",
          "$JS.API.INFO"
        ])
          assert.include(yield* refused(() => say(subject)), "Permissions Violation")
        // A message to itself, that the server is asked to deliver to another service: it keeps the name of its sender.
        yield* Effect.promise(() => say("saga.v1.shipping.reply.shipping"))
        mallory.publish("$JS.API.CONSUMER.MSG.NEXT.saga+v1+shipping.reply", '{"batch":1}', {
          reply: "saga.v1.orders.reply.payments"
        })
        yield* Effect.promise(() => say("saga.v1.orders.reply.shipping"))
        yield* until(Effect.sync(() => heard.length > 0))
        yield* Effect.promise(() => say("saga.v1.orders.status.shipping"))
        yield* until(Effect.sync(() => heard.length > 1))
        assert.deepStrictEqual(
          heard.map(({ address: { from, kind, to } }) => [to, kind, from]),
          [
            ["orders", "reply", "shipping"],
            ["orders", "status", "shipping"]
          ]
        )
      }).pipe(quietly)
    )

    it.live("C12 C13 a reply reaches the instance that has asked, and its word about it goes to no other place", () =>
      Effect.gen(function* () {
        const url = yield* guarded
        const heard: Array<string> = []
        const own: { address: string | undefined } = { address: undefined }
        const group: Broker.Group = {
          service: "orders",
          kinds: ["reply"],
          onOwnAddress: (address) => {
            own.address = address
          }
        }
        const orders = yield* Nats.open(options(url, "orders"))
        const listening = orders.subscribe(group).pipe(
          Stream.runForEach(({ acknowledge, address, body }) =>
            Effect.andThen(
              acknowledge,
              Effect.sync(() => heard.push(`${address.from} ${body}`))
            )
          )
        )
        yield* Effect.forkScoped(listening, { startImmediately: true })
        yield* orders.ready
        assert.isDefined(own.address)
        const mallory = yield* intruder(url)
        const word = yield* Effect.promise(() =>
          mallory.request(`saga.v1.orders.reply.shipping.${own.address}`, "1", { timeout: 2_000 })
        )
        assert.strictEqual(word.string(), "+ACK")
        // The word would be a message of orders to payments.
        mallory.publish(`saga.v1.orders.reply.shipping.${own.address}`, "2", { reply: "saga.v1.payments.tx.orders" })
        yield* until(Effect.sync(() => heard.length === 2))
        assert.deepStrictEqual(heard, ["shipping 1", "shipping 2"])
        yield* orders.publish({ address: { to: "payments", kind: "tx", from: "orders" }, body: "3" })
        const payments = yield* Nats.open(options(url, "payments"))
        const [first] = yield* payments
          .subscribe({ service: "payments", kinds: ["tx"] })
          .pipe(Stream.take(1), Stream.runCollect)
        assert.strictEqual(first?.body, "3")
      }).pipe(quietly)
    )

    it.live("C13 with the permissions of a release without own addresses replies come at once, to any instance", () =>
      Effect.gen(function* () {
        const former = permissions
          .replaceAll(/, "saga\.v1\.\*\.reply\.\w+\.\*"/g, "")
          .replaceAll(/, "saga\.v1\.\w+\.reply\.\*\.\*"/g, "")
          .replaceAll("allow_responses: true", "")
        assert.isBelow(former.length, permissions.length - 100)
        const url = yield* guardedBy(former)
        const orders = yield* Nats.open(options(url, "orders"))
        const payments = yield* Nats.open(options(url, "payments"))
        const told: Array<string | undefined> = []
        const heard: Array<string> = []
        const onOwnAddress = (address: string | undefined) => void told.push(address)
        yield* orders.subscribe({ service: "orders", kinds: ["reply"], onOwnAddress }).pipe(
          Stream.runForEach(({ body }) => Effect.sync(() => heard.push(body))),
          Effect.forkScoped({ startImmediately: true })
        )
        yield* orders.ready
        // The sender may not write to it.
        yield* payments.publish({
          address: { to: "orders", kind: "reply", from: "payments", instance: "i1" },
          body: "1"
        })
        yield* until(Effect.sync(() => heard.length === 1))
        assert.deepStrictEqual(told, [])
      }).pipe(quietly)
    )

    it.live("C12 a service hears nothing that is not for it, and makes no streams and consumers", () =>
      Effect.gen(function* () {
        const url = yield* guarded
        const mallory = yield* intruder(url)
        const heard: Array<string> = []
        const denied: Array<string> = []
        for (const subject of ["saga.v1.>", "_INBOX.orders.>", "_INBOX.>", "$JS.ACK.>", ">"])
          mallory.subscribe(subject, {
            callback: (error, { subject: from }) => void (error ? denied.push(subject) : heard.push(from))
          })
        yield* Effect.promise(() => mallory.flush())
        const orders = yield* Nats.open(options(url, "orders"))
        yield* orders.ready
        yield* orders.publish({ address: { to: "payments", kind: "tx", from: "orders" }, body: "secret" })
        const payments = yield* Nats.open(options(url, "payments"))
        const got = yield* payments
          .subscribe({ service: "payments", kinds: ["tx"] })
          .pipe(Stream.take(1), Stream.runCollect)
        assert.deepStrictEqual(
          Array.from(got, ({ body }) => body),
          ["secret"]
        )
        assert.deepStrictEqual([denied.length, heard], [5, []])
        const own = yield* Effect.flip(NatsBroker.makeStreams(options(url, "shipping"), ["stock"]))
        assert.match(own.message, /^The broker could not subscribe: stream saga\+v1\+stock: Permissions Violation/)
        const manager = yield* Effect.promise(() => jetstreamManager(mallory, { checkAPI: false }))
        const attempts: ReadonlyArray<() => Promise<unknown>> = [
          () => mallory.request("$JS.API.CONSUMER.MSG.NEXT.saga+v1+payments.tx", "", { timeout: 2_000 }),
          () => manager.streams.info("saga+v1+payments"),
          () => manager.streams.add({ name: "mine", subjects: ["mine.>"] }),
          () => manager.streams.update("saga+v1+shipping", { subjects: ["saga.v1.>"] }),
          () => manager.consumers.add("saga+v1+shipping", { durable_name: "mine" }),
          () => manager.streams.delete("saga+v1+payments")
        ]
        for (const attempt of attempts) assert.include(yield* refused(attempt), "Permissions Violation")
        assert.include(
          yield* refused(() => Effect.runPromise(Effect.scoped(strangers(url)))),
          "Authorization Violation"
        )
      }).pipe(quietly)
    )

    it.live("I21 the log names what is refused, but neither password nor content", () =>
      Effect.gen(function* () {
        const url = yield* guarded
        const logged: Array<string> = []
        const logger = Logger.make((it) => void logged.push(JSON.stringify([it.message, String(it.cause)])))
        yield* Effect.gen(function* () {
          yield* Nats.open({ ...options(url, "orders"), password: Redacted.make("not-the-secret") })
          yield* until(Effect.sync(() => logged.some((line) => line.includes("Authorization Violation"))))
          const shipping = yield* Nats.open(options(url, "shipping"))
          yield* shipping.publish({ address: { to: "orders", kind: "reply", from: "payments" }, body: "content-4111" })
          yield* until(Effect.sync(() => logged.some((line) => line.includes("not authorized"))))
        }).pipe(Effect.provide(Logger.layer([logger])))
        for (const secret of ["not-the-secret", passwords.SHIPPING_PASSWORD, "4111"])
          assert.notInclude(logged.join("\n"), secret)
      })
    )
  })
}

/** Somebody without a password. */
const strangers = (url: string) => Nats.raw(url, { user: "orders", pass: "guessed" })
