/** The three services, each with a database of its own, and the run of a list of orders through them. */
import { join } from "node:path"
import { Clock, Effect, Layer } from "effect"
import {
  ParticipantStore,
  SagaConfig,
  type SagaExecution,
  SagaManager,
  SagaStory,
  TransactionCommitter
} from "effect-saga"
import { PgliteClient } from "../../src/pglite.ts"
import { SqlSagaExecutionRepository } from "../../src/sql.ts"
import type { Order } from "./contracts.ts"
import * as Orders from "./orders.ts"
import * as Payments from "./payments.ts"
import type { Progress } from "./progress.ts"
import { PlaceOrder } from "./saga.ts"
import * as Shipping from "./shipping.ts"
import { isConserved, type Outcome, outcomeOf, type Summary } from "./summary.ts"

const database = (dir: string, service: string) => PgliteClient.layer({ folder: join(dir, service) })

/** The orchestrator: it runs the saga, and has the tables of the shop. */
export const orders = (dir: string) =>
  SagaManager.layer([PlaceOrder]).pipe(
    Layer.provide([SqlSagaExecutionRepository.layer(), TransactionCommitter.layerNone]),
    Layer.provide(SagaConfig.layer({ service: "orders" })),
    Layer.provideMerge(Layer.effectDiscard(Orders.tables)),
    Layer.provideMerge(database(dir, "orders"))
  )

/** A participant and its tables. */
export const payments = (dir: string) =>
  Payments.layer.pipe(
    Layer.provide(ParticipantStore.layerMemory),
    Layer.provideMerge(Layer.effectDiscard(Payments.tables)),
    Layer.provideMerge(database(dir, "payments"))
  )

export const shipping = (dir: string) =>
  Shipping.layer.pipe(
    Layer.provide(ParticipantStore.layerMemory),
    Layer.provideMerge(Layer.effectDiscard(Shipping.tables)),
    Layer.provideMerge(database(dir, "shipping"))
  )

/** Why an order was undone: the tag of the first failure. */
const whyOf = ({ cause }: Pick<SagaExecution.SagaExecution, "cause">): string =>
  typeof cause === "object" && cause !== null && "_tag" in cause ? String(cause._tag) : ""

/** Runs each order under its own key: what an earlier run has settled is not run again. */
export const place = (list: ReadonlyArray<Order>, progress: Progress) =>
  Effect.forEach(
    list,
    Effect.fnUntraced(function* (order) {
      const execution = yield* SagaManager.run(PlaceOrder, {
        context: order,
        startKey: order.orderId,
        raiseOnError: false
      })
      const parked = execution.parked.length > 0
      const outcome = outcomeOf({ parked, settled: execution.settled, status: execution.status }) ?? "undone"
      const why = execution.status === "errored" ? whyOf(execution) : ""
      progress.done(order.orderId, outcome, why)
      return { orderId: order.orderId, outcome, why, story: outcome === "undone" ? SagaStory.tell(execution) : [] }
    }),
    { concurrency: 32 }
  )

export interface Placed {
  readonly orderId: string
  readonly outcome: Outcome
  readonly why: string
  readonly story: ReadonlyArray<string>
}

export const summary = (
  placed: ReadonlyArray<Placed>,
  books: readonly [Orders.Books, Payments.Books, Shipping.Books],
  seconds: number,
  crashes: number
): Summary => {
  const count = (outcome: Outcome) => placed.filter((one) => one.outcome === outcome).length
  return {
    orders: placed.length,
    committed: count("committed"),
    undone: count("undone"),
    parked: count("parked"),
    conserved: isConserved(...books),
    seconds,
    crashes,
    outcomes: Object.fromEntries(placed.map(({ orderId, outcome }) => [orderId, outcome]))
  }
}

/** How long `work` takes, in seconds. */
export const timed = Effect.fnUntraced(function* <A, E, R>(work: Effect.Effect<A, E, R>) {
  const start = yield* Clock.currentTimeMillis
  const result = yield* work
  return [result, ((yield* Clock.currentTimeMillis) - start) / 1_000] as const
})
