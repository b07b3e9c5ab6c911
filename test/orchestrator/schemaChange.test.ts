/**
 * F22, C10, I16: a deployment changes a saga while executions are under way. The table of `docs/operations.md` on stored data: what
 * goes on, what waits for a program that can read it, what waits for the saga in its old form. Nothing is lost in any case.
 */
import { assert } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { SagaExecutionRepository, SagaManager, SagaStory } from "effect-saga"
import {
  onEachStore,
  type Release,
  release,
  response,
  type Stage,
  stage,
  statusOf,
  stored,
  TooHeavy,
  until
} from "../fixtures/release.ts"

class TooBig extends Schema.TaggedError<TooBig>()("TooBig", { litres: Schema.Int }) {}
class Heavier extends Schema.TaggedError<Heavier>()("TooHeavy", { grams: Schema.Int, limit: Schema.Int }) {}

/** An execution goes on with these. */
const safe: ReadonlyArray<readonly [string, Release, string]> = [
  ["the same saga", {}, '"s-1"'],
  ["an initial value that may be missing", { context: { coupon: Schema.optionalKey(Schema.Boolean) } }, '"s-1"'],
  [
    "an initial value with a default",
    { context: { tenant: Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed("main"))) } },
    '"s-1"'
  ],
  ["a result that may be more", { stock: Schema.Union([Schema.String, Schema.Int]) }, '"s-1"'],
  ["one more error", { refusal: Schema.Union([TooHeavy, TooBig]) }, '"s-1"'],
  ["another timeout", { timeout: "10 minutes" }, '"s-1"']
]

/** An execution waits, marked with the place and the rule, until a program can read it. */
const strict: ReadonlyArray<readonly [string, Release, object]> = [
  [
    "one more initial value",
    { context: { tenant: Schema.String } },
    { path: "", step: "", value: "context", rule: "$.tenant: MissingKey" }
  ],
  [
    "a stricter result",
    { stock: Schema.String.check(Schema.isMinLength(5)) },
    { path: "0", step: "stock", value: "result", rule: "$: not a value with a length of at least 5" }
  ],
  [
    "a stricter initial value of a nested saga",
    { ribbon: Schema.Literals(["blue", "green"]) },
    { path: "1", step: "gift", value: "context", rule: "$.ribbon: none of the alternatives" }
  ],
  [
    "a stricter reply, which is the result",
    { payment: Schema.Struct({ id: Schema.String, receipt: Schema.String }) },
    { path: "2", step: "payment", value: "result", rule: "$.receipt: MissingKey" }
  ]
]

/** The saga is another one: an execution waits for a program that has it in its old form too. */
const drifting: ReadonlyArray<readonly [string, Release]> = [
  ["one more step", { mail: true }],
  ["a version", { version: "2" }],
  ["a service that is asked has another name", { bank: "house" }]
]

onEachStore((it, repository) => {
  const staged = Effect.flatMap(repository, stage)

  /** An order of the first release that waits for the post, and no process. */
  const left = Effect.fnUntraced(function* (on: Stage) {
    const before = release()
    const old = yield* on.open([before])
    const { uuid } = yield* on.begin(old, before, "order 1")
    yield* old.stop
    return { before, uuid }
  })

  const marked = (process: { readonly manager: SagaManager.SagaManager["Service"] }, uuid: string) =>
    until(
      "it is listed as unreadable",
      Effect.map(process.manager.find({}), ({ items }) => items.find((item) => item.uuid === uuid)?.unreadable),
      (unreadable) => unreadable !== undefined
    )

  it.effect.each(safe)("F22 a deployment with %s goes on with what is under way", ([, schemas, stock]) =>
    Effect.gen(function* () {
      const on = yield* staged
      const { uuid } = yield* left(on)
      const next = release(schemas)
      const process = yield* on.open([next])
      yield* on.answer(uuid, 200, "on its way")
      yield* until("it is finished", statusOf(on, uuid), (status) => status === "finished")
      assert.deepStrictEqual(next.ran, [`thanks for book, ${stock}`])
      assert.deepStrictEqual(on.logged, [])
      yield* process.stop
    }).pipe(Effect.scoped)
  )

  it.effect.each(strict)(
    "F22, C10 a deployment with %s runs nothing, decides nothing and loses nothing; with the old schema it goes on",
    ([, schemas, unreadable]) =>
      Effect.gen(function* () {
        const on = yield* staged
        const { before, uuid } = yield* left(on)
        const facts = yield* stored(on, uuid)
        const next = release(schemas)
        const drift = yield* SagaManager.checkDrift([next.saga]).pipe(
          Effect.provideService(SagaExecutionRepository.SagaExecutionRepository, on.repository)
        )
        assert.deepInclude(drift.unreadable[0], { uuid, saga: "Order", ...unreadable })
        assert.deepInclude(drift, { drifted: [], checked: 1, isComplete: true })
        const process = yield* on.open([next])
        assert.deepStrictEqual(yield* marked(process, uuid), unreadable as never)
        // The reply waits in the inbox; whoever asks for something gets a typed error.
        yield* on.answer(uuid, 200, "on its way")
        yield* until("the reply waits", on.repository.inbox(uuid), (rows) => rows.length === 1)
        const again = process.manager.run(next.saga, { context: { sku: "book", tenant: "main" }, startKey: "order 1" })
        const refused: any = { _tag: "SagaExecutionUnreadable", uuid, ...unreadable }
        assert.deepInclude(yield* Effect.flip(process.manager.cancel(uuid)), refused)
        assert.deepInclude(yield* Effect.flip(process.manager.retryParked(uuid, "0", { actor: "ann" })), refused)
        if (schemas.context === undefined)
          assert.deepInclude(yield* Effect.flip(again), { _tag: "SagaExecutionUnreadable", uuid })
        // It can be shown, and its values are there as they are stored.
        const shown = yield* process.manager.load(uuid)
        assert.deepInclude({ ...(shown.context as object) }, { sku: "book", stock: "s-1" })
        assert.isAbove(SagaStory.tell(shown).length, 3)
        assert.deepStrictEqual([next.ran, yield* stored(on, uuid)], [[], facts])
        const said = on.logged.filter(([message]) => String(message).includes("cannot be read"))
        assert.deepStrictEqual(
          said.map(([, about]) => about),
          [{ uuid, saga: "Order", ...unreadable }]
        )
        yield* process.stop
        const back = yield* on.open([before])
        yield* until("it is finished", statusOf(on, uuid), (status) => status === "finished")
        assert.deepStrictEqual(before.ran, ['thanks for book, "s-1"'])
        yield* back.stop
      }).pipe(Effect.scoped)
  )

  it.effect.each(drifting)(
    "C10, I16 a deployment with %s waits for the old form, and goes on where both stand side by side",
    ([, schemas]) =>
      Effect.gen(function* () {
        const on = yield* staged
        const { before, uuid } = yield* left(on)
        const facts = yield* stored(on, uuid)
        const next = release(schemas)
        assert.notStrictEqual(next.saga.fingerprint, before.saga.fingerprint)
        const alone = yield* on.open([next])
        yield* until(
          "it is said",
          Effect.sync(() => on.logged),
          (logged) => logged.some(([message]) => String(message).includes("in its old form"))
        )
        assert.strictEqual((yield* Effect.flip(alone.manager.cancel(uuid)))._tag, "SagaDefinitionDrift")
        assert.deepStrictEqual([next.ran, yield* stored(on, uuid)], [[], facts])
        yield* alone.stop
        const both = yield* on.open([before, next])
        yield* on.answer(uuid, 200, "on its way")
        yield* until("it is finished", statusOf(on, uuid), (status) => status === "finished")
        assert.deepStrictEqual([before.ran, next.ran], [['thanks for book, "s-1"'], []])
        // New orders begin with the new form.
        const fresh: any = yield* both.manager.run(next.saga, { context: { sku: "pen" }, pauseOnDisk: true })
        assert.strictEqual(fresh.state.creation.fingerprint, next.saga.fingerprint)
        yield* both.stop
      }).pipe(Effect.scoped)
  )

  it.effect(
    "F22, C20 in a rolling deploy the process that can read an execution goes on with it, the other leaves it",
    () =>
      Effect.gen(function* () {
        const on = yield* staged
        const { before, uuid } = yield* left(on)
        const next = release({ context: { tenant: Schema.String } })
        const newer = yield* on.open([next])
        yield* marked(newer, uuid)
        const older = yield* on.open([before])
        yield* on.answer(uuid, 200, "on its way")
        yield* until("it is finished", statusOf(on, uuid), (status) => status === "finished")
        assert.deepStrictEqual([before.ran, next.ran], [['thanks for book, "s-1"'], []])
        // Whoever waits for it where it cannot be read is told so.
        const error = yield* Effect.flip(newer.run(SagaManager.resume(response(uuid, 200, "again", "parcel"))))
        assert.notInclude(["SagaFailedExecution"], error._tag)
        const { items } = yield* newer.manager.find({})
        assert.notProperty(items[0], "unreadable")
        yield* older.stop
        yield* newer.stop
      }).pipe(Effect.scoped)
  )

  it.effect("F22 a rollback whose values cannot be read waits too, and then undoes everything once", () =>
    Effect.gen(function* () {
      const on = yield* staged
      const { before, uuid } = yield* left(on)
      const old = yield* on.open([before])
      yield* on.answer(uuid, 400, { _tag: "TooHeavy", grams: 900 })
      yield* until(
        "the refund is asked for",
        on.repository.load(uuid),
        ({ events }) => events.at(-1)?._tag === "CompensationSent"
      )
      yield* old.stop
      const facts = yield* stored(on, uuid)
      for (const [schemas, unreadable] of [
        [{ refusal: Heavier }, { path: "3", step: "parcel", value: "error", rule: "$.limit: MissingKey" }],
        [{ stock: Schema.Int }, { path: "0", step: "stock", value: "result", rule: "$: not a number" }]
      ] as const) {
        const next = release(schemas)
        const process = yield* on.open([next])
        assert.deepStrictEqual(yield* marked(process, uuid), unreadable)
        assert.deepStrictEqual([next.ran, yield* stored(on, uuid)], [[], facts])
        yield* process.stop
      }
      const next = release({ refusal: Schema.Union([TooHeavy, TooBig]) })
      const process = yield* on.open([next])
      yield* on.answer(uuid, 200, undefined)
      yield* until("it is rolled back", statusOf(on, uuid), (status) => status === "errored")
      assert.deepStrictEqual(next.ran, ["undo stock"])
      yield* process.stop
    }).pipe(Effect.scoped)
  )

  it.effect("F22 a service with another name leaves executions to one of the old name: replies come to that one", () =>
    Effect.gen(function* () {
      const on = yield* staged
      const { before, uuid } = yield* left(on)
      const facts = yield* stored(on, uuid)
      const shop = yield* on.open([before], "shop")
      assert.deepStrictEqual(yield* marked(shop, uuid), {
        path: "",
        step: "",
        value: "service",
        rule: "it was started by orders, and this is shop"
      })
      assert.deepStrictEqual([before.ran, yield* stored(on, uuid)], [[], facts])
      const orders = yield* on.open([before])
      yield* on.answer(uuid, 200, "on its way")
      yield* until("it is finished", statusOf(on, uuid), (status) => status === "finished")
      yield* orders.stop
      yield* shop.stop
    }).pipe(Effect.scoped)
  )

  it.effect("F22 a caller of an order that is over and cannot be read gets that, and not a value of another type", () =>
    Effect.gen(function* () {
      const on = yield* staged
      const { before, uuid } = yield* left(on)
      const old = yield* on.open([before])
      yield* on.answer(uuid, 200, "on its way")
      yield* until("it is finished", statusOf(on, uuid), (status) => status === "finished")
      yield* old.stop
      const next = release({ stock: Schema.Int })
      const process = yield* on.open([next])
      const same = { context: { sku: "book" }, startKey: "order 1" }
      for (const door of [process.manager.execute(next.saga, same), process.manager.run(next.saga, same)])
        assert.deepInclude(yield* Effect.flip(door), {
          _tag: "SagaExecutionUnreadable",
          uuid,
          path: "0",
          value: "result"
        })
      assert.deepInclude({ ...((yield* process.manager.load(uuid)).context as object) }, { stock: "s-1" })
      yield* process.stop
      const back = yield* on.open([before])
      assert.deepInclude({ ...((yield* back.manager.execute(before.saga, same)) as object) }, { stock: "s-1" })
      yield* back.stop
    }).pipe(Effect.scoped)
  )
})
