/** The rows of a bucket, as they are: nothing of them is read by this process, so another release may have written them. */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import { keyBucket } from "./SqlBuckets.ts"
import type { Statement } from "./SqlStatements.ts"
import type * as SqlTables from "./SqlTables.ts"

interface At {
  readonly sql: SqlClient.SqlClient
  readonly tables: SqlTables.Tables
}

/** The tables whose rows belong to an execution, each after those that it refers to. */
const ofExecutions = ["saga_execution", "saga_event", "saga_inbox", "saga_attribute"]

/** Executions that are copied together: each may have a long history. */
const together = 100

/** Names that are copied together. */
const namesTogether = 5_000

/** A name belongs to the bucket of the key that it is, else to that of its uuid. */
const nameBucket = (sql: SqlClient.SqlClient) =>
  sql`case when n.name = 'key ' || n.start_key then ${keyBucket(sql, "n")} else get_byte(uuid_send(n.uuid), 15) end`

/** Why a bucket cannot move now. Undefined: it can. */
export const obstacle = ({ sql: client, tables }: At, bucket: number): Statement<"mixed" | "queued" | undefined> => {
  const sql = client.withoutTransforms()
  const ofKey = keyBucket(sql, "n")
  const ofUuid = sql`get_byte(uuid_send(n.uuid), 15)`
  return Effect.map(
    sql<{ readonly mixed: boolean; readonly queued: boolean }>`select exists (
        select from ${sql(tables.of("saga_name"))} n where n.outcome is null and n.name = 'key ' || n.start_key
          and ${ofKey} <> ${ofUuid} and ${bucket} in (${ofKey}, ${ofUuid})
      ) as mixed, exists (
        select from ${sql(tables.of("saga_queued"))} q where get_byte(uuid_send(q.uuid), 15) = ${bucket}
      ) as queued`,
    ([row]) => (row?.mixed === true ? "mixed" : row?.queued === true ? "queued" : undefined)
  )
}

/** Copies all rows of a bucket. Nobody may write them meanwhile. */
export const copy = Effect.fnUntraced(function* (source: At, target: At, bucket: number) {
  const from = source.sql.withoutTransforms()
  const to = target.sql.withoutTransforms()
  // As JSON of the database: numbers and texts do not pass through numbers of this process.
  const insert = (table: string, rows: string) => {
    const name = to(target.tables.of(table))
    return to`insert into ${name} select * from json_populate_recordset(null::${name}, ${rows}::json)`
  }
  // A removed execution may have left a fence among the facts, which has to go along.
  const found = yield* from<{ readonly uuid: string }>`select distinct uuid from ${from(source.tables.of("saga_event"))}
      where get_byte(uuid_send(uuid), 15) = ${bucket} order by uuid`
  const uuids = found.map(({ uuid }) => uuid)
  for (let at = 0; at < uuids.length; at += together) {
    const page = uuids.slice(at, at + together)
    for (const table of ofExecutions) {
      const [row] = yield* from<{ readonly rows: string | null }>`select json_agg(t)::text as rows
          from ${from(source.tables.of(table))} t where t.uuid = any(${page}::uuid[])`
      if (row?.rows != null) yield* insert(table, row.rows)
    }
  }
  let last = ""
  while (true) {
    const [row] = yield* from<{ readonly rows: string | null; readonly last: string | null }>`
        select json_agg(t)::text as rows, max(t.name) as last from (
          select n.* from ${from(source.tables.of("saga_name"))} n
          where ${nameBucket(from)} = ${bucket} and n.name > ${last} order by n.name limit ${namesTogether}
        ) t`
    if (row?.rows == null || row.last === null) break
    yield* insert("saga_name", row.rows)
    last = row.last
  }
})

/** Removes all rows of a bucket. */
export const remove = ({ sql: client, tables }: At, bucket: number): Statement<void> => {
  const sql = client.withoutTransforms()
  const t = (table: string) => sql(tables.of(table))
  const isOurs = sql`get_byte(uuid_send(uuid), 15) = ${bucket}`
  return Effect.asVoid(
    Effect.all([
      // Inputs and attributes go with their execution.
      sql`delete from ${t("saga_execution")} where ${isOurs}`,
      sql`delete from ${t("saga_event")} where ${isOurs}`,
      sql`delete from ${t("saga_name")} n where ${nameBucket(sql)} = ${bucket}`
    ])
  )
}
