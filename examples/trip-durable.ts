/** The trip in a database: its process ends while the airline is closed, and the next process continues it. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Console, Effect, Layer } from "effect"
import { Broker, SagaConfig, SagaManager, TransactionCommitter } from "effect-saga"
import { PgliteClient } from "effect-saga/pglite"
import { SqlParticipantStore, SqlSagaExecutionRepository } from "effect-saga/sql"
import { AirlineLive, BookTrip, HotelLive } from "./tutorial/trip.ts"

const folder = mkdtempSync(join(tmpdir(), "trips-"))

/** Postgres in a folder. On a server it is `PgClient.layer({ url })` of `@effect/sql-pg`. */
const database = PgliteClient.layer({ folder })

const travel = SagaManager.layer([BookTrip]).pipe(
  Layer.provide([
    HotelLive,
    SagaConfig.layer({ service: "travel" }),
    SqlSagaExecutionRepository.layer(),
    TransactionCommitter.layerNone
  ])
)

/** The answers of the airline are in the database too. */
const airline = AirlineLive.pipe(Layer.provide(SqlParticipantStore.layer()))

/** The key names the trip: a second call with this key gets the same trip. */
const trip = { context: { city: "Porto" }, startKey: "trip 1" }

const evening = Effect.gen(function* () {
  const { status } = yield* SagaManager.run(BookTrip, { ...trip, pauseOnDisk: true })
  yield* Console.log(`in the evening it is ${status}`)
}).pipe(Effect.provide(travel.pipe(Layer.provide([Broker.layerMemory, database]), Layer.fresh)))

const morning = Effect.gen(function* () {
  const { flight } = yield* SagaManager.execute(BookTrip, trip)
  yield* Console.log(`in the morning there is seat ${flight.seat}`)
}).pipe(Effect.provide(Layer.merge(travel, airline).pipe(Layer.provide([Broker.layerMemory, database]), Layer.fresh)))

const tidy = Effect.sync(() => rmSync(folder, { recursive: true }))

Effect.runPromise(evening.pipe(Effect.andThen(morning), Effect.ensuring(tidy)))
