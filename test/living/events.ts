/** What happens to living processes and to the servers that they use. Each event is over when it returns. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { below, type Chance, happens, pick } from "../execution/rules/chance.ts"
import type * as Mosquitto from "../fixtures/mosquitto.ts"
import type * as OwnPostgres from "../fixtures/ownPostgres.ts"
import { clientOf, type Fleet, type Settings } from "./Fleet.ts"

export interface World {
  readonly fleet: Fleet
  readonly settings: Settings
  readonly random: Chance
}

/** A world whose servers are its own. */
export interface OwnWorld extends World {
  readonly postgres: OwnPostgres.OwnPostgres
  readonly broker: Mosquitto.Mosquitto
}

type Event<W> = (world: W) => Effect.Effect<void, unknown, never>

/** Somewhat longer than a lease. */
const overLease = ({ random, settings }: World) => settings.lease * 1.2 + below(random, settings.lease / 2)

/** Every process is replaced by a new one; that of a PGlite folder only after it has ended. */
const rolling: Event<World> = ({ fleet, settings }) =>
  Effect.suspend(() =>
    Effect.forEach(
      [...fleet.members],
      (old) =>
        settings.processes === 1
          ? Effect.andThen(fleet.stop(old), fleet.start())
          : Effect.andThen(fleet.start(), fleet.stop(old)),
      { discard: true }
    )
  )

const stopped: Event<World> = (world) =>
  Effect.suspend(() => world.fleet.standStill(pick(world.random, world.fleet.members), overLease(world)))

/** Transactional steps want more connections than there are, and keep theirs for longer than a lease. */
const pool: Event<World> = ({ fleet, settings }) =>
  fleet
    .sayAll(`hold ${settings.lease * 1.2}`)
    .pipe(Effect.andThen(Effect.sleep(settings.lease * 4)), Effect.andThen(fleet.sayAll("hold 0")))

/** One is killed and replaced, another one is killed, and while that one is missing a third one stands still. */
export const killed: Event<World> = (world) =>
  Effect.suspend(() => {
    const { fleet, random, settings } = world
    const some = () => pick(random, fleet.members)
    const pause = Effect.suspend(() => Effect.sleep(below(random, settings.pace)))
    const kill = Effect.andThen(
      pause,
      Effect.suspend(() => fleet.kill(some()))
    )
    return Effect.all([kill, fleet.start(), kill, pause, stopped(world), fleet.start()], { discard: true })
  })

export const ofProcesses = { rolling, stopped, pool }

const outage = 30_000

const silentDatabase: Event<OwnWorld> = (world) =>
  world.postgres.freeze.pipe(Effect.andThen(Effect.sleep(overLease(world) * 2)), Effect.andThen(world.postgres.thaw))

const databaseAway: Event<OwnWorld> = ({ postgres }) =>
  postgres.stop.pipe(Effect.andThen(Effect.sleep(outage)), Effect.andThen(postgres.start))

const databaseRestarted: Event<OwnWorld> = ({ postgres, random }) =>
  Effect.andThen(happens(random, 0.5) ? postgres.stop : postgres.crash, postgres.start)

/** As a server that has become a standby, or whose disk is full. */
const readOnly: Event<OwnWorld> = ({ postgres: { url } }) => {
  const become = (value: "on" | "off") =>
    Effect.provide(
      SqlClient.SqlClient.use((sql) =>
        Effect.andThen(
          sql.unsafe(`alter system set default_transaction_read_only = ${value}`),
          sql`select pg_reload_conf()`
        )
      ),
      clientOf({ database: { url } })
    )
  return become("on").pipe(Effect.andThen(Effect.sleep(outage)), Effect.andThen(become("off")), Effect.asVoid)
}

const silentBroker: Event<OwnWorld> = (world) =>
  world.broker.freeze.pipe(Effect.andThen(Effect.sleep(overLease(world) * 2)), Effect.andThen(world.broker.thaw))

const brokerRestarted: Event<OwnWorld> = ({ broker, random }) =>
  Effect.andThen(happens(random, 0.5) ? broker.stop : broker.kill, broker.start)

export const ofServers = { silentDatabase, databaseAway, databaseRestarted, readOnly, silentBroker, brokerRestarted }
