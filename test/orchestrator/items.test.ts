/**
 * Items from the manager's side (SPEC C17): what is parked in one item and ended by a person, a deadline in mid-item, and a deployment
 * that changes the schema of a list while its items are under way.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaManager, Signal } from "effect-saga"
import { makeWorld, open, quiet, reached, start } from "../fixtures/manager.ts"
import { isMemory } from "../fixtures/repository.ts"

const skus = ["a", "b", "c", "d"]
const Go = Signal.make("go", { payload: Schema.Struct({}) })
const person = { actor: "Ann", reason: "done by hand" }

/** What was done for each item, and what dies. */
const shop = () => {
  const done: Array<string> = []
  const broken = new Set<string>()
  const does = (what: string, sku: string) =>
    Effect.suspend(() => {
      if (broken.has(`${what} ${sku}`)) return Effect.die(new Error("broken"))
      done.push(`${what} ${sku}`)
      return Effect.succeed(sku)
    })
  return { done, broken, does }
}

type Shop = ReturnType<typeof shop>

/** Each item is held, waits for a signal of its own, and is packed. `item`: the schema of an item in this release. */
const orderOf = ({ does }: Shop, item: Schema.Codec<string, string> = Schema.String) =>
  Saga.make("Order", { context: { skus: Schema.Array(Schema.String) }, deadline: "1 hour" }).pipe(
    Saga.forEach("lines", {
      items: ({ skus }) => skus,
      item,
      as: "sku",
      concurrency: 3,
      steps: (each) =>
        each.pipe(
          Saga.local("held", {
            success: Schema.String,
            execute: ({ sku }) => does("hold", sku),
            compensate: ({ sku }) => Effect.asVoid(does("free", sku)),
            retryCompensate: { times: 1, backoff: "1 second" }
          }),
          Saga.waitFor("go", { signal: Go, key: ({ sku }) => sku }),
          Saga.local("packed", { execute: ({ sku }) => Effect.asVoid(does("pack", sku)) })
        )
    }),
    Saga.commit
  )

const pass = (time: "1 minute" | "1 hour" | "2 hours") => Effect.andThen(TestClock.adjust(time), quiet)
const go = (uuid: string, key: string) => SagaManager.signal(Go, { uuid, key, payload: {} })

const ofVirtualTime = () => {
  it.effect(
    "C18 one that is parked behind the pivot is tried again or resolved by a person; the others are done once",
    () =>
      Effect.gen(function* () {
        const { broken, does, done } = shop()
        const Send = Saga.make("Send", { context: { skus: Schema.Array(Schema.String) } }).pipe(
          Saga.pivot,
          Saga.forEach("parcels", {
            items: ({ skus }) => skus,
            item: Schema.String,
            as: "sku",
            concurrency: 2,
            steps: Saga.local("parcel", { success: Schema.String, execute: ({ sku }) => does("send", sku) })
          }),
          Saga.commit
        )
        const { manager, use } = yield* start({ keep: 10, sagas: [Send] })
        broken.add("send b").add("send d")
        const uuid = yield* use(SagaManager.start(Send, { context: { skus } }))
        yield* pass("2 hours")
        // Those two hold both places: the item between them has ended before, as it came while the first one was tried again.
        const { parked } = yield* manager.load(uuid)
        assert.deepStrictEqual(
          [[...parked].sort(), done.toSorted()],
          [
            ["1/i1/0", "1/i3/0"],
            ["send a", "send c"]
          ]
        )
        const found = yield* manager.find({ parked: true, saga: "Send" })
        assert.deepStrictEqual(
          found.items.map((item) => [item.uuid, item.failure?.tag]),
          [[uuid, "StepDefect"]]
        )
        broken.delete("send b")
        yield* manager.retryParked(uuid, "1/i1/0", person)
        // By its path: the types know the steps of the saga itself.
        yield* manager.resolveParked(uuid, "1/i3/0", { ...person, result: "d by hand" })
        yield* quiet
        const { context, status } = yield* manager.load(uuid)
        assert.deepStrictEqual([status, done.toSorted()], ["finished", ["send a", "send b", "send c"]])
        const { parcels } = context as unknown as { readonly parcels: ReadonlyArray<{ readonly parcel: string }> }
        assert.deepStrictEqual(
          parcels.map(({ parcel }) => parcel),
          ["a", "b", "c", "d by hand"]
        )
      })
  )

  it.effect(
    "C18 a deadline in mid-item undoes what was done, from the last to the first, and begins no other item",
    () =>
      Effect.gen(function* () {
        const self = shop()
        const Order = orderOf(self)
        const { manager, use } = yield* start({ keep: 10, sagas: [Order] })
        const uuid = yield* use(SagaManager.start(Order, { context: { skus } }))
        yield* use(go(uuid, "b"))
        assert.deepStrictEqual(self.done.splice(0), ["hold a", "hold b", "hold c", "pack b", "hold d"])
        yield* pass("1 hour")
        const execution = yield* manager.load(uuid)
        assert.deepStrictEqual([execution.status, execution.settled], ["errored", true])
        assert.deepInclude(execution.cause, { _tag: "SagaDeadlinePassed" })
        assert.deepStrictEqual(self.done, ["free d", "free c", "free b", "free a"])
      })
  )

  it.effect("one whose compensation is parked leaves the others undone once; a person has it undone", () =>
    Effect.gen(function* () {
      const self = shop()
      const Order = orderOf(self)
      const { manager, use } = yield* start({ keep: 10, sagas: [Order] })
      const uuid = yield* use(SagaManager.start(Order, { context: { skus } }))
      self.broken.add("free b")
      self.done.splice(0)
      yield* Effect.ignore(use(SagaManager.SagaManager.use(({ cancel }) => cancel(uuid))))
      yield* pass("2 hours")
      const { alreadyRollback, parked, status } = yield* manager.load(uuid)
      assert.deepStrictEqual([status, alreadyRollback, parked], ["errored", false, ["0/i1/0"]])
      assert.deepStrictEqual(self.done.splice(0), ["free c", "free a"])
      self.broken.clear()
      yield* manager.retryParked(uuid, "0/i1/0", person)
      yield* quiet
      const { alreadyRollback: isUndone, settled } = yield* manager.load(uuid)
      assert.deepStrictEqual([isUndone, settled, self.done], [true, true, ["free b"]])
    })
  )

  it.effect(
    "F22 a stricter schema of the items in mid-list runs nothing and loses nothing; with the old one it goes on",
    () =>
      Effect.gen(function* () {
        const world = yield* makeWorld({ keep: 10 })
        const [old, next] = [shop(), shop()]
        const [Former, Strict] = [orderOf(old), orderOf(next, Schema.String.check(Schema.isMinLength(2)))]
        assert.strictEqual(Strict.fingerprint, Former.fingerprint)
        const former = yield* open(world, { sagas: [Former] })
        const uuid = yield* former.use(SagaManager.start(Former, { context: { skus } }))
        yield* former.use(go(uuid, "a"))
        yield* former.close
        const strict = yield* open(world, { sagas: [Strict] })
        assert.strictEqual(yield* strict.use(go(uuid, "b")), "accepted")
        yield* pass("1 minute")
        const [listed] = (yield* strict.manager.find({ saga: "Order" })).items
        assert.deepInclude(listed?.unreadable, { path: "0", step: "lines" })
        assert.deepStrictEqual(next.done, [])
        yield* strict.close
        const again = yield* open(world, { sagas: [Former] })
        yield* pass("1 minute")
        for (const key of skus) yield* again.use(go(uuid, key))
        yield* quiet
        assert.strictEqual((yield* again.manager.load(uuid)).status, "finished")
        assert.deepStrictEqual(old.done.toSorted(), skus.flatMap((sku) => [`hold ${sku}`, `pack ${sku}`]).toSorted())
      })
  )
}

describe("items through the manager", () => {
  it.effect("each is held and packed once, by a signal of its own (C17)", () =>
    Effect.gen(function* () {
      const own = shop()
      const Order = orderOf(own)
      const { manager, use } = yield* start({ keep: 10, sagas: [Order] })
      const uuid = yield* use(SagaManager.start(Order, { context: { skus } }))
      for (const sku of skus) yield* use(go(uuid, sku))
      yield* reached(manager.load(uuid), "finished")
      assert.deepStrictEqual(own.done.toSorted(), skus.flatMap((sku) => [`hold ${sku}`, `pack ${sku}`]).toSorted())
    })
  )

  // A database has its own time.
  if (isMemory) ofVirtualTime()
})
