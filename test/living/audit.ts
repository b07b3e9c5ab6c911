/**
 * Compares what processes have done with what the executions say, as after kills, and more: while all processes live, each
 * step outside of the database runs once. Only a process that was killed or stood still longer than its lease excuses a
 * second run.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import * as Kill from "../kill/audit.ts"
import * as Journal from "./Journal.ts"

/** When a process stood still, by the clock of the journal. One that was killed stands still for ever. */
export interface Stop {
  readonly pid: number
  readonly from: number
  readonly to: number
}

export interface Report {
  readonly committed: number
  readonly rejected: number
  /** Steps that ran again, as a process was stopped. */
  readonly excused: number
  /** How often a process stood still by itself, as the machine was busy. */
  readonly stalls: number
  /** The time from the start to the end of an execution, in seconds: of one in the middle, and of the slowest. */
  readonly median: number
  readonly longest: number
  readonly wrong: ReadonlyArray<string>
}

interface Run extends Journal.Effect {
  readonly pid: number
  readonly at: number
}

const isLonger =
  (lease: number) =>
  ({ from, to }: Stop): boolean =>
    to - from > lease

/** The runs of each step, from all journals. */
const runsOf = (journals: ReadonlyMap<number, ReadonlyArray<Journal.Line>>, tag: "began" | "did" | "ended") =>
  [...journals].flatMap(([pid, lines]) =>
    lines.flatMap((line): Array<Run> => (line._tag === tag ? [{ ...line, pid }] : []))
  )

const stallsOf = (journals: ReadonlyMap<number, ReadonlyArray<Journal.Line>>) =>
  [...journals].flatMap(([pid, lines]) =>
    lines.flatMap((line): Array<Stop> => (line._tag === "stood" ? [{ pid, from: line.from, to: line.at }] : []))
  )

const idOf = ({ key, op, pid, step, uuid }: Run) => `${pid} ${uuid} ${op} of ${step} ${key}`

/** How long the end of a step may be on its way to the database: a lease, and the limit of a statement that is written once more. */
const slack = (lease: number) => lease + 5_000

/** A second run is excused by the stop of a process that had begun the step, and whose end was not stored by then. */
const again = (runs: ReadonlyArray<Run>, ends: ReadonlyArray<Run>, stops: ReadonlyArray<Stop>, lease: number) => {
  const wrong: Array<string> = []
  let excused = 0
  const endsOf = Map.groupBy(ends, idOf)
  /** Until when the end of a run may not be stored. */
  const openUntil = (run: Run) =>
    (endsOf.get(idOf(run))?.find(({ at }) => at >= run.at)?.at ?? Number.POSITIVE_INFINITY) + slack(lease)
  const bySteps = Map.groupBy(runs, ({ op, step, uuid }) => `${uuid} ${op} of ${step}`)
  for (const [what, all] of bySteps) {
    const inOrder = all.toSorted((a, b) => a.at - b.at)
    for (const [i, next] of inOrder.slice(1).entries()) {
      const former = inOrder[i]!
      const { at, pid } = former
      const until = Math.min(next.at, openUntil(former))
      const isExcused = stops.some((stop) => stop.pid === pid && stop.to >= at && stop.from <= until)
      if (isExcused) excused++
      else {
        const apart = `${at.toFixed(0)} in ${pid}, epoch ${former.epoch}, and ${next.at.toFixed(0)} in ${next.pid}, epoch ${next.epoch}`
        wrong.push(`${what} ran at ${apart}`)
      }
    }
  }
  return { wrong, excused }
}

/** Puts the journals into the table of effects, in the order of time. */
const load = Effect.fnUntraced(function* (schema: string, effects: ReadonlyArray<Run>) {
  const sql = yield* SqlClient.SqlClient
  const table = sql(`${schema}.effect`)
  for (let i = 0; i < effects.length; i += 5_000) {
    const rows = JSON.stringify(effects.slice(i, i + 5_000))
    yield* sql`insert into ${table} (uuid, step, op, key, epoch, pid, at)
      select uuid, step, op, key, epoch, pid, at from json_to_recordset(${rows}::json)
        as r (uuid text, step text, op text, key text, epoch int, pid int, at float8)`
  }
  // One order for all of them.
  yield* sql`update ${table} e set seq = r.n
    from (select seq, row_number() over (order by at) as n from ${table}) r where r.seq = e.seq`
})

/** Where the journals are, and what they are judged by. */
export interface Lived {
  readonly folder: string
  readonly lease: number
  readonly stops: ReadonlyArray<Stop>
}

/** What the journals say by themselves. */
export const journaled = ({ folder, lease, stops }: Lived) => {
  const journals = Journal.read(folder)
  const stalls = stallsOf(journals).filter(isLonger(lease))
  const started = [...journals.values()].flatMap((lines) =>
    lines.flatMap((line) => (line._tag === "started" ? [line.uuid] : []))
  )
  return {
    ...again(
      runsOf(journals, "began"),
      runsOf(journals, "ended"),
      [...stops, ...stalls].filter(isLonger(lease)),
      lease
    ),
    did: runsOf(journals, "did"),
    stalls: stalls.length,
    /** Each start that has answered, with an execution that is not known. */
    lost: (known: ReadonlySet<string>) =>
      started.flatMap((uuid) => (known.has(uuid) ? [] : [`${uuid} was started and is lost`]))
  }
}

export const audit = Effect.fnUntraced(function* ({ schema, ...lived }: Lived & { readonly schema: string }) {
  const sql = yield* SqlClient.SqlClient
  const { did, excused, lost, stalls, wrong: twice } = journaled(lived)
  yield* load(schema, did)
  const { committed, rejected, wrong } = yield* Kill.audit(schema)

  const stored = yield* sql<{ uuid: string; millis: number }>`
    select uuid::text as uuid, (updated_at - created_at)::int as millis from ${sql(`${schema}.saga_execution`)}`
  const times = stored.map(({ millis }) => millis / 1_000).toSorted((a, b) => a - b)
  const report: Report = {
    committed,
    rejected,
    excused,
    stalls,
    median: times[times.length >> 1] ?? 0,
    longest: times.at(-1) ?? 0,
    wrong: [...wrong, ...twice, ...lost(new Set(stored.map(({ uuid }) => uuid)))]
  }
  return report
})
