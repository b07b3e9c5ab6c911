/** An order with any number of lines: each is reserved and packed, and all of them are, or none is. */
import { Context, Effect, Schema } from "effect"
import { Participant, Saga } from "effect-saga"

export const Line = Schema.Struct({ sku: Schema.String, count: Schema.Int })

export class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { sku: Schema.String }) {}

/** A service of another team. */
export const Packing = Participant.make("packing", {
  Pack: { payload: { sku: Schema.String }, success: Schema.String },
  Unpack: { payload: { box: Schema.String } }
})

/** A service of yours. */
export class Stock extends Context.Service<
  Stock,
  {
    readonly reserve: (sku: string, count: number) => Effect.Effect<string, OutOfStock>
    readonly release: (reservation: string) => Effect.Effect<void>
  }
>()("order-lines/Stock") {}

export const PlaceOrder = Saga.make("PlaceOrder", { context: { lines: Schema.Array(Line) } }).pipe(
  Saga.forEach("packed", {
    items: ({ lines }) => lines,
    item: Line,
    as: "line",
    // Four lines at a time, forward and back.
    concurrency: 4,
    steps: (each) =>
      each.pipe(
        Saga.local("reservation", {
          success: Schema.String,
          error: OutOfStock,
          execute: ({ line }) => Stock.use((stock) => stock.reserve(line.sku, line.count)),
          compensate: ({ reservation }) => Stock.use((stock) => stock.release(reservation))
        }),
        Saga.remote("box", {
          execute: { command: Packing.commands.Pack, payload: ({ line }) => ({ sku: line.sku }) },
          compensate: { command: Packing.commands.Unpack, payload: ({ box }) => ({ box }) }
        })
      )
  }),
  // The result is the array of what the steps of each line have given, in the order of the lines.
  Saga.local("label", {
    success: Schema.String,
    execute: ({ packed }) => Effect.succeed(packed.map(({ box }) => box).join(" + "))
  }),
  Saga.commit
)
