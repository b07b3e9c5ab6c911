/**
 * Tells pages that something has changed, out of the database: so it is the same at every replica. Listeners of one process
 * share one look, and where nobody listens nothing is looked at. The longer a look takes, the rarer it is.
 */
import { Clock, Effect, Semaphore, Stream } from "effect"
import type { Inspector } from "../../ports/Inspector.ts"
import * as CanonicalJson from "../../wire/CanonicalJson.ts"

/** Milliseconds between two looks, at least. */
const pace = 1_000
/** A look takes this part of the time at most. */
const share = 20
/** A listener hears that often, also of nothing: it and the proxies between see that the connection stands. */
const beat = 15_000

interface Look {
  readonly state: string
  /** When it was taken, and when the next one may be. */
  readonly at: number
  readonly next: number
}

/** What a change of any execution changes: the counts, and the newest that are open; and what is in doubt at participants. */
const look = Effect.fnUntraced(function* (inspector: Inspector["Service"]) {
  const at = yield* Clock.currentTimeMillis
  const [counts, open, processes, doubts] = yield* Effect.all([
    inspector.count(),
    inspector.find({ settled: false }, { limit: 50 }),
    inspector.processes,
    inspector.inDoubt("0 seconds")
  ])
  const seen = {
    counts,
    open: open.items.map(({ revision, uuid }) => [uuid, revision]),
    doubts: doubts.map(({ service, uuid }) => [service, uuid]),
    processes: processes.map(({ id, isAlive, working }) => [id, isAlive, working])
  }
  const now = yield* Clock.currentTimeMillis
  const taken: Look = {
    state: CanonicalJson.sha256(seen).slice(0, 16),
    at,
    next: now + Math.max(pace, (now - at) * share)
  }
  return taken
})

/** A stream of states for each listener; with a uuid also of that execution. While the database is away it only beats. */
export const make = (inspector: Inspector["Service"]) => {
  let last: Look | undefined
  const one = Semaphore.makeUnsafe(1)
  const latest = one.withPermits(1)(
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      if (last === undefined || now >= last.next) last = yield* look(inspector)
      return last.state
    })
  )
  const stateOf = (uuid: string | undefined): Effect.Effect<string> =>
    Effect.gen(function* () {
      const state = yield* latest
      if (uuid === undefined) return state
      const { inbox, summary } = yield* inspector.load(uuid)
      return `${state} ${summary.revision} ${inbox.length}`
    }).pipe(Effect.orElseSucceed(() => away))
  return (uuid: string | undefined): Stream.Stream<{ readonly state: string }> =>
    Stream.unfold(none, (before: Said) => next(before, stateOf(uuid)))
}

const away = ""

/** What a listener has heard, and when. */
interface Said {
  readonly state: string | undefined
  readonly at: number
}

const none: Said = { state: undefined, at: 0 }

/** Waits for another state, or for the next beat. */
const next = Effect.fnUntraced(function* (before: Said, stateOf: Effect.Effect<string>) {
  for (;;) {
    if (before.state !== undefined) yield* Effect.sleep(pace)
    const state = yield* stateOf
    const at = yield* Clock.currentTimeMillis
    const known = state === away ? (before.state ?? away) : state
    if (known !== before.state || at - before.at >= beat) return [{ state: known }, { state: known, at }] as const
  }
})
