/**
 * Every statement that the repository makes, and no decision: another database is one more implementation of this service.
 * This one is for Postgres.
 */
import { Context, Effect, type Layer } from "effect"
import type { SqlClient } from "effect/sql"
import type { Fragment } from "effect/sql/Statement"
import type * as ExecutionSummary from "../../ports/ExecutionSummary.ts"
import { layer, type Statement, uuidsOf, whole } from "./SqlStatements.ts"
import type { Tables } from "./SqlTables.ts"

/** A row of `saga_event`: all facts of one write, as JSON text. */
export interface EventRow {
  readonly uuid: string
  readonly revision: number
  readonly writeId: string
  readonly facts: string
}

/** A row of `saga_execution`, where a write changes what people and recovery look for. */
export interface HeadRow {
  readonly head: ExecutionSummary.ExecutionSummary
  readonly claimable: boolean
  readonly owner: string | null
  /** 0: somebody is at work on it; null: it waits for nothing. */
  readonly wakeAt: number | null
  /** Somebody may wait for this write in another process. */
  readonly tells: boolean
}

/** A name that a caller has given: it is used for one execution, for ever (SPEC C9). */
export interface NameRow {
  readonly name: string
  readonly uuid: string
  readonly startKey: string | null
  readonly saga: string
  readonly contextHash: string
}

export interface Writes {
  readonly events: ReadonlyArray<EventRow>
  readonly heads: ReadonlyArray<HeadRow>
  readonly names: ReadonlyArray<NameRow>
}

export interface StoredHead {
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

export interface StoredName extends NameRow {
  readonly outcome: string | null
}

export class SagaExecutionStatements extends Context.Service<
  SagaExecutionStatements,
  {
    /** Writes all rows, or none and fails with a unique violation. For executions without names of their own. */
    readonly write: (writes: Omit<Writes, "names">) => Statement<void>
    /** Writes each row whose place and whose names are free, and gives the uuids of those. */
    readonly writeFree: (writes: Writes) => Statement<ReadonlySet<string>>
    /** The write ids that stand where the given rows wanted to be. */
    readonly writeIds: (
      rows: ReadonlyArray<{ readonly uuid: string; readonly revision: number }>
    ) => Statement<ReadonlyArray<{ readonly uuid: string; readonly writeId: string }>>
    readonly names: (names: ReadonlyArray<string>) => Statement<ReadonlyArray<StoredName>>
    /** In the order of their revisions. */
    readonly events: (uuids: ReadonlyArray<string>) => Statement<ReadonlyArray<Omit<EventRow, "writeId">>>
    readonly find: (
      filter: ExecutionSummary.Filter,
      from: ExecutionSummary.Position | undefined,
      limit: number
    ) => Statement<ReadonlyArray<StoredHead>>
    /** Extends the lease by the database's clock; whether it was over. */
    readonly renew: (owner: string, leaseMillis: number) => Statement<boolean>
    readonly claim: (
      owner: string,
      limit: number,
      dueBy: number,
      fingerprints: ReadonlyArray<string> | undefined,
      holds: ReadonlyArray<string> | undefined
    ) => Statement<ReadonlyArray<string>>
    /** Gives it to the owner unless somebody else who lives is at work on it; who has it, if it is there. */
    readonly take: (uuid: string, owner: string, wakeAt: number) => Statement<string | undefined>
    /** Those of the executions that another owner has. */
    readonly lost: (owner: string, holds: ReadonlyArray<string>) => Statement<ReadonlyArray<string>>
    readonly release: (owner: string) => Statement<void>
    readonly census: Statement<
      ReadonlyArray<{ readonly saga: string; readonly fingerprint: string; readonly count: number }>
    >
    /** Removes executions, and leaves what their names came to. */
    readonly remove: (uuids: ReadonlyArray<string>) => Statement<void>
    /** Settled executions whose last write is older. */
    readonly over: (before: number, limit: number) => Statement<ReadonlyArray<string>>
    /** Removes instances that nobody has heard of for long. */
    readonly forget: Statement<void>
  }
>()("effect-saga/sql/SagaExecutionStatements") {}

export const layerPostgres = (
  tables: Tables,
  channel: string
): Layer.Layer<SagaExecutionStatements, never, SqlClient.SqlClient> =>
  layer(SagaExecutionStatements, (sql) => {
    const execution = sql(tables.of("saga_execution"))
    const event = sql(tables.of("saga_event"))
    const name = sql(tables.of("saga_name"))
    const instance = sql(tables.of("saga_instance"))
    const hasListeners = sql`(select count(*) > 1 from ${instance} where lease_until > now())`
    // A removed execution gets no head again. The offset keeps the planner from hashing the whole table instead.
    const isThere = sql`(h.revision = 1 or exists (select from ${execution} x where x.uuid = h.uuid offset 0))`
    // Heads are written by inserts only: the plan of a join, made while the table is empty, would scan it for ever.
    const changing = sql`on conflict (uuid) do update set status = excluded.status, direction = excluded.direction,
        decision = excluded.decision, commit_state = excluded.commit_state, parked = excluded.parked,
        failure_tag = excluded.failure_tag, failure_path = excluded.failure_path, revision = excluded.revision,
        settled = excluded.settled, claimable = excluded.claimable, owner = excluded.owner,
        wake_at = excluded.wake_at, updated_at = excluded.updated_at`

    return SagaExecutionStatements.of({
      write: ({ events, heads }) => {
        const inserted = sql`insert into ${event} (uuid, revision, write_id, facts) select * from ${eventsOf(events)}`
        if (heads.length === 0) return Effect.asVoid(inserted)
        const changed = sql`changed as (insert into ${execution} select * from ${headsOf(heads)} where ${isThere} ${changing})`
        const told = toldOf(heads)
        return Effect.asVoid(
          told.length === 0
            ? sql`with ${changed} ${inserted}`
            : sql`with ${changed}, written as (${inserted})
                  select pg_notify(${channel}, uuid) from unnest(${told}::text[]) as uuid where ${hasListeners}`
        )
      },
      writeFree: ({ events, heads, names }) =>
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
                insert into ${execution} select * from ${headsOf(heads)}
                where (uuid in (select uuid from written)) is true and ${isThere} ${changing}
              )
              select uuid, case when uuid::text = any(${toldOf(heads)}::text[]) and ${hasListeners}
                then pg_notify(${channel}, uuid::text) end from written`,
          (stored) => new Set(stored.map(({ uuid }) => uuid))
        ),
      writeIds: (places) => sql`select e.uuid, e.write_id as "writeId" from ${event} e
          join unnest(${places.map(({ uuid }) => uuid)}::uuid[], ${places.map(({ revision }) => revision)}::int[])
            as i (uuid, revision) on e.uuid = i.uuid and e.revision = i.revision`,
      names: (names) => sql`select name, uuid, start_key as "startKey", saga, context_hash as "contextHash", outcome
          from ${name} where name = any(${names}::text[])`,
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
        if (from !== undefined)
          conditions.push(sql`(created_at, uuid) < (${whole(from.createdAt)}, ${from.uuid}::uuid)`)
        return sql`select * from ${execution} ${conditions.length === 0 ? sql`` : sql`where ${sql.and(conditions)}`}
            order by created_at desc, uuid desc limit ${limit}`
      },
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
      claim: (owner, limit, dueBy, fingerprints, holds) =>
        Effect.map(
          sql<{ readonly uuid: string }>`with due as (
                select h.uuid from ${execution} h
                where h.claimable and h.wake_at <= ${whole(dueBy)}
                  ${holds === undefined ? sql`and h.owner is distinct from ${owner}` : sql`and h.uuid <> all(${holds}::uuid[])`}
                  ${fingerprints === undefined ? sql`` : sql`and h.fingerprint = any(${fingerprints}::text[])`}
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
      take: (uuid, owner, wakeAt) =>
        Effect.map(
          // Locked before it is looked at: of two that come at once the second sees whom the first has made the owner.
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
      census: sql`select saga, fingerprint, count(*)::int as count from ${execution}
          where not settled group by saga, fingerprint`,
      remove: (uuids) =>
        // A writer that is late meets a fence where it would go on: what is removed does not come back. The fence
        // comes first, as writers take the place of an event before they touch the head.
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
              where settled and updated_at < ${whole(before)} order by updated_at limit ${limit}`),
      forget: Effect.asVoid(sql`delete from ${instance} where lease_until < clock_timestamp() - interval '1 day'`)
    })

    function eventsOf(rows: ReadonlyArray<EventRow>) {
      const column = <K extends keyof EventRow>(key: K) => rows.map((row) => row[key])
      return sql`unnest(${column("uuid")}::uuid[], ${column("revision")}::int[], ${column("writeId")}::text[],
          ${column("facts")}::text[]) as e (uuid, revision, write_id, facts)`
    }

    function headsOf(rows: ReadonlyArray<HeadRow>) {
      return sql`json_populate_recordset(null::${execution}, ${JSON.stringify(rows.map(columnsOf))}::json) as h`
    }
  })

const toldOf = (heads: ReadonlyArray<HeadRow>) => heads.flatMap(({ head, tells }) => (tells ? [head.uuid] : []))

/** What is not there is null. */
const columnsOf = ({ claimable, head, owner, wakeAt }: HeadRow) => ({
  uuid: head.uuid,
  start_key: head.startKey,
  saga: head.saga,
  fingerprint: head.fingerprint,
  status: head.status,
  direction: head.direction,
  decision: head.decision,
  commit_state: head.commitState,
  user_name: head.user,
  parked: head.parked,
  failure_tag: head.failure?.tag,
  failure_path: head.failure?.path,
  revision: head.revision,
  settled: head.settled,
  claimable,
  owner,
  wake_at: wakeAt,
  created_at: head.createdAt,
  updated_at: head.updatedAt
})
