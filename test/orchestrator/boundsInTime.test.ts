/**
 * SPEC C16, C18: a saga that turns back after 90 days finds its participants with all that they need to undo, whatever they have
 * forgotten meanwhile. The executions are in memory, where time is virtual; the participants also on PGlite, where they are away
 * while days pass, and look after their records when they come back.
 */
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, ManagedRuntime, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  SagaTransaction,
  Signal,
  TransactionCommitter
} from "effect-saga"
import { SqlParticipantStore } from "effect-saga/sql"
import * as Pglite from "../fixtures/pglite.ts"
import { schemaOf } from "../fixtures/postgres.ts"

const Approval = Signal.make("approval", { payload: Schema.Boolean })
const Cars = Participant.make("cars", {
  Lease: { payload: { plate: Schema.String }, success: Schema.String },
  Return: { payload: { lease: Schema.String } },
  Wash: { payload: {} }
})

class Refused extends Schema.TaggedError<Refused>()("Refused", {}) {}

const lease = {
  execute: { command: Cars.commands.Lease, payload: ({ plate }: { readonly plate: string }) => ({ plate }) },
  compensate: { command: Cars.commands.Return, payload: ({ lease }: { readonly lease: string }) => ({ lease }) }
}
const check = {
  error: Refused,
  execute: ({ approval }: { readonly approval: boolean }) => (approval ? Effect.void : Effect.fail(new Refused()))
}
const context = { plate: Schema.String }
const given = { context: { plate: "1-ABC-234" } }

const sagas = {
  /** The end of its time is that of the execution. */
  deadline: Saga.make("Deadline", { context, deadline: "90 days" }).pipe(
    Saga.remote("lease", lease),
    Saga.waitFor("approval", { signal: Approval }),
    Saga.local("check", check),
    Saga.commit
  ),
  /** The end of its time follows from those of its steps. */
  timeouts: Saga.make("Timeouts", { context }).pipe(
    Saga.remote("lease", lease),
    Saga.sleep("season", "60 days"),
    Saga.waitFor("approval", { signal: Approval, timeout: "30 days" }),
    Saga.local("check", check),
    Saga.commit
  )
}
const Wash = Saga.make("Wash", { context: {} }).pipe(
  Saga.remote("wash", { execute: { command: Cars.commands.Wash, payload: () => ({}) } }),
  Saga.commit
)

/** One for all tests of this file; each has a schema of its own. */
const database = ManagedRuntime.make(Pglite.layer())
afterAll(() => database.dispose())

const stores = {
  memory: () => ParticipantStore.layerMemory,
  PGlite: () =>
    Layer.unwrap(
      Effect.map(
        Effect.promise(() => database.context()),
        (client) =>
          Layer.orDie(
            Layer.provide(SqlParticipantStore.layer({ schema: schemaOf("bounds") }), Layer.succeedContext(client))
          )
      )
    )
}
const committers = {
  "two-phase commit": TransactionCommitter.layerTwoPhase,
  "no commit": TransactionCommitter.layerNone
}

/** Turns of the event loop, in which a database answers. */
const until = Effect.fnUntraced(function* <E, R>(what: string, happened: Effect.Effect<boolean, E, R>) {
  for (let turn = 0; turn < 5_000; turn++) {
    if (yield* happened) return
    yield* Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))
  }
  assert.fail(`it never came to this: ${what}`)
})

const makeWorld = Effect.fnUntraced(function* (store: keyof typeof stores, committer: keyof typeof committers) {
  const story: Array<string> = []
  const say = (line: string) => Effect.map(SagaTransaction, ({ path }) => void story.push(`${line} ${path}`))
  const ports = yield* Layer.build(
    Layer.provideMerge(
      committers[committer],
      Layer.mergeAll(
        Layer.fresh(Broker.layerMemory),
        Layer.fresh(stores[store]()),
        SagaExecutionRepository.layerMemoryWith({ keep: 10 })
      )
    )
  )
  const records = Context.get(ports, ParticipantStore.ParticipantStore)
  const services = yield* SagaManager.layer([sagas.deadline, sagas.timeouts, Wash]).pipe(
    Layer.provide(Layer.orDie(SagaConfig.layer({ service: "orders" }))),
    Layer.provide(Layer.succeedContext(ports)),
    Layer.build
  )
  let purged = 0
  const participants = Participant.layer(Cars, {
    Lease: () => Effect.as(say("lease"), "l-1"),
    Return: () => say("return"),
    Wash: () => say("wash")
  }).pipe(
    Layer.provide(
      Layer.succeed(ParticipantStore.ParticipantStore, {
        ...records,
        purge: (request) =>
          Effect.tap(records.purge(request), (gone) =>
            Effect.sync(() => {
              purged += gone
              looks++
            })
          )
      })
    ),
    Layer.provide(Layer.succeedContext(ports))
  )
  const scope = yield* Scope.Scope
  let stop: Effect.Effect<void> = Effect.void
  let looks = 0
  const start = Effect.gen(function* () {
    const own = yield* Scope.fork(scope)
    stop = Scope.close(own, Exit.void)
    const before = looks
    yield* Layer.buildWithScope(participants, own)
    yield* until(
      "records are looked after",
      Effect.sync(() => looks > before)
    )
  })
  /** Days pass. Where a look at the records is not free, the participant is away meanwhile. */
  const pass = (days: number) =>
    store === "memory"
      ? TestClock.adjust(`${days} days`)
      : Effect.suspend(() => stop).pipe(Effect.andThen(TestClock.adjust(`${days} days`)), Effect.andThen(start))
  yield* start
  const manager = Context.get(services, SagaManager.SagaManager)
  const use = Effect.provideService(SagaManager.SagaManager, manager)
  return { story, manager, use, pass, purged: () => purged, looks: () => looks }
})

type World = Effect.Success<ReturnType<typeof makeWorld>>

/** An execution in its wait, and one that is over since the first day. */
const begin = Effect.fnUntraced(function* ({ manager, use }: World, saga: keyof typeof sagas) {
  const washed = yield* use(SagaManager.start(Wash, { context: {} }))
  const uuid = yield* use(SagaManager.start(sagas[saga], given))
  const load = manager.load(uuid)
  yield* until(
    "the car is leased",
    Effect.map(load, ({ executedSteps }) => executedSteps.length > 0)
  )
  yield* until(
    "the other execution is over",
    Effect.map(manager.load(washed), ({ settled }) => settled)
  )
  return { uuid, load }
})

for (const store of ["memory", "PGlite"] as const) {
  for (const committer of ["two-phase commit", "no commit"] as const) {
    describe(`90 days, ${store}, ${committer}`, () => {
      for (const saga of ["deadline", "timeouts"] as const) {
        it.effect(`C16, C18 an execution that nobody approves is undone completely (${saga})`, () =>
          Effect.gen(function* () {
            const world = yield* makeWorld(store, committer)
            const { load } = yield* begin(world, saga)
            yield* world.pass(45)
            assert.strictEqual((yield* load).status, "paused")
            // The records of the other one are gone since, of which nothing says that they are needed.
            assert.strictEqual(world.purged(), 1)
            if (store === "memory") assert.isBelow(world.looks(), 20, "where nothing is due, nobody looks")
            yield* world.pass(44.999)
            yield* TestClock.adjust("10 minutes")
            yield* until(
              "it is undone",
              Effect.map(load, ({ settled }) => settled)
            )
            const execution = yield* load
            assert.deepStrictEqual(
              [execution.status, execution.alreadyRollback, execution.parked],
              ["errored", true, []]
            )
            assert.deepStrictEqual(world.story, ["wash 0", "lease 0", "return 0"])
          })
        )
      }

      it.effect("C16 an execution that is approved on the last day is finished and committed", () =>
        Effect.gen(function* () {
          const world = yield* makeWorld(store, committer)
          const { load, uuid } = yield* begin(world, "timeouts")
          yield* world.pass(89)
          yield* world.use(SagaManager.signal(Approval, { uuid, payload: true }))
          yield* until(
            "it is committed",
            Effect.map(load, ({ settled }) => settled)
          )
          assert.deepInclude(yield* load, { status: "finished", commitState: "committed" })
        })
      )
    })
  }
}
