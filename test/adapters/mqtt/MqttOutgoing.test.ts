/** Messages in flight over several connections, and their fate when connections are lost. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Logger, Metric } from "effect"
import { TestClock } from "effect/testing"
import * as Connection from "../../../src/adapters/mqtt/MqttConnection.ts"
import * as MqttOutgoing from "../../../src/adapters/mqtt/MqttOutgoing.ts"
import * as MqttTopics from "../../../src/adapters/mqtt/MqttTopics.ts"
import * as Broker from "../../../src/ports/Broker.ts"

const message: Broker.Message = { address: { to: "orders", kind: "reply", from: "payments" }, body: "{}" }

const { replyTopicOf } = MqttTopics.make(undefined, 5)

const make = MqttOutgoing.make({ maxBytes: 1024 * 1024, replyTopicOf, topicOf: Broker.topic, version: 5 })

/** A connection over which nothing comes back, and what was sent over it. */
const connected = Effect.fnUntraced(function* (outgoing: MqttOutgoing.MqttOutgoing, largest?: number) {
  const sent: Array<string> = []
  const topics: Array<string> = []
  const replyTopics: Array<string | undefined> = []
  let taken: Parameters<Connection.Connection["onTaken"]>[0] = () => {}
  const lost = yield* Deferred.make<never, Connection.MqttConnectionLost>()
  const fiber = yield* Effect.forkChild(
    outgoing.through({
      // Nothing that is sent needs it.
      client: undefined as never,
      resumed: false,
      receiveMaximum: 20,
      largest,
      publish: (topic, body, _, replyTopic) => {
        sent.push(body)
        topics.push(topic)
        replyTopics.push(replyTopic)
      },
      onTaken: (listener) => {
        taken = listener
      },
      lost: Deferred.await(lost)
    }),
    { startImmediately: true }
  )
  return {
    sent,
    topics,
    replyTopics,
    /** The broker takes the n-th message, or refuses it. */
    take: (n: number, isUnheard: boolean, refusal?: string) => taken(n, refusal, isUnheard),
    lose: Effect.andThen(
      Deferred.fail(lost, new Connection.MqttConnectionLost({ reason: "the broker is gone", isReached: true })),
      Fiber.await(fiber)
    ),
    end: Fiber.interrupt(fiber)
  }
})

const own = "saga/v1/orders/reply/payments/i1"
const any = "saga/v1/orders/reply/payments"
const toOne = (body: string): Broker.Message => ({ address: { ...message.address, instance: "i1" }, body })

describe("replies to one instance", () => {
  it.effect(
    "C13 a reply goes to any instance where the broker says that the one is not there, and the next one not",
    () =>
      Effect.gen(function* () {
        const outgoing = yield* make
        const { sent, take, topics } = yield* connected(outgoing)
        outgoing.offer(toOne("1"))
        take(1, true)
        outgoing.offer(toOne("2"))
        assert.deepStrictEqual(
          [topics, sent],
          [
            [own, any, own],
            ["1", "1", "2"]
          ]
        )
        // That the one is not there says nothing about the service.
        assert.isTrue(outgoing.mayRepeat(message.address))
        take(2, true)
        assert.isFalse(outgoing.mayRepeat(message.address))
      }).pipe(Effect.provide(Logger.layer([])))
  )

  it.effect(
    "C13 where the broker refuses the topic of one instance, replies go to any of the service for a minute",
    () =>
      Effect.gen(function* () {
        const outgoing = yield* make
        const { take, topics } = yield* connected(outgoing)
        outgoing.offer(toOne("1"))
        take(1, false, "Not authorized")
        outgoing.offer(toOne("2"))
        outgoing.offer({ address: { ...toOne("").address, to: "returns" }, body: "3" })
        assert.deepStrictEqual(topics, [own, any, any, "saga/v1/returns/reply/payments/i1"])
        yield* TestClock.adjust("59 seconds")
        outgoing.offer(toOne("4"))
        yield* TestClock.adjust("1 second")
        outgoing.offer(toOne("5"))
        assert.deepStrictEqual(topics.slice(4), [any, own])
      })
  )

  it.effect("C13 a reply to one instance that was in flight on a lost connection goes to any", () =>
    Effect.gen(function* () {
      const outgoing = yield* make
      const before = yield* connected(outgoing)
      outgoing.offer(toOne("1"))
      yield* before.lose
      const after = yield* connected(outgoing)
      outgoing.offer(toOne("2"))
      assert.deepStrictEqual([before.topics, after.topics], [[own], [any, any]])
    })
  )

  it.effect("C11 a message that is too large only with the topic for its reply goes without it", () =>
    Effect.gen(function* () {
      const outgoing = yield* make
      const { replyTopics } = yield* connected(outgoing, 1_000)
      const ask = (size: number) =>
        outgoing.offer({
          address: { to: "payments", kind: "command", from: "orders", name: "Charge" },
          body: "x".repeat(size),
          replyTo: "i1"
        })
      ask(100)
      ask(930)
      assert.deepStrictEqual(replyTopics, [own, undefined])
    })
  )
})

describe("MqttOutgoing", () => {
  it.effect(
    "connections that were open together count as one loss of a message, also if they end one after the other",
    () =>
      Effect.gen(function* () {
        const outgoing = yield* make
        const before = yield* Effect.forEach([1, 2, 3, 4], () => connected(outgoing))
        outgoing.offer(message)
        for (const { lose } of before) yield* lose
        const after = yield* connected(outgoing)
        assert.deepStrictEqual(after.sent, [message.body])
      })
  )

  it.effect(
    "C8 to a service that nobody listens to less and less is sent again, at last one message a minute in all",
    () =>
      Effect.gen(function* () {
        const outgoing = yield* make
        const { sent, take } = yield* connected(outgoing)
        const ask = (name: string): Broker.Message => ({
          address: { to: "typo", kind: "command", from: "orders", name },
          body: name
        })
        const repeat = (it: Broker.Message) => outgoing.mayRepeat(it.address) && outgoing.offer(it)
        const again = (count: number) => {
          for (let i = 0; i < count; i++) repeat(ask(i % 2 === 0 ? "a" : "b"))
        }
        // What the broker has not judged is sent, and so is a new message.
        outgoing.offer(ask("a"))
        again(1)
        take(1, true)
        take(2, true)
        outgoing.offer(ask("new"))
        take(3, true)
        again(5)
        repeat(message)
        assert.deepStrictEqual(sent, ["a", "a", "new", "{}"])
        const times: Array<number> = []
        for (let second = 1; second <= 300; second++) {
          yield* TestClock.adjust("1 second")
          const before = sent.length
          again(5)
          if (sent.length > before) times.push(second)
          if (sent.length > before) take(sent.length, true)
        }
        // A service that restarts is found again soon.
        assert.deepStrictEqual(times, [1, 2, 4, 8, 16, 32, 64, 124, 184, 244])
        yield* TestClock.adjust("1 minute")
        const before = sent.length
        again(5)
        assert.strictEqual(sent.length, before + 1)
        take(sent.length, false)
        again(5)
        assert.strictEqual(sent.length, before + 6)
      })
  )

  it.effect("F37: a service that nobody listens to is logged when that begins, counted, and known", () =>
    Effect.gen(function* () {
      const logged: Array<string> = []
      const logger = Logger.make(({ message }) => void logged.push(JSON.stringify(message)))
      const counted = Effect.map(Metric.snapshot, (all) =>
        all.flatMap(
          (metric): ReadonlyArray<readonly [string | undefined, number | bigint]> =>
            metric.type === "Counter" && metric.id === "effect_saga_unrouted"
              ? [[metric.attributes?.service, metric.state.count]]
              : []
        )
      )
      yield* Effect.gen(function* () {
        const outgoing = yield* make
        const { take } = yield* connected(outgoing)
        const offer = (to: string) =>
          outgoing.offer({ address: { to, kind: "command", from: "orders", name: "A" }, body: to })
        for (let n = 1; n <= 6; n++) {
          offer(n % 2 === 0 ? "paymnets" : "stokc")
          take(n, true)
        }
        assert.deepStrictEqual([outgoing.isUnheard("paymnets"), outgoing.isUnheard("payments")], [true, false])
        yield* Effect.yieldNow
        assert.deepStrictEqual(
          logged.map((line) => /"service":"(\w+)"/.exec(line)?.[1]),
          ["stokc", "paymnets"]
        )
        assert.include(logged[0], "Nobody listens to a service")
        assert.deepStrictEqual(
          new Map(yield* counted),
          new Map([
            ["stokc", 3],
            ["paymnets", 3]
          ])
        )
        // The service runs, and then it is gone again.
        offer("paymnets")
        take(7, false)
        assert.isFalse(outgoing.isUnheard("paymnets"))
        offer("paymnets")
        take(8, true)
        yield* Effect.yieldNow
        assert.strictEqual(logged.length, 3)
      }).pipe(Effect.provide(Logger.layer([logger])), Effect.provideService(Metric.MetricRegistry, new Map()))
    })
  )

  it.effect("a message is sent over another connection when the connections that had it are closed", () =>
    Effect.gen(function* () {
      const outgoing = yield* make
      const closed = yield* Effect.forEach([1, 2, 3], () => connected(outgoing))
      const last = yield* connected(outgoing)
      outgoing.offer(message)
      for (const { end } of closed) yield* end
      assert.deepStrictEqual(last.sent, [message.body])
    })
  )

  /** Connections that a suspect is sent over alone, each with its message. */
  const alone = Effect.fnUntraced(function* (outgoing: MqttOutgoing.MqttOutgoing) {
    const sent: Array<string> = []
    let taken: Parameters<Connection.Connection["onTaken"]>[0] = () => {}
    let lose = Effect.void as Effect.Effect<unknown>
    yield* outgoing.alone(
      Effect.gen(function* () {
        const lost = yield* Deferred.make<never, Connection.MqttConnectionLost>()
        lose = Deferred.fail(lost, new Connection.MqttConnectionLost({ reason: "too much", isReached: true }))
        return {
          client: undefined as never,
          resumed: false,
          receiveMaximum: 20,
          largest: undefined,
          publish: (_, body) => sent.push(body),
          onTaken: (listener) => {
            taken = listener
          },
          lost: Deferred.await(lost)
        }
      })
    )
    return { sent, take: Effect.sync(() => taken(1, undefined, false)), lose: Effect.suspend(() => lose) }
  })

  const twice = Effect.fnUntraced(function* (outgoing: MqttOutgoing.MqttOutgoing) {
    outgoing.offer(message)
    outgoing.offer(other)
    for (let n = 1; n <= 2; n++) {
      const { lose, sent } = yield* connected(outgoing)
      assert.deepStrictEqual(sent, [message.body, other.body])
      yield* lose
    }
    return yield* connected(outgoing)
  })

  const other: Broker.Message = { ...message, body: "{ }" }
  const turn = Effect.repeat(Effect.yieldNow, { times: 20 })

  it.effect("C11 a message that ends one connection after another is sent alone, then refused, and others go on", () =>
    Effect.gen(function* () {
      const outgoing = yield* make
      const suspects = yield* alone(outgoing)
      const { sent } = yield* twice(outgoing)
      yield* turn
      assert.deepStrictEqual([sent, suspects.sent], [[], [message.body]])
      yield* suspects.lose
      yield* turn
      // The other one was in flight too, and is innocent.
      assert.deepStrictEqual(suspects.sent, [message.body, other.body])
      yield* suspects.take
      yield* turn
      const says = /^message of \d+ bytes over the broker's limit, which has ended the connection 3 times$/
      assert.match(outgoing.refusal(message) ?? "", says)
      assert.isUndefined(outgoing.refusal(other))
      const refused = outgoing.offer(message)
      const error = Exit.isFailure(refused) ? Cause.squash(refused.cause) : undefined
      assert.deepInclude(error, { _tag: "BrokerError", reason: "too-large" })
      outgoing.offer(other)
      assert.deepStrictEqual(sent, [other.body])
      // The limit may have been raised.
      yield* TestClock.adjust("10 minutes")
      outgoing.offer(message)
      assert.deepStrictEqual(sent, [other.body, message.body])
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.effect("C11 a message over the limit that the broker has named is refused before it is sent", () =>
    Effect.gen(function* () {
      const outgoing = yield* make
      const big = { ...message, body: "x".repeat(100) }
      // It came before there was a connection.
      outgoing.offer(big)
      const { sent } = yield* connected(outgoing, 100)
      assert.deepStrictEqual([sent, outgoing.maxBytes()], [[], 100])
      assert.match(outgoing.refusal(big) ?? "", /^message of 1\d\d bytes over the broker's limit of 100$/)
      assert.isTrue(Exit.isFailure(outgoing.offer(big)))
      outgoing.offer(message)
      assert.deepStrictEqual(sent, [message.body])
    }).pipe(Effect.provide(Logger.layer([])))
  )
})
