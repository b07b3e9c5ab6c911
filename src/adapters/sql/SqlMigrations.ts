/** The tables of all modules, made by hand: for a deployment whose processes may not make tables themselves. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Stream } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import { SqlClient } from "effect/sql"
import type { Connection } from "effect/sql/SqlConnection"
import * as SqlConnections from "./SqlConnections.ts"
import { quoted } from "./SqlStatements.ts"
import * as SqlTables from "./SqlTables.ts"

/** Each part with the table that lists its migrations, and its tables. */
export const parts = {
  executions: {
    module: "SqlSagaExecutionRepository",
    list: "saga_execution_migration",
    migrations: SqlTables.executions,
    tables: [
      "saga_execution",
      "saga_event",
      "saga_name",
      "saga_instance",
      "saga_inbox",
      "saga_schedule",
      "saga_attribute",
      "saga_queue",
      "saga_queue_key",
      "saga_queued"
    ]
  },
  participants: {
    module: "SqlParticipantStore",
    list: "saga_participant_migration",
    migrations: SqlTables.participants,
    tables: ["saga_transaction", "saga_barrier", "saga_doubt"]
  },
  "dead-letters": {
    module: "SqlDeadLetters",
    list: "saga_dead_letter_migration",
    migrations: SqlTables.deadLetters,
    tables: ["saga_dead_letter"]
  }
} as const

export type Part = keyof typeof parts

/** The names of the migrations of a part that a database has. None where the table is not there. */
export const done = Effect.fnUntraced(function* (options: SqlTables.TableOptions, part: Part) {
  const sql = yield* SqlClient.SqlClient
  const tables = yield* SqlTables.make(options, parts[part].module)
  const name = tables.of(parts[part].list)
  const [there] = yield* sql<{ there: boolean }>`select to_regclass(${quoted(name)}) is not null as there`
  if (there?.there !== true) return []
  const rows = yield* sql<{ id: number }>`select migration_id as id from ${sql(name)} order by 1`
  return rows.map(({ id }) => id)
})

/** All migrations of a part, in their order. */
export const names = (part: Part): ReadonlyArray<string> =>
  Object.keys(parts[part].migrations({ of: (table) => table, space: "", schema: undefined }))

/** How many migrations a database has that this release does not know: its tables are of a newer one, beside which this one works. */
export const newer = (part: Part, done: ReadonlyArray<number>): number =>
  done.filter((id) => !names(part).some((name) => Number(name.slice(0, 4)) === id)).length

/** Runs the migrations of a part that the database lacks, and gives their names. */
export const run = Effect.fnUntraced(function* (options: SqlTables.TableOptions, part: Part) {
  const { list, migrations, module } = parts[part]
  const before = yield* Effect.orElseSucceed(done(options, part), (): ReadonlyArray<number> => [])
  yield* SqlTables.setUp(options, yield* SqlConnections.make(module, {}), { module, list, migrations })
  return names(part).filter((name) => !before.includes(Number(name.slice(0, 4))))
})

/**
 * Gives a role what a running process needs in these tables: to read and write rows, not to change tables. A database that
 * is one of several has two tables more: a write locks rows of `saga_bucket`, and `saga_database` has its id.
 */
export const grants = Effect.fnUntraced(function* (options: SqlTables.TableOptions, part: Part, role: string) {
  const sql = yield* SqlClient.SqlClient
  const { list, module, tables: own } = parts[part]
  const tables = yield* SqlTables.make(options, module)
  const bucket = tables.of("saga_bucket")
  const ofBuckets = sql`do $grant$ begin
      if to_regclass(${sql.literal(`'${quoted(bucket)}'`)}) is not null then
        grant select, update on ${sql(bucket)} to ${sql(role)};
        grant select on ${sql(tables.of("saga_database"))} to ${sql(role)};
      end if;
    end $grant$`
  return [
    ...(part === "executions" ? [ofBuckets] : []),
    ...(tables.schema === undefined ? [] : [sql`grant usage on schema ${sql(tables.schema)} to ${sql(role)}`]),
    ...own.map((table) => sql`grant select, insert, update, delete on ${sql(tables.of(table))} to ${sql(role)}`),
    // A process that starts looks which migrations have run.
    sql`grant select on ${sql(tables.of(list))} to ${sql(role)}`
  ]
})

/** A client that runs nothing, and records what it is given. */
const recording = (texts: Array<string>) => {
  const nothing = (text: string) =>
    Effect.sync((): Array<never> => {
      texts.push(text.replaceAll(/\n {4,6}/g, "\n  "))
      return []
    })
  const connection: Connection = {
    execute: nothing,
    executeRaw: nothing,
    executeStream: () => Stream.empty,
    executeValues: nothing,
    executeValuesUnprepared: nothing,
    executeUnprepared: nothing
  }
  return SqlClient.make({
    acquirer: Effect.succeed(connection),
    compiler: PgClient.makeCompiler(),
    driver: "none",
    spanAttributes: []
  })
}

/** The statements of all migrations of a part, with those that note that they have run; nothing is asked of a database. */
export const statements = Effect.fnUntraced(function* (options: SqlTables.TableOptions, part: Part, role?: string) {
  const texts: Array<string> = []
  const { list, migrations, module } = parts[part]
  const tables = yield* SqlTables.make(options, module)
  yield* Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    if (tables.schema !== undefined) yield* sql`create schema if not exists ${sql(tables.schema)}`
    yield* sql`create table if not exists ${sql(tables.of(list))} (
      migration_id integer primary key,
      created_at timestamp with time zone not null default now(),
      name text not null
    )`
    for (const [name, migration] of Object.entries(migrations(tables))) {
      yield* migration
      texts.push(
        `insert into ${quoted(tables.of(list))} (migration_id, name) values (${Number(name.slice(0, 4))}, '${name.slice(5)}') on conflict do nothing`
      )
    }
    for (const grant of role === undefined ? [] : yield* grants(options, part, role)) yield* grant
  }).pipe(
    Effect.provideServiceEffect(SqlClient.SqlClient, recording(texts)),
    Effect.provide(Reactivity.layer),
    Effect.scoped
  )
  return texts
})
