/**
 * Nobody was there for a while: the process was stopped, or without its store. What waits counts before what has passed, and
 * what had its last attempt is sent once more before it is given up (SPEC C7, C20).
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Latch, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaManager } from "effect-saga"
import {
  agreeable,
  CreateOrder,
  charged,
  context,
  makeWorld,
  open,
  Payments,
  quiet,
  refusing,
  reserved,
  Stock,
  start,
  until,
  type World
} from "../fixtures/manager.ts"
import { isMemory } from "../fixtures/repository.ts"

/** Starts an execution that is over when the test says so, whichever manager it is then. */
const run = (saga: Saga.AnyCommitted = CreateOrder) =>
  SagaManager.run(saga as typeof CreateOrder, { context, startKey: "k", raiseOnError: false })

/** Both are asked at the same time. */
const Pair = Saga.make("Pair", { context: { sku: Schema.String, amount: Schema.Int } }).pipe(
  Saga.parallel("both", {
    one: (branch) =>
      branch.pipe(
        Saga.remote("stock", {
          execute: { command: Stock.commands.Reserve, payload: ({ sku }) => ({ sku }) }
        })
      ),
    two: (branch) =>
      branch.pipe(
        Saga.remote("payment", {
          execute: { command: Payments.commands.Charge, payload: ({ amount }) => ({ amount }) }
        })
      )
  }),
  Saga.commit
)

describe("F10 C7 a process that starts", () => {
  it.effect("F10 C7 takes the reply that waits, although the deadline has passed while nobody was there", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 1 })
      const first = yield* open(world)
      yield* first.use(SagaManager.run(CreateOrder, { context, startKey: "k", pauseOnDisk: true }))
      yield* first.close
      const [asked] = world.wire.sent
      world.wire.answer = agreeable
      yield* world.wire.reply(asked!, reserved)
      yield* TestClock.adjust("1 day")
      const { use } = yield* open(world)
      assert.strictEqual((yield* use(run())).status, "finished")
      assert.strictEqual(world.wire.of("probe").length, 0)
    })
  )

  it.effect("F10 C7 applies the deadline once the service has had the time of one attempt", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 1 })
      const { wire } = world
      const first = yield* open(world)
      yield* first.use(SagaManager.run(CreateOrder, { context, startKey: "k", pauseOnDisk: true }))
      yield* first.close
      yield* TestClock.adjust("1 day")
      const { use } = yield* open(world)
      yield* quiet
      assert.strictEqual(wire.of("execute").length, 2)
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(wire.of("probe").length, 0)
      wire.answer = ({ op }) => (op === "probe" ? { status: 404 } : undefined)
      yield* TestClock.adjust("1 millis")
      yield* until("the probe", () => wire.of("probe").length === 1)
      assert.strictEqual((yield* use(run())).status, "errored")
      assert.strictEqual(wire.of("execute").length, 2)
    })
  )

  it.effect("F10 C20 sends an undo once more whose attempts have ended while nobody was there", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 1 })
      const { wire } = world
      wire.answer = (envelope, command) => (envelope.op === "failure" ? undefined : refusing(envelope, command))
      const first = yield* open(world)
      yield* Effect.forkChild(first.use(run()))
      yield* until("the undo", () => wire.of("failure").length === 1)
      yield* quiet
      yield* first.close
      yield* TestClock.adjust("1 day")
      wire.answer = refusing
      const { use } = yield* open(world)
      const execution = yield* use(run())
      assert.deepStrictEqual([execution.status, execution.parked, execution.alreadyRollback], ["errored", [], true])
      assert.strictEqual(wire.of("failure").length, 2)
    })
  )

  it.effect("F10 C20 asks for a vote once more whose time has passed while nobody was there", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 1, enrols: "two-phase" })
      const { wire } = world
      wire.answer = (envelope, command) => (envelope.op === "reserve" ? undefined : agreeable(envelope, command))
      const first = yield* open(world)
      yield* Effect.forkChild(first.use(run()))
      yield* until("the questions", () => wire.of("reserve").length === 2)
      yield* quiet
      yield* first.close
      yield* TestClock.adjust("1 day")
      wire.answer = agreeable
      const { use } = yield* open(world)
      const { commitState, status } = yield* use(run())
      assert.deepStrictEqual([status, commitState], ["finished", "committed"])
    })
  )

  /** Both requests are sent, and a day later a process is there that cannot claim. */
  const unclaimed = Effect.gen(function* () {
    const world = yield* makeWorld({ keep: 1 })
    const first = yield* open(world, { sagas: [Pair] })
    yield* first.use(SagaManager.run(Pair, { context, startKey: "k", pauseOnDisk: true }))
    yield* first.close
    yield* TestClock.adjust("1 day")
    let isAway = true
    world.store.fault = (operation) => (isAway && operation === "claim" ? { reason: "unavailable" } : undefined)
    yield* open(world, { sagas: [Pair] })
    yield* TestClock.adjust("30 seconds")
    const reply = (service: string) => {
      const answer = service === "stock" ? reserved : charged
      return Effect.andThen(world.wire.reply(world.wire.of("execute", service)[0]!, answer), quiet)
    }
    const status = Effect.map(world.store.repository.find({}), ({ items }) => items[0]?.status)
    return { ...world, reply, status, claims: () => (isAway = false) }
  })

  it.effect("F10 C20 sends once more, and waits for one attempt, however late it looks at an execution", () =>
    Effect.gen(function* () {
      const { claims, reply, status, wire } = yield* unclaimed
      const before = wire.sent.length
      claims()
      yield* TestClock.adjust("30 seconds")
      yield* quiet
      assert.deepStrictEqual([wire.sent.length - before, yield* status], [2, "paused"])
      yield* TestClock.adjust("999 millis")
      yield* reply("stock")
      yield* reply("payments")
      assert.strictEqual(yield* status, "finished")
    })
  )

  it.effect("F10 C20 takes the reply of one branch, and waits for that of the other", () =>
    Effect.gen(function* () {
      const { claims, reply, status, wire } = yield* unclaimed
      // It waits until the process has a lease.
      yield* reply("stock")
      const asked = wire.of("execute", "payments").length
      claims()
      for (let i = 0; i < 400 && wire.of("execute", "payments").length === asked; i++)
        yield* Effect.andThen(TestClock.adjust("100 millis"), quiet)
      assert.strictEqual(wire.of("execute", "payments").length, asked + 1)
      yield* TestClock.adjust("800 millis")
      assert.strictEqual(yield* status, "paused")
      yield* reply("payments")
      assert.strictEqual(yield* status, "finished")
    })
  )
})

describe("F10 C20 a process whose store was away", () => {
  it.effect("F10 C20 applies no deadline while it has no lease, though it has the execution", () =>
    Effect.gen(function* () {
      const end = Latch.makeUnsafe(false)
      const Busy = Saga.make("Busy", { context: { sku: Schema.String, amount: Schema.Int } }).pipe(
        Saga.parallel("both", {
          one: (branch) => branch.pipe(Saga.local("long", { execute: () => end.await })),
          two: (branch) =>
            branch.pipe(
              Saga.remote("stock", {
                execute: { command: Stock.commands.Reserve, payload: ({ sku }) => ({ sku }) }
              })
            )
        }),
        Saga.commit
      )
      const { store, use, wire } = yield* start({
        keep: 1,
        sagas: [Busy],
        resend: { initial: "10 minutes", max: "10 minutes" }
      })
      const running = yield* Effect.forkChild(use(run(Busy)))
      yield* until("the request", () => wire.sent.length === 1)
      yield* quiet
      let isAway = true
      store.fault = () => (isAway ? { reason: "unavailable" } : undefined)
      // The lease is over after 3 minutes, and the deadline comes after 5. Nothing is due to be sent in between.
      yield* TestClock.adjust("7 minutes")
      isAway = false
      wire.answer = agreeable
      yield* TestClock.adjust("2 minutes")
      yield* quiet
      yield* end.open
      assert.strictEqual((yield* Fiber.join(running)).status, "finished")
    })
  )

  it.effect("F10 C20 gives what has passed meanwhile the time of one attempt from when it has renewed its lease", () =>
    Effect.gen(function* () {
      const { store, use, wire } = yield* start({ keep: 1 })
      const running = yield* Effect.forkChild(use(run()))
      yield* until("the request", () => wire.sent.length === 1)
      yield* quiet
      let isAway = true
      store.fault = () => (isAway ? { reason: "unavailable" } : undefined)
      yield* TestClock.adjust("20 minutes")
      const before = wire.sent.length
      isAway = false
      wire.answer = agreeable
      yield* TestClock.adjust("1 minute")
      yield* quiet
      assert.strictEqual((yield* Fiber.join(running)).status, "finished")
      assert.strictEqual(wire.of("probe").length, 0)
      assert.isAbove(wire.sent.length, before)
    })
  )
})

if (isMemory) {
  describe("F10 C20 a process whose broker was away", () => {
    /** The broker is away for a day from now on, and then answers as it does. */
    const away = ({ wire }: World, answer: World["wire"]["answer"]) =>
      Effect.gen(function* () {
        yield* quiet
        wire.away(true)
        yield* TestClock.adjust("1 day")
        yield* quiet
        wire.answer = answer
        wire.away(false)
        yield* TestClock.adjust("40 seconds")
      })

    it.effect("F10 C20 applies no deadline of a remote step, and hears the answer to what it sends once more", () =>
      Effect.gen(function* () {
        const { use, wire, world } = yield* start({ keep: 1 })
        const running = yield* Effect.forkChild(use(run()))
        yield* until("the request", () => wire.sent.length === 1)
        yield* away(world, agreeable)
        assert.strictEqual((yield* Fiber.join(running)).status, "finished")
        assert.strictEqual(wire.of("probe").length, 0)
      })
    )

    it.effect("F10 C20 applies the deadline when the service has had the time of one attempt since it is back", () =>
      Effect.gen(function* () {
        const { use, wire, world } = yield* start({ keep: 1 })
        const running = yield* Effect.forkChild(use(run()))
        yield* until("the request", () => wire.sent.length === 1)
        yield* away(world, ({ op }) => (op === "probe" ? { status: 404 } : undefined))
        assert.strictEqual((yield* Fiber.join(running)).status, "errored")
        const back = wire.sent.findIndex(({ at }) => at >= 86_400_000)
        assert.deepStrictEqual(
          wire.sent.slice(back).map(({ envelope }) => envelope.op),
          ["execute", "probe"]
        )
      })
    )

    it.effect("F10 C20 sends an undo once more whose attempts have ended meanwhile", () =>
      Effect.gen(function* () {
        const { use, wire, world } = yield* start({ keep: 1 })
        wire.answer = (envelope, command) => (envelope.op === "failure" ? undefined : refusing(envelope, command))
        const running = yield* Effect.forkChild(use(run()))
        yield* until("the undo", () => wire.of("failure").length === 1)
        yield* away(world, refusing)
        const { alreadyRollback, parked, status } = yield* Fiber.join(running)
        assert.deepStrictEqual([status, parked, alreadyRollback], ["errored", [], true])
      })
    )

    it.effect("F10 C20 probes once more where the attempts have ended meanwhile", () =>
      Effect.gen(function* () {
        const { use, wire, world } = yield* start({ keep: 1 })
        const running = yield* Effect.forkChild(use(run()))
        yield* until("the request", () => wire.sent.length === 1)
        yield* TestClock.adjust("301 seconds")
        yield* until("the probe", () => wire.of("probe").length > 0)
        yield* away(world, ({ op }) => (op === "probe" ? { status: 404 } : undefined))
        const { parked, status } = yield* Fiber.join(running)
        assert.deepStrictEqual([status, parked], ["errored", []])
      })
    )

    it.effect("F10 C20 asks for a vote once more whose time has passed meanwhile", () =>
      Effect.gen(function* () {
        const { use, wire, world } = yield* start({ keep: 1, enrols: "two-phase" })
        wire.answer = (envelope, command) => (envelope.op === "reserve" ? undefined : agreeable(envelope, command))
        const running = yield* Effect.forkChild(use(run()))
        yield* until("the questions", () => wire.of("reserve").length === 2)
        yield* away(world, agreeable)
        const { commitState, status } = yield* Fiber.join(running)
        assert.deepStrictEqual([status, commitState], ["finished", "committed"])
      })
    )

    it.effect("F10 C20 looks less and less often at what waits for the broker", () =>
      Effect.gen(function* () {
        const { use, wire } = yield* start({ keep: 1 })
        yield* Effect.forkChild(use(run()))
        yield* until("the request", () => wire.sent.length === 1)
        yield* TestClock.adjust("299 seconds")
        const before = wire.sent.length
        wire.away(true)
        yield* TestClock.adjust("1 hour")
        yield* quiet
        assert.isBelow(wire.sent.length - before, 150)
        assert.strictEqual(wire.of("probe").length, 0)
      })
    )
  })
}
