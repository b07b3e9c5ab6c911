/** The line in front of shared connections: who waits, who is refused, and what the metrics say. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, References } from "effect"
import * as ConnectionQueue from "../../../src/adapters/sql/ConnectionQueue.ts"
import { codeOf } from "../../../src/adapters/sql/SqlErrors.ts"
import { seriesOf } from "../../fixtures/metrics.ts"

const counts = Effect.gen(function* () {
  const of = (id: string) => Effect.map(seriesOf(id), ({ transaction }) => transaction)
  return {
    inUse: yield* of("effect_saga_connections_in_use"),
    waiting: yield* of("effect_saga_connections_waiting")
  }
})

describe("the line in front of shared connections", () => {
  it.effect(
    "F1 is bounded: one more is refused at once, with a name, and the metrics count who works and who waits",
    () =>
      Effect.gen(function* () {
        const queue = ConnectionQueue.make("transaction", 2, 3)
        const end = yield* Deferred.make<void>()
        let begun = 0
        const work = queue.within(
          Effect.suspend(() => {
            begun++
            return Deferred.await(end)
          })
        )
        const fibers = yield* Effect.forEach(Array.from({ length: 5 }), () =>
          Effect.forkChild(work, { startImmediately: true })
        )
        assert.strictEqual(begun, 2)
        assert.deepStrictEqual(yield* counts, { inUse: 2, waiting: 3 })
        const refused = yield* Effect.forkChild(Effect.flip(work), { startImmediately: true })
        const error = refused.pollUnsafe()
        assert.strictEqual(error?._tag === "Success" ? codeOf(error.value) : "it waits", "TooManyWaiting")
        assert.deepStrictEqual(yield* counts, { inUse: 2, waiting: 3 })

        // One that gives up leaves its place to another.
        yield* Fiber.interrupt(fibers[4]!)
        assert.deepStrictEqual(yield* counts, { inUse: 2, waiting: 2 })
        fibers.push(yield* Effect.forkChild(work, { startImmediately: true }))
        assert.deepStrictEqual(yield* counts, { inUse: 2, waiting: 3 })

        yield* Deferred.succeed(end, undefined)
        yield* Effect.forEach(fibers, Fiber.await)
        assert.strictEqual(begun, 5)
        assert.deepStrictEqual(yield* counts, { inUse: 0, waiting: 0 })
      })
  )

  it.effect("F1 work that is interrupted at any moment leaves no place that is nobody's", () =>
    Effect.gen(function* () {
      const queue = ConnectionQueue.make("transaction", 1)
      // A fiber that gives way after so few operations can be interrupted between any two of them.
      for (const operations of [3, 4, 5, 6]) {
        const work = Effect.provideService(queue.within(Effect.void), References.MaxOpsBeforeYield, operations)
        for (let turns = 0; turns < 20; turns++) {
          const fiber = yield* Effect.forkChild(work)
          for (let n = 0; n < turns; n++) yield* Effect.yieldNow
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(yield* counts, { inUse: 0, waiting: 0 }, `${operations} operations, ${turns} turns`)
        }
      }
    })
  )

  it.effect("F1 a connection that is reserved later is taken from those that are shared", () =>
    Effect.gen(function* () {
      const queue = ConnectionQueue.make("transaction", 2)
      yield* queue.resize(1)
      let begun = 0
      const work = queue.within(
        Effect.suspend(() => {
          begun++
          return Effect.never
        })
      )
      yield* Effect.forkChild(work, { startImmediately: true })
      yield* Effect.forkChild(work, { startImmediately: true })
      assert.strictEqual(begun, 1)
    })
  )
})
