/**
 * Every statement of the repository on SQL, without any decision: the repository decides what to write, and these run it.
 * A program replaces one statement, or all of them for another database, by the option `statements` of
 * `SqlSagaExecutionRepository.layer`.
 */
import { Context } from "effect"
import type { SqlClient } from "effect/sql"
import { type ListStatements, listing } from "./ListStatements.ts"
import { type OwnershipStatements, owning } from "./OwnershipStatements.ts"
import { type QueueStatements, queueing } from "./QueueStatements.ts"
import { type RetentionStatements, removing } from "./RetentionStatements.ts"
import { type ScheduleStatements, scheduling } from "./ScheduleStatements.ts"
import { keyRows, type Statement, type TableNames, uuidsOf } from "./SqlStatements.ts"
import type { Tables } from "./SqlTables.ts"
import { type WriteStatements, writing } from "./WriteStatements.ts"

export type { StoredSummary } from "./ListStatements.ts"
export type { ClaimedRow, ClaimQuery, InboxRow, LostRow, Submitted } from "./OwnershipStatements.ts"
export type { Purged } from "./RetentionStatements.ts"
export type { Statement } from "./SqlStatements.ts"
export type { SummaryRow } from "./SummaryRow.ts"
export type { EventRow, InboxEffect, NameRow, StoredName, Writes, Written } from "./WriteStatements.ts"

// ---- the statements --------------------------------------------------------------------------------------------

/** All facts of one write, as JSON text. */
export interface FactsRow {
  readonly uuid: string
  readonly revision: number
  readonly facts: string
  /** The revision in the summary of the execution. Absent: it is not looked at, and lost facts are not noticed by it. */
  readonly head?: number
}

interface ReadStatements {
  /** The facts of executions, in the order of their revisions. */
  readonly events: (uuids: ReadonlyArray<string>) => Statement<ReadonlyArray<FactsRow>>
  /** Those of the executions that have ended or are not there; with `orPaused` also those that wait. */
  readonly ended: (uuids: ReadonlyArray<string>, orPaused: boolean) => Statement<ReadonlyArray<string>>
}

/** The statements that the repository uses. `SqlSagaExecutionRepository.layer` provides those for Postgres. */
export class SagaExecutionStatements extends Context.Service<
  SagaExecutionStatements,
  WriteStatements &
    OwnershipStatements &
    ReadStatements &
    ListStatements &
    RetentionStatements &
    ScheduleStatements &
    QueueStatements
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
    inbox: sql(tables.of("saga_inbox")),
    schedule: sql(tables.of("saga_schedule")),
    attribute: sql(tables.of("saga_attribute")),
    queue: sql(tables.of("saga_queue")),
    queueKey: sql(tables.of("saga_queue_key")),
    queued: sql(tables.of("saga_queued"))
  }
  return {
    ...writing(sql, names, tables.space),
    ...reading(sql, names),
    ...listing(sql, names),
    ...owning(sql, names, tables.space),
    ...removing(sql, names),
    ...scheduling(sql, names),
    ...queueing(sql, names)
  }
}

// ---- Postgres --------------------------------------------------------------------------------------------------

const underWay: ReadonlyArray<string> = ["created", "running"]

const reading = (sql: SqlClient.SqlClient, { event, execution }: TableNames): ReadStatements => ({
  // Joins that the planner has no choice about: it would scan tables of which it knows nothing yet.
  events: (uuids) => sql`select e.uuid, e.revision, e.facts, h.head from ${keyRows(sql, uuids, "uuid")} as k (uuid)
          cross join lateral (select x.revision as head from ${execution} x where x.uuid = k.uuid limit 1) h
          cross join lateral (select * from ${event} x where x.uuid = k.uuid offset 0) e
          order by e.uuid, e.revision`,
  ended: (uuids, orPaused) =>
    // The offset keeps the planner from hashing the whole table.
    uuidsOf(sql<{ readonly uuid: string }>`select u.uuid from unnest(${uuids}::uuid[]) as u (uuid)
          where not exists (select from ${execution} h where h.uuid = u.uuid
            and not (h.parked and h.direction = 'forward')
            and h.status = any(${orPaused ? underWay : [...underWay, "paused"]}::text[]) offset 0)`)
})
