/** Times at which executions are looked at again: in their order, each once, whatever was scheduled and called off before. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as WakeUps from "../../src/orchestrator/WakeUps.ts"
import { below, type Chance, forSeeds, happens } from "../execution/rules/chance.ts"

/** The wake-ups that fired, as `uuid at time`. */
const make = Effect.gen(function* () {
  const fired: Array<string> = []
  const timers = yield* WakeUps.make({
    longest: 3_000,
    fire: ({ at, uuid }) => Effect.sync(() => void fired.push(`${uuid} at ${at}`))
  })
  yield* TestClock.adjust(0)
  return { ...timers, fired, at: (uuid: string, at: number) => timers.schedule({ uuid, at, since: 0 }) }
})

describe("wake-ups", () => {
  it.effect("wake-ups fire once each, in the order of their times, and not before", () =>
    Effect.gen(function* () {
      const { at, fired, size } = yield* make
      at("c", 300)
      at("a", 100)
      at("b", 200)
      yield* TestClock.adjust(99)
      assert.deepStrictEqual(fired, [])
      yield* TestClock.adjust(101)
      assert.deepStrictEqual(fired, ["a at 100", "b at 200"])
      assert.strictEqual(size(), 1)
      // Earlier than what is waited for.
      at("d", 250)
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual(fired, ["a at 100", "b at 200", "d at 250", "c at 300"])
      assert.strictEqual(size(), 0)
    })
  )

  it.effect("wake-ups that are replaced or cancelled do not fire, also at the same time", () =>
    Effect.gen(function* () {
      const { at, cancel, fired } = yield* make
      at("a", 100)
      at("a", 300)
      at("b", 300)
      at("b", 100)
      at("c", 100)
      cancel("c")
      at("d", 100)
      cancel("d")
      at("d", 100)
      cancel("nobody")
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual([...fired].sort(), ["a at 300", "b at 100", "d at 100"])
    })
  )

  it.effect("cancelled wake-ups are forgotten long before their time, however many there were", () =>
    Effect.gen(function* () {
      const { at, cancel, fired, schedule, size } = yield* make
      let looks = 0
      const kept = Array.from({ length: 100 }, (_, i) => ({ uuid: `kept ${i}`, time: 10_000 + ((i * 37) % 100) }))
      for (const { time, uuid } of kept) at(uuid, time)
      for (let i = 0; i < 100_000; i++) {
        const uuid = `gone ${i % 1_000}`
        schedule({
          uuid,
          get at() {
            looks++
            return 5_000 + (i % 100)
          },
          since: 0
        })
        cancel(uuid)
      }
      assert.strictEqual(size(), 100)
      // A wake-up that was not cancelled fires at its time.
      looks = 0
      yield* TestClock.adjust(9_999)
      assert.isBelow(looks, 10_000)
      assert.deepStrictEqual(fired, [])
      yield* TestClock.adjust(20_000)
      const inOrder = [...kept].sort((one, other) => one.time - other.time)
      assert.deepStrictEqual(
        fired,
        inOrder.map(({ time, uuid }) => `${uuid} at ${time}`)
      )
      assert.strictEqual(size(), 0)
    })
  )

  it.effect("wake-ups do not influence each other, in histories of chance", () =>
    Effect.gen(function* () {
      const chances: Array<Chance> = []
      forSeeds(30, (seed) => void chances.push({ state: seed }))
      for (const chance of chances) {
        const seed = chance.state
        const { at, cancel, fired } = yield* make
        const start = yield* Effect.clockWith(({ currentTimeMillis }) => currentTimeMillis)
        const expected = new Map<string, number>()
        const told: Array<string> = []
        let now = start
        const pass = Effect.fnUntraced(function* (time: number) {
          yield* TestClock.adjust(time)
          now += time
          const due = [...expected].filter(([, at]) => at <= now).sort(([, one], [, other]) => one - other)
          for (const [uuid, at] of due) {
            told.push(`${uuid} at ${at}`)
            expected.delete(uuid)
          }
        })
        for (let i = 0; i < 400; i++) {
          const uuid = `${below(chance, 60)}`
          if (happens(chance, 0.6)) {
            // No two at the same time: their order is nobody's.
            const time = now + 1 + below(chance, 500) * 1_000 + i
            at(uuid, time)
            expected.set(uuid, time)
          } else {
            cancel(uuid)
            expected.delete(uuid)
          }
          if (happens(chance, 0.05)) yield* pass(below(chance, 100_000))
        }
        yield* pass(1_000_000)
        assert.deepStrictEqual([...fired].sort(), [...told].sort(), `SEED=${seed}`)
        const times = fired.map((text) => Number(text.split(" at ")[1]))
        assert.deepStrictEqual(
          times,
          [...times].sort((one, other) => one - other),
          `SEED=${seed}`
        )
      }
    })
  )
})
