/** A storage of one's own, from four functions: here a Map of JSON texts, elsewhere any store of values by key. */
import { Console, Effect, Layer, Option, Schema } from "effect"
import { Broker, Saga, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"

const store = new Map<string, string>()

/** Says what it is asked for. Writes of one execution come one after the other; a lost race is seen before `save`. */
const MapLive = Layer.succeed(
  SagaExecutionRepository.SagaExecutionRepository,
  SagaExecutionRepository.make(
    {
      save: (uuid, value) =>
        Effect.sync(() => store.set(uuid, JSON.stringify(value))).pipe(
          Effect.andThen("events" in value ? Console.log(`save ${value.revision}: ${value.status}`) : Effect.void)
        ),
      get: (uuid) => Effect.succeed(Option.fromNullishOr(store.get(uuid))),
      remove: (uuid) => Effect.andThen(Effect.sync(() => store.delete(uuid)), Console.log("remove")),
      list: () => Effect.succeed(store.values())
    },
    { keepSettled: false, durable: false }
  )
)
