/** A start that meets another start of the same uuid while that one is being stored. */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaError,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"

const Repository = SagaExecutionRepository.SagaExecutionRepository
const uuid = "0c3a2a4e-5d3b-4c59-9a3a-4a1f6a1b2c3d"
const saga = Saga.make("Endless", { context: { n: Schema.Int } }).pipe(
  Saga.local("one", { execute: () => Effect.never }),
  Saga.commit
)

it.effect("a start whose uuid was stored between two looks does not wait for the step that runs meanwhile", () =>
  Effect.gen(function* () {
    const memory = Context.get(
      yield* Layer.build(SagaExecutionRepository.layerMemoryWith({ keep: 0, shared: true })),
      Repository
    )
    // The first look comes before the write of the other start, and its answer after the step has begun.
    let early = 1
    const repository = Repository.of({
      ...memory,
      load: (id) => (early-- > 0 ? Effect.fail(new SagaError.SagaExecutionNotFound({ uuid: id })) : memory.load(id))
    })
    const manager = SagaManager.layer([saga]).pipe(
      Layer.provide([
        SagaConfig.layer({ service: "orders" }),
        Layer.succeed(Repository, repository),
        Broker.layerMemory,
        TransactionCommitter.layerNone
      ])
    )
    yield* Effect.gen(function* () {
      const begin = (n: number) => SagaManager.start(saga, { context: { n }, uuid })
      assert.strictEqual(yield* begin(1), uuid)
      assert.strictEqual((yield* Effect.flip(begin(2)))._tag, "SagaStartConflict")
      assert.isBelow(early, 0)
    }).pipe(Effect.provide(manager))
  }).pipe(Effect.scoped)
)
