/** The service that the remote steps of `bench/processes.ts` ask. */
import { Schema } from "effect"
import { Participant } from "effect-saga"

export const Echo = Participant.make("echo", { Say: { payload: { n: Schema.Int }, success: Schema.Int } })
