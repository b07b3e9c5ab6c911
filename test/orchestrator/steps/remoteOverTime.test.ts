/** Remote steps over time, with a manager: resends, deadlines, probes, and a cancel in the middle of a pause. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaManager } from "../../../src/index.ts"
import {
  Agreement,
  bookFlight,
  bookFor,
  Cars,
  cancelFlight,
  compensated,
  context,
  failure,
  idle,
  makeStory,
  manager,
  managerEnrolling,
  reply,
  SoldOut,
  sentTo,
  statuses,
  trip,
  until,
  Wire
} from "../../fixtures/travel.ts"

/** A seat in this process, then a flight that must be booked within ten seconds. */
const withSeat = (story: ReturnType<typeof makeStory>) =>
  trip.pipe(
    Saga.local("seat", { execute: () => story.tell("seat"), compensate: () => story.tell("seat back") }),
    Saga.remote("flight", { execute: bookFlight, compensate: cancelFlight, timeout: "10 seconds" }),
    Saga.commit
  )

const timedOut = {
  "cause._tag": "SagaFailedExecutionStep",
  "cause.step": "flight",
  "cause.cause._tag": "SagaStepTimedOut",
  "cause.cause.deadline": 10_000
}

describe("resends", () => {
  it.effect("a request is sent again with the same bytes, ever later, until it is answered", () => {
    const saga = withSeat(makeStory())
    return Effect.gen(function* () {
      const wire = yield* Wire
      const fiber = yield* Effect.forkChild(SagaManager.run(saga, { context }))
      const first = yield* sentTo("execute flights/Book")
      yield* TestClock.adjust("5 seconds")
      // after one second, and two more; the next one is due after four more
      assert.deepStrictEqual(
        wire.sent().map(({ body }) => body),
        [first.body, first.body, first.body]
      )
      yield* reply(first, { content: { ref: "F1" } })
      const finished = yield* Fiber.join(fiber)
      assert.strictEqual(finished.status, "finished")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(wire.sent().length, 3)
      // resends write nothing: the start with the step's intent, the request, the end
      assert.strictEqual(finished.revision, 3)
    }).pipe(Effect.provide(manager([saga])))
  })

  it.effect("REM-013 EXR-013 a request that the broker refused is sent again once it takes messages", () => {
    const saga = withSeat(makeStory())
    return Effect.gen(function* () {
      const wire = yield* Wire
      wire.refuse(({ envelope }) => envelope.coordinator === "trips")
      const fiber = yield* Effect.forkChild(SagaManager.run(saga, { context }))
      yield* idle
      assert.deepStrictEqual([wire.refused().length, wire.sent().length], [1, 0])
      wire.refuse(() => false)
      yield* TestClock.adjust("1500 millis")
      const [sent] = wire.sent()
      assert.strictEqual(sent?.body, wire.refused()[0]?.body)
      yield* reply(sent, { content: { ref: "F1" } })
      assert.strictEqual((yield* Fiber.join(fiber)).status, "finished")
    }).pipe(Effect.provide(manager([saga])))
  })

  it.effect("EXE-018 a compensation that the broker refused is sent again once it takes messages", () => {
    const story = makeStory()
    const saga = trip.pipe(
      Saga.remote("flight", { execute: bookFlight, compensate: cancelFlight }),
      Saga.local("seat", { error: SoldOut, execute: () => Effect.fail(new SoldOut({ what: "seat" })) }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      wire.refuse(({ envelope }) => envelope.op === "failure")
      const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
      yield* reply(yield* sentTo("execute flights/Book"), { content: { ref: "F1" } })
      yield* idle
      assert.deepStrictEqual(
        wire.refused().map(({ line }) => line),
        ["failure flights/Cancel"]
      )
      wire.refuse(() => false)
      yield* TestClock.adjust("1500 millis")
      const sent = yield* sentTo("failure flights/Cancel")
      assert.strictEqual(sent.body, wire.refused()[0]?.body)
      yield* reply(sent)
      const failed = yield* Fiber.join(fiber)
      assert.deepInclude(failed.cause, { what: "seat" })
      assert.isTrue(failed.execution.alreadyRollback)
      assert.deepStrictEqual(story.lines, [])
    }).pipe(Effect.provide(manager([saga])))
  })
})

describe("deadline", () => {
  it.effect("C3 a request may run for as long as its step waits, and for a day at least", () => {
    const saga = trip.pipe(
      Saga.remote("flight", { execute: bookFlight, timeout: "30 days" }),
      Saga.remote("other", { execute: bookFlight, timeout: "10 seconds" }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const fiber = yield* Effect.forkChild(SagaManager.run(saga, { context }))
      const first = yield* sentTo("execute flights/Book")
      assert.strictEqual(JSON.parse(first.body).notAfter, 30 * 86_400_000)
      yield* reply(first, { content: { ref: "F1" } })
      yield* idle
      assert.strictEqual(JSON.parse(wire.sent().at(-1)!.body).notAfter, 86_400_000)
      yield* reply(wire.sent().at(-1)!, { content: { ref: "F2" } })
      assert.strictEqual((yield* Fiber.join(fiber)).status, "finished")
    }).pipe(Effect.provide(manager([saga])))
  })

  it.effect("REM-013 EXR-013 a request that the broker never takes fails its step at the deadline, not before", () => {
    const saga = trip.pipe(Saga.remote("flight", { execute: bookFlight, timeout: "10 seconds" }), Saga.commit)
    return Effect.gen(function* () {
      const wire = yield* Wire
      wire.refuse(() => true)
      const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
      yield* idle
      yield* TestClock.adjust("9999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const failed = yield* Fiber.join(fiber)
      assert.deepNestedInclude(failed, timedOut)
      assert.deepStrictEqual(statuses(failed.execution.executedSteps), { flight: "errored-by-on-execute" })
      assert.strictEqual(wire.sent().length, 0)
    }).pipe(Effect.provide(manager([saga])))
  })

  it.effect("a reply in the last moment finishes the step", () => {
    const saga = withSeat(makeStory())
    return Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(SagaManager.run(saga, { context }))
      const sent = yield* sentTo("execute flights/Book")
      yield* TestClock.adjust("9999 millis")
      yield* reply(sent, { content: { ref: "F1" } })
      assert.strictEqual((yield* Fiber.join(fiber)).status, "finished")
    }).pipe(Effect.provide(manager([saga])))
  })

  it.effect("at the deadline the service is probed; a command that ran is compensated with its recorded reply", () => {
    const story = makeStory()
    const saga = withSeat(story)
    return Effect.gen(function* () {
      const wire = yield* Wire
      const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
      yield* sentTo("execute flights/Book")
      yield* TestClock.adjust("10 seconds")
      const probe = yield* sentTo("probe flights/Book")
      assert.match(probe.envelope.id, /:1:probe$/)
      assert.deepStrictEqual(story.lines, ["seat"])
      yield* reply(probe, { content: { ref: "F1" } })
      const cancel = yield* sentTo("failure flights/Cancel")
      assert.deepStrictEqual(cancel.envelope.content, { ref: "F1" })
      assert.deepStrictEqual(story.lines, ["seat"])
      yield* reply(cancel)
      const failed = yield* Fiber.join(fiber)
      assert.deepNestedInclude(failed, timedOut)
      assert.deepStrictEqual(story.lines, ["seat", "seat back"])
      assert.deepStrictEqual(statuses(failed.execution.executedSteps), {
        seat: "finished",
        flight: "errored-by-on-execute"
      })
      assert.deepStrictEqual(compensated(failed.execution.executedSteps), ["seat", "flight"])
      assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
      assert.deepStrictEqual(
        wire.story().filter((line) => !line.startsWith("execute")),
        ["probe flights/Book", "failure flights/Cancel"]
      )
    }).pipe(Effect.provide(manager([saga])))
  })

  for (const [what, answer] of [
    ["never will", { status: 404 }],
    ["was refused", { status: 400, content: { _tag: "SoldOut", what: "seat" } }]
  ] as const) {
    it.effect(`a step that the service ${what} do is not compensated; the steps before it are`, () => {
      const story = makeStory()
      const saga = withSeat(story)
      return Effect.gen(function* () {
        const wire = yield* Wire
        const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
        yield* sentTo("execute flights/Book")
        yield* TestClock.adjust("10 seconds")
        yield* reply(yield* sentTo("probe flights/Book"), answer)
        const failed = yield* Fiber.join(fiber)
        assert.deepNestedInclude(failed, timedOut)
        assert.deepStrictEqual(story.lines, ["seat", "seat back"])
        assert.notInclude(wire.story(), "failure flights/Cancel")
        assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
      }).pipe(Effect.provide(manager([saga])))
    })
  }

  it.effect("a late reply to the request answers the probe too; it never finishes the step", () => {
    const story = makeStory()
    const saga = withSeat(story)
    return Effect.gen(function* () {
      const wire = yield* Wire
      const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
      const sent = yield* sentTo("execute flights/Book")
      yield* TestClock.adjust("10 seconds")
      const probe = yield* sentTo("probe flights/Book")
      yield* reply(sent, { content: { ref: "F7" } })
      const cancel = yield* sentTo("failure flights/Cancel")
      assert.deepStrictEqual(cancel.envelope.content, { ref: "F7" })
      // the answer to the probe comes too late to count
      yield* reply(probe, { status: 404 })
      yield* idle
      assert.deepStrictEqual(story.lines, ["seat"])
      yield* reply(cancel)
      const failed = yield* Fiber.join(fiber)
      assert.deepNestedInclude(failed, timedOut)
      assert.strictEqual(wire.story().filter((line) => line.startsWith("failure")).length, 1)
    }).pipe(Effect.provide(manager([saga])))
  })

  it.effect("a probe that is not answered is repeated, then the step is parked; a late answer resolves it", () => {
    const story = makeStory()
    const saga = trip.pipe(
      Saga.local("seat", { execute: () => story.tell("seat"), compensate: () => story.tell("seat back") }),
      Saga.remote("flight", {
        execute: bookFlight,
        compensate: cancelFlight,
        timeout: "10 seconds",
        retryCompensate: { times: 2, backoff: "1 second" }
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const { load } = yield* SagaManager.SagaManager
      const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
      yield* sentTo("execute flights/Book")
      yield* TestClock.adjust("1 minute")
      const failed = yield* Fiber.join(fiber)
      assert.deepNestedInclude(failed, timedOut)
      assert.deepStrictEqual(failed.parked, ["1"])
      assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: false })
      assert.deepStrictEqual(story.lines, ["seat", "seat back"])
      const probes = wire.sent().filter(({ line }) => line === "probe flights/Book")
      assert.deepStrictEqual(
        probes.map(({ body }) => body),
        [probes[0]?.body, probes[0]?.body, probes[0]?.body]
      )
      yield* reply(probes[0], { content: { ref: "F1" } })
      yield* reply(yield* sentTo("failure flights/Cancel"))
      yield* idle
      const settled = yield* load(failed.uuid)
      assert.deepInclude(settled, { status: "errored", alreadyRollback: true, settled: true })
      assert.deepStrictEqual(settled.parked, [])
    }).pipe(Effect.provide(manager([saga])))
  })

  it.effect("a service that cannot be asked is sent what unknown makes, without a probe", () => {
    const saga = trip.pipe(
      Saga.remote("car", {
        execute: { command: Cars.commands.Book, payload: bookFor },
        compensate: {
          command: Cars.commands.Cancel,
          payload: ({ car }) => ({ ref: car.ref }),
          unknown: ({ trip }) => ({ ref: `any for ${trip}` })
        },
        timeout: "10 seconds"
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
      yield* sentTo("execute cars/Book")
      yield* TestClock.adjust("10 seconds")
      const cancel = yield* sentTo("failure cars/Cancel")
      assert.deepStrictEqual(cancel.envelope.content, { ref: "any for Gent" })
      yield* reply(cancel)
      const failed = yield* Fiber.join(fiber)
      assert.isTrue(failed.execution.alreadyRollback)
      assert.isFalse(wire.story().some((line) => line.startsWith("probe")))
    }).pipe(Effect.provide(manager([saga])))
  })

  it.effect("a step without a compensation is not probed", () => {
    const saga = trip.pipe(Saga.remote("flight", { execute: bookFlight, timeout: "10 seconds" }), Saga.commit)
    return Effect.gen(function* () {
      const wire = yield* Wire
      const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
      yield* sentTo("execute flights/Book")
      yield* TestClock.adjust("10 seconds")
      const failed = yield* Fiber.join(fiber)
      assert.deepNestedInclude(failed, timedOut)
      assert.isFalse(wire.story().some((line) => line.startsWith("probe")))
      assert.isTrue(failed.execution.alreadyRollback)
    }).pipe(Effect.provide(manager([saga])))
  })

  it.effect("a step without a timeout waits as long as the configuration says", () => {
    const saga = trip.pipe(Saga.remote("flight", { execute: bookFlight }), Saga.commit)
    return Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
      yield* sentTo("execute flights/Book")
      yield* TestClock.adjust("19999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const failed = yield* Fiber.join(fiber)
      assert.deepNestedInclude(failed, { "cause.cause.deadline": 20_000 })
    }).pipe(Effect.provide(manager([saga], { replyTimeout: "20 seconds" })))
  })
})

describe("cancel", () => {
  it.effect(
    "a cancel during a pause probes the service at once and compensates a command that ran; the waiter gets SagaCancelled",
    () => {
      const story = makeStory()
      const saga = withSeat(story)
      return Effect.gen(function* () {
        const wire = yield* Wire
        const { cancel } = yield* SagaManager.SagaManager
        const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
        const sent = yield* sentTo("execute flights/Book")
        const cancelled = yield* cancel(sent.envelope.saga, { actor: "ann" })
        assert.deepInclude(cancelled, { status: "running", decision: "reject" })
        assert.isUndefined(cancelled.pausedStep)
        yield* reply(yield* sentTo("probe flights/Book"), { content: { ref: "F1" } })
        yield* reply(yield* sentTo("failure flights/Cancel"))
        const failed = yield* Fiber.join(fiber)
        assert.deepInclude(failed.cause, { _tag: "SagaCancelled", actor: "ann" })
        assert.deepStrictEqual(story.lines, ["seat", "seat back"])
        assert.deepStrictEqual(wire.story(), ["execute flights/Book", "probe flights/Book", "failure flights/Cancel"])
        assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
      }).pipe(Effect.provide(manager([saga])))
    }
  )

  it.effect("a second cancel changes nothing, and a finished execution cannot be cancelled", () => {
    const saga = withSeat(makeStory())
    return Effect.gen(function* () {
      const { cancel, load } = yield* SagaManager.SagaManager
      const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
      const sent = yield* sentTo("execute flights/Book")
      const first = yield* cancel(sent.envelope.saga)
      const second = yield* cancel(sent.envelope.saga)
      assert.strictEqual(second.revision, first.revision)
      yield* reply(yield* sentTo("probe flights/Book"), { status: 404 })
      assert.deepInclude((yield* Fiber.join(fiber)).cause, { _tag: "SagaCancelled" })

      const other = yield* Effect.forkChild(SagaManager.run(saga, { context }))
      yield* idle
      const wire = yield* Wire
      yield* reply(wire.sent().at(-1), { content: { ref: "F1" } })
      const finished = yield* Fiber.join(other)
      const refused = yield* Effect.flip(cancel(finished.uuid))
      assert.deepInclude(refused, { _tag: "SagaNotCancellable", status: "finished" })
      assert.strictEqual((yield* load(finished.uuid)).status, "finished")
    }).pipe(Effect.provide(manager([saga])))
  })

  it.effect("after a cancel during the reserve phase the votes do not count any more", () => {
    const story = makeStory()
    const saga = withSeat(story)
    return Effect.gen(function* () {
      const phase = yield* Agreement
      const { cancel } = yield* SagaManager.SagaManager
      phase.hold("reserve")
      const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
      const sent = yield* sentTo("execute flights/Book")
      yield* reply(sent, { content: { ref: "F1" } })
      yield* until("the participants are asked", () => phase.asked().length === 1)
      yield* cancel(sent.envelope.saga, { actor: "ann" })
      yield* reply(yield* sentTo("failure flights/Cancel"))
      const failed = yield* Fiber.join(fiber)
      assert.deepInclude(failed.cause, { _tag: "SagaCancelled" })
      assert.deepInclude(failed.execution, { status: "errored", decision: "reject", alreadyRollback: true })
      yield* idle
      assert.deepStrictEqual(
        phase.asked().map(({ op }) => op),
        ["reserve", "reject"]
      )
    }).pipe(Effect.provide(managerEnrolling([saga])))
  })

  it.effect("EXE-025 a service that joins while others are told to reject is told as well", () => {
    const saga = withSeat(makeStory())
    return Effect.gen(function* () {
      const phase = yield* Agreement
      const { cancel } = yield* SagaManager.SagaManager
      phase.fail("reject")
      const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
      const sent = yield* sentTo("execute flights/Book")
      yield* cancel(sent.envelope.saga)
      yield* until("the participants are told", () => phase.asked().length === 1)
      yield* reply(sent, { content: { ref: "F1" }, relatedServices: ["flights", "seats"] })
      yield* reply(yield* sentTo("failure flights/Cancel"))
      const failed = yield* Fiber.join(fiber)
      assert.deepInclude(failed.execution, { status: "errored", commitState: "rejecting", settled: false })
      phase.fail()
      yield* TestClock.adjust("1200 millis")
      yield* idle
      const { load } = yield* SagaManager.SagaManager
      assert.deepInclude(yield* load(failed.uuid), { commitState: "rejected", settled: true })
      const told = phase.asked().map(({ services }) => services)
      assert.deepStrictEqual(told.slice(0, 2), [["flights"], ["seats"]])
      assert.deepStrictEqual(told.slice(2).flat().sort(), ["flights", "seats"])
    }).pipe(Effect.provide(managerEnrolling([saga])))
  })

  it.effect("a parked step can be resolved while participants have not been told to reject yet", () => {
    const saga = trip.pipe(
      Saga.remote("flight", { execute: bookFlight }),
      Saga.local("seat", {
        execute: () => Effect.void,
        compensate: () => Effect.die("no"),
        retryCompensate: { times: 0 }
      }),
      Saga.local("check", { error: SoldOut, execute: () => Effect.fail(new SoldOut({ what: "all" })) }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const phase = yield* Agreement
      const { resolveParked } = yield* SagaManager.SagaManager
      phase.hold("reject")
      const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
      yield* reply(yield* sentTo("execute flights/Book"), { content: { ref: "F1" } })
      const failed = yield* Fiber.join(fiber)
      assert.deepInclude(failed.execution, { status: "errored", commitState: "rejecting", alreadyRollback: false })
      const resolved = yield* resolveParked(failed.uuid, "1", { actor: "ann", reason: "seen to" })
      assert.deepInclude(resolved, { status: "errored", commitState: "rejecting", alreadyRollback: true })
    }).pipe(Effect.provide(managerEnrolling([saga])))
  })
})
