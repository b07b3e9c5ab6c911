/** A lock for each key. A lock exists only while it is held. */
import { Effect } from "effect"

export interface KeyedLock {
  /** Runs `use` while holding the key. Of effects with the same key one runs at a time, in the order they came. */
  readonly hold: <A, E, R>(key: string, use: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** One call of `hold`, from its begin to its end. */
interface Turn {
  hasKey: boolean
  /** Set while the turn waits for the key. */
  resume: (() => void) | undefined
}

export const make = (): KeyedLock => {
  /** The waiting turns of each key that is held, in the order they came. Undefined: no turn has waited yet. */
  const lines = new Map<string, Set<Turn> | undefined>()

  /** Gives the key to the turn, or puts the turn into the line. In one step, as other fibers may run between two effects. */
  const enter = (key: string, turn: Turn): void => {
    const line = lines.get(key)
    if (line !== undefined) line.add(turn)
    else if (lines.has(key)) lines.set(key, new Set([turn]))
    else {
      lines.set(key, undefined)
      turn.hasKey = true
    }
  }

  const leave = (key: string, turn: Turn): void => {
    const line = lines.get(key)
    if (!turn.hasKey) return void line?.delete(turn)
    const [next] = line ?? []
    if (next === undefined) return void lines.delete(key)
    line?.delete(next)
    next.hasKey = true
    next.resume?.()
  }

  return {
    hold: (key, use) =>
      Effect.suspend(() => {
        const turn: Turn = { hasKey: false, resume: undefined }
        const taken = Effect.suspend(() => {
          enter(key, turn)
          return turn.hasKey ? use : Effect.andThen(given(turn), use)
        })
        // `leave` is registered before the key is taken: an interruption in between would leave the key held for ever.
        return Effect.onExit(taken, () => {
          leave(key, turn)
          return Effect.void
        })
      })
  }
}

const given = (turn: Turn): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (turn.hasKey) resume(Effect.void)
    else turn.resume = () => resume(Effect.void)
  }).pipe(
    // Yields first: otherwise a long line of turns would resume each other in one deep call.
    Effect.andThen(Effect.yieldNow)
  )
