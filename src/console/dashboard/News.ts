/**
 * Tells pages that something has changed, out of the database: so it is the same at every replica. Listeners of one process
 * share one look, and where nobody listens nothing is looked at. The longer a look takes, the rarer it is.
 */
import { Clock, Effect, Semaphore, Stream } from "effect"
import type { Inspector, Refusals } from "../../ports/Inspector.ts"
import * as CanonicalJson from "../../wire/CanonicalJson.ts"
import { inWordsOf, lacking } from "../Databases.ts"
import type { News } from "./Forms.ts"

/** Milliseconds between two looks, at least. */
const pace = 1_000
/** A look takes this part of the time at most. */
const share = 20
/** A listener hears that often, also of nothing: it and the proxies between see that the connection stands. */
const beat = 15_000

/** A state of what is stored, and the databases that do not answer. */
interface Seen {
  readonly state: string
  readonly missing: ReadonlyArray<string>
  readonly refusals: Refusals
}

interface Look extends Seen {
  /** When it was taken, and when the next one may be. */
  readonly at: number
  readonly next: number
}

/** What a change of any execution changes: the counts, and the newest that are open; and what is in doubt at participants. */
const look = Effect.fnUntraced(function* (inspector: Inspector["Service"]) {
  const at = yield* Clock.currentTimeMillis
  const [counts, open, processes, doubts, { missing, refusals }] = yield* Effect.all([
    inspector.count(),
    inspector.find({ settled: false }, { limit: 50 }),
    inspector.processes,
    inspector.inDoubt("0 seconds"),
    lacking(inspector)
  ])
  const seen = {
    counts,
    open: open.items.map(({ revision, uuid }) => [uuid, revision]),
    doubts: doubts.map(({ service, uuid }) => [service, uuid]),
    processes: processes.map(({ id, isAlive, working }) => [id, isAlive, working]),
    missing,
    refusals
  }
  const now = yield* Clock.currentTimeMillis
  const taken: Look = {
    state: CanonicalJson.sha256(seen).slice(0, 16),
    missing,
    refusals,
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
      return last
    })
  )
  const seenBy = (uuid: string | undefined): Effect.Effect<Seen> =>
    Effect.gen(function* () {
      const seen = yield* latest
      if (uuid === undefined) return seen
      const one = yield* Effect.map(inspector.load(uuid), ({ inbox, summary }) => `${summary.revision} ${inbox.length}`)
      return { ...seen, state: `${seen.state} ${one}` }
    }).pipe(Effect.orElseSucceed(() => ({ missing: last?.missing ?? [], refusals: last?.refusals ?? {}, state: away })))
  return (uuid: string | undefined): Stream.Stream<News> =>
    Stream.unfold(none, (before: Said) => next(before, seenBy(uuid)))
}

const away = ""

/** What a listener has heard, and when. */
interface Said {
  readonly state: string | undefined
  /** Of databases that are missing. */
  readonly lacking: string
  readonly at: number
}

const none: Said = { state: undefined, lacking: "", at: 0 }

/** Waits for another state, or for the next beat. */
const next = Effect.fnUntraced(function* (before: Said, looks: Effect.Effect<Seen>) {
  for (;;) {
    if (before.state !== undefined) yield* Effect.sleep(pace)
    const { missing, refusals, state: seen } = yield* looks
    const at = yield* Clock.currentTimeMillis
    const state = seen === away ? (before.state ?? away) : seen
    const lacking = JSON.stringify([missing, refusals])
    const isNew = state !== before.state || lacking !== before.lacking
    if (isNew || at - before.at >= beat)
      return [
        {
          state,
          ...(missing.length > 0 && { missing }),
          ...(Object.keys(refusals).length > 0 && { refused: inWordsOf(refusals) })
        },
        { state, lacking, at }
      ] as const
  }
})
