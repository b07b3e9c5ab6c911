/** Processes that share the work of one database and one broker, and what becomes of them. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { PgClient } from "@effect/sql-pg"
import { Effect, Exit, Layer, Redacted, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { PgliteClient } from "effect-saga/pglite"
import * as Program from "../kill/Program.ts"
import type { Stop } from "./audit.ts"
import * as Journal from "./Journal.ts"
import type { Order } from "./living.program.ts"

export type Place = Pick<Order, "database" | "schema" | "broker">
export type Settings = Pick<Order, "lease" | "grace" | "pace" | "processes"> & { readonly inFlight: number }

/** How the program is started. */
export type Start = (order: Order) => Effect.Effect<Program.Program, never, Scope.Scope>

export const program: Start = (order) =>
  Program.start(new URL("./living.program.ts", import.meta.url), JSON.stringify(order))

interface Member extends Program.Program {
  readonly scope: Scope.Closeable
}

export const clientOf = ({ database }: Pick<Order, "database">) =>
  "url" in database
    ? PgClient.layer({ url: Redacted.make(database.url), maxConnections: 2, connectTimeout: "2 seconds" })
    : PgliteClient.layer(database)

/** Drops the schema of a place. */
export const dropped = (place: Place) =>
  SqlClient.SqlClient.use((sql) => sql`drop schema if exists ${sql(place.schema)} cascade`).pipe(
    Effect.provide(Layer.fresh(clientOf(place))),
    Effect.orDie
  )

/** How long all may take to settle. A decision that nobody answered for long is sent again every five minutes (SPEC C8). */
const settling = "8 minutes"

/** How long a process may take to end, besides its grace, on a busy machine. */
const slack = "30 seconds"

/** Starts no process yet. `usual`: how a process is started, where nothing else is said. */
export const make = Effect.fnUntraced(function* (place: Place, settings: Settings, usual: Start = program) {
  const outer = yield* Effect.scope
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-saga-living-"))),
    (folder) => Effect.sync(() => process.env.SAGA_KEEP === undefined && rmSync(folder, { recursive: true }))
  )
  const members: Array<Member> = []
  const stops: Array<Stop> = []
  let inFlight = 0

  /** `isExcused`: it counts as a process that always stands still, as it is known to let others run what it runs. */
  const start = Effect.fnUntraced(function* (run: Start = usual, isExcused = false) {
    const scope = yield* Scope.fork(outer)
    const { inFlight: _, ...rest } = settings
    const member = yield* Effect.provideService(run({ ...place, ...rest, folder }), Scope.Scope, scope)
    yield* Program.printed(member, "up")
    yield* member.say(`keep ${inFlight}`)
    const joined: Member = { ...member, scope }
    members.push(joined)
    if (isExcused) stops.push({ pid: member.pid, from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY })
    return joined
  })
  const sayAll = (line: string) => Effect.forEach(members, ({ say }) => say(line), { discard: true })
  const leave = (member: Member) => members.splice(members.indexOf(member), 1)
  /** Ends a process at any instruction. */
  const kill = Effect.fnUntraced(function* (member: Member) {
    leave(member)
    stops.push({ pid: member.pid, from: Journal.now(), to: Number.POSITIVE_INFINITY })
    yield* member.kill
    yield* Scope.close(member.scope, Exit.void)
  })
  /** Ends a process in good order, as a deployment does. */
  const stop = Effect.fnUntraced(function* (member: Member) {
    leave(member)
    yield* member.signal("SIGTERM")
    const how = yield* Effect.timeoutOrElse(member.ended, {
      duration: settings.grace,
      orElse: () =>
        Effect.timeoutOrElse(member.ended, {
          duration: slack,
          orElse: () => Effect.die(new Error(`${member.pid} does not end`))
        })
    })
    // Deno says the name of the signal also where the program has ended by itself.
    if (typeof how === "string" && how !== "SIGTERM")
      return yield* Effect.die(new Error(`${member.pid} was ended by ${how}`))
    yield* Scope.close(member.scope, Exit.void)
  })
  /** A process does not run for so long. */
  const standStill = Effect.fnUntraced(function* (member: Member, millis: number) {
    const from = Journal.now()
    yield* member.signal("SIGSTOP")
    yield* Effect.sleep(millis)
    yield* member.signal("SIGCONT")
    stops.push({ pid: member.pid, from, to: Journal.now() })
  })

  return {
    folder,
    members,
    stops,
    start,
    kill,
    stop,
    standStill,
    sayAll,
    /** So many executions are in flight from now on. */
    keep: (n: number) =>
      Effect.andThen(
        Effect.sync(() => (inFlight = n)),
        sayAll(`keep ${n}`)
      ),
    /** No more executions are started. Waits until all are settled, or until that takes too long: then the audit says so. */
    settle: Effect.gen(function* () {
      inFlight = 0
      yield* sayAll("finish")
      yield* Effect.forEach(members, (member) => Program.printed(member, "settled"), {
        concurrency: "unbounded",
        discard: true
      }).pipe(Effect.timeoutOrElse({ duration: settling, orElse: () => Effect.logError("Not all are settled") }))
      yield* Effect.forEach([...members], stop, { concurrency: "unbounded", discard: true })
    })
  }
})

export type Fleet = Effect.Success<ReturnType<typeof make>>

/** Reads a number from the database of the processes. Where that is away, again. */
export const counting = (place: Place) => {
  const client = Layer.fresh(clientOf(place))
  return (query: (sql: SqlClient.SqlClient, table: string) => Effect.Effect<ReadonlyArray<{ n: number }>, unknown>) =>
    SqlClient.SqlClient.use((sql) => query(sql, `${place.schema}.saga_execution`)).pipe(
      Effect.timeout("3 seconds"),
      Effect.provide(client),
      Effect.map(([row]) => row?.n ?? 0),
      Effect.orElseSucceed(() => 0)
    )
}
