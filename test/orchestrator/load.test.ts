/** `SagaManager.load`: an execution with the types of its saga, and why there is none. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  Signal,
  TransactionCommitter
} from "effect-saga"

class NoRoom extends Schema.TaggedError<NoRoom>()("NoRoom", { city: Schema.String }) {}
const Approval = Signal.make("approval", { payload: Schema.Struct({ by: Schema.String }) })

const tripOf = (city: Schema.Codec<string>, version?: string) =>
  Saga.make("Trip", { context: { city, day: Schema.Date }, ...(version !== undefined && { version }) }).pipe(
    Saga.waitFor("approval", { signal: Approval }),
    Saga.local("room", {
      success: Schema.Date,
      error: NoRoom,
      execute: ({ city, day }) => (city === "Atlantis" ? Effect.fail(new NoRoom({ city })) : Effect.succeed(day))
    }),
    Saga.commit
  )
const Trip = tripOf(Schema.String)
const Other = Saga.make("Other", { context: {} }).pipe(
  Saga.local("nothing", { execute: () => Effect.void }),
  Saga.commit
)

const context = { city: "Ghent", day: new Date(0) }
const yes = { by: "Ann" }

const Stores = Layer.merge(Layer.fresh(SagaExecutionRepository.layerMemoryWith({ keep: 10 })), Broker.layerMemory)
const manager = (service: string, ...sagas: ReadonlyArray<typeof Trip | typeof Other>) =>
  Layer.fresh(
    SagaManager.layer(sagas).pipe(Layer.provide([SagaConfig.layer({ service }), TransactionCommitter.layerNone]))
  )

const live = (
  title: string,
  test: Effect.Effect<void, unknown, SagaManager.SagaManager | Layer.Success<typeof Stores>>
) =>
  it.live(title, () =>
    test.pipe(Effect.provide(Layer.provideMerge(manager("trips", Trip, Other), Stores)), Effect.scoped)
  )

live(
  "load gives an execution that waits, one that has finished and one that has failed, decoded, by its uuid or start key",
  Effect.gen(function* () {
    const uuid = yield* SagaManager.start(Trip, { context, startKey: "one" })
    const waiting = yield* SagaManager.load(Trip, { startKey: "one" })
    assert.notStrictEqual(waiting.status, "finished")
    assert.deepStrictEqual(waiting.context.day, context.day)

    yield* SagaManager.signal(Approval, { startKey: "one", payload: yes })
    yield* SagaManager.execute(Trip, { context, startKey: "one" })
    const finished = yield* SagaManager.load(Trip, { uuid })
    if (finished.status !== "finished") return assert.fail(finished.status)
    assert.deepStrictEqual(finished.context.room, context.day)
    assert.deepStrictEqual(finished.context.approval, yes)

    const lost = { ...context, city: "Atlantis" }
    yield* SagaManager.start(Trip, { context: lost, startKey: "two" })
    yield* SagaManager.signal(Approval, { startKey: "two", payload: yes })
    yield* SagaManager.run(Trip, { context: lost, startKey: "two", raiseOnError: false })
    const errored = yield* SagaManager.load(Trip, { startKey: "two" })
    if (errored.status !== "errored") return assert.fail(errored.status)
    assert.deepStrictEqual(errored.cause, new NoRoom({ city: "Atlantis" }))
  })
)

live(
  "load needs the saga and no manager that runs it",
  Effect.gen(function* () {
    yield* SagaManager.start(Trip, { context, startKey: "one" })
    const { day } = (yield* Effect.provide(SagaManager.load(Trip, { startKey: "one" }), manager("web"))).context
    assert.deepStrictEqual(day, context.day)
  })
)

live(
  "ERR-003 load and signal say of a start key that it is one",
  Effect.gen(function* () {
    yield* SagaManager.execute(Other, { context: {}, startKey: "other" })
    const told = (work: Effect.Effect<unknown, { readonly message: string }, SagaManager.SagaManager>) =>
      Effect.map(Effect.flip(work), ({ message }) => message)
    const none = 'There is no execution with the start key "none"'
    assert.strictEqual(yield* told(SagaManager.load(Trip, { startKey: "none" })), none)
    assert.strictEqual(yield* told(SagaManager.signal(Approval, { startKey: "none", payload: yes })), none)
    assert.include(yield* told(SagaManager.load(Trip, { startKey: "other" })), 'with the start key "other"')
    const error = yield* Effect.flip(SagaManager.load(Trip, { startKey: "none" }))
    assert.deepInclude(error, { _tag: "SagaExecutionNotFound", startKey: "none" })
    assert.strictEqual(yield* told(SagaManager.load(Trip, { uuid: "none" })), "There is no execution none")
  })
)

live(
  "load fails with why there is no such execution: not there, of another saga, another version, or with values that do not fit",
  Effect.gen(function* () {
    const uuid = yield* SagaManager.start(Trip, { context, startKey: "one" })
    yield* SagaManager.execute(Other, { context: {}, startKey: "other" })
    const why = (load: Effect.Effect<unknown, SagaManager.LoadError, SagaManager.SagaManager>) =>
      Effect.map(Effect.flip(load), ({ _tag }) => _tag)
    assert.strictEqual(yield* why(SagaManager.load(Trip, { startKey: "none" })), "SagaExecutionNotFound")
    assert.strictEqual(yield* why(SagaManager.load(Trip, { uuid: "none" })), "SagaExecutionNotFound")
    assert.strictEqual(yield* why(SagaManager.load(Trip, { startKey: "other" })), "SagaExecutionNotFound")
    const next = tripOf(Schema.String, "2")
    assert.strictEqual(yield* why(SagaManager.load(next, { uuid })), "SagaDefinitionDrift")
    const strict = tripOf(Schema.String.check(Schema.isMaxLength(2)))
    assert.strictEqual(yield* why(SagaManager.load(strict, { uuid })), "SagaExecutionUnreadable")
    yield* SagaManager.signal(Approval, { uuid, payload: yes })
    yield* SagaManager.execute(Trip, { context, startKey: "one" })
    assert.strictEqual(yield* why(SagaManager.load(strict, { uuid })), "SagaExecutionUnreadable")
  })
)

live(
  "load refuses arguments that plain JavaScript may give",
  Effect.gen(function* () {
    for (const [saga, named, argument] of [
      [undefined, { uuid: "u" }, "saga"],
      [{ name: "Trip" }, { uuid: "u" }, "saga"],
      [Trip, undefined, "options"],
      [Trip, "u", "options"],
      [Trip, {}, "uuid"],
      [Trip, { uuid: 7 }, "uuid"],
      [Trip, { startKey: null }, "startKey"]
    ] as const) {
      const error = yield* Effect.flip(SagaManager.load(saga as any, named as any))
      assert.deepInclude(error, { _tag: "SagaInvalidArgument", argument })
    }
  })
)
