/** Conditional steps: the choice, what runs inside it, and how it is compensated, stored and resumed. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Saga, SagaExecution, SagaExecutionRepository } from "../../../src/index.ts"
import {
  Agreement,
  begin,
  bookFlight,
  bookHotel,
  cancelFlight,
  cancelHotel,
  compensated,
  failure,
  go,
  makeStory,
  own,
  rollback,
  runner,
  runnerEnrolling,
  SoldOut,
  statuses,
  Wire
} from "../../fixtures/travel.ts"

const trip = Saga.make("Trip", { context: { trip: Schema.String, far: Schema.Boolean } })
const far = { trip: "Gent", far: true }
const near = { trip: "Gent", far: false }

const story = makeStory()

/** A flight for far trips, else a walk; then a hotel. */
const Travel = trip.pipe(
  Saga.conditional("way", [
    Saga.ifThen(
      ({ far }) => far,
      (branch) =>
        branch.pipe(
          Saga.local("visa", {
            success: Schema.String,
            execute: ({ trip }) => story.tell("visa", `visa for ${trip}`),
            compensate: ({ visa }) => story.tell(`${visa} back`)
          }),
          Saga.remote("flight", { execute: bookFlight, compensate: cancelFlight }),
          Saga.local("seat", {
            success: Schema.String,
            execute: ({ flight, visa }) => story.tell("seat", `${flight.ref} with ${visa}`)
          })
        )
    ),
    Saga.elseThen(Saga.local("walk", { execute: () => story.tell("walk"), compensate: () => story.tell("walk back") }))
  ]),
  Saga.remote("hotel", { execute: bookHotel, compensate: cancelHotel }),
  Saga.commit
)

describe("execute", () => {
  it.effect("CND-001 a pause inside the chosen branch pauses the step; the outer context is as before", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* begin(Travel, { context: far })
      assert.strictEqual(paused.status, "paused")
      assert.deepInclude(paused.pausedStep, { name: "way", status: "paused-by-on-execute", choice: 0 })
      assert.deepStrictEqual(paused.pausedStep?.relatedServices, [own])
      assert.deepEqual(paused.context, far)
      assert.deepStrictEqual(wire.story(), ["execute flights/Book"])
      assert.strictEqual(wire.sent()[0]?.envelope.path, "0/if0/1")
    }).pipe(Effect.provide(runner([Travel])))
  )

  it.effect(
    "CND-002 a response goes to the step inside; its results are in the context, and only the whole commits",
    () =>
      Effect.gen(function* () {
        const phase = yield* Agreement
        const paused = yield* go(yield* begin(Travel, { context: far }), { content: { ref: "F1" } })
        assert.deepStrictEqual(statuses(paused.executedSteps), {
          way: "finished",
          visa: "finished",
          flight: "finished",
          seat: "finished"
        })
        assert.deepEqual(paused.context, {
          ...far,
          visa: "visa for Gent",
          flight: { ref: "F1" },
          seat: "F1 with visa for Gent",
          way: 0
        })
        // the branch is over, the saga is not: nobody was asked to commit
        assert.deepStrictEqual(phase.asked(), [])
        const finished = yield* go(paused, { content: { ref: "H1" } })
        assert.strictEqual(finished.status, "finished")
        assert.deepStrictEqual(
          phase.asked().map(({ op, services }) => [op, ...services]),
          [
            ["reserve", "flights", "hotels"],
            ["commit", "flights", "hotels"]
          ]
        )
      }).pipe(Effect.provide(runnerEnrolling([Travel])))
  )

  it.effect(
    "CND-003 a failure inside the else branch fails the step from outside; the branch is compensated once",
    () => {
      const saga = trip.pipe(
        Saga.conditional("way", [
          Saga.ifThen(({ far }) => far, Saga.local("fly", { execute: () => Effect.void })),
          Saga.elseThen((branch) =>
            branch.pipe(
              Saga.local("visa", { execute: () => story.tell("visa"), compensate: () => story.tell("visa back") }),
              Saga.remote("flight", {
                execute: bookFlight,
                error: SoldOut,
                onSuccess: () => Effect.fail(new SoldOut({ what: "late" })),
                compensate: cancelFlight
              })
            )
          )
        ]),
        Saga.commit
      )
      return Effect.gen(function* () {
        story.lines.length = 0
        const wire = yield* Wire
        const rollingBack = yield* go(yield* begin(saga, { context: near }), { content: { ref: "F1" } })
        assert.deepStrictEqual(wire.story(), ["execute flights/Book", "failure flights/Cancel"])
        const failed = yield* failure(go(rollingBack, { to: wire.sent()[1] }))
        assert.deepInclude(failed.cause, { _tag: "SoldOut", what: "late" })
        assert.deepStrictEqual(statuses(failed.execution.executedSteps), {
          way: "errored-by-on-execute",
          visa: "finished",
          flight: "errored-on-success"
        })
        assert.deepEqual(failed.execution.context, near)
        assert.deepStrictEqual(story.lines, ["visa", "visa back"])
        assert.deepStrictEqual(compensated(failed.execution.executedSteps), ["way", "visa", "flight"])
        assert.strictEqual(wire.sent().length, 2)
      }).pipe(Effect.provide(runner([saga])))
    }
  )

  it.effect(
    "CND-004 without a condition that holds the step is finished: nothing inside it, and its entry is null",
    () => {
      const saga = trip.pipe(
        Saga.conditional("way", [Saga.ifThen(({ far }) => far, Saga.local("fly", { execute: () => Effect.void }))]),
        Saga.commit
      )
      return Effect.gen(function* () {
        const finished = yield* begin(saga, { context: near })
        assert.strictEqual(finished.status, "finished")
        assert.deepEqual(finished.context, { ...near, way: null })
        assert.deepStrictEqual(statuses(finished.executedSteps), { way: "finished" })
        assert.deepStrictEqual(finished.executedSteps[0]?.inner, [])
        assert.deepStrictEqual(finished.relatedServices, [])
      }).pipe(Effect.provide(runner([saga])))
    }
  )

  it.effect("CND-010 conditions are evaluated in order until one holds; only its branch runs", () => {
    const asked: Array<number> = []
    const ask = (n: number, holds: boolean) => () => {
      asked.push(n)
      return holds
    }
    const saga = trip.pipe(
      Saga.conditional("way", [
        Saga.ifThen(ask(0, false), Saga.local("a", { execute: () => story.tell("a") })),
        Saga.ifThen(ask(1, true), Saga.local("b", { execute: () => story.tell("b") })),
        Saga.ifThen(ask(2, true), Saga.local("c", { execute: () => story.tell("c") })),
        Saga.elseThen(Saga.local("d", { execute: () => story.tell("d") }))
      ]),
      Saga.remote("flight", { execute: bookFlight }),
      Saga.commit
    )
    return Effect.gen(function* () {
      story.lines.length = 0
      const paused = yield* begin(saga, { context: far })
      // the choice is stored: it is not made again
      const stored = yield* SagaExecutionRepository.SagaExecutionRepository.use(({ load }) => load(paused.uuid))
      const finished = yield* go(stored, { content: { ref: "F1" } })
      assert.deepStrictEqual(asked, [0, 1])
      assert.deepStrictEqual(story.lines, ["b"])
      assert.deepInclude(finished.context, { way: 1 })
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect("CND-011 what a branch sends has the id, the transaction and the user of the whole", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* begin(Travel, { context: far, user: "ann" })
      yield* go(paused, { content: { ref: "F1" } })
      assert.deepStrictEqual(
        wire.sent().map(({ envelope }) => [envelope.path, envelope.saga, envelope.transactions, envelope.user]),
        [
          ["0/if0/1", paused.uuid, [paused.uuid], "ann"],
          ["1", paused.uuid, [paused.uuid], "ann"]
        ]
      )
    }).pipe(Effect.provide(runnerEnrolling([Travel])))
  )

  it.effect(
    "CND-012 what a branch has done before its pause is there after it, also when it was stored in between",
    () =>
      Effect.gen(function* () {
        story.lines.length = 0
        const paused = yield* begin(Travel, { context: far })
        const text = JSON.stringify(SagaExecution.raw(paused))
        const read = yield* SagaExecution.fromRaw(JSON.parse(text), Travel)
        const next = yield* go(read, { content: { ref: "F1" } })
        assert.deepInclude(next.context, { visa: "visa for Gent", seat: "F1 with visa for Gent" })
        assert.deepStrictEqual(story.lines, ["visa", "seat"])
        const finished = yield* go(next, { content: { ref: "H1" } })
        assert.deepEqual(finished.context, {
          ...far,
          visa: "visa for Gent",
          flight: { ref: "F1" },
          seat: "F1 with visa for Gent",
          way: 0,
          hotel: { ref: "H1" }
        })
      }).pipe(Effect.provide(runner([Travel])))
  )

  it.effect(
    "CND-013 a condition that throws fails the step with its cause; the steps before it are compensated",
    () => {
      const broken = new Error("no idea")
      const saga = trip.pipe(
        Saga.local("visa", { execute: () => story.tell("visa"), compensate: () => story.tell("visa back") }),
        Saga.conditional("way", [
          Saga.ifThen(
            () => {
              throw broken
            },
            Saga.local("a", { execute: () => story.tell("a") })
          )
        ]),
        Saga.commit
      )
      return Effect.gen(function* () {
        story.lines.length = 0
        const failed = yield* failure(begin(saga, { context: far }))
        assert.deepInclude(failed.cause, { _tag: "SagaFailedExecutionStep", step: "way", path: "1", cause: broken })
        assert.deepStrictEqual(statuses(failed.execution.executedSteps), {
          visa: "finished",
          way: "errored-on-execute"
        })
        assert.deepStrictEqual(failed.execution.executedSteps[1]?.kind, "conditional")
        assert.deepStrictEqual(story.lines, ["visa", "visa back"])
        assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
      }).pipe(Effect.provide(runner([saga])))
    }
  )
})

describe("rollback", () => {
  it.effect(
    "CND-005 a finished step is compensated by compensating its branch once, in reverse; nobody is asked for a branch",
    () =>
      Effect.gen(function* () {
        story.lines.length = 0
        const wire = yield* Wire
        const phase = yield* Agreement
        const paused = yield* go(yield* begin(Travel, { context: far }), { content: { ref: "F1" } })
        const asking = yield* rollback(paused)
        const failing = yield* go(asking, {
          to: wire.sent().at(-1),
          status: 400,
          content: { _tag: "SoldOut", what: "h" }
        })
        assert.deepStrictEqual(wire.story().slice(2), ["probe hotels/Book", "failure flights/Cancel"])
        const { execution } = yield* failure(go(failing, { to: wire.sent().at(-1) }))
        assert.deepStrictEqual(story.lines, ["visa", "seat", "visa for Gent back"])
        assert.sameMembers([...compensated(execution.executedSteps)], ["way", "visa", "flight", "seat", "hotel"])
        assert.deepStrictEqual(statuses(execution.executedSteps).way, "finished")
        assert.deepInclude(execution, { status: "errored", alreadyRollback: true })
        assert.deepStrictEqual(
          phase.asked().map(({ op, services }) => [op, ...services]),
          [["reject", "flights", "hotels"]]
        )
        assert.deepInclude(yield* Effect.flip(rollback(execution)), { reason: "already-done" })
      }).pipe(Effect.provide(runnerEnrolling([Travel])))
  )

  it.effect("CND-006 a conditional step that has not run cannot be rolled back", () =>
    Effect.gen(function* () {
      story.lines.length = 0
      const refused = yield* Effect.flip(rollback(yield* SagaExecution.fromDefinition(Travel, { context: far })))
      assert.deepInclude(refused, { _tag: "SagaRollbackExecution", reason: "nothing-to-do" })
      assert.deepStrictEqual(story.lines, [])
    }).pipe(Effect.provide(runner([Travel])))
  )
})

describe("encoded form", () => {
  it.effect("CND-007 CND-004 a step that has chosen nothing has no inner execution", () => {
    const saga = trip.pipe(
      Saga.conditional("way", [Saga.ifThen(({ far }) => far, Saga.local("fly", { execute: () => Effect.void }))]),
      Saga.commit
    )
    return Effect.gen(function* () {
      const created = yield* SagaExecution.fromDefinition(saga, { context: near })
      // steps that have not begun are not kept: they follow from the definition
      assert.deepInclude(SagaExecution.raw(created), { executedSteps: [], pausedStep: null, status: "created" })
      const [way] = SagaExecution.raw(yield* begin(saga, { context: near })).executedSteps
      assert.deepInclude(way, {
        kind: "conditional",
        definition: { path: "0", name: "way" },
        status: "finished",
        choice: null,
        inner: null,
        alreadyRollback: false
      })
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect("CND-008 a step paused in its branch holds the inner execution whole, with the outer id and user", () =>
    Effect.gen(function* () {
      const paused = yield* begin(Travel, { context: far, user: "ann" })
      const { pausedStep } = SagaExecution.raw(paused)
      assert.deepInclude(pausedStep, {
        kind: "conditional",
        definition: { path: "0", name: "way" },
        status: "paused-by-on-execute",
        relatedServices: [own],
        alreadyRollback: false,
        choice: 0
      })
      const inner = pausedStep?.kind === "conditional" ? pausedStep.inner : undefined
      assert.deepInclude(inner, { uuid: paused.uuid, user: "ann", status: "paused" })
      assert.deepStrictEqual(inner?.context, { ...far, visa: "visa for Gent" })
      assert.deepInclude(inner?.pausedStep, {
        kind: "remote",
        definition: { path: "0/if0/1", name: "flight" },
        status: "paused-by-on-execute"
      })
      assert.deepStrictEqual(
        inner?.executedSteps.map(({ definition, status }) => [definition.name, status]),
        [["visa", "finished"]]
      )
    }).pipe(Effect.provide(runner([Travel])))
  )

  it.effect("CND-009 a paused step that is encoded and decoded equals the original, what is inside it included", () =>
    Effect.gen(function* () {
      const paused = yield* begin(Travel, { context: far, user: "ann" })
      const encoded = SagaExecution.raw(paused)
      const decoded = yield* SagaExecution.fromRaw(JSON.parse(JSON.stringify(encoded)), Travel)
      assert.deepStrictEqual(SagaExecution.raw(decoded), encoded)
      assert.deepEqual([decoded.status, decoded.context], [paused.status, paused.context])
    }).pipe(Effect.provide(runner([Travel])))
  )
})
