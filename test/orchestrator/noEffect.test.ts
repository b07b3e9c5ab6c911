/**
 * Functions of an author that give no effect, as an async function does: plain JavaScript, or a value of type `any`. Such a function
 * is a defect of its step or handler, and holds nothing back: no transaction, no place, no other execution.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { runInside } from "../../src/ports/SagaTransaction.ts"
import { turn } from "../fixtures/repository.ts"

/** Cast: nothing of it is what the types say. */
const asEffect = (value: unknown) => value as Effect.Effect<never>

const done: Array<string> = []
const note = (text: string) => Effect.sync(() => void done.push(text))

const Careless = Participant.make("careless", {
  Charge: { payload: {} },
  Refund: { payload: {} },
  Look: { payload: {} }
})

const made = <const Name extends string>(name: Name) =>
  Saga.make(name, { context: {} }).pipe(
    Saga.local("first", { execute: () => Effect.void, compensate: () => note("first undone") })
  )

const AtOnce = made("AtOnce").pipe(
  Saga.local("charge", {
    execute: () => {
      done.push("ran")
      return asEffect(Promise.resolve())
    }
  }),
  Saga.commit
)

const goesOn = Effect.flatMap(note("ran"), () => asEffect(Promise.resolve()))

const Later = made("Later").pipe(Saga.local("charge", { execute: () => goesOn }), Saga.commit)

const Transactional = made("Transactional").pipe(
  Saga.local("charge", { execute: () => goesOn, transactional: true }),
  Saga.commit
)

const Compensation = made("Compensation").pipe(
  Saga.local("charge", {
    execute: () => Effect.void,
    compensate: () => asEffect(Promise.resolve()),
    retryCompensate: { times: 1, backoff: "1 second" }
  }),
  Saga.local("fails", { execute: () => Effect.die("a bug") }),
  Saga.commit
)

const ofCommand = (command: "Charge" | "Refund") =>
  made(`Remote${command}`).pipe(
    Saga.remote("charge", { execute: { command: Careless.commands[command], payload: () => ({}) } }),
    Saga.commit
  )

const Remote = { Charge: ofCommand("Charge"), Refund: ofCommand("Refund") }

const Looks = made("Looks").pipe(
  Saga.remote("look", { execute: { command: Careless.commands.Look, payload: () => ({}) } }),
  Saga.commit
)

const sagas = [AtOnce, Later, Transactional, Compensation, Remote.Charge, Remote.Refund, Looks]

const layer = Layer.merge(
  SagaManager.layer(sagas),
  Participant.layer(Careless, {
    Charge: () => asEffect(Promise.resolve()),
    Refund: () => Effect.flatMap(Effect.void, () => asEffect(Promise.resolve())),
    Look: () => Effect.void
  }).pipe(Layer.provide(ParticipantStore.layerMemory))
).pipe(
  Layer.provideMerge([
    SagaConfig.layer({ service: "orders" }),
    SagaExecutionRepository.layerMemory,
    Broker.layerMemory,
    TransactionCommitter.layerNone
  ]),
  Layer.provide(Logger.layer([]))
)

/** The end of an execution, in virtual time. */
const ended = Effect.fnUntraced(function* (running: Effect.Effect<unknown, unknown, SagaManager.SagaManager>) {
  done.length = 0
  const fiber = yield* Effect.forkChild(Effect.exit(running))
  for (let round = 0; round < 200 && fiber.pollUnsafe() === undefined; round++) {
    for (let i = 0; i < 10; i++) yield* turn
    yield* TestClock.adjust("1 second")
  }
  return yield* Fiber.join(fiber)
})

describe("functions that give no effect", () => {
  it.effect("a local step fails, and what was done before is undone", () =>
    Effect.gen(function* () {
      const exit = yield* ended(SagaManager.run(AtOnce, { context: {}, raiseOnError: false }))
      assert.deepInclude(exit, { _tag: "Success" })
      assert.deepStrictEqual(done, ["ran", "first undone"])
    }).pipe(Effect.provide(layer))
  )

  it.effect("a local step that goes on with none ends its runner once, and fails when it is run again", () =>
    Effect.gen(function* () {
      // The caller hears of the runner that died.
      assert.deepInclude(yield* ended(SagaManager.run(Later, { context: {}, raiseOnError: false })), {
        _tag: "Failure"
      })
      const manager = yield* SagaManager.SagaManager
      for (let round = 0; round < 60; round++) yield* Effect.andThen(turn, TestClock.adjust("1 second"))
      assert.deepStrictEqual(done, ["ran", "ran", "first undone"])
      assert.strictEqual((yield* manager.find({ parked: true })).items.length, 0)
    }).pipe(Effect.provide(layer))
  )

  it.effect("a transactional step fails, and its transaction is over", () =>
    Effect.gen(function* () {
      for (let n = 0; n < 20; n++) {
        yield* ended(SagaManager.run(Transactional, { context: {}, raiseOnError: false }))
        assert.deepStrictEqual(done, ["ran", "first undone"])
      }
    }).pipe(Effect.provide(layer))
  )

  it.effect("a compensation is tried again and parked, and the others are undone", () =>
    Effect.gen(function* () {
      yield* ended(SagaManager.run(Compensation, { context: {}, raiseOnError: false }))
      assert.deepStrictEqual(done, ["first undone"])
      const manager = yield* SagaManager.SagaManager
      const { items } = yield* manager.find({ parked: true })
      assert.deepStrictEqual(
        items.map(({ saga }) => saga),
        ["Compensation"]
      )
    }).pipe(Effect.provide(layer))
  )

  for (const command of ["Charge", "Refund"] as const)
    it.effect(`a handler is answered for, and takes no place for ever (${command})`, () =>
      Effect.gen(function* () {
        const many = Effect.forEach(
          Array.from({ length: 200 }, (_, n) => n),
          () => SagaManager.run(Remote[command], { context: {}, raiseOnError: false }),
          { concurrency: "unbounded", discard: true }
        )
        assert.deepInclude(yield* ended(many), { _tag: "Success" })
        assert.strictEqual(done.length, 200)
        assert.deepInclude(yield* ended(SagaManager.execute(Looks, { context: {} })), { _tag: "Success" })
      }).pipe(Effect.provide(layer))
    )

  it.effect("an interruption reaches the code, and waits for it", () =>
    Effect.gen(function* () {
      done.length = 0
      const code = Effect.never.pipe(Effect.onInterrupt(() => Effect.andThen(Effect.yieldNow, note("cleaned"))))
      const of = { uuid: "u", saga: "S", path: "0", idempotencyKey: "k", epoch: 0, user: undefined, headers: {} }
      const fiber = yield* Effect.forkChild(runInside({ ...of, enrol: () => Effect.void }, () => code))
      yield* turn
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(done, ["cleaned"])
    })
  )
})
