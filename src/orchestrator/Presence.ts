/**
 * Since when this process has been there to take replies and inputs, without a gap (SPEC C20). A deadline that has passed in a
 * gap says nothing about the service that was asked: its answer may wait at the broker, or in the inbox. Nor does one that a
 * clock has left out that was set forward.
 */
import type { Clock } from "effect"
import type { Membership } from "../ports/SagaOwnership.ts"
import * as SteadyClock from "../ports/SteadyClock.ts"

export class Presence {
  private readonly membership: Pick<Membership, "isAlive" | "presentSince">
  private readonly clock: Clock.Clock
  private begunAt: number | undefined

  constructor(membership: Pick<Membership, "isAlive" | "presentSince">, clock: Clock.Clock) {
    this.membership = membership
    this.clock = clock
  }

  /** Replies are taken from now on. */
  begin(): void {
    this.begunAt = this.clock.currentTimeMillisUnsafe()
  }

  /** As `Moment.presentSince`. A process that is not there has not been there before now. */
  readonly since = (now: number): number => {
    const { begunAt, clock, membership } = this
    if (begunAt === undefined || !membership.isAlive(now)) return now
    return Math.max(begunAt, membership.presentSince ?? begunAt, SteadyClock.leapedAt(clock))
  }
}

/** Of a runner by hand: its caller brings the replies. */
export const always = (): number => Number.NEGATIVE_INFINITY
