/**
 * C10, C16: a deployment changes what a signal says, or the attributes of a saga, while executions are under way: the rows of the table
 * of `docs/operations.md` that are about them, on stored data.
 */
import { assert } from "@effect/vitest"
import { Effect, Schema } from "effect"
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

  it.effect("C10, C16 a stricter payload refuses the old one, also where a page was told that it is stored", () =>
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
