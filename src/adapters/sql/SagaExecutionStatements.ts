/**
 * Every statement of the repository on SQL, without any decision: the repository decides what to write, and these run it.
 * A program replaces one statement, or all of them for another database, by the option `statements` of
 * `SqlSagaExecutionRepository.layer`.
 */
import { Context, Effect } from "effect"
import type { SqlClient } from "effect/sql"
import type { Fragment } from "effect/sql/Statement"
import type * as ExecutionSummary from "../../ports/ExecutionSummary.ts"
import { type OwnershipStatements, owning } from "./OwnershipStatements.ts"
import { type Statement, type TableNames, uuidsOf, whole } from "./SqlStatements.ts"
import type { Tables } from "./SqlTables.ts"
import { type EventRow, type WriteStatements, writing } from "./WriteStatements.ts"

export type { ClaimedRow, ClaimQuery, InboxRow, Submitted } from "./OwnershipStatements.ts"
export type { Statement } from "./SqlStatements.ts"
export type { EventRow, InboxEffect, NameRow, StoredName, SummaryRow, Writes, Written } from "./WriteStatements.ts"

// ---- rows ------------------------------------------------------------------------------------------------------

/** A summary as the database gives it. Times are in milliseconds since the epoch. */
export interface StoredSummary {
  readonly uuid: string
  readonly start_key: string | null
  readonly saga: string
  readonly fingerprint: string
  readonly status: string
  readonly direction: string
  readonly decision: string | null
  readonly commit_state: string
  readonly user_name: string | null
  readonly parked: boolean
  readonly failure_tag: string | null
  readonly failure_path: string | null
  readonly revision: number
  readonly settled: boolean
  readonly wake_at: bigint | null
  readonly created_at: bigint
  readonly updated_at: bigint
}

// ---- the statements --------------------------------------------------------------------------------------------

interface ReadStatements {
  /** The facts of executions, in the order of their revisions. */
  readonly events: (uuids: ReadonlyArray<string>) => Statement<ReadonlyArray<Omit<EventRow, "writeId">>>
  /** Those of the executions that have ended or are not there; with `orPaused` also those that wait. */
  readonly ended: (uuids: ReadonlyArray<string>, orPaused: boolean) => Statement<ReadonlyArray<string>>
  /** Up to `limit` summaries that match the filter and come after `from`, newest first. */
  readonly find: (
    filter: ExecutionSummary.Filter,
    from: ExecutionSummary.Position | undefined,
    limit: number
  ) => Statement<ReadonlyArray<StoredSummary>>
  /** The number of unsettled executions of each definition. */
  readonly census: Statement<
    ReadonlyArray<{ readonly saga: string; readonly fingerprint: string; readonly count: number }>
  >
  /** Removes executions. Their names stay, with the outcome. */
  readonly remove: (uuids: ReadonlyArray<string>) => Statement<void>
  /** Up to `limit` settled executions whose last write was before a time, oldest first. */
  readonly over: (before: number, limit: number) => Statement<ReadonlyArray<string>>
}

/** The statements that the repository uses. `SqlSagaExecutionRepository.layer` provides those for Postgres. */
export class SagaExecutionStatements extends Context.Service<
  SagaExecutionStatements,
  WriteStatements & OwnershipStatements & ReadStatements
>()("effect-saga/sql/SagaExecutionStatements") {}

type Statements = SagaExecutionStatements["Service"]

/**
 * The statements for Postgres, on these tables. Use it with a changed `tables.of` to run a statement on a view, or with
 * another client to run it on a read replica.
 */
export const postgres = (client: SqlClient.SqlClient, tables: Tables): Statements => {
  // The statements name columns as they are, whatever names the client transforms for others.
  const sql = client.withoutTransforms()
  const names: TableNames = {
    execution: sql(tables.of("saga_execution")),
    event: sql(tables.of("saga_event")),
    name: sql(tables.of("saga_name")),
    instance: sql(tables.of("saga_instance")),
    inbox: sql(tables.of("saga_inbox"))
  }
  return {
    ...writing(sql, names, tables.space),
    ...reading(sql, names),
    ...owning(sql, names, tables.space),
    ...removing(sql, names)
  }
}

// ---- Postgres --------------------------------------------------------------------------------------------------

const underWay: ReadonlyArray<string> = ["created", "running"]

const reading = (
  sql: SqlClient.SqlClient,
  { event, execution }: TableNames
): Pick<Statements, "events" | "ended" | "find" | "census"> => ({
  events: (uuids) => sql`select e.uuid, e.revision, e.facts from ${event} e
          where e.uuid = any(${uuids}::uuid[]) and exists (select from ${execution} h where h.uuid = e.uuid)
          order by e.uuid, e.revision`,
  ended: (uuids, orPaused) =>
    // The offset keeps the planner from hashing the whole table.
    uuidsOf(sql<{ readonly uuid: string }>`select u.uuid from unnest(${uuids}::uuid[]) as u (uuid)
          where not exists (select from ${execution} h where h.uuid = u.uuid
            and h.status = any(${orPaused ? underWay : [...underWay, "paused"]}::text[]) offset 0)`),
  find: (filter, from, limit) => {
    const conditions: Array<Fragment> = []
    if (filter.saga !== undefined) conditions.push(sql`saga = ${filter.saga}`)
    if (filter.status !== undefined) conditions.push(sql`status = ${filter.status}`)
    if (filter.parked !== undefined) conditions.push(filter.parked ? sql`parked` : sql`not parked`)
    if (filter.startKey !== undefined) conditions.push(sql`start_key = ${filter.startKey}`)
    if (filter.user !== undefined) conditions.push(sql`user_name = ${filter.user}`)
    if (filter.settled !== undefined) conditions.push(filter.settled ? sql`settled` : sql`not settled`)
    if (filter.createdBefore !== undefined) conditions.push(sql`created_at < ${whole(filter.createdBefore)}`)
    if (filter.createdAfter !== undefined) conditions.push(sql`created_at > ${whole(filter.createdAfter)}`)
    if (from !== undefined) conditions.push(sql`(created_at, uuid) < (${whole(from.createdAt)}, ${from.uuid}::uuid)`)
    return sql`select * from ${execution} ${conditions.length === 0 ? sql`` : sql`where ${sql.and(conditions)}`}
            order by created_at desc, uuid desc limit ${limit}`
  },
  census: sql`select saga, fingerprint, count(*)::int as count from ${execution}
          where not settled group by saga, fingerprint`
})

const removing = (
  sql: SqlClient.SqlClient,
  { event, execution, name }: TableNames
): Pick<Statements, "remove" | "over"> => ({
  remove: (uuids) =>
    // A late writer meets a fence at its next revision, so a removed execution does not come back. The fence is
    // written first, as writers insert the event before they touch the summary.
    Effect.asVoid(sql`with fenced as (
              insert into ${event} (uuid, revision, write_id, facts)
              select e.uuid, max(e.revision) + 1, 'removed', '[]'
              from ${event} e join ${execution} h on h.uuid = e.uuid
              where h.uuid = any(${uuids}::uuid[]) and not h.settled group by e.uuid
              returning uuid
            ), gone as (
              delete from ${execution} where uuid = any(${uuids}::uuid[]) and (select count(*) from fenced) >= 0
              returning uuid, settled, commit_state
            ), named as (
              update ${name} n set outcome = case when not g.settled then 'deleted'
                when g.commit_state = 'committed' then 'committed' else 'rejected' end
              from gone g where n.uuid = g.uuid
            )
            delete from ${event} e using gone g where e.uuid = g.uuid`),
  over: (before, limit) =>
    // By the time of the start, which has an index: no execution is written before it is started.
    uuidsOf(sql<{ readonly uuid: string }>`select uuid from ${execution}
              where settled and updated_at < ${whole(before)} and created_at < ${whole(before)}
              order by created_at, uuid limit ${limit}`)
})
