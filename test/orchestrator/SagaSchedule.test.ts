/** Sagas that start by a calendar: each tick once, at any number of processes, through stops, outages and bad values. */
import { assert, describe, it } from "@effect/vitest"
import { type Duration, Effect, Exit, Layer, Schema, Scope } from "effect"
import { KeyValueStore } from "effect/persistence"
import { TestClock } from "effect/testing"
import { KeyValueRepository, Saga, SagaExecutionRepository, SagaManager, SagaSchedule } from "effect-saga"
import { lines, makeWorld, type Opened, open, quiet, type World, write } from "../fixtures/manager.ts"
import { isMemory } from "../fixtures/repository.ts"

const Hourly = Saga.make("Hourly", { context: { hour: Schema.Date } }).pipe(
  Saga.local("report", { execute: ({ hour }) => write(`report ${hour.toISOString().slice(11, 16)}`) }),
  Saga.commit
)

const hourly = { cron: "0 * * * *", context: ({ tick }: { readonly tick: Date }) => ({ hour: tick }) }

/** Builds a schedule for a manager; gives what ends it. */
const schedule = Effect.fnUntraced(function* (
  { manager, use }: Opened,
  options: SagaSchedule.SagaScheduleOptions<{ readonly hour: Date }> = hourly
) {
  const scope = yield* Scope.fork(yield* Scope.Scope)
  const layer = SagaSchedule.layer(Hourly, options).pipe(Layer.provide(Layer.succeed(SagaManager.SagaManager, manager)))
  yield* use(Layer.buildWithScope(layer, scope))
  yield* quiet
  return Scope.close(scope, Exit.void)
})

const made = (world: World) => lines(world).map((line) => line.replace("report ", ""))

const pass = Effect.fnUntraced(function* (duration: Duration.Input) {
  yield* TestClock.adjust(duration)
  yield* quiet
})

const ofVirtualTime = (): void => {
  it.effect("a saga starts at each tick, with the tick in its context", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      yield* schedule(yield* open(world, { sagas: [Hourly] }))
      yield* pass("59 minutes")
      assert.deepStrictEqual(made(world), [])
      yield* pass("1 minute")
      assert.deepStrictEqual(made(world), ["01:00"])
      yield* pass("1 hour")
      yield* pass("1 hour")
      assert.deepStrictEqual(made(world), ["01:00", "02:00", "03:00"])
    })
  )

  it.effect("a tick is started once, however many processes have the schedule", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      // Each has read the last tick before any was made.
      const { schedules } = world.store.repository
      Object.assign(world.store.repository, { schedules: { ...schedules, last: () => Effect.succeed(0) } })
      for (let i = 0; i < 3; i++) yield* schedule(yield* open(world, { sagas: [Hourly] }))
      for (let hour = 0; hour < 3; hour++) yield* pass("1 hour")
      assert.deepStrictEqual(made(world), ["01:00", "02:00", "03:00"])
    })
  )

  it.effect("ticks of an absence: the newest are made, as many as catchUp says, and the others are said once", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const manager = yield* open(world, { sagas: [Hourly] })
      const options = { ...hourly, catchUp: 2 }
      const end = yield* schedule(manager, options)
      yield* pass("1 hour")
      yield* end
      yield* pass(450 * 60_000)
      yield* schedule(manager, options)
      yield* pass("1 minute")
      assert.deepStrictEqual(made(world), ["01:00", "07:00", "08:00"])
      const said = () => world.logged.filter((line) => line.includes("left out"))
      assert.strictEqual(said().length, 1)
      yield* pass("1 hour")
      assert.strictEqual(said().length, 1)
      assert.strictEqual(made(world).at(-1), "09:00")
    })
  )

  it.effect("with catchUp 0 what was missed is left out", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const manager = yield* open(world, { sagas: [Hourly] })
      const end = yield* schedule(manager, { ...hourly, catchUp: 0 })
      yield* end
      yield* pass(150 * 60_000)
      yield* schedule(manager, { ...hourly, catchUp: 0 })
      yield* pass("1 minute")
      assert.deepStrictEqual(made(world), [])
      yield* pass("1 hour")
      assert.deepStrictEqual(made(world), ["03:00"])
      assert.strictEqual(world.logged.filter((line) => line.includes("left out")).length, 1)
    })
  )

  it.effect("a tick whose execution could not be stored is not passed", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      // As a database does it: what fails together leaves nothing.
      let ticked = 0
      Object.assign(world.store.repository, {
        schedules: {
          last: () => Effect.sync(() => ticked),
          advance: (_: string, at: number) =>
            Effect.sync(() => {
              const isLater = at > ticked
              ticked = Math.max(at, ticked)
              return isLater
            })
        },
        atomically: <A, E, R>(work: Effect.Effect<A, E, R>) =>
          Effect.suspend(() => {
            const before = ticked
            return Effect.onError(work, () =>
              Effect.sync(() => {
                ticked = before
              })
            )
          })
      })
      let isAway = true
      world.store.fault = (operation) => (isAway && operation === "store" ? { reason: "unavailable" } : undefined)
      yield* schedule(yield* open(world, { sagas: [Hourly] }))
      yield* pass("1 hour")
      yield* pass("10 minutes")
      assert.deepStrictEqual(made(world), [])
      isAway = false
      yield* pass("2 minutes")
      assert.deepStrictEqual(made(world), ["01:00"])
    })
  )

  it.effect("a tick at which the repository is away is started when it is back", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const { repository } = world.store
      const { schedules } = repository
      let isAway = false
      const away = new SagaExecutionRepository.SagaExecutionRepositoryError({
        reason: "unavailable",
        operation: "schedule"
      })
      const asked = <A>(ask: Effect.Effect<A, typeof away>) => Effect.suspend(() => (isAway ? Effect.fail(away) : ask))
      Object.assign(repository, {
        schedules: {
          last: (name: string, since: number) => asked(schedules!.last(name, since)),
          advance: (name: string, at: number) => asked(schedules!.advance(name, at))
        }
      })
      yield* schedule(yield* open(world, { sagas: [Hourly] }))
      isAway = true
      yield* pass("1 hour")
      yield* pass("10 minutes")
      assert.deepStrictEqual(made(world), [])
      assert.strictEqual(world.logged.filter((line) => line.includes("waits for the repository")).length, 1)
      isAway = false
      yield* pass("2 minutes")
      assert.deepStrictEqual(made(world), ["01:00"])
    })
  )

  it.effect("a tick whose values cannot be made or stored is said and passed", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const bad = (tick: Date): Date => {
        if (tick.getUTCHours() === 1) throw new Error("no report at this hour")
        return tick.getUTCHours() === 2 ? new Date(Number.NaN) : tick
      }
      yield* schedule(yield* open(world, { sagas: [Hourly] }), {
        ...hourly,
        context: ({ tick }) => ({ hour: bad(tick) })
      })
      for (let hour = 0; hour < 3; hour++) yield* pass("1 hour")
      assert.deepStrictEqual(made(world), ["03:00"])
      assert.strictEqual(world.logged.filter((line) => line.includes("gave no execution")).length, 2)
    })
  )

  it.effect("two schedules of a saga have a name each", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const manager = yield* open(world, { sagas: [Hourly] })
      yield* schedule(manager)
      yield* schedule(manager, { ...hourly, cron: "30 * * * *", name: "Half" })
      yield* pass("1 hour")
      assert.deepStrictEqual(made(world), ["00:30", "01:00"])
    })
  )

  it.effect("a schedule that is closed starts nothing more", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const end = yield* schedule(yield* open(world, { sagas: [Hourly] }))
      yield* end
      yield* pass("3 hours")
      assert.deepStrictEqual(made(world), [])
    })
  )

  it.effect(
    "a last tick in the future, of a clock that was wrong once, is put back and said; one that is near is not",
    () =>
      Effect.gen(function* () {
        const world = yield* makeWorld({ keep: 10 })
        const said = () => world.logged.filter((line) => line.includes("put back to now")).length
        const { schedules } = world.store.repository
        yield* pass("1 minute")
        yield* schedules!.last("Hourly", 0)
        // Of two processes one mends it. A tick of the next minutes may be that of a process whose clock is ahead.
        yield* schedules!.advance("Hourly", Date.parse("1970-01-01T00:40:00Z"))
        for (let i = 0; i < 2; i++) yield* schedule(yield* open(world, { sagas: [Hourly] }))
        yield* pass("1 hour")
        assert.deepStrictEqual([made(world), said()], [["01:00"], 0])
        yield* schedules!.advance("Hourly", Date.parse("2031-01-01T00:00:00Z"))
        yield* pass("1 hour")
        assert.deepStrictEqual([made(world), said()], [["01:00"], 1])
        yield* pass("1 hour")
        assert.deepStrictEqual([made(world), said()], [["01:00", "03:00"], 1])
      })
  )

  it.effect("a last tick that is no time, written by other hands, makes no tick and ends no loop", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const { schedules } = world.store.repository
      for (const last of [2 ** 63, 8.64e15]) {
        Object.assign(world.store.repository, { schedules: { ...schedules, last: () => Effect.succeed(last) } })
        yield* schedule(yield* open(world, { sagas: [Hourly] }))
        yield* pass("1 hour")
      }
      assert.deepStrictEqual([made(world), world.logged.filter((line) => line.includes("loop died"))], [[], []])
    })
  )
}

describe("SagaSchedule", () => {
  // A database has its own time.
  if (isMemory) ofVirtualTime()

  it.effect("options that cannot be used are errors of the layer, named", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const opened = yield* open(world, { sagas: [Hourly] })
      const refused: ReadonlyArray<readonly [Record<string, unknown>, string]> = [
        [{ cron: "hourly" }, "SagaSchedule.cron"],
        [{ cron: "0 2 31 2 *" }, "SagaSchedule.cron"],
        [{ cron: undefined }, "SagaSchedule.cron"],
        [{ zone: "Europe/Atlantis" }, "SagaSchedule.zone"],
        [{ zone: 7 }, "SagaSchedule.zone"],
        [{ catchUp: -1 }, "SagaSchedule.catchUp"],
        [{ catchUp: 1_001 }, "SagaSchedule.catchUp"],
        [{ name: "no name" }, "SagaSchedule.name"],
        [{ name: 7 }, "SagaSchedule.name"]
      ]
      for (const [options, setting] of refused) {
        // Cast: plain JavaScript may give anything.
        const error = yield* Effect.flip(schedule(opened, { ...hourly, ...options } as typeof hourly))
        assert.deepInclude(error, { _tag: "InvalidSetting", setting }, JSON.stringify(options))
      }
    })
  )

  it.effect("a saga that the manager does not have, and a repository without schedules, are errors of the layer", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const without = yield* Effect.flip(schedule(yield* open(world)))
      assert.strictEqual(without._tag, "SagaNotRegistered")
      const repository = KeyValueRepository.layer({}).pipe(Layer.provide(KeyValueStore.layerMemory), Layer.orDie)
      const layers = Layer.provideMerge(repository, world.layers)
      const other = yield* Effect.flip(schedule(yield* open({ ...world, layers }, { sagas: [Hourly] })))
      assert.strictEqual(other._tag, "SagaRepositoryUnsupported")
    })
  )
})
