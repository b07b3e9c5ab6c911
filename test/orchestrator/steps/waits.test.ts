/** Waits and sleeps that run: times, results where no signal came, deadlines, and callbacks that fail (SPEC C16, C18). */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaError,
  SagaExecutionRepository,
  SagaManager,
  SagaStory,
  Signal,
  TransactionCommitter
} from "effect-saga"
import { SagaTest } from "effect-saga/testing"

const Approval = Signal.make("approval", { payload: Schema.String })
const make = Saga.make("S", { context: { days: Schema.Int } })

const layer = (saga: Saga.AnyCommitted) =>
  SagaManager.layer([saga]).pipe(
    Layer.provide([
      SagaConfig.layer({ service: "orders" }),
      SagaExecutionRepository.layerMemoryWith({ keep: 10 }),
      Broker.layerMemory,
      TransactionCommitter.layerNone
    ])
  )

/** Runs a saga, and lets so many days pass. Gives its end, or what it is paused at. */
const run = <I, Own, E>(saga: Saga.Saga<"S", I, Own, E, never>, context: I, days: number) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(SagaManager.run(saga, { context, raiseOnError: false } as never))
    yield* TestClock.adjust(`${days} days`)
    return (yield* Fiber.join(fiber)) as { readonly status: string; readonly context: any; readonly cause: any }
  }).pipe(Effect.provide(layer(saga as never)))

describe("a sleep (C16)", () => {
  it.effect("ends after its duration, or at a time of the context, and leaves no entry", () =>
    Effect.gen(function* () {
      const saga = make.pipe(
        Saga.sleep("nap", "1 day"),
        Saga.sleep("until", ({ days }) => days * 24 * 3_600_000),
        Saga.local("end", { success: Schema.Int, execute: () => Effect.clockWith((clock) => clock.currentTimeMillis) }),
        Saga.commit
      )
      const execution = yield* run(saga, { days: 3 }, 3)
      assert.deepStrictEqual({ ...execution.context }, { days: 3, end: 3 * 24 * 3_600_000 })
    })
  )
})

describe("a wait that no signal ends (C16)", () => {
  const wait = (onTimeout: Saga.OnTimeout<{ readonly days: number }, string>) =>
    make.pipe(Saga.waitFor("ask", { signal: Approval, timeout: "2 days", onTimeout }), Saga.commit)

  it.effect("gives the result of onTimeout", () =>
    Effect.gen(function* () {
      const saga = wait({ success: Schema.String, value: ({ days }) => `nobody in ${days}` })
      const execution = yield* run(saga, { days: 2 }, 2)
      assert.deepStrictEqual([execution.status, execution.context.ask], ["finished", "nobody in 2"])
    })
  )

  it.effect("fails without one, at its deadline", () =>
    Effect.gen(function* () {
      const saga = make.pipe(Saga.waitFor("ask", { signal: Approval, timeout: "2 days" }), Saga.commit)
      const execution = yield* run(saga, { days: 2 }, 2)
      assert.strictEqual(execution.status, "errored")
      assert.instanceOf(execution.cause.cause, SagaError.SagaStepTimedOut)
      assert.strictEqual(execution.cause.cause.deadline, 2 * 24 * 3_600_000)
    })
  )

  it.effect("fails where onTimeout throws, or gives what cannot be stored", () =>
    Effect.gen(function* () {
      const throws = wait({
        success: Schema.String,
        value: () => {
          throw new Error("broken")
        }
      })
      assert.strictEqual((yield* run(throws, { days: 2 }, 2)).cause.cause.message, "broken")
      const wrong = wait({ success: Schema.String, value: () => 1 as never })
      assert.instanceOf((yield* run(wrong, { days: 2 }, 2)).cause.cause, SagaError.SagaContextEncodeError)
      const large = wait({ success: Schema.String, value: () => "x".repeat(1_100_000) })
      assert.instanceOf((yield* run(large, { days: 2 }, 2)).cause.cause, SagaError.SagaContextTooLarge)
    })
  )

  it.effect("fails before it begins where its key or its time cannot be made", () =>
    Effect.gen(function* () {
      const cause = (options: object) =>
        Effect.map(
          run(make.pipe(Saga.waitFor("ask", { signal: Approval, ...options }), Saga.commit), { days: 1 }, 1),
          (execution) => execution.cause.cause
        )
      const broken = () => {
        throw new Error("broken")
      }
      assert.strictEqual((yield* cause({ key: broken })).message, "broken")
      for (const [options, issue] of [
        [{ key: () => 1 }, "the key is number, not a string"],
        [{ key: () => "x".repeat(513) }, "the key has more than 512 bytes"],
        [{ timeout: () => Number.NaN }, "the time is none"],
        [{ timeout: () => undefined }, "the time is none"],
        [{ timeout: () => 1e15 }, "the time is more than 10 years ahead"]
      ] as const) {
        const error = yield* cause(options)
        assert.instanceOf(error, SagaError.SagaContextEncodeError)
        assert.strictEqual(error.issue, issue)
      }
    })
  )
})

describe("a wait whose signal, or whose time, says nothing (C16)", () => {
  const nobody = { success: Schema.Literal("nobody"), value: () => "nobody" } as const
  const nothing = { success: Schema.Void, value: () => undefined } as const
  for (const [name, payload, onTimeout] of [
    ["no payload, and a word", Schema.Void, nobody],
    ["any payload, and a word", Schema.Unknown, nobody],
    ["a payload, and nothing", Schema.String, nothing],
    ["no payload, and nothing", Schema.Void, nothing],
    ["nothing or a number, and a word", Schema.UndefinedOr(Schema.Int), nobody]
  ] as const)
    it.effect(`has its result, and the next step reads it: ${name}`, () =>
      Effect.gen(function* () {
        const seen: Array<unknown> = []
        const signal = Signal.make("said", { payload: payload as Schema.Codec<any> })
        const saga = Saga.make("S", { context: {} }).pipe(
          Saga.waitFor("ask", { signal, timeout: "2 days", onTimeout: onTimeout as Saga.OnTimeout<object, any> }),
          Saga.local("next", { execute: ({ ask }) => Effect.sync(() => void seen.push(ask)) }),
          Saga.commit
        )
        yield* Effect.gen(function* () {
          for (const said of payload === Schema.String ? ["yes"] : [undefined]) {
            const { uuid } = yield* SagaManager.run(saga, { context: {}, pauseOnDisk: true })
            yield* SagaManager.signal(signal, { uuid, payload: said })
          }
          const late = yield* Effect.forkChild(SagaManager.run(saga, { context: {} }))
          yield* TestClock.adjust("2 days")
          assert.strictEqual((yield* Fiber.join(late)).status, "finished")
          assert.deepStrictEqual(seen, [payload === Schema.String ? "yes" : undefined, onTimeout.value()])
        }).pipe(Effect.provide(layer(saga)))
      })
    )
})

describe("a deadline (C18)", () => {
  it.effect("rolls the execution back, and its caller gets SagaDeadlinePassed", () =>
    Effect.gen(function* () {
      const undone: Array<string> = []
      const saga = Saga.make("S", { context: {}, deadline: "3 days" }).pipe(
        Saga.local("stock", {
          execute: () => Effect.void,
          compensate: () => Effect.sync(() => void undone.push("stock"))
        }),
        Saga.waitFor("ask", { signal: Approval }),
        Saga.commit
      )
      const exit = yield* Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(SagaManager.run(saga, { context: {} }))
        yield* TestClock.adjust("3 days")
        return yield* Fiber.await(fiber)
      }).pipe(Effect.provide(layer(saga)))
      const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : exit
      assert.instanceOf(error, SagaError.SagaFailedExecution)
      assert.instanceOf((error as SagaError.SagaFailedExecution<never>).cause, SagaError.SagaDeadlinePassed)
      assert.deepStrictEqual(undone, ["stock"])
    })
  )
})

describe("the rollback plan (C16)", () => {
  const undone: Array<string> = []
  const step = (name: string) => ({
    execute: () => Effect.void,
    compensate: () => Effect.sync(() => void undone.push(name))
  })
  const Ping = Signal.make("ping", { payload: Schema.Void })
  const saga = Saga.make("S", { context: {} }).pipe(
    Saga.local("a", step("a")),
    Saga.sleep("nap", "1 minute"),
    Saga.parallel("both", {
      left: (branch) =>
        branch.pipe(Saga.local("l", step("l")), Saga.waitFor("ask", { signal: Ping, timeout: "1 day" })),
      right: (branch) => branch.pipe(Saga.local("r", step("r")), Saga.sleep("rest", "2 days"))
    }),
    Saga.commit
  )
  const names = (plan: Saga.RollbackPlan): ReadonlyArray<string> =>
    plan.flatMap((entry) => ("plans" in entry ? entry.plans.flatMap(names) : [entry.step]))

  for (const how of ["a wait whose time is over", "a cancel while all branches wait"])
    it.effect(`has no waits, and says what ${how} compensates`, () =>
      Effect.gen(function* () {
        undone.length = 0
        const manager = yield* SagaManager.SagaManager
        const { uuid } = yield* SagaManager.run(saga, { context: {}, pauseOnDisk: true })
        yield* TestClock.adjust("1 hour")
        if (how.includes("cancel")) yield* manager.cancel(uuid)
        yield* TestClock.adjust("1 day")
        assert.deepInclude(yield* manager.load(uuid), { status: "errored", alreadyRollback: true })
        const plan = Saga.rollbackPlan(saga, "2/b0/1")
        assert.sameMembers([...names(plan)], undone)
        assert.strictEqual(undone.at(-1), "a")
      }).pipe(Effect.provide(layer(saga)))
    )
})

describe("a crash (C16)", () => {
  it.effect("at any instruction leaves a wait that ends in time, with the same result", () =>
    Effect.gen(function* () {
      const saga = make.pipe(
        Saga.sleep("nap", "5 minutes"),
        Saga.waitFor("ask", {
          signal: Approval,
          timeout: ({ days }) => days * 60_000,
          onTimeout: { success: Schema.Literal("nobody"), value: () => "nobody" }
        }),
        Saga.commit
      )
      const runs = yield* SagaTest.crashPoints(saga, { context: { days: 10 }, layer: Layer.empty })
      for (const { crash, execution } of runs) {
        assert.strictEqual(execution.status, "finished", crash)
        assert.deepStrictEqual(SagaStory.outline(execution).slice(-3), ["nap succeeded", "ask succeeded", "finished"])
      }
      assert.isAbove(runs.length, 3)
    })
  )
})
