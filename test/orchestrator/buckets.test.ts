/**
 * C20: who runs an execution is a port. A manager runs on an ownership that has nothing to do with leases: each execution
 * falls into a bucket, and each bucket is one member's, as in a cluster.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaManager, SagaOwnership } from "effect-saga"
import * as Buckets from "../fixtures/buckets.ts"
import { CreateOrder, context, lines, makeWorld, open, quiet, reserved, until, write } from "../fixtures/manager.ts"

/** Two managers that share buckets: `one` has the even ones, `two` the odd ones. */
const two = Effect.fnUntraced(function* (sagas: (name: string) => Saga.AnyCommitted = () => CreateOrder) {
  const bare = yield* makeWorld({ keep: 100 })
  const buckets = Buckets.make(bare.store.repository)
  const ownership = Layer.succeed(SagaOwnership.SagaOwnership, buckets.ownership)
  const world = { ...bare, layers: Layer.merge(bare.layers, ownership) }
  const config = { recoveryInterval: "3 seconds", lease: "9 seconds" } as const
  const one = yield* open(world, { ...config, sagas: [sagas("one")] })
  const other = yield* open(world, { ...config, sagas: [sagas("two")] })
  yield* quiet
  const moveAll = (to: number) =>
    Effect.forEach(
      Array.from({ length: Buckets.count }, (_, bucket) => bucket),
      (bucket) => buckets.move("orders", bucket, to),
      { discard: true }
    )
  return { world, one, two: other, buckets, moveAll }
})

const isEven = (uuid: string) => Buckets.bucketOf(uuid) % 2 === 0

/** A step that says where it runs, and may wait. */
const told = (wait: (name: string) => Effect.Effect<void>) => (name: string) =>
  Saga.make("Told", { context: {} }).pipe(
    Saga.local("told", {
      execute: () =>
        Effect.andThen(write(`${name} begins`), wait(name)).pipe(
          Effect.onInterrupt(() => write(`${name} stops`)),
          Effect.andThen(write(`${name} ends`))
        )
    }),
    Saga.commit
  )

describe("ownership by buckets", () => {
  it.effect("C20 a new execution gets a uuid that is its instance's, and runs there", () =>
    Effect.gen(function* () {
      const sagas = told(() => Effect.void)
      const { one, two: other, world } = yield* two(sagas)
      for (const [{ use }, name] of [[one, "one"] as const, [other, "two"] as const]) {
        for (let i = 0; i < 16; i++) {
          const execution = yield* use(SagaManager.run(sagas(name), { context: {} }))
          assert.strictEqual(isEven(execution.uuid), name === "one")
          assert.strictEqual(lines(world).at(-1), `${name} ends`)
        }
      }
    })
  )

  it.effect("C20 an instance that has no executions says so where one is to be started", () =>
    Effect.gen(function* () {
      const sagas = told(() => Effect.void)
      const { moveAll, two: other, world } = yield* two(sagas)
      yield* moveAll(0)
      const exit = yield* Effect.exit(other.use(SagaManager.run(sagas("two"), { context: {} })))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.include(
        Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "",
        "none of 10000 new uuids is for this instance"
      )
      assert.deepStrictEqual(lines(world), [])
    })
  )

  it.effect("C20 an execution that its caller has named runs where its uuid belongs, and the caller gets its end", () =>
    Effect.gen(function* () {
      const sagas = told(() => Effect.void)
      const { two: other, world } = yield* two(sagas)
      const uuid = "0196a8f0-0000-4000-8000-000000000000"
      const run = other.use(SagaManager.run(sagas("two"), { context: {}, uuid }))
      const running = yield* Effect.forkChild(run)
      yield* TestClock.adjust("10 seconds")
      yield* quiet
      assert.strictEqual((yield* Fiber.join(running)).status, "finished")
      assert.deepStrictEqual(lines(world), ["one begins", "one ends"])
      const next = "0196a8f0-0000-4000-8000-000000000002"
      assert.strictEqual(yield* other.use(SagaManager.start(sagas("two"), { context: {}, uuid: next })), next)
      yield* until("it has run", () => lines(world).length === 4)
      assert.deepStrictEqual(lines(world).slice(2), ["one begins", "one ends"])
    })
  )

  it.effect("C16 C20 an input that comes to another member is judged by the owner, and its outcome comes back", () =>
    Effect.gen(function* () {
      const { one, two: other, world } = yield* two()
      const { uuid } = yield* one.use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      const { envelope } = world.wire.sent[0]!
      const reply = { inReplyTo: envelope.id, sender: envelope.service, relatedServices: [], ...reserved } as const
      assert.strictEqual(yield* other.manager.reply(uuid, reply), "applied")
      yield* until("the owner has asked for the payment", () => world.wire.sent.length === 2)
      assert.include(lines(world), "handle r-1")
      const refused = yield* Effect.forkChild(Effect.flip(other.manager.retryParked(uuid, "0", { actor: "ada" })))
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* Fiber.join(refused), { _tag: "SagaStepNotParked", uuid, path: "0" })
      const cancelled = yield* Effect.forkChild(other.manager.cancel(uuid, { actor: "ada" }))
      yield* TestClock.adjust("10 seconds")
      const { events } = yield* Fiber.join(cancelled)
      assert.includeMembers(
        events.map(({ _tag }) => _tag),
        ["ActionRefused", "RollbackStarted", "ActionApplied"]
      )
    })
  )

  it.effect("C20 what runs in a bucket that moves is stopped, and goes on at the other member only then", () =>
    Effect.gen(function* () {
      const gate = Deferred.makeUnsafe<void>()
      const sagas = told((name) => (name === "one" ? Effect.never : Deferred.await(gate)))
      const { moveAll, one, world } = yield* two(sagas)
      const running = yield* Effect.forkChild(one.use(SagaManager.run(sagas("one"), { context: {} })))
      yield* until("the step runs", () => lines(world).length === 1)
      yield* moveAll(1)
      yield* until("the step runs elsewhere", () => lines(world).length === 3)
      // Its caller comes with an input: it is handed on, and the caller waits for the end as before.
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust("10 seconds")
      yield* quiet
      assert.strictEqual((yield* Fiber.join(running)).status, "finished")
      assert.deepStrictEqual(lines(world), ["one begins", "one stops", "two begins", "two ends"])
    })
  )

  it.live("C20 I28 a step that is under way in a bucket that moves may end, and does not run at the other member", () =>
    Effect.gen(function* () {
      const gate = Deferred.makeUnsafe<void>()
      const sagas = (name: string) =>
        Saga.make("Told", { context: {} }).pipe(
          Saga.local("first", {
            execute: () =>
              Effect.andThen(Effect.andThen(write(`${name} begins`), Deferred.await(gate)), write(`${name} ends`))
          }),
          Saga.local("second", { execute: () => write(`${name} goes on`) }),
          Saga.commit
        )
      const { moveAll, one, world } = yield* two(sagas)
      const running = yield* Effect.forkChild(one.use(SagaManager.run(sagas("one"), { context: {} })))
      yield* until("the step runs", () => lines(world).length === 1)
      const moving = yield* Effect.forkChild(moveAll(1))
      yield* quiet
      assert.isUndefined(moving.pollUnsafe(), "it waits for the step")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(moving)
      assert.strictEqual((yield* Fiber.join(running)).status, "finished")
      assert.deepStrictEqual(lines(world), ["one begins", "one ends", "two goes on"])
    })
  )

  it.effect("C20 a reply that comes to another member is handed on, and goes into no inbox", () =>
    Effect.gen(function* () {
      const { buckets, one, two: other, world } = yield* two()
      const { uuid } = yield* one.use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      const { envelope } = world.wire.sent[0]!
      const reply = { inReplyTo: envelope.id, sender: envelope.service, relatedServices: [], ...reserved } as const
      assert.strictEqual(yield* other.manager.reply(uuid, reply), "applied")
      yield* until("its consequence leaves", () => world.wire.sent.length === 2)
      assert.deepStrictEqual(buckets.handedOn, [envelope.id])
      assert.strictEqual(yield* other.manager.reply(uuid, reply), "stale")
    })
  )

  it.effect("C20 an execution that waits goes on at the member that its bucket has moved to", () =>
    Effect.gen(function* () {
      const { moveAll, one, two: other, world } = yield* two()
      const { uuid } = yield* one.use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      yield* moveAll(1)
      const { envelope } = world.wire.sent[0]!
      const reply = { inReplyTo: envelope.id, sender: envelope.service, relatedServices: [], ...reserved } as const
      yield* one.close
      assert.strictEqual(yield* other.manager.reply(uuid, reply), "applied")
      yield* until("the next request leaves", () => world.wire.sent.length === 2)
    })
  )
})
