/** The same saga here: steps are named after what they give, and the undoing reads it, with its type. */
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

// What Minos knows only while it runs is known from the value: what a refused commit would undo.
for (const { how, step } of Saga.rollbackPlan(PlaceOrder)) console.log(`undo ${step} (${how})`)
