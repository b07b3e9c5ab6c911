/** A process that stood still for longer than its lease: what others have taken up it stops, what nobody has goes on. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Deferred, type Duration, Effect, Exit, Fiber, Layer, Logger, Schema, Scope } from "effect"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  SagaTransaction,
  TransactionCommitter
} from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import { databases } from "../../fixtures/postgres.ts"

const Repository = SagaExecutionRepository.SagaExecutionRepository

let sagas = 0

/** A step that begins as often as it is run, and ends when a test lets it. */
const makeStep = Effect.gen(function* () {
  const story: Array<string> = []
  const keys = new Set<string>()
  const begun = Array.from({ length: 3 }, () => Deferred.makeUnsafe<void>())
  const stopped = yield* Deferred.make<void>()
  const end = yield* Deferred.make<void>()
  let runs = 0
  const saga = Saga.make(`Slow${++sagas}`, { context: {} }).pipe(
    Saga.local("one", {
      success: Schema.Int,
      execute: () =>
        Effect.gen(function* () {
          const run = ++runs
          keys.add((yield* SagaTransaction).idempotencyKey)
          story.push(`${run} begins`)
          yield* Deferred.succeed(begun[run - 1]!, undefined)
          yield* Effect.onInterrupt(Deferred.await(end), () =>
            Effect.suspend(() => {
              story.push(`${run} is stopped`)
              return Deferred.succeed(stopped, undefined)
            })
          )
          story.push(`${run} ends`)
          return run
        })
    }),
    Saga.commit
  )
  return { saga, story, keys, begun, stopped, end }
})

/** A process on the shared repository, which cannot say that it lives while it stands still. */
const makeProcess = Effect.fnUntraced(function* (saga: Saga.AnyCommitted, lease: Duration.Input) {
  const shared = yield* Repository
  const process = { standsStill: false, losesAnswers: false, logged: [] as Array<string>, claims: 0 }
  const unavailable = new SagaExecutionRepository.SagaExecutionRepositoryError({
    reason: "unavailable",
    operation: "claim"
  })
  const claim: typeof shared.claim = (request) =>
    Effect.suspend(() => {
      if (process.standsStill) return Effect.fail(unavailable)
      const claimed = Effect.tap(shared.claim(request), () => Effect.sync(() => process.claims++))
      if (!process.losesAnswers) return claimed
      return Effect.flatMap(claimed, (found) => {
        if (found.executions.length === 0) return Effect.succeed(found)
        process.losesAnswers = false
        return Effect.fail(unavailable)
      })
    })
  const logger = Logger.make(({ message }) => process.logged.push([message].flat().join(" ")))
  const scope = yield* Scope.fork(yield* Scope.Scope)
  const context = yield* (SagaManager.layer([saga]) as Layer.Layer<SagaManager.SagaManager, never, never>).pipe(
    Layer.provide([
      SagaConfig.layer({ service: "orders", recoveryInterval: "50 millis", lease, shutdownGrace: 0 }),
      Layer.succeed(Repository, { ...shared, claim }),
      Broker.layerMemory,
      TransactionCommitter.layerNone,
      Logger.layer([logger])
    ]),
    Layer.fresh,
    Layer.buildWithScope(scope)
  )
  return Object.assign(process, {
    manager: Context.get(context, SagaManager.SagaManager),
    run: Effect.provideContext(SagaManager.run(saga as any, { context: {}, startKey: saga.name }), context),
    close: Scope.close(scope, Exit.void)
  })
})

const until = (happened: () => boolean) => Effect.repeat(Effect.sleep("10 millis"), { until: () => happened() })

const repositories = [
  { name: "memory", repository: SagaExecutionRepository.layerMemoryWith({ keep: 10, shared: true }) },
  ...databases("lease").map(({ layer, name, schema }) => ({
    name,
    repository: Layer.provide(SqlSagaExecutionRepository.layer({ schema }), layer)
  }))
]

for (const { name, repository } of repositories) {
  withLayer(repository, { timeout: "2 minutes", excludeTestServices: true })(`a lease that is over: ${name}`, (it) => {
    it.effect(
      "C7 a process that lost its lease stops an execution that another has, and its caller gets the outcome of the other",
      () =>
        Effect.gen(function* () {
          const { begun, end, keys, saga, stopped, story } = yield* makeStep
          const slow = yield* makeProcess(saga, "300 millis")
          const caller = yield* Effect.forkChild(slow.run)
          yield* Deferred.await(begun[0]!)
          slow.standsStill = true
          // Only now: where a first write takes longer than the lease, the other one would be the first to begin.
          const quick = yield* makeProcess(saga, "1 hour")
          yield* Deferred.await(begun[1]!)
          slow.standsStill = false
          yield* Deferred.await(stopped)
          yield* Deferred.succeed(end, undefined)
          const execution = yield* Fiber.join(caller)
          assert.deepStrictEqual([execution.status, { ...execution.context }], ["finished", { one: 2 }])
          assert.deepStrictEqual((yield* quick.run).uuid, execution.uuid)
          assert.deepStrictEqual(story, ["1 begins", "2 begins", "1 is stopped", "2 ends"])
          assert.strictEqual(keys.size, 1)
          // Nothing is written by the one that was stopped.
          assert.strictEqual(execution.revision, 2)
        })
    )

    // A process that is alone on a PGlite has no lease that it could lose.
    if (name !== "PGlite") {
      it.effect("C7 an execution that no other process took goes on after a lost lease", () =>
        Effect.gen(function* () {
          const { begun, end, saga, story } = yield* makeStep
          const only = yield* makeProcess(saga, "300 millis")
          const caller = yield* Effect.forkChild(only.run)
          yield* Deferred.await(begun[0]!)
          only.standsStill = true
          yield* Effect.sleep("350 millis")
          only.standsStill = false
          yield* until(() => only.logged.some((line) => line.includes("lease")))
          const { claims } = only
          yield* until(() => only.claims > claims + 2)
          yield* Deferred.succeed(end, undefined)
          assert.strictEqual((yield* Fiber.join(caller)).status, "finished")
          assert.deepStrictEqual(story, ["1 begins", "1 ends"])
        })
      )
    }

    it.effect("C7 an input that came during a lost lease is applied to the execution as it is by then", () =>
      Effect.gen(function* () {
        const { begun, end, saga, stopped } = yield* makeStep
        const slow = yield* makeProcess(saga, "300 millis")
        const caller = yield* Effect.forkChild(Effect.flip(slow.run))
        yield* Deferred.await(begun[0]!)
        const { items } = yield* slow.manager.find({ settled: false })
        const cancel = yield* Effect.forkChild(slow.manager.cancel(items[0]!.uuid), { startImmediately: true })
        slow.standsStill = true
        yield* makeProcess(saga, "1 hour")
        yield* Deferred.await(begun[1]!)
        slow.standsStill = false
        yield* Deferred.await(stopped)
        // It is handed on. Only the owner applies it, when its step is over (SPEC C20).
        const { inbox } = yield* Repository
        yield* Effect.repeat(Effect.andThen(Effect.sleep("10 millis"), inbox(items[0]!.uuid)), {
          until: (rows) => rows.length > 0
        })
        yield* Deferred.succeed(end, undefined)
        assert.strictEqual((yield* Fiber.join(cancel)).state.direction, "backward")
        assert.strictEqual((yield* Fiber.join(caller))._tag, "SagaFailedExecution")
      })
    )

    it.effect("C7 a process that stops in order releases its executions at once", () =>
      Effect.gen(function* () {
        const { begun, end, keys, saga, story } = yield* makeStep
        const first = yield* makeProcess(saga, "1 hour")
        const second = yield* makeProcess(saga, "1 hour")
        yield* Effect.forkChild(first.run)
        yield* Deferred.await(begun[0]!)
        yield* Effect.yieldNow
        yield* first.close
        yield* Deferred.await(begun[1]!)
        yield* Deferred.succeed(end, undefined)
        assert.strictEqual((yield* second.run).status, "finished")
        assert.deepStrictEqual(story, ["1 begins", "1 is stopped", "2 begins", "2 ends"])
        assert.strictEqual(keys.size, 1)
      })
    )

    it.effect("A1 executions whose claim was not answered are claimed again", () =>
      Effect.gen(function* () {
        const { begun, end, saga, story } = yield* makeStep
        const first = yield* makeProcess(saga, "1 hour")
        yield* Effect.forkChild(first.run)
        yield* Deferred.await(begun[0]!)
        // The news comes from inside the step, which must first come to the place where it waits.
        yield* Effect.yieldNow
        const second = yield* makeProcess(saga, "1 hour")
        second.losesAnswers = true
        yield* first.close
        yield* Deferred.await(begun[1]!)
        assert.isFalse(second.losesAnswers)
        yield* Deferred.succeed(end, undefined)
        assert.strictEqual((yield* second.run).status, "finished")
        assert.deepStrictEqual(story, ["1 begins", "1 is stopped", "2 begins", "2 ends"])
      })
    )
  })
}
