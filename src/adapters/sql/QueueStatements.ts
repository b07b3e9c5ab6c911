/**
 * The statements of queues: the limits of each, what waits in it, and the admission. One statement admits from one queue, under the
 * lock of its row and by the clock of the database. It counts the rows of places, so nothing has to be kept in step with them; only
 * an admission makes their number rise. Another admission that came between the look of the statement and its lock has changed
 * `turn`: then nobody is admitted, and it is tried again.
 */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import type { Fragment } from "effect/sql/Statement"
import { maxCounted, type QueueLimits, type QueueStatus, type WantedAgain } from "../../ports/SagaQueues.ts"
import { type AdmitQuery, type Admitted, admissionOf } from "./QueueAdmissionStatement.ts"
import { type Regained, regainOf } from "./QueueRegainStatement.ts"
import { limitsFrom, rowOfLimits, type StoredLimits, type StoredQueue, statusFrom } from "./QueueRows.ts"
import type { Statement, TableNames } from "./SqlStatements.ts"

/** A queue in which a place is wanted. */
export interface WantedQueue {
  readonly name: string
  /** A place is free and, if there is a rate, a token or somebody who needs none. */
  readonly free: boolean
  /** Milliseconds until there is a token; null: no rate holds anything up. */
  readonly until: number | null
}

export interface QueueStatements {
  /** Makes the queue, or changes its limits where other ones were declared before. Gives the limits that hold. */
  readonly declareQueue: (queue: string, limits: QueueLimits) => Statement<QueueLimits>
  readonly limitQueue: (queue: string, limits: QueueLimits) => Statement<boolean>
  readonly queues: Statement<ReadonlyArray<QueueStatus>>
  /** How many more new executions may wait. */
  readonly queueRoom: (queue: string) => Statement<number>
  readonly wantedQueues: Statement<ReadonlyArray<WantedQueue>>
  /**
   * Gives places to executions that wait for one: their rows say so, and each has an input that tells its owner and makes it due
   * (SPEC C16).
   */
  readonly admit: (query: AdmitQuery) => Statement<Admitted>
  /** Gives executions their places again, as `SagaQueues.regain` does. */
  readonly regain: (wanted: ReadonlyArray<WantedAgain>) => Statement<Regained>
}

// ---- Postgres --------------------------------------------------------------------------------------------------

export const queueing = (sql: SqlClient.SqlClient, tables: TableNames): QueueStatements => {
  const { queue: table, queued } = tables
  // Places are texts, not parameters, as each index is of some of them. In the order of the index: the planner reads the table where
  // most rows fit, and `exists` has no order.
  const line = { new: sql`w.place = 'new' order by w.kind`, again: sql`w.place = 'again' order by w.kind` }
  const held = sql`w.place = 'held' order by w.key`
  const rows = (of: Fragment) =>
    sql`(select count(*)::int from (select from ${queued} w where w.queue = q.name and ${of} limit ${sql.literal(String(maxCounted))}) x)`
  const isAny = (of: Fragment) =>
    sql`(select true from ${queued} w where w.queue = q.name and ${of} limit 1) is not null`
  const columns = (limits: QueueLimits) => {
    const { concurrency, key_concurrency, key_rate, key_rate_per, max_queued, rate, rate_per } = rowOfLimits(limits)
    return {
      names: sql`concurrency, max_queued, rate, rate_per, key_concurrency, key_rate, key_rate_per`,
      values: sql`${concurrency}::int, ${max_queued}::int, ${rate}::int, ${rate_per}::bigint, ${key_concurrency}::int,
            ${key_rate}::int, ${key_rate_per}::bigint`
    }
  }
  const tokens = sql`least(q.rate, coalesce(q.tokens + greatest(extract(epoch from clock_timestamp()) * 1000 - q.tokens_at, 0)
          * q.rate / greatest(q.rate_per, 1), q.rate))`
  return {
    declareQueue: (name, limits) => {
      const { names, values } = columns(limits)
      const declared = JSON.stringify(limits)
      return Effect.map(
        sql<StoredLimits>`with made as (
              insert into ${table} as q (name, declared, ${names}) values (${name}, ${declared}, ${values})
              on conflict (name) do update set declared = excluded.declared, (${names}) = row (${values})
              where q.declared <> excluded.declared
              returning ${names}
            )
            select ${names} from made union all select ${names} from ${table} where name = ${name} limit 1`,
        ([row]) => (row === undefined ? limits : limitsFrom(row))
      )
    },
    limitQueue: (name, limits) => {
      const { names, values } = columns(limits)
      return Effect.map(
        sql`update ${table} set (${names}) = row (${values}) where name = ${name} returning name`,
        (found) => found.length > 0
      )
    },
    queues: Effect.map(
      sql<StoredQueue>`select q.name, q.declared, q.concurrency, q.max_queued, q.rate, q.rate_per, q.key_concurrency,
            q.key_rate, q.key_rate_per, ${rows(line.new)} as queued, ${rows(line.again)} as again, ${rows(held)} as held
          from ${table} q order by q.name`,
      (found) => found.map(statusFrom)
    ),
    queueRoom: (name) =>
      Effect.map(
        sql<{ readonly room: number }>`select greatest(q.max_queued - (
              select count(*)::int from (
                select from ${queued} w where w.queue = q.name and ${line.new} limit greatest(q.max_queued, 0)
              ) x
            ), 0)::int as room from ${table} q where q.name = ${name}`,
        ([row]) => row?.room ?? 0
      ),
    // Each process asks this with each claim: a queue that is full, or whose rate has no token, costs no more than that.
    wantedQueues: sql<WantedQueue>`select q.name, q.is_free and (q.again or q.rate is null or q.tokens >= 1) as free,
          case when q.is_free and q.new and q.rate > 0 and q.tokens < 1 then (1 - q.tokens) * q.rate_per / q.rate
            when q.is_free and q.new and q.key_rate > 0 then q.key_rate_per::float8 / q.key_rate end as until
        from (
          select q.name, q.rate, greatest(q.rate_per, 1) as rate_per, q.key_rate, greatest(q.key_rate_per, 1) as key_rate_per,
            ${tokens} as tokens, ${isAny(line.new)} as new, ${isAny(line.again)} as again, (
              select count(*) from (
                select from ${queued} w where w.queue = q.name and ${held} limit greatest(q.concurrency, 0)
              ) x
            ) < q.concurrency as is_free
          from ${table} q
        ) q where q.new or q.again order by q.name`,
    admit: admissionOf(sql, tables),
    regain: regainOf(sql, tables)
  }
}
