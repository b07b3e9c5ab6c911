/**
 * The command line `effect-saga`, with the layers that its commands need: Postgres, a PGlite folder, the files of this process. Needs
 * `@effect/sql-pg`, and `@electric-sql/pglite` for a folder; both are loaded when a command needs them.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { hostname, userInfo } from "node:os"
import { resolve } from "node:path"
import process from "node:process"
import { createInterface } from "node:readline/promises"
import { pathToFileURL } from "node:url"
import { Effect, FileSystem, Layer, Path, Redacted, References, Result, Stdio, Terminal } from "effect"
import { ChildProcessSpawner } from "effect/process"
import type { SqlClient } from "effect/sql"
import { isSqlError } from "effect/sql/SqlError"
import { codeOf } from "./adapters/sql/SqlErrors.ts"
import { Access, type ConsoleConfig, type Migrated, type NamedDatabase, type Place } from "./console/Access.ts"
import * as Commands from "./console/Commands.ts"
import * as Databases from "./console/Databases.ts"
import * as HttpInspector from "./console/dashboard/HttpInspector.ts"
import { textOf } from "./console/Failures.ts"
import { CommandFailed, CommandMisused, plain, Screen } from "./console/Screen.ts"
import type { Check } from "./ports/Check.ts"
import { inWords } from "./ports/DatabaseCode.ts"
import type { Inspector } from "./ports/Inspector.ts"
import { describe } from "./wire/OneLine.ts"

export type { ConsoleConfig } from "./console/Access.ts"

/**
 * Types the default export of `effect-saga.config.ts`.
 *
 * @example
 * ```ts
 * import { config } from "effect-saga/cli"
 * import { PlaceOrder } from "./sagas.ts"
 *
 * export default config({ sagas: [PlaceOrder], service: "orders" })
 * ```
 */
export const config = (config: ConsoleConfig): ConsoleConfig => config

type Failure = CommandFailed | CommandMisused

/** A layer with another failure. */
const mapped = <A, E, R, F>(layer: Layer.Layer<A, E, R>, map: (error: E) => F): Layer.Layer<A, F, R> =>
  Layer.effectContext(Effect.mapError(Layer.build(layer), map))

// ---- the database ----------------------------------------------------------------------------------------------

const whereOf = (place: Place): Effect.Effect<Databases.Where | undefined, CommandMisused> =>
  Effect.suspend(() => {
    const { SAGA_PG_DATABASES: databases, SAGA_PG_URL: url } = process.env
    return Effect.fromResult(Databases.where(place, { databases, url }))
  })

const tablesOf = ({ prefix, schema }: Place) => {
  const named = schema ?? (process.env.SAGA_PG_SCHEMA || undefined)
  return { ...(named !== undefined && { schema: named }), ...(prefix !== undefined && { prefix }) }
}

/** A package that only some programs have. */
const loaded = <A>(name: string, load: () => Promise<A>): Effect.Effect<A, CommandFailed> =>
  Effect.tryPromise({
    try: load,
    catch: () => new CommandFailed({ message: `${name} is not installed: npm install ${name}` })
  })

const failed = (error: unknown): Failure =>
  error instanceof CommandFailed || error instanceof CommandMisused
    ? error
    : new CommandFailed({
        message: `the database cannot be used: ${plain(isSqlError(error) ? inWords(codeOf(error)) : describe(error), 400)}`
      })

const nowhere = new CommandMisused({
  message:
    "Where are the executions? Say --url postgres://…, the folder of a PGlite, or http://… of a dashboard, or set SAGA_PG_URL. Of several databases say --database NAME=URL for each, or set SAGA_PG_DATABASES"
})

const notSeveral = new CommandMisused({
  message: "This is about several databases: say --database NAME=URL for each, or set SAGA_PG_DATABASES"
})

// ---- a dashboard -----------------------------------------------------------------------------------------------

const isDashboard = (url: string): boolean => /^https?:/i.test(url)

const headersOf = ({ headers }: Place): Readonly<Record<string, string>> => {
  const authorization = process.env.SAGA_DASHBOARD_AUTHORIZATION
  const named = headers.map((text): [string, string] => {
    const at = text.indexOf(":")
    return [text.slice(0, at).trim().toLowerCase(), text.slice(at + 1).trim()]
  })
  return { ...(authorization && { authorization }), ...Object.fromEntries(named) }
}

/** The dashboard that `--url` names. */
const dashboardAt = (place: Place, url: string): Result.Result<HttpInspector.Options, CommandMisused> =>
  URL.canParse(url)
    ? Result.succeed({ url, headers: headersOf(place), values: place.values === true })
    : Result.fail(new CommandMisused({ message: `--url is no address: ${plain(url, 100)}` }))

// ---- clients ---------------------------------------------------------------------------------------------------

type Client = Layer.Layer<SqlClient.SqlClient, unknown>

const refused = <A>(error: Failure): Layer.Layer<A, Failure> => Layer.effectContext(Effect.fail(error))

/** The client of a database. A folder belongs to one process: while a program has it open, it is refused. */
const clientOf = (url: string): Client => {
  if (isDashboard(url))
    return refused(
      new CommandMisused({ message: "This needs the database itself, and not a dashboard: say --url postgres://…" })
    )
  if (/^postgres(ql)?:/i.test(url))
    return Layer.unwrap(
      Effect.map(
        loaded("@effect/sql-pg", () => import("@effect/sql-pg")),
        ({ PgClient }) => PgClient.layer({ url: Redacted.make(url), maxConnections: 4, applicationName: "effect-saga" })
      )
    )
  const folder = url.replace(/^file:(\/\/)?/, "")
  if (!existsSync(resolve(folder)))
    return refused(new CommandMisused({ message: `There is no folder ${plain(folder)}` }))
  return Layer.unwrap(
    Effect.map(
      loaded("@electric-sql/pglite", () => import("./pglite.ts")),
      ({ PgliteClient }) =>
        mapped(PgliteClient.layer({ folder }), (error) =>
          error._tag === "PgliteFolderLocked"
            ? new CommandFailed({
                message: `process ${error.pid} has the folder ${plain(folder)} open: stop it, or name its dashboard with --url http://…`
              })
            : error
        )
    )
  )
}

const sql = loaded("@effect/sql-pg", () => import("./sql.ts"))
const migrations = loaded("@effect/sql-pg", () => import("./adapters/sql/SqlMigrations.ts"))

/** Each database that is named: by its name, or without one where it is alone. */
const clients = Effect.fnUntraced(function* (place: Place) {
  const where = yield* whereOf(place)
  if (where === undefined) return yield* nowhere
  const named = where._tag === "One" ? [{ url: where.url }] : where.databases
  return named.map(({ url, ...named }) => ({ ...named, client: mapped(clientOf(url), failed) }))
})

/** Their clients fail as those of a program do, so that one that is away is known as such. */
const databasesOf = (place: Place, databases: ReadonlyArray<NamedDatabase>) =>
  Object.fromEntries(databases.map(({ name, url }) => [name, { client: clientOf(url), ...tablesOf(place) }]))

/** Of a command about several databases. */
const severalOf = Effect.fnUntraced(function* (place: Place) {
  const where = yield* whereOf(place)
  return where?._tag === "Several" ? databasesOf(place, where.databases) : yield* notSeveral
})

const inspectorOf = <E, R>(make: (module: typeof import("./sql.ts")) => Layer.Layer<Inspector, E, R>) =>
  Layer.unwrap(Effect.map(sql, make))

const inspector = (place: Place): Layer.Layer<Inspector, Failure> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const where = yield* whereOf(place)
      if (where === undefined) {
        const found = yield* configAt(place)
        return found?.layer === undefined ? refused(nowhere) : ofConfig(found.layer)
      }
      if (where._tag === "One" && isDashboard(where.url))
        return HttpInspector.layer(yield* Effect.fromResult(dashboardAt(place, where.url)))
      return mapped(
        where._tag === "One"
          ? // The client first: it is what a person has named, and says which package it lacks.
            Layer.provide(
              inspectorOf(({ SqlInspector }) => SqlInspector.layer(tablesOf(place))),
              clientOf(where.url)
            )
          : // Without warnings, as in `quietly`.
            Layer.provide(
              inspectorOf(({ SqlInspector }) => SqlInspector.layerSharded(databasesOf(place, where.databases))),
              Layer.succeed(References.MinimumLogLevel, "Error")
            ),
        failed
      )
    })
  )

const ofConfig = (layer: Layer.Layer<Inspector, unknown>): Layer.Layer<Inspector, Failure> =>
  mapped(layer, (error) => new CommandFailed({ message: `the layer of the config: ${plain(describe(error), 400)}` }))

// ---- the config ------------------------------------------------------------------------------------------------

const defaultFiles = ["effect-saga.config.ts", "effect-saga.config.js", "effect-saga.config.mjs"]

const isConfig = (value: unknown): value is ConsoleConfig =>
  typeof value === "object" && value !== null && "sagas" in value && Array.isArray(value.sagas)

const configAt = Effect.fnUntraced(function* ({ config }: Place) {
  const file = config ?? defaultFiles.find((name) => existsSync(name))
  if (file === undefined) return undefined
  const path = resolve(file)
  if (!existsSync(path)) return yield* new CommandMisused({ message: `There is no file ${plain(file)}` })
  const module: unknown = yield* Effect.tryPromise({
    try: () => import(pathToFileURL(path).href),
    catch: (error) => new CommandFailed({ message: `${plain(file)} cannot be loaded: ${plain(describe(error), 400)}` })
  })
  const exported: unknown = Reflect.get(Object(module), "default")
  if (isConfig(exported)) return exported
  return yield* new CommandFailed({ message: `${plain(file)} must export default { sagas: [...] }` })
})

// ---- migrations and checks -------------------------------------------------------------------------------------

const access = Access.of({
  version: version(),
  inspector,
  config: configAt,
  migrate: Effect.fnUntraced(function* (place, { appRole, parts, printsSql }) {
    const Migrations = yield* migrations
    const tables = tablesOf(place)
    const explained = Effect.mapError(failed)
    if (printsSql)
      return yield* Effect.forEach(parts, (part) =>
        Effect.map(explained(Migrations.statements(tables, part, appRole)), (statements) => ({
          part,
          migrations: Migrations.names(part),
          statements
        }))
      )
    const ran = yield* Effect.forEach(yield* clients(place), ({ client, name }) => {
      const of = name === undefined ? {} : { database: name }
      const done: Array<Migrated> = []
      let part = parts[0]!
      return Effect.gen(function* () {
        for (part of parts) {
          const ran = yield* explained(Migrations.run(tables, part))
          const grants = appRole === undefined ? [] : yield* explained(Migrations.grants(tables, part, appRole))
          for (const grant of grants) yield* explained(grant)
          const newer = Migrations.newer(part, yield* explained(Migrations.done(tables, part)))
          done.push({ ...of, part, migrations: ran, statements: [], ...(newer > 0 && { newer }) })
        }
        return done
      }).pipe(
        Effect.provide(client),
        Effect.catch((error) =>
          error instanceof CommandMisused || (name === undefined && done.length === 0)
            ? Effect.fail(inDatabase(name, error))
            : Effect.succeed([...done, { ...of, part, migrations: [], statements: [], failed: error.message }])
        )
      )
    })
    return ran.flat()
  }),
  buckets: Effect.fnUntraced(function* (place) {
    const { SqlBuckets } = yield* sql
    return yield* quietly(SqlBuckets.list(yield* severalOf(place)))
  }),
  beginBuckets: Effect.fnUntraced(function* (place, database) {
    const { SqlBuckets } = yield* sql
    yield* quietly(SqlBuckets.begin(yield* severalOf(place), database))
  }),
  moveBuckets: Effect.fnUntraced(function* (place, request) {
    const { SqlBuckets } = yield* sql
    const moved = Effect.as(SqlBuckets.move(yield* severalOf(place), request), undefined)
    return yield* quietly(
      Effect.catchIf(
        moved,
        (error) => error instanceof SqlBuckets.SagaBucketStays,
        ({ bucket, why }) => Effect.succeed({ bucket, why })
      )
    )
  }),
  checks: Effect.fnUntraced(
    function* (place) {
      const where = yield* whereOf(place)
      if (where === undefined) return [notAsked]
      if (where._tag === "One" && isDashboard(where.url)) return yield* dashboardChecks(place, where.url)
      const checked = yield* Effect.forEach(yield* clients(place), ({ client, name }) =>
        Effect.map(checksOf(place, client), (checks) =>
          checks.map((check) => (name === undefined ? check : { ...check, what: `${name} ${check.what}` }))
        )
      )
      return checked.flat()
    },
    Effect.catch((error) => Effect.succeed([notChecked(error)]))
  ),
  readFile: (path) =>
    Effect.try({
      try: () => readFileSync(path, "utf8"),
      catch: (error) => new CommandFailed({ message: `${plain(path)} cannot be read: ${plain(describe(error), 300)}` })
    }),
  writeFile: (path, content) =>
    Effect.try({
      // It has values of an execution: only its owner reads it.
      try: () => writeFileSync(path, content, { mode: 0o600 }),
      catch: (error) =>
        new CommandFailed({ message: `${plain(path)} cannot be written: ${plain(describe(error), 300)}` })
    })
})

/** Work on several databases without its warnings: the command itself says which database is away. */
const quietly = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, Failure> =>
  Effect.mapError(Effect.provideService(effect, References.MinimumLogLevel, "Error"), failed)

const inDatabase = (name: string | undefined, error: Failure): Failure => {
  if (name === undefined) return error
  const message = `${name}: ${error.message}`
  return error instanceof CommandMisused ? new CommandMisused({ message }) : new CommandFailed({ message })
}

const notAsked: Check = { what: "database", state: "skipped", found: "no --url and no SAGA_PG_URL" }

const notChecked = ({ message }: Failure): Check => ({ what: "database", state: "failed", found: message })

const dashboardChecks = (place: Place, url: string): Effect.Effect<ReadonlyArray<Check>> =>
  Effect.fromResult(dashboardAt(place, url)).pipe(
    Effect.flatMap(HttpInspector.visitor),
    Effect.match({
      onFailure: (error): ReadonlyArray<Check> => [
        { what: "dashboard", state: "failed", found: error._tag === "CommandMisused" ? error.message : textOf(error) }
      ],
      onSuccess: (found): ReadonlyArray<Check> => [{ what: "dashboard", state: "ok", found: plain(found, 200) }]
    })
  )

const checksOf = (place: Place, client: Layer.Layer<SqlClient.SqlClient, Failure>) =>
  Effect.gen(function* () {
    const { checks } = yield* loaded("@effect/sql-pg", () => import("./adapters/sql/SqlChecks.ts"))
    return yield* checks(tablesOf(place))
  }).pipe(
    Effect.provide(client),
    Effect.catch((error): Effect.Effect<ReadonlyArray<Check>> => Effect.succeed([notChecked(error)]))
  )

// ---- the process -----------------------------------------------------------------------------------------------

/** Of the package: the file is beside `src` and `dist`. */
function version(): string {
  const read = Result.try(
    // A cast, because Deno checks this file without the types of Node.
    () => JSON.parse(readFileSync(new URL("../package.json", (import.meta as { url?: string }).url), "utf8")) as unknown
  )
  const found: unknown = Result.isSuccess(read) ? Reflect.get(Object(read.success), "version") : undefined
  return typeof found === "string" ? found : "unknown"
}

const ask = (question: string): Effect.Effect<string> =>
  Effect.promise((signal) => {
    const lines = createInterface({ input: process.stdin, output: process.stderr })
    return lines.question(question, { signal }).finally(() => lines.close())
  })

const nameOfUser = (): string =>
  Result.getOrElse(
    Result.try(() => userInfo().username),
    () => "unknown"
  )

const screen = () => {
  const { stderr, stdin, stdout } = process
  return Screen.of({
    columns: stdout.isTTY ? stdout.columns : undefined,
    hasColours: stdout.isTTY && !process.env.NO_COLOR,
    user: `${nameOfUser()}@${hostname()}`,
    ask: stdin.isTTY && stderr.isTTY ? ask : undefined
  })
}

/** No command runs programs, and files are read by `Access`. */
const environment = Layer.mergeAll(
  FileSystem.layerNoop({}),
  Path.layer,
  Stdio.layerTest({ args: Effect.sync(() => process.argv.slice(2)) }),
  Layer.succeed(
    Terminal.Terminal,
    Terminal.make({
      columns: Effect.sync(() => process.stdout.columns ?? 80),
      rows: Effect.sync(() => process.stdout.rows ?? 24),
      size: Effect.die("no command asks for it"),
      readInput: Effect.die("no command asks for it"),
      readLine: Effect.die("no command asks for it"),
      display: (text) => Effect.sync(() => void process.stdout.write(text))
    })
  ),
  Layer.succeed(
    ChildProcessSpawner.ChildProcessSpawner,
    ChildProcessSpawner.make(() => Effect.die("no command runs programs"))
  )
)

export interface RunOptions {
  /** In place of `effect-saga.config.ts`, for a program that has its storage open itself. */
  readonly config?: ConsoleConfig
}

/**
 * Runs a command, with its words as they stand in `process.argv` after the name of the program. Prints to the console, and gives the
 * exit code: 0 done, 1 failed, 2 called in a wrong way, 3 something needs attention.
 *
 * @example
 * ```ts
 * const code = yield* run(["attention", "--json"], { config: { sagas: [PlaceOrder], layer: InspectorLive } })
 * ```
 */
export const run = (args: ReadonlyArray<string>, { config }: RunOptions = {}): Effect.Effect<number> =>
  Commands.run(args).pipe(
    Effect.provideService(Access, config === undefined ? access : within(config)),
    Effect.provideServiceEffect(Screen, Effect.sync(screen)),
    Effect.provide(environment),
    // A program may read stdout, as with `--json`: log lines go to stderr.
    Effect.provideService(References.LogToStderr, true)
  )

/** The program has its storage open: no other is looked for. */
const within = (config: ConsoleConfig): Access["Service"] => ({
  ...access,
  config: () => Effect.succeed(config),
  inspector: (place) => (config.layer === undefined ? access.inspector(place) : ofConfig(config.layer))
})
