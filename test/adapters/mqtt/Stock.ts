/** The contract of a service whose instances come and go. Each answers with its number. */
import { Schema } from "effect"
import { Participant } from "effect-saga"

export const Stock = Participant.make("stock", { Reserve: { payload: {}, success: Schema.Int } })
