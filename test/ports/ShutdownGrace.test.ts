/** F3: how long a program may take to stop. On the real clock; what counts is the order in which things end. */
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import * as ShutdownGrace from "../../src/ports/ShutdownGrace.ts"

/** Half of it is for work, and half for what must be done then. */
const millis = 1_000

it.live("F3 parts of a program that stop one after the other have one grace", () =>
  Effect.gen(function* () {
    const order: Array<string> = []
    /** Stops a part whose work does not end by itself. */
    const stop = (name: string, grace: ShutdownGrace.ShutdownGrace) =>
      grace.end(
        Effect.never,
        Effect.sync(() => order.push(name))
      )
    const [first, second] = [yield* ShutdownGrace.make(millis), yield* ShutdownGrace.make(millis)]
    const other = yield* ShutdownGrace.make(millis).pipe(Effect.provide(Layer.fresh(ShutdownGrace.layer)))
    yield* stop("first", first)
    // Begun before the second part stops, and as long as a grace of its own would be.
    const alone = yield* Effect.forkChild(stop("another program", other), { startImmediately: true })
    yield* stop("second", second)
    yield* Fiber.join(alone)
    // A part that starts later has nothing to do with those that have stopped.
    const late = yield* ShutdownGrace.make(millis)
    const again = yield* Effect.forkChild(stop("late", late), { startImmediately: true })
    yield* Effect.forkChild(Effect.sync(() => order.push("meanwhile")))
    yield* Fiber.join(again)
    assert.deepStrictEqual(order, ["first", "second", "another program", "meanwhile", "late"])
  }).pipe(Effect.provide(ShutdownGrace.layer))
)

it.live("F3 work that cannot be interrupted is left alone when the grace is over", () =>
  Effect.gen(function* () {
    const order: Array<string> = []
    const grace = yield* ShutdownGrace.make(0)
    const stubborn = Effect.uninterruptible(
      Effect.andThen(
        Effect.sleep("10 seconds"),
        Effect.sync(() => order.push("it ends by itself"))
      )
    )
    yield* grace.end(stubborn, stubborn)
    yield* ShutdownGrace.briefly(stubborn)
    assert.deepStrictEqual(order, [])
  }).pipe(Effect.provide(ShutdownGrace.layer))
)
