// Tier M: this library in memory, one fiber a saga.
import { Effect, Layer, ManagedRuntime, Result, Schema } from "effect"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "../../../dist/index.js"
import * as work from "../lib.mjs"
import { loop } from "../loop.mjs"

export const tier = "M"

const undone = new Map() // what the compensations returned, so the harness can check them

const undo = (orderId, result) => Effect.sync(() => void undone.set(orderId, { ...undone.get(orderId), ...result }))

export const Order = Saga.make("Order", {
  context: { orderId: Schema.String, amount: Schema.Int, fail: Schema.Boolean }
}).pipe(
  Saga.local("ticketId", {
    success: Schema.String,
    execute: ({ orderId }) => Effect.sync(() => `t-${orderId}`),
    compensate: ({ orderId, ticketId }) => undo(orderId, { ticketCancelled: ticketId })
  }),
  Saga.local("paymentId", {
    success: Schema.String,
    execute: ({ amount, orderId }) => Effect.sync(() => `p-${orderId}-${amount}`),
    compensate: ({ orderId, paymentId }) => undo(orderId, { paymentRefunded: paymentId })
  }),
  Saga.local("shipmentId", {
    success: Schema.String,
    error: Schema.Literal("declined"),
    execute: ({ fail, orderId }) => (fail ? Effect.fail("declined") : Effect.sync(() => `s-${orderId}`))
  }),
  Saga.commit
)

/** Layers for everything but the executions. */
export const others = Layer.mergeAll(
  SagaConfig.layer({ service: "orders" }),
  Broker.layerMemory,
  TransactionCommitter.layerNone
)

export const start = async (layer, scenario) => {
  const runtime = ManagedRuntime.make(layer)
  await runtime.context()
  const saga = (i) => {
    const context = { ...work.order(i), fail: scenario === "failure" }
    return Effect.map(Effect.result(SagaManager.execute(Order, { context })), (result) => {
      if (Result.isSuccess(result)) return result.success
      const results = undone.get(context.orderId)
      undone.delete(context.orderId)
      return { failed: true, ...results }
    })
  }
  return { loop: (load) => runtime.runPromise(loop(saga, scenario, load)), close: () => runtime.dispose() }
}

export const open = ({ scenario }) =>
  start(SagaManager.layer([Order]).pipe(Layer.provide([others, SagaExecutionRepository.layerMemory])), scenario)
