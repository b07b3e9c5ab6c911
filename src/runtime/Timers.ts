/** When this process looks at a waiting execution again: one time per execution, one sleeping fiber for all. */
import { Clock, Effect, Latch, type Scope } from "effect"

interface Timer {
  readonly uuid: string
  readonly at: number
  /** When the execution was looked at last. */
  readonly since: number
}

export interface Timers {
  readonly schedule: (timer: Timer) => void
  readonly cancel: (uuid: string) => void
  readonly size: () => number
}

export const make = Effect.fnUntraced(function* (options: {
  readonly fire: (timer: Timer) => Effect.Effect<void>
}): Effect.fn.Return<Timers, never, Scope.Scope> {
  const current = new Map<string, Timer>()
  const heap: Array<Timer> = []
  const earlier = Latch.makeUnsafe(false)
  const clock = yield* Clock.Clock
  /** Until when the fiber sleeps: what is due later does not wake it. */
  let sleepsUntil = Number.POSITIVE_INFINITY

  /** Timers that were replaced stay in the heap, as nothing is searched; but never more of them than of others. */
  const tidy = (): void => {
    if (heap.length < 2 * current.size + 64) return
    heap.length = 0
    for (const timer of current.values()) push(heap, timer)
  }

  const due = (): Timer | undefined => {
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
        yield* Effect.raceFirst(Effect.sleep(next.at - now), earlier.await)
        earlier.closeUnsafe()
      } else {
        pop(heap)
        current.delete(next.uuid)
        yield* options.fire(next)
      }
    }
  })
  yield* Effect.forkScoped(loop)

  return {
    schedule: (timer) => {
      tidy()
      current.set(timer.uuid, timer)
      push(heap, timer)
      if (timer.at < sleepsUntil) earlier.openUnsafe()
    },
    cancel: (uuid) => {
      current.delete(uuid)
    },
    size: () => current.size
  }
})

const push = (heap: Array<Timer>, timer: Timer): void => {
  let i = heap.push(timer) - 1
  while (i > 0) {
    const parent = (i - 1) >> 1
    if (heap[parent]!.at <= timer.at) break
    heap[i] = heap[parent]!
    i = parent
  }
  heap[i] = timer
}

const pop = (heap: Array<Timer>): void => {
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
