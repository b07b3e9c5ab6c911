/** Goods that have left the house do not come back: behind the pivot a saga goes on until it is done. */
import { Context, Effect, Schema } from "effect"
import { Saga } from "effect-saga"

export class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", {}) {}
export class NoCourier extends Schema.TaggedError<NoCourier>()("NoCourier", {}) {}

/** A service of yours. */
export class Warehouse extends Context.Service<
  Warehouse,
  {
    readonly setAside: (item: string) => Effect.Effect<string>
    readonly putBack: (item: string) => Effect.Effect<void>
    readonly handOver: Effect.Effect<string, NoCourier>
    readonly write: (letter: string) => Effect.Effect<void>
  }
>()("point-of-no-return/Warehouse") {}

export const PlaceOrder = Saga.make("PlaceOrder", { context: { item: Schema.String, card: Schema.String } }).pipe(
  Saga.local("stock", {
    success: Schema.String,
    execute: ({ item }) => Warehouse.use((warehouse) => warehouse.setAside(item)),
    compensate: ({ stock }) => Warehouse.use((warehouse) => warehouse.putBack(stock))
  }),
  Saga.local("payment", {
    success: Schema.String,
    error: CardDeclined,
    execute: ({ card }) => (card === "empty" ? Effect.fail(new CardDeclined()) : Effect.succeed(`paid with ${card}`))
  }),
  Saga.pivot,
  Saga.local("parcel", {
    success: Schema.String,
    error: NoCourier,
    execute: () => Warehouse.use((warehouse) => warehouse.handOver)
  }),
  Saga.local("letter", {
    execute: ({ parcel }) => Warehouse.use((warehouse) => warehouse.write(`${parcel} is on its way`))
  }),
  Saga.commit
)
