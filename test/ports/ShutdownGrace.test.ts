/** F3: how long a program may take to stop. On the real clock, with times that no machine is too slow for. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ShutdownGrace from "../../src/ports/ShutdownGrace.ts"

const timed = (effect: Effect.Effect<unknown>) =>
  Effect.suspend(() => {
    const before = performance.now()
    return Effect.map(effect, () => performance.now() - before)
  })

/** Half of it is for work, and half for what must be done then. */
const millis = 4_000

const endless = (grace: ShutdownGrace.ShutdownGrace) => timed(grace.end(Effect.never, Effect.void))

it.live("F3 parts of a program that stop one after the other have one grace", () =>
  Effect.gen(function* () {
    const [first, second] = [yield* ShutdownGrace.make(millis), yield* ShutdownGrace.make(millis)]
    assert.isAtLeast(yield* endless(first), millis / 2)
    assert.isBelow(yield* endless(second), millis / 4)
    assert.isAtLeast(yield* endless(yield* ShutdownGrace.make(millis)), millis / 2, "a part that starts later")
  }).pipe(Effect.provide(ShutdownGrace.layer))
)

it.live("F3 work that cannot be interrupted is left alone when the grace is over", () =>
  Effect.gen(function* () {
    const grace = yield* ShutdownGrace.make(0)
    const stubborn = Effect.uninterruptible(Effect.sleep(millis))
    assert.isBelow(yield* timed(grace.end(stubborn, stubborn)), millis)
    assert.isBelow(yield* timed(ShutdownGrace.briefly(stubborn)), millis)
  }).pipe(Effect.provide(ShutdownGrace.layer))
)
