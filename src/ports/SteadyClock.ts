/**
 * The time of day as a process counts it, for clocks that are set while it runs (F11). It never goes back: where the clock of
 * the machine is set back, time is counted on by the monotonic clock, a tenth slower until both agree. A clock that is set
 * forward is followed at once, and the time that it has left out counts as an absence.
 *
 * Processes that share a database share its time (SPEC C16): each measures it when it renews its lease, and counts on from there
 * by its monotonic clock. So none ends a wait early whose own clock is wrong (SPEC I24).
 */
import { Clock, Context, Effect } from "effect"

/** By how many milliseconds the two clocks may drift apart between two comparisons without one of them having been set. */
const tolerance = 1_000

/** How often the two clocks are compared where nothing is suspicious, in milliseconds: a reading costs time. */
const compareEvery = 10_000

export class SteadyClock implements Clock.Clock {
  readonly clock: Clock.Clock
  /** The time that was told last, in milliseconds since the epoch. */
  private told: number
  /** When the clocks were compared last: the time that was told then, and the monotonic one in nanoseconds. */
  private compared: { readonly at: number; readonly nanos: bigint }
  private isAhead = false
  /** A time of the database, and when it was heard of in nanoseconds of the monotonic clock. */
  private heard: { readonly at: number; readonly nanos: bigint } | undefined
  /** When the clock was found to have been set forward, in milliseconds since the epoch; `-Infinity`: never. */
  leapedAt = Number.NEGATIVE_INFINITY

  constructor(clock: Clock.Clock) {
    this.clock = clock
    this.told = clock.currentTimeMillisUnsafe()
    this.compared = { at: this.told, nanos: clock.monotonicTimeNanosUnsafe() }
  }

  readonly currentTimeMillisUnsafe = (): number => {
    const now = this.source()
    const isUsual = now >= this.told && now - this.told < tolerance && now - this.compared.at < compareEvery
    this.told = isUsual && !this.isAhead ? now : this.compare(now)
    return this.told
  }

  private source(): number {
    const { clock, heard } = this
    return heard === undefined
      ? clock.currentTimeMillisUnsafe()
      : Math.floor(heard.at + Number(clock.monotonicTimeNanosUnsafe() - heard.nanos) / 1e6)
  }

  /** The database had this time between `sent` and now. Counting by the earliest time that it can have is never early. */
  follow(at: number, sent: bigint): void {
    const nanos = this.clock.monotonicTimeNanosUnsafe()
    const isFirst = this.heard === undefined
    const counted = isFirst ? Number.NaN : this.source()
    if (counted >= at - 1 && counted <= at + Number(nanos - sent) / 1e6) return
    this.heard = { at, nanos }
    if (!isFirst) return
    // Nothing has begun by the clock of the machine.
    this.told = Math.floor(at)
    this.compared = { at: this.told, nanos }
  }

  private compare(now: number): number {
    const nanos = this.clock.monotonicTimeNanosUnsafe()
    const passed = Number(nanos - this.compared.nanos) / 1e6
    if (now < this.told) {
      const counted = Math.floor(this.compared.at + passed * (this.isAhead ? 0.9 : 1))
      const told = Math.max(this.told, counted)
      if (!this.isAhead) this.compared = { at: told, nanos }
      this.isAhead = true
      return told
    }
    if (!this.isAhead && now - this.compared.at - passed > tolerance) this.leapedAt = now
    this.isAhead = false
    this.compared = { at: now, nanos }
    return now
  }

  readonly currentTimeMillis = Effect.sync(this.currentTimeMillisUnsafe)
  readonly currentTimeNanosUnsafe = (): bigint => BigInt(this.currentTimeMillisUnsafe()) * 1_000_000n
  readonly currentTimeNanos = Effect.sync(this.currentTimeNanosUnsafe)
  readonly monotonicTimeNanosUnsafe = (): bigint => this.clock.monotonicTimeNanosUnsafe()
  readonly monotonicTimeNanos = Effect.sync(this.monotonicTimeNanosUnsafe)
  readonly sleep: Clock.Clock["sleep"] = (duration) => this.clock.sleep(duration)
}

/** The virtual clock of tests is moved by those who wait for it, and never behind their back. */
const isVirtual = (clock: Clock.Clock): boolean => "adjust" in clock

/** The clock of a process, steady where it may be set. */
export const of = (clock: Clock.Clock): Clock.Clock => (isVirtual(clock) ? clock : new SteadyClock(clock))

/** The clock of the machine. */
const realClock = Context.get(Context.empty(), Clock.Clock)

/** Whether time passes by itself. With the clock of a test somebody has to let it pass. */
export const isReal = (clock: Clock.Clock): boolean =>
  clock === realClock || (clock instanceof SteadyClock && isReal(clock.clock))

/** Tells a clock the time of the database, as it was between `sent` (nanoseconds of the monotonic clock) and now. */
export const follow = (clock: Clock.Clock, at: number, sent: bigint): void => {
  if (clock instanceof SteadyClock) clock.follow(at, sent)
}

/** When a clock was set forward last; `-Infinity`: never. */
export const leapedAt = (clock: Clock.Clock): number =>
  clock instanceof SteadyClock ? clock.leapedAt : Number.NEGATIVE_INFINITY

/**
 * Sleeps until a time of day, or until it is time to look at the clock again: after `longest` milliseconds, since it may be set
 * meanwhile.
 */
export const sleepUntil = (clock: Clock.Clock, at: number, longest: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const left = at - clock.currentTimeMillisUnsafe()
    if (left === Number.POSITIVE_INFINITY && isVirtual(clock)) return Effect.never
    return left <= 0 ? Effect.void : Effect.sleep(isVirtual(clock) ? left : Math.min(left, longest))
  })
