/** Whole executions by hand: made, run, resumed, committed, rejected and rolled back by `SagaRunner`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Saga, SagaExecution, SagaExecutionRepository, SagaRunner } from "../../src/index.ts"
import {
  Agreement,
  begin,
  bookFlight,
  bookHotel,
  cancelFlight,
  cancelHotel,
  compensated,
  context,
  failure,
  go,
  Hotels,
  makeStory,
  response,
  runner,
  runnerEnrolling,
  SoldOut,
  statuses,
  trip,
  Wire
} from "../fixtures/travel.ts"

/** Two remote steps that can be compensated. */
const Trip = trip.pipe(
  Saga.remote("flight", { execute: bookFlight, compensate: cancelFlight }),
  Saga.remote("hotel", { execute: bookHotel, compensate: cancelHotel }),
  Saga.commit
)

/** The same, where the second one fails when its answer is there. */
const Failing = trip.pipe(
  Saga.remote("flight", { execute: bookFlight, compensate: cancelFlight }),
  Saga.remote("hotel", {
    execute: bookHotel,
    error: SoldOut,
    onSuccess: () => Effect.fail(new SoldOut({ what: "late" })),
    compensate: cancelHotel
  }),
  Saga.commit
)

const f1 = { content: { ref: "F1" } }
const h1 = { content: { ref: "H1" } }

const byHand = SagaRunner.SagaRunner
const commit = (execution: SagaExecution.SagaExecution) => byHand.use((service) => service.commit(execution))
const reject = (execution: SagaExecution.SagaExecution) => byHand.use((service) => service.reject(execution))
const rollback = (execution: SagaExecution.SagaExecution) => byHand.use((service) => service.rollback(execution))
const load = (uuid: string) =>
  SagaExecutionRepository.SagaExecutionRepository.use((repository) => repository.load(uuid))

/** Answers what was sent last with a 200, until the execution is errored. */
const compensateAll = (
  execution: SagaExecution.SagaExecution
): Effect.Effect<SagaRunner.SagaFailedExecution, unknown, Wire | SagaRunner.SagaRunner> =>
  Effect.gen(function* () {
    const wire = yield* Wire
    const next = yield* Effect.result(go(execution, { to: wire.sent().at(-1) }))
    return next._tag === "Failure" ? yield* failure(Effect.fail(next.failure)) : yield* compensateAll(next.success)
  })

const asked = Effect.map(Agreement, (phase) => phase.asked().map(({ op, services }) => [op, ...services]))

describe("a new execution", () => {
  it.effect("EXE-001 has status created, no context, a fresh id, no steps, and its definition", () => {
    const plain = Saga.make("Plain", { context: {} }).pipe(
      Saga.local("one", { execute: () => Effect.void }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const [first, second] = yield* Effect.all([
        SagaExecution.fromDefinition(plain),
        SagaExecution.fromDefinition(plain)
      ])
      assert.deepInclude(first, { status: "created", saga: "Plain", alreadyRollback: false, revision: 0 })
      assert.strictEqual(first.definition, plain)
      assert.deepEqual(first.context, {})
      assert.deepStrictEqual(first.executedSteps, [])
      assert.isUndefined(first.pausedStep)
      assert.isUndefined(first.user)
      assert.notStrictEqual(first.uuid, second.uuid)
    })
  })

  it.effect("EXE-002 starts with the context it is given", () =>
    Effect.gen(function* () {
      const execution = yield* SagaExecution.fromDefinition(Trip, { context })
      assert.deepEqual(execution.context, context)
      assert.deepInclude(execution, { status: "created", alreadyRollback: false })
      const refused = yield* Effect.flip(SagaExecution.fromDefinition(Trip, { context: { trip: 1 } }))
      assert.strictEqual(refused._tag, "SagaContextEncodeError")
    })
  )

  it.effect("EXE-003 has the id it is given; one that looks like the library's own is refused", () =>
    Effect.gen(function* () {
      const uuid = "0e9f4f0a-7c1f-4b4e-9a55-111111111111"
      const execution = yield* SagaExecution.fromDefinition(Trip, { context, uuid: uuid.toUpperCase() })
      assert.strictEqual(execution.uuid, uuid)
      for (const wrong of ["no uuid", "0e9f4f0a-7c1f-7b4e-9a55-111111111111"]) {
        const refused = yield* Effect.flip(SagaExecution.fromDefinition(Trip, { context, uuid: wrong }))
        assert.strictEqual(refused._tag, "SagaInvalidUuid")
      }
    })
  )

  it.effect("EXE-004 is not made of an empty saga, nor of one that is not committed", () =>
    Effect.gen(function* () {
      const open = trip.pipe(Saga.local("one", { execute: () => Effect.void }))
      const empty = yield* Effect.flip(SagaExecution.fromDefinition(trip, { context }))
      assert.strictEqual(empty._tag, "EmptySaga")
      const notCommitted = yield* Effect.flip(SagaExecution.fromDefinition(open, { context }))
      assert.strictEqual(notCommitted._tag, "SagaNotCommitted")
      // @ts-expect-error a runner takes committed sagas only
      SagaRunner.layer([open])
      // @ts-expect-error an empty saga cannot be committed
      Saga.commit(trip)
    })
  )
})

describe("execute", () => {
  it.effect("EXE-005 pauses at the first remote step, with one message sent", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* begin(Trip, { context })
      assert.deepStrictEqual(wire.story(), ["execute flights/Book"])
      assert.deepInclude(paused, { status: "paused" })
      assert.deepInclude(paused.pausedStep, { name: "flight", path: "0" })
    }).pipe(Effect.provide(runner([Trip])))
  )

  it.effect("EXE-006 a response runs the handler and sends the next request", () => {
    const story = makeStory()
    const saga = trip.pipe(
      Saga.remote("flight", { execute: bookFlight, onSuccess: (reply) => story.tell(reply.ref, reply) }),
      Saga.remote("hotel", { execute: bookHotel }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* go(yield* begin(saga, { context }), f1)
      assert.deepStrictEqual(story.lines, ["F1"])
      assert.deepStrictEqual(wire.story(), ["execute flights/Book", "execute hotels/Book"])
      assert.strictEqual(paused.status, "paused")
      assert.deepInclude(paused.pausedStep, { name: "hotel" })
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect("EXE-007 the last response finishes it; both services are asked to reserve and told to commit", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const phase = yield* Agreement
      const paused = yield* go(yield* begin(Trip, { context }), f1)
      const finished = yield* go(paused, h1)
      assert.deepInclude(finished, { status: "finished", decision: "commit", commitState: "committed" })
      assert.deepEqual(finished.context, { trip: "Gent", flight: { ref: "F1" }, hotel: { ref: "H1" } })
      const services = ["flights", "hotels"]
      assert.deepStrictEqual(phase.asked(), [
        { op: "reserve", uuid: finished.uuid, services, after: 2 },
        { op: "commit", uuid: finished.uuid, services, after: 2 }
      ])
      assert.strictEqual(wire.sent().length, 2)
    }).pipe(Effect.provide(runnerEnrolling([Trip])))
  )

  it.effect("EXE-008 a finished execution is not run again: the refusal says so, and nothing is sent", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const finished = yield* go(yield* go(yield* begin(Trip, { context }), f1), h1)
      for (const again of [go(finished), go(finished, h1)]) {
        const refused = yield* Effect.flip(again)
        assert.deepInclude(refused, { _tag: "SagaExecutionAlreadyExecuted", status: "finished", uuid: finished.uuid })
      }
      assert.strictEqual(wire.sent().length, 2)
    }).pipe(Effect.provide(runner([Trip])))
  )

  it.effect("EXE-009 a remote step sends topic, content, execution, transaction and user", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* begin(Trip, { context, user: "ann" })
      const [message] = wire.sent()
      assert.strictEqual(paused.status, "paused")
      assert.strictEqual(message?.topic, "saga/v1/flights/command/trips/Book")
      assert.deepInclude(message?.envelope, {
        v: 1,
        id: `${paused.uuid}:0:execute`,
        op: "execute",
        saga: paused.uuid,
        path: "0",
        service: "flights",
        coordinator: "trips",
        content: { trip: "Gent" },
        transactions: [paused.uuid],
        user: "ann",
        notAfter: 24 * 60 * 60_000
      })
      assert.strictEqual(wire.sent().length, 1)
    }).pipe(Effect.provide(runnerEnrolling([Trip])))
  )

  it.effect("EXE-011 a response to an errored execution changes nothing and sends nothing", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const { execution } = yield* failure(go(yield* begin(Trip, { context }), { status: 500 }))
      for (const answer of [{ status: 200 } as const, { to: wire.sent()[0], ...f1 }]) {
        const same = yield* go(execution, answer)
        assert.deepInclude(same, { status: "errored", revision: execution.revision })
        assert.deepEqual(same.context, context)
      }
      assert.strictEqual(wire.sent().length, 1)
    }).pipe(Effect.provide(runner([Trip])))
  )

  it.effect("EXE-012 an errored execution is not run again without a response", () =>
    Effect.gen(function* () {
      const { execution } = yield* failure(go(yield* begin(Trip, { context }), { status: 500 }))
      const refused = yield* Effect.flip(go(execution))
      assert.deepInclude(refused, { _tag: "SagaExecutionAlreadyExecuted", status: "errored" })
    }).pipe(Effect.provide(runner([Trip])))
  )

  it.effect("EXE-013 without autocommit it finishes, and nobody is asked to reserve or told to commit", () =>
    Effect.gen(function* () {
      const byStart = yield* go(yield* go(yield* begin(Trip, { context, autocommit: false }), f1), h1)
      const paused = yield* go(yield* begin(Trip, { context }), f1)
      const byResponse = yield* byHand.use((service) =>
        service.execute(paused, { response: response(h1), autocommit: false })
      )
      for (const finished of [byStart, byResponse]) {
        assert.deepInclude(finished, { status: "finished", commitState: "none", decision: null })
        assert.deepEqual(finished.context, { trip: "Gent", flight: { ref: "F1" }, hotel: { ref: "H1" } })
      }
      assert.deepStrictEqual(yield* asked, [])
    }).pipe(Effect.provide(runnerEnrolling([Trip])))
  )

  it.effect("EXE-020 a paused execution without a response stays paused at the same step; nothing is sent", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* begin(Trip, { context })
      const same = yield* go(paused)
      assert.deepInclude(same, { status: "paused", revision: paused.revision })
      assert.deepInclude(same.pausedStep, { name: "flight", status: "paused-by-on-execute" })
      assert.strictEqual(wire.sent().length, 1)
    }).pipe(Effect.provide(runner([Trip])))
  )

  it.effect("EXE-021 one response runs the handler, the local step after it and the next request", () => {
    const story = makeStory()
    const saga = trip.pipe(
      Saga.remote("flight", { execute: bookFlight, onSuccess: (reply) => story.tell("handler", reply) }),
      Saga.local("seat", {
        success: Schema.String,
        execute: ({ flight }) => story.tell("local", `12A in ${flight.ref}`)
      }),
      Saga.remote("hotel", { execute: { command: Hotels.commands.Book, payload: ({ seat }) => ({ trip: seat }) } }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* go(yield* begin(saga, { context }), f1)
      assert.deepStrictEqual(story.lines, ["handler", "local"])
      assert.deepStrictEqual(wire.sent()[1]?.envelope.content, { trip: "12A in F1" })
      assert.deepInclude(paused.pausedStep, { name: "hotel" })
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect("EXE-023 every request, probe and compensation has the user, also after storing and loading", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const first = yield* begin(Trip, { context, user: "ann" })
      const second = yield* go(yield* load(first.uuid), f1)
      const read = yield* SagaExecution.fromRaw(JSON.parse(JSON.stringify(SagaExecution.raw(second))), Trip)
      assert.strictEqual(read.user, "ann")
      const asking = yield* rollback(read)
      yield* compensateAll(yield* go(yield* load(asking.uuid), { to: wire.sent()[2], ...h1 }))
      assert.deepStrictEqual(
        wire.sent().map(({ envelope, line }) => [line, envelope.user]),
        [
          ["execute flights/Book", "ann"],
          ["execute hotels/Book", "ann"],
          ["probe hotels/Book", "ann"],
          ["failure hotels/Cancel", "ann"],
          ["failure flights/Cancel", "ann"]
        ]
      )
    }).pipe(Effect.provide(runner([Trip])))
  )
})

describe("failure", () => {
  it.effect(
    "EXE-010 a handler that fails: its step is compensated first, then the one before; both services are rejected",
    () =>
      Effect.gen(function* () {
        const wire = yield* Wire
        const paused = yield* go(yield* begin(Failing, { context }), f1)
        // rejections come at any point, compensations among themselves in reverse
        const rollingBack = yield* go(paused, h1)
        assert.deepStrictEqual(yield* asked, [["reject", "flights", "hotels"]])
        const failed = yield* compensateAll(rollingBack)
        assert.deepStrictEqual(wire.story().slice(2), ["failure hotels/Cancel", "failure flights/Cancel"])
        assert.deepInclude(failed.cause, { _tag: "SoldOut", what: "late" })
        assert.deepInclude(failed.execution, {
          status: "errored",
          alreadyRollback: true,
          decision: "reject",
          commitState: "rejected"
        })
        assert.strictEqual((yield* asked).length, 1)
      }).pipe(Effect.provide(runnerEnrolling([Failing])))
  )

  it.effect("EXE-014 a commit that fails compensates the steps and says why; nothing is committed", () => {
    const saga = trip.pipe(
      Saga.remote("flight", { execute: bookFlight, compensate: cancelFlight }),
      Saga.remote("hotel", { execute: bookHotel }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      ;(yield* Agreement).fail("reserve")
      const rollingBack = yield* go(yield* go(yield* begin(saga, { context }), f1), h1)
      const failed = yield* compensateAll(rollingBack)
      assert.deepInclude(failed.cause, { _tag: "SagaFailedCommitCallback", decision: "reject" })
      assert.deepStrictEqual(wire.story().slice(2), ["failure flights/Cancel"])
      assert.deepInclude(failed.execution, { status: "errored", decision: "reject", commitState: "rejected" })
      assert.deepStrictEqual(
        (yield* asked).map(([op]) => op),
        ["reserve", "reject"]
      )
    }).pipe(Effect.provide(runnerEnrolling([saga])))
  })

  it.effect("EXE-019 compensations run in reverse and read the context; they do not change it", () => {
    const story = makeStory()
    const saga = trip.pipe(
      Saga.remote("flight", { execute: bookFlight, compensate: cancelFlight }),
      Saga.local("seat", {
        success: Schema.String,
        execute: () => story.tell("seat", "12A"),
        compensate: ({ flight, seat }) => story.tell(`${seat} of ${flight.ref} back`)
      }),
      Saga.remote("hotel", {
        execute: bookHotel,
        error: SoldOut,
        onSuccess: () => Effect.fail(new SoldOut({ what: "late" })),
        compensate: cancelHotel
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const rollingBack = yield* go(yield* go(yield* begin(saga, { context }), f1), h1)
      assert.deepStrictEqual([wire.story().slice(2), story.lines], [["failure hotels/Cancel"], ["seat"]])
      const last = yield* go(rollingBack, { to: wire.sent()[2] })
      assert.deepStrictEqual(story.lines, ["seat", "12A of F1 back"])
      assert.deepStrictEqual(wire.story().slice(3), ["failure flights/Cancel"])
      const { execution } = yield* failure(go(last, { to: wire.sent()[3] }))
      assert.deepInclude(execution, { status: "errored", alreadyRollback: true })
      assert.deepEqual(execution.context, { trip: "Gent", flight: { ref: "F1" }, seat: "12A" })
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect("EXE-024 a compensation that fails does not hide the failure: it is told with it, the others run", () => {
    const story = makeStory()
    const saga = trip.pipe(
      Saga.local("one", { execute: () => story.tell("one"), compensate: () => story.tell("one back") }),
      Saga.local("two", {
        execute: () => story.tell("two"),
        compensate: () => Effect.andThen(story.tell("two fails"), Effect.die("no way back")),
        retryCompensate: { times: 0 }
      }),
      Saga.local("three", { error: SoldOut, execute: () => Effect.fail(new SoldOut({ what: "three" })) }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const failed = yield* failure(begin(saga, { context }))
      assert.deepInclude(failed.cause, { _tag: "SoldOut", what: "three" })
      assert.strictEqual(failed.later.length, 1)
      assert.deepInclude(failed.later[0], { _tag: "SagaFailedExecutionStep", step: "two", cause: "no way back" })
      assert.deepStrictEqual(failed.parked, ["1"])
      assert.deepStrictEqual(story.lines, ["one", "two", "two fails", "one back"])
      assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: false })
      assert.deepStrictEqual(compensated(failed.execution.executedSteps), ["one"])
      assert.deepStrictEqual(statuses(failed.execution.executedSteps), {
        one: "finished",
        two: "errored-on-failure",
        three: "errored-on-execute"
      })
    }).pipe(Effect.provide(runner([saga])))
  })

  for (const [how, answer] of [
    ["answers 500", { status: 500 }],
    ["answers and whose handler fails", h1]
  ] as const) {
    it.effect(`EXE-025 the services named by a step that ${how} are rejected with the others`, () =>
      Effect.gen(function* () {
        const paused = yield* go(yield* begin(Failing, { context }), { ...f1, relatedServices: ["seats"] })
        const rollingBack = yield* go(paused, { ...answer, relatedServices: ["rooms"] })
        assert.deepStrictEqual(yield* asked, [["reject", "flights", "hotels", "rooms", "seats"]])
        assert.includeMembers([...rollingBack.relatedServices], ["rooms", "seats", "trips"])
      }).pipe(Effect.provide(runnerEnrolling([Failing])))
    )
  }
})

describe("services that join in a rollback", () => {
  for (const [what, message] of [
    ["the answer to the probe", 1],
    ["a late reply", 0]
  ] as const) {
    it.effect(`EXE-025 a service that ${what} names is rejected too, after the others were told`, () =>
      Effect.gen(function* () {
        const wire = yield* Wire
        const asking = yield* rollback(yield* begin(Trip, { context }))
        assert.deepInclude(asking, { commitState: "rejected" })
        const rollingBack = yield* go(asking, { to: wire.sent()[message], ...f1, relatedServices: ["seats"] })
        assert.deepStrictEqual(yield* asked, [
          ["reject", "flights"],
          ["reject", "seats"]
        ])
        const { execution } = yield* compensateAll(rollingBack)
        assert.deepInclude(execution, { status: "errored", commitState: "rejected", settled: true })
        assert.deepStrictEqual(execution.relatedServices, ["seats", "trips"])
      }).pipe(Effect.provide(runnerEnrolling([Trip])))
    )
  }
})

describe("commit", () => {
  it.effect("EXE-015 what is not finished is not committed: created, paused and errored stay as they are", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const created = yield* SagaExecution.fromDefinition(Trip, { context })
      const paused = yield* begin(Trip, { context })
      for (const execution of [created, paused]) {
        const refused = yield* Effect.flip(commit(execution))
        assert.deepInclude(refused, { _tag: "SagaExecutionNotFinished", status: execution.status })
      }
      const { execution } = yield* failure(go(paused, { status: 500 }))
      const refused = yield* Effect.flip(commit(execution))
      assert.deepInclude(refused, { _tag: "SagaExecutionNotFinished", status: "errored" })
      // the refused ones go on as if nothing had been asked
      const started = yield* go(created)
      assert.strictEqual(started.status, "paused")
      assert.strictEqual(wire.sent().length, 2)
      assert.deepStrictEqual((yield* load(execution.uuid)).status, "errored")
    }).pipe(Effect.provide(runner([Trip])))
  )

  it.effect("EXE-027 a second commit changes nothing, and nobody is asked again", () =>
    Effect.gen(function* () {
      const finished = yield* go(yield* go(yield* begin(Trip, { context, autocommit: false }), f1), h1)
      const committed = yield* commit(finished)
      assert.deepInclude(committed, { status: "finished", decision: "commit", commitState: "committed" })
      assert.strictEqual((yield* asked).length, 2)
      // with the execution as it is now, and with the one that knows nothing of the first commit
      for (const known of [committed, finished]) {
        const again = yield* commit(known)
        assert.deepInclude(again, { commitState: "committed", revision: committed.revision })
      }
      assert.strictEqual((yield* asked).length, 2)
      const refused = yield* Effect.flip(reject(committed))
      assert.deepInclude(refused, { _tag: "SagaAlreadyDecided", decision: "commit" })
    }).pipe(Effect.provide(runnerEnrolling([Trip])))
  )

  it.effect("a commit by hand that fails compensates the finished steps", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const finished = yield* go(yield* go(yield* begin(Trip, { context, autocommit: false }), f1), h1)
      ;(yield* Agreement).fail("reserve")
      const refused = yield* Effect.flip(commit(finished))
      assert.deepInclude(refused, { _tag: "SagaFailedCommitCallback", decision: "reject" })
      assert.deepStrictEqual(wire.story().slice(2), ["failure hotels/Cancel"])
      const failed = yield* compensateAll(yield* load(finished.uuid))
      assert.deepStrictEqual(wire.story().slice(3), ["failure flights/Cancel"])
      assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true, decision: "reject" })
    }).pipe(Effect.provide(runnerEnrolling([Trip])))
  )
})

describe("rollback and reject", () => {
  const Half = trip.pipe(
    Saga.remote("flight", { execute: bookFlight, compensate: cancelFlight }),
    Saga.remote("hotel", { execute: bookHotel }),
    Saga.commit
  )

  it.effect("EXE-016 a rollback sends one compensation, and both services are rejected", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* go(yield* begin(Half, { context }), f1)
      const rollingBack = yield* rollback(paused)
      assert.deepStrictEqual(wire.story().slice(2), ["failure flights/Cancel"])
      assert.deepStrictEqual(yield* asked, [["reject", "flights", "hotels"]])
      const failed = yield* compensateAll(rollingBack)
      assert.deepInclude(failed.cause, { _tag: "SagaRejected" })
      assert.strictEqual(wire.sent().length, 3)
    }).pipe(Effect.provide(runnerEnrolling([Half])))
  )

  it.effect("EXE-017 a second rollback is refused, and nothing is sent", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* go(yield* begin(Half, { context }), f1)
      const rollingBack = yield* rollback(paused)
      const failed = yield* compensateAll(rollingBack)
      for (const execution of [rollingBack, failed.execution]) {
        const refused = yield* Effect.flip(rollback(execution))
        assert.deepInclude(refused, { _tag: "SagaRollbackExecution", reason: "already-done" })
      }
      assert.strictEqual(wire.sent().length, 3)
    }).pipe(Effect.provide(runner([Half])))
  )

  it.effect(
    "EXE-018 a broker that refuses is no failure of the rollback: the compensation is stored to be sent again",
    () =>
      Effect.gen(function* () {
        const wire = yield* Wire
        const paused = yield* go(yield* begin(Half, { context }), f1)
        wire.refuse(() => true)
        const rollingBack = yield* rollback(paused)
        assert.deepStrictEqual(
          wire.refused().map(({ line }) => line),
          ["failure flights/Cancel"]
        )
        assert.isFalse(rollingBack.alreadyRollback)
        const stored = yield* load(paused.uuid)
        assert.includeMembers(
          stored.events.map(({ _tag }) => _tag),
          ["RollbackStarted", "CompensationSent"]
        )
      }).pipe(Effect.provide(runner([Half])))
  )

  it.effect(
    "EXE-022 reject of a paused execution is a rollback, and tells every service; a second one changes nothing",
    () =>
      Effect.gen(function* () {
        const wire = yield* Wire
        const paused = yield* go(yield* begin(Half, { context }), f1)
        const rollingBack = yield* reject(paused)
        assert.deepStrictEqual(yield* asked, [["reject", "flights", "hotels"]])
        assert.deepStrictEqual(wire.story().slice(2), ["failure flights/Cancel"])
        const { execution } = yield* compensateAll(rollingBack)
        const again = yield* reject(execution)
        assert.deepInclude(again, { status: "errored", commitState: "rejected", revision: execution.revision })
        assert.strictEqual((yield* asked).length, 1)
      }).pipe(Effect.provide(runnerEnrolling([Half])))
  )

  it.effect("EXE-022 reject of a finished execution that is not committed rolls it back and tells every service", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const finished = yield* go(yield* go(yield* begin(Half, { context, autocommit: false }), f1), h1)
      const { execution } = yield* compensateAll(yield* reject(finished))
      assert.deepStrictEqual(yield* asked, [["reject", "flights", "hotels"]])
      assert.deepStrictEqual(wire.story().slice(2), ["failure flights/Cancel"])
      assert.deepInclude(execution, { status: "errored", commitState: "rejected" })
      assert.deepInclude(yield* Effect.flip(commit(execution)), { _tag: "SagaExecutionNotFinished" })
    }).pipe(Effect.provide(runnerEnrolling([Half])))
  )

  it.effect("EXE-022 an execution that failed without autocommit is rejected by reject, and stays errored", () =>
    Effect.gen(function* () {
      const paused = yield* go(yield* begin(Half, { context, autocommit: false }), f1)
      const { execution } = yield* compensateAll(yield* go(paused, { status: 500 }))
      assert.deepInclude(execution, { status: "errored", commitState: "none", alreadyRollback: true })
      assert.deepStrictEqual(yield* asked, [])
      const rejected = yield* reject(execution)
      assert.deepInclude(rejected, { status: "errored", commitState: "rejected" })
      assert.deepStrictEqual(yield* asked, [["reject", "flights", "hotels"]])
    }).pipe(Effect.provide(runnerEnrolling([Half])))
  )

  it.effect("EXE-026 rolled back means over: no paused step is left, and a later response changes nothing", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* go(yield* begin(Half, { context }), f1)
      const rollingBack = yield* rollback(paused)
      assert.isUndefined(rollingBack.pausedStep)
      const { execution } = yield* compensateAll(rollingBack)
      assert.deepInclude(execution, { status: "errored", alreadyRollback: true })
      assert.isUndefined(execution.pausedStep)
      const same = yield* go(execution, { to: wire.sent()[1], ...h1 })
      assert.strictEqual(same.revision, execution.revision)
      assert.strictEqual(wire.sent().length, 3)
    }).pipe(Effect.provide(runner([Half])))
  )

  it.effect("EXE-026 the execution as it was before the rollback cannot be resumed either", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* go(yield* begin(Half, { context }), f1)
      const { execution } = yield* compensateAll(yield* rollback(paused))
      const failed = yield* failure(go(paused, h1))
      assert.deepInclude(failed.cause, { _tag: "SagaRejected" })
      assert.strictEqual(failed.execution.revision, execution.revision)
      assert.strictEqual(wire.sent().length, 3)
    }).pipe(Effect.provide(runner([Half])))
  )

  it.effect(
    "EXE-028 there is nothing to roll back before the start, and a later failure is compensated all the same",
    () => {
      const story = makeStory()
      const saga = trip.pipe(
        Saga.local("one", { execute: () => story.tell("one"), compensate: () => story.tell("one back") }),
        Saga.local("two", { error: SoldOut, execute: () => Effect.fail(new SoldOut({ what: "two" })) }),
        Saga.commit
      )
      return Effect.gen(function* () {
        const created = yield* SagaExecution.fromDefinition(saga, { context })
        const refused = yield* Effect.flip(rollback(created))
        assert.deepInclude(refused, { _tag: "SagaRollbackExecution", reason: "nothing-to-do" })
        assert.isFalse(created.alreadyRollback)
        const failed = yield* failure(go(created))
        assert.deepInclude(failed.cause, { what: "two" })
        assert.deepStrictEqual(story.lines, ["one", "one back"])
      }).pipe(Effect.provide(runner([saga])))
    }
  )

  it.effect(
    "EXE-029 the paused step comes first: it is asked for, compensated if it ran, then the steps before it",
    () =>
      Effect.gen(function* () {
        const wire = yield* Wire
        const paused = yield* go(yield* begin(Trip, { context }), f1)
        const asking = yield* rollback(paused)
        assert.deepStrictEqual(wire.story().slice(2), ["probe hotels/Book"])
        const rollingBack = yield* go(asking, { to: wire.sent()[2], ...h1 })
        const { execution } = yield* compensateAll(rollingBack)
        assert.deepStrictEqual(wire.story().slice(2), [
          "probe hotels/Book",
          "failure hotels/Cancel",
          "failure flights/Cancel"
        ])
        assert.deepInclude(execution, { status: "errored", alreadyRollback: true })
      }).pipe(Effect.provide(runner([Trip])))
  )

  it.effect("EXE-029 a paused step that never ran is not compensated", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const asking = yield* rollback(yield* go(yield* begin(Trip, { context }), f1))
      const rollingBack = yield* go(asking, {
        to: wire.sent()[2],
        status: 400,
        content: { _tag: "SoldOut", what: "room" }
      })
      assert.deepStrictEqual(wire.story().slice(2), ["probe hotels/Book", "failure flights/Cancel"])
      const { execution } = yield* compensateAll(rollingBack)
      assert.deepInclude(execution, { status: "errored", alreadyRollback: true })
    }).pipe(Effect.provide(runner([Trip])))
  )
})
