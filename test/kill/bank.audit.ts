/**
 * Compares what the handlers of a participant did with what it has recorded and answered: every effect of a transaction that
 * is committed is there once, those of one that is rejected are undone once, and every copy of an answer is the same.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import type { Report } from "./suffer.ts"

interface Execution {
  readonly uuid: string
  readonly n: number
  readonly over: boolean
  readonly status: string | null
  readonly effects: ReadonlyArray<string> | null
  readonly held: number
}

interface Answer {
  readonly id: string
  readonly bodies: number
  readonly refused: number
  readonly recorded: boolean
}

export const audit = (schema: string): Effect.Effect<Report, unknown, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)
    const executions = yield* sql<Execution>`
      select e.uuid::text as uuid, e.n, e.over, t.status,
        (select array_agg(what || ' ' || substr(key, 38) order by what) from ${t("effect")} f
          where f.uuid = e.uuid::text) as effects,
        (select count(*)::int from ${t("hold")} h where h.uuid = e.uuid::text) as held
      from ${t("execution")} e left join ${t("saga_transaction")} t on t.uuid = e.uuid order by e.n`
    const answers = yield* sql<Answer>`
      select s.id, count(*)::int as bodies, count(*) filter (where s.status <> 200)::int as refused,
        bool_and(b.reply is not distinct from s.body) as recorded
      from ${t("said")} s left join ${t("saga_barrier")} b on b.id = s.id group by s.id`

    const wrong: Array<string> = []
    for (const { effects, held, n, over, status, uuid } of executions) {
      const expected = n % 3 > 0 ? "committed" : "rejected"
      const rows = n % 3 > 0 ? "charged 0:execute,given 1:execute" : "charged 0:execute,refunded 0:failure"
      const says = (what: string) => wrong.push(`${uuid} (${expected}): ${what}`)
      if (!over) says("is not over")
      if (status !== expected) says(`is ${status}`)
      if ((effects ?? []).join() !== rows) says(`did ${effects}`)
      if (held > 0) says(`${held} are still held`)
    }
    for (const { bodies, id, recorded, refused } of answers) {
      if (bodies !== 1) wrong.push(`${id} has ${bodies} answers`)
      if (refused > 0) wrong.push(`${id} was refused`)
      if (!recorded) wrong.push(`${id} has an answer that is not recorded`)
    }
    const committed = executions.filter(({ status }) => status === "committed").length
    return { committed, rejected: executions.length - committed, wrong }
  })
