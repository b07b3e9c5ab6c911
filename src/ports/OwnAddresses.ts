/**
 * Services whose instances are not to be written to one by one for a while: the transport has refused the address of one, or has lost a
 * connection with such a message in flight, as a broker may do where its rules do not allow the address. Their messages go to any
 * instance meanwhile.
 */
import type { Clock } from "effect"

/** How long, in nanoseconds. A wrong guess costs no more than replies that are handed on for so long. */
const rest = 60_000_000_000n

/** Services that are remembered, at most. */
const most = 1_024

export interface OwnAddresses {
  /** Whether a message may go to one instance of the service alone. */
  readonly mayUse: (service: string) => boolean
  /** A message to one instance of the service was refused. */
  readonly refused: (service: string) => void
}

export const make = (clock: Clock.Clock): OwnAddresses => {
  /** Until when, by the monotonic clock. */
  const resting = new Map<string, bigint>()
  return {
    mayUse: (service) => {
      const until = resting.get(service)
      if (until === undefined) return true
      if (clock.monotonicTimeNanosUnsafe() < until) return false
      resting.delete(service)
      return true
    },
    refused: (service) => {
      if (resting.size < most || resting.has(service)) resting.set(service, clock.monotonicTimeNanosUnsafe() + rest)
    }
  }
}
