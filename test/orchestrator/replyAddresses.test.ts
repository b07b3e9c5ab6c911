/**
 * Two instances of an orchestrator over each transport that gives them addresses of their own: a reply comes to the instance that has
 * asked, without a hop, and to the other one where that is gone. With leases and with buckets. Over HTTP a reply is in the response.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, type Duration, Effect, Exit, Layer, Logger, Schema, Scope, Stream } from "effect"
import {
  Broker,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  SagaOwnership,
  TransactionCommitter
} from "effect-saga"
import { EmbeddedBroker } from "effect-saga/aedes"
import { MqttBroker } from "effect-saga/mqtt"
import * as Buckets from "../fixtures/buckets.ts"
import * as Mosquitto from "../fixtures/mosquitto.ts"
import * as Mqtt from "../fixtures/mqtt.ts"
import * as Nats from "../fixtures/nats.ts"

const Stock = Participant.make("stock", { Reserve: { payload: { order: Schema.Int } } })

const reserve = {
  execute: { command: Stock.commands.Reserve, payload: ({ order }: { readonly order: number }) => ({ order }) }
}

const Order = Saga.make("Order", { context: { order: Schema.Int } }).pipe(
  Saga.remote("first", reserve),
  Saga.remote("second", reserve),
  Saga.commit
)

type Port = Broker.Broker["Service"]

/** A process at the transport: its broker, and whether all that it subscribes to stands. */
interface Process {
  readonly broker: Port
  readonly ready: Effect.Effect<void>
}

/** Gives processes at one transport. */
type Transport = Effect.Effect<Effect.Effect<Process, never, Scope.Scope>, never, Scope.Scope>

/** Fibers that have been forked have run by then, and have begun to subscribe. */
const turns = Effect.repeat(Effect.yieldNow, { times: 50 })

/** The one broker serves all processes. */
const memory: Transport = Effect.map(Layer.build(Broker.layerMemory), (services) =>
  Effect.succeed({ broker: Context.get(services, Broker.Broker), ready: turns })
)

const overMqtt = (options: MqttBroker.MqttOptions): Effect.Effect<Process, never, Scope.Scope> =>
  Effect.map(Effect.orDie(Layer.build(MqttBroker.layer(options))), (services) => ({
    broker: Context.get(services, Broker.Broker),
    ready: Effect.andThen(turns, Mqtt.ready(Context.get(services, MqttBroker.MqttConnections)))
  }))

const overNats = (url: string): Effect.Effect<Process, never, Scope.Scope> =>
  Effect.map(Effect.orDie(Nats.open({ url })), ({ ready, ...broker }) => ({
    broker,
    ready: Effect.andThen(turns, ready)
  }))

/** A server, and a process that reaches it by a port: its own, or that of a line to it. */
interface Server {
  readonly name: string
  readonly url: Effect.Effect<string, never, Scope.Scope>
  readonly process: (port: number) => Effect.Effect<Process, never, Scope.Scope>
}

const urlOf = (started: Effect.Effect<{ readonly url: string }, unknown, Scope.Scope>) =>
  Effect.map(Effect.orDie(started), ({ url }) => url)

const portOf = (url: string): number => Number(new URL(url).port)

const mqtt: Server = {
  name: "MQTT",
  url: urlOf(Mosquitto.started()),
  process: (port) => overMqtt({ url: `mqtt://127.0.0.1:${port}`, keepalive: "1 second" })
}

const nats: Server = {
  name: "NATS",
  url: urlOf(Nats.started()),
  process: (port) => overNats(`nats://127.0.0.1:${port}`)
}

const servers = [...(Mosquitto.binary === undefined ? [] : [mqtt]), ...(Nats.binary === undefined ? [] : [nats])]

const transports: ReadonlyArray<readonly [string, Transport]> = [
  ["memory", memory],
  ...servers.map(({ name, process, url }) => [name, Effect.map(url, (url) => process(portOf(url)))] as const)
]

type Shared = SagaExecutionRepository.SagaExecutionRepository | SagaOwnership.SagaOwnership

/** An instance of the orchestrator, and the executions whose replies have come to it. */
const open = Effect.fnUntraced(function* (
  { broker, ready }: Process,
  shared: Layer.Layer<Shared>,
  // No message is sent again within most tests: what is not lost comes at once.
  resend: Duration.Input = "1 minute"
) {
  const got: Array<string> = []
  const watched = Broker.Broker.of({
    ...broker,
    subscribe: (group) =>
      Stream.tap(broker.subscribe(group), ({ body }) => Effect.sync(() => void got.push(JSON.parse(body).saga)))
  })
  const transport = Layer.succeed(Broker.Broker, watched)
  const services = yield* Layer.build(
    SagaManager.layer([Order]).pipe(
      Layer.provide([
        SagaConfig.layer({ service: "orders", resend: { initial: resend, max: "1 minute" } }),
        Layer.provide(TransactionCommitter.layerTwoPhase, transport),
        shared,
        transport
      ])
    )
  )
  yield* ready
  const run = (order: number) => Effect.provideContext(SagaManager.run(Order, { context: { order } }), services)
  return { got, run, find: Context.get(services, SagaManager.SagaManager).find }
})

/** The service that is asked. `gate`: its answers wait for it. */
const stock = Effect.fnUntraced(function* ({ broker, ready }: Process, gate: Effect.Effect<void> = Effect.void) {
  const asked: Array<number> = []
  yield* Layer.build(
    Participant.layer(Stock, {
      Reserve: ({ order }) =>
        Effect.andThen(
          Effect.sync(() => void asked.push(order)),
          gate
        )
    }).pipe(Layer.provide([ParticipantStore.layerMemory, Layer.succeed(Broker.Broker, broker)]))
  )
  yield* ready
  return asked
})

const stored = Effect.map(
  Effect.orDie(Layer.build(SagaExecutionRepository.layerMemoryWith({ keep: 1_000, shared: true }))),
  (services) => Context.get(services, SagaExecutionRepository.SagaExecutionRepository)
)

/** What two instances share: their executions, and whose each of them is. */
const ownership = Effect.fnUntraced(function* (kind: "leases" | "buckets") {
  const repository = yield* stored
  const buckets = Buckets.make(repository)
  const shared = Layer.succeed(SagaExecutionRepository.SagaExecutionRepository, repository)
  const leases = Layer.provide(SagaOwnership.layerLease, shared)
  const owners = kind === "buckets" ? Layer.succeed(SagaOwnership.SagaOwnership, buckets.ownership) : leases
  return { shared: Layer.mergeAll(shared, owners), buckets, repository }
})

/** By leases, for an instance that claims nothing any more once it stands still. */
const stoppable = (repository: SagaExecutionRepository.SagaExecutionRepository["Service"]) => {
  let isStill = false
  const stopped = SagaExecutionRepository.SagaExecutionRepository.of({
    ...repository,
    claim: (request) => Effect.suspend(() => (isStill ? Effect.never : repository.claim(request)))
  })
  const layer = Layer.succeed(SagaExecutionRepository.SagaExecutionRepository, stopped)
  const stop = Effect.sync(() => {
    isStill = true
  })
  return { own: Layer.merge(layer, Layer.provide(SagaOwnership.layerLease, layer)), stop }
}

const orders = Array.from({ length: 20 }, (_, order) => order)

const runAll = ({ run }: Effect.Success<ReturnType<typeof open>>) =>
  Effect.map(Effect.forEach(orders, run, { concurrency: "unbounded" }), (ended) => ended.map(({ uuid }) => uuid))

/** Waits until executions have ended, and gives their uuids. */
const ended = Effect.fnUntraced(function* ({ find }: Effect.Success<ReturnType<typeof open>>) {
  const found = Effect.map(Effect.orDie(find({ status: "finished" })), ({ items }) => items.map(({ uuid }) => uuid))
  yield* Mqtt.until(Effect.map(found, (uuids) => uuids.length > 0))
  return yield* found
})

/** How many replies have come to the instance for executions that it did not start. */
const foreign = (got: ReadonlyArray<string>, own: ReadonlyArray<string>) => got.filter((uuid) => !own.includes(uuid))

const quietly = Effect.provide(Logger.layer([]))

for (const [name, transport] of transports)
  describe(`replies to two instances: ${name}`, () => {
    for (const kind of ["leases", "buckets"] as const)
      it.live(`C13 C20 every reply comes to the instance that has asked, with ${kind}`, () =>
        Effect.gen(function* () {
          const start = yield* transport
          const { buckets, shared } = yield* ownership(kind)
          yield* stock(yield* start)
          const one = yield* open(yield* start, shared)
          const two = yield* open(yield* start, shared)
          const [ofOne, ofTwo] = yield* Effect.all([runAll(one), runAll(two)], { concurrency: 2 })
          assert.deepStrictEqual([foreign(one.got, ofOne), foreign(two.got, ofTwo)], [[], []])
          // Two steps, a vote, and a decision at least for each order.
          assert.isTrue(one.got.length >= 3 * orders.length && two.got.length >= 3 * orders.length)
          assert.deepStrictEqual(buckets.handedOn, [])
        }).pipe(quietly)
      )

    it.live("C13 C20 without own addresses a part of the replies is handed on, and all the same nothing is lost", () =>
      Effect.gen(function* () {
        const start = Effect.map(yield* transport, former)
        const { buckets, shared } = yield* ownership("buckets")
        yield* stock(yield* start)
        const one = yield* open(yield* start, shared)
        const two = yield* open(yield* start, shared)
        yield* Effect.all([runAll(one), runAll(two)], { concurrency: 2 })
        assert.isTrue(buckets.handedOn.length > orders.length)
      }).pipe(quietly)
    )

    it.live("C20 a reply to the former owner of a bucket is handed on to the new one", () =>
      Effect.gen(function* () {
        const start = yield* transport
        const { buckets, shared } = yield* ownership("buckets")
        const gate = yield* Deferred.make<void>()
        const asked = yield* stock(yield* start, Deferred.await(gate))
        const one = yield* open(yield* start, shared)
        const two = yield* open(yield* start, shared)
        yield* Effect.forkChild(one.run(7))
        yield* Mqtt.until(Effect.sync(() => asked.length === 1))
        yield* Effect.forEach([0, 1, 2, 3], (bucket) => buckets.move("orders", bucket, 1), { discard: true })
        yield* Deferred.succeed(gate, undefined)
        const [uuid] = yield* ended(two)
        assert.deepStrictEqual(buckets.handedOn, [`${uuid}:0:execute`])
        // The new owner has asked for the rest, and gets it.
        assert.deepStrictEqual([new Set(one.got), new Set(two.got)], [new Set([uuid]), new Set([uuid])])
      }).pipe(quietly)
    )

    for (const kind of ["leases", "buckets"] as const)
      it.live(`C8 C20 a reply to an instance that has stopped comes to the other one, with ${kind}`, () =>
        Effect.gen(function* () {
          const start = yield* transport
          const { shared } = yield* ownership(kind)
          const gate = yield* Deferred.make<void>()
          const asked = yield* stock(yield* start, Deferred.await(gate))
          const scope = yield* Scope.make()
          const one = yield* Scope.provide(
            Effect.flatMap(start, (process) => open(process, shared)),
            scope
          )
          const two = yield* open(yield* start, shared)
          yield* Effect.forkChild(Effect.exit(one.run(7)))
          yield* Mqtt.until(Effect.sync(() => asked.length === 1))
          yield* Scope.close(scope, Exit.void)
          yield* Deferred.succeed(gate, undefined)
          yield* ended(two)
          assert.deepStrictEqual([one.got.length, two.got.length >= 2, asked], [0, true, [7, 7]])
        }).pipe(quietly)
      )
  })

for (const { name, process, url } of servers)
  describe(`an instance that is lost: ${name}`, () => {
    /** One order is asked for by an instance at the end of a line, and the answer waits for the gate. */
    const asked = Effect.gen(function* () {
      const resend = "1 second"
      const port = portOf(yield* url)
      const { repository, shared } = yield* ownership("leases")
      const gate = yield* Deferred.make<void>()
      const served = yield* stock(yield* process(port), Deferred.await(gate))
      const line = yield* Mqtt.line(port)
      const { own, stop } = stoppable(repository)
      const one = yield* open(yield* process(line.port), own, resend)
      const two = yield* open(yield* process(port), shared, resend)
      yield* Effect.forkChild(Effect.exit(one.run(7)))
      yield* Mqtt.until(Effect.sync(() => served.length === 1))
      return { line, one, two, served, stop, answer: Deferred.succeed(gate, undefined) }
    })

    it.live("C8 C20 a reply to an instance that is killed comes to another one", () =>
      Effect.gen(function* () {
        const { answer, line, one, served, stop, two } = yield* asked
        // The server may not know yet that it is gone: then the reply comes when it is asked for again.
        yield* Effect.andThen(stop, line.close)
        yield* answer
        yield* ended(two)
        assert.deepStrictEqual([one.got.length, served], [0, [7, 7]])
      }).pipe(quietly)
    )

    it.live("C8 C20 a reply to an instance that stands still is asked for again, and any instance gets it", () =>
      Effect.gen(function* () {
        const { answer, line, stop, two } = yield* asked
        yield* Effect.andThen(stop, line.freeze)
        yield* answer
        yield* ended(two)
        assert.isTrue(two.got.length > 0)
      }).pipe(quietly)
    )
  })

describe("messages that are sent again", () => {
  it.live("C8 only the first message says the instance: whatever keeps replies from it costs one resend", () =>
    Effect.gen(function* () {
      const { broker, ready } = yield* Effect.flatten(memory)
      const sent: Array<Broker.Message> = []
      const watched = {
        ready,
        broker: {
          ...broker,
          publish: (message: Broker.Message) =>
            Effect.andThen(
              Effect.sync(() => void sent.push(message)),
              broker.publish(message)
            )
        }
      }
      const { shared } = yield* ownership("leases")
      const one = yield* open(watched, shared, "50 millis")
      yield* Effect.forkChild(Effect.exit(one.run(7)))
      yield* Mqtt.until(Effect.sync(() => sent.length === 3))
      assert.deepStrictEqual(
        sent.map(({ replyTo }) => replyTo !== undefined),
        [true, false, false]
      )
      assert.strictEqual(new Set(sent.map(({ body }) => body)).size, 1)
    }).pipe(quietly)
  )
})

/** A process of a release without own addresses: it asks for none, and heeds none. */
const former = ({ broker, ready }: Process): Process => ({
  ready,
  broker: {
    ...broker,
    publish: ({ address, body }) => broker.publish({ address, body }),
    subscribe: ({ onOwnAddress: _, ...group }) => Stream.map(broker.subscribe(group), ({ replyTo: _, ...it }) => it)
  }
})

describe("both releases", () => {
  for (const [name, transport] of transports)
    for (const [asking, answering] of [
      ["new", "former"],
      ["former", "new"]
    ] as const)
      it.live(`C3 an orchestrator of a ${asking} release works with a service of a ${answering} one: ${name}`, () =>
        Effect.gen(function* () {
          const start = yield* transport
          const { shared } = yield* ownership("leases")
          const as = (release: "new" | "former") => (release === "new" ? start : Effect.map(start, former))
          yield* stock(yield* as(answering))
          const one = yield* open(yield* as(asking), shared)
          assert.strictEqual((yield* one.run(7)).status, "finished")
        }).pipe(quietly)
      )

  it.live("C3 a broker with MQTT 3.1.1 gives no own addresses", () =>
    Effect.gen(function* () {
      const { url } = yield* EmbeddedBroker.make()
      const process = yield* overMqtt({ url, protocol: 4 })
      const { shared } = yield* ownership("leases")
      yield* stock(process)
      const one = yield* open(process, shared)
      assert.strictEqual((yield* one.run(7)).status, "finished")
    }).pipe(quietly)
  )
})
