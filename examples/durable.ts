/** The same order in a database: its process stops in the middle, and another process continues it. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Console, Deferred, Effect, Layer, Schema } from "effect"
import { Broker, Saga, SagaConfig, SagaManager, TransactionCommitter } from "effect-saga"
import { PgliteClient } from "effect-saga/pglite"
import { SqlSagaExecutionRepository } from "effect-saga/sql"

/** Stops the process while the second step runs. */
const plug = Deferred.makeUnsafe<void>()

const PlaceOrder = Saga.make("PlaceOrder", { context: { city: Schema.String } }).pipe(
  Saga.local("reservation", {
    success: Schema.String,
    execute: ({ city }) => Effect.as(Console.log("  reserve a book"), `book for ${city}`),
    compensate: ({ reservation }) => Console.log(`  release the ${reservation}`)
  }),
  Saga.local("parcel", {
    success: Schema.String,
    execute: ({ reservation }) =>
      Effect.gen(function* () {
        yield* Console.log("  pack")
        if (yield* Deferred.succeed(plug, undefined)) yield* Effect.never
        return `parcel with the ${reservation}`
      })
  }),
  Saga.commit
)

/** Postgres in this process and this folder. On a server it is `PgClient.layer({ url })` of `@effect/sql-pg`. */
const database = (folder: string) => PgliteClient.layer({ folder })

/** In memory it was `SagaExecutionRepository.layerMemory`; nothing else changes. */
const repository = (folder: string) => SqlSagaExecutionRepository.layer().pipe(Layer.provide(database(folder)))

const inProcess = (folder: string) =>
  Effect.provide(
    SagaManager.layer([PlaceOrder]).pipe(
      Layer.provide([
        // Without a grace the step is cut off where it is, as by a crash.
        SagaConfig.layer({ service: "orders", shutdownGrace: 0 }),
        repository(folder),
        Broker.layerMemory,
        TransactionCommitter.layerNone
      ]),
      Layer.fresh
    )
  )

/** The key names the order: a second call with this key gets the same execution. */
const order = SagaManager.execute(PlaceOrder, { context: { city: "Ghent" }, startKey: "order 1" })

const program = Effect.gen(function* () {
  const folder = mkdtempSync(join(tmpdir(), "orders-"))
  yield* Console.log("first process")
  yield* Effect.raceFirst(order, Deferred.await(plug)).pipe(inProcess(folder))
  yield* Console.log("second process")
  const { parcel } = yield* order.pipe(inProcess(folder))
  yield* Console.log(`  placed: ${parcel}`)
  rmSync(folder, { recursive: true })
  rmSync(`${folder}.lock`, { force: true })
})

Effect.runPromise(program)
