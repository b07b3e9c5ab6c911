/** What all statements share: their type, how they are made from a client, and how times get into a column. */
import { type Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"

export type Statement<A> = Effect.Effect<A, SqlError>

/** Statements made from the `SqlClient`. They name columns as they are, whatever names the client transforms for others. */
export const layer = <I, S>(
  service: Context.Service<I, S>,
  make: (sql: SqlClient.SqlClient) => S
): Layer.Layer<I, never, SqlClient.SqlClient> =>
  Layer.effect(
    service,
    Effect.map(SqlClient.SqlClient, (client) => make(client.withoutTransforms()))
  )

export const uuidsOf = (rows: Statement<ReadonlyArray<{ readonly uuid: string }>>): Statement<ReadonlyArray<string>> =>
  Effect.map(rows, (rows) => rows.map(({ uuid }) => uuid))

/** A time as a column takes it: whole milliseconds, within the range of dates. A caller may give any number. */
export const whole = (millis: number): bigint =>
  BigInt(Math.trunc(Math.max(-8.64e15, Math.min(8.64e15, Number.isNaN(millis) ? 0 : millis))))
