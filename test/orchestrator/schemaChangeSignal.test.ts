/**
 * C10, C16: a deployment changes what a signal says, or the attributes of a saga, while executions are under way: the rows of the table
 * of `docs/operations.md` that are about them, on stored data.
 */
import { assert } from "@effect/vitest"
import { Effect, Latch, Schema } from "effect"
import { Saga, SagaManager, SagaStory, Signal } from "effect-saga"
import { onEachStore, stage, statusOf, until } from "../fixtures/release.ts"

const Done = Signal.make("done", { payload: Schema.Void })

const by = { by: Schema.String }
const first = Signal.make("approval", { payload: Schema.Struct(by) })
const may = Signal.make("approval", { payload: Schema.Struct({ ...by, comment: Schema.optionalKey(Schema.String) }) })
const less = Signal.make("approval", { payload: Schema.Struct({}) })
const stricter = Signal.make("approval", { payload: Schema.Struct({ ...by, comment: Schema.String }) })

const release = (
  signal: Signal.Any,
  attributes?: (context: { readonly amount: number }) => { readonly amount: number }
) => {
  const saga = Saga.make("Expense", { context: { amount: Schema.Int }, ...(attributes && { attributes }) }).pipe(
    Saga.waitFor("answer", { signal }),
    Saga.waitFor("done", { signal: Done }),
    Saga.commit
  )
  return { saga, ran: [] }
}

/** Two branches: one works while the other waits, but not for long. */
const beside = (signal: Signal.Any, book: Effect.Effect<void>) => ({
  saga: Saga.make("Expense", { context: { amount: Schema.Int } }).pipe(
    Saga.parallel("both", {
      work: Saga.local("book", { execute: () => book }),
      waits: Saga.waitFor("answer", { signal, timeout: "2 seconds" })
    }),
    Saga.waitFor("done", { signal: Done }),
    Saga.commit
  ),
  ran: []
})

/** A program that has another version of the saga only, as the pages of a new release may. */
const other = {
  saga: Saga.make("Expense", { version: "2", context: { amount: Schema.Int } }).pipe(
    Saga.waitFor("answer", { signal: first }),
    Saga.commit
  ),
  ran: []
}

const startKey = "lunch"
const says = SagaManager.signal(first, { startKey, payload: { by: "Ada" } })
const ends = SagaManager.signal(Done, { startKey, payload: undefined })

onEachStore((it, repository) => {
  const waiting = Effect.gen(function* () {
    const on = yield* Effect.flatMap(repository, stage)
    const before = release(first)
    const old = yield* on.open([before])
    const uuid: string = yield* old.run(SagaManager.start(before.saga, { startKey, context: { amount: 20 } }))
    yield* until("it waits", statusOf(on, uuid), (status) => status === "paused")
    return { before, old, on, uuid }
  })

  it.effect.each([
    ["a payload that may have more", release(may)],
    ["a payload that has less", release(less)],
    ["other attributes", release(first, ({ amount }) => ({ amount }))]
  ] as const)("C10 with %s executions go on, also with pages of the old release", ([, next]) =>
    Effect.gen(function* () {
      const { old, on, uuid } = yield* waiting
      yield* old.stop
      const process = yield* on.open([next])
      assert.strictEqual(yield* process.run(says), "applied")
      assert.strictEqual(yield* process.run(ends), "applied")
      yield* until("it is finished", statusOf(on, uuid), (status) => status === "finished")
      yield* process.stop
    }).pipe(Effect.scoped)
  )

  it.effect("C10, C16 a stricter payload refuses the old one where its sender was told nothing yet", () =>
    Effect.gen(function* () {
      const { old, on, uuid } = yield* waiting
      yield* old.stop
      // A process that knows only the signal: it stores it, and stops before anybody has looked at it.
      const page = yield* on.open([])
      yield* Effect.forkScoped(Effect.ignore(page.run(says)))
      yield* until("the click is stored", on.repository.inbox(uuid), (rows) => rows.length === 1)
      yield* page.stop
      const process = yield* on.open([release(stricter)])
      yield* until("it is refused", on.repository.inbox(uuid), (rows) => rows.length === 0)
      const story = SagaStory.tell(yield* process.manager.load(uuid))
      assert.include(story, "an input was refused: SagaSignalRefused, the signal approval (payload)")
      assert.deepInclude(yield* Effect.flip(process.run(says)), { _tag: "SagaSignalRefused", reason: "payload" })
      const told = process.run(
        SagaManager.signal(stricter, { startKey, payload: { by: "Ada", comment: "a good lunch" } })
      )
      assert.strictEqual(yield* told, "applied")
      yield* process.stop
    }).pipe(Effect.scoped)
  )

  it.effect(
    "C10, C16 I23 a signal that was accepted and is not strict enough waits, with its execution, for a program that reads it",
    () =>
      Effect.gen(function* () {
        const on = yield* Effect.flatMap(repository, stage)
        const nothing = Effect.void
        const old = yield* on.open([beside(first, nothing)])
        const uuid: string = yield* old.run(
          SagaManager.start(beside(first, nothing).saga, { startKey, context: { amount: 20 } })
        )
        yield* until("it waits", statusOf(on, uuid), (status) => status === "paused")
        yield* old.stop
        // Nobody waits ten seconds for a program that may come tomorrow.
        const page = yield* on.open([other])
        assert.strictEqual(yield* Effect.timeout(page.run(says), "5 seconds"), "accepted")
        assert.strictEqual(yield* page.run(says), "accepted")
        assert.strictEqual((yield* on.repository.inbox(uuid)).length, 1)
        yield* page.stop
        const process = yield* on.open([beside(stricter, nothing)])
        const listed = Effect.map(process.manager.find({}), ({ items }) => items[0]?.unreadable)
        const unreadable = yield* until("it is listed", listed, (is) => is !== undefined)
        assert.deepInclude(unreadable, { path: "", step: "approval", value: "signal" })
        // Its time is over, and nothing is decided over a signal that nobody has read.
        yield* Effect.sleep("2500 millis")
        assert.strictEqual(yield* statusOf(on, uuid), "paused")
        assert.notInclude(SagaStory.tell(yield* on.repository.load(uuid)), "refused")
        assert.strictEqual(
          on.logged.filter(([text]) => String(text).includes("cannot be read by this program")).length,
          1
        )
        // A good one changes nothing about that, and its sender is not kept waiting.
        const better = SagaManager.signal(stricter, {
          startKey,
          id: "2",
          payload: { by: "Ada", comment: "a good lunch" }
        })
        assert.strictEqual(yield* Effect.timeout(process.run(better), "5 seconds"), "accepted")
        yield* process.stop
        const back = yield* on.open([beside(first, nothing)])
        assert.strictEqual(yield* back.run(ends), "applied")
        yield* until("it is finished", statusOf(on, uuid), (status) => status === "finished")
        const { events } = yield* on.repository.load(uuid)
        const [taken] = events.filter((fact) => fact._tag === "StepSucceeded" && fact.signal !== undefined)
        assert.deepInclude(taken, { signal: "approval" })
        yield* back.stop
      }).pipe(Effect.scoped)
  )

  it.effect("C10, C16 I28 what is under way when such a signal comes ends, and is not run again", () =>
    Effect.gen(function* () {
      const on = yield* Effect.flatMap(repository, stage)
      const open = Latch.makeUnsafe()
      let runs = 0
      const book = Effect.suspend(() => {
        runs++
        return open.await
      })
      const process = yield* on.open([beside(stricter, book)])
      const uuid: string = yield* process.run(
        SagaManager.start(beside(stricter, book).saga, { startKey, context: { amount: 20 } })
      )
      const page = yield* on.open([other])
      assert.strictEqual(yield* page.run(says), "accepted")
      // The owner has read it when the row is gone.
      yield* until("it is read", on.repository.inbox(uuid), (rows) => rows.length === 0)
      yield* open.open
      const listed = Effect.map(process.manager.find({}), ({ items }) => items[0]?.unreadable)
      yield* until("it is listed", listed, (is) => is !== undefined)
      yield* process.stop
      const back = yield* on.open([beside(first, book)])
      yield* back.run(ends)
      yield* until("it is finished", statusOf(on, uuid), (status) => status === "finished")
      assert.strictEqual(runs, 1)
      yield* back.stop
      yield* page.stop
    }).pipe(Effect.scoped)
  )

  it.effect(
    "C10 an execution that has received a payload which is not strict enough waits for a program that reads it",
    () =>
      Effect.gen(function* () {
        const { before, old, on, uuid } = yield* waiting
        assert.strictEqual(yield* old.run(says), "applied")
        yield* old.stop
        const process = yield* on.open([release(stricter)])
        const listed = Effect.map(process.manager.find({}), ({ items }) => items[0]?.unreadable)
        const unreadable = yield* until("it is listed", listed, (is) => is !== undefined)
        assert.deepInclude(unreadable, { path: "0", step: "answer", value: "result" })
        yield* process.stop
        const back = yield* on.open([before])
        yield* back.run(ends)
        yield* until("it is finished", statusOf(on, uuid), (status) => status === "finished")
        yield* back.stop
      }).pipe(Effect.scoped)
  )
})
