import { Effect, Schema, Context } from "effect"
import { Saga } from "effect-saga"
import * as Execution from "../src/execution/SagaExecution.ts"
import * as Decision from "../src/execution/SagaDecision.ts"
import * as State from "../src/execution/SagaState.ts"
import * as Timing from "../src/execution/Timing.ts"
import * as Encoding from "../src/execution/Encoding.ts"
import { v7 } from "../src/execution/Uuid.ts"
import * as Op from "../src/runtime/LocalExecutor.ts"
import { SagaTransaction } from "../src/runtime/SagaTransaction.ts"
import { FaultPoint } from "../src/ports/FaultPoint.ts"
const P = Saga.make("P", { context: { orderId: Schema.String, amount: Schema.Int, fails: Schema.Boolean } }).pipe(
  Saga.local("a", { success: Schema.String, execute: ({ orderId }) => Effect.sync(() => orderId), compensate: () => Effect.void }),
  Saga.local("b", { success: Schema.String, execute: ({ orderId }) => Effect.sync(() => orderId), compensate: () => Effect.void }),
  Saga.local("c", { success: Schema.String, execute: ({ orderId }) => Effect.sync(() => orderId), compensate: () => Effect.void }),
  Saga.commit)
const N = 200000
const time = (name: string, f: () => void, n = N) => { for (let i = 0; i < n; i++) f(); const t = performance.now(); for (let i = 0; i < n; i++) f(); console.log(name, ((performance.now() - t) / n * 1000).toFixed(3), "us") }
const ctx = { orderId: "o1", amount: 5, fails: false }
time("v7", () => v7(Date.now()))
time("Date.now", () => Date.now())
time("creation", () => Execution.creation(P as any, { context: ctx, uuid: "x" }, 1))
time("encode ctx", () => Encoding.encode(P.context, ctx))
time("decode ctx", () => Encoding.decode(P.context, ctx as any))
time("encode str", () => Encoding.encode(Schema.String, "abc"))
const pure = (withView: boolean) => () => {
  let e = Execution.creation(P as any, { context: ctx, uuid: "x" }, 1) as Execution.SagaExecution
  e = Execution.evolve(e, { _tag: "ExecutionStarted", service: "s", autocommit: true, transactional: false, at: 1 })
  while (true) {
    const a = Decision.advance(e.state, P as any, 1, 1, Timing.defaults)
    e = new Execution.SagaExecution(a.state, P as any)
    const i = a.decision.instructions[0]
    if (i === undefined) break
    if (withView) Execution.contextView(P as any, (i as any).context)
    e = Execution.evolve(e, { _tag: "StepSucceeded", path: i.path, result: "x", at: 1 })
  }
  if (withView) e.context
}
time("pure fold", pure(false)); time("pure fold + views", pure(true))
const loop = async (name: string, f: () => Effect.Effect<any>) => { const l = Effect.gen(function*() { for (let i = 0; i < N; i++) yield* f() }); await Effect.runPromise(l); const t = performance.now(); await Effect.runPromise(l); console.log(name, ((performance.now() - t) / N * 1000).toFixed(3), "us") }
const user = () => Effect.sync(() => 1)
await loop("noop", () => Effect.void)
await loop("user", () => Effect.suspend(user))
await loop("provide", () => Effect.provideService(Effect.suspend(user), SagaTransaction, {} as any))
await loop("around+provide", () => FaultPoint.around("callback", Effect.provideService(Effect.suspend(user), SagaTransaction, {} as any)))
await loop("map exit around provide", () => Effect.map(Effect.exit(FaultPoint.around("callback", Effect.provideService(Effect.suspend(user), SagaTransaction, {} as any))), (x) => x))
await loop("matchEffect", () => Effect.matchEffect(Effect.sync(() => 1), { onSuccess: Effect.succeed, onFailure: Effect.succeed }))
const c = Context.empty()
await loop("fork", () => Effect.sync(() => Effect.runForkWith(c)(Effect.void)))
const gen = Effect.fnUntraced(function*() { yield* Effect.void })
await loop("gen1", () => gen())
