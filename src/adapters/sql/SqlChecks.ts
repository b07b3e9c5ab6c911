/** What a database says of itself, for `effect-saga doctor`: that it is reached, its version, rights, migrations and clock. */
import { Clock, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { inWords } from "../../ports/DatabaseCode.ts"
import { codeOf } from "./SqlErrors.ts"
import * as Migrations from "./SqlMigrations.ts"
import { quoted } from "./SqlStatements.ts"
import * as SqlTables from "./SqlTables.ts"

export interface Found {
  readonly what: string
  readonly state: "ok" | "failed" | "skipped"
  readonly found: string
}

/** The release of Postgres that this library is tested with, at least. */
const leastVersion = 14
/** The clocks of a process and its database may differ by this much, in milliseconds: the slack of a lease. */
const mostSkew = 2_000

const parts: ReadonlyArray<Migrations.Part> = ["executions", "participants", "dead-letters"]

export const checks = (
  options: SqlTables.TableOptions
): Effect.Effect<ReadonlyArray<Found>, never, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const before = yield* Clock.currentTimeMillis
    const [row] = yield* sql<{ version: string; number: number; now: number; role: string }>`select
      current_setting('server_version') as version, current_setting('server_version_num')::int as number,
      (extract(epoch from clock_timestamp()) * 1000)::float8 as now, current_user as role`
    if (row === undefined) return []
    const after = yield* Clock.currentTimeMillis
    const skew = Math.round(Math.max(0, before - row.now, row.now - after))
    const isNew = row.number >= leastVersion * 10_000
    return [
      { what: "database", state: isNew ? "ok" : "failed", found: `Postgres ${row.version}, as ${row.role}` } as const,
      ...(yield* Effect.forEach(parts, (part) => ofPart(options, part))),
      ...(yield* ofBuckets(options)),
      {
        what: "clock",
        state: skew <= mostSkew ? "ok" : "failed",
        found: `differs by ${skew} ms at least from this machine`
      } as const
    ]
  }).pipe(
    Effect.catch((error) =>
      Effect.succeed<ReadonlyArray<Found>>([
        {
          what: "database",
          state: "failed",
          found: error._tag === "SqlError" ? `cannot be used (${inWords(codeOf(error))})` : error.message
        }
      ])
    )
  )

const ofRelease = (part: Migrations.Part, ran: ReadonlyArray<number>): string => {
  const more = Migrations.newer(part, ran)
  return more === 0
    ? `${ran.length} migrations`
    : `the tables are of a newer release: ${ran.length} migrations, ${more} of them not known to this one`
}

/** The migrations of a part, and the rights in its tables. */
const ofPart = Effect.fnUntraced(function* (options: SqlTables.TableOptions, part: Migrations.Part) {
  const sql = yield* SqlClient.SqlClient
  const ran = yield* Migrations.done(options, part)
  const missing = Migrations.names(part).filter((name) => !ran.includes(Number(name.slice(0, 4))))
  if (ran.length === 0)
    return {
      what: part,
      state: part === "executions" ? "failed" : "skipped",
      found: part === "executions" ? "no tables: effect-saga migrate" : "no tables: this program may need none"
    } as const
  if (missing.length > 0)
    return { what: part, state: "failed", found: `lacks ${missing.join(", ")}: effect-saga migrate` } as const
  const tables = yield* SqlTables.make(options, Migrations.parts[part].module)
  const refused: Array<string> = []
  for (const table of Migrations.parts[part].tables) {
    const name = quoted(tables.of(table))
    const [may] = yield* sql<{ may: boolean }>`select has_table_privilege(${name}, 'select')
      and has_table_privilege(${name}, 'insert') and has_table_privilege(${name}, 'update')
      and has_table_privilege(${name}, 'delete') as may`
    if (may?.may !== true) refused.push(table)
  }
  return refused.length === 0
    ? ({ what: part, state: "ok", found: `${ofRelease(part, ran)}, rights to read and write` } as const)
    : ({
        what: part,
        state: "failed",
        found: `no rights in ${refused.join(", ")}: effect-saga migrate --app-role`
      } as const)
})

/** Of a database that is one of several. Each write locks a row of `saga_bucket`. */
const ofBuckets = Effect.fnUntraced(function* (options: SqlTables.TableOptions) {
  const sql = yield* SqlClient.SqlClient
  const name = quoted((yield* SqlTables.make(options, "SqlBuckets")).of("saga_bucket"))
  // Null: the table is not there.
  const [table] = yield* sql<{ may: boolean | null }>`select has_table_privilege(to_regclass(${name}), 'select')
    and has_any_column_privilege(to_regclass(${name}), 'update') as may`
  if (table?.may == null) return []
  if (!table.may)
    return [
      { what: "buckets", state: "failed", found: "no rights in saga_bucket: effect-saga migrate --app-role" }
    ] as const
  const [row] = yield* sql<{
    here: number
  }>`select count(*)::int as here from ${sql.literal(name)} where state = 'here'`
  return [{ what: "buckets", state: "ok", found: `serves ${row?.here ?? 0} of 256` }] as const
})
