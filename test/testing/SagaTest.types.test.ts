/**
 * SagaTest and signals as the compiler sees them. `same` is the assertion, `@ts-expect-error` a refusal; nothing here runs, so a wrong
 * type is an error of `tsc` on its line.
 */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { Participant, Saga, type SagaError, type SagaExecution, SagaManager, Signal } from "effect-saga"
import { SagaTest } from "effect-saga/testing"

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_: Equal<A, B>): void => {}

class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { reason: Schema.String }) {}
class OtherError extends Schema.TaggedError<OtherError>()("OtherError", {}) {}
class Stock extends Context.Service<Stock, { readonly take: Effect.Effect<void> }>()("types/Stock") {}

const Payments = Participant.make("payments", {
  Charge: {
    payload: { amount: Schema.Int },
    success: Schema.Struct({ paymentId: Schema.String }),
    error: CardDeclined
  },
  Refund: { payload: { paymentId: Schema.String } }
})
const Approval = Signal.make("approval", { payload: Schema.Struct({ approved: Schema.Boolean }) })
const Strange = Signal.make("strange", { payload: Schema.String })

const Inner = Saga.make("Inner", { context: {} }).pipe(
  Saga.remote("refund", { execute: { command: Payments.commands.Refund, payload: () => ({ paymentId: "" }) } }),
  Saga.commit
)
const Order = Saga.make("Order", { context: { amount: Schema.Int } }).pipe(
  Saga.local("taken", { execute: () => Stock.use(({ take }) => take) }),
  Saga.remote("payment", {
    success: Schema.Boolean,
    execute: { command: Payments.commands.Charge, payload: ({ amount }) => ({ amount }) },
    onSuccess: ({ paymentId }) => Effect.succeed(paymentId !== "")
  }),
  Saga.waitFor("answer", { signal: Approval, timeout: "1 day" }),
  Saga.nested("inner", { saga: Inner, context: () => ({}) }),
  Saga.commit
)
const Small = Saga.make("Small", { context: {} }).pipe(Saga.local("one", { execute: () => Effect.void }), Saga.commit)

const context = { amount: 1 }
const layer = Layer.succeed(Stock, { take: Effect.void })
const paid = { paymentId: "p-1" }

it("run gives the outcome of the saga", () => {
  const ran = SagaTest.run(Order, { context, layer, replies: { payment: paid, inner: { refund: undefined } } })
  type Ctx = Saga.Context<typeof Order>
  type E = CardDeclined | SagaError.SagaSystemError
  same<
    Effect.Success<typeof ran>["execution"],
    SagaExecution.Finished<Ctx> | SagaExecution.Errored<Ctx, E> | SagaExecution.Unfinished<Ctx>
  >(true)
  same<Effect.Services<typeof ran>, never>(true)
  assert.isTrue(Effect.isEffect(ran))
})

it("answers have the types of the reply and of the errors of the command, whatever the step makes of them", () => {
  const run = <A>(_: A): void => {}
  const start = { context, layer }
  run(() => SagaTest.run(Order, { ...start, replies: { payment: ({ amount }) => ({ paymentId: `${amount + 1}` }) } }))
  run(() => SagaTest.run(Order, { ...start, replies: { payment: SagaTest.late("1 day", SagaTest.twice(paid)) } }))
  run(() => SagaTest.run(Order, { ...start, replies: { payment: SagaTest.error(new CardDeclined({ reason: "" })) } }))
  run(() => SagaTest.run(Order, { ...start, replies: { payment: () => SagaTest.silence } }))
  run(() => SagaTest.run(Order, { ...start, compensations: { payment: SagaTest.dies } }))
  // @ts-expect-error the result of the step is no reply of its command
  run(() => SagaTest.run(Order, { ...start, replies: { payment: true } }))
  // @ts-expect-error a reply without its fields
  run(() => SagaTest.run(Order, { ...start, replies: { payment: {} } }))
  // @ts-expect-error a late reply of another type
  run(() => SagaTest.run(Order, { ...start, replies: { payment: SagaTest.late("1 day", { paymentId: 1 }) } }))
  // @ts-expect-error an error that the command does not declare
  run(() => SagaTest.run(Order, { ...start, replies: { payment: SagaTest.error(new OtherError()) } }))
  // @ts-expect-error no field of the payload
  run(() => SagaTest.run(Order, { ...start, replies: { payment: ({ price }) => ({ paymentId: price }) } }))
  // @ts-expect-error a compensation has no reply
  run(() => SagaTest.run(Order, { ...start, compensations: { payment: paid } }))
  assert.isTrue(true)
})

it("names of steps and signals are those of the saga", () => {
  const run = <A>(_: A): void => {}
  const start = { context, layer }
  const yes = { payload: { approved: true } }
  run(() => SagaTest.run(Order, { ...start, signals: [SagaTest.signal(Approval, yes)] }))
  // @ts-expect-error no step of that name
  run(() => SagaTest.run(Order, { ...start, replies: { paymant: paid } }))
  // @ts-expect-error a step that asks nobody
  run(() => SagaTest.run(Order, { ...start, replies: { taken: undefined } }))
  // @ts-expect-error the step of a nested saga, without the name of its step
  run(() => SagaTest.run(Order, { ...start, replies: { refund: undefined } }))
  // @ts-expect-error no step of that name in the nested saga
  run(() => SagaTest.run(Order, { ...start, replies: { inner: { payment: paid } } }))
  // @ts-expect-error a signal that the saga does not wait for
  run(() => SagaTest.run(Order, { ...start, signals: [SagaTest.signal(Strange, { payload: "" })] }))
  // @ts-expect-error a payload of another type
  run(() => SagaTest.run(Order, { ...start, signals: [SagaTest.signal(Approval, { payload: { approved: "yes" } })] }))
  // @ts-expect-error no step of that name
  run(() => SagaTest.crashPoints(Order, { ...start, only: "paymant" }))
  run(() => SagaTest.crashPoints(Order, { ...start, only: ["payment", "store", "publish.after"] }))
  run(() => SagaTest.crashPoints(Order, { ...start, signals: [SagaTest.signal(Approval, yes)] }))
  // @ts-expect-error a signal that the saga does not wait for
  run(() => SagaTest.crashPoints(Order, { ...start, signals: [SagaTest.signal(Strange, { payload: "" })] }))
  assert.isTrue(true)
})

it("a layer is needed where the steps use services", () => {
  const run = <A>(_: A): void => {}
  run(() => SagaTest.run(Small, { context: {} }))
  run(() => SagaTest.run(Small, { context: {}, layer: Layer.empty }))
  // @ts-expect-error the services are missing
  run(() => SagaTest.run(Order, { context }))
  // @ts-expect-error a layer without the service
  run(() => SagaTest.run(Order, { context, layer: Layer.empty }))
  // @ts-expect-error another initial value
  run(() => SagaTest.run(Order, { context: { amount: "1" }, layer }))
  assert.isTrue(true)
})

it("a scenario has the types of its saga", () => {
  const run = <A>(_: A): void => {}
  const order = SagaTest.given(Order, { context, layer })
  run(() => order.when({ replies: { payment: paid } }).expect({ status: "finished", context: { payment: true } }))
  // @ts-expect-error no step of that name
  run(() => order.when({ replies: { paymant: paid } }))
  // @ts-expect-error a signal that the saga does not wait for
  run(() => order.when({ signals: [SagaTest.signal(Strange, { payload: "" })] }))
  // @ts-expect-error no entry of the context
  run(() => order.expect({ context: { paymant: true } }))
  // @ts-expect-error the services are missing
  run(() => SagaTest.given(Order, { context }))
  assert.isTrue(true)
})

it("SagaManager.signal takes the payload of its signal, for one execution", () => {
  const uuid = "0"
  const payload = { approved: true }
  const said = SagaManager.signal(Approval, { uuid, payload })
  same<typeof said, Effect.Effect<SagaManager.SignalAnswer, SagaManager.SignalError, SagaManager.SagaManager>>(true)
  const byKey = SagaManager.signal(Approval, { startKey: "o", payload, id: "2", key: "k", actor: "Ann" })
  const refusals = [
    // @ts-expect-error a payload of another type
    () => SagaManager.signal(Approval, { uuid, payload: { approved: "yes" } }),
    // @ts-expect-error a payload that has no such field
    () => SagaManager.signal(Approval, { uuid, payload: { ...payload, by: 1, approved: undefined } }),
    // @ts-expect-error the payload of another signal
    () => SagaManager.signal(Strange, { uuid, payload }),
    // @ts-expect-error no payload
    () => SagaManager.signal(Approval, { uuid }),
    // @ts-expect-error nobody is addressed
    () => SagaManager.signal(Approval, { payload }),
    // @ts-expect-error two names for one execution
    () => SagaManager.signal(Approval, { uuid, startKey: "o", payload }),
    // @ts-expect-error the name of a signal is no signal
    () => SagaManager.signal("approval", { uuid, payload })
  ]
  assert.isTrue([said, byKey].every(Effect.isEffect))
  assert.lengthOf(refusals, 7)
})
