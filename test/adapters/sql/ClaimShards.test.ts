/** Claims of several databases, of which one is away, or there again and slow. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as ClaimShards from "../../../src/adapters/sql/ClaimShards.ts"
import { away, type Repository, Shards } from "../../../src/adapters/sql/Shards.ts"
import type * as Port from "../../../src/ports/SagaExecutionRepository.ts"
import * as Sample from "../../../src/testing/SampleExecutions.ts"

const leaseMillis = 3_000
const request: Port.ClaimRequest = { owner: "orders/1#1", leaseMillis, limit: 10, now: Sample.time }

const nothing: Port.Claimed = { executions: [], lapsed: false, lost: [], inbox: [] }
const one: Port.Claimed = { ...nothing, executions: [Sample.created()] }

/** A database whose claims are these, one after the other, and then the last one. */
const database = (name: string, bucket: number, ...claims: ReadonlyArray<Repository["claim"]>) => {
  let asked = 0
  const claim: Repository["claim"] = (request) =>
    Effect.suspend(() => claims[Math.min(asked++, claims.length - 1)]!(request))
  // cast: nothing but its claim is called
  const repository = { claim } as unknown as Repository
  const buckets = Effect.succeed([{ bucket, epoch: 1, state: "here" as const }])
  return { name, there: () => repository, reached: Effect.succeed(repository), buckets, refusal: () => undefined }
}

const quick: Repository["claim"] = () => Effect.succeed(nothing)
const failed: Repository["claim"] = () => Effect.fail(away("claim"))
/** Its renewal takes 800 ms, and so does the rest. */
const slow: Repository["claim"] = ({ answersWithin = 5_000 }) =>
  answersWithin < 800
    ? Effect.delay(Effect.fail(away("claim")), answersWithin)
    : Effect.delay(Effect.succeed(one), 1_600)

describe("a claim of several databases", () => {
  it.effect("does not wait for one that is away, and finds one that is there again and slow", () =>
    Effect.gen(function* () {
      const claim = ClaimShards.make(new Shards([database("north", 7, quick), database("south", 8, failed, slow)]))
      const unrenewed: Array<ReadonlyArray<number>> = []
      const found: Array<number> = []
      const took: Array<number> = []
      for (let round = 0; round < 6; round++) {
        const fiber = yield* Effect.forkChild(claim(request))
        let millis = 0
        for (; fiber.pollUnsafe() === undefined; millis += 100) yield* TestClock.adjust("100 millis")
        const claimed = yield* Fiber.join(fiber)
        found.push(claimed.executions.length)
        unrenewed.push((claimed.unrenewed ?? []).filter((bucket) => bucket === 7 || bucket === 8))
        took.push(millis)
      }
      // From the first answer on it has the time of its statements again.
      assert.deepStrictEqual(found, [0, 0, 0, 0, 1, 1])
      assert.deepStrictEqual(unrenewed, [[8], [8], [8], [8], [], []])
      assert.isTrue(
        took.slice(1, 4).every((millis) => millis >= 500 && millis <= 600),
        took.join()
      )
    })
  )

  it.effect("has its lease renewed by one that is slow for once", () =>
    Effect.gen(function* () {
      const claim = ClaimShards.make(
        new Shards([database("north", 7, quick), database("south", 8, quick, failed, slow)])
      )
      const unrenewed: Array<number> = []
      for (let round = 0; round < 3; round++) {
        const fiber = yield* Effect.forkChild(claim(request))
        while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("100 millis")
        unrenewed.push((yield* Fiber.join(fiber)).unrenewed?.includes(8) === true ? 1 : 0)
        yield* TestClock.adjust("1 second")
      }
      assert.deepStrictEqual(unrenewed, [0, 1, 0])
    })
  )

  it.effect("spares what others have in a database that was away for longer than a lease, until they could renew", () =>
    Effect.gen(function* () {
      let isAway = false
      const seen: Array<boolean> = []
      const south: Repository["claim"] = (request) => {
        seen.push(request.spares === true)
        return isAway ? failed(request) : quick(request)
      }
      const north: Array<boolean> = []
      const other: Repository["claim"] = (request) => {
        north.push(request.spares === true)
        return quick(request)
      }
      const claim = ClaimShards.make(new Shards([database("north", 7, other), database("south", 8, south)]))
      const claimEach = Effect.fnUntraced(function* (seconds: number) {
        seen.length = 0
        for (let second = 0; second < seconds; second++) {
          yield* claim(request)
          yield* TestClock.adjust("1 second")
        }
        return [...seen]
      })
      assert.deepStrictEqual(yield* claimEach(2), [false, false])
      isAway = true
      yield* claimEach(1)
      isAway = false
      assert.deepStrictEqual(yield* claimEach(2), [false, false], "it was away for less than a lease")
      isAway = true
      yield* claimEach(4)
      isAway = false
      assert.deepStrictEqual(yield* claimEach(5), [true, true, true, false, false])
      assert.isFalse(north.includes(true))
    })
  )

  it("gives a database a third of the lease as long as that is not over, then half a second, and now and then more", () => {
    const before = [0, 1, 2, 4].map((missed) => ClaimShards.patienceWith(missed, false, 9_000))
    assert.deepStrictEqual(before, [undefined, 3_000, 3_000, 3_000])
    const given = [1, 2, 3, 4, 5, 8].map((missed) => ClaimShards.patienceWith(missed, true, 9_000))
    assert.deepStrictEqual(given, [500, 500, 500, 3_000, 500, 3_000])
    assert.strictEqual(ClaimShards.patienceWith(4, true, 600), 500, "never less")
  })
})
