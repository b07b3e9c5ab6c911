/** The statements that remove executions. Names that callers have given stay, with the outcome. */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import { isKey, type Statement, type TableNames, whole } from "./SqlStatements.ts"

/** The result of a purge: the number of removed executions, and the time at which the last of them was settled. */
export interface Purged {
  readonly count: number
  /** Null where nothing was removed. In milliseconds since the epoch. */
  readonly until: bigint | number | null
  /** When the first of those was settled that stay. Null: none is settled. Absent: it was not looked for. */
  readonly next?: bigint | number | null
}

export interface RetentionStatements {
  /** Removes an execution, also one that is not settled. Fails with a unique violation where it is written meanwhile. */
  readonly remove: (uuid: string) => Statement<void>
  /**
   * Removes up to `limit` executions that were settled before a time, those first that were settled first, and none that was
   * settled before `from`.
   */
  readonly purge: (before: number, from: number, limit: number) => Statement<Purged>
}

// ---- Postgres --------------------------------------------------------------------------------------------------

export const removing = (sql: SqlClient.SqlClient, { event, execution, name }: TableNames): RetentionStatements => ({
  remove: (uuid) =>
    // A late writer meets a fence at its next revision, so a removed execution does not come back. The fence is
    // written first, as writers insert the event before they touch the summary.
    Effect.asVoid(sql`with fenced as (
              insert into ${event} (uuid, revision, write_id, facts)
              select ${uuid}::uuid, max(e.revision) + 1, 'removed', '[]' from ${event} e where e.uuid = ${uuid}::uuid
                and exists (select from ${execution} h where h.uuid = ${uuid}::uuid and not h.settled)
              having count(*) > 0
              returning uuid
            ), gone as (
              delete from ${execution} where uuid = ${uuid}::uuid and (select count(*) from fenced) >= 0
              returning uuid, settled, commit_state
            ), named as (
              update ${name} n set outcome = case when not g.settled then 'deleted'
                when g.commit_state = 'committed' then 'committed' else 'rejected' end
              from gone g where n.uuid = ${uuid}::uuid
            )
            delete from ${event} e using gone g where e.uuid = ${uuid}::uuid`),
  purge: (before, from, limit) =>
    Effect.map(
      sql<Purged>`with over as (
              select uuid, settled_at as at from ${execution}
              where settled_at is not null and settled_at < ${whole(before)} and settled_at >= ${whole(from)} and settled
              order by settled_at limit ${limit} for update skip locked
            ), former as (
              select uuid, null::bigint as at from ${execution}
              where settled and settled_at is null and created_at < ${whole(before)} and updated_at < ${whole(before)}
              order by created_at limit ${limit} for update skip locked
            ), both_kinds as materialized (
              select * from over union all select * from former
            ), gone as (
              delete from ${execution} h using both_kinds o
              where ${isKey(sql, sql`h.uuid`, sql`o.uuid`)}
              returning h.uuid, h.commit_state, o.at
            ), named as (
              update ${name} n set outcome = case when g.commit_state = 'committed' then 'committed' else 'rejected' end
              from gone g where ${isKey(sql, sql`n.uuid`, sql`g.uuid`)}
            ), forgotten as (
              delete from ${event} e using gone g where ${isKey(sql, sql`e.uuid`, sql`g.uuid`)}
            )
            select count(*)::int as count, max(at) as until, (
              select settled_at from ${execution} where settled_at is not null and settled_at >= ${whole(before)}
              order by settled_at limit 1
            ) as next from gone`,
      ([row]) => row ?? { count: 0, until: null }
    )
})
