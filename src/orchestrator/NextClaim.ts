/**
 * When this process claims again: after an interval at the latest, and earlier where something is due. There is one time for
 * all executions that wait, however many there are: it only hints when to claim, and the claim finds what is due.
 */
import { type Clock, Effect, Latch } from "effect"

/**
 * Milliseconds between two claims, at least, unless one is asked for at once. What becomes due meanwhile is claimed together.
 */
const spacing = 100

export class NextClaim {
  private readonly clock: Clock.Clock
  private readonly sooner = Latch.makeUnsafe(false)
  /** When something is due, in milliseconds since the epoch. */
  private dueAt = Number.POSITIVE_INFINITY
  /** Until when the loop sleeps. Only an earlier time wakes it. */
  private sleepsUntil = Number.POSITIVE_INFINITY
  private isWanted = false

  constructor(clock: Clock.Clock) {
    this.clock = clock
  }

  /** Something is due at this time, in milliseconds since the epoch. */
  readonly at = (time: number): void => {
    if (time < this.dueAt) this.dueAt = time
    if (time < this.sleepsUntil) this.sooner.openUnsafe()
  }

  /** There is something to claim. */
  readonly now = (): void => {
    this.isWanted = true
    this.sooner.openUnsafe()
  }

  /** Waits for the time of the next claim, `interval` milliseconds at most. */
  wait(interval: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const begun = this.clock.currentTimeMillisUnsafe()
      const until = (): number => Math.min(begun + interval, Math.max(this.dueAt, begun + spacing))
      const sleep: Effect.Effect<void> = Effect.suspend(() => {
        this.sooner.closeUnsafe()
        const now = this.clock.currentTimeMillisUnsafe()
        const end = until()
        // The clock may have been set back: no sleep is longer than the interval.
        if (this.isWanted || end <= now || now < begun) return Effect.void
        this.sleepsUntil = end
        return Effect.flatMap(
          Effect.raceFirst(Effect.as(Effect.sleep(end - now), true), Effect.as(this.sooner.await, false)),
          (isOver) => (isOver ? Effect.void : sleep)
        )
      })
      return Effect.map(sleep, () => {
        this.isWanted = false
        this.dueAt = Number.POSITIVE_INFINITY
        this.sleepsUntil = Number.POSITIVE_INFINITY
        return undefined
      })
    })
  }
}
