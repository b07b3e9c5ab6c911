/** A seat is held for a quarter of an hour. Who pays in time has it, and after that somebody else can. */
import { Context, type Effect, Schema } from "effect"
import { Participant, Saga, Signal } from "effect-saga"

/** The bank says it, perhaps twice and perhaps too late. */
export const Paid = Signal.make("paid", { payload: Schema.Struct({ payment: Schema.String }) })

export const Mail = Participant.make("mail", {
  SendTicket: { payload: { to: Schema.String, seat: Schema.String }, compensable: false }
})

export class SoldOut extends Schema.TaggedError<SoldOut>()("SoldOut", {}) {}

/** A service of yours. */
export class Seats extends Context.Service<
  Seats,
  {
    readonly hold: (guest: string) => Effect.Effect<string, SoldOut>
    readonly release: (seat: string) => Effect.Effect<void>
  }
>()("reservation/Seats") {}

export const Ticket = Saga.make("Ticket", { context: { guest: Schema.String } }).pipe(
  Saga.local("seat", {
    success: Schema.String,
    error: SoldOut,
    execute: ({ guest }) => Seats.use((seats) => seats.hold(guest)),
    compensate: ({ seat }) => Seats.use((seats) => seats.release(seat))
  }),
  // No payment in this time: the step fails, and the seat is released.
  Saga.waitFor("paid", { signal: Paid, timeout: "15 minutes" }),
  Saga.remote("mail", {
    execute: { command: Mail.commands.SendTicket, payload: ({ guest, seat }) => ({ to: guest, seat }) },
    timeout: "1 day"
  }),
  Saga.commit
)
