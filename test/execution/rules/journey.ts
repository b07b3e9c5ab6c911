/** Sagas with what `PlaceOrder` has not: branches at the same time, a saga in a saga, services that cannot be asked. */
import { Effect, Schema } from "effect"
import * as Participant from "../../../src/definition/ParticipantContract.ts"
import * as Saga from "../../../src/definition/Saga.ts"

const booking = {
  Book: { payload: { for: Schema.String }, success: Schema.String, error: Schema.String },
  Cancel: { payload: { id: Schema.NullOr(Schema.String) } }
}
const Airline = Participant.make("airline", booking)
const Hotel = Participant.make("hotel", booking)
/** Does not know what became of a request. */
const Tourist = Participant.make("tourist", booking, { probe: false })

const text = { success: Schema.String, execute: () => Effect.succeed(""), compensate: () => Effect.void }

/** Flight and hotel are booked at the same time. */
export const Journey = Saga.make("Journey", { context: { who: Schema.String } }).pipe(
  Saga.local("plan", text),
  Saga.parallel("bookings", {
    flight: (branch) =>
      branch.pipe(
        Saga.remote("flight", {
          execute: { command: Airline.commands.Book, payload: ({ who }) => ({ for: who }) },
          // A reply that cannot be read is compensated blindly. One that was not seen is asked for all the same.
          compensate: {
            command: Airline.commands.Cancel,
            payload: ({ flight }) => ({ id: flight }),
            unknown: () => ({ id: null })
          }
        }),
        Saga.local("seat", text)
      ),
    hotel: (branch) =>
      branch.pipe(
        Saga.local("room", text),
        Saga.remote("breakfast", {
          execute: { command: Hotel.commands.Book, payload: ({ who }) => ({ for: who }) },
          compensate: { command: Hotel.commands.Cancel, payload: ({ breakfast }) => ({ id: breakfast }) }
        })
      )
  }),
  Saga.local("itinerary", text),
  Saga.commit
)

const Stay = Saga.make("Stay", { context: { guest: Schema.String } }).pipe(
  Saga.remote("key", {
    execute: { command: Hotel.commands.Book, payload: ({ guest }) => ({ for: guest }) },
    compensate: { command: Hotel.commands.Cancel, payload: ({ key }) => ({ id: key }) }
  }),
  Saga.local("breakfast", text),
  Saga.commit
)

/** A saga runs inside a step. */
export const Weekend = Saga.make("Weekend", { context: { who: Schema.String } }).pipe(
  Saga.local("plan", text),
  Saga.nested("stay", { saga: Stay, context: ({ who }) => ({ guest: who }) }),
  Saga.local("postcard", text),
  Saga.commit
)

/** One service is not asked but compensated blindly, another one can do neither. */
export const Tour = Saga.make("Tour", { context: { who: Schema.String } }).pipe(
  Saga.local("plan", text),
  Saga.remote("guide", {
    execute: { command: Tourist.commands.Book, payload: ({ who }) => ({ for: who }) },
    compensate: {
      command: Tourist.commands.Cancel,
      payload: ({ guide }) => ({ id: guide }),
      unknown: () => ({ id: null })
    }
  }),
  Saga.remote("museum", {
    execute: { command: Tourist.commands.Book, payload: ({ who }) => ({ for: who }) },
    compensate: { command: Tourist.commands.Cancel, payload: ({ museum }) => ({ id: museum }) }
  }),
  Saga.remote("boat", {
    execute: { command: Airline.commands.Book, payload: ({ who }) => ({ for: who }) },
    onError: (error) => Effect.succeed(`on foot: ${error}`),
    compensate: { command: Airline.commands.Cancel, payload: ({ boat }) => ({ id: boat }) }
  }),
  Saga.commit
)

const crash = { execute: () => Effect.void, compensate: { run: () => Effect.void, unknown: () => Effect.void } }

/** What a crash leaves half done is run again, compensated, or left to a person. */
export const Crashes = Saga.make("Crashes", { context: {} }).pipe(
  Saga.local("again", { ...crash, retryCompensate: { times: 1, backoff: "2 seconds" } }),
  Saga.local("compensated", { ...crash, onCrash: "compensate" }),
  Saga.local("parked", { ...crash, onCrash: "park" }),
  Saga.local("timed", { ...crash, timeout: "2000.5 millis" }),
  Saga.local("stored", { ...crash, onCrash: "park", transactional: true }),
  Saga.commit
)
