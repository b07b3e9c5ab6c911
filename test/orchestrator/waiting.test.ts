/** F8, F12: what waits costs its row. It is sent again without a runner, and room that gets free is filled at once. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaManager } from "effect-saga"
import { SagaExecution } from "effect-saga/internals"
import { Admission } from "../../src/orchestrator/Admission.ts"
import { started } from "../../src/orchestrator/ExecutionInput.ts"
import * as Inbox from "../../src/orchestrator/Inbox.ts"
import { CreateOrder, context, makeWorld, open, quiet, reserved, start, until } from "../fixtures/manager.ts"
import { isMemory } from "../fixtures/repository.ts"

describe("executions that wait", () => {
  // Rounds of virtual time are counted, and a database takes real time for each.
  if (isMemory)
    it.effect("F8 they are sent again from what was claimed: without a load, a write or a place", () =>
      Effect.gen(function* () {
        let begun = 0
        const Endless = Saga.make("Endless", { context: {} }).pipe(
          Saga.local("never", {
            execute: () =>
              Effect.andThen(
                Effect.sync(() => begun++),
                Effect.never
              )
          }),
          Saga.commit
        )
        const { store, use, wire } = yield* start({ sagas: [CreateOrder, Endless], maxRunning: 2 })
        // What a process reads at its start is read.
        yield* quiet
        const count = 300
        const run = use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
        yield* Effect.repeat(run, { times: count - 1 })
        // All places are taken, for ever.
        for (let i = 0; i < 2; i++) yield* Effect.forkChild(use(SagaManager.run(Endless, { context: {} })))
        yield* until("both run", () => begun === 2)
        const asked: Array<string> = []
        store.fault = (operation) => {
          asked.push(operation)
          return undefined
        }
        assert.strictEqual(wire.sent.length, count)
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(wire.sent.length, 2 * count)
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(wire.sent.length, 3 * count)
        assert.deepStrictEqual(new Set(asked), new Set(["claim"]))
        assert.strictEqual(new Set(wire.sent.map(({ body }) => body)).size, count)
      })
    )

  it.effect("F8 an input that comes while an execution is sent again is not lost", () =>
    Effect.gen(function* () {
      const { store, use, wire } = yield* start({ keep: 10 })
      yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      // The answer comes while the message is sent again, before the execution is given back.
      wire.answer = (_, command) => (command === "Reserve" ? reserved : undefined)
      yield* TestClock.adjust("2 seconds")
      yield* until("the next step", () => wire.sent.at(-1)?.address.name === "Charge")
      assert.isAbove(store.attempts.length, 1)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(
        wire.sent.map(({ address }) => address.name),
        ["Reserve", "Reserve", "Charge", "Charge", "Charge", "Charge"]
      )
    })
  )

  it.effect("F8 callers that wait for executions of others cost no load", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const { store, wire } = world
      let finds = 0
      const { find } = store.repository
      const counted: typeof find = (...args) => Effect.tap(find(...args), () => Effect.sync(() => finds++))
      Object.assign(store.repository, { find: counted })
      const one = yield* open(world)
      const two = yield* open(world)
      // A process that starts reads what is stored, to say what it cannot continue.
      yield* until("both have found nothing", () => finds >= 2)
      const run = one.use(SagaManager.run(CreateOrder, { context }))
      const callers = yield* Effect.forEach(Array.from({ length: 20 }), () => Effect.forkChild(run))
      yield* until("they wait", () => wire.sent.length === 20)
      let loads = 0
      store.fault = (operation) => {
        if (operation === "load") loads++
        return undefined
      }
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(loads, 0)
      // The other process ends the first of them: nothing ran, as the service says.
      wire.answer = ({ op }) => (op === "probe" ? { status: 404 } : undefined)
      yield* two.manager.cancel(wire.sent[0]!.envelope.saga)
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(callers.filter((caller) => caller.pollUnsafe() !== undefined).length, 1)
      yield* Fiber.interruptAll(callers)
    })
  )
})

describe("recovery", () => {
  it.effect(
    "F8 what waited while no process was there does not hold up a start: replies are taken after the first of it",
    () =>
      Effect.gen(function* () {
        const world = yield* makeWorld()
        const first = yield* open(world)
        const count = 1_000
        yield* Effect.repeat(first.use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true })), {
          times: count - 1
        })
        yield* first.close
        yield* TestClock.adjust("2 minutes")
        world.wire.sent.length = 0
        yield* open(world)
        const sentBefore = world.wire.sent.length
        assert.isAbove(sentBefore, 0)
        assert.isBelow(sentBefore, count)
        yield* until("all are sent again", () => world.wire.sent.length === count)
      })
  )

  it.effect("F12 goes on while there is work: a place that gets free is filled at once, not at the next interval", () =>
    Effect.gen(function* () {
      const Slow = Saga.make("Slow", { context: {} }).pipe(
        Saga.local("second", { execute: () => Effect.sleep("1 second") }),
        Saga.commit
      )
      const world = yield* makeWorld({ keep: 1_000 })
      const count = 100
      for (let i = 0; i < count; i++) {
        const created = yield* SagaExecution.fromDefinition(Slow, { context: {} })
        const options = { service: "orders", autocommit: true, transactional: false, headers: undefined, now: 0 }
        yield* world.store.repository.store(started(created, options), { owner: "dead" })
      }
      const { manager } = yield* open(world, {
        sagas: [Slow],
        maxRunning: 10,
        recoveryInterval: "1 hour",
        lease: "3 hours"
      })
      yield* TestClock.adjust("15 seconds")
      const { items } = yield* manager.find({ status: "finished" }, { limit: 1_000 })
      assert.strictEqual(items.length, count)
    })
  )

  it("F12 maxPending counts what the process holds: neither what waits, nor what is over", () => {
    const admission = new Admission({ maxRunning: 1, maxPending: 2 })
    for (const uuid of ["a", "b", "c"]) admission.set(uuid, { _tag: "Waiting", deaths: 0, isAsleep: true })
    assert.isFalse(admission.isFull)
    admission.set("a", { _tag: "Running", inbox: Inbox.make(), isOver: false, deaths: 0, waited: false })
    admission.set("d", { _tag: "Waiting", deaths: 1 })
    assert.isTrue(admission.isFull)
    admission.set("a", undefined)
    assert.isFalse(admission.isFull)
  })
})
