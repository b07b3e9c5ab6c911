/**
 * Which buckets a database serves, where executions are spread over several. Each database has a table of its buckets, and triggers
 * that look into it as part of every write: so a write into a bucket that the database does not serve is refused by the database
 * itself, whatever the process believes, and also if the process knows nothing of buckets. A database that is not one of several
 * has neither the table nor the triggers.
 *
 * A bucket has an *epoch*, the number of its moves. The database with the highest epoch has the bucket, and no other one serves it.
 */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { type BucketState, bucketCount } from "../../ports/Buckets.ts"
import { codeOf, notServed } from "./SqlErrors.ts"
import { quoted, type Statement } from "./SqlStatements.ts"
import type * as SqlTables from "./SqlTables.ts"

/** A bucket as a database has it. */
export interface BucketRow {
  readonly bucket: number
  readonly epoch: number
  readonly state: BucketState
  /** The id of the database to which the bucket moves, or has moved. */
  readonly peer: string | null
}

/** A database that is asked which buckets it serves. */
export interface BucketTable {
  /** Undefined where the database is not one of several. */
  readonly id: Statement<string | undefined>
  /** Empty where the database has no table: it serves nothing as one of several. */
  readonly rows: Statement<ReadonlyArray<BucketRow>>
  /** Makes the table and the triggers where they are missing, and gives the id of the database. Nothing is served by that. */
  readonly prepare: Statement<string>
  /** Serves all buckets from now on. False, and nothing is changed: it has some already. */
  readonly begin: Statement<boolean>
  /** Makes a bucket leave for a database. Undefined: this one does not serve it, or it leaves for another one. */
  readonly leave: (bucket: number, peer: string) => Statement<number | undefined>
  /**
   * Whether a bucket leaves with this epoch. Writes into it that have begun before have ended then, and the row is locked until the
   * end of the transaction.
   */
  readonly isLeaving: (bucket: number, epoch: number) => Statement<boolean>
  /** A bucket that leaves with this epoch stays. Only for who has the row of the bucket at the other database. */
  readonly stay: (bucket: number, epoch: number) => Statement<void>
  /** Serves a bucket that comes with an epoch. False: it has come with this one before. */
  readonly arrive: (bucket: number, epoch: number) => Statement<boolean>
  /** The bucket has left. */
  readonly gone: (bucket: number) => Statement<void>
  /** Lets this transaction write rows of buckets that the database does not serve. */
  readonly moving: Statement<void>
}

export const make = (client: SqlClient.SqlClient, tables: SqlTables.Tables): BucketTable => {
  const sql = client.withoutTransforms()
  const table = sql(tables.of("saga_bucket"))
  const database = sql(tables.of("saga_database"))
  const prepare = Effect.gen(function* () {
    // The lock of the migrations: two that make the same tables at once would fail.
    yield* sql`select pg_advisory_xact_lock(hashtext(${`effect-saga ${tables.schema ?? ""}`}))`
    yield* sql`create table if not exists ${database} (id text primary key)`
    yield* sql`create table if not exists ${table} (
      bucket smallint primary key check (bucket between 0 and ${sql.literal(`${bucketCount - 1}`)}),
      epoch int not null,
      state text not null check (state in ('here', 'leaving', 'gone')),
      peer text
    ) with (fillfactor = 50)`
    for (const statement of checks(sql, tables)) yield* statement
    yield* grants(sql, tables)
    yield* sql`insert into ${database} (id) select gen_random_uuid()::text where not exists (select from ${database})`
  })
  const orNone = <A>(rows: Statement<ReadonlyArray<A>>) => Effect.catchIf(rows, isMissing, () => Effect.succeed([]))
  return {
    id: Effect.map(orNone(sql<{ readonly id: string }>`select id from ${database}`), ([row]) => row?.id),
    rows: orNone(sql<BucketRow>`select bucket, epoch, state, peer from ${table}`),
    prepare: Effect.gen(function* () {
      // Not by a statement that fails: this may be part of a transaction.
      const [row] = yield* sql<{
        readonly there: boolean
      }>`select to_regclass(${quoted(tables.of("saga_bucket"))}) is not null as there`
      if (row?.there !== true) yield* sql.withTransaction(prepare)
      const [own] = yield* sql<{ readonly id: string }>`select id from ${database}`
      return own?.id ?? ""
    }),
    begin: Effect.map(
      sql`insert into ${table} (bucket, epoch, state) select b, 1, 'here' from generate_series(0, ${bucketCount - 1}) b
          where not exists (select from ${table}) returning bucket`,
      (rows) => rows.length > 0
    ),
    leave: (bucket, peer) =>
      Effect.map(
        sql<{ readonly epoch: number }>`update ${table} set state = 'leaving', peer = ${peer}
            where bucket = ${bucket} and (state = 'here' or state = 'leaving' and peer = ${peer}) returning epoch`,
        ([row]) => row?.epoch
      ),
    isLeaving: (bucket, epoch) =>
      Effect.map(
        sql`select from ${table} where bucket = ${bucket} and epoch = ${epoch} and state = 'leaving' for update`,
        (rows) => rows.length > 0
      ),
    arrive: (bucket, epoch) =>
      Effect.map(
        sql`insert into ${table} as b (bucket, epoch, state) values (${bucket}, ${epoch}, 'here')
            on conflict (bucket) do update set epoch = excluded.epoch, state = 'here', peer = null
            where b.epoch < excluded.epoch returning bucket`,
        (rows) => rows.length > 0
      ),
    stay: (bucket, epoch) =>
      Effect.asVoid(sql`update ${table} set state = 'here', peer = null
          where bucket = ${bucket} and epoch = ${epoch} and state = 'leaving'`),
    gone: (bucket) => Effect.asVoid(sql`update ${table} set state = 'gone' where bucket = ${bucket}`),
    moving: Effect.asVoid(sql`select set_config(${setting}, 'on', true)`)
  }
}

/** Set in a transaction that moves a bucket. */
const setting = "effect_saga.moving"

const isMissing = (error: SqlError): boolean => codeOf(error) === "42P01"

/**
 * The triggers. The lock on the row of the bucket (`for key share`) takes part in nothing but a move: that one waits for the writes
 * which have passed the check. Facts and inputs are refused with an error. The other changes of an execution, such as that of its
 * owner, are left out: a claim of many is not to fail for one.
 */
const checks = (sql: SqlClient.SqlClient, tables: SqlTables.Tables): ReadonlyArray<Statement<unknown>> => {
  const t = (name: string) => sql(tables.of(name))
  const code = sql.literal(`'${notServed}'`)
  const isMoving = sql`current_setting(${sql.literal(`'${setting}'`)}, true) is not distinct from 'on'`
  const trigger = (table: string, when: string, check: string) => sql`create or replace trigger saga_bucket_check
      before ${sql.literal(when)} on ${t(table)} for each row execute function ${t(check)}()`
  return [
    sql`create or replace function ${t("saga_bucket_check")}() returns trigger language plpgsql as $check$
      declare
        id uuid;
      begin
        if tg_op = 'DELETE' then id := old.uuid; else id := new.uuid; end if;
        if not (${isMoving}) then
          perform from ${t("saga_bucket")} b
            where b.bucket = get_byte(uuid_send(id), 15) and b.state = 'here' for key share;
          if not found then
            if tg_op = 'INSERT' then
              raise exception 'the bucket of the execution is not served by this database' using errcode = ${code};
            end if;
            return null;
          end if;
        end if;
        if tg_op = 'DELETE' then return old; end if;
        return new;
      end
      $check$`,
    // A key is taken in the database of its own bucket: there is no other place where it could be taken twice.
    sql`create or replace function ${t("saga_bucket_name_check")}() returns trigger language plpgsql as $check$
      begin
        if new.name = 'key ' || new.start_key and not (${isMoving}) then
          perform from ${t("saga_bucket")} b where b.bucket = ${keyBucket(sql, "new")} and b.state = 'here' for key share;
          if not found then
            raise exception 'the bucket of the startKey is not served by this database' using errcode = ${code};
          end if;
        end if;
        return new;
      end
      $check$`,
    trigger("saga_event", "insert", "saga_bucket_check"),
    trigger("saga_inbox", "insert", "saga_bucket_check"),
    trigger("saga_execution", "update or delete", "saga_bucket_check"),
    trigger("saga_name", "insert", "saga_bucket_name_check")
  ]
}

/**
 * The triggers act with the rights of the writer, and lock the row of the bucket: whoever may write facts gets the rights for that, and
 * reads the id of the database. A role that comes later has to be given them (`effect-saga migrate --app-role`).
 */
const grants = (sql: SqlClient.SqlClient, tables: SqlTables.Tables): Statement<unknown> => {
  const t = (name: string) => sql.literal(`'${quoted(tables.of(name))}'`)
  return sql`do $grant$
    declare
      writer oid;
      role text;
    begin
      for writer in select distinct a.grantee from pg_class c, aclexplode(c.relacl) a
        where c.oid = ${t("saga_event")}::regclass and a.privilege_type = 'INSERT' and a.grantee <> c.relowner
      loop
        role := case when writer = 0 then 'public' else quote_ident(pg_get_userbyid(writer)) end;
        execute format('grant select, update on %s to %s', ${t("saga_bucket")}::regclass, role);
        execute format('grant select on %s to %s', ${t("saga_database")}::regclass, role);
      end loop;
    end
    $grant$`
}

/** As `Buckets.bucketOfKey` says. */
export const keyBucket = (sql: SqlClient.SqlClient, row: string) =>
  sql`get_byte(sha256(convert_to(${sql.literal(`${row}.start_key`)}, 'UTF8')), 0)`
