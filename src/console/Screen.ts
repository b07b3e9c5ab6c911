/**
 * What is printed. Texts that come from stored executions may hold anything, also sequences that a terminal obeys: every one of them
 * goes through `plain`.
 */
import { Console, Context, Effect, Schema } from "effect"

/** The terminal, as the command line finds it. */
export class Screen extends Context.Service<
  Screen,
  {
    /** Characters of a line; undefined: no terminal, lines may be of any length. */
    readonly columns: number | undefined
    readonly hasColours: boolean
    /** `user@host`: the actor, where none is named. */
    readonly user: string
    /** Asks a person; undefined: nobody is there to ask. */
    readonly ask: ((question: string) => Effect.Effect<string>) | undefined
  }
>()("effect-saga/console/Screen") {}

/** The command cannot do what was asked: one line says why. Exit code 1. */
export class CommandFailed extends Schema.TaggedError<CommandFailed>()("CommandFailed", { message: Schema.String }) {}

/** The command was called in a wrong way. Exit code 2. */
export class CommandMisused extends Schema.TaggedError<CommandMisused>()("CommandMisused", {
  message: Schema.String
}) {}

/** Something needs attention: for scripts, which look at the exit code 3. */
export class NeedsAttention extends Schema.TaggedError<NeedsAttention>()("NeedsAttention", {}) {}

/** Control characters, half surrogates, what changes the direction of text or has no width. */
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/** A text that a terminal prints and does not obey; cut where it is long. */
export const plain = (text: string, most = 1_000): string => {
  const cut = text.length > 4 * most ? text.slice(0, 4 * most) : text
  const safe = cut.replaceAll(unprintable, (it) => `\\u{${it.codePointAt(0)!.toString(16)}}`)
  return shortened(safe, most)
}

/** By characters, so that none is cut in half. */
export const shortened = (text: string, most: number): string => {
  const characters = Array.from(text)
  return characters.length <= most ? text : `${characters.slice(0, Math.max(0, most - 1)).join("")}…`
}

/** JSON that a terminal prints and does not obey. */
export const jsonOf = (value: unknown): string =>
  JSON.stringify(value, undefined, 2).replaceAll(/[^\P{C}\n]/gu, (it) =>
    Array.from({ length: it.length }, (_, i) => `\\u${it.charCodeAt(i).toString(16).padStart(4, "0")}`).join("")
  )

export const printJson = (value: unknown): Effect.Effect<void> => Console.log(jsonOf(value))

/** Asks before something is done, unless it was said already that it shall be. Nobody to ask: the command was called in a wrong way. */
export const confirmed = Effect.fnUntraced(function* (
  { json, yes }: { readonly json: boolean; readonly yes: boolean },
  what: string
): Effect.fn.Return<boolean, CommandMisused, Screen> {
  const { ask } = yield* Screen
  if (yes) return true
  if (ask === undefined || json) return yield* new CommandMisused({ message: `It would ${what}: say --yes` })
  return /^y(es)?$/i.test((yield* ask(`${what}? [y/N] `)).trim())
})

// ---- colours ---------------------------------------------------------------------------------------------------

const codes = { red: 31, green: 32, yellow: 33, dim: 2, bold: 1 } as const

export type Colour = keyof typeof codes

export const coloured = (text: string, colour: Colour | undefined, isOn: boolean): string =>
  isOn && colour !== undefined ? `\u001b[${codes[colour]}m${text}\u001b[0m` : text

// ---- times -----------------------------------------------------------------------------------------------------

const units = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000]
] as const

/** A time span in its largest whole unit: `5m`. */
export const span = (millis: number): string => {
  for (const [unit, length] of units) if (millis >= length) return `${Math.floor(millis / length)}${unit}`
  return millis < 0 ? "0s" : `${Math.floor(millis / 1_000)}s`
}

export const moment = (at: number): string =>
  Number.isFinite(at) && Math.abs(at) <= 8.64e15 ? new Date(at).toISOString() : String(at)

/** A count with its bound: `10000+`. */
export const many = ({ count, isMore }: { readonly count: number; readonly isMore: boolean }): string =>
  `${count}${isMore ? "+" : ""}`

// ---- tables ----------------------------------------------------------------------------------------------------

export interface Column<A> {
  readonly title: string
  readonly of: (row: A) => string
  /** The width that it may shrink to. Default: it never shrinks. */
  readonly least?: number
  /** Left out where no row has a value, or where there is no room. */
  readonly isOptional?: boolean
  readonly isRight?: boolean
  readonly colour?: (row: A) => Colour | undefined
}

const widthOf = (text: string): number => Array.from(text).length

/** Rows under their titles. Columns that may shrink do so, and then optional ones are left out, until a line has room. */
export const table = <A>(
  rows: ReadonlyArray<A>,
  columns: ReadonlyArray<Column<A>>,
  { columns: room = Number.POSITIVE_INFINITY, hasColours }: Pick<Screen["Service"], "columns" | "hasColours">
): ReadonlyArray<string> => {
  let shown = columns
    .map((column) => {
      const cells = rows.map((row) => plain(column.of(row), 200))
      const widest = cells.reduce((most, cell) => Math.max(most, widthOf(cell)), column.title.length)
      return { column, cells, width: widest }
    })
    .filter(({ cells, column }) => column.isOptional !== true || cells.some((cell) => cell !== ""))
  const total = () => shown.reduce((sum, { width }) => sum + width + 2, -2)
  const shrink = () => {
    for (const part of shown) {
      const over = total() - room
      if (over <= 0) return
      const { least } = part.column
      if (least !== undefined) part.width = Math.max(Math.min(least, part.width), part.width - over)
    }
  }
  const widths = shown.map(({ width }) => width)
  shrink()
  while (total() > room) {
    const last = shown.findLastIndex(({ column }) => column.isOptional === true)
    if (last < 0) break
    shown = shown.filter((_, i) => i !== last)
    widths.splice(last, 1)
    for (const [i, part] of shown.entries()) part.width = widths[i]!
    shrink()
  }
  const line = (cell: (part: (typeof shown)[number]) => string) => shown.map(cell).join("  ").trimEnd()
  const padded = (text: string, width: number, isRight: boolean | undefined) => {
    const cut = shortened(text, width)
    const space = " ".repeat(Math.max(0, width - widthOf(cut)))
    return isRight === true ? `${space}${cut}` : `${cut}${space}`
  }
  return [
    coloured(
      line(({ column, width }) => padded(column.title, width, column.isRight)),
      "bold",
      hasColours
    ),
    ...rows.map((row, i) =>
      line(({ cells, column, width }) =>
        coloured(padded(cells[i]!, width, column.isRight), column.colour?.(row), hasColours)
      )
    )
  ]
}

/** An argument of a command, in quotes where a shell needs them. */
export const quoted = (text: string): string =>
  /^[\w./:@%+=,-]+$/.test(text) ? text : `'${plain(text).replaceAll("'", `'\\''`)}'`
