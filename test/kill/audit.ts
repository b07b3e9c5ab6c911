/**
 * Compares what happened with what the executions say: the effects of a committed one are there, those of another one are
 * undone in the right order, the transactional ones exactly once, and the others always under the same key.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import type { Report } from "./suffer.ts"

export interface Execution {
  readonly uuid: string
  readonly key: string | null
  readonly saga: string
  readonly status: string
  readonly commit_state: string
  readonly parked: boolean
  readonly revision: number
  readonly writes: number
  readonly last: number
}

interface Did {
  readonly uuid: string
  readonly step: string
  readonly op: "execute" | "failure"
  readonly keys: number
  readonly times: number
  readonly first: bigint
  readonly last: bigint
}

/** In one transaction with their record; that of the payment is its participant's. */
const transactional = new Set(["ledger", "label", "payment"])
/** In the order of execution; the steps of an inner list are concurrent. */
const steps = [["stock", "payment"], ["ledger"], ["invoice", "label"], ["parcel"]]
const undone = steps.slice(0, -1).flat()

/** The executions of a database. */
export const executionsOf = (schema: string) =>
  SqlClient.SqlClient.use((sql) => {
    const t = (name: string) => sql(`${schema}.${name}`)
    return sql<Execution>`
      select h.uuid::text as uuid, h.start_key as key, h.saga, h.status, h.commit_state, h.parked, e.writes, e.last
      from ${t("saga_execution")} h
      left join (
        select uuid, count(*)::int as writes, max(revision)::int as last from ${t("saga_event")} group by uuid
      ) e on e.uuid = h.uuid`
  })

export const isCommitted = ({ commit_state, status }: Execution): boolean =>
  status === "finished" && commit_state === "committed"

/** What is wrong with an execution of any saga. */
export const problemsOf = (execution: Execution): ReadonlyArray<string> => {
  const { commit_state, last, parked, status, writes } = execution
  const isSettled = isCommitted(execution) || (status === "errored" && commit_state === "rejected")
  return [
    ...(isSettled ? [] : ["is not settled"]),
    ...(parked ? ["is parked"] : []),
    ...(writes === last ? [] : [`has ${writes} writes, the last is ${last}`])
  ]
}

export const audit = (
  schema: string
): Effect.Effect<Report & { readonly repeated: number }, unknown, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)
    const executions = yield* executionsOf(schema)
    const effects = yield* sql<Did>`
      select uuid, step, op, count(distinct key)::int as keys, count(*)::int as times, min(seq) as first, max(seq) as last
      from ${t("effect")} group by uuid, step, op`

    const wrong: Array<string> = []
    const byExecution = Map.groupBy(effects, ({ uuid }) => uuid)
    const known = new Set(executions.map(({ uuid }) => uuid))
    for (const uuid of byExecution.keys()) if (!known.has(uuid)) wrong.push(`${uuid} has effects and is lost`)

    for (const execution of executions) {
      const { commit_state, saga, status, uuid } = execution
      const says = (what: string) => wrong.push(`${uuid} (${status}, ${commit_state}): ${what}`)
      const committed = isCommitted(execution)
      problemsOf(execution).forEach(says)
      // Other sagas have other steps.
      if (!saga.startsWith("Place")) continue

      const rows = byExecution.get(uuid) ?? []
      const row = (op: Did["op"], step: string) => rows.find((it) => it.op === op && it.step === step)
      const expected = committed ? steps.flat() : undone
      for (const step of steps.flat()) {
        if ((row("execute", step) !== undefined) !== expected.includes(step)) says(`execute of ${step}`)
        const isUndone = row("failure", step) !== undefined
        const mustBe = !committed && undone.includes(step)
        if (isUndone !== mustBe) says(`failure of ${step}`)
      }
      for (const { keys, op, step, times } of rows) {
        if (keys !== 1) says(`${op} of ${step} has ${keys} keys`)
        if (transactional.has(step) && times !== 1) says(`${op} of ${step} happened ${times} times`)
      }
      const before = (a: Did | undefined, b: Did | undefined, what: string) => {
        if (a !== undefined && b !== undefined && a.first >= b.first) says(`${what}: ${a.step} before ${b.step}`)
      }
      for (let i = 1; i < steps.length; i++) {
        for (const earlier of steps[i - 1] ?? [])
          for (const later of steps[i] ?? []) {
            before(row("execute", earlier), row("execute", later), "executed")
            before(row("failure", later), row("failure", earlier), "undone")
          }
      }
      for (const step of undone) before(row("execute", step), row("failure", step), "undone after")
    }
    const committed = executions.filter(({ status }) => status === "finished").length
    return {
      committed,
      rejected: executions.length - committed,
      // Effects that happened more than once, as they may.
      repeated: effects.filter(({ times }) => times > 1).length,
      wrong
    }
  })
