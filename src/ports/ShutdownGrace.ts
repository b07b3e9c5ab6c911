/**
 * How long the work of a program may go on when its process stops (SPEC C7): steps of the orchestrator, handlers of a
 * participant. The time begins when the first part of the program stops, and is one for all its parts. The last second of it
 * is for what must be done then: results are stored, interrupted work ends, connections are closed.
 */
import { Clock, Context, Effect, Fiber, Layer } from "effect"
import * as SteadyClock from "./SteadyClock.ts"

/** Milliseconds at the end of the grace in which work is interrupted and may end. */
const last = 1_000

/** Milliseconds that interrupted work has at least, also without a grace. */
const least = 500

/** Milliseconds between two parts of a program that stop one after the other, at most. */
const longestGap = 5_000

/** Since when a program stops. */
class ProgramStop {
  private since = 0
  private stopping = 0
  private stopped = Number.NEGATIVE_INFINITY

  /** A part of the program starts: what has stopped before has nothing to do with it. */
  starts(): void {
    this.stopped = Number.NEGATIVE_INFINITY
  }

  /** A part stops. Gives when the program began to stop. */
  stops(now: number): number {
    if (this.stopping++ === 0 && now - this.stopped > longestGap) this.since = now
    return this.since
  }

  hasStopped(now: number): void {
    this.stopping--
    this.stopped = now
  }
}

/** One for all parts of a program that are built together. */
export class Program extends Context.Service<Program, ProgramStop>()("effect-saga/ShutdownGrace/Program") {}

/** Layers that provide themselves with this one share it where they are built together. */
export const layer: Layer.Layer<Program> = Layer.sync(Program, () => new ProgramStop())

export class ShutdownGrace {
  private readonly millis: number
  private readonly clock: Clock.Clock
  private readonly program: ProgramStop

  constructor(millis: number, clock: Clock.Clock, program: ProgramStop) {
    this.clock = clock
    this.program = program
    // With the clock of a test there is no grace.
    this.millis = this.isCut ? 0 : millis
    program.starts()
  }

  /** The same for work that ends while the program goes on: its time begins with it. */
  get ofPart(): ShutdownGrace {
    return new ShutdownGrace(this.millis, this.clock, new ProgramStop())
  }

  /** Nobody lets the time pass: the program ends as if it were killed. */
  get isCut(): boolean {
    return !SteadyClock.isReal(this.clock)
  }

  /**
   * Waits for work to end, as long as the grace lasts. Work that is left then is interrupted by `interrupt`. What cannot be
   * interrupted is left alone: a process that stops must not hang.
   */
  end(work: Effect.Effect<unknown>, interrupt: Effect.Effect<unknown>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const now = this.clock.currentTimeMillisUnsafe()
      const until = this.program.stops(now) + this.millis
      const reserve = Math.min(last, this.millis / 2)
      const wait = until - reserve - now
      const ended = wait > 0 ? Effect.timeoutOption(work, wait) : Effect.void
      return ended.pipe(
        Effect.andThen(
          Effect.suspend(() => {
            const left = until - reserve / 2 - this.clock.currentTimeMillisUnsafe()
            return briefly(interrupt, Math.max(least, left))
          })
        ),
        Effect.ensuring(Effect.sync(() => this.program.hasStopped(this.clock.currentTimeMillisUnsafe())))
      )
    })
  }
}

/** Waits for what a process does at its end, but not for long: a database or a broker may stand still. */
export const briefly = (work: Effect.Effect<unknown>, millis: number = least): Effect.Effect<void> =>
  Effect.withFiber((fiber) =>
    !SteadyClock.isReal(fiber.getRef(Clock.Clock))
      ? Effect.asVoid(work)
      : Effect.flatMap(Effect.forkDetach(work, { startImmediately: true }), (working) =>
          Effect.asVoid(Effect.timeoutOption(Fiber.await(working), millis))
        )
  )

/** The grace of a part of the program: at most `millis` milliseconds. */
export const make = Effect.fnUntraced(function* (millis: number) {
  return new ShutdownGrace(millis, yield* Clock.Clock, yield* Program)
})
