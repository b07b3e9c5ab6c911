/**
 * What a process has done, line by line in a file of its own: it can be written while the database is away, and stays when
 * the process is killed.
 */
import { openSync, readdirSync, readFileSync, writeSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { setInterval } from "node:timers"

/** Times are in milliseconds since the epoch, with fractions: all processes of a machine have the same. */
export type Line =
  | { readonly _tag: "started"; readonly uuid: string; readonly at: number }
  /** A step outside of the database begins, has its effect, and ends. */
  | ({ readonly _tag: "began" | "did" | "ended"; readonly at: number } & Effect)
  /** The process did not run from one moment to the other: it was stopped, or the machine had no time for it. */
  | { readonly _tag: "stood"; readonly from: number; readonly at: number }

export interface Effect {
  readonly uuid: string
  readonly step: string
  readonly op: "execute" | "failure"
  readonly key: string
  readonly epoch: number
}

export const now = (): number => performance.timeOrigin + performance.now()

/** Opens the file of this process. Each line is with the operating system before the call returns. */
export const open = (folder: string): ((line: Line) => void) => {
  const file = openSync(join(folder, `${process.pid}.jsonl`), "a")
  return (line) => {
    writeSync(file, `${JSON.stringify(line)}\n`)
  }
}

/** Calls back when the process has stood still for so long. */
export const watch = (millis: number, stood: (from: number, at: number) => void): void => {
  let last = now()
  setInterval(() => {
    const at = now()
    if (at - last > millis) stood(last, at)
    last = at
  }, millis / 4).unref()
}

/** The lines of all processes, by process id. A line that a killed process has not finished is left out. */
export const read = (folder: string): ReadonlyMap<number, ReadonlyArray<Line>> =>
  new Map(
    readdirSync(folder)
      .filter((name) => name.endsWith(".jsonl"))
      .map((name) => [
        Number(name.slice(0, -".jsonl".length)),
        readFileSync(join(folder, name), "utf8")
          .split("\n")
          .slice(0, -1)
          .map((line) => JSON.parse(line))
      ])
  )
