/** Executions are found by the attributes that their saga makes from the initial context. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { Saga, SagaManager, SagaStory, Signal } from "effect-saga"
import { SagaExecution } from "effect-saga/internals"
import { SagaTest } from "effect-saga/testing"
import { makeWorld, open, reached, start } from "../fixtures/manager.ts"

const Order = Saga.make("Order", {
  context: { customer: Schema.String, amount: Schema.Int },
  attributes: ({ amount, customer }) => ({ customer, isLarge: amount > 100 })
}).pipe(Saga.local("nothing", { execute: () => Effect.void }), Saga.commit)

describe("attributes", () => {
  it.effect("are stored at the start, shown, and found by, from processes that do not know the saga", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const { use } = yield* open(world, { sagas: [Order] })
      const stranger = (yield* open(world, { sagas: [] })).manager
      const execution = yield* use(SagaManager.run(Order, { context: { customer: "Ann", amount: 200 } }))
      yield* use(SagaManager.run(Order, { context: { customer: "Ann", amount: 2 } }))
      const attributes = { customer: "Ann", isLarge: true }
      assert.deepStrictEqual(execution.attributes, attributes)
      const { items } = yield* stranger.find({ attributes })
      assert.deepStrictEqual(
        items.map((item) => [item.uuid, item.attributes]),
        [[execution.uuid, attributes]]
      )
      assert.strictEqual((yield* stranger.find({ attributes: { customer: "Ann" } })).items.length, 2)
      assert.deepStrictEqual((yield* stranger.load(execution.uuid)).attributes, attributes)
      const raw = SagaExecution.raw(yield* stranger.load(execution.uuid))
      assert.deepStrictEqual((yield* SagaExecution.fromRaw(raw)).attributes, attributes)
    })
  )

  it.effect("that cannot be stored start nothing", () =>
    Effect.gen(function* () {
      const { manager, use } = yield* start({ keep: 10, sagas: [Order] })
      const context = { customer: "x".repeat(300), amount: 1 }
      const error = yield* Effect.flip(use(SagaManager.start(Order, { context })))
      assert.deepInclude(error, { _tag: "SagaInvalidStart", field: "attributes" })
      assert.notInclude(error.message, "xxx")
      assert.deepStrictEqual((yield* manager.find({})).items, [])
    })
  )

  it.effect("of a filter from plain JavaScript are checked", () =>
    Effect.gen(function* () {
      const { manager } = yield* start()
      for (const attributes of [7, "x", [], { a: null }, { a: {} }, { a: Number.NaN }]) {
        const error = yield* Effect.flip(manager.find({ attributes } as object))
        assert.strictEqual(error._tag, "SagaInvalidArgument", JSON.stringify(attributes))
      }
    })
  )
})

const Checked = Signal.make("checked", { payload: Schema.Struct({ level: Schema.Int }) })

const give = <A>(value: A) => ({ execute: () => Effect.succeed(value) })

const Inner = Saga.make("Inner", { context: {}, attributes: () => ({ inner: 1 }) }).pipe(
  Saga.local("deep", { success: Schema.String, ...give("deep") }),
  Saga.attributes(({ deep }) => ({ deep })),
  Saga.commit
)

/** Every kind of step that attributes may stand behind. */
const Open = Saga.make("Open", {
  context: { name: Schema.String, fails: Schema.Boolean },
  attributes: ({ name }) => ({ name, stage: "new" })
}).pipe(
  Saga.local("account", { success: Schema.String, ...give("BE1"), compensate: () => Effect.void }),
  Saga.attributes(({ account }) => ({ account })),
  Saga.conditional("way", [
    Saga.ifThen(
      ({ name }) => name !== "",
      (branch) =>
        branch.pipe(
          Saga.local("card", { success: Schema.Int, ...give(7) }),
          Saga.attributes(({ card }) => ({ card }))
        )
    )
  ]),
  Saga.parallel("both", {
    left: (branch) =>
      branch.pipe(
        Saga.local("left", { success: Schema.String, ...give("l") }),
        Saga.attributes(({ left }) => ({ left }))
      ),
    right: Saga.local("right", give(undefined))
  }),
  Saga.nested("inner", { saga: Inner, context: () => ({}) }),
  Saga.waitFor("check", { signal: Checked, timeout: "1 day" }),
  Saga.attributes(({ check }) => ({ stage: "checked", level: check.level })),
  Saga.local("risky", {
    execute: ({ fails }) => (fails ? Effect.die("no") : Effect.void),
    compensate: () => Effect.void
  }),
  Saga.pivot,
  Saga.attributes(() => ({ stage: "sure" })),
  Saga.forEach("letters", {
    items: () => [1, 2],
    item: Schema.Int,
    as: "n",
    steps: (each) => each.pipe(Saga.local("letter", give(undefined)))
  }),
  Saga.attributes(({ letters }) => ({ letters: letters.length })),
  Saga.commit
)

const all = { name: "Ann", stage: "sure", account: "BE1", card: 7, left: "l", level: 3, letters: 2 }

describe("attributes behind steps", () => {
  it.effect("follow the results of all kinds of steps, in the write that stores them", () =>
    Effect.gen(function* () {
      const { manager, use } = yield* start({ keep: 10, sagas: [Open] })
      const uuid = yield* use(SagaManager.start(Open, { context: { name: "Ann", fails: false } }))
      const waiting = { name: "Ann", stage: "new", account: "BE1", card: 7, left: "l" }
      const paused = yield* reached(manager.load(uuid), "paused")
      assert.deepStrictEqual(paused.attributes, waiting)
      assert.deepStrictEqual((yield* manager.find({ attributes: waiting })).items.length, 1)
      const before = paused.events.findIndex(({ _tag }) => _tag === "AttributesChanged")
      assert.deepInclude(paused.events[before], { path: "0", attributes: { account: "BE1" } })
      yield* use(SagaManager.signal(Checked, { uuid, payload: { level: 3 } }))
      const done = yield* reached(manager.load(uuid), "finished")
      assert.deepStrictEqual(done.attributes, all)
      assert.deepStrictEqual((yield* manager.find({ attributes: { stage: "sure", level: 3 } })).items.length, 1)
      assert.deepStrictEqual((yield* manager.find({ attributes: { stage: "new" } })).items.length, 0)
      const raw = SagaExecution.raw(done)
      assert.deepStrictEqual((yield* SagaExecution.fromRaw(raw)).attributes, all)
    })
  )

  it.effect("stay when their step is undone", () =>
    Effect.gen(function* () {
      const { manager, use } = yield* start({ keep: 10, sagas: [Open] })
      const uuid = yield* use(SagaManager.start(Open, { context: { name: "Ann", fails: true } }))
      yield* use(SagaManager.signal(Checked, { uuid, payload: { level: 3 } }))
      const { letters: _, ...before } = all
      const errored = yield* reached(manager.load(uuid), "errored")
      assert.deepStrictEqual(errored.attributes, { ...before, stage: "checked" })
    })
  )

  it.effect("are the same after a crash at any instruction", () =>
    Effect.gen(function* () {
      const runs = yield* SagaTest.crashPoints(Open, {
        context: { name: "Ann", fails: false },
        layer: Layer.empty,
        signals: [SagaTest.signal(Checked, { after: "1 hour", payload: { level: 3 } })]
      })
      assert.isAbove(runs.length, 10)
      for (const { crash, execution } of runs) {
        assert.deepStrictEqual(execution.attributes, all, crash)
        const changes = execution.events.flatMap((event) => (event._tag === "AttributesChanged" ? event.path : []))
        assert.deepStrictEqual(changes, ["0", "1/if0/0", "2/b0/0", "4", "6", "7"], crash)
      }
    })
  )

  it.effect("that are none change nothing: the execution goes on, and the story and the log say why", () =>
    Effect.gen(function* () {
      const Odd = Saga.make("Odd", { context: {}, attributes: () => ({ a: 1 }) }).pipe(
        Saga.local("first", give(undefined)),
        Saga.attributes(() => {
          throw new TypeError("secret")
        }),
        Saga.local("second", give(undefined)),
        Saga.attributes(() => Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`b${i}`, i]))),
        Saga.local("third", give(undefined)),
        Saga.attributes(() => ({ a: 2, c: "x".repeat(300) })),
        Saga.local("fourth", give(undefined)),
        Saga.attributes(() => ({ a: 3 })),
        Saga.commit
      )
      const { logged, manager, use } = yield* start({ keep: 10, sagas: [Odd] })
      const { uuid } = yield* use(SagaManager.run(Odd, { context: {} }))
      const execution = yield* manager.load(uuid)
      assert.deepStrictEqual([execution.status, execution.attributes], ["finished", { a: 3 }])
      assert.deepStrictEqual(
        SagaStory.tell(execution).filter((line) => line.includes("attributes")),
        [
          "the attributes behind first are left out: they threw TypeError",
          "the attributes behind second are left out: they are 9 in all, at most 8 may be",
          "the attributes behind third are left out: they have a value of c that has more than 256 bytes"
        ]
      )
      assert.deepStrictEqual(logged, Array(3).fill(logged[0]))
      assert.include(logged[0], "Attributes of an execution are left out")
    })
  )
})
