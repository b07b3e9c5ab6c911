/** F14: where nobody else can be, time that nobody uses costs nothing. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, Exit, Fiber, Layer, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
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

const Bank = Participant.make("bank", { Charge: { payload: {}, success: Schema.String } })
const Shop = Participant.make("shop", { Sell: { payload: {} } })

const Slow = Saga.make("Slow", { context: {} }).pipe(
  Saga.remote("charge", { execute: { command: Bank.commands.Charge, payload: () => ({}) }, timeout: "60 days" }),
  Saga.commit
)

const { SagaExecutionRepository: Repository } = SagaExecutionRepository

/** The ports, and what they were asked for. */
const makePorts = Effect.gen(function* () {
  const built = yield* Layer.build(
    Layer.mergeAll(
      SagaExecutionRepository.layerMemoryWith({ keep: 10 }),
      Broker.layerMemory,
      ParticipantStore.layerMemory,
      TransactionCommitter.layerNone
    )
  )
  const asked = { claims: 0, loads: 0, purges: 0, sent: 0 }
  const repository = Context.get(built, Repository)
  const store = Context.get(built, ParticipantStore.ParticipantStore)
  const broker = Context.get(built, Broker.Broker)
  const counted = <A>(name: keyof typeof asked, effect: A): A => {
    asked[name]++
    return effect
  }
  const ports = Layer.mergeAll(
    Layer.succeedContext(built),
    Layer.succeed(Repository, {
      ...repository,
      claim: (request) => counted("claims", repository.claim(request)),
      load: (uuid) => counted("loads", repository.load(uuid)),
      ended: (...args) => counted("loads", repository.ended(...args))
    }),
    Layer.succeed(ParticipantStore.ParticipantStore, {
      ...store,
      purge: (request) => counted("purges", store.purge(request))
    }),
    Layer.succeed(Broker.Broker, { ...broker, publish: (message) => counted("sent", broker.publish(message)) })
  )
  return { asked, ports }
})

type Ports = Effect.Success<typeof makePorts>["ports"]

/** A process, until it is closed. */
const open = Effect.fnUntraced(function* (ports: Ports) {
  const scope = yield* Scope.fork(yield* Scope.Scope)
  const services = yield* Layer.mergeAll(
    SagaManager.layer([Slow]),
    Participant.layer(Shop, { Sell: () => Effect.void })
  ).pipe(
    Layer.provide(Layer.orDie(SagaConfig.layer({ service: "orders" }))),
    Layer.provide(ports),
    Layer.buildWithScope(scope)
  )
  return {
    run: Effect.provideContext(SagaManager.run(Slow, { context: {}, raiseOnError: false }), services),
    close: Scope.close(scope, Exit.void)
  }
})

const minute = 60_000
const day = 24 * 60

describe("F14 virtual time", () => {
  it.effect("F14 a virtual month in which nothing is due costs no claim, no load and no look at transactions", () =>
    Effect.gen(function* () {
      const { asked, ports } = yield* makePorts
      yield* open(ports)
      yield* TestClock.adjust("1 minute")
      const before = { ...asked }
      yield* TestClock.adjust("30 days")
      assert.deepStrictEqual(asked, before)
    })
  )

  it.effect("F14 an execution that waits for a month costs what is sent again, and its caller nothing", () =>
    Effect.gen(function* () {
      const { asked, ports } = yield* makePorts
      const { run } = yield* open(ports)
      const caller = yield* Effect.forkChild(run)
      yield* TestClock.adjust("30 days")
      // At most one an hour after the first ones.
      assert.isAbove(asked.sent, 30 * 20)
      assert.isBelow(asked.claims, 2 * asked.sent)
      assert.isBelow(asked.loads + asked.purges, 2 * day)
      // The time limit is kept to the millisecond all the same.
      yield* TestClock.adjust("30 days")
      assert.strictEqual((yield* Fiber.join(caller)).status, "errored")
      assert.strictEqual(yield* Clock.currentTimeMillis, 60 * day * minute)
    })
  )

  it.effect("F14 an instance that was alone renews its lease as soon as another one comes", () =>
    Effect.gen(function* () {
      const { asked, ports } = yield* makePorts
      yield* open(ports)
      yield* TestClock.adjust("1 day")
      const alone = asked.claims
      const other = yield* open(ports)
      yield* TestClock.adjust("1 second")
      // Its own first claim, and one of each that has heard of the other.
      assert.isAtLeast(asked.claims - alone, 2)
      const both = asked.claims
      yield* TestClock.adjust("1 minute")
      assert.isAtLeast(asked.claims - both, 2 * 19)
      yield* other.close
      yield* TestClock.adjust("1 minute")
      const again = asked.claims
      yield* TestClock.adjust("1 day")
      assert.strictEqual(asked.claims, again)
    })
  )
})
