/** The view of a run, on stderr: a bar, counts by outcome, the last few sagas. */
import { existsSync, readFileSync } from "node:fs"
import { stripVTControlCharacters, styleText } from "node:util"
import { Effect } from "effect"
import type { Outcome, Settled, Tally } from "./summary.ts"

const marks = { committed: "✓", undone: "↩", parked: "!" } as const
const colors = { committed: "green", undone: "yellow", parked: "red" } as const
const rows = 8
/** Seconds without an order that ends, after which the last trouble in the log is shown. */
const patience = 30

const legend = "Each order is a saga: ✓ a step is done, ✗ it fails, ↩ one before it is undone"

const out = process.stderr
const color = (outcome: Outcome, text: string) => styleText(colors[outcome], text, { stream: out })

/** Cuts a line to the given number of characters; colours do not count. */
const cut = (line: string, columns: number): string => {
  const hidden = line.length - stripVTControlCharacters(line).length
  return line.slice(0, columns + hidden)
}

export interface Progress {
  readonly note: (line: string) => Effect.Effect<void>
  readonly settled: (order: Settled) => Effect.Effect<void>
  readonly crashed: Effect.Effect<void>
}

/** The last warning or error of a log, in the words of the library; its first line alone. */
const trouble = (log: string): string => {
  const lines = existsSync(log) ? readFileSync(log, "utf8").split("\n") : []
  const last = lines.findLast((line) => /\blevel=(?:WARN|ERROR|FATAL)/i.test(line))
  return last === undefined ? `the log has no warning; it is ${log}` : last.replace(/^.*?level=/, "")
}

/**
 * Draws until the scope closes: in place on a terminal, otherwise one line for each tenth of the orders. Says in one line what
 * the log `log` complains about where no order ends for half a minute.
 */
export const make = Effect.fnUntraced(function* (total: number, tally: Tally, log: string) {
  const last: Array<string> = []
  let crashes = 0
  let drawn = 0

  const head = (width: number) => {
    const done = tally.outcomes.size
    const filled = Math.floor((width * done) / total)
    const { committed, parked, undone } = tally.counts
    return [
      `${"█".repeat(filled)}${"░".repeat(width - filled)} ${done}/${total}`,
      color("committed", `${committed} committed`),
      color("undone", `${undone} undone`),
      color("parked", `${parked} parked`),
      ...(crashes === 0 ? [] : [`${crashes} ${crashes === 1 ? "crash" : "crashes"}`])
    ].join("  ")
  }

  const draw = () => {
    const columns = out.columns || 80
    // A line that wraps would take two rows, and the next drawing would start in the wrong row.
    const lines = [head(Math.max(10, columns - 60)), legend, "", ...last].map((line) => cut(line, columns - 1))
    out.write(`${drawn === 0 ? "" : `\x1b[${drawn}A`}\x1b[J${lines.join("\n")}\n`)
    drawn = lines.length
  }

  const show = (line: string) => {
    last.push(line)
    if (last.length > rows) last.shift()
  }

  if (out.isTTY) {
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        draw()
        return setInterval(draw, 80)
      }),
      (timer) =>
        Effect.sync(() => {
          clearInterval(timer)
          draw()
          out.write("\n")
        })
    )
  } else out.write(`${legend}\n`)

  const note: Progress["note"] = (line) => Effect.sync(() => (out.isTTY ? show(`  ${line}`) : out.write(`${line}\n`)))

  const watch = Effect.gen(function* () {
    let seen = -1
    while (tally.outcomes.size < total) {
      const done = tally.outcomes.size
      if (done === seen)
        yield* note(`· no order has ended for ${patience} s (${done} of ${total} are done): ${trouble(log)}`)
      seen = done
      yield* Effect.sleep(`${patience} seconds`)
    }
  })
  yield* Effect.forkScoped(watch)

  const progress: Progress = {
    note,
    settled: ({ orderId, outcome, trail }) =>
      Effect.sync(() => {
        const done = tally.outcomes.size
        if (out.isTTY) show(`  ${color(outcome, marks[outcome])} ${orderId}  ${trail}`)
        else if (done === total || done % Math.ceil(total / 10) === 0) out.write(`${head(20)}\n`)
      }),
    crashed: Effect.suspend(() => {
      crashes++
      return note("⚡ the orchestrator is killed (SIGKILL)")
    })
  }
  return progress
})
