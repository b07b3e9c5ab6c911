/** The whole file of orders in one process: what comes of an order depends on that order alone, and nothing is lost. */
import { readFileSync } from "node:fs"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Result, Schema } from "effect"
import {
  Broker,
  ParticipantStore,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { PgliteClient } from "../../src/pglite.ts"
import { Order } from "./contracts.ts"
import * as Orders from "./orders.ts"
import * as Payments from "./payments.ts"
import { PlaceOrder } from "./saga.ts"
import * as Shipping from "./shipping.ts"
import { isConserved } from "./summary.ts"

const orders = readFileSync(new URL("orders.ndjson", import.meta.url), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => Schema.decodeSync(Schema.fromJsonString(Order))(line))

/** As the services decide it. */
const expected = ({ amount, article, card, city, speed }: Order): string =>
  ["piano", "unicorn"].includes(article)
    ? "OutOfStock"
    : card.startsWith("9") || amount > 500_000
      ? "CardDeclined"
      : speed === "express" && ["Atlantis", "Avalon", "Utopia"].includes(city)
        ? "NoCourier"
        : "committed"

it("has orders of every kind", () => {
  assert.strictEqual(orders.length, 300)
  assert.strictEqual(new Set(orders.map(({ orderId }) => orderId)).size, 300)
  assert.deepStrictEqual([...new Set(orders.map(expected))].sort(), [
    "CardDeclined",
    "NoCourier",
    "OutOfStock",
    "committed"
  ])
})

// Nothing crashes here, so that executions are in memory while the tables are real does no harm.
const store = Layer.effect(
  SagaExecutionRepository.SagaExecutionRepository,
  Effect.map(SagaExecutionRepository.SagaExecutionRepository, (memory) => ({ ...memory, transactional: true }))
).pipe(Layer.provide(SagaExecutionRepository.layerMemory))

const live = Layer.mergeAll(SagaManager.layer([PlaceOrder]), Payments.layer, Shipping.layer).pipe(
  Layer.provideMerge(Layer.effectDiscard(Effect.all([Orders.tables, Payments.tables, Shipping.tables]))),
  Layer.provideMerge(PgliteClient.layer()),
  Layer.provide([
    store,
    Broker.layerMemory,
    ParticipantStore.layerMemory,
    TransactionCommitter.layerNone,
    SagaConfig.layer({ service: "orders" })
  ])
)

it.live("gives each order its outcome, and loses neither money nor goods", () =>
  Effect.gen(function* () {
    const outcomes = yield* Effect.forEach(
      orders,
      (order) =>
        Effect.map(Effect.result(SagaManager.execute(PlaceOrder, { context: order })), (result) =>
          Result.isSuccess(result) ? "committed" : result.failure._tag
        ),
      { concurrency: 16 }
    )
    assert.deepStrictEqual(outcomes, orders.map(expected))
    const books = [yield* Orders.books, yield* Payments.books, yield* Shipping.books] as const
    assert.isTrue(isConserved(...books), JSON.stringify(books))
    assert.strictEqual(books[0].orders, outcomes.filter((outcome) => outcome === "committed").length)
  }).pipe(Effect.provide(live))
)
