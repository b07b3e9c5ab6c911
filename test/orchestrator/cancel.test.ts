/**
 * C16, C20: a cancel of an execution whose step takes long. Its caller does not wait for the step, and the wish is stored, so that no
 * process that stops loses it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Result } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaExecutionRepository, SagaManager } from "effect-saga"
import type { SagaExecution } from "effect-saga/internals"
import * as CancelDoor from "../../src/orchestrator/CancelDoor.ts"
import { begin, type Story } from "../execution/rules/story.ts"
import { lines, makeWorld, open, quiet, until, type World, write } from "../fixtures/manager.ts"

const config = { recoveryInterval: "3 seconds", lease: "9 seconds", shutdownGrace: "1 second" } as const
const ada = { actor: "ada", reason: "ordered twice" }

/** A saga whose second step lasts until the gate opens. */
const gated = (gate: Deferred.Deferred<void>) =>
  Saga.make("Gated", { context: {} }).pipe(
    Saga.local("first", { execute: () => write("first"), compensate: () => write("undo first") }),
    Saga.local("busy", {
      execute: () => Effect.andThen(write("busy"), Deferred.await(gate)),
      compensate: () => write("undo busy")
    }),
    Saga.local("after", { execute: () => write("after") }),
    Saga.commit
  )

/** Two instances, and an execution whose step lasts at the first one. */
const inStep = Effect.fnUntraced(function* (gate: Deferred.Deferred<void>) {
  const world = yield* makeWorld({ keep: 10 })
  const sagas = [gated(gate)]
  const one = yield* open(world, { ...config, sagas })
  const two = yield* open(world, { ...config, sagas })
  const running = yield* Effect.forkChild(
    Effect.result(one.use(SagaManager.run(sagas[0]!, { context: {}, startKey: "order 1" })))
  )
  yield* until("the step runs", () => lines(world).includes("busy"))
  const [{ uuid } = { uuid: "" }] = (yield* two.manager.find({ startKey: "order 1" })).items
  return { one, two, running, uuid, world }
})

const inbox = ({ store }: World, uuid: string) => store.repository.inbox(uuid)
const facts = ({ events }: SagaExecution.SagaExecution, tag: string) => events.filter(({ _tag }) => _tag === tag)

/** The answer to a caller after ten seconds, which is the longest that it waits. */
const told = Effect.fnUntraced(function* <A, E>(call: Effect.Effect<A, E>) {
  const fiber = yield* Effect.forkChild(Effect.result(call))
  yield* quiet
  yield* TestClock.adjust("9 seconds")
  yield* quiet
  assert.isUndefined(fiber.pollUnsafe())
  yield* TestClock.adjust("1 second")
  for (let round = 0; round < 20 && fiber.pollUnsafe() === undefined; round++) yield* quiet
  assert.isDefined(fiber.pollUnsafe())
  return yield* Fiber.join(fiber)
})

const rolledBack = Effect.fnUntraced(function* (
  { running, two, uuid }: Effect.Success<ReturnType<typeof inStep>>,
  gate: Deferred.Deferred<void>
) {
  yield* Deferred.succeed(gate, undefined)
  yield* until("it has ended", () => running.pollUnsafe() !== undefined)
  yield* quiet
  assert.isTrue(Result.isFailure(yield* Fiber.join(running)))
  return yield* two.manager.load(uuid)
})

describe("C16 C20 a cancel while a step runs", () => {
  for (const from of ["one", "two"] as const)
    it.effect(
      `by ${from === "one" ? "the process that runs it" : "another process"} is stored, and its caller told so`,
      () => {
        const gate = Deferred.makeUnsafe<void>()
        return Effect.gen(function* () {
          const found = yield* inStep(gate)
          const { uuid, world } = found
          const { manager } = found[from]
          const cancelled = yield* Effect.fromResult(yield* told(manager.cancel(uuid, ada)))
          assert.deepStrictEqual([cancelled.uuid, cancelled.state.direction], [uuid, "forward"])
          assert.deepInclude((yield* inbox(world, uuid))[0], ada)
          // A second time changes nothing, whoever asks.
          yield* Effect.fromResult(yield* told(manager.cancel(uuid.toUpperCase(), ada)))
          const end = yield* rolledBack(found, gate)
          assert.deepStrictEqual(lines(world), ["first", "busy", "undo busy", "undo first"])
          assert.deepStrictEqual([end.status, end.settled, (yield* inbox(world, uuid)).length], ["errored", true, 0])
          assert.deepInclude(end.cause, { _tag: "SagaCancelled", ...ada })
          assert.deepStrictEqual(facts(end, "RollbackStarted").length, 1)
          assert.deepStrictEqual(facts(end, "ActionRefused"), [])
        })
      }
    )

  it.effect("is one row, however often one person asks", () => {
    const gate = Deferred.makeUnsafe<void>()
    return Effect.gen(function* () {
      const found = yield* inStep(gate)
      const { one, uuid, world } = found
      yield* told(one.manager.cancel(uuid, ada))
      yield* told(one.manager.cancel(uuid, ada))
      assert.strictEqual((yield* inbox(world, uuid)).length, 1)
      yield* told(one.manager.cancel(uuid))
      yield* told(one.manager.cancel(uuid))
      assert.strictEqual((yield* inbox(world, uuid)).length, 2)
      const end = yield* rolledBack(found, gate)
      assert.strictEqual(facts(end, "ActionApplied").length, 2)
    })
  })

  it.effect("is not lost with the process that was told of it", () => {
    const gate = Deferred.makeUnsafe<void>()
    return Effect.gen(function* () {
      const { one, two, uuid, world } = yield* inStep(gate)
      yield* told(one.manager.cancel(uuid, ada))
      const closing = yield* Effect.forkChild(one.close)
      yield* quiet
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
      // The next process runs what was half done, and undoes it.
      yield* Deferred.succeed(gate, undefined)
      for (let round = 0; round < 5; round++) yield* Effect.andThen(TestClock.adjust("3 seconds"), quiet)
      const end = yield* two.manager.load(uuid)
      assert.deepInclude(end.cause, { _tag: "SagaCancelled", ...ada })
      assert.deepStrictEqual([end.status, end.settled], ["errored", true])
      assert.deepStrictEqual(lines(world), ["first", "busy", "busy", "undo busy", "undo first"])
    })
  })

  it.effect("that comes too late is refused by what is stored", () => {
    const gate = Deferred.makeUnsafe<void>()
    const Decided = Saga.make("Decided", { context: {} }).pipe(
      Saga.pivot,
      Saga.local("busy", { execute: () => Effect.andThen(write("busy"), Deferred.await(gate)) }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const { manager, use } = yield* open(world, { ...config, sagas: [Decided] })
      const uuid = yield* use(SagaManager.start(Decided, { context: {} }))
      yield* until("the step runs", () => lines(world).includes("busy"))
      const refused = yield* told(manager.cancel(uuid, ada))
      assert.strictEqual(Result.isFailure(refused) && refused.failure._tag, "SagaNotCancellable")
      assert.deepStrictEqual(yield* inbox(world, uuid), [])
      yield* Deferred.succeed(gate, undefined)
      yield* quiet
      assert.strictEqual((yield* manager.load(uuid)).status, "finished")
    })
  })

  it.effect("by the step itself is stored at once", () =>
    Effect.gen(function* () {
      const Self = Saga.make("Self", { context: {} }).pipe(
        Saga.local("first", { execute: () => write("first"), compensate: () => write("undo first") }),
        Saga.local("cancels", {
          execute: () =>
            Effect.gen(function* () {
              const manager = yield* SagaManager.SagaManager
              const [{ uuid } = { uuid: "" }] = (yield* manager.find({ startKey: "order 2" })).items
              yield* Effect.orDie(manager.cancel(uuid, ada))
              yield* write("cancelled")
            }).pipe(Effect.orDie),
          compensate: () => write("undo cancels")
        }),
        Saga.local("after", { execute: () => write("after") }),
        Saga.commit
      )
      const world = yield* makeWorld({ keep: 10 })
      const { use } = yield* open(world, { ...config, sagas: [Self] })
      const running = yield* Effect.forkChild(
        Effect.flip(use(SagaManager.run(Self, { context: {}, startKey: "order 2" })))
      )
      yield* until("it says so", () => lines(world).includes("cancelled"))
      yield* until("it has ended", () => running.pollUnsafe() !== undefined)
      const error = yield* Fiber.join(running)
      assert.strictEqual(error._tag, "SagaFailedExecution")
      assert.deepStrictEqual(lines(world), ["first", "cancelled", "undo cancels", "undo first"])
    })
  )
})

describe("a cancel that its owner does not come to", () => {
  const Short = Saga.make("Short", { context: {} }).pipe(
    Saga.local("only", { execute: () => Effect.void }),
    Saga.commit
  )
  const running = begin(Short).start().decided().stored()
  const cancelled = running.cancels().decided().stored()
  const finished = running.succeeds("0").decided().stored()

  /** The door of an owner that never answers, before a store that gives these executions one after the other. */
  const left = Effect.fnUntraced(function* (
    executions: ReadonlyArray<Story>,
    answer: "stored" | "settled",
    inbox: CancelDoor.Keeper["repository"]["inbox"] = () => Effect.succeed([])
  ) {
    const calls: Array<string> = []
    const loads = executions.map(({ execution }) => execution)
    const load = () => Effect.sync(() => loads.shift()!)
    const called = <A>(name: string, result: A) =>
      Effect.as(
        Effect.sync(() => calls.push(name)),
        result
      )
    const keeper: CancelDoor.Keeper = {
      load,
      repository: { inbox, load, submit: () => called("submit", answer) },
      membership: { wake: () => called("wake", undefined) }
    }
    const silent: any = { submit: () => Effect.never } // the door calls nothing else
    const fiber = yield* Effect.forkChild(Effect.result(CancelDoor.cancel(silent, keeper, running.state.uuid, ada)))
    yield* quiet
    yield* TestClock.adjust("10 seconds")
    return [yield* Fiber.join(fiber), calls] as const
  })

  it.effect("C16 is left in a store that cannot say what waits there", () =>
    Effect.gen(function* () {
      const unsupported = new SagaExecutionRepository.SagaRepositoryUnsupported({ operation: "inbox" })
      const [answer, calls] = yield* left([running], "stored", () => Effect.fail(unsupported))
      assert.deepStrictEqual([Result.isSuccess(answer), calls], [true, ["submit", "wake"]])
    })
  )

  it.effect("C16 is not left where it has come to pass, or where an end comes first", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* left([cancelled], "stored"))[1], [])
      const [answer, calls] = yield* left([running, finished], "settled")
      assert.deepStrictEqual(calls, ["submit"])
      assert.strictEqual(Result.isFailure(answer) && answer.failure._tag, "SagaNotCancellable")
    })
  )
})
