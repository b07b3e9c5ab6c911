/**
 * Processes of a former release beside processes of this one, on one database and one broker, under load: nothing is lost,
 * and what one of them cannot read is not kept from the other. `npm run upgrade` does it with all former releases and more
 * load.
 */
import process from "node:process"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Mosquitto from "../fixtures/mosquitto.ts"
import { schemaOf, url } from "../fixtures/postgres.ts"
import { audit } from "../living/audit.ts"
import * as Fleet from "../living/Fleet.ts"
import * as Upgrade from "./audit.ts"
import * as Former from "./former.ts"

const isLong = process.env.SAGA_UPGRADE !== undefined

const settings: Fleet.Settings = {
  inFlight: isLong ? 300 : 60,
  processes: 2,
  lease: 3_000,
  grace: 10_000,
  pace: isLong ? 4_000 : 1_000
}
/** How many processes of a release there are. */
const size = isLong ? 2 : 1
/** How long processes work together. */
const together = isLong ? 8_000 : 1_000

/** A release, as its processes are started and judged. */
interface Stage {
  readonly start: Fleet.Start
  readonly repeats: boolean
  /** It can read all that the others write. */
  readonly isWhole: boolean
}

const later: Stage = {
  start: (order) => Fleet.program({ ...order, isLater: true }),
  repeats: false,
  isWhole: true
}
const stageOf = (release: Former.Release): Stage => ({
  start: Former.start(release),
  repeats: release.repeats === true,
  isWhole: release.isWhole === true
})

/** The first one has the fewest facts and tables, and the last one is what most deployments have. */
const ends = <A>(all: ReadonlyArray<A>) => [...all.slice(0, 1), ...all.slice(1).slice(-1)]

/** All processes are replaced by those of another release, one by one. */
const replace = Effect.fnUntraced(function* (fleet: Fleet.Fleet, next: Stage) {
  for (const old of [...fleet.members]) {
    yield* fleet.start(next.start, next.repeats)
    yield* Effect.sleep(together)
    yield* fleet.stop(old)
    yield* Effect.sleep(together)
  }
})

/** Goes from release to release, and compares at the end. */
const upgraded = Effect.fnUntraced(function* (url: string, first: Stage, ...others: ReadonlyArray<Stage>) {
  const broker = yield* Mosquitto.started()
  const schema = schemaOf("upgrade")
  const place: Fleet.Place = { database: { url }, schema, broker: broker.url }
  const client = Layer.fresh(Fleet.clientOf(place))
  yield* Effect.addFinalizer(() => Fleet.dropped(place))
  const fleet = yield* Fleet.make(place, settings)
  for (let n = 0; n < size; n++) yield* fleet.start(first.start, first.repeats)
  yield* Effect.provide(Upgrade.watch(schema), client)
  yield* fleet.keep(settings.inFlight)
  yield* Effect.sleep(together)
  for (const next of others) yield* replace(fleet, next)
  yield* fleet.settle
  const { folder, stops } = fleet
  const report = yield* Effect.provide(audit({ folder, lease: settings.lease, schema, stops }), client)
  const isOnce = [first, ...others].every(({ repeats }) => !repeats)
  const more = yield* Effect.provide(Upgrade.audit(schema, isOnce), client)
  if (isLong) yield* Effect.log(report, more)
  assert.deepStrictEqual([...report.wrong, ...more.wrong], [])
  // What is new was there.
  for (const count of ["batches", "notices", "ticks", "queued", "labelled"] as const)
    assert.isAtLeast(more[count], 1, count)
  // Few are due while only the former one is there. Where it comes back it is alone for a moment, and it may be none.
  if (isLong && !first.isWhole) assert.isAtLeast(more.givenBack, 1)
  assert.isAtLeast(report.committed, 1)
  assert.isAtLeast(report.rejected, 1)
})

describe.skipIf(url === undefined || Mosquitto.binary === undefined)("a rolling upgrade", () => {
  const server = url ?? ""
  const timeout = 900_000
  for (const release of isLong ? Former.releases : ends(Former.releases)) {
    // A clone without the history is not worth a failure, but where everything must be there.
    describe.skipIf(!Former.isThere(release) && process.env.CI === undefined)(`of ${release.name}`, () => {
      if (!isLong) {
        it.live(
          "the former release is replaced, comes back, and goes again",
          () =>
            Effect.suspend(() => {
              const former = stageOf(release)
              return upgraded(server, former, later, former, later)
            }).pipe(Effect.scoped),
          timeout
        )
        return
      }
      it.live(
        "the former release is replaced",
        () => Effect.scoped(Effect.suspend(() => upgraded(server, stageOf(release), later))),
        timeout
      )
      it.live(
        "the former release comes back, and goes again",
        () => Effect.scoped(Effect.suspend(() => upgraded(server, later, stageOf(release), later))),
        timeout
      )
    })
  }
})
