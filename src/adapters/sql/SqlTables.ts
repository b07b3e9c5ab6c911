/** The names of the library's tables, and the migrations that make them: numbered, forward only. */
import { Cause, type Duration, Effect } from "effect"
import { Migrator, SqlClient } from "effect/sql"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import type * as Setting from "../../ports/Setting.ts"
import { InvalidSetting } from "../../ports/Setting.ts"
import { sha256 } from "../../wire/CanonicalJson.ts"
import type { ConnectionOptions, SqlConnections } from "./SqlConnections.ts"
import { aboutTables, again, isRolledBack, sqlErrorsOf } from "./SqlErrors.ts"
import { lost } from "./SqlSession.ts"

export interface TableOptions {
  /**
   * The schema of the tables; made if it is missing. A lower-case name of up to 41 letters, digits and `_` that begins
   * with no digit (SPEC C11), else `InvalidSetting`. Default: the schema that the connection uses.
   */
  readonly schema?: string
  /** Before the name of every table, within the same rules. Default: nothing. Set it where two programs share a schema. */
  readonly prefix?: string
}

/** The options that every layer with tables has. */
export const options: Setting.Names<TableOptions & ConnectionOptions> = {
  schema: true,
  prefix: true,
  statementTimeout: true
}

const name = /^[a-z_][a-z0-9_]{0,40}$/

export interface Tables {
  /** The full name of a table, to be quoted by the client. */
  readonly of: (table: string) => string
  /** A name for channels and locks that only these tables use. */
  readonly space: string
  readonly schema: string | undefined
}

/** `module` stands before the option in the name of an invalid setting. */
export const make = Effect.fnUntraced(function* (
  { prefix = "", schema }: TableOptions,
  module: string
): Effect.fn.Return<Tables, InvalidSetting> {
  const check = (option: "schema" | "prefix", value: string) =>
    typeof value === "string" && name.test(value)
      ? Effect.void
      : new InvalidSetting({
          setting: `${module}.${option}`,
          issue: `${typeof value === "string" ? JSON.stringify(value) : `a ${typeof value}`} does not match ${name.source}`
        })
  if (schema !== undefined) yield* check("schema", schema)
  if (prefix !== "") yield* check("prefix", prefix)
  return {
    of: (table) => (schema === undefined ? "" : `${schema}.`) + prefix + table,
    space: shortened(`${schema ?? "public"}_${prefix}saga`),
    schema
  }
})

/** A name in Postgres has at most 63 bytes. */
const shortened = (name: string): string => (name.length <= 63 ? name : `saga_${sha256(name).slice(0, 32)}`)

export type SetUpError = InvalidSetting | Migrator.MigrationError | SqlError

/** How long a process waits for the migrations, of itself or of another process. */
const migrationTimeout: Duration.Input = "10 minutes"

/** The tables of a module: their checked names, after the migrations that the database lacks. */
export const setUp = Effect.fnUntraced(function* (
  options: TableOptions,
  { transaction }: SqlConnections,
  {
    list,
    migrations,
    module
  }: {
    readonly module: string
    /** The table that lists the migrations that have run. */
    readonly list: string
    readonly migrations: (tables: Tables) => Migrations
  }
): Effect.fn.Return<Tables, SetUpError, SqlClient.SqlClient> {
  const tables = yield* make(options, module)
  // Processes of the release before may be at work: of two that wait for each other's tables the database ends one.
  const migrated = Effect.retry(migrate(tables, transaction, list, migrations(tables)), {
    while: (error) => sqlErrorsOf(Cause.fail(error)).some(isInTheWay),
    schedule: again
  })
  yield* Effect.timeoutOrElse(migrated, {
    duration: migrationTimeout,
    orElse: () => Effect.fail(lost("StatementTimeout"))
  }).pipe(Effect.mapError((error) => (isSqlError(error) ? aboutTables(module, error) : error)))
  return tables
})

/** Another transaction was in the way, and nothing of this one is kept. */
const isInTheWay = (error: SqlError): boolean => isRolledBack(error) || error.reason._tag === "LockTimeoutError"

type Migrations = Record<string, Effect.Effect<unknown, unknown, SqlClient.SqlClient>>

/**
 * Whether all have run. A role that may make no tables starts where they have: `if not exists` needs that right all the same. The rows of
 * the catalog are read: a session would remember from `to_regclass` that there is no schema, and make it beside another one.
 */
const isMigrated = Effect.fnUntraced(function* (tables: Tables, list: string, migrations: Migrations) {
  const sql = yield* SqlClient.SqlClient
  const [name = "", schema] = tables.of(list).split(".").reverse()
  const [there] = yield* sql`select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relname = ${name} and ${schema === undefined ? sql`n.nspname = any(current_schemas(false))` : sql`n.nspname = ${schema}`}`
  if (there === undefined) return false
  const [row] = yield* sql<{ last: number | null }>`select max(migration_id) as last from ${sql(tables.of(list))}`
  return Object.keys(migrations).every((name) => Number(name.slice(0, 4)) <= (row?.last ?? 0))
})

/** One process runs the migrations; the others wait for it. */
const migrate = Effect.fnUntraced(function* (
  tables: Tables,
  transaction: SqlConnections["transaction"],
  list: string,
  migrations: Migrations
) {
  const sql = yield* SqlClient.SqlClient
  if (yield* isMigrated(tables, list, migrations)) return
  const run = Migrator.make({})({ table: tables.of(list), loader: Migrator.fromRecord(migrations) })
  yield* Effect.gen(function* () {
    // The lock is for the whole schema: two processes that make the same schema at once would fail.
    yield* sql`select pg_advisory_xact_lock(hashtext(${`effect-saga ${tables.schema ?? ""}`}))`
    if (tables.schema !== undefined) yield* sql`create schema if not exists ${sql(tables.schema)}`
    yield* run
  }).pipe(transaction)
})

const naming = (sql: SqlClient.SqlClient, tables: Tables) => ({
  t: (table: string) => sql(tables.of(table)),
  index: (table: string, suffix: string) => sql(`${tables.of(table).split(".").at(-1)}_${suffix}`)
})

/** The tables of executions. */
export const executions = (tables: Tables) => ({
  "0001_executions": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { index, t } = naming(sql, tables)
    yield* sql`create table ${t("saga_execution")} (
      uuid uuid primary key,
      start_key text,
      saga text not null,
      fingerprint text not null,
      status text not null,
      direction text not null,
      decision text,
      commit_state text not null,
      user_name text,
      parked boolean not null,
      failure_tag text,
      failure_path text,
      revision int not null,
      settled boolean not null,
      claimable boolean not null,
      owner text,
      wake_at bigint,
      created_at bigint not null,
      updated_at bigint not null
    ) with (fillfactor = 70)`
    yield* sql`create index ${index("saga_execution", "newest")} on ${t("saga_execution")} (created_at desc, uuid desc)`
    yield* sql`create index ${index("saga_execution", "start_key")} on ${t("saga_execution")} (start_key)
      where start_key is not null`
    yield* sql`create index ${index("saga_execution", "due")} on ${t("saga_execution")} (wake_at) where claimable`
    yield* sql`create index ${index("saga_execution", "parked")} on ${t("saga_execution")} (created_at desc, uuid desc)
      where parked`
    yield* sql`create table ${t("saga_event")} (
      uuid uuid not null,
      revision int not null,
      write_id text not null,
      facts text not null,
      primary key (uuid, revision)
    )`
    yield* sql`create table ${t("saga_name")} (
      name text primary key,
      uuid uuid not null,
      start_key text,
      saga text not null,
      context_hash text not null,
      outcome text
    )`
    yield* sql`create index ${index("saga_name", "uuid")} on ${t("saga_name")} (uuid)`
    yield* sql`create table ${t("saga_instance")} (
      id text primary key,
      epoch int not null,
      lease_until timestamptz not null
    )`
  }),
  /**
   * Only adds, so that the former release works on beside this one: it writes no `inbox`. The number of rows stands in the
   * row of the execution, under whose lock writers and senders meet. It is never below 0 (`WriteStatements`).
   */
  "0002_inbox": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { index, t } = naming(sql, tables)
    yield* sql`alter table ${t("saga_execution")} add column inbox int`
    yield* sql`alter table ${t("saga_execution")}
      add constraint ${index("saga_execution", "inbox")} check (inbox >= 0) not valid`
    yield* sql`create table ${t("saga_inbox")} (
      uuid uuid not null references ${t("saga_execution")} (uuid) on delete cascade,
      id text not null,
      input text not null,
      actor text,
      reason text,
      at bigint not null,
      primary key (uuid, id)
    )`
  }),
  /**
   * Adds columns that may be null, and indexes: the former release works on beside this one. `listed` does what `newest` did, which
   * cost an entry at the start and at the end: without it only a list of the former release is slower. `settled_at` is null
   * until the execution is settled, and in rows of the former release also after that: an index on `updated_at` would cost an
   * entry in every index with each write of the row. What is there already was made by hand, while processes wrote
   * (docs/operations.md). `signals`: the names of those that the execution has waits for. Later releases fill `attributes` and
   * `trace`, the context of the start. `watched`: a caller in another process than the one that has started the execution waits for it.
   */
  "0003_stored": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { index, t } = naming(sql, tables)
    const execution = t("saga_execution")
    yield* sql`alter table ${execution} add column if not exists step text,
      add column if not exists step_path text, add column if not exists waits_for text,
      add column if not exists waiting_since bigint, add column if not exists settled_at bigint,
      add column if not exists attributes jsonb, add column if not exists trace text,
      add column if not exists signals text[], add column if not exists watched boolean`
    yield* sql`create index if not exists ${index("saga_execution", "listed")} on ${execution}
      (saga, status, settled, created_at desc, uuid desc)`
    yield* sql`create index if not exists ${index("saga_execution", "user")} on ${execution} (user_name, created_at desc, uuid desc)
      where user_name is not null`
    yield* sql`create index if not exists ${index("saga_execution", "unsettled")} on ${execution} (saga, fingerprint)
      where not settled`
    yield* sql`create index if not exists ${index("saga_execution", "over")} on ${execution} (settled_at) where settled_at is not null`
    yield* sql`create index if not exists ${index("saga_execution", "former")} on ${execution} (created_at)
      where settled and settled_at is null`
    const newest = `${tables.of("saga_execution")}_newest`
    yield* sql`drop index if exists ${sql(newest)}`
  }),
  /** The last tick of each schedule, in milliseconds since the epoch. */
  "0004_schedules": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { t } = naming(sql, tables)
    yield* sql`create table ${t("saga_schedule")} (name text primary key, tick bigint not null)`
  }),
  /**
   * The attributes by which executions are found. They have a table of their own, because its index has the newest executions of each
   * value in the order of a list. A former release leaves it alone, and its rows go with their execution.
   */
  "0005_attributes": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { index, t } = naming(sql, tables)
    yield* sql`create table ${t("saga_attribute")} (
      uuid uuid references ${t("saga_execution")} (uuid) on delete cascade,
      name text not null,
      value text not null,
      created_at bigint not null,
      primary key (uuid, name)
    )`
    yield* sql`create index ${index("saga_attribute", "listed")} on ${t("saga_attribute")}
      (name, value, created_at desc, uuid desc)`
  }),
  /**
   * Queues, and the places of executions in them: a row for each that has a place or wants one. Keys are in the order of their bytes,
   * so that turns do not depend on the language of a database. `turn` is the number of admissions: it tells one that another has come
   * between its look and its lock. A former release leaves these tables alone, and cannot read what is in a queue.
   */
  /**
   * `kind`: the fingerprint of the execution. What waits is found by the definitions that a process knows, so that others in front of it
   * hold up nothing. Places that are held have an index of their own: they are counted, whatever they are of.
   */
  "0006_queues": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { index, t } = naming(sql, tables)
    yield* sql`create table ${t("saga_queue")} (
      name text primary key,
      concurrency int not null,
      max_queued int not null,
      rate int,
      rate_per bigint,
      key_concurrency int,
      key_rate int,
      key_rate_per bigint,
      declared text not null,
      turn bigint not null default 0,
      cursor text collate "C" not null default '',
      tokens float8,
      tokens_at float8
    )`
    yield* sql`create table ${t("saga_queue_key")} (
      queue text not null,
      key text collate "C" not null,
      tokens float8 not null,
      tokens_at float8 not null,
      primary key (queue, key)
    )`
    yield* sql`create index ${index("saga_queue_key", "refilled")} on ${t("saga_queue_key")} (queue, tokens_at)`
    yield* sql`create table ${t("saga_queued")} (
      uuid uuid primary key references ${t("saga_execution")} (uuid) on delete cascade,
      queue text not null,
      key text collate "C" not null,
      priority int not null,
      since bigint not null,
      place text not null,
      kind text collate "C" not null
    )`
    yield* sql`create index ${index("saga_queued", "line")} on ${t("saga_queued")}
      (queue, place, kind, key, priority desc, since, uuid) where place <> 'held'`
    yield* sql`create index ${index("saga_queued", "held")} on ${t("saga_queued")} (queue, key) where place = 'held'`
  }),
  /**
   * Indexes only: those of the filters of a list, and of the groups that people look at (`ListStatements`). Each has the rows of a few
   * executions: of those that wait, that are parked, that have failed, that roll back, or that have a `startKey`. On a large
   * table they may be made by hand before, while processes write (docs/operations.md).
   */
  "0007_inspector": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { index, t } = naming(sql, tables)
    const execution = t("saga_execution")
    yield* sql`create index if not exists ${index("saga_execution", "waiting")} on ${execution}
      (waits_for collate "C", saga, step, created_at desc, uuid desc) include (waiting_since)
      where waits_for is not null and not settled and (status = 'paused' or direction = 'backward')`
    yield* sql`create index if not exists ${index("saga_execution", "set_aside")} on ${execution}
      (saga, commit_state, (coalesce(failure_tag, '')), (coalesce(step, '')), created_at desc, uuid desc) where parked`
    yield* sql`create index if not exists ${index("saga_execution", "failed")} on ${execution}
      (failure_tag, created_at desc, uuid desc) where failure_tag is not null`
    yield* sql`create index if not exists ${index("saga_execution", "undoing")} on ${execution} (created_at desc, uuid desc)
      include (saga, status) where direction = 'backward' and status in ('created', 'running', 'paused')`
    yield* sql`create index if not exists ${index("saga_execution", "by_key")} on ${execution} ((start_key collate "C"))
      where start_key is not null`
  }),
  /**
   * `grouped` does what `listed` did, and has those that are parked apart: a list of the others reads past none of them. A former
   * release reads by it as well, and sorts what it finds.
   */
  "0008_grouped": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { index, t } = naming(sql, tables)
    yield* sql`create index if not exists ${index("saga_execution", "grouped")} on ${t("saga_execution")}
      (saga, status, settled, parked, created_at desc, uuid desc)`
    yield* sql`drop index if exists ${sql(`${tables.of("saga_execution")}_listed`)}`
  })
})

/** The tables of participants. */
export const participants = (tables: Tables) => ({
  "0001_participants": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { index, t } = naming(sql, tables)
    yield* sql`create table ${t("saga_transaction")} (
      service text not null,
      uuid uuid not null,
      coordinator text,
      status text not null,
      not_after bigint not null,
      heuristic boolean not null,
      updated_at bigint not null,
      primary key (service, uuid)
    ) with (fillfactor = 70)`
    yield* sql`create index ${index("saga_transaction", "open")} on ${t("saga_transaction")} (service, status, uuid)
      where status in ('pending', 'reserved')`
    yield* sql`create index ${index("saga_transaction", "over")} on ${t("saga_transaction")} (service, not_after)
      where status in ('committed', 'rejected')`
    yield* sql`create table ${t("saga_barrier")} (
      service text not null,
      id text not null,
      transaction_uuid uuid,
      coordinator text not null,
      request text,
      status smallint not null,
      reply text,
      effect text not null,
      open boolean not null,
      not_after bigint not null,
      created_at bigint not null,
      primary key (service, id)
    )`
    yield* sql`create index ${index("saga_barrier", "transaction")} on ${t("saga_barrier")} (service, transaction_uuid)
      where transaction_uuid is not null`
    yield* sql`create index ${index("saga_barrier", "alone")} on ${t("saga_barrier")} (service, not_after)
      where transaction_uuid is null`
  }),
  /** Those that have voted and do not know the decision, the oldest first; and what people decide about them. */
  "0002_in_doubt": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { index, t } = naming(sql, tables)
    yield* sql`create index if not exists ${index("saga_transaction", "in_doubt")} on ${t("saga_transaction")} (updated_at)
      where status = 'reserved'`
    yield* sql`create table if not exists ${t("saga_doubt")} (
      service text not null,
      uuid uuid not null,
      decision text not null,
      actor text not null,
      reason text not null,
      at bigint not null,
      outcome text,
      primary key (service, uuid)
    )`
    yield* sql`create index if not exists ${index("saga_doubt", "open")} on ${t("saga_doubt")} (service, at)
      where outcome is null`
    yield* sql`create index if not exists ${index("saga_doubt", "over")} on ${t("saga_doubt")} (service, at)
      where outcome is not null`
  }),
  /**
   * The oldest come first: of those that wait and are young nothing is read, however many there are. A former release finds its rows
   * by this index as well.
   */
  "0003_oldest": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { index, t } = naming(sql, tables)
    yield* sql`create index if not exists ${index("saga_transaction", "oldest")} on ${t("saga_transaction")}
      (service, status, updated_at, uuid) where status in ('pending', 'reserved')`
    yield* sql`drop index if exists ${sql(`${tables.of("saga_transaction")}_open`)}`
  }),
  /**
   * Messages whose answer comes later. A former release writes none, reads none (their status is new to it), and removes none of a
   * transaction, as they are open.
   */
  "0004_accepted": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { index, t } = naming(sql, tables)
    yield* sql`alter table ${t("saga_barrier")} add column if not exists accepted text`
    yield* sql`create index if not exists ${index("saga_barrier", "accepted")} on ${t("saga_barrier")}
      (service, transaction_uuid) where status = 202`
  })
})

/** The table of dead letters. */
export const deadLetters = (tables: Tables) => ({
  "0001_dead_letters": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { t } = naming(sql, tables)
    yield* sql`create table ${t("saga_dead_letter")} (
      id bigint generated always as identity primary key,
      received_at bigint not null,
      topic text not null,
      sender text not null,
      reason text not null,
      size bigint not null,
      sha256 text not null
    )`
  })
})
