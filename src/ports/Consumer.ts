/**
 * How services take messages from the broker: a message is acknowledged after its consequence is stored (SPEC W2), and
 * counted by its outcome. The broker bounds how many are handled at the same time.
 */
import { Deferred, Effect, Exit, Fiber, FiberSet, Schedule, Scope, Stream } from "effect"
import * as Broker from "./Broker.ts"
import * as DatabaseCode from "./DatabaseCode.ts"
import * as Metrics from "./Metrics.ts"
import type { ShutdownGrace } from "./ShutdownGrace.ts"

/** Counts a message whose consequence is stored, and acknowledges it: the sum is the number of acknowledged messages (SPEC I17). */
export const conclude = (outcome: string, acknowledge: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    Metrics.messages.update(fiber.context, 1, outcome)
    return acknowledge
  })

/**
 * Waits 50 ms, then twice as long each time, at most 2 s, without an end. The delivery is not acknowledged meanwhile, so it
 * counts as in flight (SPEC C8).
 */
export const untilHandled = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("2 seconds")])

/**
 * Runs an effect, and sets up its recovery only when it fails or dies. Almost every message succeeds at once, and setting
 * up a retry costs more than handling it. The recovery gets an effect that first ends as the run that has failed, and
 * runs `self` again after that: so it can be retried and caught like `self`.
 */
export const withRecovery = <A, E, R, B, E2, R2>(
  self: Effect.Effect<A, E, R>,
  recover: (self: Effect.Effect<A, E, R>) => Effect.Effect<B, E2, R2>
): Effect.Effect<A | B, E2, R | R2> =>
  Effect.catchCause(self, (cause) => {
    let attempts = 0
    return recover(Effect.suspend(() => (attempts++ === 0 ? Effect.failCause(cause) : self)))
  })

/** `Effect.retry` by `untilHandled`, for the errors that may pass. What a database says each time stands in the log now and then. */
export const retry = <A, E, R>(self: Effect.Effect<A, E, R>, mayPass: (error: E) => boolean): Effect.Effect<A, E, R> =>
  withRecovery(self, (again) =>
    Effect.retry(Effect.tapError(again, DatabaseCode.warnLasting), { schedule: untilHandled, while: mayPass })
  )

/**
 * A handler that dies gives its place among those in flight back (SPEC C13, I29). Nothing is lost: whoever needs an answer
 * sends the message again until it comes.
 */
const placeGivenBack = <R>(
  handled: Effect.Effect<void, never, R>,
  { acknowledge }: Broker.Delivery
): Effect.Effect<void, never, R> =>
  Effect.catchDefect(handled, (defect) =>
    Effect.andThen(Effect.logError("A message was dropped: its handler died", defect), conclude("Defect", acknowledge))
  )

/** Waits 100 ms, then twice as long each time, at most 10 s, without an end. */
const untilSubscribed = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("10 seconds")])

/**
 * Handles the messages of a group until interrupted. A subscription that ends with an error is begun again, unless the
 * broker says that it can never work (`rejected`). Messages are handled side by side, as many as the broker delivers.
 * `grace`: how long handlers may go on after the interruption, and how long messages are handled that have come before it; undefined:
 * handlers end with it, and their messages come again.
 */
export const run = Effect.fnUntraced(function* <R>(
  group: Broker.Group,
  handle: (delivery: Broker.Delivery) => Effect.Effect<void, never, R>,
  grace?: ShutdownGrace
) {
  const broker = yield* Broker.Broker
  const subscribed = Effect.scoped(
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const handling = yield* Scope.provide(FiberSet.make<void>(), scope)
      const leaving = yield* Deferred.make<void>()
      const subscription = broker.subscribe(grace === undefined ? group : { ...group, leaves: Deferred.await(leaving) })
      let isStopping = false
      const fork = Effect.runForkWith(yield* Effect.context<R>())
      const handleAll = (deliveries: ReadonlyArray<Broker.Delivery>) =>
        Effect.suspend(() => {
          if (isStopping) return Effect.never
          for (const delivery of deliveries) {
            // Handling one message may close the service. The broker delivers the other messages again.
            if (handling.state._tag === "Closed") break
            const fiber = fork(placeGivenBack(handle(delivery), delivery))
            // Most fibers have ended here, and need no place in the set.
            if (fiber.pollUnsafe() === undefined) FiberSet.addUnsafe(handling, fiber)
          }
          return Effect.void
        })
      const reading = yield* Effect.forkChild(Stream.runForEachArray(subscription, handleAll), {
        startImmediately: true
      })
      // The subscription ends after the handlers: they can still acknowledge, and nobody else gets their messages meanwhile.
      yield* Effect.addFinalizer((exit) => {
        const interrupt = Effect.suspend(() => {
          isStopping = true
          return Scope.close(scope, exit)
        })
        const isGiven = grace !== undefined && Exit.hasInterrupts(exit)
        isStopping = !isGiven || broker.drains !== true
        // Nothing new is taken. Other instances get what comes from now on.
        const drained = Effect.andThen(
          Deferred.succeed(leaving, undefined),
          isStopping ? Effect.void : Fiber.await(reading)
        )
        const handled = Effect.andThen(drained, FiberSet.awaitEmpty(handling))
        return Effect.andThen(isGiven ? grace.end(handled, interrupt) : interrupt, Fiber.interrupt(reading))
      })
      const exit = yield* Fiber.await(reading)
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
