/**
 * A message over the limit of the broker is refused alone, and the error of its step says so. MQTT 5 names the limit, or refuses the
 * message; MQTT 3.1.1 only ends the connection.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, type Duration, Effect, Fiber, Layer, Logger, Schema } from "effect"
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
import { MqttBroker } from "effect-saga/mqtt"
import * as Mosquitto from "../../fixtures/mosquitto.ts"
import { ready, until } from "../../fixtures/mqtt.ts"

const Stock = Participant.make("stock", {
  Note: { payload: { text: Schema.String }, success: Schema.Int },
  Read: { payload: { length: Schema.Int }, success: Schema.String }
})

/** Its reply is as long as it says. */
const Report = Saga.make("Report", { context: { length: Schema.Int } }).pipe(
  Saga.remote("read", { execute: { command: Stock.commands.Read, payload: ({ length }) => ({ length }) } }),
  Saga.commit
)

const Order = Saga.make("Order", { context: { text: Schema.String } }).pipe(
  Saga.remote("note", { execute: { command: Stock.commands.Note, payload: ({ text }) => ({ text }) } }),
  Saga.commit
)

const large = "x".repeat(50_000)

/** Orders and stock over one broker. */
const services = Effect.fnUntraced(function* (
  options: MqttBroker.MqttOptions,
  isReady = true,
  replyTimeout: Duration.Input = "6 seconds"
) {
  const letters = DeadLetters.makeMemory()
  const transport = yield* Layer.build(MqttBroker.layer(options))
  const built = yield* Layer.build(
    Layer.merge(
      SagaManager.layer([Order, Report]),
      Participant.layer(Stock, {
        Note: ({ text }) => Effect.succeed(text.length),
        Read: ({ length }) => Effect.succeed("y".repeat(length))
      })
    ).pipe(
      Layer.provide([
        SagaConfig.layer({ service: "orders", replyTimeout }),
        SagaExecutionRepository.layerMemory,
        ParticipantStore.layerMemory,
        TransactionCommitter.layerNone,
        Layer.succeedContext(transport),
        Layer.succeed(DeadLetters.DeadLetters, letters)
      ])
    )
  )
  const connections = Context.get(transport, MqttBroker.MqttConnections)
  if (isReady) yield* ready(connections)
  const place = (text: string) => Effect.provideContext(SagaManager.execute(Order, { context: { text } }), built)
  const read = (length: number) => Effect.provideContext(SagaManager.execute(Report, { context: { length } }), built)
  return { connections, letters, place, read, publish: Context.get(transport, Broker.Broker).publish }
})

const messageOf = (placed: Effect.Effect<unknown, unknown>) => Effect.map(Effect.flip(placed), (error) => `${error}`)

/** The connection ends, and is there again. */
const lostAndBack = (connections: MqttBroker.MqttConnections["Service"]) =>
  until(Effect.map(connections.list, (all) => all.some(({ ready }) => !ready))).pipe(
    Effect.timeoutOption("2 seconds"),
    Effect.andThen(ready(connections))
  )

/** Orders beside the large one, which has been `tried`: all are answered before it fails. */
const beside = Effect.fnUntraced(function* (
  { place }: Effect.Success<ReturnType<typeof services>>,
  tried: Effect.Effect<unknown> = Effect.void
) {
  const refused = yield* Effect.forkChild(messageOf(place(large)), { startImmediately: true })
  yield* tried
  for (let n = 1; n <= 10; n++) assert.strictEqual((yield* place("x".repeat(n))).note, n)
  assert.isUndefined(refused.pollUnsafe())
  return yield* Fiber.join(refused)
})

const withBroker = (line: string, use: (url: string) => Effect.Effect<void, unknown, any>) =>
  Effect.flatMap(Mosquitto.started({ lines: [line] }), ({ url }) => use(url)).pipe(Effect.provide(Logger.layer([])))

if (Mosquitto.binary !== undefined) {
  // Side by side: they mostly wait, each on a broker of its own.
  describe("C11 F30 a message over the limit of the broker", { concurrent: true }, () => {
    it.live("MQTT 5: the step fails at once, and nothing is sent, where the broker names its limit", () =>
      withBroker("max_packet_size 20000", (url) =>
        Effect.gen(function* () {
          const { place, publish } = yield* services({ url })
          const error = yield* messageOf(place(large))
          assert.match(error, /SagaContextTooLarge.*message of 50\d\d\d bytes over the broker's limit of 20000/)
          const refused = yield* Effect.flip(
            publish({ address: { to: "stock", kind: "tx", from: "orders" }, body: large })
          )
          assert.deepStrictEqual([refused._tag, refused.reason], ["BrokerError", "too-large"])
          assert.match(refused.message, /message of 50\d\d\d bytes over the broker's limit of 20000/)
          assert.strictEqual((yield* place("short")).note, 5)
        })
      )
    )

    it.live("MQTT 5: a reply over the limit is refused where the broker names its limit, and its effect is gone", () =>
      withBroker("max_packet_size 20000", (url) =>
        Effect.gen(function* () {
          const { letters, read } = yield* services({ url })
          // One that is nearly as large as a packet is sent, and one that would not fit with its topic is not.
          assert.strictEqual((yield* read(19_000)).read.length, 19_000)
          for (const length of [19_600, 50_000])
            assert.match(yield* messageOf(read(length)), /SagaResponseError: the service answered 500/)
          assert.deepStrictEqual(yield* letters.list(), [])
          assert.strictEqual((yield* read(5)).read, "yyyyy")
        })
      )
    )

    it.live("MQTT 3.1.1: a reply over the limit is a dead letter, and its step times out", () =>
      withBroker("max_packet_size 20000", (url) =>
        Effect.gen(function* () {
          const { letters, read } = yield* services({ url, protocol: 4 })
          assert.match(yield* messageOf(read(50_000)), /SagaStepTimedOut/)
          assert.deepStrictEqual([...new Set((yield* letters.list()).map(({ reason }) => reason))], ["ReplyRejected"])
          assert.strictEqual((yield* read(5)).read, "yyyyy")
        })
      )
    )

    it.live("MQTT 5: the step says so at its deadline where the broker was not there when it was sent", () =>
      Effect.gen(function* () {
        const broker = yield* Mosquitto.make({ lines: ["max_packet_size 20000"] })
        const { place } = yield* services({ url: broker.url }, false)
        const placed = yield* Effect.forkChild(messageOf(place(large)), { startImmediately: true })
        yield* broker.start
        assert.match(
          yield* Fiber.join(placed),
          /SagaStepTimedOut.*message of 50\d\d\d bytes over the broker's limit of 20000/
        )
      }).pipe(Effect.provide(Logger.layer([])))
    )

    it.live("MQTT 5: it is refused alone where the broker refuses it", () =>
      withBroker("message_size_limit 20000", (url) =>
        Effect.gen(function* () {
          // Each try of the large message ends the connection, and the others come after it is there again. Sent at the same time, they
          // would also be sent again at the same times. One that comes while nobody listens is sent again up to a while later.
          const both = yield* services({ url }, true, "45 seconds")
          const error = yield* beside(both, lostAndBack(both.connections))
          assert.match(error, /SagaStepTimedOut.*message of 50\d\d\d bytes over the broker's limit/)
        })
      )
    )

    it.live("MQTT 3.1.1: it is refused alone after it has ended the connection three times", () =>
      withBroker("max_packet_size 20000", (url) =>
        Effect.gen(function* () {
          const error = yield* beside(yield* services({ url, protocol: 4 }))
          assert.match(
            error,
            /message of 50\d\d\d bytes over the broker's limit, which has ended the connection 3 times/
          )
        })
      )
    )
  })
}
