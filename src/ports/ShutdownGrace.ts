/**
 * How long the work of a program may go on when its process stops (SPEC C7): steps of the orchestrator, handlers of a
 * participant. The time begins when the first part of the program stops, and is one for all its parts.
 */
import { Clock, Context, Effect } from "effect"

/** The clock of the machine. */
const realClock = Context.get(Context.empty(), Clock.Clock)

export class ShutdownGrace {
  private readonly millis: number
  private readonly clock: Clock.Clock
  private until: number | undefined

  /** `millis` 0: work is interrupted at once. */
  constructor(millis: number, clock: Clock.Clock) {
    // With the clock of a test nobody lets the time pass: there is no grace, as for a process that is killed.
    this.millis = clock === realClock ? millis : 0
    this.clock = clock
  }

  /** Waits for work to end, as long as the grace lasts. */
  within<A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<void, E, R> {
    return Effect.suspend((): Effect.Effect<void, E, R> => {
      const now = this.clock.currentTimeMillisUnsafe()
      this.until ??= now + this.millis
      return this.until > now ? Effect.asVoid(Effect.timeoutOption(work, this.until - now)) : Effect.void
    })
  }
}
