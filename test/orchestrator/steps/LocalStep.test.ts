/** Local steps: their results and failures, their compensations, and what `retry` and `timeout` make of them. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaExecution, SagaManager, SagaTransaction } from "../../../src/index.ts"
import { SagaStepExecution } from "../../../src/internals.ts"
import {
  Agreement,
  begin,
  bookFlight,
  compensated,
  context,
  failure,
  go,
  makeStory,
  manager,
  own,
  rollback,
  runner,
  runnerEnrolling,
  SoldOut,
  statuses,
  trip,
  until
} from "../../fixtures/travel.ts"

type Before = { readonly trip: string }

describe("execute", () => {
  it.effect("LOC-001 the result is the step's entry, the step is finished, and the own service took part", () => {
    const saga = trip.pipe(
      Saga.local("seat", { success: Schema.String, execute: ({ trip }) => Effect.succeed(`seat to ${trip}`) }),
      Saga.local("check", { execute: () => Effect.void }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const execution = yield* begin(saga, { context })
      assert.strictEqual(execution.status, "finished")
      assert.deepEqual(execution.context, { trip: "Gent", seat: "seat to Gent", check: undefined })
      assert.deepStrictEqual(SagaExecution.raw(execution).context, { trip: "Gent", seat: "seat to Gent" })
      assert.deepStrictEqual(statuses(execution.executedSteps), { seat: "finished", check: "finished" })
      assert.deepStrictEqual(
        execution.executedSteps.map(({ relatedServices }) => relatedServices),
        [[own], [own]]
      )
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect("services that the callback enrols take part like those that are asked", () => {
    const saga = trip.pipe(
      Saga.local("seat", {
        execute: () => SagaTransaction.pipe(Effect.flatMap(({ enrol }) => Effect.andThen(enrol("mail"), enrol("mail"))))
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const execution = yield* begin(saga, { context })
      assert.deepStrictEqual(execution.executedSteps[0]?.relatedServices, [own, "mail"])
      const asked = (yield* Agreement).asked()
      assert.include(asked[0]?.services ?? [], "mail")
    }).pipe(Effect.provide(runnerEnrolling([saga])))
  })

  it.effect("a name that no service can have fails the step", () => {
    const saga = trip.pipe(
      Saga.local("seat", {
        execute: () => SagaTransaction.pipe(Effect.flatMap(({ enrol }) => enrol("no name")))
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const { execution } = yield* failure(begin(saga, { context }))
      assert.strictEqual(execution.status, "errored")
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect(
    "LOC-002 a callback that fails fails the step: the context is as before, its compensation does not run",
    () => {
      const story = makeStory()
      const saga = trip.pipe(
        Saga.local("seat", {
          success: Schema.String,
          error: SoldOut,
          execute: () => Effect.fail(new SoldOut({ what: "seat" })),
          compensate: () => story.tell("seat back")
        }),
        Saga.commit
      )
      return Effect.gen(function* () {
        const failed = yield* failure(begin(saga, { context }))
        assert.instanceOf(failed.cause, SoldOut)
        assert.deepStrictEqual(statuses(failed.execution.executedSteps), { seat: "errored-on-execute" })
        assert.deepEqual(failed.execution.context, { trip: "Gent" })
        assert.deepStrictEqual(story.lines, [])
      }).pipe(Effect.provide(runner([saga])))
    }
  )

  for (const [what, callback, cause] of [
    ["dies", () => Effect.die("boom"), "boom"],
    [
      "throws while it is called",
      () => {
        throw "boom"
      },
      "boom"
    ],
    ["fails with an error it does not declare", () => Effect.fail("boom") as Effect.Effect<never>, "boom"],
    ["interrupts itself", () => Effect.interrupt, undefined]
  ] as const) {
    it.effect(`LOC-002 a callback that ${what} fails the step with SagaFailedExecutionStep`, () => {
      const story = makeStory()
      const saga = trip.pipe(
        Saga.local("first", { execute: () => story.tell("first"), compensate: () => story.tell("first back") }),
        Saga.local("seat", { execute: callback, compensate: () => story.tell("seat back") }),
        Saga.commit
      )
      return Effect.gen(function* () {
        const failed = yield* failure(begin(saga, { context }))
        assert.deepInclude(failed.cause, { _tag: "SagaFailedExecutionStep", step: "seat", path: "1", saga: "Trip" })
        if (cause !== undefined) assert.deepInclude(failed.cause, { cause })
        assert.deepStrictEqual(statuses(failed.execution.executedSteps), {
          first: "finished",
          seat: "errored-on-execute"
        })
        assert.deepStrictEqual(story.lines, ["first", "first back"])
        assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
      }).pipe(Effect.provide(runner([saga])))
    })
  }

  it.effect("LOC-003 a step that has run does not run again: not without a response, not with one", () => {
    const story = makeStory()
    const saga = trip.pipe(
      Saga.local("seat", { success: Schema.Int, execute: () => story.tell("seat", 1) }),
      Saga.remote("flight", { execute: bookFlight }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const paused = yield* begin(saga, { context })
      const again = yield* go(paused)
      assert.deepEqual(again.context, { trip: "Gent", seat: 1 })
      const finished = yield* go(again, { content: { ref: "F1" } })
      assert.deepEqual(finished.context, { trip: "Gent", seat: 1, flight: { ref: "F1" } })
      assert.deepStrictEqual(story.lines, ["seat"])
      assert.deepStrictEqual(statuses(finished.executedSteps), { seat: "finished", flight: "finished" })
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect(
    "a result that its schema refuses fails the step, which is compensated with the value in hand (F27)",
    () => {
      const story = makeStory()
      const saga = trip.pipe(
        Saga.local("seat", {
          success: Schema.Int,
          // what the types forbid, and untyped code can do
          execute: () => Effect.succeed("not a number" as any),
          compensate: {
            run: ({ seat }) => story.tell(`run ${seat}`),
            unknown: ({ trip }) => story.tell(`unknown ${trip}`)
          }
        }),
        Saga.commit
      )
      return Effect.gen(function* () {
        const failed = yield* failure(begin(saga, { context }))
        assert.deepNestedInclude(failed, {
          "cause._tag": "SagaFailedExecutionStep",
          "cause.cause._tag": "SagaContextEncodeError"
        })
        assert.deepStrictEqual(story.lines, ["run not a number"])
        assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
      }).pipe(Effect.provide(runner([saga])))
    }
  )

  it("LOC-007 the kind of a step execution is that of its step; no other form is read", () => {
    const kinds = ["local", "remote", "conditional", "nested", "parallel"] as const
    const common = { definition: { path: "0", name: "a" }, status: "created" }
    const decode = Schema.decodeUnknownExit(SagaStepExecution.Raw)
    const more = { choice: null, inner: null, branches: [] }
    assert.deepStrictEqual(
      kinds.map((kind) => decode({ kind, ...common, ...more })._tag),
      kinds.map(() => "Success" as const)
    )
    assert.strictEqual(decode({ kind: "other", ...common, ...more })._tag, "Failure")
    assert.strictEqual(decode({ kind: "conditional", ...common })._tag, "Failure")
    // @ts-expect-error a step is added to a saga by its combinator; nothing else is a step
    assert.throws(() => trip.pipe({ _tag: "Other", name: "a" }))
  })

  it.effect("LOC-007 every step definition gives a step execution of its kind", () => {
    const inner = Saga.make("Inner", { context: { trip: Schema.String } }).pipe(
      Saga.local("inside", { execute: () => Effect.void }),
      Saga.commit
    )
    const saga = trip.pipe(
      Saga.local("a", { execute: () => Effect.void }),
      Saga.conditional("b", [Saga.ifThen(() => true, Saga.local("b1", { execute: () => Effect.void }))]),
      Saga.nested("c", { saga: inner, context: ({ trip }) => ({ trip }) }),
      Saga.parallel("d", {
        left: Saga.local("d1", { execute: () => Effect.void }),
        right: Saga.local("d2", { execute: () => Effect.void })
      }),
      Saga.remote("e", { execute: bookFlight }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const finished = yield* go(yield* begin(saga, { context }), { content: { ref: "F1" } })
      assert.deepStrictEqual(
        finished.executedSteps.map(({ definition, kind, path }) => [definition?._tag, kind, path]),
        [
          ["Local", "local", "0"],
          ["Conditional", "conditional", "1"],
          ["Nested", "nested", "2"],
          ["Parallel", "parallel", "3"],
          ["Remote", "remote", "4"]
        ]
      )
    }).pipe(Effect.provide(runner([saga])))
  })
})

describe("rollback", () => {
  const story = makeStory()
  const saga = trip.pipe(
    Saga.local("seat", {
      success: Schema.String,
      execute: () => story.tell("seat", "12A"),
      compensate: ({ seat, trip }) => story.tell(`${seat} to ${trip} back`)
    }),
    Saga.remote("flight", { execute: bookFlight }),
    Saga.commit
  )

  it.effect("LOC-004 a finished step is compensated once, with its own result; a second rollback is refused", () =>
    Effect.gen(function* () {
      story.lines.length = 0
      const errored = yield* rollback(yield* begin(saga, { context }))
      assert.deepStrictEqual(story.lines, ["seat", "12A to Gent back"])
      assert.deepInclude(errored, { status: "errored", alreadyRollback: true })
      // compensations do not change the context
      assert.deepEqual(errored.context, { trip: "Gent", seat: "12A" })
      assert.deepStrictEqual(compensated(errored.executedSteps), ["seat", "flight"])
      const refused = yield* Effect.flip(rollback(errored))
      assert.deepInclude(refused, { _tag: "SagaRollbackExecution", reason: "already-done" })
      assert.strictEqual(story.lines.length, 2)
    }).pipe(Effect.provide(runner([saga])))
  )

  it.effect("LOC-005 before the step has run a rollback is refused, and its compensation does not run", () =>
    Effect.gen(function* () {
      story.lines.length = 0
      const created = yield* SagaExecution.fromDefinition(saga, { context })
      const refused = yield* Effect.flip(rollback(created))
      assert.deepInclude(refused, { _tag: "SagaRollbackExecution", reason: "nothing-to-do" })
      assert.deepStrictEqual(story.lines, [])
    }).pipe(Effect.provide(runner([saga])))
  )

  it.effect("LOC-006 a step without compensation counts as compensated, and the context is as it was", () => {
    const plain = trip.pipe(
      Saga.local("seat", { success: Schema.String, execute: () => Effect.succeed("12A") }),
      Saga.remote("flight", { execute: bookFlight }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const errored = yield* rollback(yield* begin(plain, { context }))
      assert.deepStrictEqual(compensated(errored.executedSteps), ["seat", "flight"])
      assert.deepInclude(errored, { status: "errored", alreadyRollback: true })
      assert.deepEqual(errored.context, { trip: "Gent", seat: "12A" })
    }).pipe(Effect.provide(runner([plain])))
  })
})

describe("timeout", () => {
  const story = makeStory()
  const saga = trip.pipe(
    Saga.local("first", { execute: () => story.tell("first"), compensate: () => story.tell("first back") }),
    Saga.local("seat", {
      success: Schema.String,
      execute: () =>
        Effect.onInterrupt(Effect.as(Effect.sleep("1 minute"), "12A"), () => story.tell("seat is cut off")),
      compensate: { run: () => story.tell("run"), unknown: (before: Before) => story.tell(`unknown ${before.trip}`) },
      timeout: "10 seconds"
    }),
    Saga.commit
  )

  it.effect("a local step without result at its deadline is cut off, and compensated by unknown", () =>
    Effect.gen(function* () {
      story.lines.length = 0
      const fiber = yield* Effect.forkChild(failure(begin(saga, { context })))
      yield* TestClock.adjust("9999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const failed = yield* Fiber.join(fiber)
      assert.deepStrictEqual(story.lines, ["first", "seat is cut off", "unknown Gent", "first back"])
      assert.deepNestedInclude(failed, {
        "cause._tag": "SagaFailedExecutionStep",
        "cause.step": "seat",
        "cause.cause._tag": "SagaStepTimedOut",
        "cause.cause.deadline": 10_000
      })
      assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
    }).pipe(Effect.provide(runner([saga])))
  )

  it.effect("a local step that is done before its deadline is not touched by it", () => {
    const fast = trip.pipe(
      Saga.local("seat", {
        success: Schema.Int,
        execute: () => Effect.andThen(Effect.sleep("9 seconds"), Clock.currentTimeMillis),
        timeout: "10 seconds"
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(begin(fast, { context }))
      yield* TestClock.adjust("1 hour")
      const finished = yield* Fiber.join(fiber)
      assert.deepEqual(finished.context, { trip: "Gent", seat: 9_000 })
    }).pipe(Effect.provide(runner([fast])))
  })

  it("a timeout needs an unknown where there is a compensation", () => {
    trip.pipe(
      Saga.local("seat", {
        execute: () => Effect.void,
        compensate: () => Effect.void,
        // @ts-expect-error unknownRequired: nobody knows what the step has left when its time is over
        timeout: "10 seconds"
      })
    )
  })
})

describe("retry", () => {
  const flaky = (failures: ReadonlyArray<Effect.Effect<never, SoldOut>>) => {
    const at: Array<number> = []
    const attempt = Effect.gen(function* () {
      at.push(yield* Clock.currentTimeMillis)
      yield* failures[at.length - 1] ?? Effect.void
      return at.length
    })
    return { at, attempt }
  }
  const soldOut = Effect.fail(new SoldOut({ what: "seat" }))

  it.effect("a defect and a listed error are tried again, each time after a longer wait", () => {
    const { at, attempt } = flaky([Effect.die("boom"), soldOut, soldOut])
    const saga = trip.pipe(
      Saga.local("seat", {
        success: Schema.Int,
        error: SoldOut,
        execute: () => attempt,
        retry: { times: 3, backoff: { initial: "1 second", factor: 3, max: "5 seconds" }, on: ["SoldOut"] }
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(SagaManager.execute(saga, { context }))
      yield* TestClock.adjust("1 minute")
      assert.deepEqual(yield* Fiber.join(fiber), { trip: "Gent", seat: 4 })
      assert.deepStrictEqual(at, [0, 1_000, 4_000, 9_000])
    }).pipe(Effect.provide(manager([saga])))
  })

  it.effect("an error that is not listed fails the step at once", () => {
    const { at, attempt } = flaky([soldOut])
    const saga = trip.pipe(
      Saga.local("seat", { success: Schema.Int, error: SoldOut, execute: () => attempt, retry: { times: 3 } }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const failed = yield* failure(begin(saga, { context }))
      assert.instanceOf(failed.cause, SoldOut)
      assert.deepStrictEqual(at, [0])
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect("when the last attempt fails the step fails with its error, and nothing was stored in between", () => {
    const { at, attempt } = flaky([soldOut, soldOut, soldOut])
    const saga = trip.pipe(
      Saga.local("seat", {
        success: Schema.Int,
        error: SoldOut,
        execute: () => attempt,
        retry: { times: 2, backoff: "1 second", on: ["SoldOut"] }
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(failure(begin(saga, { context })))
      yield* TestClock.adjust("1 minute")
      const failed = yield* Fiber.join(fiber)
      assert.instanceOf(failed.cause, SoldOut)
      assert.deepStrictEqual(at, [0, 1_000, 3_000])
      // the start with the intent of the step, and the end
      assert.strictEqual(failed.execution.revision, 2)
    }).pipe(Effect.provide(runner([saga])))
  })

  it.effect("the deadline counts for all attempts together", () => {
    const { at, attempt } = flaky(Array.from({ length: 10 }, () => soldOut))
    const saga = trip.pipe(
      Saga.local("seat", {
        success: Schema.Int,
        error: SoldOut,
        execute: () => attempt,
        retry: { times: 9, backoff: "1 second", on: ["SoldOut"] },
        timeout: "5 seconds"
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(failure(begin(saga, { context })))
      yield* until("the first attempt", () => at.length === 1)
      yield* TestClock.adjust("1 minute")
      const failed = yield* Fiber.join(fiber)
      assert.deepNestedInclude(failed, { "cause.cause._tag": "SagaStepTimedOut" })
      assert.deepStrictEqual(at, [0, 1_000, 3_000])
    }).pipe(Effect.provide(runner([saga])))
  })

  it("a tag that is not one of the declared errors cannot be listed", () => {
    trip.pipe(
      Saga.local("seat", {
        error: SoldOut,
        execute: () => Effect.void,
        // @ts-expect-error "NoTrip" is not a tag of the step's errors
        retry: { times: 1, on: ["NoTrip"] }
      })
    )
  })
})
