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
  readonly trace: string | null
  /** The queue in which it waits for a place, and how it stands there. */
  readonly queued: unknown
  readonly created_at: bigint
  readonly updated_at: bigint
}

export interface ListStatements {
  /**
   * Up to `limit` summaries that match the filter and come after `from`, newest first; those with `startKeyPrefix` by their keys.
   * `isBackward`: those before `from`, the nearest first.
   */
  readonly find: (
    filter: ExecutionSummary.Filter,
    from: ExecutionSummary.Position | undefined,
    limit: number,
    isBackward?: boolean
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
  { attribute, execution, queued }: Pick<TableNames, "attribute" | "execution" | "queued">
): ListStatements => {
  const { columns, others } = columnsOf(sql)
  // A text, not a parameter: of an unknown number a plan that is kept expects a tenth of all rows, and reads the table.
  const number = (limit: number) => sql.literal(String(Math.trunc(limit)))
  const withPlace = (page: Fragment, order: Fragment) => sql<StoredSummary>`select f.*, (
            select json_build_object('queue', q.queue, 'key', q.key, 'priority', q.priority, 'since', q.since)
            from ${queued} q where q.uuid = f.uuid and q.place <> 'held'
          ) as queued from (${page}) f ${order}`
  return {
    find: (filter, from, limit, isBackward = false) => {
      const order = isBackward ? sql`order by created_at, uuid` : sql`order by created_at desc, uuid desc`
      const within = rangesOf(sql, filter, from, isBackward)
      const conditions = conditionsOf(sql, filter)
      const first = firstOf(filter.attributes)
      if (first !== undefined && filter.startKey === undefined) {
        const rest = Object.values(conditions).map((is) => is && sql`case when ${is} then true end`)
        const named = sql`name = ${first.name} and value = (${first.value}::jsonb)::text`
        return withPlace(
          sql`select ${columns} from ${attribute} a cross join lateral (
              select ${others} from ${execution} x where x.uuid = a.uuid offset 0
            ) h where ${all(sql, [named, ...within, ...rest])} ${order} limit ${limit}`,
          order
        )
      }
      const grouping = groupingOf(sql, filter)
      if (grouping === undefined) {
        const { rest, way } = wayOf(sql, conditions)
        const by = ExecutionSummary.isByKey(filter) ? byKey(sql, isBackward) : order
        return withPlace(
          sql`select ${columns} from ${execution} where ${all(sql, [way, ...within, ...rest])} ${by} limit ${limit}`,
          by
        )
      }
      // The newest of each group, and of these the newest: an index has each group in this order.
      const { outside, rest } = grouping.conditions(conditions)
      return withPlace(
        sql`with recursive ${groups(sql, execution, grouping)}
            select ${columns} from g cross join lateral (
              select * from ${execution} where ${all(sql, [grouping.where, equal(sql, grouping), ...rest, ...within])} ${order} limit ${number(limit)}
            ) h where ${all(sql, outside)} ${order} limit ${limit}`,
        order
      )
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

/** The columns of a summary; `others` without those that an attribute has too. */
export const columnsOf = (sql: Sql) => {
  const others = sql`start_key, saga, fingerprint, status, direction, decision, commit_state, user_name, attributes, parked,
            failure_tag, failure_path, revision, settled, wake_at, step, step_path, waits_for, waiting_since, trace, updated_at`
  return { others, columns: sql`uuid, created_at, ${others}` }
}

// ---- groups ----------------------------------------------------------------------------------------------------

/**
 * Executions that have the same values in some columns. There are few of these groups, and one index has them one after the
 * other, so that the next group is found without reading the executions of the one before.
 */
export interface Grouping {
  /** What the index says of a group. The first ones are `given`. */
  readonly columns: ReadonlyArray<Fragment>
  /** What the first columns must be: only such groups are looked for. */
  readonly given: ReadonlyArray<Fragment>
  /** The condition of a partial index, and a range of its first column. */
  readonly where: Fragment
}

interface FoundBy extends Grouping {
  /** The conditions that are checked for a group, and those for each of its rows. */
  readonly conditions: (conditions: Omit<Conditions, Ranges>) => {
    readonly outside: ReadonlyArray<Fragment | undefined>
    readonly rest: ReadonlyArray<Fragment | undefined>
  }
}

/** Recursive table `g` with a column `g0`, `g1`, … for each column of the grouping. */
export const groups = (sql: Sql, execution: TableNames["execution"], { columns, given, where }: Grouping): Fragment => {
  const names = columns.map((_, i) => sql.literal(`g${i}`))
  const read = columns.map((column, i) => sql`${column} as ${names[i]!}`)
  const free = columns.slice(given.length)
  const first = sql`order by ${sql.csv(columns)} limit 1`
  const here = all(sql, [where, ...given])
  const next = sql`(${sql.csv(free)}) > (${sql.csv(free.map((_, i) => sql`g.${names[given.length + i]!}`))})`
  return sql`g (${sql.csv(names)}) as (
              (select ${sql.csv(read)} from ${execution} where ${here} ${first})
              union all
              select ${sql.csv(names.map((name) => sql`n.${name}`))} from g cross join lateral (
                select ${sql.csv(read)} from ${execution} where ${here} and ${next} ${first}
              ) n
            )`
}

/** The condition that a row is one of the group `g`. */
export const equal = (sql: Sql, { columns }: Grouping): Fragment =>
  sql.and(columns.map((column, i) => sql`${column} = g.${sql.literal(`g${i}`)}`))

/** By saga, status, whether they are settled, and whether they are parked. */
export const byStatus = (sql: Sql, saga?: string): Grouping => ({
  columns: [sql`saga`, sql`status`, sql`settled`, sql`parked`],
  given: saga === undefined ? [] : [is(sql, "saga", saga)],
  where: sql`true`
})

/** Those that are parked, by saga, how far the decision is, failure and step. */
export const byFailure = (sql: Sql, saga?: string): Grouping => ({
  columns: [sql`saga`, sql`commit_state`, sql`coalesce(failure_tag, '')`, sql`coalesce(step, '')`],
  given: saga === undefined ? [] : [is(sql, "saga", saga)],
  where: sql`parked`
})

/**
 * Those that wait, by what they wait for, saga and step. A former release leaves values of a wait in the row of an execution that waits
 * no more: that one is in no group. The condition is that of the index, to the letter, so that the index alone counts a group.
 */
export const byWait = (sql: Sql, waitsFor?: string): Grouping => {
  const column = sql`(waits_for collate "C")`
  const range =
    waitsFor === undefined || !isStorable(waitsFor)
      ? sql``
      : sql`and ${column} >= ${waitsFor} and ${column} < ${`${waitsFor}0`}`
  return {
    columns: [column, sql`saga`, sql`step`],
    given: [],
    // "0" is the character after "/", which is before the command of a service.
    where: sql`waits_for is not null and not settled and (status = 'paused' or direction = 'backward') ${range}`
  }
}

/** The groups that lead to the executions; undefined: something else leads to them more directly. */
const groupingOf = (
  sql: Sql,
  { failure, parked, saga, startKey, startKeyPrefix, step, undoing, user, waitsFor }: ExecutionSummary.Filter
): FoundBy | undefined => {
  if (startKey !== undefined || startKeyPrefix !== undefined || user !== undefined) return undefined
  if (waitsFor !== undefined)
    return {
      ...byWait(sql, waitsFor),
      conditions: ({ saga, step, waitsFor, ...others }) => ({
        outside: [saga, step],
        rest: checked(sql, [waitsFor, ...Object.values(others)])
      })
    }
  if (parked === true)
    return failure === undefined && saga === undefined && step === undefined
      ? undefined
      : {
          ...byFailure(sql, saga),
          conditions: ({ failure, saga: _saga, step, parked: _, ...others }) => ({
            outside: [failure, step],
            rest: checked(sql, Object.values(others))
          })
        }
  if (undoing === true || failure !== undefined) return undefined
  return {
    ...byStatus(sql, saga),
    conditions: ({ parked, saga: _, settled, status, ...others }) => ({
      outside: [status, settled, parked],
      rest: checked(sql, Object.values(others))
    })
  }
}

/**
 * Conditions that are checked for each row. They are written so that no index can serve them and that the planner expects them
 * to hold often: else a plan that was made for empty tables reads all executions of a saga, to find those of one user.
 */
const checked = (sql: Sql, conditions: ReadonlyArray<Fragment | undefined>): ReadonlyArray<Fragment> =>
  conditions.flatMap((condition) => (condition === undefined ? [] : sql`case when ${condition} then true end`))

// ---- conditions ------------------------------------------------------------------------------------------------

type Conditions = { readonly [Name in keyof ExecutionSummary.Filter]-?: Fragment | undefined }
type Ranges = "createdAfter" | "createdBefore"

/** A text that cannot be stored is the text of no execution. Postgres would refuse the statement. */
const is = (
  sql: Sql,
  column: "saga" | "start_key" | "user_name" | "failure_tag" | "step" | "waits_for",
  text: string
): Fragment => (isStorable(text) ? sql`${sql(column)} = ${text}` : sql`false`)

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

/** The condition of the partial index of executions that roll back. */
export const undoing = (sql: Sql): Fragment =>
  sql`(direction = 'backward' and status in ('created', 'running', 'paused'))`

const isFor = (sql: Sql, waitsFor: string): Fragment => {
  const exact = is(sql, "waits_for", waitsFor)
  return isStorable(waitsFor) && ExecutionSummary.isService(waitsFor)
    ? sql`(${exact} or starts_with(waits_for, ${`${waitsFor}/`}))`
    : exact
}

/** All characters of a key are in the order of their bytes, so those that begin alike stand together. */
const beginsWith = (sql: Sql, prefix: string): Fragment => {
  if (!isStorable(prefix)) return sql`false`
  const key = sql`(start_key collate "C")`
  // The condition of the index is said too: a plan for a prefix that is not known yet could not use the index.
  return sql`start_key is not null and ${key} >= ${prefix} and starts_with(start_key, ${prefix})
              and ${key} <= (${prefix} || ${lastCharacter})`
}

/** No key has a greater character. */
const lastCharacter = "\u{10ffff}"

const byKey = (sql: Sql, isBackward: boolean): Fragment =>
  isBackward ? sql`order by (start_key collate "C") desc` : sql`order by (start_key collate "C")`

/** Texts where a partial index has the same text: with a parameter the plan could not use that index. */
const conditionsOf = (
  sql: Sql,
  {
    attributes,
    failure,
    parked,
    saga,
    settled,
    startKey,
    startKeyPrefix,
    status,
    step,
    undoing: isUndoing,
    user,
    waitsFor
  }: ExecutionSummary.Filter
): Omit<Conditions, Ranges> => ({
  saga: saga === undefined ? undefined : is(sql, "saga", saga),
  status: status === undefined ? undefined : sql`status = ${status}`,
  parked: parked === undefined ? undefined : parked ? sql`parked` : sql`not parked`,
  startKey: startKey === undefined ? undefined : is(sql, "start_key", startKey),
  startKeyPrefix: startKeyPrefix === undefined ? undefined : beginsWith(sql, startKeyPrefix),
  user: user === undefined ? undefined : is(sql, "user_name", user),
  attributes: has(sql, attributes),
  settled: settled === undefined ? undefined : settled ? sql`settled` : sql`not settled`,
  undoing: isUndoing === undefined ? undefined : isUndoing ? undoing(sql) : sql`not ${undoing(sql)}`,
  waitsFor: waitsFor === undefined ? undefined : isFor(sql, waitsFor),
  failure: failure === undefined ? undefined : is(sql, "failure_tag", failure),
  step: step === undefined ? undefined : is(sql, "step", step)
})

/** The condition whose index is read, and those that are checked for each row of it. */
const wayOf = (sql: Sql, conditions: Omit<Conditions, Ranges>) => {
  const { attributes, failure, parked, startKey, startKeyPrefix, undoing, user, ...others } = conditions
  const [way, ...more] = [startKey, startKeyPrefix, user, parked, undoing, failure, attributes].filter(
    (condition) => condition !== undefined
  )
  return { way, rest: checked(sql, [...more, ...Object.values(others)]) }
}

/** A time that stands in the column, whatever number that is: the next page begins after it. */
const stored = (millis: number): bigint => BigInt(Math.max(-(2 ** 63), Math.min(2 ** 63 - 1_024, Math.trunc(millis))))

const rangesOf = (
  sql: Sql,
  filter: ExecutionSummary.Filter,
  from: ExecutionSummary.Position | undefined,
  isBackward: boolean
): ReadonlyArray<Fragment | undefined> => {
  const { createdAfter, createdBefore } = filter
  return [
    createdBefore === undefined ? undefined : sql`created_at < ${whole(createdBefore)}`,
    createdAfter === undefined ? undefined : sql`created_at > ${whole(createdAfter)}`,
    from === undefined ? undefined : beyond(sql, from, ExecutionSummary.isByKey(filter), isBackward)
  ]
}

/** The places on the other side of a position. */
const beyond = (
  sql: Sql,
  { createdAt, startKey = "", uuid }: ExecutionSummary.Position,
  isByKey: boolean,
  isBackward: boolean
): Fragment => {
  if (!isByKey) {
    const place = sql`(${stored(createdAt)}, ${uuid}::uuid)`
    return isBackward ? sql`(created_at, uuid) > ${place}` : sql`(created_at, uuid) < ${place}`
  }
  if (!isStorable(startKey)) return sql`false`
  return isBackward ? sql`(start_key collate "C") < ${startKey}` : sql`(start_key collate "C") > ${startKey}`
}

const all = (sql: Sql, conditions: ReadonlyArray<Fragment | undefined>): Fragment => {
  const given = conditions.filter((condition) => condition !== undefined)
  return given.length === 0 ? sql`true` : sql.and(given)
}
