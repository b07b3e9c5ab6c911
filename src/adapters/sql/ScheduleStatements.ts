/** The statements of schedules: a row each, with the last tick. */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import type { SagaExecutionRepositoryError } from "../../ports/RepositoryErrors.ts"
import type { ScheduleTicks } from "../../ports/ScheduleTicks.ts"
import type { Statement, TableNames } from "./SqlStatements.ts"
import { whole } from "./SqlStatements.ts"

export interface ScheduleStatements {
  /** The last tick of a schedule, in milliseconds since the epoch; `since` where it has none, which is remembered. */
  readonly lastTick: (schedule: string, since: number) => Statement<number>
  /** Makes a time the last tick, unless the schedule has this one or a later one: false. */
  readonly advance: (schedule: string, at: number) => Statement<boolean>
  /** Makes a time the last tick where that is later than `beyond`. False: it is not. */
  readonly putTickBack: (schedule: string, at: number, beyond: number) => Statement<boolean>
}

// ---- Postgres --------------------------------------------------------------------------------------------------

export const scheduling = (sql: SqlClient.SqlClient, { schedule: table }: TableNames): ScheduleStatements => ({
  lastTick: (schedule, since) =>
    Effect.map(
      sql<{ readonly tick: bigint | number }>`with made as (
              insert into ${table} (name, tick) values (${schedule}, ${whole(since)}) on conflict (name) do nothing
              returning tick
            )
            select tick from made union all select tick from ${table} where name = ${schedule} limit 1`,
      // Another process has made the row at this moment: it is read at the next turn.
      ([row]) => Number(row?.tick ?? since)
    ),
  advance: (schedule, at) =>
    Effect.map(
      sql`insert into ${table} as t (name, tick) values (${schedule}, ${whole(at)})
          on conflict (name) do update set tick = excluded.tick where t.tick < excluded.tick returning t.tick`,
      (rows) => rows.length > 0
    ),
  putTickBack: (schedule, at, beyond) =>
    Effect.map(
      sql`update ${table} set tick = ${whole(at)} where name = ${schedule} and tick > ${whole(beyond)} returning tick`,
      (rows) => rows.length > 0
    )
})

/** The port on these statements. */
export const ticksOn = (
  { advance, lastTick, putTickBack }: ScheduleStatements,
  call: <A>(operation: "schedule", statement: Statement<A>) => Effect.Effect<A, SagaExecutionRepositoryError>
): ScheduleTicks => ({
  last: (...question) => call("schedule", lastTick(...question)),
  advance: (...tick) => call("schedule", advance(...tick)),
  putBack: (...tick) => call("schedule", putTickBack(...tick))
})
