/**
 * How messages are taken from the broker: as many at a time as the service may have, each acknowledged once its
 * consequence is stored (SPEC W2), and counted by what became of it.
 */
import { Effect, FiberSet, Metric, Schedule, Stream } from "effect"
import * as Broker from "./Broker.ts"

/** Messages by what became of them; the sum is the number acknowledged (SPEC I17). */
export const received = Metric.counter("effect_saga_messages_total", {
  description: "Messages that were acknowledged, by outcome",
  incremental: true
})

/** By outcome. There are few of them, and a metric that is made anew looks for its place among all others. */
const counters = new Map<string, typeof received>()

const counterOf = (outcome: string): typeof received => {
  const known = counters.get(outcome)
  if (known !== undefined) return known
  const counter = Metric.withAttributes(received, { outcome })
  counters.set(outcome, counter)
  return counter
}

/** What became of a message is stored: it is counted, and need not come again. */
export const conclude = (outcome: string, acknowledge: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    counterOf(outcome).updateUnsafe(1, fiber.context)
    return acknowledge
  })

/** 50 ms, doubled up to 2 s, for as long as it takes: meanwhile the delivery keeps its place (SPEC C8). */
export const untilHandled = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("2 seconds")])

/**
 * What is to be done where an effect fails or dies. Almost nothing does, so what sees to that is not begun before; it gets
 * the effect as if it had not run yet.
 */
export const unless = <A, E, R, B, E2, R2>(
  self: Effect.Effect<A, E, R>,
  failing: (self: Effect.Effect<A, E, R>) => Effect.Effect<B, E2, R2>
): Effect.Effect<A | B, E2, R | R2> =>
  Effect.catchCause(self, (cause) => {
    let attempts = 0
    return failing(Effect.suspend(() => (attempts++ === 0 ? Effect.failCause(cause) : self)))
  })

/** `Effect.retry` by the schedule above. */
export const retry = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  isPassing: (error: E) => boolean
): Effect.Effect<A, E, R> => unless(self, Effect.retry({ schedule: untilHandled, while: isPassing }))

/** 100 ms, doubled up to 10 s, for as long as it takes. */
const untilSubscribed = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("10 seconds")])

/** Handles what is addressed to a group until interrupted. A subscription that ends with an error is begun again. */
export const run = Effect.fnUntraced(function* <R>(
  group: Broker.Group,
  one: (delivery: Broker.Delivery) => Effect.Effect<void, never, R>
) {
  const broker = yield* Broker.Broker
  const subscribed = Effect.scoped(
    Effect.gen(function* () {
      const handling = yield* FiberSet.make<void>()
      const fork = Effect.runForkWith(yield* Effect.context<R>())
      // Each by itself: in order, one that takes long would hold up all that came after it. The broker bounds their number.
      const handleAll = (deliveries: ReadonlyArray<Broker.Delivery>) =>
        Effect.sync(() => {
          for (const delivery of deliveries) {
            // What one of them has brought about may end the service; what is left comes again.
            if (handling.state._tag === "Closed") return
            const fiber = fork(one(delivery))
            // Most are done by now.
            if (fiber.pollUnsafe() === undefined) FiberSet.addUnsafe(handling, fiber)
          }
        })
      const exit = yield* Effect.exit(Stream.runForEachArray(broker.subscribe(group), handleAll))
      yield* FiberSet.awaitEmpty(handling)
      return yield* exit
    })
  )
  yield* subscribed.pipe(
    Effect.tapError(({ reason }) =>
      Effect.logError("A service could not subscribe", { service: group.service, kinds: group.kinds, reason })
    ),
    Effect.retry({ schedule: untilSubscribed, while: ({ reason }) => reason !== "rejected" }),
    Effect.ignore
  )
})
