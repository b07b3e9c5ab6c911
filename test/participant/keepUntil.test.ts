/** SPEC C14, C16: how long a participant keeps what it needs to undo, and how long it holds a transaction open. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { defaults, ParticipantConfig } from "../../src/participant/ParticipantConfig.ts"
import { expire } from "../../src/participant/ParticipantDecision.ts"
import { type Bench, makeBench, maxSkew, participantRetention, uuid } from "./byHand.ts"

describe("keepUntil (C16)", () => {
  const until = 90 * 86_400_000
  const execute = { op: "execute", changes: { keepUntil: until } } as const

  /** Time passes, and what is old is purged. */
  const pass = (bench: Bench, time: number) => Effect.andThen(TestClock.setTime(time), bench.purge)

  it.effect("C14 without a transaction a record is kept until keepUntil, and as long after it as any other", () =>
    Effect.gen(function* () {
      const bench = yield* makeBench()
      yield* bench.deliver(execute, { alone: true })
      yield* bench.deliver({ op: "execute", path: "1" }, { alone: true })
      assert.strictEqual(yield* Effect.andThen(TestClock.setTime(until), bench.purge), 1)
      assert.strictEqual((yield* bench.deliver({ op: "failure" }, { alone: true })).status, 200)
      assert.strictEqual(bench.compensated.size, 1)
      yield* TestClock.setTime(until + maxSkew + participantRetention)
      assert.strictEqual(yield* bench.purge, 0)
      yield* TestClock.setTime(until + maxSkew + participantRetention + 1)
      // Both: the compensation was answered at that time.
      assert.strictEqual(yield* bench.purge, 2)
    })
  )

  it.effect("C14 an answer is kept as long after it as one in time, and a compensation is done once", () =>
    Effect.gen(function* () {
      const bench = yield* makeBench()
      yield* bench.deliver(execute, { alone: true })
      const early = 10 * 86_400_000
      yield* pass(bench, early)
      assert.strictEqual((yield* bench.deliver({ op: "failure" }, { alone: true })).status, 200)
      yield* pass(bench, early + participantRetention)
      assert.strictEqual((yield* bench.deliver({ op: "failure" }, { alone: true }))._tag, "duplicate")
      // Its record goes first. That of what it has undone says that nothing is left.
      yield* pass(bench, early + maxSkew + participantRetention + 1)
      assert.strictEqual((yield* bench.deliver({ op: "failure" }, { alone: true }))._tag, "applied")
      assert.deepStrictEqual([...bench.compensated.values()], [1])
      assert.strictEqual((yield* bench.deliver({ op: "probe" }, { alone: true })).status, 200)
    })
  )

  it.effect("C6 a transaction is not given up before the latest keepUntil of its messages", () =>
    Effect.gen(function* () {
      const bench = yield* makeBench()
      yield* bench.deliver(execute)
      // A later step has less before it, or is of a program that does not say it.
      yield* bench.deliver({ op: "execute", path: "1", changes: { keepUntil: 5 } })
      yield* bench.deliver({ op: "execute", path: "2" })
      const expired = (now: number) =>
        bench.store.unit({ service: "bank", transactions: [uuid], messages: [] }, (unit) =>
          Effect.succeed(expire(unit, uuid, now, defaults)?.status)
        )
      assert.strictEqual(yield* expired(until + defaults.pendingTtl - 1), undefined)
      assert.strictEqual(yield* expired(until + defaults.pendingTtl), "rejected")
      const found = (before: number) => bench.store.find({ service: "bank", status: "pending", before, limit: 10 })
      assert.deepStrictEqual(yield* found(until - 1), [])
      assert.strictEqual((yield* found(until)).length, 1)
      yield* TestClock.setTime(until)
      assert.strictEqual((yield* bench.deliver({ op: "reserve" })).status, 200)
      assert.strictEqual((yield* bench.deliver({ op: "commit" })).status, 200)
    })
  )

  it.effect("C6 a participant without keepUntil gives up after pendingTtl, as before", () =>
    Effect.gen(function* () {
      const bench = yield* makeBench()
      yield* TestClock.setTime(7)
      yield* bench.deliver({ op: "execute" })
      const found = (before: number) => bench.store.find({ service: "bank", status: "pending", before, limit: 10 })
      assert.deepStrictEqual([(yield* found(6)).length, (yield* found(7)).length], [0, 1])
    })
  )

  const tenYears = 3_650 * 86_400_000
  const forEver = { keepUntil: Number.MAX_SAFE_INTEGER, notAfter: Number.MAX_SAFE_INTEGER }

  it.effect("C11, C14 a sender cannot have an answer kept for longer than any saga takes", () =>
    Effect.gen(function* () {
      const bench = yield* makeBench()
      yield* bench.deliver({ op: "execute", changes: forEver }, { alone: true })
      yield* bench.deliver({ op: "probe", path: "1", changes: forEver }, { alone: true })
      yield* TestClock.setTime(tenYears + maxSkew + participantRetention)
      assert.strictEqual(yield* bench.purge, 0)
      yield* TestClock.setTime(tenYears + maxSkew + participantRetention + 1)
      assert.strictEqual(yield* bench.purge, 2)
    })
  )

  it.effect("C6, C11 a sender cannot have a transaction held open, or kept, for longer than any saga takes", () =>
    Effect.gen(function* () {
      const bench = yield* makeBench()
      yield* bench.deliver({ op: "execute", changes: forEver })
      const found = (before: number) => bench.store.find({ service: "bank", status: "pending", before, limit: 10 })
      assert.deepStrictEqual([(yield* found(tenYears - 1)).length, (yield* found(tenYears)).length], [0, 1])
      yield* bench.deliver({ op: "failure", changes: { notAfter: Number.MAX_SAFE_INTEGER } })
      assert.strictEqual(bench.compensated.size, 1)
      yield* TestClock.setTime(tenYears + maxSkew)
      assert.strictEqual(yield* bench.purge, 0)
      yield* TestClock.setTime(tenYears + maxSkew + 1)
      assert.strictEqual(yield* bench.purge, 1)
    })
  )

  it.effect("C14 with maxKeepUntil a participant decides for how long it is asked to keep", () =>
    Effect.gen(function* () {
      const bench = yield* makeBench()
      const month = 30 * 86_400_000
      const mine = Effect.provideService(ParticipantConfig, { ...defaults, maxKeepUntil: month })
      const answered = yield* mine(bench.deliver(execute, { alone: true }))
      // A copy is known by its hash, which is without the time.
      const again = yield* mine(bench.deliver(execute, { alone: true }))
      assert.deepStrictEqual([again._tag, again.envelope], ["duplicate", answered.envelope])
      yield* TestClock.setTime(month + maxSkew + participantRetention)
      assert.strictEqual(yield* bench.purge, 0)
      yield* TestClock.setTime(month + maxSkew + participantRetention + 1)
      assert.strictEqual(yield* bench.purge, 1)
    })
  )
})
