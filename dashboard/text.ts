/** Times, ids and counts as people read them. */
import type { Shown, StepFate } from "../src/console/dashboard/Forms.ts"

const units = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1_000, "s"]
] as const

/** `3 h 20 min`: the two greatest units. */
export const span = (millis: number): string => {
  if (millis < 1_000) return `${Math.max(0, Math.round(millis))} ms`
  const at = units.findIndex(([size]) => millis >= size)
  const [size, name] = units[at]!
  const whole = Math.floor(millis / size)
  const next = units[at + 1]
  const rest = next === undefined ? 0 : Math.floor((millis % size) / next[0])
  return rest === 0 || next === undefined ? `${whole} ${name}` : `${whole} ${name} ${rest} ${next[1]}`
}

/** `3 h`: one unit, for tables. */
export const age = (since: number, now = Date.now()): string => {
  const millis = Math.max(0, now - since)
  const [size, name] = units.find(([size]) => millis >= size) ?? [1_000, "s"]
  return `${Math.floor(millis / size)} ${name}`
}

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23"
})
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" })

/** A time of today without its date. */
export const moment = (at: number): string => {
  const date = new Date(at)
  const isToday = date.toDateString() === new Date().toDateString()
  return isToday ? clock.format(date) : `${day.format(date)} ${clock.format(date)}`
}

export const exact = (at: number): string => new Date(at).toISOString()

export const shortId = (uuid: string): string => `…${uuid.slice(-8)}`

export const count = (n: number, one: string, many = `${one}s`): string =>
  `${n.toLocaleString("en")} ${n === 1 ? one : many}`

export const atLeast = (n: number, isCut: boolean): string => `${n.toLocaleString("en")}${isCut ? "+" : ""}`

/** The end of an id: what tells it from its neighbours. */
export const shortMessage = (id: string): string => (id.length <= 16 ? id : `…${id.slice(-15)}`)

/** A sign beside the colour, for eyes that do not see it. */
export const signs: Record<Shown, string> = {
  running: "▸",
  waiting: "◷",
  undoing: "↺",
  parked: "!",
  committing: "⇉",
  finished: "✓",
  undone: "⟲",
  newer: "?"
}

export const fateSigns: Record<StepFate, string> = {
  ahead: "·",
  running: "▸",
  waiting: "◷",
  done: "✓",
  failed: "✕",
  undoing: "↺",
  undone: "⟲",
  parked: "!",
  passed: "–"
}

export const fateWords: Record<StepFate, string> = {
  ahead: "not begun",
  running: "running",
  waiting: "waiting",
  done: "done",
  failed: "failed",
  undoing: "being undone",
  undone: "undone",
  parked: "parked",
  passed: "not taken"
}
