/**
 * Whether a claim ends with the renewal of the lease. An idle process claims every second, and there is hardly ever something for it:
 * its renewal looks at the first entry of the index by which a claim finds what is due. Where that says that nothing is, no claim is sent.
 */
import type { ClaimRequest } from "../../ports/Leases.ts"

/** When the next execution is due and whether there are queues, as a renewal has read it. */
export interface Outlook {
  /**
   * When the first execution is due, whoever has it and whoever can run it, in milliseconds since the epoch. `Infinity`: none ever is.
   * Absent: not known.
   */
  readonly firstAt?: number
  /** Whether a queue was ever declared: there may be a place in it. Absent: perhaps. */
  readonly hasQueues?: boolean
}

/**
 * Whether a claim asks for nothing but what is due. What is held, renamed or given back is asked about however little is due. A claim
 * that is fresh renews no lease, so it sees nothing.
 */
export const isAtRest = ({ former, gives = [], holds = [], isFresh = false, limit }: ClaimRequest): boolean =>
  !isFresh && limit > 0 && former === undefined && holds.length === 0 && gives.length === 0

/**
 * Until when a claim at rest would give nothing, in milliseconds since the epoch; undefined: it has to be sent. What is due for others
 * counts too: then the claim is sent, and says when the first one is due that its owner may have.
 */
export const emptyUntil = (dueBy: number, { firstAt, hasQueues = true }: Outlook = {}): number | undefined =>
  !hasQueues && firstAt !== undefined && firstAt > dueBy ? firstAt : undefined
