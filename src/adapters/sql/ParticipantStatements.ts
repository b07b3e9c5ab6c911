/**
 * Every statement of the participant store on SQL, without any decision: the store decides what to write, and these run it.
 * Another database would be another implementation of this service.
 */
import { Context, Effect } from "effect"
import type { SqlClient } from "effect/sql"
import type { Fragment } from "effect/sql/Statement"
import type {
  Barrier,
  PurgeRequest,
  Query,
  Scope,
  Transaction,
  TransactionStatus
} from "../../ports/ParticipantStore.ts"
import { isKey, type Statement, uuidsOf, whole } from "./SqlStatements.ts"
import type { Tables } from "./SqlTables.ts"

/** All records that a unit writes. */
export interface Writes {
  readonly transactions: ReadonlyArray<Transaction>
  readonly barriers: ReadonlyArray<Barrier>
  /** Ids of barriers that may be replaced. All other barriers must be new. */
  readonly known: ReadonlyArray<string>
  /** Uuids of rows that `lock` has inserted only as a lock, and that the unit has not written. */
  readonly unused: ReadonlyArray<string>
}

/** Rows as JSON. The store decodes them. */
export interface Stored {
  readonly transactions: unknown
  readonly barriers: unknown
}

export class ParticipantStatements extends Context.Service<
  ParticipantStatements,
  {
    /** Locks all transactions of the scope. Gives the uuids of those that did not exist: their rows are new. */
    readonly lock: (scope: Scope) => Statement<ReadonlySet<string>>
    /** Reads the records of the scope. Without transactions it locks the barriers. */
    readonly read: (scope: Scope) => Statement<Stored>
    /** Writes records. Gives the ids of the written barriers; the id of a barrier that another unit wrote first is missing. */
    readonly write: (service: string, writes: Writes) => Statement<ReadonlySet<string>>
    readonly savepoint: Statement<void>
    readonly release: Statement<void>
    readonly rollBack: Statement<void>
    readonly find: (query: Query) => Statement<ReadonlyArray<unknown>>
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
  const has: Readonly<Record<TransactionStatus, Fragment>> = {
    pending: sql`status = 'pending'`,
    reserved: sql`status = 'reserved'`,
    committed: sql`status = 'committed'`,
    rejected: sql`status = 'rejected'`
  }

  // With a service that is the same for all keys, the planner would read all rows of the service.
  const keysOf = (service: string, uuids: ReadonlyArray<string>) =>
    sql`unnest(${uuids.map(() => service)}::text[], ${uuids}::uuid[]) as k (service, uuid)`

  return {
    // A row that exists is locked and not changed; a missing row is inserted, for this transaction only. In one
    // order everywhere, so that no two units wait for each other.
    lock: ({ service, transactions }) =>
      Effect.map(
        sql<{ readonly uuid: string }>`
              insert into ${transaction} as t (service, uuid, status, not_after, heuristic, updated_at)
              select ${service}, uuid, 'pending', 0, false, 0
              from unnest(${[...new Set(transactions)]}::uuid[]) as n (uuid) order by uuid
              on conflict (service, uuid) do update set status = t.status where false
              returning uuid`,
        (rows) => new Set(rows.map(({ uuid }) => uuid))
      ),
    // A statement of its own: together with the lock it would see the rows from before the wait.
    read: ({ messages, service, transactions }) =>
      Effect.map(
        // Joins that the planner has no choice about: it would read all records of the service, as there is often only one.
        sql<Stored>`select (
                select coalesce(json_agg(t), '[]') from unnest(${transactions}::uuid[]) as k (uuid) cross join lateral (
                  select * from ${transaction} x where x.service = ${service} and x.uuid = k.uuid limit 1
                ) t
              ) as transactions, (
                select coalesce(json_agg(b), '[]') from (
                  select * from unnest(${messages}::text[]) as m (id) order by id
                ) k cross join lateral (
                  select * from ${barrier} x where x.service = ${service} and x.id = k.id
                  ${transactions.length === 0 ? sql`for update` : sql`limit 1`}
                ) b
              ) as barriers`,
        ([row]) => row ?? { transactions: [], barriers: [] }
      ),
    // The column `not_after` of a barrier has its `keepUntil`: an instance of release 0.1.0 purges by that column.
    write: (service, { barriers, known, transactions, unused }) =>
      Effect.map(
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
                open, not_after, created_at)
              select ${service}, id, transaction, coordinator, request, status, reply, effect, open, "keepUntil",
                "createdAt"
              from json_to_recordset(${JSON.stringify(barriers)}::json) as n (id text, transaction uuid,
                coordinator text, request text, status smallint, reply text, effect text, open boolean,
                "keepUntil" bigint, "createdAt" bigint)
              order by id
              on conflict (service, id) do update set transaction_uuid = excluded.transaction_uuid,
                coordinator = excluded.coordinator, request = excluded.request, status = excluded.status,
                reply = excluded.reply, effect = excluded.effect, open = excluded.open,
                not_after = excluded.not_after, created_at = excluded.created_at
                where b.id = any(${known}::text[])
              returning id`,
        (rows) => new Set(rows.map(({ id }) => id))
      ),
    savepoint: Effect.asVoid(sql`savepoint saga_attempt`),
    release: Effect.asVoid(sql`release savepoint saga_attempt`),
    rollBack: Effect.asVoid(sql`rollback to savepoint saga_attempt`),
    find: ({ after, before, limit, service, status }) =>
      Effect.map(
        sql<{ readonly row: unknown }>`select row_to_json(t) as row from ${transaction} t
              where service = ${service} and ${has[status]} and updated_at <= ${whole(before)}
                ${after === undefined ? sql`` : sql`and uuid > ${after}::uuid`}
              order by uuid limit ${limit}`,
        (rows) => rows.map(({ row }) => row)
      ),
    purge: ({ before, limit, service }) =>
      uuidsOf(sql<{ readonly uuid: string }>`with gone as (
                select service, uuid from ${transaction} t
                where service = ${service} and status in ('committed', 'rejected') and not_after < ${whole(before)}
                  and (status = 'committed' or not exists (
                    select from ${barrier} b where b.service = t.service and b.transaction_uuid = t.uuid and b.open
                    offset 0
                  ))
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
                where service = ${service} and transaction_uuid is null and not_after < ${whole(alone)}
                order by not_after limit ${limit} for update skip locked
              )
              delete from ${barrier} b using gone
              where ${isKey(sql, sql`b.service`, sql`gone.service`)} and ${isKey(sql, sql`b.id`, sql`gone.id`)}
              returning b.id`,
        (rows) => rows.length
      )
  }
}
