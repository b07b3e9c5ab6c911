/** Remote steps, one at a time: what is sent, what a reply makes of the step, and what is compensated. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaExecution, SagaExecutionRepository, SagaRunner } from "../../../src/index.ts"
import { FaultPoint } from "../../../src/internals.ts"
import {
  begin,
  bookFlight,
  bookFor,
  bookHotel,
  Cars,
  cancelFlight,
  compensated,
  context,
  Flights,
  failure,
  go,
  makeStory,
  own,
  response,
  rollback,
  runner,
  SoldOut,
  statuses,
  trip,
  Wire
} from "../../fixtures/travel.ts"

/** A flight that is given back, and a hotel that is not. */
const Compensable = trip.pipe(
  Saga.remote("flight", { execute: bookFlight, compensate: cancelFlight }),
  Saga.remote("hotel", { execute: bookHotel }),
  Saga.commit
)

describe("execute", () => {
  it.effect("REM-001 the first execution sends one request and pauses the step; nothing is compensated", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const execution = yield* begin(Compensable, { context })
      assert.deepStrictEqual(wire.story(), ["execute flights/Book"])
      assert.strictEqual(execution.status, "paused")
      assert.strictEqual(execution.pausedStep?.name, "flight")
      assert.strictEqual(execution.pausedStep?.status, "paused-by-on-execute")
      assert.deepStrictEqual(execution.executedSteps, [])
      assert.isFalse(execution.alreadyRollback)
    }).pipe(Effect.provide(runner([Compensable])))
  )

  it.effect("REM-001 the request leaves only after the write that expects its answer", () =>
    Effect.gen(function* () {
      const places: Array<string> = []
      yield* begin(Compensable, { context }).pipe(
        Effect.provideService(FaultPoint, (name) => Effect.sync(() => void places.push(name)))
      )
      assert.deepStrictEqual(places, ["store.before", "store.after", "publish.before", "publish.after"])
    }).pipe(Effect.provide(runner([Compensable])))
  )

  it.effect(
    "REM-002 a request that cannot be built fails the step: nothing is sent, its compensation does not run",
    () => {
      const broken = new Error("no trip")
      const saga = trip.pipe(
        Saga.remote("flight", {
          execute: {
            command: Flights.commands.Book,
            payload: () => {
              throw broken
            }
          },
          compensate: cancelFlight
        }),
        Saga.commit
      )
      return Effect.gen(function* () {
        const wire = yield* Wire
        const failed = yield* failure(begin(saga, { context }))
        assert.deepStrictEqual(wire.story(), [])
        assert.deepInclude(failed.cause, { _tag: "SagaFailedExecutionStep", step: "flight", path: "0", cause: broken })
        assert.deepStrictEqual(statuses(failed.execution.executedSteps), { flight: "errored-on-execute" })
        assert.deepStrictEqual(compensated(failed.execution.executedSteps), [])
        assert.strictEqual(failed.execution.status, "errored")
      }).pipe(Effect.provide(runner([saga])))
    }
  )

  it.effect("REM-002 a payload that its command refuses fails the step before anything is sent", () => {
    const saga = trip.pipe(
      // what the types forbid, and untyped code can do
      Saga.remote("flight", { execute: { command: Flights.commands.Book, payload: () => ({ trip: 1 as any }) } }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const failed = yield* failure(begin(saga, { context }))
      assert.deepStrictEqual(wire.story(), [])
      assert.deepInclude(failed.cause, { _tag: "SagaFailedExecutionStep", step: "flight" })
      assert.deepNestedInclude(failed, { "cause.cause._tag": "SagaContextEncodeError" })
      assert.deepStrictEqual(statuses(failed.execution.executedSteps), { flight: "errored-on-execute" })
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect("REM-011 the request is not sent again when the step is resumed with a response", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* begin(Compensable, { context })
      yield* go(paused, { content: { ref: "F1" } })
      assert.deepStrictEqual(wire.story(), ["execute flights/Book", "execute hotels/Book"])
    }).pipe(Effect.provide(runner([Compensable])))
  )

  it.effect("REM-013 a broker that refuses the request is no failure: the step waits, its message is stored", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      wire.refuse(() => true)
      const execution = yield* begin(Compensable, { context })
      assert.deepStrictEqual([wire.story(), wire.refused().length], [[], 1])
      assert.strictEqual(execution.status, "paused")
      assert.strictEqual(execution.pausedStep?.status, "paused-by-on-execute")
      const stored = yield* SagaExecutionRepository.SagaExecutionRepository.use(({ load }) => load(execution.uuid))
      assert.deepStrictEqual(
        stored.events.flatMap((fact) => (fact._tag === "RequestSent" ? [fact.message] : [])),
        wire.refused().map(({ envelope }) => envelope)
      )
    }).pipe(Effect.provide(runner([Compensable])))
  )
})

describe("a reply", () => {
  const story = makeStory()
  const handled = trip.pipe(
    Saga.remote("flight", {
      execute: bookFlight,
      success: Schema.String,
      onSuccess: ({ ref }) => story.tell(`success ${ref}`, ref),
      onError: ({ what }) => story.tell(`error ${what}`, `no ${what}`),
      compensate: cancelFlight
    }),
    Saga.commit
  )

  it.effect("REM-003 a 500 fails the step with status and content; no handler and no compensation runs", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      story.lines.length = 0
      const paused = yield* begin(handled, { context })
      const failed = yield* failure(
        go(paused, { status: 500, content: { reason: "down" }, relatedServices: ["seats"] })
      )
      assert.deepInclude(failed.cause, { _tag: "SagaFailedExecutionStep", step: "flight" })
      assert.deepNestedInclude(failed, {
        "cause.cause._tag": "SagaResponseError",
        "cause.cause.status": 500,
        "cause.cause.content": { reason: "down" }
      })
      assert.deepStrictEqual(story.lines, [])
      assert.deepStrictEqual(wire.story(), ["execute flights/Book"])
      assert.deepStrictEqual(statuses(failed.execution.executedSteps), { flight: "errored-by-on-execute" })
      assert.deepStrictEqual(failed.execution.relatedServices, ["seats", own])
    }).pipe(Effect.provide(runner([handled])))
  )

  it.effect("REM-004 a 200 runs onSuccess and finishes the step with the response's services and the own one", () =>
    Effect.gen(function* () {
      story.lines.length = 0
      const paused = yield* begin(handled, { context })
      const finished = yield* go(paused, { content: { ref: "F1" }, relatedServices: ["flights", "seats"] })
      assert.deepStrictEqual(story.lines, ["success F1"])
      assert.strictEqual(finished.status, "finished")
      assert.deepEqual(finished.context, { trip: "Gent", flight: "F1" })
      assert.deepStrictEqual(statuses(finished.executedSteps), { flight: "finished" })
      assert.sameMembers([...(finished.executedSteps[0]?.relatedServices ?? [])], [own, "flights", "seats"])
    }).pipe(Effect.provide(runner([handled])))
  )

  it.effect(
    "REM-005 a 200 without handler finishes the step: the reply is its entry, nothing else changes or is compensated",
    () => {
      const saga = trip.pipe(Saga.remote("flight", { execute: bookFlight, compensate: cancelFlight }), Saga.commit)
      const silent = trip.pipe(
        Saga.remote("flight", { execute: { command: Flights.commands.Cancel, payload: () => ({ ref: "F1" }) } }),
        Saga.commit
      )
      return Effect.gen(function* () {
        const wire = yield* Wire
        const finished = yield* go(yield* begin(saga, { context }), {
          content: { ref: "F1" },
          relatedServices: ["seats"]
        })
        assert.strictEqual(finished.status, "finished")
        assert.deepEqual(finished.context, { trip: "Gent", flight: { ref: "F1" } })
        assert.deepStrictEqual(finished.relatedServices, ["seats", own])
        assert.deepStrictEqual(statuses(finished.executedSteps), { flight: "finished" })
        // A command whose reply says nothing leaves the context as it was.
        const nothing = yield* go(yield* begin(silent, { context }), {})
        assert.deepStrictEqual(SagaExecution.raw(nothing).context, { trip: "Gent" })
        assert.deepStrictEqual(wire.story(), ["execute flights/Book", "execute flights/Cancel"])
      }).pipe(Effect.provide(runner([saga, silent])))
    }
  )

  it.effect("REM-006 onSuccess fails: the step's compensation is sent once, and its answer ends the execution", () => {
    const saga = trip.pipe(
      Saga.remote("flight", {
        execute: bookFlight,
        error: SoldOut,
        onSuccess: () => Effect.fail(new SoldOut({ what: "late" })),
        compensate: cancelFlight
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const rollingBack = yield* go(yield* begin(saga, { context }), { content: { ref: "F1" } })
      assert.strictEqual(rollingBack.status, "running")
      assert.isUndefined(rollingBack.pausedStep)
      assert.deepInclude(rollingBack.cause, { _tag: "SoldOut", what: "late" })
      assert.deepStrictEqual(wire.story(), ["execute flights/Book", "failure flights/Cancel"])
      const [, cancel] = wire.sent()
      assert.deepStrictEqual(cancel?.envelope.content, { ref: "F1" })
      const failed = yield* failure(go(rollingBack, { to: cancel }))
      assert.deepInclude(failed.cause, { _tag: "SoldOut", what: "late" })
      assert.isTrue(SagaRunner.isSagaFailedExecution(failed))
      assert.deepStrictEqual(statuses(failed.execution.executedSteps), { flight: "errored-on-success" })
      assert.deepStrictEqual(compensated(failed.execution.executedSteps), ["flight"])
      assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
      assert.strictEqual(wire.sent().length, 2)
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect("REM-007 a 400 runs onError and not onSuccess; the step finishes and is not compensated", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      story.lines.length = 0
      const paused = yield* begin(handled, { context })
      const answer = { status: 400, content: { _tag: "SoldOut", what: "seat" }, relatedServices: ["seats"] } as const
      const finished = yield* go(paused, answer)
      assert.deepStrictEqual(story.lines, ["error seat"])
      assert.strictEqual(finished.status, "finished")
      assert.deepEqual(finished.context, { trip: "Gent", flight: "no seat" })
      assert.deepStrictEqual(finished.relatedServices, ["seats", own])
      assert.deepStrictEqual(statuses(finished.executedSteps), { flight: "finished" })
      assert.deepStrictEqual(wire.story(), ["execute flights/Book"])
    }).pipe(Effect.provide(runner([handled])))
  )

  it.effect("REM-008 a 400 without onError must not count as success: it fails the step with its typed error", () => {
    const before = makeStory()
    const saga = trip.pipe(
      Saga.local("seat", { execute: () => before.tell("seat"), compensate: () => before.tell("seat back") }),
      Saga.remote("flight", { execute: bookFlight, onSuccess: Effect.succeed, compensate: cancelFlight }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* begin(saga, { context })
      const failed = yield* failure(go(paused, { status: 400, content: { _tag: "SoldOut", what: "seat" } }))
      assert.instanceOf(failed.cause, SoldOut)
      assert.deepInclude(failed.cause, { what: "seat" })
      assert.deepStrictEqual(statuses(failed.execution.executedSteps), { seat: "finished", flight: "errored-on-error" })
      assert.deepStrictEqual(before.lines, ["seat", "seat back"])
      assert.deepStrictEqual(wire.story(), ["execute flights/Book"])
      assert.isFalse("flight" in (failed.execution.context as object))
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect("a 400 whose content is not the declared error fails the step, and nothing is compensated", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      story.lines.length = 0
      const failed = yield* failure(go(yield* begin(handled, { context }), { status: 400, content: "oops" }))
      assert.deepNestedInclude(failed, {
        "cause._tag": "SagaFailedExecutionStep",
        "cause.cause._tag": "SagaContextDecodeError"
      })
      assert.deepStrictEqual(statuses(failed.execution.executedSteps), { flight: "errored-on-error" })
      assert.deepStrictEqual([story.lines, wire.story()], [[], ["execute flights/Book"]])
    }).pipe(Effect.provide(runner([handled])))
  )

  it.effect("F20 a response to another request is SagaResponseNotAwaited, and changes nothing", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* begin(Compensable, { context })
      const foreign = response({ content: { ref: "F1" } })
      const other = { ...foreign, requestId: `${paused.uuid}:7:execute` }
      const { execute } = yield* SagaRunner.SagaRunner
      const error = yield* Effect.flip(execute(paused, { response: other as any }))
      assert.deepInclude(error, { _tag: "SagaResponseNotAwaited", awaited: ["0"] })
      assert.deepStrictEqual(wire.story(), ["execute flights/Book"])
    }).pipe(Effect.provide(runner([Compensable])))
  )
})

describe("rollback", () => {
  it.effect(
    "REM-009 a finished step is compensated by one compensation request; a second rollback is refused and sends nothing",
    () =>
      Effect.gen(function* () {
        const wire = yield* Wire
        const paused = yield* go(yield* begin(Compensable, { context }), { content: { ref: "F1" } })
        const rollingBack = yield* rollback(paused)
        assert.deepStrictEqual(wire.story().slice(2), ["failure flights/Cancel"])
        for (const again of [
          rollingBack,
          yield* go(rollingBack, { to: wire.sent()[2] }).pipe(failure, Effect.map(byExecution))
        ]) {
          const refused = yield* Effect.flip(rollback(again))
          assert.deepInclude(refused, { _tag: "SagaRollbackExecution", reason: "already-done" })
        }
        assert.strictEqual(wire.sent().length, 3)
      }).pipe(Effect.provide(runner([Compensable])))
  )

  it.effect("C3 without a transaction probe and compensation open none, and may run as long as their request", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* begin(Compensable, { context })
      yield* TestClock.adjust("1 minute")
      const asking = yield* rollback(paused)
      yield* go(asking, { to: wire.sent()[1], content: { ref: "F1" } })
      assert.deepStrictEqual(
        wire.sent().map(({ envelope }) => envelope.op),
        ["execute", "probe", "failure"]
      )
      for (const { envelope } of wire.sent())
        assert.deepInclude(envelope, { transactions: [], notAfter: 24 * 60 * 60_000 })
    }).pipe(Effect.provide(runner([Compensable])))
  )

  it.effect("REM-009 a paused step is asked for first; if it ran, one compensation request follows", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const asking = yield* rollback(yield* begin(Compensable, { context }))
      assert.deepStrictEqual(wire.story().slice(1), ["probe flights/Book"])
      const rollingBack = yield* go(asking, { to: wire.sent()[1], content: { ref: "F1" } })
      assert.deepStrictEqual(wire.story().slice(2), ["failure flights/Cancel"])
      assert.deepStrictEqual(wire.sent()[2]?.envelope.content, { ref: "F1" })
      const { execution } = yield* failure(go(rollingBack, { to: wire.sent()[2] }))
      assert.deepStrictEqual(compensated(execution.executedSteps), ["flight"])
      const refused = yield* Effect.flip(rollback(execution))
      assert.deepInclude(refused, { _tag: "SagaRollbackExecution", reason: "already-done" })
      assert.strictEqual(wire.sent().length, 3)
    }).pipe(Effect.provide(runner([Compensable])))
  )

  it.effect("REM-010 a rollback before the first step is refused, and nothing is sent", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const created = yield* SagaExecution.fromDefinition(Compensable, { context })
      const refused = yield* Effect.flip(rollback(created))
      assert.deepInclude(refused, { _tag: "SagaRollbackExecution", reason: "nothing-to-do" })
      assert.deepStrictEqual(wire.story(), [])
    }).pipe(Effect.provide(runner([Compensable])))
  )

  it.effect("REM-012 a step without compensation counts as compensated, and nothing is sent", () => {
    const saga = trip.pipe(
      Saga.remote("flight", { execute: bookFlight }),
      Saga.remote("hotel", { execute: bookHotel }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* go(yield* begin(saga, { context }), { content: { ref: "F1" } })
      const errored = yield* rollback(paused)
      assert.deepInclude(errored, { status: "errored", alreadyRollback: true })
      assert.deepStrictEqual(compensated(errored.executedSteps), ["flight", "hotel"])
      assert.strictEqual(wire.sent().length, 2)
    }).pipe(Effect.provide(runner([saga])))
  })
})

const byExecution = (failed: SagaRunner.SagaFailedExecution) => failed.execution

describe("compensation", () => {
  it.effect("a compensation reads the decoded reply under the step's name, whatever onSuccess made of it", () => {
    const saga = trip.pipe(
      Saga.remote("flight", {
        execute: bookFlight,
        success: Schema.Int,
        onSuccess: ({ ref }) => Effect.succeed(ref.length),
        compensate: cancelFlight
      }),
      Saga.local("seat", { success: Schema.Int, error: SoldOut, execute: ({ flight }) => fails(`seat ${flight + 1}`) }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const rollingBack = yield* go(yield* begin(saga, { context }), { content: { ref: "F123" } })
      assert.deepInclude(rollingBack.cause, { _tag: "SoldOut", what: "seat 5" })
      assert.deepStrictEqual(wire.sent()[1]?.envelope.content, { ref: "F123" })
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect("a compensation reads the reply also where onSuccess failed", () => {
    const saga = trip.pipe(
      Saga.remote("flight", {
        execute: bookFlight,
        success: Schema.Int,
        onSuccess: () => Effect.die("boom"),
        compensate: cancelFlight
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const rollingBack = yield* go(yield* begin(saga, { context }), { content: { ref: "F9" } })
      assert.deepInclude(rollingBack.cause, { _tag: "SagaFailedExecutionStep", cause: "boom" })
      assert.deepStrictEqual(wire.sent()[1]?.envelope.content, { ref: "F9" })
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect("a step that onError has finished has no effect: a later failure does not compensate it", () => {
    const saga = trip.pipe(
      Saga.remote("flight", {
        execute: bookFlight,
        onError: ({ what }) => Effect.succeed({ ref: `instead of ${what}` }),
        compensate: cancelFlight
      }),
      Saga.local("seat", { success: Schema.Int, error: SoldOut, execute: ({ flight }) => fails(flight.ref) }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* begin(saga, { context })
      const failed = yield* failure(go(paused, { status: 400, content: { _tag: "SoldOut", what: "seat" } }))
      assert.deepInclude(failed.cause, { what: "instead of seat" })
      assert.deepStrictEqual(wire.story(), ["execute flights/Book"])
      assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect("onError that fails fails the step with its own error; there is no effect to compensate", () => {
    const saga = trip.pipe(
      Saga.remote("flight", {
        execute: bookFlight,
        error: Schema.TaggedStruct("NoTrip", {}),
        onError: () => Effect.fail({ _tag: "NoTrip" as const }),
        compensate: cancelFlight
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* begin(saga, { context })
      const failed = yield* failure(go(paused, { status: 400, content: { _tag: "SoldOut", what: "seat" } }))
      assert.deepStrictEqual(failed.cause, { _tag: "NoTrip" })
      assert.deepStrictEqual(statuses(failed.execution.executedSteps), { flight: "errored-on-error" })
      assert.deepStrictEqual(wire.story(), ["execute flights/Book"])
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect("a 200 that cannot be decoded is compensated by unknown, with the context before the step", () => {
    const saga = trip.pipe(
      Saga.remote("flight", {
        execute: bookFlight,
        compensate: { ...cancelFlight, unknown: ({ trip }) => ({ ref: `whatever ${trip} has` }) }
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const rollingBack = yield* go(yield* begin(saga, { context }), { content: { reference: 1 } })
      assert.deepStrictEqual(wire.story(), ["execute flights/Book", "failure flights/Cancel"])
      assert.deepStrictEqual(wire.sent()[1]?.envelope.content, { ref: "whatever Gent has" })
      const failed = yield* failure(go(rollingBack, { to: wire.sent()[1] }))
      assert.deepNestedInclude(failed, {
        "cause._tag": "SagaFailedExecutionStep",
        "cause.cause._tag": "SagaContextDecodeError"
      })
      assert.deepStrictEqual(statuses(failed.execution.executedSteps), { flight: "errored-on-success" })
      assert.deepInclude(failed.execution, { alreadyRollback: true, parked: [] })
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect("a 200 that cannot be decoded is parked where there is no unknown", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const failed = yield* failure(go(yield* begin(Compensable, { context }), { content: { reference: 1 } }))
      assert.deepStrictEqual(wire.story(), ["execute flights/Book"])
      assert.deepStrictEqual(failed.parked, ["0"])
      assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: false })
      assert.deepStrictEqual(compensated(failed.execution.executedSteps), [])
    }).pipe(Effect.provide(runner([Compensable])))
  )

  it.effect("a service that cannot be asked is sent the compensation that unknown makes", () => {
    const saga = trip.pipe(
      Saga.remote("car", {
        execute: { command: Cars.commands.Book, payload: bookFor },
        compensate: {
          command: Cars.commands.Cancel,
          payload: ({ car }) => ({ ref: car.ref }),
          unknown: ({ trip }) => ({ ref: `any car for ${trip}` })
        }
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      yield* rollback(yield* begin(saga, { context }))
      assert.deepStrictEqual(wire.story(), ["execute cars/Book", "failure cars/Cancel"])
      assert.deepStrictEqual(wire.sent()[1]?.envelope.content, { ref: "any car for Gent" })
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect("a service that cannot be asked and has no unknown is parked", () => {
    const saga = trip.pipe(
      Saga.remote("car", {
        execute: { command: Cars.commands.Book, payload: bookFor },
        compensate: { command: Cars.commands.Cancel, payload: ({ car }) => ({ ref: car.ref }) }
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const parked = yield* rollback(yield* begin(saga, { context }))
      assert.deepStrictEqual(wire.story(), ["execute cars/Book"])
      assert.deepInclude(parked, { status: "errored", alreadyRollback: false })
      assert.deepStrictEqual(parked.parked, ["0"])
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect("a compensation whose payload throws is parked; the steps before it are compensated", () => {
    const story = makeStory()
    const saga = trip.pipe(
      Saga.local("seat", { execute: () => story.tell("seat"), compensate: () => story.tell("seat back") }),
      Saga.remote("flight", {
        execute: bookFlight,
        compensate: {
          command: Flights.commands.Cancel,
          payload: () => {
            throw new Error("no payload")
          }
        }
      }),
      Saga.local("check", { success: Schema.Int, error: SoldOut, execute: () => fails("all") }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const failed = yield* failure(go(yield* begin(saga, { context }), { content: { ref: "F1" } }))
      assert.deepInclude(failed.cause, { what: "all" })
      assert.deepStrictEqual(failed.parked, ["1"])
      assert.deepStrictEqual(story.lines, ["seat", "seat back"])
      assert.deepStrictEqual(wire.story(), ["execute flights/Book"])
    }).pipe(Effect.provide(runner([saga])))
  })
})

const fails = (what: string) => Effect.fail(new SoldOut({ what }))

describe("untyped requests", () => {
  const untyped = trip.pipe(
    Saga.remote("taxi", {
      execute: { target: "taxis/order", content: ({ trip }) => ({ from: trip, seats: [1, 2] }) },
      success: Schema.Struct({ plate: Schema.String }),
      compensate: { target: "taxis/cancel", content: ({ taxi }) => ({ plate: taxi.plate }) }
    }),
    Saga.remote("note", { execute: { target: "notes/write", content: "arrived" } }),
    Saga.commit
  )

  it.effect("target and content say where the message goes and what is in it; success decodes the reply", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* go(yield* begin(untyped, { context }), { content: { plate: "1-ABC-234" } })
      const [order, note] = wire.sent()
      assert.strictEqual(order?.topic, "saga/v1/taxis/command/trips/order")
      assert.deepStrictEqual(order?.envelope.content, { from: "Gent", seats: [1, 2] })
      assert.strictEqual(note?.topic, "saga/v1/notes/command/trips/write")
      assert.strictEqual(note?.envelope.content, "arrived")
      const finished = yield* go(paused, { content: { anything: ["goes"] } })
      assert.deepEqual(finished.context, {
        trip: "Gent",
        taxi: { plate: "1-ABC-234" },
        note: { anything: ["goes"] }
      })
    }).pipe(Effect.provide(runner([untyped])))
  )

  it.effect("a 400 is a SagaResponseError with status and content, and compensates the steps that ran", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* go(yield* begin(untyped, { context }), { content: { plate: "1-ABC-234" } })
      const rollingBack = yield* go(paused, { status: 400, content: { why: "full" } })
      assert.deepInclude(rollingBack.cause, { _tag: "SagaResponseError", status: 400, content: { why: "full" } })
      const [, , cancel] = wire.sent()
      assert.strictEqual(cancel?.topic, "saga/v1/taxis/command/trips/cancel")
      assert.deepStrictEqual([cancel?.envelope.op, cancel?.envelope.content], ["failure", { plate: "1-ABC-234" }])
      const failed = yield* failure(go(rollingBack, { to: cancel }))
      assert.deepInclude(failed.cause, { _tag: "SagaResponseError", status: 400, content: { why: "full" } })
    }).pipe(Effect.provide(runner([untyped])))
  )

  it.effect("onError gets the SagaResponseError and may recover", () => {
    const saga = trip.pipe(
      Saga.remote("taxi", {
        execute: { target: "taxis/order", content: ({ trip }) => trip },
        success: Schema.String,
        onError: ({ content, status }) => Effect.succeed(`${status} ${String(content)}`)
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const finished = yield* go(yield* begin(saga, { context }), { status: 400, content: "full" })
      assert.deepEqual(finished.context, { trip: "Gent", taxi: "400 full" })
    }).pipe(Effect.provide(runner([saga])))
  })
})
