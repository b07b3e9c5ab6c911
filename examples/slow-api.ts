/**
 * A call of another system that takes seconds: the handler has no transaction and no connection. Its key is the same each time it runs,
 * so the bank charges the card once, although the first call seems to fail. Here seconds are thousandths.
 */
import { Console, Effect, Layer, Logger, Schema } from "effect"
import {
  Broker,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"

const Payments = Participant.make("payments", {
  Charge: { payload: { amount: Schema.Int }, success: Schema.String },
  Refund: { payload: { payment: Schema.String } }
})

/** The bank, on the other side of the internet. It knows the keys that it has heard, as banks do. */
const charges = new Map<string, string>()
let calls = 0
const charge = (amount: number, key: string) =>
  Effect.gen(function* () {
    yield* Effect.sleep("5 millis")
    const isKnown = charges.has(key)
    const payment = charges.get(key) ?? `payment ${charges.size + 1} of ${amount}`
    charges.set(key, payment)
    yield* Console.log(isKnown ? "  the bank knows the key: nothing more is charged" : `  the bank charges ${amount}`)
    // The card is charged, and the answer is lost.
    return calls++ === 0 ? yield* Effect.die(new Error("connection reset")) : payment
  })

const PaymentsLive = Participant.layer(Payments, {
  Charge: {
    transaction: false,
    timeout: "1 minute",
    // At most so many calls at a time: the connections of the database do not limit them.
    concurrency: 16,
    handle: ({ amount }, idempotencyKey) => charge(amount, idempotencyKey)
  },
  // The compensation may be such a handler too, or one in a transaction.
  Refund: {
    transaction: false,
    handle: ({ payment }) => Console.log(`  the bank gives ${payment} back`)
  }
})

const Buy = Saga.make("Buy", { context: { amount: Schema.Int } }).pipe(
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: ({ amount }) => ({ amount }) },
    compensate: { command: Payments.commands.Refund, payload: ({ payment }) => ({ payment }) }
  }),
  Saga.commit
)

const program = Effect.gen(function* () {
  // Nobody knows whether the first call has charged the card. So nothing is answered, and the message comes again after a second.
  const { payment } = yield* SagaManager.execute(Buy, { context: { amount: 12 } })
  yield* Console.log(`${payment}, after ${calls} calls`)
})

const Live = Layer.merge(SagaManager.layer([Buy]), PaymentsLive).pipe(
  Layer.provide([
    SagaConfig.layer({ service: "shop" }),
    SagaExecutionRepository.layerMemory,
    Broker.layerMemory,
    ParticipantStore.layerMemory,
    TransactionCommitter.layerNone,
    // The log would tell of the handler that has died.
    Logger.layer([])
  ])
)

Effect.runPromise(program.pipe(Effect.provide(Live)))
