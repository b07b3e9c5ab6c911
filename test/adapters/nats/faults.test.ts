/**
 * What a NATS server can do to sagas: end at any instruction, with or without what it has stored, stand still, not be there, refuse,
 * deliver what makes no sense. Each runs against a server of its own; without the program there are no such tests.
 */
import { assert, describe, it } from "@effect/vitest"
import { jetstreamManager } from "@nats-io/jetstream"
import { Context, Effect, Fiber, Layer, Logger, Queue, Stream } from "effect"
import type { Broker } from "effect-saga"
import { NatsBroker } from "effect-saga/nats"
import * as Loop from "../../../src/ports/Loop.ts"
import * as Fleet from "../../fixtures/fleet.ts"
import { counting, outcomes } from "../../fixtures/manager.ts"
import { until } from "../../fixtures/mqtt.ts"
import * as Nats from "../../fixtures/nats.ts"
import * as StockOver from "../../fixtures/stockOver.ts"

const orders = Number(process.env.SAGA_TEST_ORDERS ?? 12)
const timeout = orders * 1_000 + 60_000

/** Every service with its own connection, and what becomes of them. */
const connecting = (options: NatsBroker.NatsOptions) => {
  const all: Array<NatsBroker.NatsConnections["Service"]> = []
  const transport: Fleet.Transport = () =>
    Layer.tap(Layer.fresh(NatsBroker.layer(options)), (services) =>
      Effect.sync(() => all.push(Context.get(services, NatsBroker.NatsConnections)))
    )
  const connected = (stands: boolean) => Effect.forEach(all, (one) => Nats.ready(one, stands), { discard: true })
  return { transport, connected }
}

const quietly = Effect.provide(Logger.layer([]))

const message = (body: string, to = "a"): Broker.Message => ({ address: { to, kind: "reply", from: "b" }, body })

/** Deliveries to `a`, acknowledged by hand. */
const deliveries = Effect.fnUntraced(function* (
  { ready, subscribe }: Effect.Success<ReturnType<typeof Nats.open>>,
  maxInFlight = 64
) {
  const arrived = yield* Queue.unbounded<Broker.Delivery>()
  const fiber = yield* subscribe({ service: "a", kinds: ["reply"], maxInFlight }).pipe(
    Stream.runForEach((delivery) => Queue.offer(arrived, delivery)),
    Effect.forkScoped({ startImmediately: true })
  )
  yield* ready
  const next = Queue.take(arrived)
  return { next, handled: Effect.tap(next, ({ acknowledge }) => acknowledge), end: Fiber.interrupt(fiber) }
})

if (Nats.binary !== undefined) {
  describe("on a NATS server of its own", { concurrent: true }, () => {
    for (const kept of [true, false]) {
      it.live(
        `I11 every order settles, with no effect twice, when a server that ${kept ? "keeps" : "forgets"} its streams is killed again and again`,
        () =>
          Effect.gen(function* () {
            const server = yield* Nats.started()
            const { connected, transport } = connecting({ url: server.url })
            const { place, progress } = yield* Fleet.make(transport)
            yield* connected(true)
            const placed = yield* Effect.forkChild(place(orders))
            for (const part of [1, 2]) {
              yield* progress(orders * part)
              yield* server.kill
              yield* connected(false)
              if (!kept) yield* server.forget
              yield* server.start
            }
            yield* Fiber.join(placed)
          }).pipe(quietly),
        timeout
      )
    }

    it.live(
      "I11 every order settles when the server stops answering for longer than the connections wait",
      () =>
        Effect.gen(function* () {
          const server = yield* Nats.started()
          const { connected, transport } = connecting({ url: server.url, keepalive: "400 millis" })
          const { place, progress } = yield* Fleet.make(transport)
          yield* connected(true)
          const placed = yield* Effect.forkChild(place(orders))
          yield* progress(orders)
          yield* server.freeze
          // Nothing was closed: only silence can tell.
          yield* connected(false)
          yield* server.thaw
          yield* Fiber.join(placed)
        }).pipe(quietly),
      timeout
    )

    it.live(
      "I11 orders settle that were placed before there was a server",
      () =>
        Effect.gen(function* () {
          const server = yield* Nats.make()
          const { connected, transport } = connecting({ url: server.url })
          const { place } = yield* Fleet.make(transport)
          const placed = yield* Effect.forkChild(place(orders))
          yield* connected(false)
          yield* server.start
          yield* Fiber.join(placed)
        }).pipe(quietly),
      timeout
    )

    it.live(
      "messages of an instance that ends with its connection come again, and its acknowledgement counts no more",
      () =>
        Effect.gen(function* () {
          const server = yield* Nats.started()
          const broker = yield* Nats.open({ url: server.url, ackWait: "1 second" })
          const one = yield* deliveries(broker)
          yield* broker.publish(message("1"))
          const { acknowledge, redelivered } = yield* one.next
          assert.isFalse(redelivered)
          yield* server.kill
          yield* broker.lost
          yield* server.start
          yield* broker.ready
          // It may be the number of another message by now.
          yield* acknowledge
          const again = yield* one.next
          assert.deepStrictEqual([again.body, again.redelivered], ["1", true])
          yield* again.acknowledge
        }).pipe(quietly)
    )

    it.live("C13 a message of a handler that takes longer than the server waits stays with it", () =>
      Effect.gen(function* () {
        const { url } = yield* Nats.started()
        const slow = yield* deliveries(yield* Nats.open({ url, ackWait: "2 seconds" }))
        const other = yield* Nats.open({ url })
        const idle = yield* deliveries(other)
        yield* other.publish(message("1"))
        const { acknowledge, redelivered } = yield* Effect.raceFirst(slow.next, idle.next)
        assert.isFalse(redelivered)
        const again = Effect.raceFirst(slow.next, idle.next)
        assert.isTrue((yield* Effect.timeoutOption(again, "4500 millis"))._tag === "None")
        yield* acknowledge
      }).pipe(quietly)
    )

    it.live("C13 what an instance may not have goes to the others, however long it holds what it has", () =>
      Effect.gen(function* () {
        const { url } = yield* Nats.started()
        const broker = yield* Nats.open({ url })
        const full = yield* deliveries(broker, 2)
        for (const body of ["1", "2", "3", "4"]) yield* broker.publish(message(body))
        yield* full.next
        yield* full.next
        const other = yield* deliveries(yield* Nats.open({ url }))
        const soon = Effect.timeout(other.handled, "20 seconds")
        const got = [yield* soon, yield* soon]
        assert.deepStrictEqual(
          got.map(({ body, redelivered }) => [body, redelivered]),
          [
            ["3", false],
            ["4", false]
          ]
        )
      }).pipe(quietly)
    )

    it.live("a stream that an operator deletes is made again, and messages come again", () =>
      Effect.gen(function* () {
        const { url } = yield* Nats.started()
        const broker = yield* Nats.open({ url })
        const { handled } = yield* deliveries(broker)
        const raw = yield* Nats.raw(url)
        const manager = yield* Effect.promise(() => jetstreamManager(raw))
        yield* Effect.promise(() => manager.streams.delete("saga+v1+a"))
        yield* broker.lostOne
        yield* broker.ready
        yield* broker.publish(message("1"))
        assert.strictEqual((yield* handled).body, "1")
      }).pipe(quietly)
    )

    it.live("C11 a message over the limit of the server is refused alone, and its error says so", () =>
      Effect.gen(function* () {
        const { url } = yield* Nats.started(["max_payload: 20000"])
        const broker = yield* Nats.open({ url })
        const early = broker.publish(message("x".repeat(30_000)))
        const { handled } = yield* deliveries(broker)
        assert.strictEqual(broker.maxBytes?.(), 20_000)
        const refused = yield* Effect.flip(early)
        assert.deepStrictEqual([refused._tag, refused.reason], ["BrokerError", "too-large"])
        assert.include(refused.message, "message of 30000 bytes over the broker's limit of 20000")
        yield* broker.publish(message("x".repeat(20_000)))
        assert.strictEqual((yield* handled).body.length, 20_000)
        const rejected = yield* Effect.flip(broker.publish(message("x".repeat(300_000))))
        assert.strictEqual(rejected.reason, "rejected")
      }).pipe(quietly)
    )

    it.live("C13 a full stream takes no more, loses nothing of what it has, and takes more when there is room", () =>
      Effect.gen(function* () {
        const { url } = yield* Nats.started()
        const logged: Array<string> = []
        const logger = Logger.make(({ message }) => void logged.push(JSON.stringify(message)))
        yield* Effect.gen(function* () {
          const broker = yield* Nats.open({ url, maxStored: 100_000 })
          yield* Effect.flatMap(deliveries(broker), ({ end }) => end)
          const bodies = Array.from({ length: 12 }, (_, n) => `${n}`.padEnd(10_000))
          for (const body of bodies) yield* broker.publish(message(body))
          const isFull = Effect.sync(() => logged.some((line) => line.includes("maximum bytes exceeded")))
          yield* Effect.timeout(until(isFull), "30 seconds")
          const { handled } = yield* deliveries(broker)
          for (const body of bodies.slice(0, 9)) assert.strictEqual((yield* handled).body, body)
          yield* broker.publish(message("again"))
          assert.strictEqual((yield* handled).body, "again")
        }).pipe(Effect.provide(Logger.layer([logger])))
      })
    )

    it.live("what waits in memory for a server is bounded, and the same message waits once", () =>
      Effect.gen(function* () {
        const server = yield* Nats.make()
        const broker = yield* Nats.open({ url: server.url, maxOutgoing: 2_097_152 })
        const large = (text: string) => message(text.padEnd(250_000))
        // Eight of them fit.
        for (const body of ["1", "1", "1", "1", "1", "1", "2", "3", "4"]) yield* broker.publish(large(body))
        for (const body of ["5", "6", "7", "8"]) yield* broker.publish(large(body))
        assert.strictEqual((yield* Effect.flip(broker.publish(large("9")))).reason, "unavailable")
      }).pipe(quietly)
    )

    it.live("C8 a service that has never run is known to be unheard, until it runs", () =>
      Effect.gen(function* () {
        const { url } = yield* Nats.started()
        const broker = yield* Nats.open({ url })
        yield* broker.ready
        const ask: Broker.Message = { address: { to: "stock", kind: "command", from: "b", name: "Do" }, body: "1" }
        yield* broker.publish(ask)
        yield* until(Effect.sync(() => broker.isUnheard?.("stock") === true))
        assert.isFalse(broker.mayRepeat?.(ask.address))
        yield* broker
          .subscribe({ service: "stock", kinds: ["command"] })
          .pipe(Stream.runDrain, Effect.forkScoped({ startImmediately: true }))
        yield* broker.ready
        yield* broker.publish(ask)
        yield* until(Effect.sync(() => broker.isUnheard?.("stock") === false))
      }).pipe(quietly)
    )

    it.live("services of two namespaces have nothing in common, also where a name has dots", () =>
      Effect.gen(function* () {
        const { url } = yield* Nats.started()
        const heard: Array<string> = []
        const listening = Effect.fnUntraced(function* (namespace: string | undefined) {
          const broker = yield* Nats.open({ url, ...(namespace !== undefined && { namespace }) })
          yield* broker.subscribe({ service: "acme.stock", kinds: ["reply"] }).pipe(
            Stream.runForEach(({ acknowledge, address, body }) =>
              Effect.andThen(
                acknowledge,
                Effect.sync(() => heard.push(`${namespace}: ${body} to ${address.to}`))
              )
            ),
            Effect.forkScoped({ startImmediately: true })
          )
          yield* broker.ready
          return broker
        })
        const brokers = yield* Effect.forEach(["shop", "shop.b", undefined], listening)
        for (const [n, broker] of brokers.entries()) yield* broker.publish(message(`${n}`, "acme.stock"))
        yield* until(Effect.sync(() => heard.length >= 3))
        assert.deepStrictEqual(heard.sort(), [
          "shop.b: 1 to acme.stock",
          "shop: 0 to acme.stock",
          "undefined: 2 to acme.stock"
        ])
      }).pipe(quietly)
    )

    it.live("F5 its loops go on after a defect, and messages arrive", () =>
      Effect.gen(function* () {
        const turns = new Map<Loop.Name, number>()
        const fault = (name: Loop.Name) =>
          Effect.suspend(() => {
            const turn = (turns.get(name) ?? 0) + 1
            turns.set(name, turn)
            return turn === 1 ? Effect.die(new Error(`a bug in ${name}`)) : Effect.void
          })
        const { url } = yield* Nats.started()
        yield* Effect.gen(function* () {
          const broker = yield* Nats.open({ url })
          const { handled } = yield* deliveries(broker)
          yield* broker.publish(message("1"))
          assert.strictEqual((yield* handled).body, "1")
          const names: ReadonlyArray<Loop.Name> = ["NATS connection", "NATS subscription", "NATS deliveries"]
          yield* until(Effect.sync(() => names.every((name) => (turns.get(name) ?? 0) >= 2)))
        }).pipe(Effect.provideService(Loop.LoopFault, fault))
      }).pipe(quietly)
    )

    it.live("I17 I19 bad messages are kept as dead letters or counted, and sagas go on", () =>
      counting(
        Effect.gen(function* () {
          const { url } = yield* Nats.started()
          const broker = yield* Nats.open({ url })
          const { letters, order } = yield* StockOver.start(broker.layer)
          yield* broker.ready
          const raw = yield* Nats.raw(url)
          const bad: ReadonlyArray<readonly [string, string | Uint8Array]> = [
            ["reply.stock", new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d])],
            ["reply.stock", ""],
            ["reply.stock", "{"],
            ["reply.stock", "[".repeat(200_000)],
            ["reply.mallory", JSON.stringify({ v: 1 })],
            ["reply.9", "{}"],
            ["command.stock.a/b", "{}"]
          ]
          for (const [subject, body] of bad)
            yield* Effect.promise(() => raw.request(`saga.v1.orders.${subject}`, body, { timeout: 5_000 }))
          // The stream has no such subject: the server takes no such message.
          const refused = yield* Effect.flip(
            Effect.tryPromise(() => raw.request("saga.v1.orders.reply.a.b", "{}", { timeout: 5_000 }))
          )
          assert.include(`${refused.cause}`, "no responders")
          yield* until(Effect.map(outcomes, ({ MessageMalformed }) => MessageMalformed === 5))
          yield* until(Effect.map(outcomes, (all) => all["unknown-topic"] === 1))
          assert.deepStrictEqual(
            (yield* letters.list({ limit: 100 })).map(({ reason }) => reason),
            Array(5).fill("MessageMalformed")
          )
          assert.strictEqual(yield* order("book"), "book 1")
        })
      ).pipe(quietly)
    )
  })
}
