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

const nobody: ReadonlyArray<never> = []

export const make = (): KeyedLock => {
  /** Who waits for each key that is held, in the order they came. */
  const lines = new Map<string, ReadonlyArray<Place>>()

  const wait = (key: string, line: ReadonlyArray<Place>, place: Place): Effect.Effect<void> =>
    Effect.callback<void>((resume) => {
      place.resume = () => resume(Effect.void)
      lines.set(key, [...line, place])
      return Effect.sync(() => {
        if (!place.isMine)
          lines.set(
            key,
            (lines.get(key) ?? nobody).filter((other) => other !== place)
          )
      })
    }).pipe(
      // Whoever gives it away goes on first: else a long line would be one deep call.
      Effect.andThen(Effect.yieldNow)
    )

  const release = (key: string): void => {
    const [next, ...others] = lines.get(key) ?? nobody
    if (next === undefined) return void lines.delete(key)
    lines.set(key, others)
    next.isMine = true
    next.resume?.()
  }

  return {
    hold: (key, use) =>
      Effect.suspend(() => {
        const place: Place = { isMine: false, resume: undefined }
        const taken = Effect.suspend(() => {
          const line = lines.get(key)
          if (line !== undefined) return Effect.andThen(wait(key, line, place), use)
          lines.set(key, nobody)
          place.isMine = true
          return use
        })
        // Its end is seen to before it is taken: an interruption in between would leave it held.
        return Effect.onExit(taken, () => {
          if (place.isMine) release(key)
          return Effect.void
        })
      })
  }
}
