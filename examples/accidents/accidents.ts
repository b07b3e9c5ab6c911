/** Five accidents, to be found with `effect-saga attention` and mended with the command that it prints. */
import { Effect, Layer, Schema } from "effect"
import { type Broker, Participant, ParticipantStore, Saga, SagaManager } from "effect-saga"

class NoSeat extends Schema.TaggedError<NoSeat>()("NoSeat", { train: Schema.String }) {}

/** The cause of the accident is gone: `true` in the second run, before the command. */
export type IsRepaired = boolean

export interface Accident {
  readonly title: string
  readonly sagas: ReadonlyArray<typeof Trip | typeof Nap | typeof Count>
  /** The service in doubt, where there is one. */
  readonly services: ReadonlyArray<string>
  /** The other processes. */
  readonly others: (
    isRepaired: IsRepaired
  ) => Layer.Layer<never, unknown, ParticipantStore.ParticipantStore | Broker.Broker>
  /** Executions and transactions that are there before the accident. */
  readonly begin: Effect.Effect<unknown, unknown, SagaManager.SagaManager | ParticipantStore.ParticipantStore>
}

// ---- the sagas -------------------------------------------------------------------------------------------------

const Book = { payload: { nights: Schema.Int }, success: Schema.Struct({ room: Schema.String }) }

const Hotel = Participant.make("hotel", {
  Book,
  Cancel: { payload: { room: Schema.String } }
})

/** The next release of the hotel: it wants to know why. */
const StrictHotel = Participant.make("hotel", {
  Book,
  Cancel: { payload: { room: Schema.String, reason: Schema.NonEmptyString } }
})

const booked = ({ nights }: { readonly nights: number }) => Effect.succeed({ room: `room for ${nights}` })

/** A room, and then no seat. */
export const Trip = Saga.make("Trip", { context: { train: Schema.String, nights: Schema.Int } }).pipe(
  Saga.remote("room", {
    execute: { command: Hotel.commands.Book, payload: ({ nights }) => ({ nights }) },
    compensate: { command: Hotel.commands.Cancel, payload: ({ room }) => room },
    timeout: "1 second",
    retryCompensate: { times: 1, backoff: "100 millis" }
  }),
  Saga.local("seat", { error: NoSeat, execute: ({ train }) => Effect.fail(new NoSeat({ train })) }),
  Saga.commit
)

/** The locker is stuck until it is repaired. */
export const locker = { isStuck: true }

export const Nap = Saga.make("Nap", { context: { train: Schema.String } }).pipe(
  Saga.local("locker", {
    success: Schema.Int,
    execute: () => Effect.succeed(7),
    compensate: () => (locker.isStuck ? Effect.die(new Error("the locker is stuck")) : Effect.void),
    retryCompensate: { times: 1, backoff: "100 millis" }
  }),
  Saga.local("seat", { error: NoSeat, execute: ({ train }) => Effect.fail(new NoSeat({ train })) }),
  Saga.commit
)

/** The service is called `hotel`. */
export const Count = Saga.make("Count", { context: { floor: Schema.Int } }).pipe(
  Saga.remote("counted", { execute: { target: "hotle/Count", content: ({ floor }) => floor }, timeout: "7 days" }),
  Saga.commit
)

// ---- the accidents ---------------------------------------------------------------------------------------------

const nobody = () => Layer.empty

const hotel = Participant.layer(Hotel, { Book: booked, Cancel: () => Effect.void })

const uuid = "01890000-0000-7000-8000-000000000004"

/** The hotel has voted yes, and the database of its coordinator is lost. */
const vote = ParticipantStore.ParticipantStore.use(({ unit }) =>
  unit({ service: "hotel", transactions: [uuid], messages: [] }, ({ save, transactions }) =>
    transactions.has(uuid)
      ? Effect.void
      : save({
          transactions: [
            { uuid, coordinator: "tours", status: "reserved", notAfter: 9e12, heuristic: false, updatedAt: 0 }
          ]
        })
  )
)

const trips = Effect.forEach([1, 2, 3], (nights) =>
  SagaManager.start(Trip, { startKey: `trip-${nights}`, context: { train: "night train", nights } })
)

export const accidents: ReadonlyArray<Accident> = [
  {
    title: "a participant that is down",
    sagas: [Trip],
    services: [],
    others: (isRepaired) => (isRepaired ? hotel : Layer.empty),
    begin: trips
  },
  {
    title: "a compensation that fails",
    sagas: [Nap],
    services: [],
    others: nobody,
    begin: Effect.forEach([1, 2], (n) =>
      SagaManager.start(Nap, { startKey: `nap-${n}`, context: { train: "night train" } })
    )
  },
  {
    title: "a deployment with a stricter schema",
    sagas: [Trip],
    services: [],
    others: (isRepaired) =>
      isRepaired ? hotel : Participant.layer(StrictHotel, { Book: booked, Cancel: () => Effect.void }),
    begin: trips
  },
  {
    title: "a service in doubt",
    sagas: [Trip],
    services: ["hotel"],
    others: (isRepaired) => (isRepaired ? hotel : Layer.empty),
    begin: vote
  },
  {
    title: "a typo in a service name",
    sagas: [Count],
    services: [],
    others: nobody,
    begin: SagaManager.start(Count, { startKey: "floor-3", context: { floor: 3 } })
  }
]
