/**
 * Keeps a number of orders in flight until it is killed, from outside or by itself at a fault point; told to finish, it
 * starts none and ends when all are settled. What a step does is a row in a table of its own.
 */
import process from "node:process"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, SagaConfig, SagaManager, SagaTransaction, TransactionCommitter } from "effect-saga"
import { FaultPoint } from "effect-saga/internals"
import { PgliteClient } from "effect-saga/pglite"
import { SqlParticipantStore, SqlSagaExecutionRepository } from "effect-saga/sql"
import * as Orders from "./Orders.ts"
import type { Order } from "./suffer.ts"

const order: Order = JSON.parse(process.argv[2] ?? "")

const table = (name: string) => SqlClient.SqlClient.use((sql) => Effect.succeed(sql(`${order.schema}.${name}`)))

/** A row in the same database, and yet an effect elsewhere, unless it is written in the transaction of the step. */
const did = (step: string, op: "execute" | "failure") =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { epoch, idempotencyKey, uuid } = yield* SagaTransaction
    yield* sql`insert into ${yield* table("effect")} (uuid, step, op, key, epoch)
      values (${uuid}, ${step}, ${op}, ${idempotencyKey}, ${epoch})`
  }).pipe(Effect.retry({ times: 5, schedule: Schedule.spaced("50 millis") }), Effect.orDie)

const pause = Effect.suspend(() => Effect.sleep(Math.random() * 20))
/** Time in which a process can be killed before and after an effect. */
const slowly = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.andThen(
    pause,
    Effect.tap(effect, () => pause)
  )

const { PaymentsLive, PlaceOrder } = Orders.make(({ op, step }) => slowly(did(step, op)))

const unsettled = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ n: number }>`
    select count(*)::int as n from ${yield* table("saga_execution")} where not settled`
  return row?.n ?? 0
})

const database =
  "url" in order.database
    ? PgClient.layer({ url: Redacted.make(order.database.url), maxConnections: 8, connectTimeout: "30 seconds" })
    : PgliteClient.layer(order.database)

const Executions = SqlSagaExecutionRepository.layer({ schema: order.schema })
/** In the database that the handlers write in. */
const Participants = SqlParticipantStore.layer({ schema: order.schema })

let left = order.fault?.nth ?? 0
const Faults = Layer.succeed(FaultPoint, (name) =>
  Effect.sync(() => {
    if (name === order.fault?.name && --left === 0) process.kill(process.pid, "SIGKILL")
  })
)

/** Counts what a former process has left between two writes, before anything goes on. */
const Found = Layer.effectDiscard(
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`create table if not exists ${yield* table("effect")}
      (seq bigserial, uuid text not null, step text not null, op text not null, key text not null, epoch int not null)`
    console.log(`found ${yield* unsettled}`)
  })
)

const Live = Layer.merge(SagaManager.layer([PlaceOrder]), PaymentsLive).pipe(
  Layer.provideMerge(
    Layer.mergeAll(
      SagaConfig.layer({
        service: "orders",
        maxRunning: 20_000,
        lease: "1500 millis",
        recoveryInterval: "500 millis"
      }),
      Broker.layerMemory,
      TransactionCommitter.layerNone
    )
  ),
  Layer.provide(Faults),
  Layer.provide(Found),
  Layer.provideMerge(Layer.merge(Executions, Participants)),
  Layer.provideMerge(database)
)

let n = 0
const start = Effect.suspend(() =>
  SagaManager.run(PlaceOrder, { context: { n: n++, courier: n % 3 > 0 }, raiseOnError: false, returnExecution: false })
)

const feed = Effect.gen(function* () {
  const missing = order.inFlight - (yield* unsettled)
  for (let i = 0; i < missing; i++) yield* Effect.forkChild(Effect.ignore(start))
  yield* Effect.sleep("50 millis")
})

/** The next line says that it is to finish. */
const told = Effect.callback<void>((resume) => {
  process.stdin.once("data", () => resume(Effect.void))
})

await Effect.gen(function* () {
  if (!order.finish) {
    yield* feed
    console.log("up")
    yield* Effect.raceFirst(Effect.forever(feed), told)
  }
  yield* Effect.repeat(Effect.delay(unsettled, "100 millis"), { until: (n) => n === 0 })
  console.log("settled")
}).pipe(Effect.provide(Live), Effect.runPromise)
process.stdin.destroy()
