/** F11: the clock of the machine is set while a process runs. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { SagaManager } from "effect-saga"
import * as WakeUps from "../../src/orchestrator/WakeUps.ts"
import * as SteadyClock from "../../src/ports/SteadyClock.ts"
import { below, type Chance, forSeeds, happens } from "../execution/rules/chance.ts"
import { agreeable, CreateOrder, context, makeWorld, open, quiet, until } from "../fixtures/manager.ts"

const hour = 3_600_000

/** A clock that shows another time than the monotonic one has passed. Fibers sleep by the test clock. */
const settable = Effect.map(Clock.Clock, (clock) => {
  const shown = { shift: 0 }
  const millis = () => clock.currentTimeMillisUnsafe() + shown.shift
  const set: Clock.Clock = {
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanosUnsafe: () => BigInt(millis()) * 1_000_000n,
    currentTimeNanos: Effect.sync(() => BigInt(millis()) * 1_000_000n),
    monotonicTimeNanosUnsafe: () => BigInt(clock.currentTimeMillisUnsafe()) * 1_000_000n,
    monotonicTimeNanos: Effect.sync(() => BigInt(clock.currentTimeMillisUnsafe()) * 1_000_000n),
    sleep: (duration) => clock.sleep(duration)
  }
  return { shown, clock: set }
})

describe("F11 a clock that is set", () => {
  it.effect("F11 goes on as before where the clock of the machine is set back, a tenth slower until both agree", () =>
    Effect.gen(function* () {
      const { clock, shown } = yield* settable
      const steady = SteadyClock.of(clock)
      yield* TestClock.adjust(5_000)
      assert.strictEqual(steady.currentTimeMillisUnsafe(), 5_000)
      shown.shift = -hour
      assert.strictEqual(steady.currentTimeMillisUnsafe(), 5_000)
      yield* TestClock.adjust(10_000)
      assert.strictEqual(steady.currentTimeMillisUnsafe(), 14_000)
      yield* TestClock.adjust(10 * hour)
      assert.strictEqual(steady.currentTimeMillisUnsafe(), clock.currentTimeMillisUnsafe())
      assert.strictEqual(SteadyClock.leapedAt(steady), Number.NEGATIVE_INFINITY)
    })
  )

  it.effect("F11 follows a clock that is set forward, and says so", () =>
    Effect.gen(function* () {
      const { clock, shown } = yield* settable
      const steady = SteadyClock.of(clock)
      yield* TestClock.adjust(hour)
      assert.strictEqual(steady.currentTimeMillisUnsafe(), hour)
      assert.strictEqual(SteadyClock.leapedAt(steady), Number.NEGATIVE_INFINITY)
      shown.shift = hour
      assert.strictEqual(yield* steady.currentTimeMillis, 2 * hour)
      assert.strictEqual(SteadyClock.leapedAt(steady), 2 * hour)
      assert.strictEqual(yield* steady.currentTimeNanos, BigInt(2 * hour) * 1_000_000n)
      assert.strictEqual(yield* steady.monotonicTimeNanos, BigInt(hour) * 1_000_000n)
    })
  )

  it("F11 never goes back, and is never behind the machine, however its clock is set", () => {
    const clock = Effect.runSync(Clock.Clock)
    forSeeds(200, (seed) => {
      const chance: Chance = { state: seed }
      let shown = 10 * hour
      let passed = 0
      const steady = SteadyClock.of({
        ...clock,
        currentTimeMillisUnsafe: () => shown,
        monotonicTimeNanosUnsafe: () => BigInt(passed) * 1_000_000n,
        sleep: () => Effect.void
      })
      let before = steady.currentTimeMillisUnsafe()
      for (let i = 0; i < 50; i++) {
        const step = below(chance, 20_000)
        passed += step
        shown += step + (happens(chance, 0.3) ? below(chance, 2 * hour) - hour : 0)
        const now = steady.currentTimeMillisUnsafe()
        assert.isAtLeast(now, before)
        assert.isAtLeast(now, shown)
        before = now
      }
    })
  })

  it("I24 C16 never runs ahead of the database, however wrong the clock of the machine and however long an answer takes", () => {
    const clock = Effect.runSync(Clock.Clock)
    forSeeds(200, (seed) => {
      const chance: Chance = { state: seed }
      let shown = 100 * hour
      let passed = 0
      const machine: Clock.Clock = {
        ...clock,
        currentTimeMillisUnsafe: () => shown,
        monotonicTimeNanosUnsafe: () => BigInt(passed) * 1_000_000n,
        sleep: () => Effect.void
      }
      const steady = SteadyClock.of(machine)
      const database = () => 200 * hour + passed
      const pass = (millis: number) => {
        passed += millis
        shown += millis + (happens(chance, 0.3) ? below(chance, 2 * hour) - hour : 0)
      }
      let before = Number.NEGATIVE_INFINITY
      let late = Number.POSITIVE_INFINITY
      for (let i = 0; i < 50; i++) {
        pass(below(chance, 5_000))
        const sent = machine.monotonicTimeNanosUnsafe()
        const [there, back] = [below(chance, 300), below(chance, 300)]
        pass(there)
        const at = database()
        pass(back)
        SteadyClock.follow(steady, at, sent)
        late = Math.min(late, back)
        pass(below(chance, 5_000))
        const now = steady.currentTimeMillisUnsafe()
        assert.isAtLeast(now, before)
        assert.isAtMost(now, database())
        assert.isAtLeast(now, database() - late - 2)
        before = now
      }
      assert.strictEqual(SteadyClock.leapedAt(steady), Number.NEGATIVE_INFINITY)
    })
  })

  it.effect("F11 is the clock of the test itself where the test has a virtual one", () =>
    Effect.map(Clock.Clock, (clock) => assert.strictEqual(SteadyClock.of(clock), clock))
  )
})

describe("F11 an execution that waits", () => {
  it.effect("F11 is woken soon where the clock is set forward past its time", () =>
    Effect.gen(function* () {
      const { clock, shown } = yield* settable
      const fired: Array<string> = []
      const wakeUps = yield* Effect.provideService(
        WakeUps.make({ longest: 3_000, fire: ({ uuid }) => Effect.sync(() => void fired.push(uuid)) }),
        Clock.Clock,
        clock
      )
      wakeUps.schedule({ uuid: "a", at: hour, since: 0 })
      yield* TestClock.adjust(1)
      shown.shift = hour
      yield* TestClock.adjust(3_000)
      assert.deepStrictEqual(fired, ["a"])
    })
  )

  for (const [what, shift] of [
    ["back", -hour],
    ["forward", hour]
  ] as const) {
    it.effect(
      `F11 has its request sent again in time where the clock is set ${what} by an hour, and is not timed out`,
      () =>
        Effect.gen(function* () {
          const world = yield* makeWorld()
          const { wire } = world
          const { clock, shown } = yield* settable
          const { use } = yield* Effect.provideService(open(world), Clock.Clock, clock)
          const running = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context })))
          yield* until("the request", () => wire.sent.length === 1)
          yield* quiet
          shown.shift = shift
          wire.answer = agreeable
          yield* TestClock.adjust(1_100)
          assert.strictEqual((yield* Fiber.join(running)).status, "finished")
          assert.deepStrictEqual([wire.of("execute", "stock").length, wire.of("probe").length], [2, 0])
        })
    )
  }
})
