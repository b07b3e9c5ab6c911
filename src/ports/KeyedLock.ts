/** A lock for each key, which is there as long as somebody holds it or waits for it. */
import { Effect, Semaphore } from "effect"

export interface KeyedLock {
  /** Those that hold the same key follow one another. */
  readonly hold: <A, E, R>(key: string, use: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

export const make = (): KeyedLock => {
  const locks = new Map<string, { readonly semaphore: Semaphore.Semaphore; users: number }>()
  return {
    hold: (key, use) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          const lock = locks.get(key) ?? { semaphore: Semaphore.makeUnsafe(1), users: 0 }
          locks.set(key, lock)
          lock.users++
          return lock
        }),
        ({ semaphore }) => semaphore.withPermits(1)(use),
        (lock) =>
          Effect.sync(() => {
            if (--lock.users === 0) locks.delete(key)
          })
      )
  }
}
