/** A process stops in the middle of work, and the next one goes on with it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaExecutionRepository, SagaManager, SagaTransaction } from "../../../src/index.ts"
import {
  bookFor,
  compensated,
  context,
  Flights,
  failure,
  idle,
  inProcess,
  makeStory,
  ports,
  reply,
  SoldOut,
  sentTo,
  statuses,
  trip,
  until,
  Wire
} from "../../fixtures/travel.ts"

const uuid = "0e9f4f0a-7c1f-4b4e-9a55-111111111111"
type Before = { readonly trip: string }

const load = SagaExecutionRepository.SagaExecutionRepository.use((repository) => repository.load(uuid))

/** Starts the saga in a process that is stopped when something has happened. */
const stoppedWhen = (saga: Saga.AnyCommitted, what: string, holds: () => boolean) =>
  Effect.gen(function* () {
    yield* Effect.forkChild(Effect.exit(SagaManager.run(saga, { context, uuid })))
    yield* until(what, holds)
  }).pipe(inProcess([saga]))

describe("a local step that a crash left half done", () => {
  /** Each attempt of the second step writes its key down; the first one never ends. */
  const half = (onCrash: "retry" | "compensate" | "park") => {
    const story = makeStory()
    const saga = trip.pipe(
      Saga.local("first", { execute: () => story.tell("first"), compensate: () => story.tell("first back") }),
      Saga.local("seat", {
        success: Schema.String,
        execute: () =>
          Effect.gen(function* () {
            const { idempotencyKey } = yield* SagaTransaction
            yield* story.tell(`seat under ${idempotencyKey}`)
            return story.lines.length === 2 ? yield* Effect.never : "12A"
          }),
        compensate: {
          run: () => story.tell("run"),
          unknown: (before: Before) => story.tell(`unknown ${before.trip}`)
        },
        onCrash
      }),
      Saga.commit
    )
    return { saga, story, stopped: stoppedWhen(saga, "the seat is under way", () => story.lines.length === 2) }
  }
  const seat = `seat under ${uuid}:1:execute`

  it.effect("a half-done local step is not recorded as failed by the process that stops", () => {
    const { stopped } = half("retry")
    return Effect.gen(function* () {
      yield* stopped
      const left = yield* load
      assert.deepInclude(left, { status: "running", decision: null })
      assert.deepStrictEqual(
        left.events.map(({ _tag }) => _tag),
        ["ExecutionCreated", "ExecutionStarted", "StepStarted", "StepSucceeded", "StepStarted"]
      )
    }).pipe(Effect.provide(ports()))
  })

  it.effect(
    "a half-done local step with onCrash retry runs again under the same key; the steps before it do not",
    () => {
      const { saga, stopped, story } = half("retry")
      return Effect.gen(function* () {
        yield* stopped
        const finished = yield* SagaManager.run(saga, { context, uuid }).pipe(inProcess([saga]))
        assert.deepStrictEqual(story.lines, ["first", seat, seat])
        assert.deepEqual(finished.context, { trip: "Gent", first: undefined, seat: "12A" })
      }).pipe(Effect.provide(ports()))
    }
  )

  it.effect(
    "a half-done local step with onCrash compensate is compensated by unknown, and so are the steps before it",
    () => {
      const { saga, stopped, story } = half("compensate")
      return Effect.gen(function* () {
        yield* stopped
        const failed = yield* failure(SagaManager.run(saga, { context, uuid })).pipe(inProcess([saga]))
        assert.deepStrictEqual(story.lines, ["first", seat, "unknown Gent", "first back"])
        assert.deepNestedInclude(failed, {
          "cause._tag": "SagaFailedExecutionStep",
          "cause.step": "seat",
          "cause.cause._tag": "SagaStepInterrupted"
        })
        assert.deepStrictEqual(statuses(failed.execution.executedSteps), {
          first: "finished",
          seat: "errored-on-execute"
        })
        assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
      }).pipe(Effect.provide(ports()))
    }
  )

  it.effect("a half-done local step with onCrash park waits for a person; the steps before it are compensated", () => {
    const { saga, stopped, story } = half("park")
    return Effect.gen(function* () {
      yield* stopped
      yield* Effect.gen(function* () {
        const { resolveParked } = yield* SagaManager.SagaManager
        const failed = yield* failure(SagaManager.run(saga, { context, uuid }))
        assert.deepStrictEqual(story.lines, ["first", seat, "first back"])
        assert.deepNestedInclude(failed, { "cause.cause._tag": "SagaStepInterrupted" })
        assert.deepStrictEqual(failed.parked, ["1"])
        assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: false })
        const resolved = yield* resolveParked(uuid, "1", { actor: "ann", reason: "seen to" })
        assert.deepInclude(resolved, { status: "errored", alreadyRollback: true })
      }).pipe(inProcess([saga]))
    }).pipe(Effect.provide(ports()))
  })

  it.effect("a half-done local step that is parked stays parked in the next process", () => {
    const { saga, stopped, story } = half("park")
    return Effect.gen(function* () {
      yield* stopped
      yield* failure(SagaManager.run(saga, { context, uuid })).pipe(inProcess([saga]))
      yield* idle.pipe(inProcess([saga]))
      const left = yield* load
      assert.deepStrictEqual(left.parked, ["1"])
      assert.deepStrictEqual(story.lines, ["first", seat, "first back"])
    }).pipe(Effect.provide(ports()))
  })

  it.effect("onCrash compensate needs an unknown", () =>
    Effect.sync(() => {
      trip.pipe(
        Saga.local("seat", {
          execute: () => Effect.void,
          compensate: () => Effect.void,
          // @ts-expect-error unknownRequired: nobody knows what the step has left when the process stops
          onCrash: "compensate"
        })
      )
    })
  )
})

describe("a rollback", () => {
  it.effect("a compensation that a crash left half done runs again under the same key", () => {
    const story = makeStory()
    const saga = trip.pipe(
      Saga.local("first", { execute: () => story.tell("first"), compensate: () => story.tell("first back") }),
      Saga.local("seat", {
        execute: () => story.tell("seat"),
        compensate: () =>
          Effect.gen(function* () {
            const { idempotencyKey } = yield* SagaTransaction
            yield* story.tell(`back under ${idempotencyKey}`)
            if (story.lines.length === 3) yield* Effect.never
          })
      }),
      Saga.local("check", { error: SoldOut, execute: () => Effect.fail(new SoldOut({ what: "all" })) }),
      Saga.commit
    )
    const back = `back under ${uuid}:1:failure`
    return Effect.gen(function* () {
      yield* stoppedWhen(saga, "the compensation is under way", () => story.lines.length === 3)
      assert.deepInclude(yield* load, { status: "running", decision: "reject" })
      const failed = yield* failure(SagaManager.run(saga, { context, uuid })).pipe(inProcess([saga]))
      assert.deepStrictEqual(story.lines, ["first", "seat", back, back, "first back"])
      // the first failure is the one that was stored
      assert.instanceOf(failed.cause, SoldOut)
      assert.deepStrictEqual(failed.later, [])
      assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
    }).pipe(Effect.provide(ports()))
  })

  it.effect("a half-done step in a rollback runs again under the same key, and is then compensated", () => {
    const story = makeStory()
    const saga = trip.pipe(
      Saga.parallel("both", {
        left: Saga.local("seat", {
          success: Schema.String,
          execute: () =>
            Effect.andThen(story.tell("seat"), () =>
              story.lines.includes("again") ? Effect.succeed("12A") : Effect.never
            ),
          compensate: ({ seat }) => story.tell(`${seat} back`)
        }),
        right: Saga.local("room", { error: SoldOut, execute: () => Effect.fail(new SoldOut({ what: "room" })) })
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      yield* Effect.gen(function* () {
        yield* Effect.forkChild(Effect.exit(SagaManager.run(saga, { context, uuid })))
        yield* until("the seat is under way", () => story.lines.includes("seat"))
        yield* idle
      }).pipe(inProcess([saga]))
      assert.deepStrictEqual(story.lines, ["seat"])
      story.lines.push("again")
      const failed = yield* failure(SagaManager.run(saga, { context, uuid })).pipe(inProcess([saga]))
      assert.deepInclude(failed.cause, { what: "room" })
      assert.deepStrictEqual(story.lines, ["seat", "again", "seat", "12A back"])
      assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
    }).pipe(Effect.provide(ports()))
  })

  it.effect("a retry of a compensation that is due later is kept by the next process", () => {
    const story = makeStory()
    const saga = trip.pipe(
      Saga.local("seat", {
        execute: () => story.tell("seat"),
        compensate: () =>
          Effect.andThen(story.tell("back"), () => (story.lines.length === 2 ? Effect.die("not yet") : Effect.void))
      }),
      Saga.local("check", { error: SoldOut, execute: () => Effect.fail(new SoldOut({ what: "all" })) }),
      Saga.commit
    )
    return Effect.gen(function* () {
      yield* Effect.gen(function* () {
        yield* Effect.forkChild(Effect.exit(SagaManager.run(saga, { context, uuid })))
        yield* until("the first attempt", () => story.lines.length === 2)
        yield* idle
      }).pipe(inProcess([saga]))
      yield* Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context, uuid })))
        yield* idle
        yield* TestClock.adjust("999 millis")
        assert.strictEqual(story.lines.length, 2)
        yield* TestClock.adjust("1 millis")
        const failed = yield* Fiber.join(fiber)
        assert.deepStrictEqual(story.lines, ["seat", "back", "back"])
        assert.isTrue(failed.execution.alreadyRollback)
      }).pipe(inProcess([saga]))
    }).pipe(Effect.provide(ports()))
  })
})

describe("a remote step that is awaited", () => {
  const story = makeStory()
  const saga = trip.pipe(
    Saga.local("seat", { success: Schema.String, execute: () => story.tell("seat", "12A") }),
    Saga.remote("flight", {
      execute: { command: Flights.commands.Book, payload: bookFor },
      compensate: { command: Flights.commands.Cancel, payload: ({ flight }) => ({ ref: flight.ref }) },
      timeout: "10 seconds"
    }),
    Saga.commit
  )

  it.effect(
    "REM-011 an awaited request is sent again with the same bytes by the next process, which takes the reply",
    () =>
      Effect.gen(function* () {
        story.lines.length = 0
        const wire = yield* Wire
        yield* stoppedWhen(saga, "the request is sent", () => wire.sent().length === 1)
        const finished = yield* Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(SagaManager.run(saga, { context, uuid }))
          yield* until("the request is sent again", () => wire.sent().length === 2)
          yield* reply(wire.sent()[1], { content: { ref: "F1" } })
          return yield* Fiber.join(fiber)
        }).pipe(inProcess([saga]))
        assert.strictEqual(wire.sent()[1]?.body, wire.sent()[0]?.body)
        assert.deepEqual(finished.context, { trip: "Gent", seat: "12A", flight: { ref: "F1" } })
        assert.deepStrictEqual(story.lines, ["seat"])
      }).pipe(Effect.provide(ports()))
  )

  it.effect("REM-013 a request that never left is sent by the next process: it was stored before", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      wire.refuse(() => true)
      yield* stoppedWhen(saga, "the request is refused", () => wire.refused().length === 1)
      wire.refuse(() => false)
      yield* Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(SagaManager.run(saga, { context, uuid }))
        yield* reply(yield* sentTo("execute flights/Book"), { content: { ref: "F1" } })
        assert.strictEqual((yield* Fiber.join(fiber)).status, "finished")
      }).pipe(inProcess([saga]))
      assert.strictEqual(wire.sent()[0]?.body, wire.refused()[0]?.body)
    }).pipe(Effect.provide(ports()))
  )

  it.effect("a remote step whose deadline passed while no process ran is asked once more, and then probed", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      yield* stoppedWhen(saga, "the request is sent", () => wire.sent().length === 1)
      yield* TestClock.adjust("1 hour")
      yield* Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context, uuid })))
        yield* until("the request is sent once more", () => wire.sent().length === 2)
        yield* idle
        yield* TestClock.adjust("1 second")
        yield* reply(yield* sentTo("probe flights/Book"), { status: 404 })
        const failed = yield* Fiber.join(fiber)
        assert.deepNestedInclude(failed, {
          "cause.cause._tag": "SagaStepTimedOut",
          "cause.cause.deadline": 10_000
        })
        assert.deepStrictEqual(compensated(failed.execution.executedSteps), ["seat", "flight"])
      }).pipe(inProcess([saga]))
    }).pipe(Effect.provide(ports()))
  )

  it.effect("a remote step whose reply came while no process ran is finished by the next one", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      yield* stoppedWhen(saga, "the request is sent", () => wire.sent().length === 1)
      yield* reply(wire.sent()[0], { content: { ref: "F1" } })
      const finished = yield* SagaManager.run(saga, { context, uuid }).pipe(inProcess([saga]))
      assert.deepEqual(finished.context, { trip: "Gent", seat: "12A", flight: { ref: "F1" } })
    }).pipe(Effect.provide(ports()))
  )
})
