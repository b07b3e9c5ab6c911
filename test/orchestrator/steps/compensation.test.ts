/** Compensations that do not work at once: retried, parked, and taken up again or resolved by a person. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaManager } from "../../../src/index.ts"
import {
  bookFor,
  compensated,
  context,
  Flights,
  failure,
  idle,
  makeStory,
  manager,
  reply,
  response,
  SoldOut,
  sentTo,
  statuses,
  trip,
  until,
  Wire
} from "../../fixtures/travel.ts"

const fails = () => Effect.fail(new SoldOut({ what: "all" }))

/** A local step whose compensation dies a number of times; then a step that fails. */
const stubborn = (deaths: number, retryCompensate?: { readonly times: number; readonly backoff?: "1 second" }) => {
  const story = makeStory()
  const at: Array<number> = []
  const saga = trip.pipe(
    Saga.local("first", { execute: () => story.tell("first"), compensate: () => story.tell("first back") }),
    Saga.local("seat", {
      success: Schema.String,
      execute: () => story.tell("seat", "12A"),
      compensate: ({ seat }) =>
        Effect.gen(function* () {
          at.push(yield* Clock.currentTimeMillis)
          if (at.length <= deaths) return yield* Effect.die(`death ${at.length}`)
          yield* story.tell(`${seat} back`)
        }),
      ...(retryCompensate && { retryCompensate })
    }),
    Saga.local("check", { error: SoldOut, execute: fails }),
    Saga.commit
  )
  return { at, saga, story }
}

describe("a local compensation", () => {
  it.effect(
    "a local compensation that dies is tried again after a growing wait; the step before it waits for it",
    () => {
      const { at, saga, story } = stubborn(3)
      return Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
        yield* until("the first death", () => at.length === 1)
        assert.deepStrictEqual(story.lines, ["first", "seat"])
        yield* TestClock.adjust("1 minute")
        const failed = yield* Fiber.join(fiber)
        // one second, doubled each time: what SPEC C8 says of every compensation
        assert.deepStrictEqual(at, [0, 1_000, 3_000, 7_000])
        assert.deepStrictEqual(story.lines, ["first", "seat", "12A back", "first back"])
        assert.instanceOf(failed.cause, SoldOut)
        assert.deepStrictEqual(failed.later.length, 1)
        assert.deepInclude(failed.later[0], { _tag: "SagaFailedExecutionStep", cause: "death 3" })
        assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
        assert.deepStrictEqual(statuses(failed.execution.executedSteps).seat, "finished")
      }).pipe(Effect.provide(manager([saga])))
    }
  )

  it.effect("a local compensation is shown as paused-on-failure between two attempts", () => {
    const { at, saga } = stubborn(1)
    return Effect.gen(function* () {
      const { find, load } = yield* SagaManager.SagaManager
      const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
      yield* until("the first death", () => at.length === 1)
      yield* idle
      const [head] = (yield* find({})).items
      const between = yield* load(head?.uuid ?? "")
      assert.deepInclude(between, { status: "running", decision: "reject", alreadyRollback: false })
      assert.deepStrictEqual(statuses(between.executedSteps).seat, "paused-on-failure")
      assert.deepStrictEqual(
        between.events.flatMap((fact) => (fact._tag === "CompensationFailed" ? [fact.retryAt] : [])),
        [1_000]
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
    }).pipe(Effect.provide(manager([saga])))
  })

  it.effect(
    "a local compensation is tried as often as retryCompensate says, then parked; the other steps are compensated",
    () => {
      const { at, saga, story } = stubborn(10, { times: 2, backoff: "1 second" })
      return Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
        yield* until("the first death", () => at.length === 1)
        yield* TestClock.adjust("1 hour")
        const failed = yield* Fiber.join(fiber)
        assert.deepStrictEqual(at, [0, 1_000, 3_000])
        assert.deepStrictEqual(story.lines, ["first", "seat", "first back"])
        assert.instanceOf(failed.cause, SoldOut)
        assert.deepStrictEqual(failed.parked, ["1"])
        assert.deepInclude(failed.later[0], { step: "seat", cause: "death 3" })
        assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: false, settled: false })
        assert.deepStrictEqual(compensated(failed.execution.executedSteps), ["first"])
        assert.deepStrictEqual(statuses(failed.execution.executedSteps).seat, "errored-on-failure")
      }).pipe(Effect.provide(manager([saga])))
    }
  )

  it.effect("a parked compensation fails execute with SagaFailedExecution, not with the declared error", () => {
    const { saga } = stubborn(1, { times: 0 })
    return Effect.gen(function* () {
      const failed = yield* failure(SagaManager.execute(saga, { context }))
      assert.instanceOf(failed.cause, SoldOut)
      assert.deepStrictEqual(failed.parked, ["1"])
    }).pipe(Effect.provide(manager([saga])))
  })

  it.effect("a compensation that works after retries lets execute fail with the declared error itself", () => {
    const { saga } = stubborn(0)
    return Effect.gen(function* () {
      const error = yield* Effect.flip(SagaManager.execute(saga, { context }))
      assert.instanceOf(error, SoldOut)
    }).pipe(Effect.provide(manager([saga])))
  })
})

describe("a parked step", () => {
  it.effect("a parked compensation is tried again by retryParked, and the execution is settled when it works", () => {
    const { at, saga, story } = stubborn(1, { times: 0 })
    return Effect.gen(function* () {
      const { load, retryParked } = yield* SagaManager.SagaManager
      const { uuid } = yield* failure(SagaManager.run(saga, { context }))
      assert.deepStrictEqual((yield* load(uuid)).parked, ["1"])
      const taken = yield* retryParked(uuid, "1", { actor: "ann" })
      assert.deepStrictEqual(taken.parked, [])
      yield* until("it is compensated", () => story.lines.includes("12A back"))
      yield* idle
      const settled = yield* load(uuid)
      assert.strictEqual(at.length, 2)
      assert.deepInclude(settled, { status: "errored", alreadyRollback: true, settled: true })
      assert.deepStrictEqual(compensated(settled.executedSteps), ["first", "seat"])
      const unparked = settled.events.find(({ _tag }) => _tag === "StepUnparked")
      assert.deepInclude(unparked, { path: "1", actor: "ann" })
    }).pipe(Effect.provide(manager([saga])))
  })

  it.effect("a parked compensation that fails again is parked again, with its attempts counted from the start", () => {
    const { at, saga } = stubborn(4, { times: 1, backoff: "1 second" })
    return Effect.gen(function* () {
      const { load, retryParked } = yield* SagaManager.SagaManager
      const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
      yield* until("the first death", () => at.length === 1)
      yield* TestClock.adjust("10 seconds")
      const { uuid } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(at, [0, 1_000])
      yield* retryParked(uuid, "1", { actor: "ann" })
      yield* until("the third death", () => at.length === 3)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(at, [0, 1_000, 10_000, 11_000])
      const parked = yield* load(uuid)
      assert.deepStrictEqual(parked.parked, ["1"])
      assert.deepInclude(parked, { status: "errored", alreadyRollback: false })
    }).pipe(Effect.provide(manager([saga])))
  })

  it.effect("a parked step is closed by resolveParked, with actor and reason; its compensation does not run", () => {
    const { at, saga } = stubborn(1, { times: 0 })
    return Effect.gen(function* () {
      const { load, resolveParked } = yield* SagaManager.SagaManager
      const { uuid } = yield* failure(SagaManager.run(saga, { context }))
      const resolved = yield* resolveParked(uuid, "1", { actor: "ann", reason: "done by phone" })
      assert.deepInclude(resolved, { status: "errored", alreadyRollback: true })
      assert.deepStrictEqual(resolved.parked, [])
      assert.strictEqual(at.length, 1)
      const last = (yield* load(uuid)).events.at(-1)
      assert.deepInclude(last, { _tag: "StepResolved", path: "1", actor: "ann", reason: "done by phone" })
    }).pipe(Effect.provide(manager([saga])))
  })

  it.effect("retryParked takes the path of a parked step, and refuses any other", () => {
    const { saga } = stubborn(1, { times: 0 })
    return Effect.gen(function* () {
      const { resolveParked, retryParked } = yield* SagaManager.SagaManager
      const { uuid } = yield* failure(SagaManager.run(saga, { context }))
      for (const refused of [
        yield* Effect.flip(retryParked(uuid, "0", { actor: "ann" })),
        yield* Effect.flip(resolveParked(uuid, "0", { actor: "ann", reason: "" }))
      ])
        assert.deepInclude(refused, { _tag: "SagaStepNotParked", uuid, path: "0" })
      yield* resolveParked(uuid, "1", { actor: "ann", reason: "" })
      assert.deepInclude(yield* Effect.flip(retryParked(uuid, "1", { actor: "ann" })), { _tag: "SagaStepNotParked" })
    }).pipe(Effect.provide(manager([saga])))
  })
})

describe("a remote compensation", () => {
  const story = makeStory()
  const saga = trip.pipe(
    Saga.local("first", { execute: () => story.tell("first"), compensate: () => story.tell("first back") }),
    Saga.remote("flight", {
      execute: { command: Flights.commands.Book, payload: bookFor },
      compensate: { command: Flights.commands.Cancel, payload: ({ flight }) => ({ ref: flight.ref }) },
      retryCompensate: { times: 2, backoff: "1 second" }
    }),
    Saga.local("check", { error: SoldOut, execute: fails }),
    Saga.commit
  )
  const rollingBack = Effect.gen(function* () {
    story.lines.length = 0
    const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
    yield* reply(yield* sentTo("execute flights/Book"), { content: { ref: "F1" } })
    const cancel = yield* sentTo("failure flights/Cancel")
    return { cancel, fiber }
  })

  it.effect("a remote compensation that is answered with 500 is sent again, the same message", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const { cancel, fiber } = yield* rollingBack
      yield* reply(cancel, { status: 500, content: "down" })
      yield* idle
      assert.strictEqual(wire.sent().length, 2)
      yield* TestClock.adjust("1500 millis")
      assert.strictEqual(wire.sent().length, 3)
      assert.strictEqual(wire.sent()[2]?.body, cancel.body)
      assert.deepStrictEqual(story.lines, ["first"])
      yield* reply(cancel)
      const failed = yield* Fiber.join(fiber)
      assert.deepStrictEqual(story.lines, ["first", "first back"])
      assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
      assert.deepNestedInclude(failed.later[0] as object, {
        _tag: "SagaFailedExecutionStep",
        "cause._tag": "SagaResponseError",
        "cause.content": "down"
      })
    }).pipe(Effect.provide(manager([saga])))
  )

  it.effect(
    "a remote compensation that is answered with 500 too often is parked; the step before it is compensated",
    () =>
      Effect.gen(function* () {
        const { cancel, fiber } = yield* rollingBack
        // the second answer to the same attempt does not count
        for (const wait of ["0 millis", "0 millis", "1500 millis", "2500 millis"] as const) {
          assert.isUndefined(fiber.pollUnsafe())
          yield* TestClock.adjust(wait)
          yield* reply(cancel, { status: 500, content: wait })
          yield* idle
        }
        const failed = yield* Fiber.join(fiber)
        assert.deepStrictEqual(failed.parked, ["1"])
        assert.deepStrictEqual(story.lines, ["first", "first back"])
        assert.deepStrictEqual(statuses(failed.execution.executedSteps).flight, "errored-on-failure")
        assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: false })
      }).pipe(Effect.provide(manager([saga])))
  )

  it.effect("a remote compensation that is never answered is parked; a late answer resolves it", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const { load } = yield* SagaManager.SagaManager
      const { cancel, fiber } = yield* rollingBack
      yield* TestClock.adjust("1 minute")
      const failed = yield* Fiber.join(fiber)
      assert.deepStrictEqual(failed.parked, ["1"])
      assert.deepStrictEqual(story.lines, ["first", "first back"])
      // sent once, and again twice
      assert.strictEqual(wire.sent().length, 4)
      yield* reply(cancel)
      yield* idle
      const settled = yield* load(failed.uuid)
      assert.deepInclude(settled, { status: "errored", alreadyRollback: true, settled: true })
      assert.deepStrictEqual(settled.parked, [])
    }).pipe(Effect.provide(manager([saga])))
  )

  it.effect(
    "C6 a remote compensation says that the service has answered the request, and until when it has a record of it",
    () =>
      Effect.gen(function* () {
        const wire = yield* Wire
        yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
        const request = yield* sentTo("execute flights/Book")
        yield* reply(request, { content: { ref: "F1" } })
        const { envelope } = yield* sentTo("failure flights/Cancel")
        assert.strictEqual(envelope.recordedUntil, request.envelope.notAfter)
        assert.notProperty(request.envelope, "recordedUntil")
        yield* TestClock.adjust("2 seconds")
        const [one, two] = wire.sent().filter(({ envelope: { op } }) => op === "failure")
        assert.strictEqual(one?.body, two?.body)
      }).pipe(Effect.provide(manager([saga])))
  )

  it.effect("C6 a remote compensation says nothing of an answer that a person gave", () =>
    Effect.gen(function* () {
      yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
      const request = yield* sentTo("execute flights/Book")
      const byHand = SagaManager.resume(response({ content: { ref: "F1" }, to: request }))
      yield* Effect.forkChild(Effect.exit(byHand))
      assert.notProperty((yield* sentTo("failure flights/Cancel")).envelope, "recordedUntil")
    }).pipe(Effect.provide(manager([saga])))
  )

  it.effect("a parked remote compensation is sent again by retryParked, the same message", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const { load, retryParked } = yield* SagaManager.SagaManager
      const { cancel, fiber } = yield* rollingBack
      yield* TestClock.adjust("1 minute")
      const { uuid } = yield* Fiber.join(fiber)
      const before = wire.sent().length
      yield* retryParked(uuid, "1", { actor: "ann" })
      // its schedule begins anew
      yield* TestClock.adjust("1500 millis")
      assert.strictEqual(wire.sent().length, before + 1)
      assert.strictEqual(wire.sent().at(-1)?.body, cancel.body)
      yield* reply(cancel)
      yield* idle
      assert.deepInclude(yield* load(uuid), { status: "errored", alreadyRollback: true, settled: true })
    }).pipe(Effect.provide(manager([saga])))
  )
})
