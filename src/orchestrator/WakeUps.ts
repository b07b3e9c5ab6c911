/** Looks at waiting executions again when their time has come. Each has one time; one sleeping fiber serves them all. */
import { Clock, Effect, Latch, type Scope } from "effect"
import * as Loop from "../ports/Loop.ts"
import * as SteadyClock from "../ports/SteadyClock.ts"

interface WakeUp {
  readonly uuid: string
  readonly at: number
  /** When the execution was looked at before, in milliseconds since the epoch, like `at`. */
  readonly since: number
}

export interface WakeUps {
  readonly schedule: (wakeUp: WakeUp) => void
  readonly cancel: (uuid: string) => void
  readonly size: () => number
}

export const make = Effect.fnUntraced(function* (options: {
  /** After how many milliseconds the clock is looked at again, at the latest. */
  readonly longest: number
  readonly fire: (wakeUp: WakeUp) => Effect.Effect<void>
}): Effect.fn.Return<WakeUps, never, Scope.Scope> {
  const current = new Map<string, WakeUp>()
  const heap: Array<WakeUp> = []
  const earlier = Latch.makeUnsafe(false)
  const clock = yield* Clock.Clock
  /** Until when the fiber sleeps. Only an earlier time wakes it. */
  let sleepsUntil = Number.POSITIVE_INFINITY

  /** A replaced wake-up stays in the heap, since finding it there would be slow. Too many of them are removed together. */
  const tidy = (): void => {
    if (heap.length < 2 * current.size + 64) return
    heap.length = 0
    for (const wakeUp of current.values()) push(heap, wakeUp)
  }

  const due = (): WakeUp | undefined => {
    while (heap.length > 0 && current.get(heap[0]!.uuid) !== heap[0]) pop(heap)
    return heap[0]
  }

  const loop = Effect.gen(function* () {
    while (true) {
      const next = due()
      const now = clock.currentTimeMillisUnsafe()
      sleepsUntil = next?.at ?? Number.POSITIVE_INFINITY
      if (next === undefined) {
        yield* earlier.await
        earlier.closeUnsafe()
      } else if (next.at > now) {
        yield* Effect.raceFirst(SteadyClock.sleepUntil(clock, next.at, options.longest), earlier.await)
        earlier.closeUnsafe()
      } else {
        pop(heap)
        current.delete(next.uuid)
        yield* Loop.aside(options.fire(next), { uuid: next.uuid }, undefined)
      }
    }
  })
  yield* Loop.run("wake-ups", loop)

  return {
    schedule: (wakeUp) => {
      tidy()
      current.set(wakeUp.uuid, wakeUp)
      push(heap, wakeUp)
      if (wakeUp.at < sleepsUntil) earlier.openUnsafe()
    },
    cancel: (uuid) => {
      current.delete(uuid)
    },
    size: () => current.size
  }
})

const push = (heap: Array<WakeUp>, wakeUp: WakeUp): void => {
  let i = heap.push(wakeUp) - 1
  while (i > 0) {
    const parent = (i - 1) >> 1
    if (heap[parent]!.at <= wakeUp.at) break
    heap[i] = heap[parent]!
    i = parent
  }
  heap[i] = wakeUp
}

const pop = (heap: Array<WakeUp>): void => {
  const last = heap.pop()
  if (last === undefined || heap.length === 0) return
  let i = 0
  while (true) {
    let child = 2 * i + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && heap[child + 1]!.at < heap[child]!.at) child++
    if (heap[child]!.at >= last.at) break
    heap[i] = heap[child]!
    i = child
  }
  heap[i] = last
}
