/** F3: a process that stops in good order lets the steps end that are under way, and begins no other. On the real clock. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Logger, Schema, Scope } from "effect"
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

const quiet = Logger.layer([])

/** A place in a step: it says that it is there, and goes on when it is told. */
const gate = () => {
  const reached = Deferred.makeUnsafe<void>()
  const opened = Deferred.makeUnsafe<void>()
  return {
    reached: Deferred.await(reached),
    open: Deferred.succeed(opened, undefined),
    pass: Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(opened))
  }
}

const sagaOf = (
  log: Array<string>,
  charge: Effect.Effect<void>,
  options: { readonly onCrash?: "retry" | "park" } = {}
) =>
  Saga.make("Pay", { context: {} }).pipe(
    Saga.local("payment", {
      success: Schema.String,
      execute: () =>
        Effect.sync(() => log.push("begun")).pipe(
          Effect.andThen(charge),
          Effect.andThen(Effect.sync(() => log.push("charged"))),
          Effect.as("p1"),
          Effect.onInterrupt(() => Effect.sync(() => log.push("interrupted")))
        ),
      ...options
    }),
    Saga.local("receipt", { execute: () => Effect.sync(() => void log.push("receipt")) }),
    Saga.commit
  )

type Repository = SagaExecutionRepository.SagaExecutionRepository["Service"]

/** Builds processes on the same repository. */
const processesOn = Effect.fnUntraced(function* (seen: (inner: Repository) => Repository) {
  const shared = yield* Layer.build(
    Layer.mergeAll(
      SagaExecutionRepository.layerMemoryWith({ keep: 10, shared: true }),
      Broker.layerMemory,
      ParticipantStore.layerMemory,
      TransactionCommitter.layerNone
    )
  )
  const tag = SagaExecutionRepository.SagaExecutionRepository
  const repository = Context.make(tag, seen(Context.get(shared, tag)))
  return Effect.fnUntraced(function* <A, E>(
    layer: Layer.Layer<A, E, any>,
    shutdownGrace: "10 seconds" | "20 millis" | 0,
    lease: "9 seconds" | "200 millis" = "9 seconds"
  ) {
    const scope = yield* Scope.make()
    const config = SagaConfig.layer({ service: "orders", recoveryInterval: "20 millis", shutdownGrace, lease })
    const services = yield* Layer.buildWithScope(
      Layer.provide(layer, [
        Layer.orDie(config),
        Layer.succeedContext(Context.merge(shared, repository))
      ]) as Layer.Layer<A>,
      scope
    )
    return { services, close: Scope.close(scope, Exit.void) }
  })
})

const processes = processesOn((repository) => repository)

describe("a process that stops", () => {
  for (const onCrash of ["retry", "park"] as const) {
    it.live(
      `F3 a process that stops lets a step end and keeps its result; the next process does not run it again (onCrash: ${onCrash})`,
      () =>
        Effect.gen(function* () {
          const open = yield* processes
          const log: Array<string> = []
          const step = gate()
          const saga = sagaOf(log, step.pass, { onCrash })
          const first = yield* open(SagaManager.layer([saga]), "10 seconds")
          const caller = yield* Effect.forkChild(
            Effect.exit(Effect.provideContext(SagaManager.run(saga, { context: {}, startKey: "one" }), first.services))
          )
          yield* step.reached
          const closing = yield* Effect.forkChild(first.close)
          yield* Effect.repeat(Effect.yieldNow, { times: 20 })
          assert.isUndefined(closing.pollUnsafe(), "it waits for the step")
          yield* step.open
          yield* Fiber.join(closing)
          yield* Fiber.await(caller)
          assert.deepStrictEqual(log, ["begun", "charged"], "nothing new begins")
          const second = yield* open(SagaManager.layer([saga]), "10 seconds")
          const execution = yield* Effect.provideContext(
            SagaManager.run(saga, { context: {}, startKey: "one" }),
            second.services
          )
          assert.strictEqual(execution.status, "finished")
          assert.deepStrictEqual(execution.parked, [])
          assert.deepStrictEqual(log, ["begun", "charged", "receipt"])
          yield* second.close
        }).pipe(Effect.scoped, Effect.provide(quiet))
    )
  }

  for (const shutdownGrace of ["20 millis", 0] as const) {
    it.live(`F3 a process that stops interrupts a step that does not end within shutdownGrace (${shutdownGrace})`, () =>
      Effect.gen(function* () {
        const open = yield* processes
        const log: Array<string> = []
        const step = gate()
        const saga = sagaOf(log, step.pass)
        const first = yield* open(SagaManager.layer([saga]), shutdownGrace)
        const caller = yield* Effect.forkChild(
          Effect.exit(Effect.provideContext(SagaManager.run(saga, { context: {} }), first.services))
        )
        yield* step.reached
        yield* first.close
        yield* Fiber.await(caller)
        assert.deepStrictEqual(log, ["begun", "interrupted"])
      }).pipe(Effect.scoped, Effect.provide(quiet))
    )
  }

  for (const shutdownGrace of ["20 millis", 0] as const) {
    it.live(`F3 a result that is being stored when the grace is over is not lost (${shutdownGrace})`, () =>
      Effect.gen(function* () {
        const log: Array<string> = []
        const write = gate()
        // The second write has the result of the step.
        const open = yield* processesOn((inner) => ({
          ...inner,
          store: (execution, hint) =>
            log.at(-1) === "charged"
              ? Effect.andThen(write.pass, inner.store(execution, hint))
              : inner.store(execution, hint)
        }))
        const saga = sagaOf(log, Effect.void)
        const first = yield* open(SagaManager.layer([saga]), shutdownGrace)
        const caller = yield* Effect.forkChild(
          Effect.exit(Effect.provideContext(SagaManager.run(saga, { context: {}, startKey: "one" }), first.services))
        )
        yield* write.reached
        const closing = yield* Effect.forkChild(first.close)
        yield* Effect.sleep("50 millis")
        yield* write.open
        yield* Fiber.join(closing)
        yield* Fiber.await(caller)
        const second = yield* open(SagaManager.layer([saga]), 0)
        yield* Effect.provideContext(SagaManager.run(saga, { context: {}, startKey: "one" }), second.services)
        assert.deepStrictEqual(log, ["begun", "charged", "receipt"])
        yield* second.close
      }).pipe(Effect.scoped, Effect.provide(quiet))
    )
  }

  it.live("F3 I28 a process that stops renews its lease while a step ends: no other one takes the step", () =>
    Effect.gen(function* () {
      const open = yield* processes
      const log: Array<string> = []
      const step = gate()
      const saga = sagaOf(log, step.pass)
      const first = yield* open(SagaManager.layer([saga]), "10 seconds", "200 millis")
      const second = yield* open(SagaManager.layer([saga]), "10 seconds", "200 millis")
      const caller = yield* Effect.forkChild(
        Effect.exit(Effect.provideContext(SagaManager.run(saga, { context: {}, startKey: "one" }), first.services))
      )
      yield* step.reached
      const closing = yield* Effect.forkChild(first.close)
      // Three leases.
      yield* Effect.sleep("600 millis")
      assert.deepStrictEqual(log, ["begun"])
      yield* step.open
      yield* Fiber.join(closing)
      yield* Fiber.await(caller)
      yield* Effect.provideContext(SagaManager.run(saga, { context: {}, startKey: "one" }), second.services)
      assert.deepStrictEqual(log, ["begun", "charged", "receipt"])
      yield* second.close
    }).pipe(Effect.scoped, Effect.provide(quiet))
  )

  it.live("F3 a participant that stops lets a handler end, and answers", () =>
    Effect.gen(function* () {
      const open = yield* processes
      const log: Array<string> = []
      const handler = gate()
      const Bank = Participant.make("bank", { Charge: { payload: {}, success: Schema.String } })
      const bank = Participant.layer(Bank, {
        Charge: () =>
          Effect.sync(() => log.push("begun")).pipe(
            Effect.andThen(handler.pass),
            Effect.andThen(Effect.sync(() => log.push("charged"))),
            Effect.as("p1")
          )
      })
      const saga = Saga.make("PayBank", { context: {} }).pipe(
        Saga.remote("payment", { execute: { command: Bank.commands.Charge, payload: () => ({}) } }),
        Saga.commit
      )
      const service = yield* open(bank, "10 seconds")
      const orders = yield* open(SagaManager.layer([saga]), 0)
      const caller = yield* Effect.forkChild(
        Effect.provideContext(SagaManager.execute(saga, { context: {} }), orders.services)
      )
      yield* handler.reached
      const closing = yield* Effect.forkChild(service.close)
      yield* Effect.repeat(Effect.yieldNow, { times: 20 })
      assert.isUndefined(closing.pollUnsafe(), "it waits for the handler")
      yield* handler.open
      yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* Fiber.join(caller), { payment: "p1" })
      assert.deepStrictEqual(log, ["begun", "charged"])
      yield* orders.close
    }).pipe(Effect.scoped, Effect.provide(quiet))
  )
})
