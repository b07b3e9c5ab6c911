/** Reads the ledgers of processes that run a queue: whether the limits held at every moment, and what has ended. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

interface Span {
  readonly n: number
  from: bigint
  to: bigint | undefined
}

export interface Audit {
  /** The most steps at a time, in all and of one key. A step that a kill has cut off counts until it has ended elsewhere. */
  readonly most: number
  readonly mostOfKey: number
  /** Executions whose last step has ended. */
  readonly done: number
  /** From the first begin to the last end, in milliseconds. */
  readonly millis: number
}

export const audit = (folder: string, keys: number): Audit => {
  const spans = new Map<string, Span>()
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".ledger")))
    for (const line of readFileSync(join(folder, file), "utf8").split("\n")) {
      const [n, step, what, at] = line.split(" ")
      // A kill may have cut off the last line.
      if (at === undefined || !/^\d{6,}$/.test(at)) continue
      const time = BigInt(at)
      const span = spans.get(`${n} ${step}`) ?? { n: Number(n), from: time, to: undefined }
      spans.set(`${n} ${step}`, span)
      if (time < span.from) span.from = time
      if (what === "end" && (span.to === undefined || time > span.to)) span.to = time
    }
  const all = [...spans.values()]
  const ended = all.flatMap(({ to }) => to ?? [])
  const first = all.reduce((least, { from }) => (from < least ? from : least), all[0]?.from ?? 0n)
  const last = ended.reduce((most, to) => (to > most ? to : most), first)
  const ofKey = Array.from({ length: keys }, (_, key) => overlap(all.filter(({ n }) => n % keys === key)))
  return {
    most: overlap(all),
    mostOfKey: Math.max(0, ...ofKey),
    done: [...spans].filter(([name, { to }]) => name.endsWith(" two") && to !== undefined).length,
    millis: Number(last - first) / 1e6
  }
}

/**
 * How many executions have ended so far: a look that takes little time from those that run, where `audit` would take a processor of
 * the machine for itself.
 */
export const ended = (folder: string): number => {
  const numbers = new Set<string>()
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".ledger")))
    for (const [, n] of readFileSync(join(folder, file), "latin1").matchAll(/^(\d+) two end \d{6,}$/gm)) numbers.add(n!)
  return numbers.size
}

const overlap = (spans: ReadonlyArray<Span>): number => {
  const moments = spans.flatMap(({ from, to }) => [
    { at: from, change: 1 },
    ...(to === undefined ? [] : [{ at: to, change: -1 }])
  ])
  moments.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : a.change - b.change))
  let [now, most] = [0, 0]
  for (const { change } of moments) {
    now += change
    most = Math.max(most, now)
  }
  return most
}
