import { Effect, Layer, Schema } from "effect"
import { Broker, Saga, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
const P = Saga.make("P", { context: { orderId: Schema.String, amount: Schema.Int, fails: Schema.Boolean } }).pipe(
  Saga.local("a", { success: Schema.String, execute: ({ orderId }) => Effect.sync(() => orderId), compensate: () => Effect.void }),
  Saga.local("b", { success: Schema.String, execute: ({ orderId }) => Effect.sync(() => orderId), compensate: () => Effect.void }),
  Saga.local("c", { success: Schema.String, execute: ({ orderId }) => Effect.sync(() => orderId), compensate: () => Effect.void }),
  Saga.commit)
const layer = SagaManager.layer([P]).pipe(Layer.provide([SagaConfig.layer({ service: "bench" }), SagaExecutionRepository.layerMemory, Broker.layerMemory, TransactionCommitter.layerNone]))
await Effect.runPromise(Effect.provide(Effect.gen(function*() {
  for (let r = 0; r < 5; r++) { const t = process.cpuUsage(), w = performance.now();
  for (let i = 0; i < 100000; i++) yield* SagaManager.execute(P, { context: { orderId: "o" + i, amount: 1, fails: false } })
  const d = process.cpuUsage(t); console.log("us/saga cpu", ((d.user+d.system)/100000).toFixed(2), "wall", ((performance.now()-w)/100).toFixed(2)) }
}), layer))
