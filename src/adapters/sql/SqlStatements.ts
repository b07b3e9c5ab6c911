/** Common parts of statements: their type, uuids of their rows, and how times get into a column. */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import type * as Sql from "effect/sql/Statement"

export type Statement<A> = Effect.Effect<A, SqlError>

export const uuidsOf = (rows: Statement<ReadonlyArray<{ readonly uuid: string }>>): Statement<ReadonlyArray<string>> =>
  Effect.map(rows, (rows) => rows.map(({ uuid }) => uuid))

/** A time as a column takes it: whole milliseconds, within the range of dates. A caller may give any number. */
export const whole = (millis: number): bigint =>
  BigInt(Math.trunc(Math.max(-8.64e15, Math.min(8.64e15, Number.isNaN(millis) ? 0 : millis))))

/**
 * The condition that a column has the value of a key, for `update` and `delete` of rows whose keys come from a list. It leaves
 * the planner nothing but to look each key up in an index: an array is compared by no other kind of join, and the second part,
 * which always holds, makes the planner expect few keys. A plain `=` gets a plan, made while the table is nearly empty and
 * kept by its connection, that reads the whole table for ever.
 */
export const isKey = (sql: SqlClient.SqlClient, column: Sql.Fragment, key: Sql.Fragment): Sql.Fragment =>
  sql`${column} = any(array[${key}]) and (${key} is not null)::int = 1`

/**
 * Keys as rows, for a join that looks each of them up. The inner `select` hides from the planner how many there are. For one key it would
 * find a plan of its own cheaper than the kept one for ten, and so make a new plan each time, which takes longer than to run it.
 */
export const keyRows = (sql: SqlClient.SqlClient, keys: ReadonlyArray<string>, type: "uuid" | "text"): Sql.Fragment =>
  sql`unnest((select ${keys}::${sql.literal(type)}[]))`

/** The full name of a table, as Postgres reads it in a text. */
export const quoted = (name: string): string =>
  name
    .split(".")
    .map((it) => `"${it}"`)
    .join(".")

type TableName = ReturnType<SqlClient.SqlClient>

/** The names of the tables of executions, as parts of statements. */
export interface TableNames {
  readonly execution: TableName
  readonly event: TableName
  readonly name: TableName
  readonly instance: TableName
  readonly inbox: TableName
  readonly schedule: TableName
  readonly attribute: TableName
  readonly queue: TableName
  readonly queueKey: TableName
  readonly queued: TableName
}

/**
 * A statement whose text never changes, put together once: it leaves with every write, and to put it together costs as much
 * as to send it. `statement` has any values in place of the parameters; the function takes them in the same order.
 */
export const withFixedText = <Row extends object>(
  sql: SqlClient.SqlClient,
  statement: Sql.Statement<object>
): ((parameters: ReadonlyArray<unknown>) => Statement<ReadonlyArray<Row>>) => {
  const [text] = statement.compile(true)
  return (parameters) => sql.unsafe<Row>(text, parameters)
}
