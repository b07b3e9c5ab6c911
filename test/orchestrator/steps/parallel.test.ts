/** Parallel steps from end to end: branches side by side, the first failure, and compensation side by side. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Scheduler, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaExecution, SagaManager } from "../../../src/index.ts"
import {
  begin,
  bookFlight,
  bookHotel,
  cancelFlight,
  cancelHotel,
  compensated,
  context,
  failure,
  go,
  idle,
  makeStory,
  manager,
  reply,
  runner,
  SoldOut,
  sentTo,
  statuses,
  trip,
  until,
  Wire
} from "../../fixtures/travel.ts"

/** A flight and a hotel at the same time, between two local steps. */
const makeBoth = (story: ReturnType<typeof makeStory>) =>
  trip.pipe(
    Saga.local("first", { execute: () => story.tell("first"), compensate: () => story.tell("first back") }),
    Saga.parallel("both", {
      way: (branch) =>
        branch.pipe(
          Saga.remote("flight", { execute: bookFlight, compensate: cancelFlight }),
          Saga.local("seat", {
            success: Schema.String,
            execute: ({ flight }) => story.tell("seat", `12A in ${flight.ref}`),
            compensate: ({ seat }) => story.tell(`${seat} back`)
          })
        ),
      stay: Saga.remote("hotel", { execute: bookHotel, compensate: cancelHotel })
    }),
    Saga.local("report", {
      success: Schema.String,
      error: SoldOut,
      execute: ({ hotel, seat }) =>
        hotel.ref === "paperless"
          ? Effect.fail(new SoldOut({ what: "paper" }))
          : Effect.succeed(`${seat}, ${hotel.ref}`)
    }),
    Saga.commit
  )

const make = () => {
  const story = makeStory()
  const saga = makeBoth(story)
  return { saga, story, world: manager([saga]) }
}

const lines = Effect.map(Wire, (wire) => wire.story())

describe("forward", () => {
  it.effect(
    "all parallel branches begin at once; when all are done, their results are in the context side by side",
    () => {
      const { saga, story, world } = make()
      return Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(SagaManager.execute(saga, { context }))
        const hotel = yield* sentTo("execute hotels/Book")
        assert.deepStrictEqual(yield* lines, ["execute flights/Book", "execute hotels/Book"])
        // the later one answers first
        yield* reply(hotel, { content: { ref: "H1" } })
        yield* idle
        assert.deepStrictEqual(story.lines, ["first"])
        yield* reply(yield* sentTo("execute flights/Book"), { content: { ref: "F1" } })
        const receipt = yield* Fiber.join(fiber)
        assert.deepEqual(receipt, {
          trip: "Gent",
          first: undefined,
          flight: { ref: "F1" },
          seat: "12A in F1",
          hotel: { ref: "H1" },
          report: "12A in F1, H1"
        })
      }).pipe(Effect.provide(world))
    }
  )

  it.effect(
    "a parallel step is paused while a reply is awaited and nothing runs; each branch keeps its own paused step",
    () => {
      const story = makeStory()
      const saga = makeBoth(story)
      return Effect.gen(function* () {
        const wire = yield* Wire
        const paused = yield* begin(saga, { context })
        assert.deepInclude(paused, { status: "paused" })
        assert.deepInclude(paused.pausedStep, { name: "both", kind: "parallel", status: "paused-by-on-execute" })
        assert.deepStrictEqual(
          paused.pausedStep?.inner.map(({ pausedStep, status }) => [status, pausedStep?.path]),
          [
            ["paused", "1/b0/0"],
            ["paused", "1/b1/0"]
          ]
        )
        // two are awaited: an answer must say which one it is for
        const refused = yield* Effect.flip(go(paused, { content: { ref: "?" } }))
        assert.deepInclude(refused, { _tag: "SagaResponseAmbiguous", awaited: ["1/b0/0", "1/b1/0"] })
        const one = yield* go(paused, { to: wire.sent()[1], content: { ref: "H1" } })
        assert.deepInclude(one, { status: "paused" })
        const read = yield* SagaExecution.fromRaw(JSON.parse(JSON.stringify(SagaExecution.raw(one))), saga)
        // now one is awaited, and an answer without a request is for it
        const finished = yield* go(read, { content: { ref: "F1" } })
        assert.deepInclude(finished.context, { report: "12A in F1, H1" })
        assert.deepStrictEqual(statuses(finished.executedSteps), {
          first: "finished",
          both: "finished",
          flight: "finished",
          seat: "finished",
          hotel: "finished",
          report: "finished"
        })
      }).pipe(Effect.provide(runner([saga])))
    }
  )

  it.effect("local callbacks of two branches run at the same time", () => {
    const story = makeStory()
    const saga = Effect.gen(function* () {
      const met = yield* Deferred.make<string>()
      return trip.pipe(
        Saga.parallel("both", {
          left: Saga.local("waits", { success: Schema.String, execute: () => Deferred.await(met) }),
          right: Saga.local("says", {
            execute: () => Effect.andThen(story.tell("says"), Deferred.succeed(met, "hello")).pipe(Effect.asVoid)
          })
        }),
        Saga.commit
      )
    })
    return Effect.flatMap(saga, (saga) =>
      Effect.map(begin(saga, { context }), (finished) => {
        assert.deepEqual(finished.context, { trip: "Gent", waits: "hello", says: undefined })
        assert.deepStrictEqual(story.lines, ["says"])
      }).pipe(Effect.provide(runner([saga])))
    )
  })

  it.effect("a branch is resent and times out while a callback of another branch runs", () => {
    const saga = trip.pipe(
      Saga.parallel("both", {
        slow: Saga.local("sleep", { execute: () => Effect.sleep("1 minute") }),
        quick: Saga.remote("flight", { execute: bookFlight, timeout: "10 seconds" })
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
      const sent = yield* sentTo("execute flights/Book")
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(wire.sent().length, 3)
      yield* TestClock.adjust("6 seconds")
      // too late: the step has failed at its deadline, whatever else still runs
      yield* reply(sent, { content: { ref: "F1" } })
      yield* TestClock.adjust("1 minute")
      const failed = yield* Fiber.join(fiber)
      assert.deepNestedInclude(failed, {
        "cause.cause._tag": "SagaStepTimedOut",
        "cause.cause.deadline": 10_000
      })
    }).pipe(Effect.provide(manager([saga])))
  })
})

describe("backward", () => {
  it.effect(
    "a failure in one branch compensates the other: the service of its open request is asked; then the step before",
    () => {
      const { saga, story, world } = make()
      return Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
        const hotel = yield* sentTo("execute hotels/Book")
        yield* reply(hotel, { status: 400, content: { _tag: "SoldOut", what: "rooms" } })
        const probe = yield* sentTo("probe flights/Book")
        assert.deepStrictEqual(story.lines, ["first"])
        yield* reply(probe, { content: { ref: "F1" } })
        const cancel = yield* sentTo("failure flights/Cancel")
        assert.deepStrictEqual(cancel.envelope.content, { ref: "F1" })
        assert.deepStrictEqual(story.lines, ["first"])
        yield* reply(cancel)
        const failed = yield* Fiber.join(fiber)
        assert.deepInclude(failed.cause, { _tag: "SoldOut", what: "rooms" })
        // the seat was never begun
        assert.deepStrictEqual(story.lines, ["first", "first back"])
        assert.deepStrictEqual(statuses(failed.execution.executedSteps), {
          first: "finished",
          both: "errored-by-on-execute",
          flight: "paused-by-on-execute",
          hotel: "errored-on-error"
        })
        assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
      }).pipe(Effect.provide(world))
    }
  )

  it.effect("a reply that comes in a rollback only tells the effect of its step: it never finishes the step", () => {
    const { saga, story, world } = make()
    return Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
      const hotel = yield* sentTo("execute hotels/Book")
      yield* reply(hotel, { status: 500, content: "down" })
      yield* sentTo("probe flights/Book")
      yield* reply(yield* sentTo("execute flights/Book"), { content: { ref: "F1" } })
      yield* reply(yield* sentTo("failure flights/Cancel"))
      const failed = yield* Fiber.join(fiber)
      assert.deepStrictEqual(story.lines, ["first", "first back"])
      assert.deepNestedInclude(failed, { "cause.step": "hotel", "cause.cause._tag": "SagaResponseError" })
      assert.deepStrictEqual(failed.later, [])
    }).pipe(Effect.provide(world))
  })

  it.effect("branches are compensated side by side, each in reverse; the step before waits for all of them", () => {
    const { saga, story, world } = make()
    return Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
      yield* reply(yield* sentTo("execute flights/Book"), { content: { ref: "F1" } })
      yield* reply(yield* sentTo("execute hotels/Book"), { content: { ref: "paperless" } })
      const flight = yield* sentTo("failure flights/Cancel")
      const hotel = yield* sentTo("failure hotels/Cancel")
      assert.deepStrictEqual(story.lines, ["first", "seat", "12A in F1 back"])
      yield* reply(flight)
      yield* idle
      assert.deepStrictEqual(story.lines, ["first", "seat", "12A in F1 back"])
      yield* reply(hotel)
      const failed = yield* Fiber.join(fiber)
      assert.deepInclude(failed.cause, { what: "paper" })
      assert.deepStrictEqual(story.lines, ["first", "seat", "12A in F1 back", "first back"])
      assert.sameMembers([...compensated(failed.execution.executedSteps)], ["first", "both", "flight", "seat", "hotel"])
      assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
    }).pipe(Effect.provide(world))
  })

  it.effect(
    "a local callback that runs when another branch fails is finished, recorded and compensated; nothing new begins",
    () => {
      const story = makeStory()
      const saga = trip.pipe(
        Saga.parallel("both", {
          slow: (branch) =>
            branch.pipe(
              Saga.local("seat", {
                success: Schema.String,
                execute: () => Effect.andThen(Effect.sleep("10 seconds"), story.tell("seat", "12A")),
                compensate: ({ seat }) => story.tell(`${seat} back`)
              }),
              Saga.local("never", { execute: () => story.tell("never") })
            ),
          quick: Saga.local("room", {
            error: SoldOut,
            execute: () => Effect.andThen(Effect.sleep("1 second"), Effect.fail(new SoldOut({ what: "room" })))
          })
        }),
        Saga.commit
      )
      return Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
        yield* TestClock.adjust("9 seconds")
        assert.isUndefined(fiber.pollUnsafe())
        assert.deepStrictEqual(story.lines, [])
        yield* TestClock.adjust("1 second")
        const failed = yield* Fiber.join(fiber)
        assert.deepStrictEqual(story.lines, ["seat", "12A back"])
        assert.deepInclude(failed.cause, { what: "room" })
        assert.deepStrictEqual(statuses(failed.execution.executedSteps), {
          both: "errored-by-on-execute",
          seat: "finished",
          room: "errored-on-execute"
        })
        assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
      }).pipe(Effect.provide(manager([saga])))
    }
  )

  it.effect(
    "when two branches fail the first cause is the one that was stored first; the other is told with it",
    () => {
      const saga = trip.pipe(
        Saga.parallel("both", {
          later: Saga.local("seat", {
            error: SoldOut,
            execute: () => Effect.andThen(Effect.sleep("2 seconds"), Effect.fail(new SoldOut({ what: "seat" })))
          }),
          first: Saga.local("room", {
            error: SoldOut,
            execute: () => Effect.andThen(Effect.sleep("1 second"), Effect.fail(new SoldOut({ what: "room" })))
          })
        }),
        Saga.commit
      )
      return Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
        yield* TestClock.adjust("5 seconds")
        const failed = yield* Fiber.join(fiber)
        assert.deepInclude(failed.cause, { what: "room" })
        assert.deepStrictEqual(failed.later.length, 1)
        assert.deepInclude(failed.later[0], { what: "seat" })
      }).pipe(Effect.provide(manager([saga])))
    }
  )

  // In short turns a reply comes while another branch is about to ask.
  it.effect.each([2_048, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])(
    "a reply callback that runs when another branch fails is dropped; its step is compensated from the reply (in turns of %d)",
    (turn) => {
      const story = makeStory()
      const saga = trip.pipe(
        Saga.parallel("both", {
          way: Saga.remote("flight", {
            execute: bookFlight,
            onSuccess: () =>
              Effect.andThen(
                story.tell("handler"),
                Effect.onInterrupt(Effect.never, () => story.tell("dropped"))
              ),
            compensate: cancelFlight
          }),
          stay: Saga.remote("hotel", { execute: bookHotel, compensate: cancelHotel })
        }),
        Saga.commit
      )
      return Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(failure(SagaManager.run(saga, { context })))
        yield* reply(yield* sentTo("execute flights/Book"), { content: { ref: "F1" } })
        yield* until("the handler runs", () => story.lines.length === 1)
        yield* reply(yield* sentTo("execute hotels/Book"), { status: 500 })
        const cancel = yield* sentTo("failure flights/Cancel")
        assert.deepStrictEqual(cancel.envelope.content, { ref: "F1" })
        yield* until("the handler is dropped", () => story.lines.includes("dropped"))
        yield* reply(cancel)
        const failed = yield* Fiber.join(fiber)
        assert.deepNestedInclude(failed, { "cause.step": "hotel" })
        assert.isFalse("flight" in (failed.execution.context as object))
        assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
      }).pipe(Effect.provide(manager([saga])), Effect.provideService(Scheduler.MaxOpsBeforeYield, turn))
    }
  )
})
