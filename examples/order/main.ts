/** Two orders: one is placed, the other finds no courier and is rolled back. */
import { Console, Effect, Layer, Schema } from "effect"
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

// Another service: the contract of its commands, which both sides import, and its handlers.
const Payments = Participant.make("payments", {
  Charge: { payload: { amount: Schema.Int }, success: Schema.Struct({ paymentId: Schema.String }) },
  Refund: { payload: { paymentId: Schema.String } }
})
const PaymentsLive = Participant.layer(Payments, {
  Charge: ({ amount }) => Effect.as(Console.log(`  charge ${amount} euros`), { paymentId: `payment of ${amount}` }),
  Refund: ({ paymentId }) => Console.log(`  refund the ${paymentId}`)
})

class NoCourier extends Schema.TaggedError<NoCourier>()("NoCourier", { city: Schema.String }) {}

// The saga is a value: steps with their compensations. A step is named after its result, and later steps read it by name.
const PlaceOrder = Saga.make("PlaceOrder", { context: { city: Schema.String, amount: Schema.Int } }).pipe(
  Saga.local("reservation", {
    success: Schema.String,
    execute: ({ city }) => Effect.as(Console.log("  reserve a book"), `book for ${city}`),
    compensate: ({ reservation }) => Console.log(`  release the ${reservation}`)
  }),
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: ({ amount }) => ({ amount }) },
    compensate: { command: Payments.commands.Refund, payload: ({ payment }) => payment }
  }),
  Saga.local("parcel", {
    success: Schema.String,
    error: NoCourier,
    execute: ({ city, reservation }) =>
      city === "Atlantis" ? Effect.fail(new NoCourier({ city })) : Effect.succeed(`parcel with the ${reservation}`)
  }),
  Saga.commit
)

const order = (city: string, amount: number) =>
  Console.log(`order to ${city}`).pipe(
    Effect.andThen(SagaManager.execute(PlaceOrder, { context: { city, amount } })),
    Effect.flatMap(({ parcel, payment }) => Console.log(`  placed: ${parcel}, ${payment.paymentId}`)),
    Effect.catchTag("NoCourier", ({ city }) => Console.log(`  undone: no courier goes to ${city}`))
  )

// Storage and transport are layers; these layers keep everything in memory.
const Memory = Layer.mergeAll(
  SagaExecutionRepository.layerMemory,
  ParticipantStore.layerMemory,
  Broker.layerMemory,
  TransactionCommitter.layerNone
)
const Live = Layer.merge(SagaManager.layer([PlaceOrder]), PaymentsLive).pipe(
  Layer.provide([SagaConfig.layer({ service: "orders" }), Memory])
)

Effect.runPromise(order("Ghent", 20).pipe(Effect.andThen(order("Atlantis", 30)), Effect.provide(Live)))
