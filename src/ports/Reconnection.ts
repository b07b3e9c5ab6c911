/** How a connection is made again whenever it is lost, for as long as it takes. */
import { Clock, Effect, Random, type Scope } from "effect"
import * as Loop from "./Loop.ts"

/** Milliseconds between two attempts, at most. */
const longest = 5_000

/** What the log has said, until a connection that was made later was good. */
export class Said {
  private reason: string | undefined
  private at = Number.NEGATIVE_INFINITY

  /** Whether the reason is to be said now. */
  isNew(reason: string, now: number): boolean {
    if (this.reason === reason) return false
    this.reason = reason
    this.at = now
    return true
  }

  /** A connection that was made at this time was good. */
  good(since: number): void {
    if (since >= this.at) this.reason = undefined
  }
}

export interface ReconnectionOptions {
  readonly loop: Loop.Name
  /** What the log says of a connection that is lost or does not come about. */
  readonly says: string
  readonly about: Readonly<Record<string, string>>
  /** Milliseconds after which a connection counts as good: the next failure starts with the shortest wait again. */
  readonly stable: number
  /** Shared by all connections to one place: that it cannot be reached is said once, and not by each of them. Default: not shared. */
  readonly ofPlace?: Said
  /** Makes a connection and uses it until it is lost. `isReached`: false where there was none, so that all others have none either. */
  readonly use: Effect.Effect<never, { readonly reason: string; readonly isReached?: boolean }, Scope.Scope>
}

/**
 * Uses one connection after the other, until the scope closes. Waits 100 ms after a failure, then twice as long, up to 5 seconds.
 * The log says the same reason once, until a connection was good.
 */
export const keep = ({
  about,
  loop,
  ofPlace = new Said(),
  says,
  stable,
  use
}: ReconnectionOptions): Effect.Effect<void, never, Scope.Scope> => {
  let failures = 0
  const said = new Said()
  const once = Effect.gen(function* () {
    const since = yield* Clock.currentTimeMillis
    const { isReached, reason } = yield* Effect.flip(Effect.scoped(use))
    const now = yield* Clock.currentTimeMillis
    if (now - since >= stable) {
      failures = 0
      said.good(since)
      ofPlace.good(since)
    }
    const isNew = (isReached === false ? ofPlace : said).isNew(reason, now)
    if (isNew) yield* Effect.logWarning(says, { ...about, reason })
    // A random part, so that not all clients of a broker come back at the same time.
    yield* Effect.sleep(Math.min(longest, 100 * 2 ** failures++) * (0.5 + (yield* Random.next)))
  })
  return Loop.repeat(loop, once)
}
