/** A nightly batch in a queue: two at a time, one for each customer, and a slow customer holds up nobody else. */
import { Console, Effect, Layer, Schema } from "effect"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  SagaQueue,
  TransactionCommitter
} from "effect-saga"

const Nightly = SagaQueue.make("nightly", { concurrency: 2, perKey: { concurrency: 1 } })

const Invoice = Saga.make("Invoice", { context: { customer: Schema.String, month: Schema.Int } }).pipe(
  Saga.local("sent", {
    execute: ({ customer, month }) =>
      Effect.andThen(Effect.sleep("20 millis"), Console.log(`  invoice of month ${month} to ${customer}`))
  }),
  Saga.commit
)

const invoices = [1, 2, 3, 4].map((month) => ({ customer: "Ann", month })).concat({ customer: "Bob", month: 4 })

const program = Effect.gen(function* () {
  // Stored at once: from here on they survive their process.
  for (const context of invoices) {
    const { customer: key, month } = context
    // Of one customer the oldest month goes first, in whatever order they are started.
    const place = { queue: Nightly, key, priority: -month }
    yield* SagaManager.start(Invoice, { context, ...place, startKey: `invoice ${key} ${month}` })
  }
  const [before] = yield* SagaQueue.list
  yield* Console.log(`${before?.held} have a place, ${before?.queued} wait`)
  // The same start key is the same execution: this waits for the one that is in the queue.
  const last = { customer: "Ann", month: 4 }
  yield* SagaManager.run(Invoice, { context: last, queue: Nightly, key: "Ann", startKey: "invoice Ann 4" })
  const [after] = yield* SagaQueue.list
  yield* Console.log(`${after?.held} have a place, ${after?.queued} wait`)
})

const Live = SagaManager.layer([Invoice], { queues: [Nightly] }).pipe(
  Layer.provideMerge(SagaExecutionRepository.layerMemoryWith({ keep: 100 })),
  Layer.provide([SagaConfig.layer({ service: "billing" }), Broker.layerMemory, TransactionCommitter.layerNone])
)

Effect.runPromise(program.pipe(Effect.provide(Live)))
