/**
 * Processes that live while things happen to them and to the servers that they use: everything settles, nothing is parked,
 * and what is outside of the database runs once. A few things happen by default; `npm run chaos:living` is the real thing:
 * SAGA_EVENTS events of each kind with SAGA_IN_FLIGHT executions in flight, on servers of its own. SAGA_KINDS names the kinds
 * that happen, SAGA_PACE is how long a step takes at most and SAGA_LEASE the lease of a process, in milliseconds, and
 * SAGA_REPORT is a file that gets a line of JSON for each kind.
 */
import { appendFileSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { afterAll } from "vitest"
import { below, type Chance } from "../execution/rules/chance.ts"
import * as Mosquitto from "../fixtures/mosquitto.ts"
import * as OwnPostgres from "../fixtures/ownPostgres.ts"
import { schemaOf, url } from "../fixtures/postgres.ts"
import { audit, type Report } from "./audit.ts"
import * as Events from "./events.ts"
import * as Fleet from "./Fleet.ts"
import * as Journal from "./Journal.ts"

const {
  SAGA_EVENTS,
  SAGA_IN_FLIGHT = "1000",
  SAGA_KINDS,
  SAGA_LEASE = "3000",
  SAGA_PACE = "8000",
  SAGA_REPORT
} = process.env

interface Row extends Report {
  readonly kind: string
  readonly events: number
  readonly seed: number
  /** How long after an event the first twenty executions ended, in seconds, at most. */
  readonly back: number
}

const rows: Array<Row> = []

/** Lets events happen, then lets everything settle, and compares. */
const happening = Effect.fnUntraced(function* (
  place: Fleet.Place,
  settings: Fleet.Settings,
  events: number,
  kind: string,
  happen: (fleet: Fleet.Fleet, random: Chance) => Effect.Effect<void, unknown>
) {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
  const random: Chance = { state: seed }
  const fleet = yield* Fleet.make(place, settings)
  yield* Effect.forEach(Array.from({ length: settings.processes }), () => fleet.start(), { discard: true })
  yield* fleet.keep(settings.inFlight)
  const isServer = "url" in place.database
  const count = Fleet.counting(place)
  // Some have come to their later steps.
  yield* Effect.sleep(settings.pace)
  let back = 0
  for (let event = 0; event < events; event++) {
    yield* Effect.sleep(below(random, Math.min(settings.pace, 4_000)))
    yield* happen(fleet, random)
    const over = Journal.now()
    if (isServer) {
      yield* Effect.repeat(
        Effect.delay(
          count(
            (sql, table) =>
              sql`select count(*)::int as n from ${sql(table)} where settled and updated_at > ${Math.round(over)}`
          ),
          "200 millis"
        ),
        { until: (ended) => ended >= 20, times: 600 }
      )
      back = Math.max(back, (Journal.now() - over) / 1_000)
    }
  }
  yield* fleet.settle
  const { folder, stops } = fleet
  const report = yield* Effect.provide(
    audit({ folder, lease: settings.lease, schema: place.schema, stops }),
    Layer.fresh(Fleet.clientOf(place))
  )
  const row: Row = { kind, events, seed, back, ...report }
  rows.push(row)
  if (SAGA_REPORT !== undefined) appendFileSync(SAGA_REPORT, `${JSON.stringify(row)}\n`)
  assert.deepStrictEqual(report.wrong, [], `SEED=${seed}`)
  assert.isAtLeast(report.committed, 1)
  assert.isAtLeast(report.rejected, 1)
})

const timeoutOf = (events: number) => 600_000 + events * 120_000

// ---- the real thing ----------------------------------------------------------------------------------------------

const pace = Number(SAGA_PACE)
const large: Fleet.Settings = {
  inFlight: Number(SAGA_IN_FLIGHT),
  processes: 3,
  // By default that of a process without a setting.
  lease: Number(SAGA_LEASE),
  grace: pace + 2_000,
  pace
}

const suiteOfServers = () => {
  const events = Number(SAGA_EVENTS)
  const isWanted = (kind: string) => SAGA_KINDS?.split(",").includes(kind) ?? true
  const all = { ...Events.ofProcesses, ...Events.ofServers }
  for (const [kind, happen] of Object.entries(all).filter(([kind]) => isWanted(kind))) {
    it.live(
      `${kind}, ${events} times with ${large.inFlight} executions in flight`,
      () =>
        Effect.gen(function* () {
          const postgres = yield* OwnPostgres.make
          const broker = yield* Mosquitto.started({ persistence: true })
          const place = { database: { url: postgres.url }, schema: "living", broker: broker.url }
          yield* happening(place, large, events, kind, (fleet, random) =>
            happen({ fleet, settings: large, random, postgres, broker })
          )
        }).pipe(Effect.scoped),
      timeoutOf(events)
    )
  }
}

// ---- the short form ----------------------------------------------------------------------------------------------

const small = { inFlight: 60, lease: 5_000, grace: 10_000, pace: 800 }

/** Both kinds that need no server of their own, one after the other. */
const both = (place: Fleet.Place, settings: Fleet.Settings) =>
  happening(place, settings, 1, "rolling and stopped", (fleet, random) => {
    const world = { fleet, settings, random }
    return Effect.andThen(Events.ofProcesses.rolling(world), Events.ofProcesses.stopped(world))
  })

const suiteOfProcesses = () => {
  if (url === undefined) {
    it.live(
      "a process on a PGlite folder is replaced and stands still, and each step runs once",
      () =>
        Effect.gen(function* () {
          const folder = yield* Effect.acquireRelease(
            Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-saga-living-"))),
            (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
          )
          const place = { database: { folder: join(folder, "data") }, schema: schemaOf("living") }
          yield* both(place, { ...small, processes: 1 })
        }).pipe(Effect.scoped),
      timeoutOf(1)
    )
    return
  }
  const server = url
  it.live(
    "three processes are replaced in a row, one stands still, and each step of those that live runs once",
    () =>
      Effect.gen(function* () {
        const broker = Mosquitto.binary === undefined ? undefined : yield* Mosquitto.started()
        const schema = schemaOf("living")
        const place: Fleet.Place = {
          database: { url: server },
          schema,
          ...(broker !== undefined && { broker: broker.url })
        }
        yield* Effect.addFinalizer(() => Fleet.dropped(place))
        yield* both(place, { ...small, processes: 3 })
      }).pipe(Effect.scoped),
    timeoutOf(1)
  )
}

// A skipped test would look as if something were missing.
if (SAGA_EVENTS === undefined) describe("living processes", suiteOfProcesses)
else describe("living processes on servers of their own", suiteOfServers)

afterAll(() => {
  if (SAGA_EVENTS === undefined) return
  const columns = [
    "kind",
    "events",
    "seed",
    "committed",
    "rejected",
    "excused",
    "stalls",
    "median",
    "longest",
    "back"
  ] as const
  const line = (cells: ReadonlyArray<unknown>) => `| ${cells.join(" | ")} |`
  const shown = (value: string | number) => (typeof value === "number" && value % 1 > 0 ? value.toFixed(1) : value)
  const table = rows.map((row) => line([...columns.map((column) => shown(row[column])), row.wrong.length]))
  console.log([line([...columns, "wrong"]), line([...columns, ""].map(() => "---")), ...table].join("\n"))
})
