/** The part `schedules` of the repository suite: the last tick of a schedule moves forward only, and with what is stored. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import * as Repository from "../ports/SagaExecutionRepository.ts"
import * as Sample from "./SampleExecutions.ts"
import type * as Suite from "./Suite.ts"

const ticks = Effect.map(Repository.SagaExecutionRepository, ({ schedules }) => {
  assert.isDefined(schedules, "the repository has schedules")
  return schedules!
})

export const schedules = (test: Suite.Test<Repository.SagaExecutionRepository>): void => {
  test("a schedule that is new is remembered with the time at which it was seen first", () =>
    Effect.gen(function* () {
      const { last } = yield* ticks
      const name = Sample.uniqueName()
      assert.strictEqual(yield* last(name, Sample.time), Sample.time)
      assert.strictEqual(yield* last(name, Sample.time + 60_000), Sample.time)
      assert.strictEqual(yield* last(Sample.uniqueName(), Sample.time + 1), Sample.time + 1)
    }))

  test("the last tick moves forward, and to each time once", () =>
    Effect.gen(function* () {
      const { advance, last } = yield* ticks
      const name = Sample.uniqueName()
      yield* last(name, Sample.time)
      assert.isFalse(yield* advance(name, Sample.time))
      assert.isTrue(yield* advance(name, Sample.time + 2_000))
      assert.isFalse(yield* advance(name, Sample.time + 2_000))
      assert.isFalse(yield* advance(name, Sample.time + 1_000))
      assert.strictEqual(yield* last(name, 0), Sample.time + 2_000)
      assert.isTrue(yield* advance(Sample.uniqueName(), Sample.time), "of a schedule whose row was removed")
    }))

  test("a last tick that is beyond a time is put back, once", () =>
    Effect.gen(function* () {
      const { advance, last, putBack } = yield* ticks
      const name = Sample.uniqueName()
      assert.isFalse(yield* putBack(name, Sample.time, 0), "of a schedule that is not there")
      yield* advance(name, Sample.time + 9_000)
      assert.isFalse(yield* putBack(name, Sample.time, Sample.time + 9_000))
      assert.strictEqual(yield* last(name, 0), Sample.time + 9_000)
      const both = yield* Effect.all(
        Array.from({ length: 5 }, () => putBack(name, Sample.time, Sample.time + 8_999)),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(both.filter((it) => it).length, 1)
      assert.strictEqual(yield* last(name, 0), Sample.time)
      assert.isTrue(yield* advance(name, Sample.time + 1))
    }))

  test("of many that make the same tick one does", () =>
    Effect.gen(function* () {
      const { advance } = yield* ticks
      const name = Sample.uniqueName()
      const made = yield* Effect.forEach(Array.from({ length: 20 }), () => advance(name, Sample.time), {
        concurrency: "unbounded"
      })
      assert.strictEqual(made.filter((it) => it).length, 1)
    }))

  test("a tick and its execution are stored together", () =>
    Effect.gen(function* () {
      const { advance } = yield* ticks
      const { atomically, load, store } = yield* Repository.SagaExecutionRepository
      const name = Sample.uniqueName()
      const attempt = Effect.suspend(() => {
        const execution = Sample.started(Sample.created())
        return Effect.map(
          atomically(
            Effect.gen(function* () {
              return (yield* advance(name, Sample.time)) ? yield* store(execution, { wakeAt: 0 }) : undefined
            })
          ),
          (stored) => ({ execution, stored })
        )
      })
      const both = yield* Effect.all([attempt, attempt], { concurrency: "unbounded" })
      const [made] = both.filter(({ stored }) => stored !== undefined)
      assert.strictEqual(both.filter(({ stored }) => stored !== undefined).length, 1)
      assert.strictEqual((yield* load(made!.execution.uuid)).revision, 1)
      const other = both.find(({ stored }) => stored === undefined)!
      assert.strictEqual((yield* Effect.flip(load(other.execution.uuid)))._tag, "SagaExecutionNotFound")
    }))
}
