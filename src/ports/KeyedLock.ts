/** A lock for each key, which is there as long as somebody holds it or waits for it. */
import { Effect } from "effect"

export interface KeyedLock {
  /** Those that hold the same key follow one another. */
  readonly hold: <A, E, R>(key: string, use: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

interface Place {
  isMine: boolean
  /** Of who has to wait. */
  resume: (() => void) | undefined
}

export const make = (): KeyedLock => {
  /** Who waits for each key that is held, in the order they came. Undefined: nobody has yet. */
  const lines = new Map<string, Set<Place> | undefined>()

  /** Gives the key to a place, or the place to the line. In one step: others may have their turn between any two. */
  const enter = (key: string, place: Place): void => {
    const line = lines.get(key)
    if (line !== undefined) line.add(place)
    else if (lines.has(key)) lines.set(key, new Set([place]))
    else {
      lines.set(key, undefined)
      place.isMine = true
    }
  }

  const leave = (key: string, place: Place): void => {
    const line = lines.get(key)
    if (!place.isMine) return void line?.delete(place)
    const [next] = line ?? []
    if (next === undefined) return void lines.delete(key)
    line?.delete(next)
    next.isMine = true
    next.resume?.()
  }

  return {
    hold: (key, use) =>
      Effect.suspend(() => {
        const place: Place = { isMine: false, resume: undefined }
        const taken = Effect.suspend(() => {
          enter(key, place)
          return place.isMine ? use : Effect.andThen(given(place), use)
        })
        // Its end is seen to before it is taken: an interruption in between would leave it held.
        return Effect.onExit(taken, () => {
          leave(key, place)
          return Effect.void
        })
      })
  }
}

const given = (place: Place): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (place.isMine) resume(Effect.void)
    else place.resume = () => resume(Effect.void)
  }).pipe(
    // Whoever gives it away goes on first: else a long line would be one deep call.
    Effect.andThen(Effect.yieldNow)
  )
