/** C20: who runs an execution. What waits has no owner, and one instance goes on with it when it is due. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaManager } from "effect-saga"
import { SagaExecution } from "effect-saga/internals"
import { bucketOf, inBucket } from "../../src/ports/Buckets.ts"
import * as Sample from "../../src/testing/SampleExecutions.ts"
import { CreateOrder, context, lines, makeWorld, open, quiet, reserved, until, write } from "../fixtures/manager.ts"

const config = { recoveryInterval: "3 seconds", lease: "9 seconds" } as const

it.effect("F7 of three instances one sends a request again, each time it is due", () =>
  Effect.gen(function* () {
    const sends: Array<number> = []
    for (const count of [1, 3]) {
      const world = yield* makeWorld({ keep: 10 })
      const instances = yield* Effect.forEach(Array.from({ length: count }), () => open(world, config))
      yield* instances[0]!.use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      const { envelope } = world.wire.sent[0]!
      // The reply comes to another instance, which sends the next request.
      const reply = { inReplyTo: envelope.id, sender: envelope.service, relatedServices: [], ...reserved } as const
      assert.strictEqual(yield* instances.at(-1)!.manager.reply(envelope.saga, reply), "applied")
      yield* TestClock.adjust("35 seconds")
      yield* quiet
      const last = world.wire.sent.at(-1)!.envelope.id
      sends.push(world.wire.sent.filter(({ envelope }) => envelope.id === last).length)
    }
    assert.isAbove(sends[0]!, 3, "it was sent again")
    assert.strictEqual(sends[1], sends[0])
  })
)

it.effect("C16 an input that comes to another instance is refused by the owner, and its sender is told", () =>
  Effect.gen(function* () {
    const gate = Deferred.makeUnsafe<void>()
    const slow = Saga.make("Slow", { context: {} }).pipe(
      Saga.local("wait", { execute: () => Effect.andThen(write("begun"), Deferred.await(gate)) }),
      Saga.commit
    )
    const world = yield* makeWorld({ keep: 10 })
    const one = yield* open(world, { ...config, sagas: [slow] })
    const two = yield* open(world, { ...config, sagas: [slow] })
    const running = yield* Effect.forkChild(one.use(SagaManager.run(slow, { context: {} })))
    yield* until("the step runs", () => lines(world).length === 1)
    const [{ uuid } = { uuid: "" }] = (yield* two.manager.find({})).items
    const parked = yield* Effect.forkChild(Effect.flip(two.manager.retryParked(uuid, "0", { actor: "ada" })))
    yield* quiet
    const { events } = yield* two.manager.load(uuid)
    assert.notInclude(
      events.map(({ _tag }) => _tag),
      "ActionRefused",
      "nobody but the owner writes"
    )
    yield* Deferred.succeed(gate, undefined)
    // Where nobody is notified, inputs and outcomes are looked for at every interval.
    yield* TestClock.adjust("10 seconds")
    assert.deepInclude(yield* Fiber.join(parked), { _tag: "SagaStepNotParked", uuid, path: "0" })
    assert.strictEqual((yield* Fiber.join(running)).status, "finished")
  })
)

it.effect("C20 a process whose first claim has failed begins no step: others know of no lease of it", () =>
  Effect.gen(function* () {
    const saga = Saga.make("Note", { context: {} }).pipe(
      Saga.local("note", { execute: () => write("noted") }),
      Saga.commit
    )
    const world = yield* makeWorld({ keep: 10 })
    let isAway = true
    world.store.fault = (operation) => (isAway && operation === "claim" ? { reason: "unavailable" } : undefined)
    const { use } = yield* open(world, { ...config, sagas: [saga] })
    const running = yield* Effect.forkChild(use(SagaManager.run(saga, { context: {} })))
    yield* TestClock.adjust("2 seconds")
    yield* quiet
    assert.deepStrictEqual(lines(world), [])
    isAway = false
    yield* TestClock.adjust("10 seconds")
    assert.strictEqual((yield* Fiber.join(running)).status, "finished")
    assert.deepStrictEqual(lines(world), ["noted"])
  })
)

it.effect("I28 a claim that brings an execution as it was before does not run its step again", () =>
  Effect.gen(function* () {
    const gate = Deferred.makeUnsafe<void>()
    const answer = Deferred.makeUnsafe<void>()
    const slow = Saga.make("Slow", { context: {} }).pipe(
      Saga.local("wait", { execute: () => Effect.andThen(write("begun"), Deferred.await(gate)) }),
      Saga.commit
    )
    const world = yield* makeWorld({ keep: 10 })
    const { repository } = world.store
    const { claim } = repository
    let brought: ReadonlyArray<string> = []
    const one = yield* open(world, { ...config, sagas: [slow] })
    const running = yield* Effect.forkChild(one.use(SagaManager.run(slow, { context: {} })))
    yield* until("the step runs", () => lines(world).length === 1)
    // The claim was sent before the execution began, so it does not say that this process has it; its answer comes late.
    Object.assign(repository, {
      claim: (request: Parameters<typeof claim>[0]) =>
        Effect.tap(claim({ ...request, holds: [] }), ({ executions }) => {
          brought = executions.map(({ status }) => status)
          Object.assign(repository, { claim })
          return Deferred.await(answer)
        })
    })
    yield* TestClock.adjust("3 seconds")
    yield* until("the claim has read it", () => brought.length === 1)
    assert.deepStrictEqual(brought, ["running"])
    yield* Deferred.succeed(gate, undefined)
    assert.strictEqual((yield* Fiber.join(running)).status, "finished")
    yield* Deferred.succeed(answer, undefined)
    yield* quiet
    assert.deepStrictEqual(lines(world), ["begun"])
  })
)

/** Nobody tells an instance of inputs: it finds them when it claims, or when a write is refused. */
const deaf = Effect.fnUntraced(function* (saga: Saga.AnyCommitted) {
  const world = yield* makeWorld({ keep: 10 })
  Object.assign(world.store.repository, { inputs: Stream.never })
  const instance = yield* open(world, { sagas: [saga] })
  return { world, ...instance }
})

const ask = { target: "stock/Count", content: () => null } as const

/** A step that ends when the gate opens. */
const gated = (name: string, gate: Deferred.Deferred<void>) => ({
  execute: () => Effect.andThen(write(name), Deferred.await(gate))
})

describe("inputs that nobody has told of", () => {
  it.effect("C16 no wait begins over an input that was not read", () => {
    const gate = Deferred.makeUnsafe<void>()
    const saga = Saga.make("Waits", { context: {} }).pipe(
      Saga.local("one", gated("one", gate)),
      Saga.remote("two", { execute: ask }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const { use, world } = yield* deaf(saga)
      const running = yield* Effect.forkChild(Effect.exit(use(SagaManager.run(saga, { context: {} }))))
      yield* until("the step runs", () => lines(world).length === 1)
      const { repository } = world.store
      const [{ uuid } = { uuid: "" }] = (yield* repository.find({})).items
      assert.strictEqual(yield* repository.submit({ uuid, id: "c", input: { _tag: "Cancel" }, at: 0 }), "stored")
      yield* Deferred.succeed(gate, undefined)
      // No time passes, so nothing but the refused write has made it read its inbox.
      yield* until("it is cancelled", () => running.pollUnsafe() !== undefined)
      const writes = world.story.filter((line) => line.startsWith("stored"))
      assert.strictEqual(writes.length, 2)
      assert.include(writes[1], "RollbackStarted")
    })
  })

  it.effect("C16 no deadline is applied over a reply that was not read", () => {
    const gate = Deferred.makeUnsafe<void>()
    const saga = Saga.make("Late", { context: {} }).pipe(
      Saga.parallel("both", {
        asked: Saga.remote("asked", { execute: ask, timeout: "10 seconds" }),
        here: Saga.local("here", gated("here", gate))
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const { use, world } = yield* deaf(saga)
      const running = yield* Effect.forkChild(use(SagaManager.run(saga, { context: {} })))
      yield* until("it has asked", () => world.wire.sent.length === 1 && lines(world).length === 1)
      const { saga: uuid, ...envelope } = world.wire.sent[0]!.envelope
      const input = { _tag: "Reply", inReplyTo: envelope.id, sender: "stock", status: 200, relatedServices: [] }
      yield* world.store.repository.submit({ uuid, id: "r", input, at: 1_000 })
      yield* TestClock.adjust("11 seconds")
      yield* Deferred.succeed(gate, undefined)
      yield* quiet
      assert.strictEqual((yield* Fiber.join(running)).status, "finished")
    })
  })
})

it.effect("C20 an instance whose lease is over by its own clock begins no step before it has renewed", () => {
  const gate = Deferred.makeUnsafe<void>()
  const saga = Saga.make("Lapsed", { context: {} }).pipe(
    Saga.local("one", gated("one", gate)),
    Saga.local("two", { execute: () => write("two") }),
    Saga.commit
  )
  return Effect.gen(function* () {
    const world = yield* makeWorld({ keep: 10 })
    const { use } = yield* open(world, { ...config, sagas: [saga] })
    const running = yield* Effect.forkChild(use(SagaManager.run(saga, { context: {} })))
    yield* until("the step runs", () => lines(world).length === 1)
    // It can write, but it cannot say that it lives.
    world.store.fault = (operation) => (operation === "claim" ? { reason: "unavailable" } : undefined)
    yield* TestClock.adjust("13 seconds")
    yield* Deferred.succeed(gate, undefined)
    yield* quiet
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(lines(world), ["one"])
    world.store.fault = () => undefined
    yield* TestClock.adjust("4 seconds")
    assert.strictEqual((yield* Fiber.join(running)).status, "finished")
    assert.deepStrictEqual(lines(world), ["one", "two"])
  })
})

it.effect(
  "C20 an instance writes and begins nothing of a database that has not renewed its lease; other databases go on",
  () => {
    const gate = Deferred.makeUnsafe<void>()
    const saga = Saga.make("Lapsed", { context: {} }).pipe(
      Saga.local("one", { execute: () => Effect.andThen(write("one"), Deferred.await(gate)) }),
      Saga.local("two", { execute: () => write("two") }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const { repository } = world.store
      const { claim } = repository
      let unrenewed: ReadonlyArray<number> = []
      Object.assign(repository, {
        claim: (request: Parameters<typeof claim>[0]) => Effect.map(claim(request), (it) => ({ ...it, unrenewed }))
      })
      const { use } = yield* open(world, { ...config, sagas: [saga] })
      const uuid = Sample.callerUuid()
      const other = inBucket(Sample.callerUuid(), (bucketOf(uuid) + 1) % 256)
      const run = (uuid: string) => Effect.forkChild(use(SagaManager.run(saga, { context: {}, uuid })))
      const running = yield* run(uuid)
      yield* until("the step runs", () => lines(world).length === 1)
      unrenewed = [bucketOf(uuid)]
      yield* TestClock.adjust("13 seconds")
      const { length } = world.store.attempts
      yield* Deferred.succeed(gate, undefined)
      yield* quiet
      yield* TestClock.adjust("1 second")
      assert.strictEqual(world.store.attempts.length, length, "nothing was written")
      assert.deepStrictEqual(lines(world), ["one"])
      const others = yield* run(other)
      yield* quiet
      assert.strictEqual((yield* Fiber.join(others)).status, "finished")
      assert.deepStrictEqual(lines(world), ["one", "one", "two"])
      unrenewed = []
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual((yield* Fiber.join(running)).status, "finished")
      assert.deepStrictEqual(lines(world), ["one", "one", "two", "two"])
    })
  }
)

it.effect("C20 what an instance has stored without a lease may be another one's by the time it has one", () => {
  const saga = Saga.make("Early", { context: {} }).pipe(Saga.local("one", { execute: () => write("one") }), Saga.commit)
  return Effect.gen(function* () {
    const world = yield* makeWorld({ keep: 10 })
    const { repository } = world.store
    const { claim } = repository
    const uuid = Sample.callerUuid()
    let unrenewed: ReadonlyArray<number> = [bucketOf(uuid)]
    let asked = 0
    Object.assign(repository, {
      claim: (request: Parameters<typeof claim>[0]) =>
        Effect.map(claim(request), (it) => ({ ...it, executions: [], unrenewed })),
      take: () =>
        Effect.sync(() => {
          asked++
          return "another"
        })
    })
    const { manager, use } = yield* open(world, { ...config, sagas: [saga] })
    yield* Effect.forkChild(use(SagaManager.run(saga, { context: {}, uuid })))
    yield* quiet
    assert.deepStrictEqual([(yield* manager.load(uuid)).revision, asked], [1, 0])
    unrenewed = []
    yield* TestClock.adjust("10 seconds")
    yield* quiet
    assert.deepStrictEqual([lines(world), asked], [[], 1], "the other one runs it")
  })
})

it.effect("C20 a reply to an execution that another instance has just claimed goes into the inbox of that one", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ keep: 10 })
    const { repository } = world.store
    const { store } = repository
    const [owner, now] = ["another", 0]
    yield* repository.claim({ owner, now, limit: 0, leaseMillis: 60_000, holds: [] })
    // The claim of the other one comes between the load and the write of this one.
    Object.assign(repository, {
      store: (...[execution, hint]: Parameters<typeof store>) => {
        const isReply = SagaExecution.unstored(execution).some(({ _tag }) => _tag === "ReplyReceived")
        const claimed = isReply ? repository.take({ uuid: execution.uuid, owner, now }) : Effect.void
        return Effect.andThen(claimed, store(execution, hint))
      }
    })
    const { manager, use } = yield* open(world, config)
    const { uuid } = yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
    const { envelope } = world.wire.sent[0]!
    const reply = { inReplyTo: envelope.id, sender: envelope.service, relatedServices: [], ...reserved } as const
    assert.strictEqual(yield* manager.reply(uuid, reply), "applied")
    yield* quiet
    const { events, revision } = yield* manager.load(uuid)
    assert.strictEqual(revision, 1)
    assert.strictEqual(events.at(-1)?._tag, "RequestSent")
    assert.strictEqual((yield* repository.inbox(uuid)).length, 1)
  })
)
