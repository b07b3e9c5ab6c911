/** The doors beside `run`: `start` gives the uuid once the execution is stored, `resume` hands a response in. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Latch, Ref, Schema } from "effect"
import { RequestContext, Saga, SagaManager, SagaResponse } from "effect-saga"
import {
  agreeable,
  CardDeclined,
  CreateOrder,
  charged,
  context,
  lines,
  open,
  quiet,
  refusing,
  reserved,
  start,
  until,
  write
} from "../fixtures/manager.ts"

/** A saga whose only step waits until it is let go. */
const waitingFor = (latch: Latch.Latch) =>
  Saga.make("Waiting", { context: { n: Schema.Int } }).pipe(
    Saga.local("work", { execute: ({ n }) => Effect.andThen(latch.await, write(`${n}`)) }),
    Saga.commit
  )

const stored = (story: ReadonlyArray<string>) => story.filter((line) => line.startsWith("stored"))

describe("start", () => {
  it.effect("start gives the uuid once the execution is stored, and does not wait for its end", () =>
    Effect.gen(function* () {
      const latch = Latch.makeUnsafe(false)
      const Waiting = waitingFor(latch)
      const { manager, story, use, world } = yield* start({ keep: 1, sagas: [Waiting] })
      const uuid = yield* use(SagaManager.start(Waiting, { context: { n: 1 } }))
      assert.strictEqual(stored(story).length, 1)
      const execution = yield* manager.load(uuid)
      assert.deepStrictEqual([execution.uuid, execution.status, execution.revision], [uuid, "running", 1])
      assert.deepStrictEqual(lines(world), [])
      yield* latch.open
      yield* until("the saga is over", () => stored(story).length === 2)
      assert.deepStrictEqual(lines(world), ["1"])
      assert.strictEqual((yield* manager.load(uuid)).status, "finished")
    })
  )

  it.effect("start gives the uuid also where the saga is over, or has failed, by then", () =>
    Effect.gen(function* () {
      const Fails = Saga.make("Fails", { context: { fails: Schema.Boolean } }).pipe(
        Saga.local("one", {
          error: CardDeclined,
          execute: ({ fails }) => (fails ? Effect.fail(new CardDeclined({ reason: "limit" })) : Effect.void)
        }),
        Saga.commit
      )
      const { manager, use } = yield* start({ keep: 2, sagas: [Fails] })
      for (const fails of [false, true]) {
        const uuid = yield* use(SagaManager.start(Fails, { context: { fails } }))
        yield* quiet
        assert.strictEqual((yield* manager.load(uuid)).status, fails ? "errored" : "finished")
      }
    })
  )

  it.effect("start hands on user, autocommit and uuid", () =>
    Effect.gen(function* () {
      const { manager, use, wire, world } = yield* start({ keep: 1 })
      const mine = "0c3a2a4e-5d3b-4c59-9a3a-4a1f6a1b2c3d"
      const options = { context, user: "ada", autocommit: false, uuid: mine }
      assert.strictEqual(yield* use(SagaManager.start(CreateOrder, options)), mine)
      yield* until("the first request", () => wire.sent.length === 1)
      wire.answer = agreeable
      yield* wire.reply(wire.sent[0]!, reserved)
      yield* until("the second reply", () => wire.acknowledged === 2)
      const { commitState, status, user } = yield* manager.load(mine)
      assert.deepStrictEqual([status, commitState, user], ["finished", "none", "ada"])
      assert.deepStrictEqual(new Set(world.journal.map((line) => line.user)), new Set(["ada"]))
    })
  )

  it.effect("the same start key, twice or ten times at once, gives the same uuid", () =>
    Effect.gen(function* () {
      const latch = Latch.makeUnsafe(false)
      const Waiting = waitingFor(latch)
      const { story, use, world } = yield* start({ keep: 1, sagas: [Waiting] })
      const begin = use(SagaManager.start(Waiting, { context: { n: 1 }, startKey: "order-1" }))
      const first = yield* begin
      const others = yield* Effect.all(
        Array.from({ length: 10 }, () => begin),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(new Set(others), new Set([first]))
      yield* latch.open
      yield* until("the saga is over", () => stored(story).length === 2)
      assert.strictEqual(yield* begin, first)
      assert.deepStrictEqual(lines(world), ["1"])
    })
  )

  for (const name of [{ startKey: "order-1" }, { uuid: "0c3a2a4e-5d3b-4c59-9a3a-4a1f6a1b2c3d" }]) {
    it.effect(`a ${Object.keys(name)} that is in use with other initial values is a conflict, at once and later`, () =>
      Effect.gen(function* () {
        const Waiting = waitingFor(Latch.makeUnsafe(false))
        const { use } = yield* start({ keep: 1, sagas: [Waiting] })
        const begin = (n: number) => Effect.exit(use(SagaManager.start(Waiting, { context: { n }, ...name })))
        const both = yield* Effect.all([begin(1), begin(2)], { concurrency: "unbounded" })
        assert.deepStrictEqual(both.map(Exit.isSuccess).sort(), [false, true])
        const n = Exit.isSuccess(both[0]) ? 2 : 1
        const error = yield* Effect.flip(use(SagaManager.start(Waiting, { context: { n }, ...name })))
        assert.strictEqual(error._tag, "SagaStartConflict")
      })
    )
  }

  it.effect(
    "of two starts that wait for room under one uuid with different values one is stored, the other is a conflict",
    () =>
      Effect.gen(function* () {
        const latch = Latch.makeUnsafe(false)
        const Waiting = waitingFor(latch)
        const { use, world } = yield* start({ keep: 9, maxRunning: 1, sagas: [Waiting] })
        const uuid = "0c3a2a4e-5d3b-4c59-9a3a-4a1f6a1b2c3d"
        yield* use(SagaManager.start(Waiting, { context: { n: 0 } }))
        const two = yield* Effect.forEach([1, 2], (n) =>
          Effect.forkChild(use(SagaManager.start(Waiting, { context: { n }, uuid })))
        )
        yield* quiet
        yield* latch.open
        const [first, second] = yield* Effect.forEach(two, Fiber.await)
        assert.deepStrictEqual(first, Exit.succeed(uuid))
        const error = Exit.isFailure(second!) ? second.cause.reasons[0] : undefined
        assert.strictEqual(error?._tag === "Fail" && error.error._tag, "SagaStartConflict")
        yield* until("both are over", () => lines(world).length === 2)
        assert.deepStrictEqual(lines(world), ["0", "1"])
      })
  )

  it.effect(
    "an unknown saga, a context or a uuid that is refused, and an overload are errors, and nothing is stored",
    () =>
      Effect.gen(function* () {
        const Waiting = waitingFor(Latch.makeUnsafe(false))
        const Unknown = Saga.make("Unknown", { context: {} }).pipe(
          Saga.local("one", { execute: () => Effect.void }),
          Saga.commit
        )
        const { manager, use } = yield* start({ maxPending: 1, sagas: [Waiting] })
        const wrong = [
          SagaManager.start(Unknown, { context: {} }),
          SagaManager.start(Waiting, { context: { n: 0.5 } }),
          SagaManager.start(Waiting, { context: { n: 1 }, uuid: "no uuid" })
        ]
        const errors = yield* Effect.forEach(wrong, (each) => Effect.flip(use(each)))
        assert.deepStrictEqual(
          errors.map(({ _tag }) => _tag),
          ["SagaNotRegistered", "SagaContextEncodeError", "SagaInvalidUuid"]
        )
        assert.deepStrictEqual((yield* manager.find({})).items, [])
        yield* use(SagaManager.start(Waiting, { context: { n: 1 } }))
        const error = yield* Effect.flip(use(SagaManager.start(Waiting, { context: { n: 2 } })))
        assert.strictEqual(error._tag, "SagaOverloaded")
        assert.strictEqual((yield* manager.find({})).items.length, 1)
      })
  )

  it.effect("a store that refuses the first write is an error", () =>
    Effect.gen(function* () {
      const { store, use, world } = yield* start({ sagas: [CreateOrder] })
      store.fault = (operation) => (operation === "store" ? { reason: "rejected" } : undefined)
      const error = yield* Effect.flip(use(SagaManager.start(CreateOrder, { context })))
      assert.strictEqual(error._tag, "SagaExecutionRepositoryError")
      assert.deepStrictEqual(lines(world), [])
    })
  )

  it.effect("interrupting the caller leaves the execution running", () =>
    Effect.gen(function* () {
      const latch = Latch.makeUnsafe(false)
      const Waiting = waitingFor(latch)
      const { story, use, world } = yield* start({ keep: 1, sagas: [Waiting] })
      // The caller starts it and goes on with something that it is interrupted in.
      const caller = yield* Effect.forkChild(
        use(Effect.andThen(SagaManager.start(Waiting, { context: { n: 1 } }), Effect.never))
      )
      yield* until("the execution is stored", () => stored(story).length === 1)
      yield* Fiber.interrupt(caller)
      yield* latch.open
      yield* until("the saga is over", () => stored(story).length === 2)
      assert.deepStrictEqual(lines(world), ["1"])
    })
  )

  it.effect("a caller that is interrupted before there is room starts nothing, and the next one starts", () =>
    Effect.gen(function* () {
      const latch = Latch.makeUnsafe(false)
      const Waiting = waitingFor(latch)
      const { manager, use, world } = yield* start({ keep: 9, maxRunning: 1, sagas: [Waiting] })
      const begin = (n: number) => use(SagaManager.start(Waiting, { context: { n }, startKey: `${n}` }))
      yield* begin(1)
      const second = yield* Effect.forkChild(begin(2))
      const third = yield* Effect.forkChild(begin(3))
      yield* quiet
      assert.strictEqual((yield* manager.find({})).items.length, 1)
      yield* Fiber.interrupt(second)
      yield* latch.open
      yield* Fiber.join(third)
      yield* until("both are over", () => lines(world).length === 2)
      assert.deepStrictEqual(lines(world), ["1", "3"])
    })
  )

  it.effect("an execution that was started survives its manager", () =>
    Effect.gen(function* () {
      const { close, use, wire, world } = yield* start({ keep: 1 })
      const uuid = yield* use(SagaManager.start(CreateOrder, { context, startKey: "k" }))
      yield* close
      wire.answer = agreeable
      const other = yield* open(world)
      const execution = yield* other.use(SagaManager.run(CreateOrder, { context, startKey: "k" }))
      assert.deepStrictEqual([execution.uuid, execution.status], [uuid, "finished"])
    })
  )

  it.effect("start adds no services to the request of its caller, because it does not wait for the end", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      const headers = Ref.makeUnsafe<Readonly<Record<string, string>>>({ trace: "t-1" })
      const begin = SagaManager.start(CreateOrder, { context })
      yield* use(RequestContext.provide({ headers, user: "ada" })(begin))
      yield* until("the first request", () => wire.sent.length === 1)
      assert.strictEqual(wire.sent[0]!.envelope.user, "ada")
      assert.deepStrictEqual(yield* Ref.get(headers), { trace: "t-1" })
    })
  )
})

describe("resume", () => {
  const response = (uuid: string, content: unknown) =>
    new SagaResponse({ uuid, step: content === charged.content ? "payment" : "stock", content })

  it.effect("resume gives the execution at the next pause, and at its end", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start({ keep: 1 })
      const uuid = yield* use(SagaManager.start(CreateOrder, { context }))
      yield* until("the first request", () => wire.sent.length === 1)
      const paused = yield* use(SagaManager.resume(response(uuid, reserved.content), { until: "pause" }))
      assert.deepStrictEqual([paused.status, paused.pausedStep?.definition?.name], ["paused", "payment"])
      const finished = yield* use(SagaManager.resume(response(uuid, charged.content)))
      assert.strictEqual(finished.status, "finished")
      const again = yield* use(SagaManager.resume(response(uuid, charged.content)))
      assert.strictEqual(again.revision, finished.revision)
      const other = yield* Effect.flip(use(SagaManager.resume(response(uuid, { paymentId: "another" }))))
      assert.strictEqual(other._tag, "SagaResponseConflict")
      const unnamed = yield* Effect.flip(use(SagaManager.resume(new SagaResponse({ uuid, content: null }))))
      assert.strictEqual(unnamed._tag, "SagaExecutionAlreadyExecuted")
    })
  )

  it.effect("resume waits for the end by default", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start({ keep: 1 })
      const uuid = yield* use(SagaManager.start(CreateOrder, { context }))
      yield* until("the first request", () => wire.sent.length === 1)
      const waiting = yield* Effect.forkChild(use(SagaManager.resume(response(uuid, reserved.content))))
      yield* until("the second request", () => wire.of("execute", "payments").length === 1)
      yield* quiet
      assert.isUndefined(waiting.pollUnsafe())
      yield* wire.reply(wire.of("execute", "payments")[0]!, charged)
      assert.strictEqual((yield* Fiber.join(waiting)).status, "finished")
    })
  )

  it.effect("resume fails with SagaFailedExecution once all steps are compensated", () =>
    Effect.gen(function* () {
      const { use, wire, world } = yield* start({ keep: 1 })
      const uuid = yield* use(SagaManager.start(CreateOrder, { context }))
      yield* until("the first request", () => wire.sent.length === 1)
      wire.answer = refusing
      const error = yield* Effect.flip(use(SagaManager.resume(response(uuid, reserved.content))))
      assert.strictEqual(error._tag, "SagaFailedExecution")
      assert.include(lines(world), "void invoice-10")
    })
  )

  it.effect("resume refuses a response without a uuid, or for an unknown execution", () =>
    Effect.gen(function* () {
      const { use } = yield* start()
      const unaddressed = yield* Effect.flip(use(SagaManager.resume(new SagaResponse({ content: 1 }))))
      const unknown = yield* Effect.flip(use(SagaManager.resume(response("01890000-0000-7000-8000-000000000000", 1))))
      assert.deepStrictEqual([unaddressed._tag, unknown._tag], ["SagaResponseUnaddressed", "SagaExecutionNotFound"])
    })
  )

  it.effect("autocommit replaces what the execution was started with", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* start({ enrols: true, keep: 1 })
      const uuid = yield* use(SagaManager.start(CreateOrder, { context }))
      yield* until("the first request", () => wire.sent.length === 1)
      yield* use(SagaManager.resume(response(uuid, reserved.content), { until: "pause", autocommit: false }))
      const finished = yield* use(SagaManager.resume(response(uuid, charged.content)))
      assert.deepStrictEqual([finished.status, finished.commitState], ["finished", "none"])
      assert.strictEqual((yield* manager.commit(uuid)).commitState, "committed")
    })
  )
})

describe("actor and reason", () => {
  it.effect("actor and reason of a cancel are in the error of its callers, and stored", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* start({ keep: 1 })
      const running = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context })))
      yield* until("the first request", () => wire.sent.length === 1)
      wire.answer = agreeable
      const uuid = wire.sent[0]!.envelope.saga
      yield* manager.cancel(uuid, { actor: "ada", reason: "ordered twice" })
      yield* wire.reply(wire.sent[0]!, reserved)
      const error = yield* Effect.flip(Fiber.join(running))
      assert.strictEqual(error._tag, "SagaFailedExecution")
      if (error._tag !== "SagaFailedExecution") return
      assert.strictEqual((error.cause as Error).message, "The execution was cancelled by ada: ordered twice")
      const { cause } = yield* manager.load(uuid)
      assert.deepInclude(cause, { _tag: "SagaCancelled", actor: "ada", reason: "ordered twice" })
    })
  )

  it.effect("actor and reason of a reject are the cause; without them the cause names nobody", () =>
    Effect.gen(function* () {
      const { manager, use } = yield* start({ keep: 2 })
      const begin = SagaManager.run(CreateOrder, { context, pauseOnDisk: true, returnExecution: false })
      for (const who of [{ actor: "ada", reason: "no stock" }, undefined]) {
        const uuid = yield* use(begin)
        yield* Effect.forkChild(manager.reject(uuid, who))
        yield* quiet
        const { cause } = yield* manager.load(uuid)
        assert.deepInclude(cause, { _tag: "SagaRejected", ...who })
        const said = who === undefined ? /rejected by its caller$/ : /rejected by ada: no stock$/
        assert.match((cause as Error).message, said)
      }
    })
  )
})
