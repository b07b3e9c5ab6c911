import { Effect, Layer, Schema } from "effect"
import { Broker, Saga, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
const P = Saga.make("P", { context: { orderId: Schema.String, amount: Schema.Int, fails: Schema.Boolean } }).pipe(
  Saga.local("a", { success: Schema.String, execute: ({ orderId }) => Effect.sync(() => orderId), compensate: () => Effect.void }),
  Saga.local("b", { success: Schema.String, execute: ({ orderId }) => Effect.sync(() => orderId), compensate: () => Effect.void }),
  Saga.local("c", { success: Schema.String, execute: ({ orderId }) => Effect.sync(() => orderId), compensate: () => Effect.void }),
  Saga.commit)
const layer = SagaManager.layer([P]).pipe(Layer.provide([SagaConfig.layer({ service: "bench" }), SagaExecutionRepository.layerMemory, Broker.layerMemory, TransactionCommitter.layerNone]))
await Effect.runPromise(Effect.provide(Effect.gen(function*() {
  for (let i = 0; i < 150000; i++) yield* SagaManager.execute(P, { context: { orderId: "o" + i, amount: 1, fails: false } })
}), layer))
