/**
 * A clock that stands still until the test moves it, and knows when somebody wants to be woken: so time goes from one such moment to
 * the next, and a month in which nothing happens takes none.
 */
import { Clock, Duration, Effect } from "effect"
import { TestClock } from "effect/testing"

export interface VirtualTime {
  /** For the fibers of the test. It has the methods of a `TestClock`. */
  readonly clock: TestClock.TestClock
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** When the next sleeper is to be woken, in milliseconds since the epoch; `Infinity`: nobody sleeps. */
  readonly next: () => number
  /** Lets time pass until then, and wakes the sleepers whose time has come. */
  readonly goTo: (time: number) => Effect.Effect<void>
}

/** Begins at a time, in milliseconds since the epoch. */
const make = Effect.fnUntraced(function* (begin: number): Effect.fn.Return<VirtualTime> {
  const clock = yield* TestClock.testClockWith(Effect.succeed)
  yield* clock.setTime(begin)
  const wanted = new Map<number, number>()
  const want = (at: number, by: 1 | -1): void => {
    const count = (wanted.get(at) ?? 0) + by
    if (count === 0) wanted.delete(at)
    else wanted.set(at, count)
  }
  const sleep: Clock.Clock["sleep"] = (duration) =>
    Effect.suspend(() => {
      const at = clock.currentTimeMillisUnsafe() + Duration.toMillis(duration)
      return Effect.acquireUseRelease(
        Effect.sync(() => want(at, 1)),
        () => clock.sleep(duration),
        () => Effect.sync(() => want(at, -1))
      )
    })
  return {
    clock: { ...clock, sleep },
    now: clock.currentTimeMillisUnsafe,
    next: () => Math.min(...wanted.keys()),
    goTo: clock.setTime
  }
})

/** Runs the effect on such a clock, which begins at a time in milliseconds since the epoch. */
export const from = <A, E, R>(
  begin: number,
  use: (time: VirtualTime) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  make(begin).pipe(
    Effect.flatMap((time) => Effect.provideService(use(time), Clock.Clock, time.clock)),
    Effect.provide(TestClock.layer())
  )
