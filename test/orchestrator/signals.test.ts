/**
 * C16, I23: signals from any process, at two instances that share a store. The tests of the rules say what a wait takes; these
 * say that a signal gets there once, and what its sender is told.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, type Duration, Effect, Exit, Fiber, Layer, Result, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  Signal,
  TransactionCommitter
} from "effect-saga"
import type { SagaExecution } from "effect-saga/internals"
import { lines, makeWorld, type Opened, open, plain, quiet, until, type World, write } from "../fixtures/manager.ts"
import { isMemory } from "../fixtures/repository.ts"

const config = { recoveryInterval: "3 seconds", lease: "9 seconds" } as const

const Approval = Signal.make("approval", { payload: Schema.Struct({ by: Schema.String }) })
const Stop = Signal.make("stop", { payload: Schema.Void })

const byAnn = { payload: { by: "Ann" } }

const Waits = Saga.make("Waits", { context: { order: Schema.String } }).pipe(
  Saga.waitFor("approval", { signal: Approval }),
  Saga.local("parcel", { success: Schema.String, execute: ({ approval }) => Effect.as(write("parcel"), approval.by) }),
  Saga.commit
)

/** Two waits for one signal, one after the other. */
const Twice = Saga.make("Twice", { context: {} }).pipe(
  Saga.waitFor("first", { signal: Approval }),
  Saga.waitFor("second", { signal: Approval }),
  Saga.commit
)

/** A step that ends when the gate opens, and then a wait. */
const gatedWait = (gate: Deferred.Deferred<void>) =>
  Saga.make("Gated", { context: {} }).pipe(
    Saga.local("busy", { execute: () => Effect.andThen(write("busy"), Deferred.await(gate)) }),
    Saga.waitFor("approval", { signal: Approval }),
    Saga.commit
  )

const facts = (execution: SagaExecution.SagaExecution, tag: string) =>
  execution.events.filter(({ _tag }) => _tag === tag)

/** Two instances that know the sagas, and one that knows none. */
const fleet = Effect.fnUntraced(function* (sagas: ReadonlyArray<Saga.AnyCommitted>, keep = 10) {
  const world = yield* makeWorld({ keep })
  const one = yield* open(world, { ...config, sagas })
  const two = yield* open(world, { ...config, sagas })
  const stranger = yield* open(world, { ...config, sagas: [] })
  return { world, one, two, stranger }
})

/** Lets the instances look at what they may not have heard of. */
const intervals = Effect.andThen(TestClock.adjust("7 seconds"), quiet)

const answerOf = Effect.fnUntraced(function* <A, E>(fiber: Fiber.Fiber<A, E>) {
  yield* quiet
  for (let round = 0; round < 10 && fiber.pollUnsafe() === undefined; round++) yield* intervals
  return yield* Effect.result(Fiber.join(fiber))
})

const success = <A, E>(result: Result.Result<A, E>): A =>
  Result.isSuccess(result) ? result.success : assert.fail(String(result.failure))

const assertTold = Effect.fnUntraced(function* <E>(
  sent: Fiber.Fiber<SagaManager.SignalAnswer, E>,
  answer: SagaManager.SignalAnswer
) {
  assert.strictEqual(success(yield* answerOf(sent)), answer)
})

const failure = <A, E>(result: Result.Result<A, E>): E =>
  Result.isFailure(result) ? result.failure : assert.fail(`no failure: ${String(result.success)}`)

/** Starts a saga, and waits until it waits. */
const startWaiting = (one: Opened, saga: Saga.AnyCommitted, context: object) =>
  one.use(SagaManager.run(saga as typeof Waits, { context: context as { order: string }, pauseOnDisk: true }))

const loaded = (world: World, uuid: string) => Effect.orDie(world.store.repository.load(uuid))

describe("a signal", () => {
  for (const from of ["one", "two", "stranger"] as const)
    it.effect(
      `C16 I23 from ${from === "stranger" ? "a process that knows no saga" : `instance ${from}`} ends the wait, and its sender is told`,
      () =>
        Effect.gen(function* () {
          const instances = yield* fleet([Waits])
          const { uuid } = yield* startWaiting(instances.one, Waits, { order: "a" })
          const sent = yield* Effect.forkChild(instances[from].use(SagaManager.signal(Approval, { uuid, ...byAnn })))
          yield* assertTold(sent, "applied")
          yield* intervals
          const execution = yield* loaded(instances.world, uuid)
          assert.strictEqual(execution.status, "finished")
          assert.strictEqual(facts(execution, "SignalReceived").length, 1)
          assert.deepStrictEqual(lines(instances.world), ["parcel"])
        })
    )

  it.effect("C16 I23 by start key finds its execution", () =>
    Effect.gen(function* () {
      const { stranger, one, world } = yield* fleet([Waits])
      const run = SagaManager.run(Waits, { context: { order: "b" }, startKey: "order b", pauseOnDisk: true })
      const { uuid } = yield* one.use(run)
      const sent = yield* Effect.forkChild(
        stranger.use(SagaManager.signal(Approval, { startKey: "order b", ...byAnn, actor: "ann" }))
      )
      yield* assertTold(sent, "applied")
      yield* intervals
      const execution = yield* loaded(world, uuid)
      assert.deepStrictEqual(plain(execution.context).parcel, "Ann")
      assert.propertyVal(facts(execution, "SignalReceived")[0], "actor", "ann")
      const unknown = yield* Effect.flip(stranger.use(SagaManager.signal(Approval, { startKey: "order c", ...byAnn })))
      assert.strictEqual(unknown._tag, "SagaExecutionNotFound")
    })
  )

  it.effect("C16 I23 that comes before its wait is kept for it", () => {
    const gate = Deferred.makeUnsafe<void>()
    const Gated = gatedWait(gate)
    return Effect.gen(function* () {
      const { one, two, world } = yield* fleet([Gated])
      const running = yield* Effect.forkChild(one.use(SagaManager.run(Gated, { context: {} })))
      yield* until("the step runs", () => lines(world).length === 1)
      const [{ uuid } = { uuid: "" }] = (yield* two.manager.find({})).items
      const sent = yield* Effect.forkChild(two.use(SagaManager.signal(Approval, { uuid, ...byAnn })))
      yield* quiet
      yield* Deferred.succeed(gate, undefined)
      yield* assertTold(sent, "applied")
      yield* intervals
      assert.strictEqual((yield* Fiber.join(running)).status, "finished")
    })
  })

  it.effect(
    "C16 one after the other from a process that knows no saga: each sender is told, whoever comes next",
    () => {
      const gate = Deferred.makeUnsafe<void>()
      const Gated = gatedWait(gate)
      return Effect.gen(function* () {
        const { one, stranger, world } = yield* fleet([Gated])
        const running = yield* Effect.forkChild(one.use(SagaManager.run(Gated, { context: {} })))
        yield* until("the step runs", () => lines(world).length === 1)
        const [{ uuid } = { uuid: "" }] = (yield* stranger.manager.find({})).items
        const send = (id: string) =>
          Effect.forkChild(stranger.use(SagaManager.signal(Approval, { uuid, id, ...byAnn })))
        const first = yield* send("first")
        yield* quiet
        const second = yield* send("second")
        yield* quiet
        assert.isUndefined(first.pollUnsafe())
        yield* Deferred.succeed(gate, undefined)
        for (const sent of [first, second]) yield* assertTold(sent, "applied")
        yield* intervals
        assert.strictEqual((yield* Fiber.join(running)).status, "finished")
      })
    }
  )

  it.effect("C16 I23 is accepted where nobody comes to it within ten seconds, and is not lost", () => {
    const gate = Deferred.makeUnsafe<void>()
    const Gated = gatedWait(gate)
    return Effect.gen(function* () {
      const { one, two, world } = yield* fleet([Gated])
      const running = yield* Effect.forkChild(one.use(SagaManager.run(Gated, { context: {} })))
      yield* until("the step runs", () => lines(world).length === 1)
      const [{ uuid } = { uuid: "" }] = (yield* two.manager.find({})).items
      for (const instance of [one, two]) {
        const sent = yield* Effect.forkChild(instance.use(SagaManager.signal(Approval, { uuid, ...byAnn })))
        yield* assertTold(sent, "accepted")
      }
      assert.strictEqual((yield* world.store.repository.inbox(uuid)).length, 2, "all that wait, and all that do not")
      yield* Deferred.succeed(gate, undefined)
      yield* intervals
      assert.strictEqual((yield* Fiber.join(running)).status, "finished")
      assert.strictEqual(facts(yield* loaded(world, uuid), "SignalReceived").length, 1)
    })
  })

  it.effect("C16 I23 that is sent many times, to every instance at once, advances one wait", () =>
    Effect.gen(function* () {
      const { one, stranger, two, world } = yield* fleet([Twice])
      const { uuid } = yield* startWaiting(one, Twice, {})
      const instances = [one, two, stranger, two, one, stranger]
      const sends = yield* Effect.forEach(instances, ({ use }) =>
        Effect.forkChild(use(SagaManager.signal(Approval, { uuid, ...byAnn })), { startImmediately: true })
      )
      for (const sent of sends) yield* assertTold(sent, "applied")
      yield* intervals
      const execution = yield* loaded(world, uuid)
      assert.strictEqual(execution.status, "paused", "the second wait waits")
      assert.strictEqual(facts(execution, "SignalReceived").length, 1)
      const again = yield* Effect.forkChild(two.use(SagaManager.signal(Approval, { uuid, ...byAnn, id: "second" })))
      yield* assertTold(again, "applied")
      yield* intervals
      assert.strictEqual((yield* loaded(world, uuid)).status, "finished")
    })
  )

  it.effect("C16 with the id of another one is a conflict, before and after it was used and after the end", () =>
    Effect.gen(function* () {
      const { one, stranger, two, world } = yield* fleet([Twice])
      const { uuid } = yield* startWaiting(one, Twice, {})
      const send = Effect.fnUntraced(function* (instance: typeof one, by: string, id = "x") {
        return yield* answerOf(
          yield* Effect.forkChild(instance.use(SagaManager.signal(Approval, { uuid, id, payload: { by } })))
        )
      })
      assert.strictEqual(success(yield* send(one, "Ann")), "applied")
      for (const instance of [one, two, stranger])
        assert.strictEqual(failure(yield* send(instance, "Bob"))._tag, "SagaSignalConflict")
      assert.strictEqual(success(yield* send(stranger, "Bob", "y")), "applied")
      yield* intervals
      assert.strictEqual((yield* loaded(world, uuid)).status, "finished")
      for (const instance of [one, two, stranger]) {
        assert.strictEqual(failure(yield* send(instance, "Bob"))._tag, "SagaSignalConflict")
        assert.strictEqual(success(yield* send(instance, "Ann")), "applied", "as stored before")
        assert.strictEqual(failure(yield* send(instance, "Ann", "z"))._tag, "SagaSignalRefused")
      }
      assert.strictEqual(facts(yield* loaded(world, uuid), "SignalReceived").length, 2)
      assert.deepStrictEqual(yield* world.store.repository.inbox(uuid), [])
    })
  )

  it.effect("C16 for nobody's wait is refused by every instance, and nothing is stored", () =>
    Effect.gen(function* () {
      const { one, stranger, two, world } = yield* fleet([Waits])
      const { revision, uuid } = yield* startWaiting(one, Waits, { order: "a" })
      for (const { use } of [one, two, stranger]) {
        const sent = yield* Effect.forkChild(use(SagaManager.signal(Stop, { uuid, payload: undefined })))
        assert.strictEqual(failure(yield* answerOf(sent))._tag, "SagaSignalRefused")
        const nobody = SagaManager.signal(Approval, { uuid: "0199a3f0-0000-7000-8000-000000000000", ...byAnn })
        assert.strictEqual(failure(yield* answerOf(yield* Effect.forkChild(use(nobody))))._tag, "SagaExecutionNotFound")
      }
      assert.strictEqual((yield* loaded(world, uuid)).revision, revision)
      assert.deepStrictEqual(yield* world.store.repository.inbox(uuid), [])
    })
  )

  it.effect("C16 that was refused is judged anew: a release with another schema takes it", () =>
    Effect.gen(function* () {
      const { one, stranger, two, world } = yield* fleet([Waits])
      const { uuid } = yield* startWaiting(one, Waits, { order: "a" })
      const Numbered = Signal.make("approval", { payload: Schema.Struct({ by: Schema.Int }) })
      const send = Effect.fnUntraced(function* () {
        const say = stranger.use(SagaManager.signal(Numbered, { uuid, payload: { by: 5 } }))
        return yield* answerOf(yield* Effect.forkChild(say))
      })
      for (let i = 0; i < 2; i++) assert.strictEqual(failure(yield* send())._tag, "SagaSignalRefused")
      yield* one.close
      yield* two.close
      const Later = Saga.make("Waits", { context: { order: Schema.String } }).pipe(
        Saga.waitFor("approval", { signal: Numbered }),
        Saga.local("parcel", { success: Schema.String, execute: ({ approval }) => Effect.succeed(`${approval.by}`) }),
        Saga.commit
      )
      yield* open(world, { ...config, sagas: [Later] })
      yield* intervals
      assert.strictEqual(success(yield* send()), "applied")
      yield* intervals
      const execution = yield* loaded(world, uuid)
      assert.strictEqual(execution.status, "finished")
      assert.deepStrictEqual(
        facts(execution, "ActionRefused").map((fact) => "why" in fact && Object(fact.why).reason),
        ["payload", "payload"]
      )
    })
  )

  it.effect("C16 for an execution that turns back is refused", () => {
    const gate = Deferred.makeUnsafe<void>()
    const Undone = Saga.make("Undone", { context: {} }).pipe(
      Saga.local("one", {
        execute: () => Effect.void,
        compensate: () => Effect.andThen(write("undo"), Deferred.await(gate))
      }),
      Saga.waitFor("approval", { signal: Approval }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const { one, stranger, two } = yield* fleet([Undone])
      const { uuid } = yield* startWaiting(one, Undone, {})
      yield* one.manager.cancel(uuid)
      yield* quiet
      for (const { use } of [two, stranger]) {
        const sent = yield* Effect.forkChild(use(SagaManager.signal(Approval, { uuid, ...byAnn })))
        assert.strictEqual(failure(yield* answerOf(sent))._tag, "SagaSignalRefused")
      }
      yield* Deferred.succeed(gate, undefined)
      yield* quiet
    })
  })

  it.effect("C16 that no wait has used is one of at most 100 of its name and key", () =>
    Effect.gen(function* () {
      const Keyed = Saga.make("Keyed", { context: {} }).pipe(
        Saga.waitFor("approval", { signal: Approval, key: () => "last" }),
        Saga.commit
      )
      const { one, two, world } = yield* fleet([Keyed])
      const { uuid } = yield* startWaiting(one, Keyed, {})
      const send = (instance: typeof one, id: string, key?: string) =>
        instance.use(SagaManager.signal(Approval, { uuid, id, ...byAnn, ...(key !== undefined && { key }) }))
      for (let n = 0; n < 100; n++) assert.strictEqual(yield* send(one, `${n}`), "applied")
      for (const instance of [one, two])
        assert.strictEqual(
          failure(yield* answerOf(yield* Effect.forkChild(send(instance, "100"))))._tag,
          "SagaSignalsFull"
        )
      assert.strictEqual(yield* send(one, "100", "other"), "applied", "another key")
      assert.strictEqual(yield* send(one, "101", "last"), "applied")
      yield* intervals
      assert.strictEqual((yield* loaded(world, uuid)).status, "finished")
    })
  )

  it.effect("C16 takes the wait with its key", () =>
    Effect.gen(function* () {
      const Two = Saga.make("Two", { context: {} }).pipe(
        Saga.parallel("both", {
          left: Saga.waitFor("left", { signal: Approval, key: () => "l" }),
          right: Saga.waitFor("right", { signal: Approval, key: () => "r" })
        }),
        Saga.commit
      )
      const { one, two, world } = yield* fleet([Two])
      const { uuid } = yield* startWaiting(one, Two, {})
      for (const [key, by] of [
        ["r", "Bob"],
        ["l", "Ann"]
      ] as const) {
        const sent = yield* Effect.forkChild(two.use(SagaManager.signal(Approval, { uuid, key, payload: { by } })))
        yield* assertTold(sent, "applied")
      }
      yield* intervals
      const execution = yield* one.manager.load(uuid)
      assert.strictEqual(execution.status, "finished")
      assert.deepStrictEqual(JSON.parse(JSON.stringify(plain(execution.context))), {
        left: { by: "Ann" },
        right: { by: "Bob" }
      })
      assert.strictEqual((yield* loaded(world, uuid)).status, "finished")
    })
  )

  it.effect("C16 whose payload or texts cannot be stored is an error that names the place, and never the value", () =>
    Effect.gen(function* () {
      const { one, world } = yield* fleet([Waits])
      const { revision, uuid } = yield* startWaiting(one, Waits, { order: "a" })
      const errors = yield* Effect.forEach(
        [
          { payload: { by: 7 } as any },
          { payload: { by: "x".repeat(1_100_000) } },
          { ...byAnn, key: "\0" },
          { ...byAnn, id: "x".repeat(513) },
          { ...byAnn, actor: "x".repeat(5_000) }
        ],
        (said) => Effect.flip(one.use(SagaManager.signal(Approval, { uuid, ...said })))
      )
      assert.deepStrictEqual(
        errors.map((error) => (error._tag === "SagaSignalInvalid" ? error.field : error._tag)),
        ["payload", "payload", "key", "id", "actor"]
      )
      assert.include(errors[0]!.message, "by")
      // What plain JavaScript, or a value of a request, may be.
      const hostile: ReadonlyArray<readonly [any, any, string]> = [
        [undefined, { uuid, ...byAnn }, "signal"],
        [{ name: 7 }, { uuid, ...byAnn }, "signal"],
        [Approval, undefined, "options"],
        [Approval, { ...byAnn }, "uuid"],
        [Approval, { ...byAnn, uuid: null }, "uuid"],
        [Approval, { ...byAnn, startKey: 7 }, "startKey"],
        [Approval, { ...byAnn, uuid, key: 7 }, "key"]
      ]
      for (const [signal, options, field] of hostile) {
        const error: any = yield* Effect.flip(one.use(SagaManager.signal(signal, options)))
        assert.deepStrictEqual([error._tag, error.field], ["SagaSignalInvalid", field])
      }
      assert.strictEqual((yield* loaded(world, uuid)).revision, revision)
    })
  )

  it.effect("C10 C16 I16 to a release that waits for another one is kept for the release that waits for it", () =>
    Effect.gen(function* () {
      const { one, two, world } = yield* fleet([Waits])
      const { revision, uuid } = yield* startWaiting(one, Waits, { order: "a" })
      yield* one.close
      yield* two.close
      const Changed = Saga.make("Waits", { context: { order: Schema.String } }).pipe(
        Saga.waitFor("approval", { signal: Stop }),
        Saga.commit
      )
      const later = yield* open(world, { ...config, sagas: [Changed] })
      const stop = yield* Effect.forkChild(later.use(SagaManager.signal(Stop, { uuid, payload: undefined })))
      // Its own definition has such a wait. The execution has none.
      assert.deepInclude(failure(yield* answerOf(stop)), { _tag: "SagaSignalRefused", reason: "unknown-signal" })
      const sent = yield* Effect.forkChild(later.use(SagaManager.signal(Approval, { uuid, ...byAnn })))
      yield* assertTold(sent, "accepted")
      yield* intervals
      assert.strictEqual((yield* loaded(world, uuid)).revision, revision, "no fact of a saga that it does not know")
      yield* open(world, { ...config, sagas: [Waits] })
      yield* intervals
      const execution = yield* loaded(world, uuid)
      assert.strictEqual(execution.status, "finished")
      assert.strictEqual(facts(execution, "SignalReceived").length, 1)
    })
  )

  it.effect("C16 I23 that is accepted while no process runs sagas is taken by the next one", () =>
    Effect.gen(function* () {
      const { one, stranger, two, world } = yield* fleet([Waits])
      const { uuid } = yield* startWaiting(one, Waits, { order: "a" })
      yield* one.close
      yield* two.close
      const sent = yield* Effect.forkChild(stranger.use(SagaManager.signal(Approval, { uuid, ...byAnn })))
      yield* assertTold(sent, "accepted")
      yield* open(world, { ...config, sagas: [Waits] })
      yield* intervals
      const execution = yield* loaded(world, uuid)
      assert.strictEqual(execution.status, "finished")
      assert.strictEqual(facts(execution, "SignalReceived").length, 1)
    })
  )
})

it.effect("C16 I23 no execution ends over a signal that was not read", () => {
  const gate = Deferred.makeUnsafe<void>()
  const Ends = Saga.make("Ends", { context: {} }).pipe(
    Saga.waitFor("approval", { signal: Approval }),
    Saga.local("busy", { execute: () => Effect.andThen(write("busy"), Deferred.await(gate)) }),
    Saga.commit
  )
  return Effect.gen(function* () {
    const world = yield* makeWorld({ keep: 10, enrols: true })
    Object.assign(world.store.repository, { inputs: Stream.never })
    const { use } = yield* open(world, { sagas: [Ends] })
    const running = yield* Effect.forkChild(use(SagaManager.run(Ends, { context: {} })))
    yield* until("it waits", () => world.story.some((line) => line.includes("WaitStarted")))
    const [{ uuid } = { uuid: "" }] = (yield* world.store.repository.find({})).items
    yield* use(SagaManager.signal(Approval, { uuid, ...byAnn }))
    yield* until("the step runs", () => lines(world).length === 1)
    const input = { _tag: "Signal", signal: "approval", id: "more", content: { by: "Bob" } }
    assert.strictEqual(yield* world.store.repository.submit({ uuid, id: "s", input, at: 0 }, "approval"), "stored")
    yield* Deferred.succeed(gate, undefined)
    yield* until("it has ended", () => running.pollUnsafe() !== undefined)
    const { events } = yield* loaded(world, uuid)
    const order = events.flatMap((fact) =>
      fact._tag === "SignalReceived" ? [fact.id] : fact._tag === "ExecutionFinished" ? [fact._tag] : []
    )
    assert.deepStrictEqual(order, ["approval", "more", "ExecutionFinished"])
  })
})

describe("a wait with a time", () => {
  const resting = (duration: Duration.Input) =>
    Saga.make("Rests", { context: {} }).pipe(
      Saga.sleep("cooling", duration),
      Saga.local("parcel", { execute: () => write("parcel") }),
      Saga.commit
    )

  it.effect("I24 C16 a sleep ends at its time and not before, at another instance where one has stopped", () =>
    Effect.gen(function* () {
      const Rests = resting("10 minutes")
      const { one, world } = yield* fleet([Rests])
      const { uuid } = yield* startWaiting(one, Rests, {})
      yield* one.close
      yield* TestClock.adjust("599 seconds")
      yield* quiet
      assert.deepStrictEqual(lines(world), [])
      yield* intervals
      yield* until("the sleep is over", () => lines(world).length === 1)
      yield* quiet
      assert.strictEqual((yield* loaded(world, uuid)).status, "finished")
    })
  )

  it.effect("C16 C13 many that sleep and wait take no place of a process, and all go on when they are due", () =>
    Effect.gen(function* () {
      const Rests = resting("5 minutes")
      const world = yield* makeWorld({ keep: 1_000 })
      const { use } = yield* open(world, { ...config, sagas: [Rests, Waits], maxRunning: 2, maxPending: 2 })
      for (let n = 0; n < 20; n++) {
        yield* use(SagaManager.run(Rests, { context: {}, pauseOnDisk: true }))
        yield* use(SagaManager.run(Waits, { context: { order: "a" }, pauseOnDisk: true }))
      }
      assert.deepStrictEqual(lines(world), [])
      yield* TestClock.adjust("6 minutes")
      yield* until("all have rested", () => lines(world).length === 20)
    })
  )

  it.effect(
    "I23 C16 a signal that was stored before the time of its wait was over counts, also where no process was there",
    () =>
      Effect.gen(function* () {
        const Patient = Saga.make("Patient", { context: {} }).pipe(
          Saga.waitFor("approval", {
            signal: Approval,
            timeout: "1 minute",
            onTimeout: { success: Schema.Literal("nobody"), value: () => "nobody" as const }
          }),
          Saga.commit
        )
        const { one, stranger, two, world } = yield* fleet([Patient])
        const { uuid } = yield* startWaiting(one, Patient, {})
        const late = yield* startWaiting(one, Patient, {})
        yield* one.close
        yield* two.close
        const sent = yield* Effect.forkChild(stranger.use(SagaManager.signal(Approval, { uuid, ...byAnn })))
        yield* assertTold(sent, "accepted")
        yield* TestClock.adjust("5 minutes")
        const next = yield* open(world, { ...config, sagas: [Patient] })
        yield* intervals
        const gotBy = (uuid: string) => Effect.map(next.manager.load(uuid), ({ context }) => plain(context).approval)
        assert.deepInclude(yield* gotBy(uuid), { by: "Ann" })
        assert.strictEqual(yield* gotBy(late.uuid), "nobody")
      })
  )

  if (isMemory)
    it.effect("I24 C16 a sleep of 30 days takes no time of a test", () =>
      Effect.gen(function* () {
        const begun = performance.now()
        const Month = Saga.make("Month", { context: {} }).pipe(Saga.sleep("cooling", "30 days"), Saga.commit)
        const alone = SagaManager.layer([Month]).pipe(
          Layer.provide([
            SagaConfig.layer({ service: "orders" }),
            SagaExecutionRepository.layerMemoryWith({ keep: 1 }),
            Broker.layerMemory,
            TransactionCommitter.layerNone
          ]),
          Layer.fresh
        )
        yield* Effect.gen(function* () {
          const running = yield* Effect.forkChild(SagaManager.run(Month, { context: {} }))
          yield* quiet
          yield* TestClock.adjust("29 days")
          assert.isUndefined(running.pollUnsafe())
          yield* TestClock.adjust("1 day")
          assert.strictEqual((yield* Fiber.join(running)).status, "finished")
        }).pipe(Effect.provide(alone))
        // Looked at in every interval, it would take minutes.
        assert.isBelow(performance.now() - begun, 10_000)
      })
    )
})

describe("a crash", () => {
  /** Stops an instance for good at the n-th point with this name. */
  const stopAt = (point: string, nth: number) => {
    let left = nth
    const stopped = Deferred.makeUnsafe<void>()
    const fault = (name: string) =>
      Effect.suspend(() =>
        name === point && --left === 0
          ? Effect.andThen(Deferred.succeed(stopped, undefined), Effect.never)
          : Effect.void
      )
    return { fault, stopped }
  }

  for (const point of ["store.before", "store.after", "callback.before", "callback.after"])
    for (const nth of [1, 2, 3, 4])
      it.effect(
        `C15 I23 at ${point} ${nth} between a signal and the end of its wait loses nothing and uses it once`,
        () =>
          Effect.gen(function* () {
            const world = yield* makeWorld({ keep: 10 })
            const first = yield* open(world, { ...config, sagas: [Waits] })
            const { uuid } = yield* startWaiting(first, Waits, { order: "a" })
            yield* first.close
            const { fault, stopped } = stopAt(point, nth)
            const doomed = yield* open(world, { ...config, sagas: [Waits], fault })
            const sent = yield* Effect.forkChild(doomed.use(SagaManager.signal(Approval, { uuid, ...byAnn })), {
              startImmediately: true
            })
            yield* quiet
            if (stopped.effect !== undefined) yield* Effect.forkChild(doomed.close)
            const told = sent.pollUnsafe()
            const next = yield* open(world, { ...config, sagas: [Waits] })
            yield* TestClock.adjust("20 seconds")
            yield* quiet
            const before = yield* loaded(world, uuid)
            // Its sender does not know, and sends it again: the same is stored once.
            const again = yield* Effect.forkChild(next.use(SagaManager.signal(Approval, { uuid, ...byAnn })))
            yield* assertTold(again, "applied")
            yield* intervals
            const execution = yield* loaded(world, uuid)
            assert.strictEqual(execution.status, "finished")
            assert.strictEqual(facts(execution, "SignalReceived").length, 1)
            assert.strictEqual(facts(execution, "StepSucceeded").filter((fact) => "signal" in fact).length, 1)
            if (told !== undefined && Exit.isSuccess(told))
              assert.strictEqual(facts(before, "SignalReceived").length, 1)
          })
      )
})
