/** The statements of what an operator sees: counts and groups, each read from an index and bounded. */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import type { Fragment } from "effect/sql/Statement"
import { maxCounted } from "../../ports/Inspector.ts"
import { maxGroups } from "../../ports/InspectorGroups.ts"
import { maxInDoubt } from "../../ports/MergedGroups.ts"
import { isStorable } from "../../wire/Text.ts"
import {
  byFailure,
  byStatus,
  byWait,
  columnsOf,
  equal,
  type Grouping,
  groups,
  type StoredSummary,
  undoing
} from "./ListStatements.ts"
import { type Statement, type TableNames, whole } from "./SqlStatements.ts"
import type { Tables } from "./SqlTables.ts"

type Sql = SqlClient.SqlClient

interface Counted {
  /** Up to `maxCounted` and one. */
  readonly count: number
  readonly oldest: bigint | number | null
}

export interface CountRow extends Counted {
  readonly saga: string
  readonly status: string
  readonly settled: boolean
}

export interface WaitingRow extends Counted {
  readonly waits_for: string
  readonly saga: string
  readonly step: string
}

export interface ParkedRow extends Counted {
  readonly saga: string
  readonly commit_state: string
  readonly failure_tag: string
  readonly step: string
  readonly sample: string
}

export interface OverdueRow extends Counted {
  readonly saga: string
  readonly fingerprint: string
  readonly sample: string
}

export interface InDoubtRow {
  readonly service: string
  readonly uuid: string
  readonly coordinator: string | null
  readonly updated_at: bigint | number
}

export interface CommandRow extends Counted {
  readonly service: string
  readonly command: string
  readonly state: "accepted" | "running" | "interrupted"
  readonly sample: string
}

export interface InstanceRow {
  readonly id: string
  readonly lease_until: number
  readonly is_alive: boolean
  readonly working: number
}

/** A summary with the process that works on it. */
export interface HeadRow extends StoredSummary {
  readonly owner: string | null
  readonly owner_is_alive: boolean | null
}

export interface InspectStatements {
  readonly count: (saga: string | undefined) => Statement<ReadonlyArray<CountRow>>
  /** Those that roll back, by saga and status. They are in `count` too. */
  readonly undoing: (saga: string | undefined) => Statement<ReadonlyArray<Omit<CountRow, "settled">>>
  readonly waiting: Statement<ReadonlyArray<WaitingRow>>
  readonly parked: Statement<ReadonlyArray<ParkedRow>>
  /** Executions that were due at `before` and that no process has, or whose process has lost its lease. */
  readonly overdue: (before: number) => Statement<ReadonlyArray<OverdueRow>>
  readonly processes: Statement<ReadonlyArray<InstanceRow>>
  readonly head: (uuid: string) => Statement<HeadRow | undefined>
  /** The uuid of the execution with a `startKey`. */
  readonly named: (startKey: string) => Statement<string | undefined>
  readonly inDoubt: (before: number) => Statement<ReadonlyArray<InDoubtRow>>
  /** Messages without a final answer, counted up to `maxCounted` and one in all. */
  readonly commands: (now: number) => Statement<ReadonlyArray<CommandRow>>
  readonly deadLetters: (limit: number) => Statement<ReadonlyArray<{ readonly row: unknown }>>
}

/** The statements for Postgres, on these tables. */
export const inspecting = (client: Sql, tables: Tables): InspectStatements => {
  const sql = client.withoutTransforms()
  const execution = sql(tables.of("saga_execution"))
  return {
    ...ofGroups(sql, execution),
    ...ofProcesses(sql, execution, sql(tables.of("saga_instance"))),
    named: (startKey) =>
      Effect.map(
        isStorable(startKey)
          ? sql<{ readonly uuid: string }>`select uuid from ${execution} where start_key = ${startKey} limit 1`
          : Effect.succeed([]),
        ([row]) => row?.uuid
      ),
    inDoubt: (before) =>
      sql`select service, uuid, coordinator, updated_at from ${sql(tables.of("saga_transaction"))}
          where status = 'reserved' and updated_at <= ${whole(before)} order by updated_at limit ${maxInDoubt}`,
    // Of the text of a message only its first and its last field are read: it may be long.
    commands: (now) =>
      sql`select service, command, state, count(*)::int as count, min(created_at) as oldest,
            (array_agg(id order by created_at, id))[1] as sample
          from (
            select service, id, created_at, coalesce(substring(left(accepted, 100) from '^[{]"command":"([^"]*)"'), '') as command,
              case when until is null then 'accepted' when until::numeric > ${whole(now)} then 'running' else 'interrupted' end as state
            from (
              select service, id, created_at, accepted, substring(right(accepted, 40) from '"runsUntil":([0-9]+)[}]$') as until
              from ${sql(tables.of("saga_barrier"))} where status = 202
              order by service, transaction_uuid limit ${sql.literal(String(maxCounted + 1))}
            ) x
          ) y group by 1, 2, 3 order by 1, 2, 3 limit ${sql.literal(String(maxGroups))}`,
    deadLetters: (limit) =>
      sql`select json_build_object('receivedAt', received_at, 'topic', topic, 'sender', sender, 'reason', reason, 'size', size,
            'sha256', sha256) as row from ${sql(tables.of("saga_dead_letter"))} order by id desc limit ${limit}`
  }
}

const ofGroups = (
  sql: Sql,
  execution: TableNames["execution"]
): Pick<InspectStatements, "count" | "undoing" | "waiting" | "parked"> => {
  const counting = sql.literal(String(maxCounted + 1))
  /** The number and the oldest of each group. */
  const counted = (grouping: Grouping, columns: Fragment, oldest: Fragment, more = sql``) =>
    sql`with recursive ${groups(sql, execution, grouping)}
        select ${columns}, c.count, c.oldest ${more} from g cross join lateral (
          select count(*)::int as count, min(oldest) as oldest from (
            select ${oldest} as oldest from ${execution}
            where ${grouping.where} and ${equal(sql, grouping)}
            order by created_at, uuid limit ${counting}
          ) x
        ) c where c.count > 0`
  const all = sql`true`
  const created = sql`created_at`
  return {
    count: (saga) =>
      sql`select saga, status, settled, least(sum(count), ${counting})::int as count, min(oldest) as oldest from (
            ${counted(byStatus(sql, saga), sql`g0 as saga, g1 as status, g2 as settled`, created)}
          ) x group by 1, 2, 3 order by 1, 2, 3`,
    undoing: (saga) =>
      sql`select saga, status, count(*)::int as count, min(created_at) as oldest from (
            select saga, status, created_at from ${execution}
            where ${undoing(sql)} and ${saga === undefined ? all : isStorable(saga) ? sql`case when saga = ${saga} then true end` : sql`false`}
            order by created_at desc, uuid desc limit ${counting}
          ) x group by saga, status`,
    waiting: sql`${counted(byWait(sql), sql`g0 as waits_for, g1 as saga, g2 as step`, sql`waiting_since`)}
            order by 1, 2, 3`,
    parked: sql`select * from (${counted(
      byFailure(sql),
      sql`g0 as saga, g1 as commit_state, g2 as failure_tag, g3 as step`,
      created,
      sql`, (
            select uuid from ${execution} where parked and ${equal(sql, byFailure(sql))} order by created_at desc, uuid desc limit 1
          ) as sample`
    )}) p where sample is not null order by 1, 2, 3, 4 limit ${sql.literal(String(maxGroups))}`
  }
}

const ofProcesses = (
  sql: Sql,
  execution: TableNames["execution"],
  instance: TableNames["instance"]
): Pick<InspectStatements, "overdue" | "processes" | "head"> => {
  const counting = sql.literal(String(maxCounted + 1))
  const { columns } = columnsOf(sql)
  /** 0: a process works on it, or has died at that. */
  const atWork = sql`select owner, saga, fingerprint, uuid from ${execution} where claimable and wake_at = 0 limit ${counting}`
  return {
    overdue: (before) =>
      sql`select saga, fingerprint, count(*)::int as count, min(wake_at) as oldest, min(uuid::text) as sample from (
            select saga, fingerprint, wake_at, uuid from (
              select saga, fingerprint, wake_at, uuid from ${execution}
              where claimable and wake_at > 0 and wake_at <= ${whole(before)} order by wake_at limit ${counting}
            ) d
            union all
            select saga, fingerprint, null, uuid from (${atWork}) w where not exists (
              select from ${instance} i where i.id = w.owner
                and i.lease_until > to_timestamp(${whole(before)}::float8 / 1000)
            )
          ) x group by saga, fingerprint order by 1, 2`,
    processes: sql`select i.id, (extract(epoch from i.lease_until) * 1000)::float8 as lease_until,
            i.lease_until > clock_timestamp() as is_alive, coalesce(w.working, 0)::int as working
          from ${instance} i left join (
            select owner, count(*) as working from (${atWork}) x group by owner
          ) w on w.owner = i.id
          order by is_alive desc, i.id limit 1000`,
    head: (uuid) =>
      Effect.map(
        sql<HeadRow>`select ${columns}, case when wake_at = 0 then owner end as owner, case when wake_at = 0 and owner is not null then exists (
              select from ${instance} i where i.id = h.owner and i.lease_until > clock_timestamp()
            ) end as owner_is_alive
          from ${execution} h where uuid = ${uuid}::uuid`,
        ([row]) => row
      )
  }
}
