/** Two orders: one goes well, and of the other the last line is not there. */
import { Console, Effect, Layer } from "effect"
import {
  Broker,
  Participant,
  ParticipantStore,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { OutOfStock, Packing, PlaceOrder, Stock } from "./order.ts"

const StockLive = Layer.succeed(Stock, {
  reserve: (sku, count) =>
    count > 9
      ? Effect.fail(new OutOfStock({ sku }))
      : Effect.as(Console.log(`  reserve ${count} ${sku}`), `${count} ${sku}`),
  release: (reservation) => Console.log(`  release ${reservation}`)
})
const PackingLive = Participant.layer(Packing, {
  Pack: ({ sku }) => Effect.succeed(`box of ${sku}`),
  Unpack: ({ box }) => Console.log(`  unpack ${box}`)
})

const line = (sku: string, count: number) => ({ sku, count })
const order = (...lines: ReadonlyArray<ReturnType<typeof line>>) =>
  SagaManager.execute(PlaceOrder, { context: { lines } }).pipe(
    Effect.matchEffect({
      onSuccess: ({ label }) => Console.log(`  sent: ${label}`),
      onFailure: (error) => Console.log(`  no order: ${error._tag}`)
    })
  )

const program = Effect.gen(function* () {
  yield* Console.log("two lines")
  yield* order(line("book", 1), line("pen", 3))
  yield* Console.log("a line that is not there")
  yield* order(line("book", 1), line("chair", 10))
})

const Live = SagaManager.layer([PlaceOrder]).pipe(
  Layer.provideMerge(PackingLive),
  Layer.provide([
    StockLive,
    SagaConfig.layer({ service: "orders" }),
    SagaExecutionRepository.layerMemory,
    ParticipantStore.layerMemory,
    TransactionCommitter.layerNone
  ]),
  Layer.provide(Broker.layerMemory)
)

Effect.runPromise(Effect.provide(program, Live))
