import { Effect, Layer, Schema } from "effect"
import { Broker, Saga, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
const mk = (kind: string) => Saga.make("P" + kind, { context: { orderId: Schema.String, amount: Schema.Int, fails: Schema.Boolean } }).pipe(
  Saga.local("a", { success: Schema.String, execute: ({ orderId }) => Effect.sync(() => kind === "concat" ? `t-${orderId}` : orderId), compensate: () => Effect.void }),
  Saga.local("b", { success: Schema.String, execute: ({ orderId }) => Effect.sync(() => kind === "concat" ? `t-${orderId}-5` : orderId), compensate: () => Effect.void }),
  Saga.local("c", { success: Schema.String, execute: ({ orderId }) => Effect.sync(() => kind === "concat" ? `t-${orderId}` : orderId), compensate: () => Effect.void }),
  Saga.commit)
const A = mk("plain"), B = mk("concat")
const layer = SagaManager.layer([A, B]).pipe(Layer.provide([SagaConfig.layer({ service: "bench" }), SagaExecutionRepository.layerMemory, Broker.layerMemory, TransactionCommitter.layerNone]))
const t = (name: string, eff: (i: number) => Effect.Effect<any, any, any>) => Effect.gen(function*() {
  for (let r = 0; r < 4; r++) { const t = process.cpuUsage()
  for (let i = 0; i < 60000; i++) yield* eff(i)
  const d = process.cpuUsage(t); console.log(name, "us/saga cpu", ((d.user+d.system)/60000).toFixed(2)) }
})
await Effect.runPromise(Effect.provide(Effect.gen(function*() {
  yield* t("plain", (i) => SagaManager.execute(A, { context: { orderId: "o" + i, amount: 1, fails: false } }))
  yield* t("concat", (i) => SagaManager.execute(B, { context: { orderId: "o" + i, amount: 1, fails: false } }))
  yield* t("match", (i) => Effect.match(SagaManager.execute(B, { context: { orderId: "o" + i, amount: 1, fails: false } }), { onFailure: (e) => e, onSuccess: () => undefined }))
  yield* Effect.all([t("all", (i) => Effect.match(SagaManager.execute(B, { context: { orderId: "o" + i, amount: 1, fails: false } }), { onFailure: (e) => e, onSuccess: () => undefined }))], { concurrency: "unbounded", discard: true })
}), layer) as any)
