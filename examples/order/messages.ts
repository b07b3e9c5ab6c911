/** The messages to a service in a process of its own (on its stdin) and from it (on its stdout): one line of JSON each. */
import { Schema } from "effect"
import { Order } from "./contracts.ts"
import { Places } from "./places.ts"
import { Settled } from "./summary.ts"
import { Service } from "./transports.ts"

/** The one argument of the process. */
export const Start = Schema.fromJsonString(Schema.Struct({ service: Service, places: Places }))

export const Told = Schema.Union([
  Schema.TaggedStruct("Place", { order: Order }),
  /** No more orders will come. */
  Schema.TaggedStruct("Close", {})
])
export type Told = typeof Told.Type

export const Said = Schema.Union([
  /** The service is up, and has found this many sagas that an earlier process has left half done. */
  Schema.TaggedStruct("Started", { unfinished: Schema.Int }),
  Schema.TaggedStruct("Settled", { order: Settled }),
  /** The last message: the books of the service, from its own tables. */
  Schema.TaggedStruct("Closed", { books: Schema.Unknown }),
  Schema.TaggedStruct("Failed", { problem: Schema.String })
])
export type Said = typeof Said.Type

export const ToldLine = Schema.fromJsonString(Told)
export const SaidLine = Schema.fromJsonString(Said)
