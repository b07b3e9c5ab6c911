/** A trip that somebody has to approve: the saga waits for a signal, two days at most. */
import { Effect, Schema } from "effect"
import { Saga, Signal } from "effect-saga"
import { BookTrip } from "../tutorial/trip.ts"

/** Both sides import it: the saga that waits, and the page with the two buttons. */
export const Approval = Signal.make("approval", {
  payload: Schema.Struct({ approved: Schema.Boolean, by: Schema.String })
})

export class Declined extends Schema.TaggedError<Declined>()("Declined", { by: Schema.String }) {}

export const ApprovedTrip = Saga.make("ApprovedTrip", { context: { city: Schema.String } }).pipe(
  Saga.waitFor("approval", { signal: Approval, timeout: "2 days" }),
  Saga.local("consent", {
    error: Declined,
    execute: ({ approval: { approved, by } }) => (approved ? Effect.void : Effect.fail(new Declined({ by })))
  }),
  Saga.nested("trip", { saga: BookTrip, context: ({ city }) => ({ city }) }),
  Saga.commit
)
