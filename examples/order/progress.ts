/** What people watch while orders run: a bar, counts by outcome, the last few orders. It goes to stderr. */
import { Effect } from "effect"
import type { Outcome } from "./summary.ts"

const width = 40
const marks = { committed: "✓", undone: "↩", parked: "!" } as const

export interface Progress {
  readonly done: (orderId: string, outcome: Outcome, why: string) => void
}

/** Draws while `work` runs: in place on a terminal, else a line for each tenth. */
export const withProgress = <A, E, R>(
  total: number,
  work: (progress: Progress) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const counts: Record<Outcome, number> = { committed: 0, undone: 0, parked: 0 }
    const last: Array<string> = []
    const { isTTY } = process.stderr
    let drawn = 0
    const finished = () => counts.committed + counts.undone + counts.parked
    const draw = () => {
      const filled = Math.round((width * finished()) / total)
      const bar = "█".repeat(filled) + "░".repeat(width - filled)
      const line = `${bar} ${finished()}/${total}  ${counts.committed} committed  ${counts.undone} undone  ${counts.parked} parked`
      process.stderr.write(isTTY ? `\x1b[${drawn}A\x1b[J${[line, ...last].join("\n")}\n` : `${line}\n`)
      drawn = isTTY ? last.length + 1 : finished()
    }
    const done: Progress["done"] = (orderId, outcome, why) => {
      counts[outcome]++
      last.push(`  ${marks[outcome]} ${orderId} ${outcome}${why === "" ? "" : `: ${why}`}`)
      if (last.length > 4) last.shift()
      if (!isTTY && finished() - drawn >= total / 10) draw()
    }
    const timer = isTTY ? setInterval(draw, 50) : undefined
    return Effect.ensuring(
      work({ done }),
      Effect.sync(() => {
        clearInterval(timer)
        draw()
      })
    )
  })
