/**
 * C18, I26: behind the pivot nothing is undone. What fails there is tried again, and then waits for a person, whose callers are
 * told. The tests of the rules have every case; these say what people and participants see of it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Metric, Result, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaManager, SagaStory } from "effect-saga"
import {
  agreeable,
  charged,
  counting,
  declined,
  lines,
  makeWorld,
  type OpenOptions,
  open,
  Payments,
  plain,
  quiet,
  Stock,
  start,
  until,
  type Wire,
  type WorldOptions,
  write
} from "../fixtures/manager.ts"

/** How often the parcel has failed and is still to fail. */
let troubles = 0

const ShipOrder = Saga.make("ShipOrder", { context: { sku: Schema.String } }).pipe(
  Saga.remote("stock", {
    execute: { command: Stock.commands.Reserve, payload: ({ sku }) => ({ sku }) },
    compensate: { command: Stock.commands.Release, payload: ({ stock }) => ({ reservation: stock.reservation }) }
  }),
  Saga.pivot,
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: () => ({ amount: 1 }) },
    onSuccess: (reply) => Effect.as(write(`handle ${reply.paymentId}`), reply),
    timeout: "10 seconds"
  }),
  Saga.local("parcel", {
    success: Schema.String,
    execute: () =>
      Effect.suspend(() =>
        troubles-- > 0 ? Effect.andThen(write("torn"), Effect.die("torn")) : Effect.as(write("parcel"), "p-1")
      )
  }),
  Saga.commit
)

const context = { sku: "book" }
const twice = { times: 1, backoff: "1 second" } as const

const begun = (options: OpenOptions & WorldOptions = {}) =>
  Effect.suspend(() => {
    troubles = 0
    return start({ sagas: [ShipOrder], keep: 10, retryForward: twice, ...options })
  })

/** All goes well but for the answers to the payment, one after the other; `undefined` is silence. */
const paying = (...answers: ReadonlyArray<ReturnType<Wire["answer"]>>): Wire["answer"] => {
  const left = [...answers]
  return (envelope, command) =>
    command === "Charge" && envelope.op === "execute" ? left.shift() : agreeable(envelope, command)
}

const ids = (wire: Wire, op: "execute" | "probe") =>
  wire.of(op, "payments").map(({ envelope }) => envelope.id.split(":").slice(1).join(":"))

/** Lets time pass in steps that are shorter than what is waited for. */
const pass = Effect.fnUntraced(function* (seconds: number) {
  for (let i = 0; i < seconds; i++) {
    yield* quiet
    yield* TestClock.adjust("1 second")
  }
  yield* quiet
})

/** Runs until the execution waits for a person. */
const parkedBy = Effect.fnUntraced(function* ({ use }: Effect.Success<ReturnType<typeof begun>>, seconds: number) {
  const caller = yield* Effect.forkChild(
    Effect.result(use(SagaManager.run(ShipOrder, { context, startKey: "order 1" })))
  )
  yield* pass(seconds)
  const exit = caller.pollUnsafe()
  if (exit === undefined || Exit.isFailure(exit)) return assert.fail("nobody was told")
  const told = exit.value
  if (Result.isSuccess(told) || told.failure._tag !== "SagaParkedForward") return assert.fail(JSON.stringify(told))
  return told.failure
})

describe("the pivot", () => {
  it.effect("C18 without a transaction it is the decision, and the rest runs on", () =>
    Effect.gen(function* () {
      const { use, wire, world } = yield* begun()
      wire.answer = agreeable
      const execution = yield* use(SagaManager.run(ShipOrder, { context }))
      assert.deepStrictEqual([execution.status, execution.decision, execution.settled], ["finished", "commit", true])
      assert.deepStrictEqual(plain(execution.context), {
        sku: "book",
        stock: { reservation: "r-1" },
        payment: { paymentId: "p-1" },
        parcel: "p-1"
      })
      assert.deepStrictEqual(lines(world), ["handle p-1", "parcel"])
      assert.include(SagaStory.outline(execution), "pivot passed")
    })
  )

  it.effect("C18 all are asked to reserve at it; the commit and the next step leave with one write", () =>
    Effect.gen(function* () {
      const { story, use, wire } = yield* begun({ enrols: "two-phase" })
      wire.answer = agreeable
      const execution = yield* use(SagaManager.run(ShipOrder, { context }))
      assert.deepStrictEqual([execution.commitState, execution.settled], ["committed", true])
      const sent = wire.sent.map(({ envelope: { op, service } }) => `${op} ${service}`)
      assert.deepStrictEqual(sent.slice(0, 2), ["execute stock", "reserve stock"])
      assert.sameMembers(sent.slice(2), ["commit stock", "execute payments"])
      assert.include(story, "stored VoteReceived PivotPassed RequestSent")
      assert.deepStrictEqual(
        wire.of("execute").map(({ envelope }) => [envelope.transactions.length, envelope.keepUntil !== undefined]),
        [
          [1, true],
          [0, false]
        ]
      )
    })
  )

  it.effect("C18 with autocommit off it decides all the same", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* begun({ enrols: "two-phase" })
      wire.answer = agreeable
      const { uuid } = yield* use(SagaManager.run(ShipOrder, { context, autocommit: false }))
      assert.strictEqual((yield* Effect.flip(manager.reject(uuid)))._tag, "SagaAlreadyDecided")
      const execution = yield* manager.commit(uuid)
      assert.deepStrictEqual([execution.status, execution.commitState], ["finished", "committed"])
    })
  )

  it.effect("C18 a no at it is a rollback: everything before it is undone", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* begun({ enrols: "two-phase" })
      wire.answer = (envelope, command) =>
        envelope.op === "reserve" ? { status: 400, content: "Full" } : agreeable(envelope, command)
      const failed = yield* Effect.flip(use(SagaManager.run(ShipOrder, { context })))
      assert.strictEqual(failed._tag, "SagaFailedExecution")
      assert.deepStrictEqual(wire.sent.map(({ envelope: { op } }) => op).sort(), [
        "execute",
        "failure",
        "reject",
        "reserve"
      ])
    })
  )

  it.effect("C18 behind it nobody can cancel or reject", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* begun()
      wire.answer = paying(undefined)
      const { uuid } = yield* use(SagaManager.run(ShipOrder, { context, pauseOnDisk: true }))
      yield* until("the payment is asked", () => wire.of("execute", "payments").length > 0)
      assert.strictEqual((yield* Effect.flip(manager.cancel(uuid)))._tag, "SagaNotCancellable")
      assert.strictEqual((yield* Effect.flip(manager.reject(uuid)))._tag, "SagaAlreadyDecided")
      assert.strictEqual((yield* manager.load(uuid)).decision, "commit")
    })
  )
})

describe("what fails behind the pivot", () => {
  it.effect("C18 a refusal is asked again with a new message and a time of its own; its services do not join", () =>
    counting(
      Effect.gen(function* () {
        const { use, wire } = yield* begun({ enrols: "two-phase", retryForward: { times: 3, backoff: "1 second" } })
        wire.answer = paying(declined, { status: 500 }, { ...charged, relatedServices: ["payments", "bank"] })
        const caller = yield* Effect.forkChild(use(SagaManager.run(ShipOrder, { context })))
        yield* pass(5)
        const execution = yield* Fiber.join(caller)
        assert.deepStrictEqual(ids(wire, "execute"), ["2:execute", "2:execute:2", "2:execute:3"])
        const until = wire.of("execute", "payments").map(({ envelope }) => envelope.notAfter)
        assert.isTrue(until[0]! < until[1]! && until[1]! < until[2]!)
        assert.deepStrictEqual([execution.settled, [...execution.state.enrolled]], [true, ["stock"]])
        const dropped = (yield* Metric.snapshot).find(({ id }) => id === "effect_saga_related_services_dropped_total")
        assert.deepInclude(dropped?.state, { count: 1 })
      })
    )
  )

  it.effect("C18 without an answer the next try is the same message", () =>
    Effect.gen(function* () {
      const world = yield* begun()
      world.wire.answer = paying()
      const caller = yield* Effect.forkChild(world.use(SagaManager.run(ShipOrder, { context })))
      yield* pass(12)
      assert.deepStrictEqual([...new Set(ids(world.wire, "execute"))], ["2:execute"])
      const bodies = new Set(world.wire.of("execute", "payments").map(({ body }) => body))
      assert.strictEqual(bodies.size, 1)
      yield* world.wire.reply(world.wire.of("execute", "payments")[0]!, charged)
      yield* quiet
      assert.strictEqual((yield* Fiber.join(caller)).status, "finished")
    })
  )

  it.effect("C18 a failing callback runs again, and then waits for a person, whose callers are told at once", () =>
    Effect.gen(function* () {
      const world = yield* begun()
      world.wire.answer = agreeable
      troubles = 3
      const told = yield* Effect.suspend(() => {
        troubles = 3
        return parkedBy(world, 3)
      })
      assert.deepStrictEqual([told.parked, told.execution.status], [["3"], "paused"])
      assert.include(told.message, "waits for a person behind its pivot, at 3")
      assert.deepStrictEqual(lines(world.world), ["handle p-1", "torn", "torn"])
      // Who comes later is told as well, and nothing of it is settled or forgotten.
      const again = yield* Effect.flip(world.use(SagaManager.execute(ShipOrder, { context, startKey: "order 1" })))
      assert.strictEqual((again as { readonly _tag: string })._tag, "SagaParkedForward")
      const { items } = yield* world.manager.find({ parked: true, settled: false })
      assert.deepStrictEqual(
        items.map(({ uuid }) => uuid),
        [told.uuid]
      )
      // The third failure is the first of the person's tries.
      yield* world.manager.retryParked(told.uuid, "3", { actor: "ann" })
      yield* pass(3)
      const execution = yield* world.use(SagaManager.run(ShipOrder, { context, startKey: "order 1" }))
      assert.strictEqual(execution.status, "finished")
      assert.deepStrictEqual(lines(world.world), ["handle p-1", "torn", "torn", "torn", "parcel"])
    })
  )

  it.effect("C18 a step that was refused waits for nobody until its next try, and `find` says so", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* begun()
      wire.answer = paying(declined)
      const uuid = yield* use(SagaManager.start(ShipOrder, { context }))
      yield* quiet
      const listed = Effect.map(manager.find({ status: "paused" }), ({ items }) =>
        items.find((one) => one.uuid === uuid)
      )
      const refused = yield* listed
      assert.deepStrictEqual([refused?.step, refused?.waitsFor], [{ name: "payment", path: "2" }, undefined])
      yield* pass(2)
      assert.strictEqual((yield* listed)?.waitsFor, "payments/Charge")
    })
  )

  it.effect("C18 a late answer counts although the step waits for a person", () =>
    Effect.gen(function* () {
      const world = yield* begun()
      world.wire.answer = paying()
      const { parked, uuid } = yield* parkedBy(world, 25)
      assert.deepStrictEqual(parked, ["2"])
      yield* world.wire.reply(world.wire.of("execute", "payments")[0]!, charged)
      yield* quiet
      const execution = yield* world.manager.load(uuid)
      assert.deepStrictEqual([execution.status, execution.parked, execution.settled], ["finished", [], true])
    })
  )

  it.effect("C18 settled is what is finished and committed: neither alone", () =>
    Effect.gen(function* () {
      const world = yield* begun({ enrols: "two-phase" })
      world.wire.answer = paying()
      const { uuid } = yield* parkedBy(world, 25)
      const execution = yield* world.manager.load(uuid)
      assert.deepStrictEqual(
        [execution.commitState, execution.status, execution.settled],
        ["committed", "paused", false]
      )
    })
  )

  it.effect("C18 I26 another process goes on behind it after a crash", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ enrols: "two-phase", keep: 10 })
      troubles = 0
      world.wire.answer = paying(declined)
      const options = { sagas: [ShipOrder], recoveryInterval: "1 second", lease: "3 seconds" } as const
      const one = yield* open(world, options)
      const caller = yield* Effect.forkChild(one.use(SagaManager.run(ShipOrder, { context, startKey: "order 1" })))
      yield* until("the payment is refused", () => world.story.some((line) => line.includes("StepFailed")))
      yield* one.close
      yield* Fiber.interrupt(caller)
      world.wire.answer = agreeable
      const two = yield* open(world, options)
      yield* pass(8)
      const execution = yield* two.use(SagaManager.run(ShipOrder, { context, startKey: "order 1" }))
      assert.deepStrictEqual([execution.status, execution.commitState], ["finished", "committed"])
      assert.deepStrictEqual([...new Set(ids(world.wire, "execute"))], ["2:execute", "2:execute:2"])
    })
  )
})

describe("a result that cannot be stored behind the pivot", () => {
  const who = { actor: "ann", reason: "looked it up" }
  const Id = Schema.Struct({ id: Schema.String.check(Schema.isMaxLength(8)) })

  it.effect("C18 is lost with its work done once, and a person gives it", () =>
    Effect.gen(function* () {
      const Pay = Saga.make("Pay", { context: {} }).pipe(
        Saga.pivot,
        Saga.local("charge", { success: Id, execute: () => Effect.as(write("charge"), { id: "a-longer-id" }) }),
        Saga.commit
      )
      const { manager, use, world } = yield* start({ sagas: [Pay], keep: 10, retryForward: twice })
      const caller = yield* Effect.forkChild(
        Effect.result(use(SagaManager.run(Pay, { context: {}, startKey: "order 1" })))
      )
      yield* pass(5)
      const told = yield* Fiber.join(caller)
      if (Result.isSuccess(told) || told.failure._tag !== "SagaParkedForward") return assert.fail("nobody was told")
      const { uuid } = told.failure
      assert.deepStrictEqual(lines(world), ["charge"])
      yield* manager.retryParked(uuid, "1", who)
      yield* pass(5)
      assert.deepStrictEqual(lines(world), ["charge", "charge"])
      yield* use(SagaManager.resolveParked(Pay, { uuid, step: "charge", result: { id: "short" }, ...who }))
      yield* quiet
      const { context, settled } = yield* manager.load(uuid)
      assert.deepStrictEqual([settled, plain(context)], [true, { charge: { id: "short" } }])
      assert.deepStrictEqual(lines(world), ["charge", "charge"])
    })
  )

  it.effect("C18 of a handler of a reply is lost as well, and the handler is not called again by itself", () =>
    Effect.gen(function* () {
      const Pay = Saga.make("PayAfar", { context: {} }).pipe(
        Saga.pivot,
        Saga.remote("payment", {
          execute: { command: Payments.commands.Charge, payload: () => ({ amount: 1 }) },
          success: Id,
          onSuccess: () => Effect.as(write("handle"), { id: "a-longer-id" })
        }),
        Saga.commit
      )
      const { use, wire, world } = yield* start({ sagas: [Pay], keep: 10, retryForward: twice })
      wire.answer = agreeable
      const caller = yield* Effect.forkChild(Effect.result(use(SagaManager.run(Pay, { context: {} }))))
      yield* pass(5)
      const told = yield* Fiber.join(caller)
      assert.strictEqual(Result.isFailure(told) && told.failure._tag, "SagaParkedForward")
      assert.deepStrictEqual(lines(world), ["handle"])
    })
  )
})

describe("a person who gives the result", () => {
  const who = { actor: "ann", reason: "sent by hand" }

  it.effect("C18 finishes a step that has no other", () =>
    Effect.gen(function* () {
      const world = yield* begun()
      world.wire.answer = agreeable
      const { uuid } = yield* Effect.suspend(() => {
        troubles = 9
        return parkedBy(world, 3)
      })
      const wrong = yield* Effect.flip(
        // @ts-expect-error the parcel is a text
        world.use(SagaManager.resolveParked(ShipOrder, { uuid, step: "parcel", result: 17, ...who }))
      )
      assert.deepInclude(wrong, { _tag: "SagaResolutionRefused", path: "3", reason: "result" })
      const none = yield* Effect.flip(world.use(SagaManager.resolveParked(ShipOrder, { uuid, step: "parcel", ...who })))
      assert.strictEqual(none._tag, "SagaResolutionRefused")
      const cycle: Record<string, unknown> = {}
      cycle.self = cycle
      const plainJs: any = { ...who, result: cycle } // as plain JavaScript may give it
      assert.strictEqual(
        (yield* Effect.flip(world.manager.resolveParked(uuid, "3", plainJs)))._tag,
        "SagaResolutionRefused"
      )
      const other = yield* Effect.flip(
        world.use(SagaManager.resolveParked(ShipOrder, { uuid, step: "2", result: { paymentId: "" }, ...who }))
      )
      assert.strictEqual(other._tag, "SagaStepNotParked")
      yield* world.use(SagaManager.resolveParked(ShipOrder, { uuid, step: "parcel", result: "p-9", ...who }))
      yield* quiet
      const execution = yield* world.manager.load(uuid)
      assert.deepStrictEqual([execution.status, plain(execution.context).parcel], ["finished", "p-9"])
      assert.include(SagaStory.tell(execution), "parcel is declared done by ann")
    })
  )

  const resolving = Effect.fnUntraced(function* (probe: ReturnType<Wire["answer"]>) {
    const world = yield* begun()
    const without = paying()
    world.wire.answer = (envelope, command) => (envelope.op === "probe" ? probe : without(envelope, command))
    const { uuid } = yield* parkedBy(world, 25)
    const result = { paymentId: "by hand" }
    const resolved = yield* Effect.forkChild(
      Effect.exit(world.use(SagaManager.resolveParked(ShipOrder, { uuid, step: "payment", result, ...who })))
    )
    yield* pass(2)
    return { world, uuid, resolved }
  })

  it.effect("C11 a result from plain JavaScript for no saga, or for no step, is SagaInvalidArgument", () =>
    Effect.gen(function* () {
      const { use } = yield* begun()
      const given = { uuid: "", step: "payment", result: "", ...who }
      const calls: ReadonlyArray<readonly [any, any, string]> = [
        [undefined, given, "saga"],
        [{ name: "ShipOrder" }, given, "saga"],
        [ShipOrder, undefined, "options"],
        [ShipOrder, { ...given, step: 7 }, "step"]
      ]
      for (const [saga, options, argument] of calls) {
        const error = yield* Effect.flip(use(SagaManager.resolveParked(saga, options)))
        assert.deepInclude(error, { _tag: "SagaInvalidArgument", argument })
      }
    })
  )

  it.effect("C18 counts where the service says that it has done nothing", () =>
    Effect.gen(function* () {
      const { resolved, uuid, world } = yield* resolving({ status: 404 })
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(resolved)))
      const execution = yield* world.manager.load(uuid)
      assert.deepStrictEqual(ids(world.wire, "probe"), ["2:probe"])
      assert.deepStrictEqual(
        [execution.status, plain(execution.context).payment],
        ["finished", { paymentId: "by hand" }]
      )
    })
  )

  it.effect("C18 does not count where the service has done it, and is told so", () =>
    Effect.gen(function* () {
      const { resolved, uuid, world } = yield* resolving(charged)
      const exit = yield* Fiber.join(resolved)
      const failure = Exit.isFailure(exit) ? JSON.stringify(exit.cause) : "none"
      assert.include(failure, "SagaResolutionOverruled")
      const execution = yield* world.manager.load(uuid)
      assert.deepStrictEqual(plain(execution.context).payment, { paymentId: "p-1" })
      assert.deepStrictEqual(lines(world.world), ["handle p-1", "parcel"])
    })
  )

  it.effect("C18 waits where the service is silent, and the step waits for a person again", () =>
    Effect.gen(function* () {
      const { resolved, uuid, world } = yield* resolving({ status: 500 })
      yield* TestClock.adjust("1 hour")
      yield* quiet
      yield* TestClock.adjust("1 hour")
      yield* quiet
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(resolved)))
      const execution = yield* world.manager.load(uuid)
      assert.deepStrictEqual([execution.status, execution.parked], ["paused", ["2"]])
    })
  )
})
