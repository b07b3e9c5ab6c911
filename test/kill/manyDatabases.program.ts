/**
 * One of several orchestrators over two databases. It starts the orders that it is told, by their keys, and says when all have
 * ended. Another one may have started them before. What a step does is a row in a schema of its own.
 */
import process from "node:process"
import { createInterface } from "node:readline"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted, Schedule, Schema } from "effect"
import { SqlClient } from "effect/sql"
import {
  Broker,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaManager,
  SagaTransaction,
  TransactionCommitter
} from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"

export interface Told {
  readonly url: string
  readonly schemas: { readonly north: string; readonly south: string; readonly effects: string }
}

const told: Told = JSON.parse(process.argv[2] ?? "")

const client = (maxConnections: number) =>
  PgClient.layer({ url: Redacted.make(told.url), maxConnections, connectTimeout: "30 seconds" })

/** A step that may be tried again: it is one effect all the same, as the target looks at the key. */
const did = (step: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { idempotencyKey, uuid } = yield* SagaTransaction
    yield* sql`insert into ${sql(`${told.schemas.effects}.effect`)} (uuid, step, key)
      values (${uuid}, ${step}, ${idempotencyKey}) on conflict (key) do nothing`
    yield* Effect.sleep("20 millis")
  }).pipe(Effect.retry({ times: 5, schedule: Schedule.spaced("50 millis") }), Effect.orDie)

const Payments = Participant.make("payments", {
  Charge: { payload: { order: Schema.String }, success: Schema.String }
})

const PlaceOrder = Saga.make("PlaceOrder", { context: { order: Schema.String } }).pipe(
  Saga.local("stock", { execute: () => did("stock") }),
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: ({ order }) => ({ order }) },
    timeout: "1 hour"
  }),
  Saga.local("parcel", { execute: () => did("parcel") }),
  Saga.commit
)

const PaymentsLive = Participant.layer(Payments, { Charge: ({ order }) => Effect.succeed(`p-${order}`) })

const Live = Layer.merge(
  SagaManager.layer([PlaceOrder]),
  Layer.provide(PaymentsLive, ParticipantStore.layerMemory)
).pipe(
  Layer.provide([
    SagaConfig.layer({
      service: "orders",
      lease: "1500 millis",
      recoveryInterval: "500 millis",
      resend: { initial: "500 millis", factor: 2, max: "2 seconds" }
    }),
    // Each process has its own: a message of one that was killed is sent again by the next.
    Broker.layerMemory,
    TransactionCommitter.layerNone,
    SqlSagaExecutionRepository.layerSharded({
      north: { client: client(8), schema: told.schemas.north },
      south: { client: client(8), schema: told.schemas.south }
    })
  ]),
  Layer.provideMerge(client(4))
)

/** The keys that it is told, and the end of the line. */
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

await Effect.gen(function* () {
  console.log("up")
  const keys: ReadonlyArray<string> = JSON.parse((yield* Effect.promise(() => lines.next())).value ?? "[]")
  yield* Effect.forEach(
    keys,
    (key) =>
      // A bucket that moves, or a start that another process has just made.
      Effect.retry(SagaManager.run(PlaceOrder, { context: { order: key }, startKey: key, raiseOnError: true }), {
        while: ({ _tag }) => _tag === "SagaExecutionRepositoryError",
        schedule: Schedule.spaced("50 millis")
      }),
    { concurrency: "unbounded", discard: true }
  )
  console.log("settled")
}).pipe(Effect.provide(Live), Effect.runPromise)
process.stdin.destroy()
