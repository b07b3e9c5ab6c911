/**
 * Postgres in the process: a `PgClient`, and so a `SqlClient`, on a PGlite in memory or in a folder. The SQL is that of a
 * server; one transaction runs at a time. A folder belongs to one process. Committed data in a folder survive the process,
 * however it ends.
 */
import { existsSync, mkdirSync, readdirSync, realpathSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { PgClient } from "@effect/sql-pg"
import type { PGlite } from "@electric-sql/pglite"
import { type Duration, Effect, Layer, Schema, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import type { InvalidSetting } from "../../ports/Setting.ts"
import * as Setting from "../../ports/Setting.ts"
import { json, line } from "../../wire/OneLine.ts"
import * as EmbeddedInstances from "../sql/EmbeddedInstances.ts"
import * as FolderLock from "./FolderLock.ts"
import * as PgliteServer from "./PgliteServer.ts"

export { PgliteFolderLocked } from "./FolderLock.ts"

const issues = {
  module: "the package @electric-sql/pglite is not installed, or does not load",
  folder: "the folder cannot be used, or contains other files",
  database: "the database does not start"
} as const

/**
 * `module`: `@electric-sql/pglite` is not installed or does not load. `folder`: the folder cannot be used, or contains other
 * files. `database`: PGlite does not start with its content.
 */
export class PgliteUnavailable extends Schema.TaggedError<PgliteUnavailable>()("PgliteUnavailable", {
  reason: Schema.Literals(["module", "folder", "database"]),
  folder: Schema.optionalKey(Schema.String),
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return line`PGlite cannot be used${this.folder === undefined ? "" : ` in ${this.folder}`}: ${issues[this.reason]}`
  }

  override toJSON(): unknown {
    return json(this)
  }
}

export interface PgliteConnectionOptions {
  /**
   * Connections at the same time. They share the one session of a PGlite, so more of them make nothing faster. A whole
   * number from 1, default 10. A transaction holds one of them until it ends: raise it where many transactions wait.
   */
  readonly maxConnections?: number
  /**
   * How long a statement waits for the transaction of another connection; then it fails as a lock timeout does (55P03).
   * From 1 ms to 24 days, default 30 seconds.
   */
  readonly lockTimeout?: Duration.Input
}

export interface PgliteOptions extends PgliteConnectionOptions {
  /**
   * The folder of the data; made if it is missing. One process at a time can have it (`PgliteFolderLocked`). Default: none,
   * the data are in memory and end with the layer.
   */
  readonly folder?: string
}

export type PgliteError = InvalidSetting | PgliteUnavailable | FolderLock.PgliteFolderLocked | SqlError

// ---- opening ---------------------------------------------------------------------------------------------------

const load = Effect.tryPromise({
  try: () => import("@electric-sql/pglite"),
  catch: (cause) => new PgliteUnavailable({ reason: "module", cause })
})

const create = (folder: string | undefined) =>
  Effect.flatMap(load, ({ PGlite }) =>
    Effect.tryPromise({
      try: () => (folder === undefined ? PGlite.create() : PGlite.create(folder)),
      catch: (cause) => new PgliteUnavailable({ reason: "database", ...(folder !== undefined && { folder }), cause })
    })
  )

const close = (database: PGlite) => Effect.promise(() => (database.closed ? Promise.resolve() : database.close()))

const isDatabase = (folder: string): boolean => existsSync(join(folder, "PG_VERSION"))

/** Opens a database in a folder. The lock is beside the folder, as Postgres allows no other files in it. */
const openFolder = Effect.fnUntraced(function* (given: string) {
  const unusable = (cause: unknown) => new PgliteUnavailable({ reason: "folder", folder: given, cause })
  const files = <A>(use: () => A) => Effect.try({ try: use, catch: unusable })
  const folder = yield* files(() => {
    mkdirSync(given, { recursive: true })
    return realpathSync(given)
  })
  yield* FolderLock.acquire(folder, `${folder}.lock`, unusable)
  if (!isDatabase(folder)) {
    // The database is made beside the folder, then moved: a crash would leave a half-made one that never opens again.
    const draft = `${folder}.new`
    yield* files(() => {
      if (readdirSync(folder).length > 0) throw new Error("It is neither empty nor a database")
      rmSync(draft, { recursive: true, force: true })
    })
    yield* Effect.flatMap(create(draft), close)
    yield* files(() => renameSync(draft, folder))
  }
  return yield* create(folder)
})

/** A PGlite until the scope closes, in memory or alone in a folder. */
export const open = (
  folder?: string
): Effect.Effect<PGlite, PgliteUnavailable | FolderLock.PgliteFolderLocked, Scope.Scope> =>
  Effect.acquireRelease(folder === undefined ? create(undefined) : openFolder(folder), close)

// ---- client ----------------------------------------------------------------------------------------------------

const names: Setting.Names<PgliteConnectionOptions> = { maxConnections: true, lockTimeout: true }

const check = Effect.fnUntraced(function* (options: PgliteConnectionOptions, allowed = names) {
  const { lockTimeout = "30 seconds", maxConnections = 10 } = yield* Setting.known("PgliteClient", options, allowed)
  return {
    maxConnections: yield* Setting.wholeNumber("PgliteClient.maxConnections", maxConnections, { least: 1 }),
    // A timer of Node takes no more than 24 days.
    lockTimeoutMillis: yield* Setting.duration("PgliteClient.lockTimeout", lockTimeout, {
      least: "1 milli",
      most: "24 days"
    })
  }
})

const connect = (
  database: PGlite,
  { lockTimeoutMillis, maxConnections }: Effect.Success<ReturnType<typeof check>>
): Layer.Layer<PgClient.PgClient | SqlClient.SqlClient, SqlError> =>
  Layer.unwrap(
    Effect.acquireRelease(
      Effect.sync(() =>
        PgliteServer.make({ execute: (batch) => database.execProtocolRawSync(batch), lockTimeoutMillis })
      ),
      ({ close }) => Effect.sync(close)
    ).pipe(
      Effect.map(({ connect }) =>
        Layer.merge(
          PgClient.layer({ stream: connect, username: "postgres", database: "postgres", maxConnections }),
          Layer.succeed(EmbeddedInstances.Embedded, EmbeddedInstances.make())
        )
      )
    )
  )

/**
 * Ends all leases. Only who has had the database before can hold one, and is gone: what is in it can be taken over at once.
 */
const endLeases = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const tables = yield* sql<{ schema: string; name: string }>`
    select table_schema as schema, table_name as name from information_schema.tables
    where table_name like '%saga\\_instance' and table_type = 'BASE TABLE'`
  yield* Effect.forEach(
    tables,
    ({ name, schema }) => sql`update ${sql(`${schema}.${name}`)} set lease_until = 'epoch'`,
    { discard: true }
  )
})

const connected = (database: PGlite, checked: Parameters<typeof connect>[1]) =>
  Layer.tap(connect(database, checked), (client) => Effect.provideContext(endLeases, client))

/** A client on a PGlite that you have opened, with extensions for example. It stays open. One layer at a time may use it. */
export const layerFrom = (
  database: PGlite,
  options: PgliteConnectionOptions = {}
): Layer.Layer<PgClient.PgClient | SqlClient.SqlClient, InvalidSetting | SqlError> =>
  Layer.unwrap(Effect.map(check(options), (checked) => connected(database, checked)))

/**
 * A client on a PGlite of its own, in memory or in a folder, until the scope closes.
 *
 * @example
 * ```ts
 * const SqlLive = PgliteClient.layer({ folder: "./data" })
 * ```
 */
export const layer = (options: PgliteOptions = {}): Layer.Layer<PgClient.PgClient | SqlClient.SqlClient, PgliteError> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const checked = yield* check(options, { ...names, folder: true } satisfies Setting.Names<PgliteOptions>)
      const { folder } = options
      const database = yield* open(
        folder === undefined ? undefined : yield* Setting.text("PgliteClient.folder", folder)
      )
      return connected(database, checked)
    })
  )
