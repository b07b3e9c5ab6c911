// The whole order business (bench/business) with other engines: three services in three processes on PostgreSQL, against this library
// in turns, each audited by its books at the end.
//   node --conditions=effect-saga:source business.mjs [orders=1000] [engine[:option=value] …]
// Each has as many orders in flight as it is fastest with: 1, 8 or 64; `BUSINESS_IN_FLIGHT=64` tries no others. One JSON line each, and
// a table.
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import * as Mosquitto from "../../test/fixtures/mosquitto.ts"
import * as Business from "../business/business.ts"
import { services } from "../business/shop.ts"
import { median, cpu as meters, ms, pgPid, treeCpu, url } from "./lib.mjs"

const [count = "1000", ...named] = process.argv.slice(2)
const engines =
  named.length > 0 ? named : ["restate", "dbos:call=http", "dbos:call=queue", "cluster", "cluster:delivery=volatile"]
const rounds = 5
const perRound = Math.ceil(Number(count) / rounds)
const levels = (process.env.BUSINESS_IN_FLIGHT ?? "1,8,64").split(",").map(Number)
const database = "business"

const round = (n, digits = 2) => Number(n.toFixed(digits))

const place = Effect.fnUntraced(function* (side, count, inFlight = side.inFlight) {
  const { millis } = yield* side.business.place(Business.ordersFrom(side.placed, count), inFlight)
  side.placed += count
  return (1_000 * count) / millis
})

/** Warm, with as many in flight as it is fastest with. */
const prepared = Effect.fnUntraced(function* (kind, broker) {
  const side = { business: yield* Business.begin({ twoPhase: false, pg: url(database), ...kind }, broker), placed: 0 }
  Object.assign(side, { rates: [], cpu: 0, statements: 0, others: [], inFlight: 64 })
  yield* place(side, perRound)
  // Twice each, as a busy machine is not the same all the time.
  const millis = new Map(levels.map((inFlight) => [inFlight, 0]))
  for (const inFlight of [...levels, ...levels]) {
    const rate = yield* place(side, Math.ceil(inFlight === 1 ? perRound / 4 : perRound), inFlight)
    millis.set(inFlight, millis.get(inFlight) + 1_000 / rate)
  }
  side.inFlight = levels.reduce((best, it) => (millis.get(it) < millis.get(best) ? it : best))
  return side
})

/** CPU milliseconds of the three services, of PostgreSQL and of what else the side needs; statements of the services. */
const usage = Effect.fnUntraced(function* ({ business }, server) {
  const used = yield* Effect.forEach(services, business.usage)
  const own = used.reduce((sum, { cpu }) => sum + cpu, 0)
  const { busy, t } = meters()
  return {
    cpu: own + treeCpu(pgPid()) + (server === undefined ? 0 : treeCpu(server)),
    statements: used.reduce((sum, { statements }) => sum + statements, 0),
    busy,
    t
  }
})

const measured = Effect.fnUntraced(function* (side, server) {
  const before = yield* usage(side, server)
  side.rates.push(yield* place(side, perRound))
  const after = yield* usage(side, server)
  side.cpu += after.cpu - before.cpu
  side.statements += after.statements - before.statements
  side.others.push((after.busy - before.busy - (after.cpu - before.cpu)) / (after.t - before.t))
})

const audited = Effect.fnUntraced(function* (name, { business, placed }) {
  const wrong = yield* business.audit(Business.ordersFrom(0, placed))
  yield* business.end
  for (const problem of wrong) console.error(`${name}: ${problem}`)
  if (wrong.length > 0) process.exitCode = 1
})

const compare = Effect.fnUntraced(function* (by) {
  const [name, ...options] = by.split(":")
  const engine = yield* Effect.promise(() => import(`./business/${name}.mjs`))
  const server =
    engine.start &&
    (yield* Effect.acquireRelease(
      Effect.sync(() => engine.start()),
      ({ stop }) => Effect.promise(stop)
    ))
  const mosquitto = yield* Mosquitto.started({ lines: ["set_tcp_nodelay true"] })
  const program = new URL("business/service.program.mjs", import.meta.url).pathname
  const together = engine.together?.(Object.fromEntries(options.map((it) => it.split("=")))) ?? false
  const other = yield* prepared({ by, program, together }, "")
  const ours = yield* prepared({ by: "library" }, mosquitto.url)
  for (let i = 0; i < rounds; i++) {
    yield* measured(other, server?.pid)
    yield* measured(ours, mosquitto.pid())
  }
  yield* audited(by, other)
  yield* audited("effect-saga", ours)
  const orders = rounds * perRound
  const of = ({ cpu, inFlight, others, rates, statements }) => ({
    perSecond: round(median(rates), 1),
    inFlight,
    cpu: round(cpu / orders),
    statements: round(statements / orders, 1),
    others: others.map((it) => round(Math.max(0, it)))
  })
  const line = {
    engine: by,
    orders,
    ...of(other),
    ours: of(ours),
    timesSlower: round(median(ours.rates.map((rate, i) => rate / other.rates[i])), 1),
    timesCpu: round(other.cpu / ours.cpu, 1)
  }
  console.log(JSON.stringify(line))
  return line
})

const table = (lines) =>
  [
    "| | orders a second | in flight | CPU ms an order | SQL statements an order | effect-saga beside it | times as fast | times the CPU |",
    "|---|---|---|---|---|---|---|---|",
    ...lines.map(
      ({ cpu, engine, inFlight, ours, perSecond, statements, timesCpu, timesSlower }) =>
        `| ${engine} | ${perSecond} | ${inFlight} | ${cpu} | ${statements} | ${ours.perSecond} a second, ${ours.cpu} ms, ${ours.statements} | ${timesSlower} | ${timesCpu} |`
    )
  ].join("\n")

const freshDatabase = SqlClient.SqlClient.use((sql) =>
  Effect.andThen(
    sql.unsafe(`drop database if exists ${database} with (force)`),
    sql.unsafe(`create database ${database}`)
  )
).pipe(Effect.provide(PgClient.layer({ url: Redacted.make(url("postgres")) })))

const program = Effect.gen(function* () {
  const lines = []
  for (const by of engines) {
    yield* freshDatabase
    lines.push(yield* Effect.scoped(compare(by)))
    yield* Effect.promise(() => ms(500))
  }
  console.log(`\n${table(lines)}`)
})

await Effect.runPromise(program)
