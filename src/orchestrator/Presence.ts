/**
 * Since when this process has been there to take replies and inputs, without a gap (SPEC C20). A deadline that has passed in a
 * gap says nothing about the service that was asked: its answer may wait at the broker, or in the inbox. Nor does one that a
 * clock has left out that was set forward. While the broker is away, nobody hears anything either.
 */
import type { Clock } from "effect"
import type { Membership } from "../ports/SagaOwnership.ts"
import * as SteadyClock from "../ports/SteadyClock.ts"

export class Presence {
  private readonly membership: Pick<Membership, "isAlive" | "presentSince">
  private readonly clock: Clock.Clock
  private readonly attemptTime: number
  private begunAt: number | undefined
  /** Since when the subscription for replies does not stand; undefined: it stands, or the transport cannot tell. */
  private deafSince: number | undefined
  /** From when on it counts as standing: what was looked at before is looked at again until then. */
  private hearsFrom = Number.NEGATIVE_INFINITY

  /** `attempt`: the time that a message has at its first attempt, in milliseconds. */
  constructor(membership: Pick<Membership, "isAlive" | "presentSince">, clock: Clock.Clock, attempt: number) {
    this.membership = membership
    this.clock = clock
    this.attemptTime = attempt
  }

  /** Replies are taken from now on. */
  begin(): void {
    this.begunAt = this.clock.currentTimeMillisUnsafe()
  }

  /** The subscription for replies stands from now on, or does not. */
  readonly hears = (stands: boolean): void => {
    const now = this.clock.currentTimeMillisUnsafe()
    if (!stands) this.deafSince ??= now
    else if (this.deafSince !== undefined) {
      this.hearsFrom = now + restAfter(now - this.deafSince) + this.attemptTime
      this.deafSince = undefined
    }
  }

  /** The subscription for replies stands, or the transport cannot tell. */
  get isListening(): boolean {
    return this.deafSince === undefined
  }

  /** As `Moment.presentSince`. A process that is not there has not been there before now. */
  readonly since = (now: number): number => {
    const { begunAt, clock, deafSince, hearsFrom, membership } = this
    if (begunAt === undefined || !membership.isAlive(now)) return now
    if (deafSince !== undefined || now < hearsFrom) return now
    return Math.max(begunAt, membership.presentSince ?? begunAt, hearsFrom, SteadyClock.leapedAt(clock))
  }

  /**
   * As `Moment.attemptSince`, for a look at `now`. While the broker is away it is later, and so is the next look: the longer
   * that lasts, the rarer.
   */
  readonly attempt = (now: number): number =>
    this.deafSince === undefined ? Math.max(now, this.hearsFrom) : now + restAfter(now - this.deafSince)
}

/** Milliseconds between two looks while the broker is away. */
const restAfter = (away: number): number => Math.min(30_000, away)

/** Of a runner by hand: its caller brings the replies. */
export const always: Pick<Presence, "attempt" | "since"> = {
  since: () => Number.NEGATIVE_INFINITY,
  attempt: (now) => now
}
