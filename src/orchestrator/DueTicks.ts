/** Which ticks of a schedule are due. Pure: from the last tick that was made and the time. */
import { Cron } from "effect"

/** A tick that is late by no more than this, in milliseconds, counts as in time. */
export const inTime = 60_000

/** The largest `catchUp`: so many missed ticks are made in one look. */
export const maxTicks = 1_000

export interface DueTicks {
  /** Those to make, oldest first. */
  readonly due: ReadonlyArray<number>
  /** The newest of those that were missed and are left out; undefined: none is. */
  readonly leftOut: number | undefined
}

/**
 * Ticks after `last` and not after `now`: those in time, and of those before, which were missed, the newest ones, as many as
 * `catchUp` says. All in milliseconds since the epoch.
 */
export const dueTicks = (cron: Cron.Cron, last: number, now: number, catchUp: number): DueTicks => {
  const due: Array<number> = []
  let missed = 0
  // From the newest back: after a long absence there may be millions.
  let at = Cron.prev(cron, new Date(now + 1)).getTime()
  while (at > last) {
    if (now - at > inTime && ++missed > catchUp) break
    due.push(at)
    at = Cron.prev(cron, new Date(at)).getTime()
  }
  return { due: due.reverse(), leftOut: at > last ? at : undefined }
}
