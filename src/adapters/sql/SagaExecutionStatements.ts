/**
 * Every statement of the repository on SQL, without any decision: the repository decides what to write, and these run it.
 * A program replaces one statement, or all of them for another database, by the option `statements` of
 * `SqlSagaExecutionRepository.layer`.
 */
import { Context, Effect } from "effect"
import type { SqlClient } from "effect/sql"
import type { Fragment } from "effect/sql/Statement"
import type * as ExecutionSummary from "../../ports/ExecutionSummary.ts"
import { type Statement, uuidsOf, whole } from "./SqlStatements.ts"
import type { Tables } from "./SqlTables.ts"

export type { Statement } from "./SqlStatements.ts"

// ---- rows ------------------------------------------------------------------------------------------------------

/** A row of `saga_event`: all facts of one write, as JSON text. */
export interface EventRow {
  readonly uuid: string
  readonly revision: number
  /** Tells the write of one attempt from the same write of another process. */
  readonly writeId: string
  readonly facts: string
}

/** A row of `saga_execution`: what people and recovery search by. Written only where a write changes it. */
export interface SummaryRow {
  readonly summary: ExecutionSummary.ExecutionSummary
  /** An instance has something to do for the execution, now or at `wakeAt`. */
  readonly claimable: boolean
  readonly owner: string | null
  /** 0: the owner works on it now; null: it waits for no time. In milliseconds since the epoch. */
  readonly wakeAt: number | null
  /** A caller in another process may wait for this write, so that the write is announced on the channel. */
  readonly announced: boolean
}

/** A row of `saga_name`: a uuid or `startKey` that a caller has given. It names one execution, for ever (SPEC C9). */
export interface NameRow {
  readonly name: string
  readonly uuid: string
  readonly startKey: string | null
  readonly saga: string
  readonly contextHash: string
}

/** The rows of one or more writes. */
export interface Writes {
  readonly events: ReadonlyArray<EventRow>
  readonly summaries: ReadonlyArray<SummaryRow>
  readonly names: ReadonlyArray<NameRow>
}

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

/** A name as the database gives it. `outcome` is null while its execution is kept. */
export interface StoredName extends NameRow {
  readonly outcome: string | null
}

// ---- the statements --------------------------------------------------------------------------------------------

/** The statements that the repository uses. `SqlSagaExecutionRepository.layer` provides those for Postgres. */
export class SagaExecutionStatements extends Context.Service<
  SagaExecutionStatements,
  {
    /** Writes all rows, or fails with a unique violation and writes none. For executions without names. */
    readonly write: (writes: Omit<Writes, "names">) => Statement<void>
    /** Writes the rows of each execution whose revision and names are free. Gives the uuids of those executions. */
    readonly writeFree: (writes: Writes) => Statement<ReadonlySet<string>>
    /** The write ids that the database has at the given revisions. */
    readonly writeIds: (
      rows: ReadonlyArray<{ readonly uuid: string; readonly revision: number }>
    ) => Statement<ReadonlyArray<{ readonly uuid: string; readonly writeId: string }>>
    /** The names that are in use or used up. */
    readonly names: (names: ReadonlyArray<string>) => Statement<ReadonlyArray<StoredName>>
    /** The facts of executions, in the order of their revisions. */
    readonly events: (uuids: ReadonlyArray<string>) => Statement<ReadonlyArray<Omit<EventRow, "writeId">>>
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
    /** Renews the lease of an owner by the clock of the database. Tells whether the lease was over. */
    readonly renew: (owner: string, leaseMillis: number) => Statement<boolean>
    /**
     * Gives the owner up to `limit` executions that are due at `dueBy` and that no other living owner has. With `holds`,
     * executions that the owner already has are given again, except those listed. `except` names executions that are not
     * given. Gives the uuids.
     */
    readonly claim: (
      owner: string,
      limit: number,
      dueBy: number,
      fingerprints: ReadonlyArray<string> | undefined,
      holds: ReadonlyArray<string> | undefined,
      except: ReadonlyArray<string>
    ) => Statement<ReadonlyArray<string>>
    /** Takes the owner off executions, so that another owner may claim them at once. */
    readonly disown: (owner: string, uuids: ReadonlyArray<string>) => Statement<void>
    /**
     * Gives the execution to the owner, unless another living owner works on it. Gives the owner it has then; undefined
     * where there is no such execution.
     */
    readonly take: (uuid: string, owner: string, wakeAt: number) => Statement<string | undefined>
    /** The executions of `holds` that another owner has. */
    readonly lost: (owner: string, holds: ReadonlyArray<string>) => Statement<ReadonlyArray<string>>
    /** Ends the lease of an owner. */
    readonly release: (owner: string) => Statement<void>
    /** Removes owners whose lease was over a day ago. */
    readonly forget: Statement<void>
    /** Removes executions. Their names stay, with the outcome. */
    readonly remove: (uuids: ReadonlyArray<string>) => Statement<void>
    /** Up to `limit` settled executions whose last write was before a time, oldest first. */
    readonly over: (before: number, limit: number) => Statement<ReadonlyArray<string>>
  }
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
    instance: sql(tables.of("saga_instance"))
  }
  return {
    ...writing(sql, names, tables.space),
    ...reading(sql, names),
    ...owning(sql, names),
    ...removing(sql, names)
  }
}

type TableName = ReturnType<SqlClient.SqlClient>

interface TableNames {
  readonly execution: TableName
  readonly event: TableName
  readonly name: TableName
  readonly instance: TableName
}

// ---- Postgres --------------------------------------------------------------------------------------------------

const writing = (
  sql: SqlClient.SqlClient,
  { event, execution, instance, name }: TableNames,
  channel: string
): Pick<Statements, "write" | "writeFree" | "writeIds" | "names"> => {
  const hasListeners = sql`(select count(*) > 1 from ${instance} where lease_until > now())`
  // A removed execution gets no summary again. The offset keeps the planner from hashing the whole table instead.
  const isThere = sql`(h.revision = 1 or exists (select from ${execution} x where x.uuid = h.uuid offset 0))`
  // Summaries are written by inserts only: the plan of a join, made while the table is empty, would scan it for ever.
  const changing = sql`on conflict (uuid) do update set status = excluded.status, direction = excluded.direction,
        decision = excluded.decision, commit_state = excluded.commit_state, parked = excluded.parked,
        failure_tag = excluded.failure_tag, failure_path = excluded.failure_path, revision = excluded.revision,
        settled = excluded.settled, claimable = excluded.claimable, owner = excluded.owner,
        wake_at = excluded.wake_at, updated_at = excluded.updated_at`

  const eventsOf = (rows: ReadonlyArray<EventRow>) => {
    const column = <K extends keyof EventRow>(key: K) => rows.map((row) => row[key])
    return sql`unnest(${column("uuid")}::uuid[], ${column("revision")}::int[], ${column("writeId")}::text[],
      ${column("facts")}::text[]) as e (uuid, revision, write_id, facts)`
  }
  const summariesOf = (rows: ReadonlyArray<SummaryRow>) =>
    sql`json_populate_recordset(null::${execution}, ${JSON.stringify(rows.map(columnsOf))}::json) as h`

  return {
    write: ({ events, summaries }) => {
      const inserted = sql`insert into ${event} (uuid, revision, write_id, facts) select * from ${eventsOf(events)}`
      if (summaries.length === 0) return Effect.asVoid(inserted)
      const changed = sql`changed as (insert into ${execution} select * from ${summariesOf(summaries)} where ${isThere} ${changing})`
      const announced = announcedOf(summaries)
      return Effect.asVoid(
        announced.length === 0
          ? sql`with ${changed} ${inserted}`
          : sql`with ${changed}, written as (${inserted})
                  select pg_notify(${channel}, uuid) from unnest(${announced}::text[]) as uuid where ${hasListeners}`
      )
    },
    writeFree: ({ events, summaries, names }) =>
      Effect.map(
        sql<{ readonly uuid: string }>`with given as (
                select * from json_to_recordset(${JSON.stringify(names)}::json)
                  as g (name text, uuid uuid, "startKey" text, saga text, "contextHash" text)
              ), named as (
                insert into ${name} (name, uuid, start_key, saga, context_hash)
                select name, uuid, "startKey", saga, "contextHash" from given
                where uuid not in (select g.uuid from given g join ${name} using (name))
                on conflict do nothing returning name
              ), unnamed as (
                select uuid from given where name not in (select name from named)
              ), written as (
                insert into ${event} (uuid, revision, write_id, facts) select * from ${eventsOf(events)}
                where uuid not in (select uuid from unnamed)
                on conflict do nothing returning uuid
              ), changed as (
                insert into ${execution} select * from ${summariesOf(summaries)}
                where (uuid in (select uuid from written)) is true and ${isThere} ${changing}
              )
              select uuid, case when uuid::text = any(${announcedOf(summaries)}::text[]) and ${hasListeners}
                then pg_notify(${channel}, uuid::text) end from written`,
        (stored) => new Set(stored.map(({ uuid }) => uuid))
      ),
    writeIds: (places) => sql`select e.uuid, e.write_id as "writeId" from ${event} e
          join unnest(${places.map(({ uuid }) => uuid)}::uuid[], ${places.map(({ revision }) => revision)}::int[])
            as i (uuid, revision) on e.uuid = i.uuid and e.revision = i.revision`,
    names: (names) => sql`select name, uuid, start_key as "startKey", saga, context_hash as "contextHash", outcome
          from ${name} where name = any(${names}::text[])`
  }
}

const reading = (
  sql: SqlClient.SqlClient,
  { event, execution }: TableNames
): Pick<Statements, "events" | "find" | "census"> => ({
  events: (uuids) => sql`select e.uuid, e.revision, e.facts from ${event} e
          where e.uuid = any(${uuids}::uuid[]) and exists (select from ${execution} h where h.uuid = e.uuid)
          order by e.uuid, e.revision`,
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

const owning = (
  sql: SqlClient.SqlClient,
  { execution, instance }: TableNames
): Pick<Statements, "renew" | "claim" | "disown" | "take" | "lost" | "release" | "forget"> => ({
  renew: (owner, leaseMillis) =>
    Effect.map(
      sql<{ readonly lapsed: boolean }>`with before as (
                select lease_until <= clock_timestamp() as lapsed from ${instance} where id = ${owner}
              ), renewed as (
                insert into ${instance} as i (id, epoch, lease_until)
                values (${owner}, 1, clock_timestamp() + ${leaseMillis}::float8 * interval '1 millisecond')
                on conflict (id) do update set lease_until = excluded.lease_until,
                  epoch = i.epoch + (i.lease_until <= clock_timestamp())::int
              )
              select coalesce((select lapsed from before), false) as lapsed`,
      ([row]) => row?.lapsed === true
    ),
  claim: (owner, limit, dueBy, fingerprints, holds, except) =>
    Effect.map(
      sql<{ readonly uuid: string }>`with due as (
                select h.uuid from ${execution} h
                where h.claimable and h.wake_at <= ${whole(dueBy)}
                  ${holds === undefined ? sql`and h.owner is distinct from ${owner}` : sql`and h.uuid <> all(${holds}::uuid[])`}
                  ${fingerprints === undefined ? sql`` : sql`and h.fingerprint = any(${fingerprints}::text[])`}
                  ${except.length === 0 ? sql`` : sql`and h.uuid <> all(${except}::uuid[])`}
                  and not exists (
                    select from ${instance} i
                    where i.id = h.owner and i.id <> ${owner} and i.lease_until > clock_timestamp()
                  )
                order by h.wake_at limit ${limit} for update of h skip locked
              )
              update ${execution} h set owner = ${owner}, wake_at = 0 from due where h.uuid = due.uuid
              returning h.uuid`,
      (rows) => rows.map(({ uuid }) => uuid)
    ),
  disown: (owner, uuids) =>
    Effect.asVoid(sql`update ${execution} set owner = null where uuid = any(${uuids}::uuid[]) and owner = ${owner}`),
  take: (uuid, owner, wakeAt) =>
    Effect.map(
      // The row is locked before it is read: of two that come at once the second sees the owner that the first has made.
      sql<{ readonly owner: string }>`with seen as (
                select uuid, owner, wake_at from ${execution} where uuid = ${uuid}::uuid for update
              ), taken as (
                update ${execution} h set owner = ${owner}, wake_at = ${whole(wakeAt)} from seen
                where h.uuid = seen.uuid and not (seen.wake_at is not distinct from 0 and exists (
                  select from ${instance} i
                  where i.id = seen.owner and i.id <> ${owner} and i.lease_until > clock_timestamp()
                ))
                returning h.owner
              )
              select coalesce(taken.owner, seen.owner) as owner from seen left join taken on true`,
      ([row]) => row?.owner
    ),
  lost: (owner, holds) =>
    uuidsOf(sql<{ readonly uuid: string }>`select uuid from ${execution}
              where uuid = any(${holds}::uuid[]) and owner <> ${owner}`),
  release: (owner) => Effect.asVoid(sql`delete from ${instance} where id = ${owner}`),
  forget: Effect.asVoid(sql`delete from ${instance} where lease_until < clock_timestamp() - interval '1 day'`)
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
    uuidsOf(sql<{ readonly uuid: string }>`select uuid from ${execution}
              where settled and updated_at < ${whole(before)} order by updated_at limit ${limit}`)
})

const announcedOf = (summaries: ReadonlyArray<SummaryRow>) =>
  summaries.flatMap(({ announced, summary }) => (announced ? [summary.uuid] : []))

/** JSON leaves out what is undefined, and the column is null then. */
const columnsOf = ({ claimable, owner, summary, wakeAt }: SummaryRow) => ({
  uuid: summary.uuid,
  start_key: summary.startKey,
  saga: summary.saga,
  fingerprint: summary.fingerprint,
  status: summary.status,
  direction: summary.direction,
  decision: summary.decision,
  commit_state: summary.commitState,
  user_name: summary.user,
  parked: summary.parked,
  failure_tag: summary.failure?.tag,
  failure_path: summary.failure?.path,
  revision: summary.revision,
  settled: summary.settled,
  claimable,
  owner,
  wake_at: wakeAt,
  created_at: summary.createdAt,
  updated_at: summary.updatedAt
})
