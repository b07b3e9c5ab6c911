/**
 * When this process claims again: after an interval at the latest, and earlier where something is due. There is one time for
 * all executions that wait, however many there are: it only hints when to claim, and the claim finds what is due.
 */
import { type Clock, Effect, Latch } from "effect"
import * as SteadyClock from "../ports/SteadyClock.ts"

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
  /** Open while there may be other instances. */
  private readonly others = Latch.makeUnsafe(true)
  private isAlone = false
  /** Nothing is claimed any more: the repository cannot list executions. */
  isOver = false

  constructor(clock: Clock.Clock) {
    this.clock = clock
  }

  /** Something is due at this time, in milliseconds since the epoch. */
  readonly at = (time: number): void => {
    if (time < this.dueAt) this.dueAt = time
    if (time < this.sleepsUntil) this.sooner.openUnsafe()
  }

  /** Something is due by now: it is claimed with what becomes due in the next moment. */
  readonly soon = (): void => this.at(this.clock.currentTimeMillisUnsafe())

  /** There is something to claim. */
  readonly now = (): void => {
    this.isWanted = true
    this.sooner.openUnsafe()
  }

  /** Whether this instance is the only one: then it claims when something is due, and not at each interval (F14). */
  readonly alone = (isAlone: boolean): void => {
    this.isAlone = isAlone
    if (isAlone) this.others.closeUnsafe()
    else this.others.openUnsafe()
  }

  /** Something may be there that only a claim finds. While there may be other instances, the next claim finds it. */
  readonly look = (): void => {
    if (this.isAlone) this.now()
  }

  /** Sleeps while there are other instances, and as long as there are none. */
  readonly sleepAmongOthers = (interval: number): Effect.Effect<void> =>
    Effect.andThen(this.others.await, Effect.sleep(interval))

  /** Waits for the time of the next claim, `interval` milliseconds at most unless this instance is alone. */
  wait(interval: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const begun = this.clock.currentTimeMillisUnsafe()
      const until = (): number =>
        Math.min(this.isAlone ? this.dueAt : begun + interval, Math.max(this.dueAt, begun + spacing))
      const sleep: Effect.Effect<void> = Effect.suspend(() => {
        this.sooner.closeUnsafe()
        const now = this.clock.currentTimeMillisUnsafe()
        const end = until()
        // The clock may have been set back: no sleep is longer than the interval.
        if (this.isWanted || end <= now || now < begun) return Effect.void
        this.sleepsUntil = end
        const slept = SteadyClock.sleepUntil(this.clock, end, interval)
        return Effect.flatMap(Effect.raceFirst(slept, this.sooner.await), () => sleep)
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
