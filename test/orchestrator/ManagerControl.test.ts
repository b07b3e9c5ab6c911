/** Operations of people on an execution: cancel, commit, reject, handle parked steps, find. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Latch, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaManager, SagaResponse } from "effect-saga"
import {
  agreeable,
  CreateOrder,
  charged,
  context,
  declined,
  lines,
  Payments,
  quiet,
  reserved,
  start,
  until,
  write
} from "../fixtures/manager.ts"

const tagOf = (error: unknown) => (error as { readonly _tag: string })._tag
const nobody = "01890000-0000-7000-8000-000000000000"

/** An execution that waits for its second reply. */
const half = Effect.fnUntraced(function* (keep = 10) {
  const world = yield* start({ keep })
  const { uuid } = yield* world.use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
  const response = new SagaResponse({ uuid, step: "stock", content: reserved.content })
  yield* world.use(SagaManager.run({ response, pauseOnDisk: true }))
  return { ...world, uuid }
})

describe("cancel", () => {
  it.effect("a cancel probes the outstanding request, and compensates the steps that have an effect", () =>
    Effect.gen(function* () {
      const { manager, use, uuid, wire, world } = yield* half()
      const waiting = yield* Effect.forkChild(
        Effect.flip(
          use(SagaManager.run({ response: new SagaResponse({ uuid, step: "stock", content: reserved.content }) }))
        )
      )
      yield* quiet
      wire.answer = (envelope, command) => (envelope.op === "probe" ? charged : agreeable(envelope, command))
      const cancelled = yield* manager.cancel(uuid, { actor: "ada" })
      assert.deepStrictEqual([cancelled.decision, tagOf(cancelled.cause)], ["reject", "SagaCancelled"])
      // A waiting caller is told.
      const error = yield* Fiber.join(waiting)
      assert.strictEqual(error._tag, "SagaFailedExecution")
      if (error._tag === "SagaFailedExecution") {
        assert.strictEqual(tagOf(error.cause), "SagaCancelled")
        assert.match(String((error.cause as Error).message), /cancelled by ada/)
      }
      assert.deepStrictEqual(
        wire.sent.slice(2).map(({ envelope }) => [envelope.op, envelope.service, envelope.content]),
        [
          ["probe", "payments", undefined],
          ["failure", "payments", { paymentId: "p-1" }],
          ["failure", "stock", { reservation: "r-1" }]
        ]
      )
      assert.deepStrictEqual(lines(world).slice(2), ["void invoice-10"])
      const { alreadyRollback, commitState, status } = yield* manager.load(uuid)
      assert.deepStrictEqual([status, alreadyRollback, commitState], ["errored", true, "rejected"])
    })
  )

  it.effect("a cancel compensates nothing for a request that had no effect", () =>
    Effect.gen(function* () {
      const { manager, uuid, wire } = yield* half()
      wire.answer = (envelope, command) => (envelope.op === "probe" ? { status: 404 } : agreeable(envelope, command))
      yield* manager.cancel(uuid)
      yield* until("it is errored", () => wire.of("failure").length === 1)
      assert.strictEqual(wire.of("failure")[0]?.envelope.service, "stock")
    })
  )

  it.effect("after a cancel the reply or the answer to the probe counts, whichever comes first", () =>
    Effect.gen(function* () {
      const { manager, uuid, wire } = yield* half()
      wire.answer = ({ op }) => (op === "failure" ? { status: 200 } : undefined)
      yield* manager.cancel(uuid)
      const [probe] = wire.of("probe")
      assert.isDefined(probe)
      // The late reply says that it was charged: that is compensated, and the step is not finished by it.
      yield* wire.reply(wire.of("execute", "payments")[0]!, charged)
      yield* until("everything is undone", () => wire.of("failure").length === 2)
      yield* wire.reply(probe!, { status: 404 })
      yield* quiet
      const { alreadyRollback, executedSteps } = yield* manager.load(uuid)
      assert.deepStrictEqual([alreadyRollback, executedSteps.length], [true, 3])
      assert.deepStrictEqual(
        wire.of("failure").map(({ envelope }) => envelope.service),
        ["payments", "stock"]
      )
    })
  )

  it.effect(
    "a second cancel changes nothing, a cancel after the end is refused, and one of an unknown execution is not found",
    () =>
      Effect.gen(function* () {
        const { manager, use, uuid, wire } = yield* half()
        yield* manager.cancel(uuid)
        const { revision } = yield* manager.load(uuid)
        yield* manager.cancel(uuid)
        assert.strictEqual((yield* manager.load(uuid)).revision, revision)
        wire.answer = agreeable
        const finished = yield* use(SagaManager.run(CreateOrder, { context }))
        const error = yield* Effect.flip(manager.cancel(finished.uuid))
        assert.strictEqual(error._tag, "SagaNotCancellable")
        assert.strictEqual((yield* manager.load(finished.uuid)).status, "finished")
        assert.strictEqual((yield* Effect.flip(manager.cancel(nobody)))._tag, "SagaExecutionNotFound")
      })
  )

  it.effect("a cancel during a local step takes effect when the step is over, and compensates it", () =>
    Effect.gen(function* () {
      const latch = Latch.makeUnsafe(false)
      const Slow = Saga.make("Slow", { context: {} }).pipe(
        Saga.local("one", {
          execute: () => Effect.andThen(latch.await, write("one")),
          compensate: () => write("undo one")
        }),
        Saga.local("two", { execute: () => write("two") }),
        Saga.commit
      )
      const { manager, use, wire, world } = yield* start({ keep: 1, sagas: [Slow] })
      const running = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(Slow, { context: {} }))))
      yield* until("it is stored", () => world.story.length > 0)
      const { items } = yield* manager.find({ saga: "Slow" })
      const cancelling = yield* Effect.forkChild(manager.cancel(items[0]!.uuid))
      yield* quiet
      yield* latch.open
      yield* Fiber.join(cancelling)
      assert.strictEqual((yield* Fiber.join(running))._tag, "SagaFailedExecution")
      assert.deepStrictEqual([lines(world), wire.sent], [["one", "undo one"], []])
    })
  )
})

describe("commit and reject", () => {
  const finished = Effect.fnUntraced(function* (keep: number) {
    const world = yield* start({ keep })
    world.wire.answer = agreeable
    const { uuid } = yield* world.use(SagaManager.run(CreateOrder, { context, autocommit: false }))
    return { ...world, uuid }
  })

  it.effect("committing twice is the same as once", () =>
    Effect.gen(function* () {
      const { manager, uuid } = yield* finished(10)
      const [one, two] = yield* Effect.all([manager.commit(uuid), manager.commit(uuid)], { concurrency: "unbounded" })
      assert.deepStrictEqual([one.commitState, two.commitState], ["committed", "committed"])
      const again = yield* manager.commit(uuid)
      assert.strictEqual(again.revision, one.revision)
    })
  )

  it.effect("rejecting after commit is SagaAlreadyDecided, and after a reject there is nothing to commit", () =>
    Effect.gen(function* () {
      const { manager, use, uuid, wire } = yield* finished(10)
      yield* manager.commit(uuid)
      const late = yield* Effect.flip(manager.reject(uuid))
      assert.strictEqual(late._tag, "SagaAlreadyDecided")
      if (late._tag === "SagaAlreadyDecided") assert.strictEqual(late.decision, "commit")
      assert.strictEqual(wire.of("failure").length, 0)

      const other = yield* use(SagaManager.run(CreateOrder, { context, autocommit: false }))
      const rejected = yield* manager.reject(other.uuid)
      assert.deepStrictEqual([rejected.status, rejected.alreadyRollback], ["errored", true])
      assert.strictEqual(tagOf(rejected.cause), "SagaRejected")
      const sent = wire.sent.length
      assert.strictEqual((yield* Effect.flip(manager.commit(other.uuid)))._tag, "SagaAlreadyDecided")
      assert.strictEqual((yield* manager.reject(other.uuid)).revision, rejected.revision)
      assert.strictEqual(wire.sent.length, sent)
    })
  )

  for (const first of ["commit", "reject"] as const) {
    it.effect(
      `of a commit and a reject at once one wins, and all is committed or all compensated (${first} asked first)`,
      () =>
        Effect.gen(function* () {
          const { manager, uuid, wire } = yield* finished(10)
          const commit = Effect.result(manager.commit(uuid))
          const reject = Effect.result(manager.reject(uuid))
          const decided = yield* Effect.all(first === "commit" ? [commit, reject] : [reject, commit], {
            concurrency: "unbounded"
          })
          assert.deepStrictEqual(new Set(decided.map(({ _tag }) => _tag)), new Set(["Success", "Failure"]))
          const { commitState } = yield* manager.load(uuid)
          for (const one of decided) {
            if (one._tag === "Success") assert.strictEqual(one.success.commitState, commitState)
            else assert.include(["SagaAlreadyDecided", "SagaExecutionNotFinished"], one.failure._tag)
          }
          assert.strictEqual(wire.of("failure").length, commitState === "committed" ? 0 : 2)
        })
    )
  }

  it.effect("committing before the end is SagaExecutionNotFinished, and nothing changes", () =>
    Effect.gen(function* () {
      const { manager, uuid, wire } = yield* half()
      const { revision } = yield* manager.load(uuid)
      const error = yield* Effect.flip(manager.commit(uuid))
      assert.strictEqual(error._tag, "SagaExecutionNotFinished")
      if (error._tag === "SagaExecutionNotFinished") assert.strictEqual(error.status, "paused")
      assert.deepStrictEqual([(yield* manager.load(uuid)).revision, wire.sent.length], [revision, 2])
    })
  )

  it.effect("rejecting before the end compensates the steps that ran, and waits for it", () =>
    Effect.gen(function* () {
      const { manager, uuid, wire, world } = yield* half()
      wire.answer = (envelope, command) => (envelope.op === "probe" ? { status: 404 } : agreeable(envelope, command))
      const rejected = yield* manager.reject(uuid)
      assert.deepStrictEqual(
        [rejected.status, rejected.commitState, rejected.alreadyRollback],
        ["errored", "rejected", true]
      )
      assert.deepStrictEqual(lines(world).slice(2), ["void invoice-10"])
      assert.strictEqual(wire.of("failure", "stock").length, 1)
    })
  )

  it.effect("commit and reject of an unknown execution are not found", () =>
    Effect.gen(function* () {
      const { manager } = yield* finished(0)
      assert.strictEqual((yield* Effect.flip(manager.commit(nobody)))._tag, "SagaExecutionNotFound")
      assert.strictEqual((yield* Effect.flip(manager.reject("no uuid")))._tag, "SagaExecutionNotFound")
    })
  )

  it.effect("commit and reject take a uuid in any text form", () =>
    Effect.gen(function* () {
      const { manager, uuid } = yield* finished(10)
      assert.strictEqual((yield* manager.commit(uuid.toUpperCase())).commitState, "committed")
      assert.strictEqual((yield* manager.load(` ${uuid} `)).commitState, "committed")
    })
  )
})

describe("parked steps", () => {
  let broken = true
  const Parks = Saga.make("Parks", { context: { amount: Schema.Int } }).pipe(
    Saga.local("first", { execute: () => write("first"), compensate: () => write("undo first") }),
    Saga.local("second", {
      execute: () => write("second"),
      compensate: () => (broken ? Effect.die(new Error("broken")) : write("undo second")),
      retryCompensate: { times: 2, backoff: "1 second" }
    }),
    Saga.remote("payment", { execute: { command: Payments.commands.Charge, payload: ({ amount }) => ({ amount }) } }),
    Saga.commit
  )

  const park = Effect.fnUntraced(function* () {
    broken = true
    const world = yield* start({ sagas: [Parks] })
    world.wire.answer = () => declined
    const running = yield* Effect.forkChild(Effect.flip(world.use(SagaManager.run(Parks, { context: { amount: 1 } }))))
    yield* TestClock.adjust("10 seconds")
    const error = yield* Fiber.join(running)
    assert.strictEqual(error._tag, "SagaFailedExecution")
    if (error._tag !== "SagaFailedExecution") return assert.fail()
    assert.deepStrictEqual([error.parked, error.later.length], [["1"], 1])
    return { ...world, uuid: error.uuid }
  })

  it.effect("a compensation that fails for good is parked, the others go on, and find lists it", () =>
    Effect.gen(function* () {
      const { manager, uuid, world } = yield* park()
      assert.deepStrictEqual(lines(world), ["first", "second", "undo first"])
      const { items } = yield* manager.find({ parked: true })
      assert.deepStrictEqual(
        items.map((head) => [head.uuid, head.status, head.settled, head.failure?.tag]),
        [[uuid, "errored", false, "CardDeclined"]]
      )
      const kept = yield* manager.load(uuid)
      assert.deepStrictEqual([kept.parked, kept.alreadyRollback], [["1"], false])
    })
  )

  it.effect("a parked step is tried again by retryParked", () =>
    Effect.gen(function* () {
      const { manager, uuid, world } = yield* park()
      broken = false
      yield* manager.retryParked(uuid, "1", { actor: "ada" })
      yield* until("it is undone", () => lines(world).at(-1) === "undo second")
      yield* quiet
      // Settled now, and forgotten like any other.
      assert.strictEqual((yield* Effect.flip(manager.load(uuid)))._tag, "SagaExecutionNotFound")
    })
  )

  it.effect("a parked step that fails again is parked again", () =>
    Effect.gen(function* () {
      const { manager, uuid } = yield* park()
      yield* manager.retryParked(uuid, "1", { actor: "ada" })
      yield* TestClock.adjust("10 seconds")
      const kept = yield* manager.load(uuid)
      assert.deepStrictEqual([kept.parked, kept.alreadyRollback], [["1"], false])
    })
  )

  it.effect("a parked step is closed by resolveParked, with actor and reason", () =>
    Effect.gen(function* () {
      const { manager, uuid } = yield* park()
      const resolved = yield* manager.resolveParked(uuid, "1", { actor: "ada", reason: "by hand" })
      assert.deepStrictEqual([resolved.parked, resolved.alreadyRollback, resolved.settled], [[], true, true])
      const event = resolved.events.find(({ _tag }) => _tag === "StepResolved")
      assert.deepInclude(event, { path: "1", actor: "ada", reason: "by hand" })
    })
  )

  it.effect("retryParked of a step that is not parked is SagaStepNotParked", () =>
    Effect.gen(function* () {
      const { manager, uuid } = yield* park()
      for (const path of ["0", "7", "", "__proto__"]) {
        const retried = yield* Effect.flip(manager.retryParked(uuid, path, { actor: "ada" }))
        const resolved = yield* Effect.flip(manager.resolveParked(uuid, path, { actor: "ada", reason: "" }))
        assert.deepStrictEqual([retried._tag, resolved._tag], ["SagaStepNotParked", "SagaStepNotParked"])
      }
    })
  )

  it.effect("a late answer resolves a parked request without a person", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* start({ replyTimeout: "1 minute", keep: 10 })
      const running = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(CreateOrder, { context }))))
      yield* TestClock.adjust("3 hours")
      const error = yield* Fiber.join(running)
      assert.strictEqual(error._tag, "SagaFailedExecution")
      if (error._tag !== "SagaFailedExecution") return
      assert.deepStrictEqual(error.parked, ["0"])
      wire.answer = agreeable
      yield* wire.reply(wire.of("probe")[0]!, reserved)
      yield* until("the compensation is sent", () => wire.of("failure").length === 1)
      yield* until("both are acknowledged", () => wire.acknowledged === 2)
      yield* quiet
      const kept = yield* manager.load(error.uuid)
      assert.deepStrictEqual([kept.parked, kept.alreadyRollback, kept.settled], [[], true, true])
    })
  )
})

describe("find", () => {
  it.effect("find lists executions by their properties, newest first, in pages", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* start({ keep: 10 })
      wire.answer = agreeable
      const finished = yield* use(SagaManager.run(CreateOrder, { context, user: "ada" }))
      yield* TestClock.adjust("1 second")
      wire.answer = () => undefined
      const paused = yield* use(SagaManager.run(CreateOrder, { context, startKey: "k", pauseOnDisk: true }))
      const of = (filter: Parameters<typeof manager.find>[0]) =>
        Effect.map(manager.find(filter), ({ items }) => items.map(({ uuid }) => uuid))
      assert.deepStrictEqual(yield* of({}), [paused.uuid, finished.uuid])
      assert.deepStrictEqual(yield* of({ status: "paused" }), [paused.uuid])
      assert.deepStrictEqual(yield* of({ settled: true }), [finished.uuid])
      assert.deepStrictEqual(yield* of({ user: "ada" }), [finished.uuid])
      assert.deepStrictEqual(yield* of({ startKey: "k" }), [paused.uuid])
      assert.deepStrictEqual(yield* of({ saga: "Other" }), [])
      assert.deepStrictEqual(yield* of({ createdAfter: 0 }), [paused.uuid])
      const page = yield* manager.find({}, { limit: 1 })
      const rest = yield* manager.find({}, { limit: 1, after: page.next! })
      assert.deepStrictEqual(
        [page.items[0]?.uuid, rest.items[0]?.uuid, rest.next],
        [paused.uuid, finished.uuid, undefined]
      )
      const error = yield* Effect.flip(manager.find({}, { after: "made up" }))
      assert.strictEqual(error._tag, "SagaExecutionRepositoryError")
    })
  )

  it.effect("load gives an execution with its saga, its steps and its story", () =>
    Effect.gen(function* () {
      const { manager, uuid } = yield* half()
      const execution = yield* manager.load(uuid)
      assert.strictEqual(execution.definition?.name, "CreateOrder")
      assert.deepStrictEqual(
        execution.executedSteps.map(({ name, status }) => [name, status]),
        [
          ["stock", "finished"],
          ["invoice", "finished"]
        ]
      )
      assert.deepStrictEqual(execution.relatedServices, ["orders"])
    })
  )
})
