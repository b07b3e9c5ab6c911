/** Where the tables of the library are, and how they come there: numbered migrations, forward only. */
import { Effect, Schema } from "effect"
import { Migrator, SqlClient } from "effect/sql"
import { sha256 } from "../../wire/CanonicalJson.ts"

/** A schema or a prefix that could not stand in a statement (SPEC C11). */
export class InvalidTableName extends Schema.TaggedError<InvalidTableName>()("InvalidTableName", {
  option: Schema.Literals(["schema", "prefix"]),
  value: Schema.String
}) {
  override get message(): string {
    return `The ${this.option} ${JSON.stringify(this.value)} does not match ^[a-z_][a-z0-9_]{0,40}$`
  }
}

export interface TableOptions {
  /** Made if it is not there. Default: the one that the connection uses. */
  readonly schema?: string
  /** Before the name of every table. Default: nothing. */
  readonly prefix?: string
}

const name = /^[a-z_][a-z0-9_]{0,40}$/

export interface Tables {
  /** The full name of a table, to be quoted by the client. */
  readonly of: (table: string) => string
  /** A name of their own for channels and locks. */
  readonly space: string
  readonly schema: string | undefined
}

export const make = Effect.fnUntraced(function* ({ prefix = "", schema }: TableOptions) {
  if (schema !== undefined && !name.test(schema))
    return yield* new InvalidTableName({ option: "schema", value: schema })
  if (prefix !== "" && !name.test(prefix)) return yield* new InvalidTableName({ option: "prefix", value: prefix })
  const tables: Tables = {
    of: (table) => (schema === undefined ? "" : `${schema}.`) + prefix + table,
    space: shortened(`${schema ?? "public"}_${prefix}saga`),
    schema
  }
  return tables
})

/** Postgres takes names of up to 63 bytes. */
const shortened = (name: string): string => (name.length <= 63 ? name : `saga_${sha256(name).slice(0, 32)}`)

/** Runs what is missing of a list of migrations. One process does; the others wait for it. */
export const migrate = Effect.fnUntraced(function* (
  tables: Tables,
  list: string,
  migrations: Record<string, Effect.Effect<unknown, unknown, SqlClient.SqlClient>>
) {
  const sql = yield* SqlClient.SqlClient
  const run = Migrator.make({})({ table: tables.of(list), loader: Migrator.fromRecord(migrations) })
  yield* Effect.gen(function* () {
    // By schema and not by prefix: two that make the same schema at once would fail.
    yield* sql`select pg_advisory_xact_lock(hashtext(${`effect-saga ${tables.schema ?? ""}`}))`
    if (tables.schema !== undefined) yield* sql`create schema if not exists ${sql(tables.schema)}`
    yield* run
  }).pipe(sql.withTransaction)
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

/** Times are whole milliseconds; what a caller gives may be anything. */
export const whole = (millis: number): bigint =>
  BigInt(Math.trunc(Math.max(-8.64e15, Math.min(8.64e15, Number.isNaN(millis) ? 0 : millis))))
