/** A trip: a room in our own hotel and a seat of an airline, both or neither. */
import { Context, Effect, Layer, Schema } from "effect"
import { Participant, Saga, SagaTransaction } from "effect-saga"

// The contract of another service.
export const Airline = Participant.make("airline", {
  Book: {
    payload: { city: Schema.String },
    success: Schema.Struct({ seat: Schema.String }),
    error: Schema.TaggedStruct("FlightFull", { city: Schema.String })
  },
  Cancel: { payload: { seat: Schema.String } }
})

/** A service of your own: any Effect service will do. */
export class Hotel extends Context.Service<
  Hotel,
  {
    readonly reserve: (key: string) => Effect.Effect<string>
    readonly cancel: (room: string) => Effect.Effect<void>
    readonly taken: Effect.Effect<number>
  }
>()("tutorial/Hotel") {}

export const BookTrip = Saga.make("BookTrip", { context: { city: Schema.String } }).pipe(
  Saga.local("room", {
    success: Schema.String,
    // After a crash the step may run again. The key is the same then, and so is the room.
    execute: () => SagaTransaction.use(({ idempotencyKey }) => Hotel.use((hotel) => hotel.reserve(idempotencyKey))),
    compensate: ({ room }) => Hotel.use((hotel) => hotel.cancel(room)),
    retryCompensate: { times: 2, backoff: "10 millis" }
  }),
  Saga.remote("flight", {
    execute: { command: Airline.commands.Book, payload: ({ city }) => ({ city }) },
    compensate: { command: Airline.commands.Cancel, payload: ({ flight }) => flight },
    timeout: "30 seconds"
  }),
  Saga.commit
)

// The other side of the contract. In production it is a program of its own.
export const AirlineLive = Participant.layer(Airline, {
  Book: ({ city }) =>
    city === "Atlantis"
      ? Effect.fail({ _tag: "FlightFull" as const, city })
      : Effect.succeed({ seat: `12A to ${city}` }),
  Cancel: () => Effect.void
})

export const HotelLive = Layer.sync(Hotel, () => {
  const rooms = new Map<string, string>()
  return {
    reserve: (key) => Effect.sync(() => rooms.set(key, `room for ${key}`).get(key)!),
    cancel: (room) =>
      Effect.sync(() => {
        for (const [key, each] of rooms) if (each === room) rooms.delete(key)
      }),
    taken: Effect.sync(() => rooms.size)
  }
})
