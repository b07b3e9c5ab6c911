/**
 * Lines of the log that would come again with each try: of each kind the first one is written, and then at most one a minute,
 * whatever asks for it in this process.
 */
import { Clock, Context, Effect } from "effect"

/** In nanoseconds. */
const rest = 60_000_000_000n

/** Kinds that are remembered, at most. Names from outside may be part of a kind. */
const most = 1_024

/** When a line of each kind was written last, by the monotonic clock. Default: one for all programs in the process. A test provides one of its own. */
export const Written = Context.Reference<Map<string, bigint>>("effect-saga/NowAndThen", {
  defaultValue: () => new Map()
})

/** Writes the line, unless one of its kind was written within the last minute. */
export const write = (kind: string, line: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const written = fiber.getRef(Written)
    const now = fiber.getRef(Clock.Clock).monotonicTimeNanosUnsafe()
    const isOver = (at: bigint) => now - at >= rest
    const at = written.get(kind)
    if (at !== undefined && !isOver(at)) return Effect.void
    if (at === undefined && written.size >= most) {
      for (const [other, last] of written) if (isOver(last)) written.delete(other)
      if (written.size >= most) return Effect.void
    }
    written.set(kind, now)
    return line
  })
