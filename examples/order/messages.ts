/** What a service in a process of its own is told on its stdin, and what it says on its stdout: a line of JSON each. */
import { Schema } from "effect"
import { Order } from "./contracts.ts"
import { Places, Service } from "./places.ts"
import { Settled } from "./summary.ts"

/** The one argument of the process. */
export const Start = Schema.fromJsonString(Schema.Struct({ service: Service, places: Places }))

export const Told = Schema.Union([
  Schema.TaggedStruct("Place", { order: Order }),
  /** There is nothing more to do. */
  Schema.TaggedStruct("Close", {})
])
export type Told = typeof Told.Type

export const Said = Schema.Union([
  /** It is up, and has found this many sagas that a former process has left half done. */
  Schema.TaggedStruct("Started", { unfinished: Schema.Int }),
  Schema.TaggedStruct("Settled", { order: Settled }),
  /** The last word: what its own tables say. */
  Schema.TaggedStruct("Closed", { books: Schema.Unknown }),
  Schema.TaggedStruct("Failed", { problem: Schema.String })
])
export type Said = typeof Said.Type

export const ToldLine = Schema.fromJsonString(Told)
export const SaidLine = Schema.fromJsonString(Said)
