/**
 * Since when this process has been there to take replies and inputs, without a gap (SPEC C20). A deadline that has passed in a
 * gap says nothing about the service that was asked: its answer may wait at the broker, or in the inbox.
 */
import type { Membership } from "../ports/SagaOwnership.ts"

export class Presence {
  private readonly membership: Pick<Membership, "isAlive" | "presentSince">
  private begunAt: number | undefined

  constructor(membership: Pick<Membership, "isAlive" | "presentSince">) {
    this.membership = membership
  }

  /** Replies are taken from now on, in milliseconds since the epoch. */
  begin(now: number): void {
    this.begunAt = now
  }

  /** As `Moment.presentSince`. A process that is not there has not been there before now. */
  readonly since = (now: number): number => {
    const { begunAt, membership } = this
    return begunAt === undefined || !membership.isAlive(now)
      ? now
      : Math.max(begunAt, membership.presentSince ?? begunAt)
  }
}

/** Of a runner by hand: its caller brings the replies. */
export const always = (): number => Number.NEGATIVE_INFINITY
