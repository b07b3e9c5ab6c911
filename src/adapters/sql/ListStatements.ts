/** The statements by which people look for executions, whatever number of them is stored. */
import type { SqlClient } from "effect/sql"
import type { Fragment } from "effect/sql/Statement"
import type { Attributes } from "../../definition/Attributes.ts"
import * as ExecutionSummary from "../../ports/ExecutionSummary.ts"
import { isStorable } from "../../wire/Text.ts"
import { type Statement, type TableNames, whole } from "./SqlStatements.ts"

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
  readonly attributes: unknown
  readonly parked: boolean
  readonly failure_tag: string | null
  readonly failure_path: string | null
  readonly revision: number
  readonly settled: boolean
  readonly wake_at: bigint | null
  readonly step: string | null
  readonly step_path: string | null
  readonly waits_for: string | null
  readonly waiting_since: bigint | null
  readonly created_at: bigint
  readonly updated_at: bigint
}

export interface ListStatements {
  /** Up to `limit` summaries that match the filter and come after `from`, newest first. */
  readonly find: (
    filter: ExecutionSummary.Filter,
    from: ExecutionSummary.Position | undefined,
    limit: number
  ) => Statement<ReadonlyArray<StoredSummary>>
  /** The number of unsettled executions of each definition, counted up to `ExecutionSummary.maxCounted`. */
  readonly census: Statement<
    ReadonlyArray<{ readonly saga: string; readonly fingerprint: string; readonly count: number }>
  >
}

// ---- Postgres --------------------------------------------------------------------------------------------------

type Sql = SqlClient.SqlClient

export const listing = (
  sql: Sql,
  { attribute, execution }: Pick<TableNames, "attribute" | "execution">
): ListStatements => {
  const others = sql`start_key, saga, fingerprint, status, direction, decision, commit_state, user_name, attributes, parked,
            failure_tag, failure_path, revision, settled, wake_at, step, step_path, waits_for, waiting_since, updated_at`
  const columns = sql`uuid, created_at, ${others}`
  const newest = sql`order by created_at desc, uuid desc`
  // A text, not a parameter: of an unknown number a plan that is kept expects a tenth of all rows, and reads the table.
  const number = (limit: number) => sql.literal(String(Math.trunc(limit)))
  return {
    find: (filter, from, limit) => {
      const within = rangesOf(sql, filter, from)
      const first = firstOf(filter.attributes)
      if (first !== undefined && filter.startKey === undefined) {
        const rest = Object.values(conditionsOf(sql, filter)).map((is) => is && sql`case when ${is} then true end`)
        const named = sql`name = ${first.name} and value = (${first.value}::jsonb)::text`
        return sql`select ${columns} from ${attribute} a cross join lateral (
              select ${others} from ${execution} x where x.uuid = a.uuid offset 0
            ) h where ${all(sql, [named, ...within, ...rest])} ${newest} limit ${limit}`
      }
      if (!isGrouped(filter)) {
        const { rest, way } = wayOf(sql, conditionsOf(sql, filter))
        return sql`select ${columns} from ${execution} where ${all(sql, [way, ...within, ...rest])} ${newest} limit ${limit}`
      }
      // The newest of each group, and of these the newest: an index has each group in this order.
      const { parked, settled, status } = conditionsOf(sql, filter)
      const isIn = sql`saga = g.group_saga and status = g.group_status and settled = g.group_settled`
      return sql`with recursive ${groups(sql, execution, filter)}
            select ${columns} from g cross join lateral (
              select * from ${execution} where ${all(sql, [isIn, parked, ...within])} ${newest} limit ${number(limit)}
            ) h where ${all(sql, [status, settled])} ${newest} limit ${limit}`
    },
    census: sql`with recursive d as (
            (select saga, fingerprint from ${execution} where not settled order by saga, fingerprint limit 1)
            union all
            select n.saga, n.fingerprint from d cross join lateral (
              select saga, fingerprint from ${execution}
              where not settled and (saga, fingerprint) > (d.saga, d.fingerprint) order by saga, fingerprint limit 1
            ) n
          )
          select d.saga, d.fingerprint, c.count from d cross join lateral (
            select count(*)::int as count from (
              select from ${execution} where not settled and saga = d.saga and fingerprint = d.fingerprint
              limit ${number(ExecutionSummary.maxCounted)}
            ) x
          ) c`
  }
}

/** Whether nothing leads to few executions more directly than the groups do: a user, a `startKey`, or `parked`. */
const isGrouped = ({ parked, startKey, user }: ExecutionSummary.Filter): boolean =>
  user === undefined && startKey === undefined && parked !== true

/**
 * A group is a saga, a status, and whether the executions are settled. There are few of them, and one index has them one after
 * the other, so that the next group is found without reading the executions of the one before.
 */
const groups = (sql: Sql, execution: TableNames["execution"], { saga }: ExecutionSummary.Filter): Fragment => {
  const first = sql`order by saga, status, settled limit 1`
  const [isSaga, isNext] =
    saga === undefined
      ? [sql`true`, sql`(saga, status, settled) > (g.group_saga, g.group_status, g.group_settled)`]
      : [is(sql, "saga", saga), sql`${is(sql, "saga", saga)} and (status, settled) > (g.group_status, g.group_settled)`]
  return sql`g (group_saga, group_status, group_settled) as (
              (select saga, status, settled from ${execution} where ${isSaga} ${first})
              union all
              select n.saga, n.status, n.settled from g cross join lateral (
                select saga, status, settled from ${execution} where ${isNext} ${first}
              ) n
            )`
}

type Conditions = { readonly [Name in keyof ExecutionSummary.Filter]-?: Fragment | undefined }
type Ranges = "createdAfter" | "createdBefore"

/** A text that cannot be stored is the text of no execution. Postgres would refuse the statement. */
const is = (sql: Sql, column: "saga" | "start_key" | "user_name", text: string): Fragment =>
  isStorable(text) ? sql`${sql(column)} = ${text}` : sql`false`

/** The attribute whose list is read, with its value as JSON; undefined: executions of any attributes are asked for. */
const firstOf = (attributes: Attributes = {}): { readonly name: string; readonly value: string } | undefined => {
  const [first] = Object.entries(attributes)
  if (first === undefined) return undefined
  // No execution has an attribute that cannot be stored, and Postgres would refuse the statement.
  const isKnown = Object.entries(attributes)
    .flat()
    .every((part) => typeof part !== "string" || isStorable(part))
  return isKnown ? { name: first[0], value: JSON.stringify(first[1]) } : { name: "", value: "null" }
}

const has = (sql: Sql, attributes: Attributes | undefined): Fragment | undefined => {
  const first = firstOf(attributes)
  return first && (first.name === "" ? sql`false` : sql`attributes @> ${JSON.stringify(attributes)}::jsonb`)
}

/** Texts where a partial index has the same text: with a parameter the plan could not use that index. */
const conditionsOf = (
  sql: Sql,
  { attributes, parked, saga, settled, startKey, status, user }: ExecutionSummary.Filter
): Omit<Conditions, Ranges> => ({
  saga: saga === undefined ? undefined : is(sql, "saga", saga),
  status: status === undefined ? undefined : sql`status = ${status}`,
  parked: parked === undefined ? undefined : parked ? sql`parked` : sql`not parked`,
  startKey: startKey === undefined ? undefined : is(sql, "start_key", startKey),
  user: user === undefined ? undefined : is(sql, "user_name", user),
  attributes: has(sql, attributes),
  settled: settled === undefined ? undefined : settled ? sql`settled` : sql`not settled`
})

/**
 * The condition whose index is read, and those that are checked for each row of it. The latter are written so that no index
 * can serve them and that the planner expects them to hold often: else a plan that was made for empty tables reads all
 * executions of a saga, to find those of one user.
 */
const wayOf = (sql: Sql, { attributes, parked, startKey, user, ...others }: Omit<Conditions, Ranges>) => {
  const [way, ...more] = [startKey, user, parked, attributes].filter((condition) => condition !== undefined)
  const rest = [...more, ...Object.values(others)].flatMap((condition) =>
    condition === undefined ? [] : sql`case when ${condition} then true end`
  )
  return { way, rest }
}

/** A time that stands in the column, whatever number that is: the next page begins after it. */
const stored = (millis: number): bigint => BigInt(Math.max(-(2 ** 63), Math.min(2 ** 63 - 1_024, Math.trunc(millis))))

const rangesOf = (
  sql: Sql,
  { createdAfter, createdBefore }: ExecutionSummary.Filter,
  from: ExecutionSummary.Position | undefined
): ReadonlyArray<Fragment | undefined> => [
  createdBefore === undefined ? undefined : sql`created_at < ${whole(createdBefore)}`,
  createdAfter === undefined ? undefined : sql`created_at > ${whole(createdAfter)}`,
  from === undefined ? undefined : sql`(created_at, uuid) < (${stored(from.createdAt)}, ${from.uuid}::uuid)`
]

const all = (sql: Sql, conditions: ReadonlyArray<Fragment | undefined>): Fragment => {
  const given = conditions.filter((condition) => condition !== undefined)
  return given.length === 0 ? sql`true` : sql.and(given)
}
