/**
 * Places to which nobody listens, as a transport has said. A message is not sent there again and again: only one now and then, so
 * that a service that starts is found soon (SPEC C8).
 */
import { type Clock, type Context, Effect } from "effect"
import type { Address } from "./Broker.ts"
import * as Metrics from "./Metrics.ts"

/** A service subscribes to all messages of a kind. */
export const placeOf = ({ kind, to }: Address): string => `${to}/${kind}`

/**
 * How long after a message that nobody has got the next one may be sent again to its place, in nanoseconds: as long as nobody
 * has listened by then, so that a service that only restarts is found again soon.
 */
const unheardRest = { least: 1_000_000_000n, most: 60_000_000_000n }

/** Places that are remembered, at most: every message to one that is forgotten is sent. */
const most = 1_024

export interface UnheardPlaces {
  /** The transport has handed a message out, or says that nobody has got it. */
  readonly note: (place: string, isUnheard: boolean) => void
  /** Whether a message may be sent again. If nobody has listened, the next ones of the same moment may not. */
  readonly mayRepeat: (address: Address) => boolean
  /** Whether the last command for the service came to nobody. */
  readonly isUnheard: (service: string) => boolean
}

export const make = (
  clock: Clock.Clock,
  context: Context.Context<never>,
  fork: (effect: Effect.Effect<void>) => void
): UnheardPlaces => {
  /** Since when, and the last message, by the monotonic clock. */
  const places = new Map<string, { readonly since: bigint; readonly last: bigint }>()

  const askedInVain = (place: string): void => {
    const last = clock.monotonicTimeNanosUnsafe()
    places.set(place, { since: places.get(place)?.since ?? last, last })
  }

  const gotByNobody = (place: string): void => {
    const [service = ""] = place.split("/")
    Metrics.unrouted.update(context, 1, service)
    // Logged when it begins: the messages that follow tell nothing new.
    if (!places.has(place))
      fork(Effect.logWarning("Nobody listens to a service: it does not run, or its name is wrong", { service }))
    askedInVain(place)
  }

  return {
    note: (place, isUnheard) => {
      if (!isUnheard) places.delete(place)
      else if (places.size < most || places.has(place)) gotByNobody(place)
    },
    mayRepeat: (address) => {
      const place = placeOf(address)
      const known = places.get(place)
      if (known === undefined) return true
      const { last, since } = known
      if (clock.monotonicTimeNanosUnsafe() - last < restAfter(last - since)) return false
      // Before the transport has said anything about this one: the next ones come in the same moment.
      askedInVain(place)
      return true
    },
    isUnheard: (service) => places.has(`${service}/command`)
  }
}

const restAfter = (unheardFor: bigint): bigint => {
  const { least, most } = unheardRest
  return unheardFor < least ? least : unheardFor > most ? most : unheardFor
}
