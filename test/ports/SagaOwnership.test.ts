/** The suite of the ownership, by leases and by buckets, and what a member by lease does as time passes. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Deferred, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { SagaExecutionRepository, SagaOwnership } from "effect-saga"
import { OwnershipSuite } from "effect-saga/testing/suites"
import { bucketOf, inBucket } from "../../src/ports/Buckets.ts"
import * as Sample from "../../src/testing/SampleExecutions.ts"
import * as Buckets from "../fixtures/buckets.ts"

const memory = SagaExecutionRepository.layerMemory

OwnershipSuite.suite("leases in memory", Layer.provideMerge(SagaOwnership.layerLease, memory))
OwnershipSuite.suite("buckets in memory", Layer.provideMerge(Buckets.layer, memory))

type Repository = SagaExecutionRepository.SagaExecutionRepository["Service"]

/** Members by leases of nine seconds on one repository. `claims` may hold a claim back. */
const world = Effect.fnUntraced(function* (claims: (claim: Repository["claim"]) => Repository["claim"] = (it) => it) {
  const { SagaExecutionRepository: Port } = SagaExecutionRepository
  const inner = Context.get(yield* Layer.build(Layer.fresh(memory)), Port)
  const repository: Repository = { ...inner, claim: claims(inner.claim) }
  const built = yield* Layer.build(Layer.provide(SagaOwnership.layerLease, Layer.succeed(Port, repository)))
  const { join } = Context.get(built, SagaOwnership.SagaOwnership)
  const member = (id: string) =>
    join({ id, service: "orders", lease: 9_000, leave: () => Effect.void, look: Effect.void })
  return { repository, one: yield* member("one"), two: yield* member("two") }
})

const claimed = Effect.fnUntraced(function* (
  { claim }: SagaOwnership.Membership,
  holds: ReadonlyArray<SagaExecutionRepository.Held> = []
) {
  const { executions } = yield* claim({ limit: 10, now: yield* Clock.currentTimeMillis, holds })
  return executions.map(({ uuid }) => uuid)
})

describe("a member by lease", () => {
  it.effect("C20 is alive by its own clock for one lease, and again once it has renewed", () =>
    Effect.gen(function* () {
      const { one } = yield* world()
      yield* claimed(one)
      yield* TestClock.adjust("8999 millis")
      assert.isTrue(one.isAlive())
      yield* TestClock.adjust("1 millis")
      assert.isFalse(one.isAlive())
      yield* claimed(one)
      assert.isTrue(one.isAlive())
    })
  )

  it.effect("C20 is not alive for executions of a database that has not renewed the lease, and is for all others", () =>
    Effect.gen(function* () {
      const uuid = Sample.callerUuid()
      const other = inBucket(uuid, (bucketOf(uuid) + 1) % 256)
      let unrenewed: ReadonlyArray<number> = [bucketOf(uuid)]
      const { one } = yield* world((claim) => (request) => Effect.map(claim(request), (it) => ({ ...it, unrenewed })))
      yield* claimed(one)
      assert.deepStrictEqual(
        [one.isAlive(undefined, uuid), one.isAlive(undefined, other), one.isAlive()],
        [false, true, true]
      )
      unrenewed = []
      yield* claimed(one)
      assert.isTrue(one.isAlive(undefined, uuid))
      unrenewed = [bucketOf(uuid)]
      // It has the lease that was renewed last, however often the others are renewed since.
      for (let second = 3; second < 12; second += 3) {
        assert.isTrue(one.isAlive(undefined, uuid), `after ${second - 3} seconds`)
        yield* TestClock.adjust("3 seconds")
        yield* claimed(one)
      }
      assert.deepStrictEqual([one.isAlive(undefined, uuid), one.isAlive(undefined, other)], [false, true])
      const { presentSince } = one
      unrenewed = []
      yield* claimed(one)
      assert.isTrue(one.isAlive(undefined, uuid))
      assert.isAbove(one.presentSince!, presentSince!, "deadlines that have passed wait for the time of one attempt")
      yield* TestClock.adjust("9 seconds")
      assert.isFalse(one.isAlive(undefined, other))
    })
  )

  it.effect("C20 renews with the next claim, however soon it comes, where a database has not renewed the lease", () =>
    Effect.gen(function* () {
      const fresh: Array<boolean> = []
      let unrenewed: ReadonlyArray<number> = []
      const { one } = yield* world(
        (claim) => (request) =>
          Effect.map(claim(request), (it) => {
            fresh.push(request.isFresh === true)
            return { ...it, unrenewed }
          })
      )
      yield* claimed(one)
      unrenewed = [1]
      yield* claimed(one)
      unrenewed = []
      yield* claimed(one)
      yield* claimed(one)
      assert.deepStrictEqual(fresh, [false, true, false, true])
    })
  )

  it.effect("C20 is not alive under a new name before a claim under that name is answered, and only where it is", () =>
    Effect.gen(function* () {
      const uuid = Sample.callerUuid()
      const other = inBucket(uuid, (bucketOf(uuid) + 1) % 256)
      const gate = yield* Deferred.make<void>()
      let lapses = false
      let unrenewed: ReadonlyArray<number> = []
      // The lease is over in one database, which does not answer to the claim under the new name.
      const { one } = yield* world((claim) => (request) => {
        if (lapses && request.former === undefined)
          return Effect.succeed({ executions: [], lapsed: true, lost: [], inbox: [] })
        const renamed = request.former === undefined ? Effect.void : Deferred.await(gate)
        return Effect.andThen(
          renamed,
          Effect.map(claim(request), (it) => ({ ...it, unrenewed }))
        )
      })
      yield* claimed(one)
      const before = one.owner
      // The database has missed one renewal: the lease that it has under the former name still runs.
      unrenewed = [bucketOf(uuid)]
      yield* claimed(one)
      assert.isTrue(one.isAlive(undefined, uuid))
      lapses = true
      const claiming = yield* Effect.forkChild(claimed(one), { startImmediately: true })
      yield* Effect.yieldNow
      assert.notStrictEqual(one.owner, before)
      assert.deepStrictEqual([one.isAlive(undefined, uuid), one.isAlive(undefined, other)], [false, false])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(claiming)
      assert.deepStrictEqual([one.isAlive(undefined, uuid), one.isAlive(undefined, other)], [false, true])
      lapses = false
      unrenewed = []
      yield* claimed(one)
      assert.isTrue(one.isAlive(undefined, uuid))
    })
  )

  it.effect("C20 has a lease that counts from before the claim: its answer may take long", () =>
    Effect.gen(function* () {
      const { one } = yield* world((claim) => (request) => Effect.tap(claim(request), () => Effect.sleep("6 seconds")))
      const claiming = yield* Effect.forkChild(claimed(one))
      yield* TestClock.adjust("6 seconds")
      assert.deepStrictEqual(claiming.pollUnsafe()?._tag, "Success")
      assert.isTrue(one.isAlive())
      yield* TestClock.adjust("3 seconds")
      assert.isFalse(one.isAlive())
    })
  )

  it.effect("C20 renews with one of several claims that follow each other closely, and counts from that one", () =>
    Effect.gen(function* () {
      const fresh: Array<boolean> = []
      const { one } = yield* world(
        (claim) => (request) =>
          Effect.andThen(
            Effect.sync(() => fresh.push(request.isFresh === true)),
            claim(request)
          )
      )
      for (const pause of [0, 1_000, 499, 1, 9_000, 0]) {
        yield* TestClock.adjust(pause)
        yield* claimed(one)
      }
      // At a lapse it claims twice. For one lease after that others are spared, and each claim renews.
      assert.deepStrictEqual(fresh, [false, true, true, false, false, false, false])
      const { one: other } = yield* world()
      yield* claimed(other)
      yield* TestClock.adjust("1 second")
      yield* claimed(other)
      yield* TestClock.adjust("7999 millis")
      assert.isTrue(other.isAlive())
      yield* TestClock.adjust("1 millis")
      assert.isFalse(other.isAlive())
    })
  )

  it.effect("C20 has a new name after its lease was over, with all that nobody took", () =>
    Effect.gen(function* () {
      const { one, repository, two } = yield* world()
      for (const member of [one, two]) yield* claimed(member)
      const { owner } = one
      const held = yield* repository.store(Sample.started(Sample.created()), { owner })
      yield* TestClock.adjust("10 seconds")
      yield* claimed(one, [held])
      assert.strictEqual(owner, "one#1")
      assert.strictEqual(one.owner, "one#2")
      const now = yield* Clock.currentTimeMillis
      yield* claimed(two)
      assert.strictEqual(yield* two.take({ uuid: held.uuid, now }), "one#2")
    })
  )

  it.effect("C20 takes nothing from others for one lease after it was without the repository itself", () =>
    Effect.gen(function* () {
      const { one, repository, two } = yield* world()
      for (const member of [one, two]) yield* claimed(member)
      const { uuid } = yield* repository.store(Sample.started(Sample.created()), { owner: two.owner })
      // Both were away. The one that comes first does not know whether the other one lives.
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* claimed(one), [])
      assert.strictEqual(yield* one.take({ uuid, now: yield* Clock.currentTimeMillis }), "two#1")
      yield* TestClock.adjust("8 seconds")
      assert.deepStrictEqual(yield* claimed(one), [])
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(yield* claimed(one), [uuid])
    })
  )
})
