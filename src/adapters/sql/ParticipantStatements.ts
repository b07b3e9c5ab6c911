/**
 * Every statement of the participant store on SQL, without any decision: the store decides what to write, and these run it.
 * Another database would be another implementation of this service.
 */
import { Context, Effect } from "effect"
import type { SqlClient } from "effect/sql"
import type { Fragment } from "effect/sql/Statement"
import type { Barrier, PurgeRequest, Query, Scope, Transaction } from "../../ports/ParticipantStore.ts"
import { isKey, keyRows, type Statement, uuidsOf, whole, withFixedText } from "./SqlStatements.ts"
import type { Tables } from "./SqlTables.ts"

/** All records that a unit writes. */
export interface Writes {
  readonly transactions: ReadonlyArray<Transaction>
  readonly barriers: ReadonlyArray<Barrier>
  /** The barriers that may be replaced, with the status that they still must have. All others must be new. */
  readonly known: ReadonlyArray<Pick<Barrier, "id" | "status">>
  /** Uuids of rows that `lock` has inserted only as a lock, and that the unit has not written. */
  readonly unused: ReadonlyArray<string>
}

const none: ReadonlySet<string> = new Set<string>()

/** Rows as JSON. The store decodes them. */
export interface Stored {
  readonly transactions: unknown
  readonly barriers: unknown
  readonly accepted: unknown
}

/** A transaction, and where it stands in the order: the number as a text, which has all of its digits. */
export interface FoundRow {
  readonly row: unknown
  readonly uuid: string
  readonly updatedAt: string
}

/** A page of transactions, the oldest first. */
export interface FoundAfter extends Omit<Query, "after"> {
  readonly after?: { readonly uuid: string; readonly updatedAt: number | string }
}

export class ParticipantStatements extends Context.Service<
  ParticipantStatements,
  {
    /**
     * Locks the one transaction of the scope and reads the records, where the row exists and no other unit has it. Undefined:
     * `lock` and `read` are to do it, which may have to wait in between.
     */
    readonly take: (scope: Scope) => Statement<Stored | undefined>
    /** Locks all transactions of the scope. Gives the uuids of those that did not exist: their rows are new. */
    readonly lock: (scope: Scope) => Statement<ReadonlySet<string>>
    /** Reads the records of the scope. Without transactions it locks the barriers. */
    readonly read: (scope: Scope) => Statement<Stored>
    /** Writes records. Gives the ids of the written barriers; the id of a barrier that another unit wrote first is missing. */
    readonly write: (service: string, writes: Writes) => Statement<ReadonlySet<string>>
    readonly savepoint: Statement<void>
    readonly release: Statement<void>
    readonly rollBack: Statement<void>
    readonly find: (query: FoundAfter) => Statement<ReadonlyArray<FoundRow>>
    /** Removes old transactions and gives their uuids. `purgeBarriers` removes their barriers. */
    readonly purge: (request: PurgeRequest) => Statement<ReadonlyArray<string>>
    readonly purgeBarriers: (service: string, transactions: ReadonlyArray<string>) => Statement<void>
    /** Removes old barriers without a transaction and gives their number. */
    readonly purgeAlone: (request: PurgeRequest) => Statement<number>
  }
>()("effect-saga/sql/ParticipantStatements") {}

/** The statements for Postgres, on these tables. */
export const postgres = (client: SqlClient.SqlClient, tables: Tables): ParticipantStatements["Service"] => {
  // The statements name columns as they are, whatever names the client transforms for others.
  const sql = client.withoutTransforms()
  const transaction = sql(tables.of("saga_transaction"))
  const barrier = sql(tables.of("saga_barrier"))
  // Texts, not parameters: with a parameter the plan of a prepared statement cannot use the partial index.
  const has: Readonly<Record<Query["status"], Fragment>> = {
    pending: sql`status = 'pending'`,
    reserved: sql`status = 'reserved'`
  }

  // With a service that is the same for all keys, the planner would read all rows of the service.
  const keysOf = (service: string, uuids: ReadonlyArray<string>) =>
    sql`unnest(${uuids.map(() => service)}::text[], ${uuids}::uuid[]) as k (service, uuid)`

  // A row that exists is locked and not changed; a missing row is inserted, and other units see it if this one keeps it. In one
  // order everywhere, so that no two units wait for each other.
  const lockOne = withFixedText<{ readonly uuid: string }>(
    sql,
    sql`insert into ${transaction} as t (service, uuid, coordinator, status, not_after, heuristic, updated_at)
      values (${""}, ${""}, ${""}, 'pending', ${0n}, false, ${0n})
      on conflict (service, uuid) do update set status = t.status where false
      returning uuid`
  )
  const lockMany = (service: string, transactions: ReadonlyArray<string>) =>
    sql<{ readonly uuid: string }>`
      insert into ${transaction} as t (service, uuid, status, not_after, heuristic, updated_at)
      select ${service}, uuid, 'pending', 0, false, 0
      from unnest(${[...new Set(transactions)]}::uuid[]) as n (uuid) order by uuid
      on conflict (service, uuid) do update set status = t.status where false
      returning uuid`
  const readOne = withFixedText<{ readonly barrier: unknown }>(
    sql,
    sql`select row_to_json(x) as barrier from ${barrier} x where x.service = ${""} and x.id = ${""} for update`
  )
  const insertOne = withFixedText<{ readonly id: string }>(
    sql,
    sql`insert into ${barrier} (service, id, transaction_uuid, coordinator, request, status, reply, effect, open, accepted,
        not_after, created_at)
      values (${""}, ${""}, ${""}, ${""}, ${""}, ${0}, ${""}, ${""}, ${true}, ${""}, ${0n}, ${0n})
      on conflict (service, id) do nothing
      returning id`
  )
  /** A new answer, and nothing else: what nearly every message leaves. */
  const writeOne = (service: string, it: Barrier) =>
    insertOne([
      service,
      it.id,
      it.transaction ?? null,
      it.coordinator,
      it.request ?? null,
      it.status,
      it.reply ?? null,
      it.effect,
      it.open,
      it.accepted ?? null,
      whole(it.keepUntil),
      whole(it.createdAt)
    ])
  // A text, not a parameter, and one transaction at a time: so the partial index of accepted records is used, which is small.
  const acceptedIn = (service: string, transactions: ReadonlyArray<string>) => sql`(
                select coalesce(json_agg(a), '[]') from ${keyRows(sql, transactions, "uuid")} as k (uuid) cross join lateral (
                  select * from ${barrier} x where x.service = ${service} and x.transaction_uuid = k.uuid and x.status = 202
                  order by x.id
                ) a
              ) as accepted`

  /** Joins that the planner has no choice about: it would read all records of the service, as there is often only one. */
  const barriersIn = (service: string, messages: ReadonlyArray<string>, lock: Fragment) => sql`(
                select coalesce(json_agg(b), '[]') from (
                  select * from ${keyRows(sql, messages, "text")} as m (id) order by id
                ) k cross join lateral (
                  select * from ${barrier} x where x.service = ${service} and x.id = k.id ${lock}
                ) b
              ) as barriers`

  return {
    // The lock takes the newest version of the row; the other parts of the statement see the rows as they were when it began. Where
    // the two versions differ, another unit has written meanwhile, and all is read again. A unit that has written records alone, and
    // not the row, is found by the write: it changes a record only where its status is the one that was read.
    take: ({ ending, messages, service, transactions: [uuid = ""] }) =>
      Effect.map(
        sql<Stored & { readonly isNewest: boolean }>`with locked as materialized (
                select row_to_json(x) as row, x.xmin::text as version from ${transaction} x
                where x.service = ${service} and x.uuid = ${uuid} for update skip locked
              )
              select json_build_array(l.row) as transactions, ${barriersIn(service, messages, sql`limit 1`)},
                ${ending === true ? acceptedIn(service, [uuid]) : sql`'[]'::json as accepted`},
                l.version = (
                  select x.xmin::text from ${transaction} x where x.service = ${service} and x.uuid = ${uuid}
                ) as "isNewest"
              from locked l`,
        ([row]) => (row?.isNewest === true ? row : undefined)
      ),
    lock: ({ opens, service, transactions }) => {
      const [uuid, ...others] = transactions
      // One row, as nearly always, needs no join.
      const locked =
        uuid !== undefined && others.length === 0
          ? lockOne([
              service,
              uuid,
              opens?.coordinator ?? null,
              whole(opens?.notAfter ?? 0),
              whole(opens?.updatedAt ?? 0)
            ])
          : lockMany(service, transactions)
      return Effect.map(locked, (rows) => (rows.length === 0 ? none : new Set(rows.map(({ uuid }) => uuid))))
    },
    // A statement of its own: together with the lock it would see the rows from before the wait.
    read: ({ ending, messages, service, transactions }) => {
      const [id, ...others] = messages
      if (id !== undefined && others.length === 0 && transactions.length === 0)
        return Effect.map(readOne([service, id]), (rows) => ({
          transactions: [],
          accepted: [],
          barriers: rows.map(({ barrier }) => barrier)
        }))
      return Effect.map(
        sql<Stored>`select (
                select coalesce(json_agg(t), '[]') from ${keyRows(sql, transactions, "uuid")} as k (uuid) cross join lateral (
                  select * from ${transaction} x where x.service = ${service} and x.uuid = k.uuid limit 1
                ) t
              ) as transactions, ${barriersIn(service, messages, transactions.length === 0 ? sql`for update` : sql`limit 1`)},
              ${ending === true ? acceptedIn(service, transactions) : sql`'[]'::json as accepted`}`,
        ([row]) => row ?? { transactions: [], barriers: [], accepted: [] }
      )
    },
    // The column `not_after` of a barrier has its `keepUntil`: an instance of release 0.1.0 purges by that column.
    write: (service, { barriers, known, transactions, unused }) => {
      const [first, ...others] = barriers
      if (first !== undefined && others.length + known.length + transactions.length + unused.length === 0)
        return Effect.map(writeOne(service, first), (rows) => new Set(rows.map(({ id }) => id)))
      return Effect.map(
        sql<{ readonly id: string }>`with dropped as (
                delete from ${transaction} t using ${keysOf(service, unused)}
                where ${isKey(sql, sql`t.service`, sql`k.service`)} and ${isKey(sql, sql`t.uuid`, sql`k.uuid`)}
              ), kept as (
                insert into ${transaction} (service, uuid, coordinator, status, not_after, heuristic, updated_at)
                select ${service}, uuid, coordinator, status, "notAfter", heuristic, "updatedAt"
                from json_to_recordset(${JSON.stringify(transactions)}::json) as n (uuid uuid, coordinator text,
                  status text, "notAfter" bigint, heuristic boolean, "updatedAt" bigint)
                on conflict (service, uuid) do update set coordinator = excluded.coordinator, status = excluded.status,
                  not_after = excluded.not_after, heuristic = excluded.heuristic, updated_at = excluded.updated_at
              )
              insert into ${barrier} as b (service, id, transaction_uuid, coordinator, request, status, reply, effect,
                open, accepted, not_after, created_at)
              select ${service}, id, transaction, coordinator, request, status, reply, effect, open, accepted, "keepUntil",
                "createdAt"
              from json_to_recordset(${JSON.stringify(barriers)}::json) as n (id text, transaction uuid,
                coordinator text, request text, status smallint, reply text, effect text, open boolean,
                accepted text, "keepUntil" bigint, "createdAt" bigint)
              order by id
              on conflict (service, id) do update set transaction_uuid = excluded.transaction_uuid,
                coordinator = excluded.coordinator, request = excluded.request, status = excluded.status,
                reply = excluded.reply, effect = excluded.effect, open = excluded.open, accepted = excluded.accepted,
                not_after = excluded.not_after, created_at = excluded.created_at
                where exists (
                  select from unnest(${known.map(({ id }) => id)}::text[], ${known.map(({ status }) => status)}::int[])
                    as k (id, status) where k.id = b.id and k.status = b.status
                )
              returning id`,
        (rows) => new Set(rows.map(({ id }) => id))
      )
    },
    savepoint: Effect.asVoid(sql`savepoint saga_attempt`),
    release: Effect.asVoid(sql`release savepoint saga_attempt`),
    rollBack: Effect.asVoid(sql`rollback to savepoint saga_attempt`),
    find: ({ after, before, limit, service, status }) =>
      sql<FoundRow>`select row_to_json(t) as row, uuid, updated_at::text as "updatedAt" from ${transaction} t
              where service = ${service} and ${has[status]} and updated_at <= ${whole(before)}
                ${after === undefined ? sql`` : sql`and (updated_at, uuid) > (${String(after.updatedAt)}::bigint, ${after.uuid}::uuid)`}
              order by updated_at, uuid limit ${limit}`,
    purge: ({ before, limit, service }) =>
      uuidsOf(sql<{ readonly uuid: string }>`with gone as (
                select service, uuid from ${transaction} t
                where service = ${service} and status in ('committed', 'rejected') and not_after < ${whole(before)}
                  and (status = 'committed' or not exists (
                    select from ${barrier} b where b.service = t.service and b.transaction_uuid = t.uuid and b.open
                    offset 0
                  ))
                  and not exists (
                    select from ${barrier} b where b.service = t.service and b.transaction_uuid = t.uuid and b.status = 202
                    offset 0
                  )
                order by not_after limit ${limit} for update skip locked
              )
              delete from ${transaction} t using gone
              where ${isKey(sql, sql`t.service`, sql`gone.service`)} and ${isKey(sql, sql`t.uuid`, sql`gone.uuid`)}
              returning t.uuid`),
    purgeBarriers: (service, transactions) =>
      Effect.asVoid(
        sql`delete from ${barrier} b using ${keysOf(service, transactions)}
              where ${isKey(sql, sql`b.service`, sql`k.service`)} and ${isKey(sql, sql`b.transaction_uuid`, sql`k.uuid`)}`
      ),
    purgeAlone: ({ alone, limit, service }) =>
      Effect.map(
        sql`with gone as (
                select service, id from ${barrier}
                where service = ${service} and transaction_uuid is null and not_after < ${whole(alone)} and status <> 202
                order by not_after limit ${limit} for update skip locked
              )
              delete from ${barrier} b using gone
              where ${isKey(sql, sql`b.service`, sql`gone.service`)} and ${isKey(sql, sql`b.id`, sql`gone.id`)}
              returning b.id`,
        (rows) => rows.length
      )
  }
}
