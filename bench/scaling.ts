/**
 * How far one database carries, and what ends it: a model of the bottlenecks with the costs that `npm run bench -- processes --json`
 * has measured (`bench/processes.ndjson`). For each number of processes it gives the most sagas a second, and the part that is full
 * then. It says nothing about a machine that nobody has measured: the capacities below are assumptions, to be replaced by one's own.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import type { Report } from "./run.ts"

/** A row of `bench/processes.ts`. */
interface Measured {
  readonly case: string
  readonly ownership: string
  /** Absent in rows that were measured before there were two. */
  readonly databases?: number
  readonly processes: number
  readonly inFlight: string
  readonly cpu: number
  readonly statements: number
  readonly serverCpu: number
  readonly walKib: number
}

const measured: ReadonlyArray<Measured> = readFileSync(join(import.meta.dirname, "processes.ndjson"), "utf8")
  .split("\n")
  .filter((line) => line.startsWith("{"))
  .map((line) => JSON.parse(line))

/** The capacity of each part of a deployment. */
const capacity = {
  /** Processors of a process: a runtime of JavaScript has one. */
  process: 1,
  /** Processors of the database server. */
  server: 16,
  /** Bytes that the log of the database can write, in MiB a second, with a fast disk and one standby. */
  wal: 200,
  /** Messages a second of one broker, each way counted. Mosquitto uses one processor. */
  broker: 50_000
}

/** No part is to be fuller than this: above it, waiting grows fast. */
const full = 0.7

/** Messages of a saga: a request and its reply, each of which the broker takes and gives. */
const messagesOf = (kind: string): number => (kind === "remote" ? 4 : 0)

/** How much of the work of all is that of others. */
const others = (processes: number): number => (processes - 1) / processes

/** The cost of a saga with so many processes: that of one process, and more for what others do on the same database and broker. */
const costOf = ({ one, several }: Pair, processes: number, of: (row: Measured) => number): number =>
  of(one) + ((of(several) - of(one)) * others(processes)) / others(several.processes)

/** The load of one saga on each part: the share of one second of its capacity. */
const loadsOf = (pair: Pair, processes: number, databases: number) => {
  const cost = (of: (row: Measured) => number) => costOf(pair, processes / databases, of)
  return {
    processes: cost((row) => row.cpu) / 1_000 / (capacity.process * processes),
    "processors of the database": cost((row) => row.serverCpu) / 1_000 / (capacity.server * databases),
    "log of the database": cost((row) => row.walKib) / 1_024 / (capacity.wal * databases),
    broker: messagesOf(pair.one.case) / capacity.broker
  }
}

const endOf = (pair: Pair, processes: number, databases: number) => {
  const loads = Object.entries(loadsOf(pair, processes, databases)).toSorted((a, b) => b[1] - a[1])
  const [first = ["nothing", 1] as const] = loads
  const one = pair.one.cpu
  return {
    perSecond: Math.floor(full / first[1]),
    endedBy: first[0],
    // Of the processor time of a saga, what one process alone would not take.
    forOthers: `${Math.max(0, Math.round(100 * (1 - one / costOf(pair, processes / databases, (row) => row.cpu))))} %`
  }
}

/** One process, and the most that were measured, each with enough to do. */
interface Pair {
  readonly one: Measured
  readonly several: Measured
}

const pairOf = (kind: string, ownership: string): Pair | undefined => {
  const rows = measured
    .filter(
      (row) =>
        row.case === kind && row.ownership === ownership && (row.databases ?? 1) === 1 && row.inFlight.endsWith("each")
    )
    .toSorted((a, b) => a.processes - b.processes)
  const [one, several] = [rows[0], rows.at(-1)]
  return one !== undefined && several !== undefined && several.processes > 1 ? { one, several } : undefined
}

const steps = [1, 2, 4, 8, 16, 32, 64, 128] as const

export const run = async (): Promise<Report> => {
  const rows = (["local", "remote"] as const).flatMap((kind) =>
    (["leases", "cluster"] as const).flatMap((ownership) => {
      const pair = pairOf(kind, ownership)
      if (pair === undefined) return []
      const on = (databases: number) => (processes: number) => ({
        case: kind,
        ownership,
        databases,
        processes,
        ...endOf(pair, processes, databases)
      })
      return [...steps.map(on(1)), ...([4, 16] as const).map((databases) => on(databases)(128 * databases))]
    })
  )
  return { rows }
}
