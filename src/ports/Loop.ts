/**
 * The loops of a process: work that goes on while a scope is open. A loop never ends by a defect: the defect is logged, and
 * the loop goes on after a second (SPEC C20, I29). Every loop of the library is started here, and a test gives a defect to
 * each of them.
 */
import { Context, type Duration, Effect, Fiber, type Scope } from "effect"
import * as ShutdownGrace from "./ShutdownGrace.ts"

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
  "MQTT connection"
] as const
export type Name = (typeof names)[number]

/** Runs at the begin of each turn. Default: does nothing. A test provides one that dies. */
export class LoopFault extends Context.Reference<(name: Name) => Effect.Effect<void>>("effect-saga/LoopFault", {
  defaultValue: () => () => Effect.void
}) {}

/** How long a loop rests after a defect, so that a bug does not fill the log. */
const rest: Duration.Input = "1 second"

/** Runs work that goes on by itself. The loop ends when the work does. */
export const run = <R>(
  name: Name,
  work: Effect.Effect<unknown, never, R>
): Effect.Effect<void, never, R | Scope.Scope> =>
  Effect.asVoid(Effect.forkScoped(undying(name, Effect.andThen(faultOf(name), work))))

/** Runs a turn again and again. The turn waits by itself. A turn that cannot be interrupted does not hold up a stop. */
export const repeat = <R>(
  name: Name,
  turn: Effect.Effect<unknown, never, R>
): Effect.Effect<void, never, R | Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.forkDetach(undying(name, Effect.forever(Effect.andThen(faultOf(name), turn)))),
      (fiber) => ShutdownGrace.briefly(Fiber.interrupt(fiber))
    )
  )

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

const undying = <R>(name: Name, work: Effect.Effect<unknown, never, R>): Effect.Effect<unknown, never, R> => {
  const again: Effect.Effect<unknown, never, R> = Effect.catchDefect(work, (defect) =>
    Effect.logError("A loop died and goes on", { loop: name }, defect).pipe(
      Effect.andThen(Effect.sleep(rest)),
      Effect.andThen(Effect.suspend(() => again))
    )
  )
  return again
}
