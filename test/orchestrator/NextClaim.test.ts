/** When a process claims again: one time for everything that waits. */
import { assert, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { NextClaim } from "../../src/orchestrator/NextClaim.ts"

/** The times of the claims of ten seconds, with an interval of three. */
const claims = Effect.fnUntraced(function* (say: (next: NextClaim, claims: number) => void) {
  const clock = yield* Clock.Clock
  const next = new NextClaim(clock)
  const times: Array<number> = []
  const fiber = yield* Effect.forkChild(
    Effect.forever(
      Effect.andThen(
        next.wait(3_000),
        Effect.sync(() => say(next, times.push(clock.currentTimeMillisUnsafe())))
      )
    ),
    { startImmediately: true }
  )
  say(next, 0)
  yield* TestClock.adjust("10 seconds")
  yield* Fiber.interrupt(fiber)
  return times
})

it.effect("C20 where nothing is due, a process claims at its interval", () =>
  Effect.gen(function* () {
    assert.deepStrictEqual(yield* claims(() => {}), [3_000, 6_000, 9_000])
  })
)

it.effect(
  "C20 the earliest time at which something is due brings the next claim, and then the interval begins anew",
  () =>
    Effect.gen(function* () {
      const times = yield* claims((next, n) => {
        if (n === 0) for (const at of [2_500, 700, 9_000]) next.at(at)
      })
      assert.deepStrictEqual(times, [700, 3_700, 6_700, 9_700])
    })
)

it.effect("C20 a claim that is asked for comes at once", () =>
  Effect.gen(function* () {
    const times = yield* claims((next, n) => {
      if (n === 1) next.now()
    })
    assert.deepStrictEqual(times, [3_000, 3_000, 6_000, 9_000])
  })
)

it.effect("F8 what is due in a row is claimed together, ten times a second at most", () =>
  Effect.gen(function* () {
    const times = yield* claims((next, n) => next.at(n * 10))
    assert.strictEqual(times.length, 100)
    assert.deepStrictEqual(times.slice(0, 3), [100, 200, 300])
  })
)

it.effect("F11 a clock that is set back holds up no claim for longer than the interval", () =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    let behind = 0
    const next = new NextClaim({ ...clock, currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() - behind })
    const fiber = yield* Effect.forkChild(next.wait(3_000), { startImmediately: true })
    behind = 3_600_000
    yield* TestClock.adjust("3 seconds")
    assert.isDefined(fiber.pollUnsafe())
    const second = yield* Effect.forkChild(next.wait(3_000), { startImmediately: true })
    next.at(0)
    yield* TestClock.adjust("3 seconds")
    assert.isDefined(second.pollUnsafe())
  })
)
