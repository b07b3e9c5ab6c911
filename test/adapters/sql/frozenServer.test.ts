/** The server itself stands still: it accepts connections and answers none (SPEC C20). */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Redacted, Schema, Scope } from "effect"
import { Broker, Saga, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import * as OwnPostgres from "../../fixtures/ownPostgres.ts"

const limit = 400

const Quick = Saga.make("Quick", { context: {} }).pipe(
  Saga.local("one", { success: Schema.Int, execute: () => Effect.succeed(1) }),
  Saga.commit
)

const makeProcess = Effect.fnUntraced(function* (url: string) {
  const scope = yield* Scope.fork(yield* Scope.Scope)
  const context = yield* SagaManager.layer([Quick]).pipe(
    Layer.provideMerge([
      SagaConfig.layer({
        service: "orders",
        lease: "2 seconds",
        recoveryInterval: "200 millis",
        shutdownGrace: "1 second"
      }),
      SqlSagaExecutionRepository.layer({ statementTimeout: limit }).pipe(
        Layer.provide(PgClient.layer({ url: Redacted.make(url), maxConnections: 6 }))
      ),
      Layer.fresh(Broker.layerMemory),
      TransactionCommitter.layerNone
    ]),
    Layer.fresh,
    Layer.buildWithScope(scope)
  )
  return {
    run: Effect.provideContext(SagaManager.run(Quick, { context: {} }), context),
    repository: Context.get(context, SagaExecutionRepository.SagaExecutionRepository),
    close: Scope.close(scope, Exit.void)
  }
})

// Needs the programs of Postgres: an embedded one cannot stand still without the test.
describe.runIf(OwnPostgres.isInstalled)("a frozen server", () => {
  it.live(
    "F2 calls are answered while the server is frozen, and sagas go on when it is back",
    () =>
      Effect.gen(function* () {
        const postgres = yield* OwnPostgres.make
        const { repository, run } = yield* makeProcess(postgres.url)
        const { uuid } = yield* run
        yield* postgres.freeze
        const running = yield* Effect.forkChild(run)
        const error = yield* Effect.flip(repository.load(uuid))
        assert.deepInclude(error, { _tag: "SagaExecutionRepositoryError", reason: "unavailable" })
        yield* postgres.thaw
        const { status } = yield* Fiber.join(running)
        assert.strictEqual(status, "finished")
        assert.strictEqual((yield* repository.load(uuid)).uuid, uuid)
      }).pipe(Effect.scoped),
    120_000
  )

  it.live(
    "F2 a process closes while the server is frozen",
    () =>
      Effect.gen(function* () {
        const postgres = yield* OwnPostgres.make
        const { close, run } = yield* makeProcess(postgres.url)
        yield* run
        yield* postgres.freeze
        const running = yield* Effect.forkChild(Effect.exit(run))
        yield* Effect.yieldNow
        yield* close
        yield* Fiber.interrupt(running)
        yield* postgres.thaw
      }).pipe(Effect.scoped),
    120_000
  )
})
