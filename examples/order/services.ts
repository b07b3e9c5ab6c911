/** The three services, each with its code, its tables and a connection to the broker. */
import { type Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { type Broker, type ParticipantStore, SagaConfig, SagaManager, TransactionCommitter } from "effect-saga"
import { SqlParticipantStore, SqlSagaExecutionRepository } from "effect-saga/sql"
import * as Orders from "./orders.ts"
import * as Payments from "./payments.ts"
import type { Places } from "./places.ts"
import * as Place from "./places.ts"
import { PlaceOrder } from "./saga.ts"
import * as Shipping from "./shipping.ts"
import { broker } from "./transports.ts"

/** The orchestrator: it runs the saga. On a server, executions of a killed process are taken over after these five seconds. */
export const orders = (places: Places) =>
  SagaManager.layer([PlaceOrder]).pipe(
    Layer.provide([
      SqlSagaExecutionRepository.layer(),
      broker("orders", places.transport),
      TransactionCommitter.layerNone,
      SagaConfig.layer({ service: "orders", lease: "5 seconds", recoveryInterval: "1 second" })
    ]),
    Layer.provideMerge(Layer.effectDiscard(Orders.tables)),
    Layer.provideMerge(Place.database("orders", places))
  )

interface Code {
  readonly tables: Effect.Effect<unknown, SqlError, SqlClient.SqlClient>
  readonly layer: Layer.Layer<never, never, Broker.Broker | ParticipantStore.ParticipantStore | SqlClient.SqlClient>
  readonly books: Effect.Effect<unknown, SqlError, SqlClient.SqlClient>
}

export type Participant = "payments" | "shipping"
export const participants: { readonly [name in Participant]: Code } = { payments: Payments, shipping: Shipping }

/** A participant: it answers commands, and keeps its answers in the database of its tables. */
export const participant = (name: Participant, places: Places) =>
  participants[name].layer.pipe(
    Layer.provide([SqlParticipantStore.layer(), broker(name, places.transport)]),
    Layer.provideMerge(Layer.effectDiscard(participants[name].tables)),
    Layer.provideMerge(Place.database(name, places))
  )
