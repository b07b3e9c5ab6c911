/**
 * The loops of a process: work that goes on while a scope is open. A loop never ends by a defect: the defect is logged, and
 * the loop goes on after a second (SPEC C20, I29). Every loop of the library is started here, and a test gives a defect to
 * each of them.
 */
import { Clock, Context, type Duration, Effect, Fiber, References, type Scope } from "effect"
import * as ShutdownGrace from "./ShutdownGrace.ts"
import * as Vitals from "./Vitals.ts"

/** Every loop of the library. */
export const names = [
  "recovery",
  "waiting callers",
  "changes of executions",
  "inputs of executions",
  "wake-ups",
  "replies",
  "questions for decisions",
  "commands",
  "transaction messages",
  "participant maintenance",
  "retention",
  "notifications",
  "schedule",
  "stored metrics",
  "MQTT connection",
  "NATS connection",
  "NATS subscription",
  "NATS deliveries"
] as const
export type Name = (typeof names)[number]

/** Runs at the begin of each turn. Default: does nothing. A test provides one that dies. */
export class LoopFault extends Context.Reference<(name: Name) => Effect.Effect<void>>("effect-saga/LoopFault", {
  defaultValue: () => () => Effect.void
}) {}

/** Loops that start work with a trace of its own. What the others do is the library's own business, and makes no spans. */
const traced: ReadonlySet<Name> = new Set<Name>([
  "replies",
  "questions for decisions",
  "commands",
  "transaction messages",
  "schedule"
])

const untraced = <A, E, R>(name: Name, work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  traced.has(name) ? work : Effect.provideService(work, References.TracerEnabled, false)

/** How long a loop rests after a defect, so that a bug does not fill the log. */
const rest: Duration.Input = "1 second"

/**
 * Runs work that goes on by itself. The loop ends when the work does. `startImmediately`: it has begun when this is done, so that it
 * hears all that is announced from then on.
 */
export const run = <R>(
  name: Name,
  work: Effect.Effect<unknown, never, R>,
  options?: { readonly startImmediately: true }
): Effect.Effect<void, never, R | Scope.Scope> =>
  Effect.flatMap(Vitals.loop(name), (vital) =>
    Effect.asVoid(
      Effect.forkScoped(
        undying(vital, Effect.andThen(faultOf(name), Effect.andThen(beat(vital), untraced(name, work)))),
        options
      )
    )
  )

/** Runs a turn again and again. The turn waits by itself. A turn that cannot be interrupted does not hold up a stop. */
export const repeat = <R>(
  name: Name,
  turn: Effect.Effect<unknown, never, R>
): Effect.Effect<void, never, R | Scope.Scope> =>
  Effect.flatMap(Vitals.loop(name), (vital) => {
    const beating = Effect.andThen(faultOf(name), Effect.andThen(untraced(name, turn), beat(vital)))
    return Effect.asVoid(
      Effect.acquireRelease(Effect.forkDetach(undying(vital, Effect.forever(beating))), (fiber) =>
        ShutdownGrace.briefly(Fiber.interrupt(fiber))
      )
    )
  })

/** Runs a turn after each interval. */
export const every = <R>(
  name: Name,
  interval: Duration.Input,
  turn: Effect.Effect<unknown, never, R>
): Effect.Effect<void, never, R | Scope.Scope> => repeat(name, Effect.andThen(Effect.sleep(interval), turn))

/** Logs a defect of one execution, message or row, and goes on with `otherwise`: the others must not end with it. */
export const aside = <A, E, R>(
  work: Effect.Effect<A, E, R>,
  about: Readonly<Record<string, string>>,
  otherwise: A
): Effect.Effect<A, E, R> =>
  Effect.catchDefect(work, (defect) => Effect.as(Effect.logError("A defect was set aside", about, defect), otherwise))

const faultOf = (name: Name): Effect.Effect<void> => Effect.flatMap(LoopFault, (fault) => fault(name))

const beat = (vital: Vitals.LoopVital): Effect.Effect<void> =>
  Effect.map(Clock.currentTimeMillis, (now) => vital.beat(now))

const undying = <R>(
  vital: Vitals.LoopVital,
  work: Effect.Effect<unknown, never, R>
): Effect.Effect<unknown, never, R> => {
  const again: Effect.Effect<unknown, never, R> = Effect.catchDefect(work, (defect) =>
    Effect.map(Clock.currentTimeMillis, (now) => vital.died(now)).pipe(
      Effect.andThen(Effect.logError("A loop died and goes on", { loop: vital.name }, defect)),
      Effect.andThen(Effect.sleep(rest)),
      Effect.andThen(Effect.suspend(() => again))
    )
  )
  return again
}
