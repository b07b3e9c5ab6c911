/** Orders over two databases: what is started with a key is found again by it, also after its part of the keys has moved. */
import { Console, Effect, Layer, Schema } from "effect"
import { Broker, Saga, SagaConfig, SagaManager, TransactionCommitter } from "effect-saga"
import { PgliteClient } from "effect-saga/pglite"
import { SqlBuckets, SqlSagaExecutionRepository } from "effect-saga/sql"

const PlaceOrder = Saga.make("PlaceOrder", { context: { city: Schema.String } }).pipe(
  Saga.local("parcel", { success: Schema.String, execute: ({ city }) => Effect.succeed(`parcel for ${city}`) }),
  Saga.commit
)

/** Two embedded databases. On servers a `client` is `PgClient.layer({ url })` of `@effect/sql-pg`. */
const makeDatabases = Effect.gen(function* () {
  const north = yield* Layer.build(PgliteClient.layer())
  const south = yield* Layer.build(PgliteClient.layer())
  return { north: { client: Layer.succeedContext(north) }, south: { client: Layer.succeedContext(south) } }
})

const program = Effect.gen(function* () {
  const databases = yield* makeDatabases

  // Once in the life of the service: all 256 buckets begin in one database, which may have executions already.
  yield* SqlBuckets.begin(databases, "north")

  const manager = SagaManager.layer([PlaceOrder]).pipe(
    Layer.provide([
      // An embedded database holds up its process while it works. On servers the default is right.
      SagaConfig.layer({ service: "orders", lease: "1 minute" }),
      SqlSagaExecutionRepository.layerSharded(databases),
      Broker.layerMemory,
      TransactionCommitter.layerNone
    ])
  )
  yield* Effect.gen(function* () {
    const order = (n: number) =>
      SagaManager.run(PlaceOrder, { context: { city: "Ghent" }, startKey: `order ${n}`, returnExecution: false })
    const before = yield* Effect.forEach([1, 2, 3, 4], order)

    // At any time: half of the buckets go to the other database, while the processes run.
    const buckets = Array.from({ length: 128 }, (_, half) => 128 + half)
    yield* SqlBuckets.move(databases, { from: "north", to: "south", buckets })
    const served = yield* SqlBuckets.served(databases)
    yield* Console.log(`north serves ${served.north?.length} buckets, south ${served.south?.length}`)

    const after = yield* Effect.forEach([1, 2, 3, 4], order)
    yield* Console.log(`the orders are the same: ${after.every((uuid, i) => uuid === before[i])}`)
    const found = yield* SagaManager.SagaManager.use(({ find }) => find({}))
    yield* Console.log(`found in both databases: ${found.items.length}`)
  }).pipe(Effect.provide(manager))
}).pipe(Effect.scoped)

Effect.runPromise(program)
