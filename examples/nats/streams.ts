/** The streams of three services, made by a deployment. `SAGA_NATS_URL` and the other variables say where, and as which user. */
import { Effect } from "effect"
import { NatsBroker } from "effect-saga/nats"

export const makeStreams = Effect.flatMap(NatsBroker.optionsFromConfig, (options) =>
  NatsBroker.makeStreams(options, ["orders", "payments", "shipping"])
)
