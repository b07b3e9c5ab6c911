/**
 * What several orchestrators on one database cost, by leases and by Effect Cluster: processor time and statements a saga, with 64 sagas in
 * flight in each process, and with 64 in all of them together. `local`: three local steps. `remote`: one step that a service
 * answers over a Mosquitto. A process sees no more than its own part: on a machine
 * with fewer processors than processes the rate says nothing, and the costs a saga do.
 *
 * With leases also on two databases. They are two schemas of one server, so their rows say what it costs to spread sagas, and not what a
 * second server brings.
 */
import { readdirSync, readFileSync } from "node:fs"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { Participant, ParticipantStore } from "effect-saga"
import { MqttBroker } from "effect-saga/mqtt"
import * as ManyDatabases from "../test/fixtures/manyDatabases.ts"
import * as Mosquitto from "../test/fixtures/mosquitto.ts"
import { freePort } from "../test/fixtures/ownServer.ts"
import * as Program from "../test/kill/Program.ts"
import * as Databases from "./processes/databases.ts"
import { Echo } from "./processes/echo.ts"
import type { Order, Ran } from "./processes/worker.ts"
import type { Report } from "./run.ts"

const url = process.env.SAGA_TEST_PG_URL ?? "postgres://postgres@127.0.0.1:5432/test"
const together = 64
/** `SAGA_LEASE` and `SAGA_RECOVERY_INTERVAL`, in milliseconds, are other settings than the defaults. */
const settings = {
  ...(process.env.SAGA_LEASE !== undefined && { lease: Number(process.env.SAGA_LEASE) }),
  ...(process.env.SAGA_RECOVERY_INTERVAL !== undefined && {
    recoveryInterval: Number(process.env.SAGA_RECOVERY_INTERVAL)
  })
}
/**
 * Sagas of a process in each case, and before it, until the code is compiled: a time would not do, as a process may get little of a
 * processor. `SAGA_BENCH_SAGAS` is another number for the local ones.
 */
const sagas = Number(process.env.SAGA_BENCH_SAGAS ?? 10_000)
const countOf = (kind: Case["kind"]): number => (kind === "local" ? sagas : Math.ceil(sagas / 3))

/**
 * How much more than one process on one database several may take for a saga, where each of them has as much to do as the one. A process writes
 * into each database for itself, so statements may be as many times more as there are databases; processor time has a budget on one database only.
 */
const budget = { cpu: 1.3, statements: 1.1 }
/** The same where they share what the one has: each of them writes for itself. */
const sharedBudget = { cpu: 2, statements: (processes: number) => processes * budget.statements }

interface Case {
  readonly kind: "local" | "remote"
  readonly ownership: "leases" | "cluster"
  readonly databases: 1 | 2
  readonly processes: number
  readonly spread: "each" | "all"
}

const owners: ReadonlyArray<Pick<Case, "ownership" | "databases">> = [
  { ownership: "leases", databases: 1 },
  { ownership: "cluster", databases: 1 },
  { ownership: "leases", databases: 2 }
]

const cases: ReadonlyArray<Case> = (["local", "remote"] as const).flatMap((kind) =>
  owners.flatMap((owner) => [
    { kind, ...owner, processes: 1, spread: "each" as const },
    ...([2, 4] as const).flatMap((processes) =>
      (["each", "all"] as const).map((spread) => ({ kind, ...owner, processes, spread }))
    )
  ])
)

/** `SAGA_BENCH_CASES=local-leases,local-leases-2` runs the local ones with leases, on one database and on two. */
const nameOf = ({ databases, kind, ownership }: Case): string =>
  `${kind}-${ownership}${databases === 1 ? "" : `-${databases}`}`

const asked = Effect.fnUntraced(function* (worker: Program.Program, question: string, answer: string) {
  yield* worker.say(question)
  return yield* Program.printed(worker, answer)
})

/** Milliseconds of a processor that the server has taken so far, where it runs on this machine and Linux says so; else 0. */
const serverCpu = (): number => {
  let ticks = 0
  for (const pid of linux ? readdirSync("/proc") : []) {
    if (!/^\d+$/.test(pid)) continue
    try {
      const [name = "", rest = ""] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")
      const [, , , , , , , , , , , user, system] = rest.split(" ")
      if (name.includes("(postgres")) ticks += Number(user) + Number(system)
    } catch {
      // The process has ended between the listing and this read: it counts no more.
    }
  }
  return ticks * 10
}
const linux = process.platform === "linux"

/** The counters of the whole database server, so also those of other clients: deadlocks, rollbacks and bytes of the log. */
const done = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<Record<"deadlocks" | "rollbacks" | "wal", number>>`
    select deadlocks::float8 as deadlocks, xact_rollback::float8 as rollbacks, (select wal_bytes::float8 from pg_stat_wal) as wal
    from pg_stat_database where datname = current_database()`
  return { ...(row ?? { deadlocks: 0, rollbacks: 0, wal: 0 }), cpu: serverCpu() }
})

const sum = (all: ReadonlyArray<Ran>, of: (ran: Ran) => number): number => all.reduce((so, ran) => so + of(ran), 0)
const rounded = (value: number, digits = 3): number => Number(value.toFixed(digits))

const measureCase = Effect.fnUntraced(function* (it: Case, mqtt: string) {
  const { databases, kind, ownership, processes, spread } = it
  const sql = yield* SqlClient.SqlClient
  const schema = `bench_${Math.random().toString(36).slice(2, 10)}`
  if (databases === 2) yield* ManyDatabases.divided(Databases.of({ url, schema }, 2))
  const orderOf = Effect.map(
    freePort,
    (port): Order => ({
      url,
      schema,
      databases,
      ...settings,
      ...(kind === "remote" && { mqtt }),
      ...(ownership === "cluster" && { port })
    })
  )
  const started = Effect.gen(function* () {
    const order = JSON.stringify(yield* orderOf)
    const worker = yield* Program.start(new URL("./processes/worker.ts", import.meta.url), order)
    yield* Program.printed(worker, "up")
    return worker
  })
  const all = <A>(use: (worker: Program.Program) => Effect.Effect<A>, workers: ReadonlyArray<Program.Program>) =>
    Effect.forEach(workers, use, { concurrency: "unbounded" })
  const { after, before, rans } = yield* Effect.scoped(
    Effect.gen(function* () {
      // The first one makes the tables.
      const first = yield* started
      const others = yield* Effect.all(
        Array.from({ length: processes - 1 }, () => started),
        { concurrency: 2 }
      )
      const workers = [first, ...others]
      yield* all((worker) => asked(worker, "settle", "settled"), workers)
      const inFlight = spread === "each" ? together : together / processes
      const run = all((worker) => asked(worker, `run ${inFlight} ${countOf(kind)}`, "ran"), workers)
      yield* run
      const before = yield* done
      const rans = (yield* run).map((ran): Ran => JSON.parse(ran))
      return { before, rans, after: yield* done }
    })
  )
  for (const name of [schema, Databases.southOf(schema)]) yield* sql`drop schema if exists ${sql(name)} cascade`
  const tables = ["runners", "locks", "runner_migrations"].map((name) => sql(`${schema}_${name}`))
  yield* Effect.forEach(tables, (table) => sql`drop table if exists ${table}`)
  const count = sum(rans, (ran) => ran.count)
  return {
    case: kind,
    ownership,
    databases,
    processes,
    inFlight: `${together} in ${spread}`,
    perSecond: Math.round(sum(rans, (ran) => (1_000 * ran.count) / ran.millis)),
    cpu: rounded(sum(rans, (ran) => ran.cpu) / count),
    statements: rounded(sum(rans, (ran) => ran.statements) / count),
    lapses: sum(rans, (ran) => ran.lapses),
    deadlocks: after.deadlocks - before.deadlocks,
    rollbacks: rounded((after.rollbacks - before.rollbacks) / count, 4),
    serverCpu: rounded((after.cpu - before.cpu) / count),
    walKib: rounded((after.wal - before.wal) / count / 1_024, 2)
  }
})

type Row = Effect.Success<ReturnType<typeof measureCase>>

/** Each row with its cost as a part of that of one process on one database; of the first one where that was not measured. */
const compared = (rows: ReadonlyArray<Row>) =>
  rows.map((row) => {
    const one = rows.find((it) => it.case === row.case && it.ownership === row.ownership && it.processes === 1) ?? row
    return {
      ...row,
      cpuRatio: rounded(row.cpu / one.cpu, 2),
      statementsRatio: rounded(row.statements / one.statements, 2)
    }
  })

const failuresOf = (rows: ReturnType<typeof compared>): ReadonlyArray<string> =>
  rows.flatMap(({ cpuRatio, databases, deadlocks, inFlight, processes, statementsRatio, ...row }) => {
    const isEach = inFlight.endsWith("each")
    const { cpu, statements } = isEach
      ? budget
      : { cpu: sharedBudget.cpu, statements: sharedBudget.statements(processes) }
    const most = { cpu, statements: statements * databases }
    const name = `${row.case}, ${row.ownership}, ${databases} databases, ${processes} processes, ${inFlight}`
    return [
      ...(databases === 1 && cpuRatio > most.cpu
        ? [`${name}: ${cpuRatio} times the processor time, budget ${most.cpu}`]
        : []),
      ...(statementsRatio > most.statements
        ? [`${name}: ${statementsRatio} times the statements, budget ${most.statements.toFixed(1)}`]
        : []),
      ...(deadlocks > 0 ? [`${name}: ${deadlocks} deadlocks`] : [])
    ]
  })

const measure = Effect.gen(function* () {
  const mosquitto = yield* Mosquitto.started({ lines: ["set_tcp_nodelay true", "max_inflight_messages 256"] })
  const echo = Participant.layer(Echo, { Say: ({ n }) => Effect.succeed(n) }).pipe(
    Layer.provide([ParticipantStore.layerMemory, MqttBroker.layer({ url: mosquitto.url })])
  )
  yield* Layer.build(echo)
  const wanted = process.env.SAGA_BENCH_CASES
  const chosen = cases.filter((it) => wanted === undefined || wanted.split(",").includes(nameOf(it)))
  const rows = compared(
    yield* Effect.forEach(chosen, (it) =>
      Effect.tap(measureCase(it, mosquitto.url), (row) => Effect.sync(() => console.error(JSON.stringify(row))))
    )
  )
  return { rows, failures: failuresOf(rows) }
})

export const run = (): Promise<Report> =>
  Effect.runPromise(
    Effect.scoped(Effect.provide(measure, PgClient.layer({ url: Redacted.make(url), maxConnections: 2 })))
  )
