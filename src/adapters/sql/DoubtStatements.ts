/** The statements about decisions of people on transactions in doubt. */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import { type DoubtDecision, type DoubtOutcome, maxOpen } from "../../ports/Doubts.ts"
import { isKey, type Statement, whole } from "./SqlStatements.ts"
import type { Tables } from "./SqlTables.ts"

export interface DoubtStatements {
  readonly decide: (decision: DoubtDecision) => Statement<"stored" | "known" | "not-in-doubt">
  readonly open: (service: string) => Statement<ReadonlyArray<DoubtDecision>>
  readonly close: (service: string, uuid: string, outcome: DoubtOutcome, now: number) => Statement<void>
  readonly outcome: (service: string, uuid: string) => Statement<DoubtOutcome | undefined>
}

/** How long a decision stays that was carried out. */
const kept = 30 * 86_400_000

/** How many of them one statement removes, at most. */
const most = 100

export const doubting = (client: SqlClient.SqlClient, tables: Tables): DoubtStatements => {
  const sql = client.withoutTransforms()
  const [doubt, transaction] = [sql(tables.of("saga_doubt")), sql(tables.of("saga_transaction"))]
  return {
    decide: ({ actor, at, decision, reason, service, uuid }) =>
      Effect.map(
        sql<{ added: boolean; known: boolean }>`with added as (
              insert into ${doubt} (service, uuid, decision, actor, reason, at)
              select service, uuid, ${decision}, ${actor}, ${reason}, ${whole(at)} from ${transaction}
              where service = ${service} and uuid = ${uuid}::uuid and status = 'reserved'
              on conflict do nothing returning uuid
            )
            select exists (select from added) as added, exists (
              select from ${doubt} where service = ${service} and uuid = ${uuid}::uuid
            ) as known`,
        ([row]) => (row?.added === true ? "stored" : row?.known === true ? "known" : "not-in-doubt")
      ),
    open: (service) =>
      Effect.map(
        sql<
          Omit<DoubtDecision, "at"> & { readonly at: bigint }
        >`select service, uuid, decision, actor, reason, at from ${doubt}
            where service = ${service} and outcome is null and decision in ('commit', 'reject')
            order by at limit ${maxOpen}`,
        (rows) => rows.map((row) => ({ ...row, at: Number(row.at) }))
      ),
    close: (service, uuid, outcome, now) =>
      Effect.asVoid(sql`with old as (
            select uuid from ${doubt}
            where service = ${service} and outcome is not null and at < ${whole(now - kept)} order by at limit ${most}
          ), gone as (
            delete from ${doubt} d using old o where d.service = ${service} and ${isKey(sql, sql`d.uuid`, sql`o.uuid`)}
          )
          update ${doubt} set outcome = ${outcome} where service = ${service} and uuid = ${uuid}::uuid`),
    outcome: (service, uuid) =>
      Effect.map(
        sql<{ outcome: DoubtOutcome | null }>`select outcome from ${doubt}
            where service = ${service} and uuid = ${uuid}::uuid and outcome in ('applied', 'too-late')`,
        ([row]) => row?.outcome ?? undefined
      )
  }
}
