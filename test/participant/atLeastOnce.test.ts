/**
 * A handler without a transaction runs at least once, beside its unit of work: what is recorded before and after it, what others hear
 * meanwhile, and what a crash in between leaves.
 */
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Logger, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Broker, Participant, ParticipantStore } from "effect-saga"
import * as BegunMessages from "../../src/participant/BegunMessages.ts"
import * as ParticipantMaintenance from "../../src/participant/ParticipantMaintenance.ts"
import { quiet } from "../fixtures/manager.ts"
import { isMemory } from "../fixtures/repository.ts"
import {
  type Bench,
  Declined,
  envelopeOf,
  type Message,
  makeBench,
  maxSkew,
  notAfter,
  pendingTtl,
  uuid
} from "./byHand.ts"

const pay: Message = { op: "execute", command: "Pay" }
const id = `${uuid}:0:execute`
const silent = Effect.provide(Logger.layer([]))

interface Options {
  readonly alone?: boolean
}

/** The handler has begun, and goes on when the test says so. */
const begun = Effect.fnUntraced(function* (options: Options = {}) {
  yield* TestClock.setTime(1)
  const bench = yield* makeBench()
  const runs: Array<string> = []
  const begins = yield* Deferred.make<void>()
  const end = yield* Deferred.make<string, Declined>()
  // A second run, which most tests do not expect, ends at once.
  bench.outside.pay = (key) =>
    Effect.suspend(() =>
      runs.push(key) > 1
        ? Effect.succeed("paid again")
        : Effect.andThen(Deferred.succeed(begins, undefined), Deferred.await(end))
    )
  const running = yield* Effect.forkChild(bench.deliver(pay, options), { startImmediately: true })
  yield* Deferred.await(begins)
  const goesOn = Effect.andThen(Deferred.succeed(end, "paid"), Fiber.join(running))
  return { bench, runs, end, running, goesOn }
})

/** The process is gone in the middle of the handler: nothing more of it comes to the store. */
const crashed = Effect.fnUntraced(function* (options: Options = {}) {
  yield* TestClock.setTime(1)
  const bench = yield* makeBench()
  const begins = yield* Deferred.make<void>()
  let units = 0
  const by: ParticipantStore.ParticipantStore["Service"] = {
    ...bench.store,
    unit: (scope, work) => (units++ === 0 ? bench.store.unit(scope, work) : Effect.never)
  }
  const runs: Array<string> = []
  bench.outside.pay = () => Effect.andThen(Deferred.succeed(begins, undefined), Effect.never)
  const running = yield* Effect.forkDetach(bench.deliver(pay, { ...options, by }), { startImmediately: true })
  yield* Deferred.await(begins)
  yield* Effect.forkChild(Fiber.interrupt(running), { startImmediately: true })
  bench.outside.pay = (key) => Effect.sync(() => `paid ${runs.push(key)}`)
  const later = TestClock.setTime(1 + BegunMessages.claim)
  return { bench, runs, later }
})

const recorded = ({ code, store }: Bench, transactions: ReadonlyArray<string> = [uuid]) =>
  store.unit({ service: code.contract.name, transactions, messages: [id] }, ({ barriers }) =>
    Effect.succeed(barriers.get(id))
  )

describe("a handler without a transaction", () => {
  for (const options of [{ alone: false }, { alone: true }])
    it.effect(`is recorded as begun, and then with its answer: ${options.alone ? "no" : "a"} transaction`, () =>
      Effect.gen(function* () {
        const { bench, goesOn, runs } = yield* begun(options)
        assert.strictEqual((yield* recorded(bench, options.alone ? [] : [uuid]))?.status, 202)
        const first = yield* goesOn
        assert.deepInclude(first.envelope, { id: `${id}:reply`, status: 200, content: "paid" })
        assert.strictEqual(first._tag, "applied")
        const again = yield* bench.deliver(pay, options)
        assert.deepStrictEqual([again._tag, again.body, runs], ["duplicate", first.body, [id]])
        assert.deepInclude(yield* recorded(bench, options.alone ? [] : [uuid]), { effect: "immediate", open: true })
      })
    )

  it.effect("while it runs, its copy waits, and what asks about it hears that it runs", () =>
    Effect.gen(function* () {
      const { bench, goesOn, runs } = yield* begun()
      assert.deepInclude(yield* bench.deliver(pay), { _tag: "stale", status: undefined })
      for (const op of ["probe", "failure"] as const)
        assert.deepInclude((yield* bench.deliver({ op })).envelope, { status: 500, content: "Running" })
      yield* goesOn
      assert.deepInclude((yield* bench.deliver({ op: "probe" })).envelope, { status: 200, content: "paid" })
      assert.strictEqual((yield* bench.deliver({ op: "failure" })).status, 200)
      assert.deepStrictEqual([runs.length, bench.compensated.size], [1, 1])
    })
  )

  it.effect("a reject does not wait for it, and its compensation comes after it", () =>
    Effect.gen(function* () {
      const { bench, goesOn } = yield* begun()
      assert.strictEqual((yield* bench.deliver({ op: "reject" })).status, 200)
      assert.strictEqual(yield* bench.status(), "rejected")
      assert.strictEqual((yield* goesOn).status, 200)
      assert.strictEqual((yield* bench.deliver({ op: "failure" })).status, 200)
      assert.strictEqual(bench.compensated.size, 1)
    })
  )

  it.effect("`pendingTtl` does not end it, and a service does not vote for what still runs", () =>
    Effect.gen(function* () {
      const { bench, goesOn } = yield* begun()
      assert.strictEqual((yield* bench.deliver({ op: "reserve" })).status, 400)
      assert.strictEqual((yield* goesOn).status, 200)
      const other = yield* begun()
      yield* other.bench.provide(ParticipantMaintenance.expire(other.bench.code, 1 + pendingTtl))
      assert.strictEqual(yield* other.bench.status(), "rejected")
      assert.strictEqual((yield* recorded(other.bench))?.status, 202)
      assert.strictEqual((yield* other.goesOn).status, 200)
    })
  )

  it.effect("a refusal leaves no effect", () =>
    Effect.gen(function* () {
      const { bench, end, running } = yield* begun()
      yield* Deferred.fail(end, new Declined({}))
      assert.strictEqual((yield* Fiber.join(running)).status, 400)
      assert.deepInclude(yield* recorded(bench), { effect: "none", open: false })
      assert.strictEqual((yield* bench.deliver({ op: "failure" })).status, 200)
      assert.strictEqual(bench.compensated.size, 0)
    })
  )

  for (const options of [{ alone: false }, { alone: true }])
    it.effect(`runs again after a crash, when its message comes again: ${options.alone ? "no" : "a"} transaction`, () =>
      Effect.gen(function* () {
        const { bench, later, runs } = yield* crashed(options)
        // Nobody can know yet that nobody runs it.
        assert.deepInclude(yield* bench.deliver(pay, options), { _tag: "stale", status: undefined })
        yield* later
        assert.deepInclude((yield* bench.deliver(pay, options)).envelope, { status: 200, content: "paid 1" })
        assert.deepStrictEqual(runs, [id])
      })
    )

  it.effect("runs again after a crash, before it is said what became of it", () =>
    Effect.gen(function* () {
      for (const options of [{ alone: false }, { alone: true }]) {
        const asked = yield* crashed(options)
        yield* asked.later
        const { envelope } = yield* asked.bench.deliver({ op: "probe" }, options)
        assert.deepInclude(envelope, { id: `${uuid}:0:probe:reply`, status: 200, content: "paid 1" })
        const undone = yield* crashed(options)
        yield* undone.later
        assert.strictEqual((yield* undone.bench.deliver({ op: "failure" }, options)).status, 200)
        assert.deepStrictEqual([undone.runs, undone.bench.compensated.size], [[id], 1])
        assert.strictEqual((yield* undone.bench.deliver({ op: "probe" }, options)).status, 200)
      }
    })
  )

  it.effect("was begun in time, so it runs again past `notAfter` too, and is never purged", () =>
    Effect.gen(function* () {
      for (const options of [{ alone: false }, { alone: true }]) {
        const { bench, runs } = yield* crashed(options)
        yield* TestClock.setTime(notAfter + maxSkew + 1)
        yield* bench.purge
        assert.strictEqual((yield* bench.deliver(pay, options)).status, 200)
        assert.deepStrictEqual(runs, [id])
      }
    })
  )

  it.effect("that dies has said nothing: it is not answered, and runs again", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1)
      const bench = yield* makeBench()
      bench.outside.pay = () => Effect.die("no connection")
      assert.deepInclude(yield* bench.deliver(pay), { _tag: "failed", status: undefined })
      assert.deepInclude((yield* bench.deliver({ op: "probe" })).envelope, { status: 500, content: "Unknown" })
      assert.deepInclude((yield* bench.deliver({ op: "failure" })).envelope, { status: 500, content: "Unknown" })
      assert.strictEqual((yield* recorded(bench))?.status, 202)
      bench.outside.pay = Effect.succeed
      assert.strictEqual((yield* bench.deliver(pay)).status, 200)
    }).pipe(silent)
  )

  it.effect("whose compensation has no transaction either is undone once, and waits for it", () =>
    Effect.gen(function* () {
      const { bench, goesOn } = yield* begun()
      yield* goesOn
      const undo: Message = { op: "failure", command: "Repay" }
      const end = yield* Deferred.make<void>()
      const keys: Array<string> = []
      bench.outside.repay = (key) =>
        Effect.andThen(
          Effect.sync(() => void keys.push(key)),
          Deferred.await(end)
        )
      const running = yield* Effect.forkChild(bench.deliver(undo), { startImmediately: true })
      while (keys.length === 0) yield* Effect.yieldNow
      assert.deepInclude(yield* bench.deliver(undo), { _tag: "stale", status: undefined })
      assert.deepInclude(yield* recorded(bench), { effect: "immediate", open: true })
      yield* Deferred.succeed(end, undefined)
      assert.deepInclude((yield* Fiber.join(running)).envelope, { id: `${uuid}:0:failure:reply`, status: 200 })
      assert.deepInclude(yield* recorded(bench), { effect: "none", open: false })
      assert.strictEqual((yield* bench.deliver(undo)).status, 200)
      assert.deepStrictEqual(keys, [`${uuid}:0:failure`])
    })
  )

  it.effect("whose compensation dies is undone when it is told again", () =>
    Effect.gen(function* () {
      const { bench, goesOn } = yield* begun()
      yield* goesOn
      bench.outside.repay = () => Effect.die("no connection")
      const undo: Message = { op: "failure", command: "Repay" }
      assert.deepInclude((yield* bench.deliver(undo)).envelope, { status: 500 })
      assert.deepInclude(yield* recorded(bench), { effect: "immediate", open: true })
      bench.outside.repay = () => Effect.void
      assert.strictEqual((yield* bench.deliver(undo)).status, 200)
      assert.deepInclude(yield* recorded(bench), { effect: "none", open: false })
    }).pipe(silent)
  )

  it.effect("a store that is away makes it wait with its answer, and not run again", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1)
      const bench = yield* makeBench()
      let [units, runs] = [0, 0]
      const away = new ParticipantStore.ParticipantStoreError({ reason: "unavailable", operation: "unit" })
      const by: ParticipantStore.ParticipantStore["Service"] = {
        ...bench.store,
        unit: (scope, work) =>
          Effect.suspend(() => {
            units++
            return units === 2 || units === 3 ? Effect.fail(away) : bench.store.unit(scope, work)
          })
      }
      bench.outside.pay = () => Effect.sync(() => `paid ${++runs}`)
      const running = yield* Effect.forkChild(bench.deliver(pay, { by }), { startImmediately: true })
      // Not while a unit is on its way to the database: its time would run out.
      while (units < 4 && running.pollUnsafe() === undefined) yield* Effect.andThen(quiet, TestClock.adjust("1 second"))
      assert.deepInclude((yield* Fiber.join(running)).envelope, { status: 200, content: "paid 1" })
      assert.deepStrictEqual([units, runs], [4, 1])
    })
  )

  // Time passes for the handler itself.
  if (isMemory) {
    it.effect("that takes minutes says again and again that it runs, so nobody else runs it", () =>
      Effect.gen(function* () {
        const { bench, goesOn, runs } = yield* begun()
        for (let i = 0; i < 20; i++) {
          yield* TestClock.adjust("10 seconds")
          assert.deepInclude(yield* bench.deliver(pay), { _tag: "stale", status: undefined })
        }
        assert.strictEqual((yield* goesOn).status, 200)
        assert.deepStrictEqual(runs, [id])
      })
    )

    it.effect("that another process has finished stops, and its answer is that one's", () =>
      Effect.gen(function* () {
        const { bench, running, runs } = yield* begun()
        const row = yield* recorded(bench)
        const scope = { service: bench.code.contract.name, transactions: [uuid], messages: [id] }
        yield* bench.store.unit(scope, ({ save }) => save({ barriers: [BegunMessages.runningUntil(row!, 0)] }))
        bench.outside.pay = () => Effect.succeed("paid by another")
        const other = yield* bench.deliver(pay)
        yield* TestClock.adjust("10 seconds")
        const { _tag, body } = yield* Fiber.join(running)
        assert.deepStrictEqual([_tag, body, runs], ["duplicate", other.body, [id]])
      })
    )

    it.effect("that has no more time is interrupted, and runs again when its message comes again", () =>
      Effect.gen(function* () {
        const { bench, running, runs } = yield* begun()
        yield* TestClock.adjust("4 minutes")
        assert.deepInclude(yield* Fiber.join(running), { _tag: "failed", status: undefined })
        bench.outside.pay = () => Effect.succeed("paid")
        assert.strictEqual((yield* bench.deliver(pay)).status, 200)
        assert.lengthOf(runs, 1)
      }).pipe(silent)
    )
  }

  it.effect("that another process has taken over is not given back by the first one", () =>
    Effect.gen(function* () {
      const { bench, end, running } = yield* begun()
      const row = yield* recorded(bench)
      const scope = { service: bench.code.contract.name, transactions: [uuid], messages: [id] }
      yield* bench.store.unit(scope, ({ save }) => save({ barriers: [BegunMessages.runningUntil(row!, 0)] }))
      yield* TestClock.setTime(2)
      const [begins, ends] = [yield* Deferred.make<void>(), yield* Deferred.make<string>()]
      bench.outside.pay = () => Effect.andThen(Deferred.succeed(begins, undefined), Deferred.await(ends))
      const other = yield* Effect.forkChild(bench.deliver(pay), { startImmediately: true })
      yield* Deferred.await(begins)
      yield* Deferred.die(end, "no connection")
      assert.strictEqual((yield* Fiber.join(running))._tag, "failed")
      assert.deepInclude(yield* bench.deliver(pay), { _tag: "stale", status: undefined })
      yield* Deferred.succeed(ends, "paid")
      assert.strictEqual((yield* Fiber.join(other)).status, 200)
    }).pipe(silent)
  )

  it.effect("that is interrupted by the end of its process is given back, and another one runs it at once", () =>
    Effect.gen(function* () {
      const { bench, running } = yield* begun()
      yield* Fiber.interrupt(running)
      bench.outside.pay = () => Effect.succeed("paid")
      assert.strictEqual((yield* bench.deliver(pay)).status, 200)
    })
  )

  it.effect("that the release does not have any more is not guessed about", () =>
    Effect.gen(function* () {
      const { bench, later } = yield* crashed()
      yield* later
      const code = { ...bench.code, handlers: { ...bench.code.handlers, Pay: () => Effect.succeed("in a unit") } }
      assert.deepInclude(yield* bench.deliver(pay, { code }), { _tag: "failed", status: undefined })
      assert.strictEqual((yield* bench.deliver(pay)).status, 200)
    }).pipe(silent)
  )
})

describe("many handlers without a transaction", () => {
  it.effect("64 of 5 s take 5 s", () =>
    Effect.gen(function* () {
      const Bank = Participant.make("bank", { Pay: { payload: {}, success: Schema.String } })
      const services = yield* Layer.build(Layer.fresh(Layer.merge(Broker.layerMemory, ParticipantStore.layerMemory)))
      yield* Participant.layer(Bank, {
        Pay: { transaction: false, handle: (_, key) => Effect.as(Effect.sleep("5 seconds"), key) }
      }).pipe(Layer.provide(Layer.succeedContext(services)), Layer.build)
      const broker = Context.get(services, Broker.Broker)
      const replies = new Set<string>()
      yield* broker.subscribe({ service: "orders", kinds: ["reply"] }).pipe(
        Stream.runForEach(({ acknowledge, body }) =>
          Effect.andThen(
            Effect.sync(() => void replies.add(body)),
            acknowledge
          )
        ),
        Effect.forkScoped
      )
      yield* quiet
      for (let i = 0; i < 64; i++) {
        const saga = `01890000-0000-7000-8000-0000000${String(i).padStart(5, "0")}`
        yield* broker.publish(Broker.toMessage(envelopeOf({ op: "execute", changes: { saga } }), "Pay"))
      }
      yield* quiet
      yield* TestClock.adjust("4999 millis")
      yield* quiet
      assert.strictEqual(replies.size, 0)
      yield* TestClock.adjust("1 millis")
      yield* quiet
      assert.strictEqual(replies.size, 64)
    })
  )
})

describe("its type", () => {
  const Bank = Participant.make("bank", {
    Pay: { payload: { amount: Schema.Int }, success: Schema.String, error: Declined },
    Stage: { payload: {}, effect: "staged" }
  })
  const Stage = () => Effect.void
  class Cards extends Context.Service<Cards, { readonly pay: (key: string) => Effect.Effect<string> }>()(
    "test/Cards"
  ) {}

  it("gives the key, and requires what the handler uses", () => {
    const live = Participant.layer(Bank, {
      Stage,
      Pay: {
        transaction: false,
        handle: ({ amount }, key) => {
          expectTypeOf(amount).toEqualTypeOf<number>()
          expectTypeOf(key).toEqualTypeOf<string>()
          return Cards.use((cards) => cards.pay(key))
        }
      }
    })
    type Needs = typeof live extends Layer.Layer<never, never, infer R> ? R : never
    expectTypeOf<Needs>().toEqualTypeOf<Broker.Broker | ParticipantStore.ParticipantStore | Cards>()
    // @ts-expect-error: a handler fails with the errors of its command
    Participant.layer(Bank, { Stage, Pay: { transaction: false, handle: () => Effect.fail("no") } })
    // @ts-expect-error: in a unit of work a handler gets no key
    Participant.layer(Bank, { Stage, Pay: { handle: (_, key: string) => Effect.succeed(key) } })
  })

  it.effect("a layer refuses what plain JavaScript got wrong", () =>
    Effect.gen(function* () {
      const handle = () => Effect.succeed("paid")
      const refused: ReadonlyArray<readonly [object, string]> = [
        [{ Stage, Pay: { transaction: false } }, "Participant bank.Pay.handle"],
        [{ Stage, Pay: { transaction: 0, handle } }, "Participant bank.Pay.transaction"],
        [{ Stage, Pay: { handle, timeout: "1 minute" } }, "Participant bank.Pay.timeout"],
        [{ Stage, Pay: { handle, concurrency: 0 } }, "Participant bank.Pay.concurrency"],
        [{ Stage, Pay: { handle, priority: 0.5 } }, "Participant bank.Pay.priority"],
        [{ Stage, Pay: { handle, rate: { limit: 0, per: 1 } } }, "Participant bank.Pay.rate.limit"],
        [{ Stage, Pay: { handle, rate: { limit: 1, every: 1 } } }, "Participant bank.Pay.rate.every"],
        [{ Stage, Pay: { transaction: false, handle, timout: 1 } }, "Participant bank.Pay.timout"],
        [{ Stage, Pay: { transaction: false, handle, timeout: 0 } }, "Participant bank.Pay.timeout"],
        [{ Stage: { transaction: false, handle }, Pay: handle }, "Participant bank.Stage.transaction"]
      ]
      for (const [handlers, setting] of refused) {
        const exit = yield* Effect.exit(
          Layer.build(Participant.layer(Bank, handlers as never) as Layer.Layer<never>).pipe(Effect.scoped)
        )
        assert.include(JSON.stringify(Exit.isFailure(exit) ? exit.cause : "it begins"), setting)
      }
    })
  )
})
