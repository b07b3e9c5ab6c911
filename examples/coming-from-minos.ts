/** The same saga here. Each step is named after its result, and the compensation reads this result with its type. */
import { Console, Effect, Schema } from "effect"
import { Participant, Saga } from "effect-saga"

const Payments = Participant.make("payments", {
  Charge: { payload: { amount: Schema.Int }, success: Schema.Struct({ paymentId: Schema.String }) },
  Refund: { payload: { paymentId: Schema.String } }
})

const PlaceOrder = Saga.make("PlaceOrder", { context: { city: Schema.String, amount: Schema.Int } }).pipe(
  Saga.local("reservation", {
    success: Schema.String,
    execute: ({ city }) => Effect.succeed(`book for ${city}`),
    compensate: ({ reservation }) => Console.log(`release the ${reservation}`)
  }),
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: ({ amount }) => ({ amount }) },
    compensate: { command: Payments.commands.Refund, payload: ({ payment }) => payment }
  }),
  Saga.commit
)

// The value alone tells what a rollback would compensate; in Minos only a running saga knows.
for (const { how, step } of Saga.rollbackPlan(PlaceOrder)) console.log(`compensate ${step} (${how})`)
