/**
 * What the whole order business costs: three services in three processes on Postgres and Mosquitto, against the same written by
 * hand (`business/byHand.ts`: outbox and inbox per service). Case `compensations`: what is done is undone; case `two-phase`: what is
 * prepared is committed. Both run in turns, in steady state. The rows of the processes say what an order costs where: CPU in
 * milliseconds, statements, messages. On a machine with other work the ratio of CPU says more than that of the rates.
 *
 * `BUSINESS_ORDERS=500` is a short form; `BUSINESS_CASES=compensations` runs one case; `BUSINESS_PROFILES=folder` writes a CPU
 * profile of each process there.
 */
import { readFileSync } from "node:fs"
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import * as Mosquitto from "../test/fixtures/mosquitto.ts"
import * as Business from "./business/business.ts"
import { services } from "./business/shop.ts"
import type { Report } from "./run.ts"

const orders = Number(process.env.BUSINESS_ORDERS ?? 5_000)
const rounds = 5
const perRound = Math.ceil(orders / rounds)
const levels = [1, 8, 64]
const cases = (process.env.BUSINESS_CASES ?? "compensations,two-phase").split(",")

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

const lines = readFileSync(new URL("./business/byHand.ts", import.meta.url), "utf8")
  .trim()
  .split("\n").length

/** CPU milliseconds of a process on this machine; 0 if there is no such process, or the system does not say. */
const cpuOf = (pid: number | undefined): number => {
  try {
    const [, fields = ""] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")
    const [user = 0, system = 0] = fields.split(" ").slice(11, 13).map(Number)
    return (user + system) * 10
  } catch {
    return 0
  }
}

type Running = Effect.Success<ReturnType<typeof Business.begin>>

/** One of the two, with the orders that it has settled. */
interface Side {
  readonly business: Running
  readonly rates: Array<number>
  placed: number
  inFlight: number
}

const place = Effect.fnUntraced(function* (side: Side, count: number, inFlight = side.inFlight) {
  const { millis } = yield* side.business.place(Business.ordersFrom(side.placed, count), inFlight)
  side.placed += count
  return (1_000 * count) / millis
})

/** Warm. By hand it has as many in flight as it is fastest with, the library always 64. */
const prepared = Effect.fnUntraced(function* (by: "library" | "hand", twoPhase: boolean, url: string) {
  const side: Side = { business: yield* Business.begin({ by, twoPhase }, url), rates: [], placed: 0, inFlight: 64 }
  yield* place(side, perRound)
  if (by === "library") return side
  const trials = []
  for (const inFlight of levels) {
    const count = Math.max(8, Math.min(perRound, (perRound * inFlight) / 8))
    trials.push({ inFlight, rate: yield* place(side, Math.ceil(count), inFlight) })
  }
  side.inFlight = trials.reduce((best, it) => (it.rate > best.rate ? it : best)).inFlight
  return side
})

interface Used {
  readonly cpu: number
  readonly statements?: number
  readonly messages?: number
}

/** CPU, statements and messages of each process until now. Those of the database server are those of the services' sessions. */
const usage = Effect.fnUntraced(function* ({ business }: Side, broker: number | undefined) {
  const sql = yield* SqlClient.SqlClient
  const used: Record<string, Used> = {}
  for (const service of services) used[service] = yield* business.usage(service)
  const sessions = yield* sql<{ pid: number }>`select pid from pg_stat_activity
    where application_name in ${sql.in(services.map(business.schemaOf))}`
  used.postgres = { cpu: sessions.reduce((sum, { pid }) => sum + cpuOf(pid), 0) }
  used.mosquitto = { cpu: cpuOf(broker) }
  return used
})

type Usage = Effect.Success<ReturnType<typeof usage>>

const round = (value: number, digits = 2) => Number(value.toFixed(digits))

const totalOf = (usage: Usage) => Object.values(usage).reduce((sum, { cpu }) => sum + cpu, 0)

/** A round, and what it has used. */
const measured = Effect.fnUntraced(function* (side: Side, broker: number | undefined, total: Record<string, Used>) {
  const before = yield* usage(side, broker)
  side.rates.push(yield* place(side, perRound))
  const after = yield* usage(side, broker)
  for (const [name, { cpu, messages = 0, statements = 0 }] of Object.entries(after)) {
    const was = before[name]
    const sum = total[name]
    total[name] = {
      cpu: (sum?.cpu ?? 0) + cpu - (was?.cpu ?? 0),
      statements: (sum?.statements ?? 0) + statements - (was?.statements ?? 0),
      messages: (sum?.messages ?? 0) + messages - (was?.messages ?? 0)
    }
  }
})

/** Each must have kept its books. */
const audited = Effect.fnUntraced(function* (name: string, { business, placed }: Side) {
  const wrong = yield* business.audit(Business.ordersFrom(0, placed))
  yield* business.end
  return wrong.map((problem) => `${name}: ${problem}`)
})

const measureCase = Effect.fnUntraced(function* (
  name: string
): Effect.fn.Return<Report, unknown, Scope.Scope | SqlClient.SqlClient> {
  const twoPhase = name === "two-phase"
  const { pid, url } = yield* Mosquitto.started({ lines: ["set_tcp_nodelay true"] })
  const hand = yield* prepared("hand", twoPhase, url)
  const ours = yield* prepared("library", twoPhase, url)
  const used: Record<"hand" | "ours", Record<string, Used>> = { hand: {}, ours: {} }
  for (let i = 0; i < rounds; i++) {
    yield* measured(hand, pid(), used.hand)
    yield* measured(ours, pid(), used.ours)
  }
  const ratios = ours.rates.map((rate, i) => rate / hand.rates[i]!)
  const count = rounds * perRound
  const processes = Object.keys(used.ours).map((process) => {
    const [one, other] = [used.ours[process], used.hand[process]]
    const counts =
      one?.statements === 0
        ? {}
        : {
            statements: round((one?.statements ?? 0) / count),
            statementsByHand: round((other?.statements ?? 0) / count),
            messages: round((one?.messages ?? 0) / count),
            messagesByHand: round((other?.messages ?? 0) / count)
          }
    return {
      case: `${name}: ${process}`,
      cpu: round((one?.cpu ?? 0) / count, 3),
      cpuByHand: round((other?.cpu ?? 0) / count, 3),
      ...counts
    }
  })
  const rows = [
    {
      case: name,
      inFlight: ours.inFlight,
      ours: Math.round(median(ours.rates)),
      reference: `by hand, ${lines} lines, ${hand.inFlight} in flight`,
      referenceValue: Math.round(median(hand.rates)),
      ratio: round(median(ratios), 3),
      ratioOfCpu: round(totalOf(used.hand) / totalOf(used.ours), 3)
    },
    ...processes
  ]
  return { rows, failures: [...(yield* audited(`${name}, ours`, ours)), ...(yield* audited(`${name}, by hand`, hand))] }
})

const program = Effect.gen(function* () {
  const reports = yield* Effect.forEach(cases, (name) => Effect.scoped(measureCase(name)))
  return { rows: reports.flatMap(({ rows }) => rows), failures: reports.flatMap(({ failures = [] }) => failures) }
}).pipe(Effect.provide(PgClient.layer({ url: Redacted.make(Business.pg), connectTimeout: "30 seconds" })))

export const run = (): Promise<Report> => Effect.runPromise(program)
