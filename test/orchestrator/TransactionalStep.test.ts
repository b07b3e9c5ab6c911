import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import {
  Broker,
  KeyValueRepository,
  Saga,
  SagaConfig,
  SagaError,
  SagaExecutionRepository,
  SagaManager,
  SagaRunner,
  TransactionCommitter
} from "effect-saga"

const Deposit = Saga.make("Deposit", { context: { amount: Schema.Int } }).pipe(
  Saga.conditional("kind", [
    Saga.elseThen(
      Saga.local("balance", {
        success: Schema.Int,
        execute: ({ amount }) => Effect.succeed(amount),
        transactional: true
      })
    )
  ]),
  Saga.commit
)

const ports = (repository: Layer.Layer<SagaExecutionRepository.SagaExecutionRepository>) =>
  Layer.mergeAll(repository, SagaConfig.layer({ service: "bank" }), Broker.layerMemory, TransactionCommitter.layerNone)

const values = new Map<string, unknown>()
const ofThreeFunctions = KeyValueRepository.make({
  save: (uuid, raw) => Effect.sync(() => void values.set(uuid, raw)),
  get: (uuid) => Effect.sync(() => values.get(uuid)),
  remove: (uuid) => Effect.sync(() => void values.delete(uuid))
})

const manager = () => SagaManager.layer([Deposit])

const layers: Record<
  string,
  Layer.Layer<never, Layer.Error<ReturnType<typeof manager>>, Layer.Services<ReturnType<typeof manager>>>
> = {
  manager: manager(),
  runner: SagaRunner.layer([Deposit])
}

describe("transactional steps", () => {
  for (const [name, layer] of Object.entries(layers)) {
    it.effect(
      `a ${name} with transactional steps is not built on a repository that cannot commit effect and record together`,
      () =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(
            Layer.build(
              Layer.provide(
                layer,
                ports(Layer.succeed(SagaExecutionRepository.SagaExecutionRepository, ofThreeFunctions))
              )
            )
          )
          assert.deepStrictEqual(
            [error._tag, "path" in error && error.path, "step" in error && error.step],
            ["SagaTransactionUnsupported", "0/else/0", "balance"]
          )
          assert.isTrue(SagaError.isSagaError(error))
          assert.strictEqual(values.size, 0)
        })
    )
  }

  it.effect("transactional steps run in memory, where a crash takes effect and record alike", () =>
    Effect.gen(function* () {
      const { balance } = yield* SagaManager.execute(Deposit, { context: { amount: 5 } })
      assert.strictEqual(balance, 5)
    }).pipe(Effect.provide(Layer.provide(SagaManager.layer([Deposit]), ports(SagaExecutionRepository.layerMemory))))
  )
})
