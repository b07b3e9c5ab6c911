/** People at work: values from before, rollbacks that failed in part, rejects after a failure. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecution,
  SagaExecutionRepository,
  SagaManager,
  SagaRunner,
  Signal,
  TransactionCommitter
} from "effect-saga"
import { CreateOrder, context, refusing, start } from "../fixtures/manager.ts"

const who = { actor: "ada", reason: "the bank is back" }

/** A charge whose compensation fails until the bank is back. */
const world = () => {
  const lines: Array<string> = []
  const bank = { isBack: true }
  const Order = Saga.make("Order", { context: {} }).pipe(
    Saga.local("stock", {
      execute: () => Effect.sync(() => void lines.push("stock")),
      compensate: () => Effect.sync(() => void lines.push("stock back"))
    }),
    Saga.local("charge", {
      execute: () => Effect.sync(() => void lines.push("charge")),
      compensate: () =>
        Effect.suspend(() =>
          bank.isBack ? Effect.sync(() => void lines.push("charge back")) : Effect.die(new Error("the bank is away"))
        ),
      retryCompensate: { times: 2, backoff: "10 seconds" }
    }),
    Saga.commit
  )
  const layer = SagaRunner.layer([Order]).pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        SagaConfig.layer({ service: "orders" }),
        SagaExecutionRepository.layerMemoryWith({ keep: 9 }),
        Broker.layerMemory,
        TransactionCommitter.layerNone
      )
    )
  )
  return { Order, bank, layer, lines }
}
type Runner = SagaRunner.SagaRunner["Service"]

/** An execution with all steps done and nothing decided, and the value that it was started from. */
const done = (Order: ReturnType<typeof world>["Order"]) =>
  Effect.gen(function* () {
    const runner = yield* SagaRunner.SagaRunner
    const created = yield* SagaExecution.fromDefinition(Order)
    const finished = yield* runner.execute(created, { autocommit: false })
    return { runner, created, finished }
  })

describe("a value from before the first write", () => {
  for (const [name, act, status, back] of [
    ["rollback", (runner: Runner) => runner.rollback, "errored", ["charge back", "stock back"]],
    ["reject", (runner: Runner) => runner.reject, "errored", ["charge back", "stock back"]],
    ["cancel", (runner: Runner) => runner.cancel, "errored", ["charge back", "stock back"]],
    ["commit", (runner: Runner) => runner.commit, "finished", []]
  ] as const)
    it.effect(`F25: ${name} with the value that was executed acts on the execution as it is stored`, () => {
      const { layer, lines, Order } = world()
      return Effect.gen(function* () {
        const { created, finished, runner } = yield* done(Order)
        const after = yield* act(runner)(created)
        assert.deepStrictEqual([created.revision, after.status], [0, status])
        assert.isAbove(after.revision, finished.revision)
        assert.deepStrictEqual(lines, ["stock", "charge", ...back])
      }).pipe(Effect.provide(layer))
    })

  it.effect("F25: a value that was executed is not executed again", () => {
    const { layer, lines, Order } = world()
    return Effect.gen(function* () {
      const { created, runner } = yield* done(Order)
      const again = yield* Effect.flip(runner.execute(created))
      assert.deepInclude(again, { _tag: "SagaExecutionAlreadyExecuted", status: "finished" })
      assert.deepStrictEqual(lines, ["stock", "charge"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("F25: another execution that has taken the uuid is left alone", () => {
    const { layer, lines, Order } = world()
    const uuid = "0e9f4f0a-7c1f-4b4e-9a55-111111111111"
    const Other = Saga.make("Other", { context: {} }).pipe(
      Saga.local("one", { execute: () => Effect.void }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const runner = yield* SagaRunner.SagaRunner
      yield* runner.execute(yield* SagaExecution.fromDefinition(Order, { uuid }), { autocommit: false })
      const other = yield* SagaExecution.fromDefinition(Other, { uuid })
      const refused = yield* Effect.flip(runner.rollback(other))
      assert.deepInclude(refused, { _tag: "SagaRollbackExecution", reason: "nothing-to-do" })
      assert.deepInclude(yield* Effect.flip(runner.execute(other)), { _tag: "SagaExecutionConflict", existing: uuid })
      assert.deepStrictEqual(lines, ["stock", "charge"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("F25: a value that was never executed has nothing to roll back, and can still be executed", () => {
    const { layer, lines, Order } = world()
    return Effect.gen(function* () {
      const runner = yield* SagaRunner.SagaRunner
      const created = yield* SagaExecution.fromDefinition(Order)
      assert.deepInclude(yield* Effect.flip(runner.rollback(created)), { reason: "nothing-to-do" })
      assert.strictEqual((yield* runner.execute(created)).status, "finished")
      assert.deepStrictEqual(lines, ["stock", "charge"])
    }).pipe(Effect.provide(layer))
  })
})

describe("a rollback that has failed in part", () => {
  /** The execution after a rollback in which the bank was away. */
  const parked = (it: ReturnType<typeof world>) =>
    Effect.gen(function* () {
      const { finished, runner } = yield* done(it.Order)
      it.bank.isBack = false
      const rolling = yield* Effect.forkChild(runner.rollback(finished))
      yield* TestClock.adjust("1 minute")
      const execution = yield* Fiber.join(rolling)
      assert.deepStrictEqual([execution.parked, execution.alreadyRollback], [["1"], false])
      assert.deepStrictEqual(it.lines, ["stock", "charge", "stock back"])
      return { runner, execution }
    })

  it.effect("F34: retryParked of the runner finishes it, with the person in the history", () => {
    const it = world()
    return Effect.gen(function* () {
      const { execution, runner } = yield* parked(it)
      it.bank.isBack = true
      const after = yield* runner.retryParked(execution, "1", who)
      assert.deepInclude(after, { status: "errored", alreadyRollback: true, settled: true })
      assert.deepStrictEqual(it.lines, ["stock", "charge", "stock back", "charge back"])
      assert.isTrue(after.events.some((event) => event._tag === "StepUnparked" && event.actor === "ada"))
      const again = yield* Effect.flip(runner.retryParked(after, "1", who))
      assert.deepInclude(again, { _tag: "SagaStepNotParked", path: "1" })
    }).pipe(Effect.provide(it.layer))
  })

  it.effect("F34: retryParked of the runner tries as often as the step says before it is parked again", () => {
    const it = world()
    return Effect.gen(function* () {
      const { execution, runner } = yield* parked(it)
      const retrying = yield* Effect.forkChild(runner.retryParked(execution, "1", who))
      yield* TestClock.adjust("15 seconds")
      it.bank.isBack = true
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(yield* Fiber.join(retrying), { alreadyRollback: true, settled: true })
    }).pipe(Effect.provide(it.layer))
  })

  it.effect("F34: resolveParked of the runner declares the step compensated", () => {
    const it = world()
    return Effect.gen(function* () {
      const { execution, runner } = yield* parked(it)
      const after = yield* runner.resolveParked(execution, "1", who)
      assert.deepInclude(after, { alreadyRollback: true, settled: true })
      assert.deepStrictEqual(it.lines, ["stock", "charge", "stock back"])
    }).pipe(Effect.provide(it.layer))
  })
})

describe("a reject by hand", () => {
  for (const enrols of [true, "two-phase"] as const)
    it.effect(`F34: reject of a failed execution returns when its rejects have left (committer: ${enrols})`, () =>
      Effect.gen(function* () {
        const { manager, story, use, wire } = yield* start({ keep: 1, enrols })
        wire.answer = refusing
        const { uuid } = yield* use(SagaManager.run(CreateOrder, { context, autocommit: false, raiseOnError: false }))
        assert.deepInclude(yield* manager.load(uuid), { status: "errored", commitState: "none" })
        const rejects = () => story.filter((line) => /^(sent )?reject /.test(line)).length
        assert.strictEqual(rejects(), 0)
        // Nobody answers: the caller does not wait for that.
        wire.answer = () => undefined
        const rejected = yield* manager.reject(uuid)
        assert.strictEqual(rejected.status, "errored")
        assert.strictEqual(rejects(), enrols === true ? 1 : 2)
        yield* manager.reject(uuid)
      })
    )
})

describe("waits by hand", () => {
  const Approval = Signal.make("approval", { payload: Schema.Struct({ by: Schema.String }) })
  const Waits = Saga.make("Waits", { context: {} }).pipe(
    Saga.sleep("cooling", "3 days"),
    Saga.waitFor("approval", { signal: Approval, timeout: "2 days" }),
    Saga.commit
  )
  const layer = SagaRunner.layer([Waits]).pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        SagaConfig.layer({ service: "orders" }),
        SagaExecutionRepository.layerMemoryWith({ keep: 9 }),
        Broker.layerMemory,
        TransactionCommitter.layerNone
      )
    )
  )

  it.effect("C16 a sleep and a wait are pauses, and a signal by hand ends the wait", () =>
    Effect.gen(function* () {
      const runner = yield* SagaRunner.SagaRunner
      const asleep = yield* runner.execute(yield* SagaExecution.fromDefinition(Waits))
      assert.strictEqual(asleep.status, "paused")
      assert.strictEqual((yield* runner.execute(asleep)).revision, asleep.revision)
      // Before anybody waits for it.
      const early = yield* runner.signal(asleep, Approval, { payload: { by: "Ann" }, actor: "ann" })
      assert.strictEqual(early.status, "paused")
      const conflict = yield* Effect.flip(runner.signal(early, Approval, { payload: { by: "Bob" } }))
      assert.strictEqual(conflict._tag, "SagaSignalConflict")
      const invalid = yield* Effect.flip(runner.signal(early, Approval, { payload: { by: 7 } as any }))
      assert.strictEqual(invalid._tag, "SagaSignalInvalid")
      yield* TestClock.adjust("3 days")
      assert.strictEqual((yield* runner.execute(early)).status, "finished")
    }).pipe(Effect.provide(layer))
  )

  it.effect("C16 a wait whose time is over fails when it is looked at", () =>
    Effect.gen(function* () {
      const runner = yield* SagaRunner.SagaRunner
      const asleep = yield* runner.execute(yield* SagaExecution.fromDefinition(Waits))
      yield* TestClock.adjust("3 days")
      const waits = yield* runner.execute(asleep)
      assert.strictEqual(waits.status, "paused")
      yield* TestClock.adjust("2 days")
      assert.strictEqual((yield* Effect.flip(runner.execute(waits)))._tag, "SagaFailedExecution")
    }).pipe(Effect.provide(layer))
  )
})
