/** A storage of your own, from four functions. Here it is a Map of JSON texts; it can be any store with keys. */
import { Console, Effect, Layer, Option, Schema } from "effect"
import {
  Broker,
  KeyValueRepository,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"

const store = new Map<string, string>()

/**
 * The functions need no locks and no versions: writes of one execution come one after the other. If two writers race, the
 * second is refused before `save`. Without `list` no execution is found again after a crash.
 */
const MapLive = Layer.effect(
  SagaExecutionRepository.SagaExecutionRepository,
  KeyValueRepository.make(
    {
      save: Effect.fn(function* (uuid, value) {
        store.set(uuid, JSON.stringify(value))
        if ("status" in value) yield* Console.log(`write ${value.revision}: ${value.status}`)
      }),
      get: (uuid) => Effect.sync(() => Option.fromNullishOr(store.get(uuid))),
      remove: (uuid) => Effect.sync(() => store.delete(uuid)),
      list: () => Effect.sync(() => store.values())
    },
    { durable: false }
  )
)

const Recipe = Saga.make("Recipe", { context: { eggs: Schema.Int } }).pipe(
  Saga.local("dough", { success: Schema.String, execute: ({ eggs }) => Effect.succeed(`dough with ${eggs} eggs`) }),
  Saga.local("cake", { success: Schema.String, execute: ({ dough }) => Effect.succeed(`cake from ${dough}`) }),
  Saga.commit
)

const program = Effect.gen(function* () {
  const { cake } = yield* SagaManager.execute(Recipe, { context: { eggs: 3 } })
  yield* Console.log(cake)
})

const Live = SagaManager.layer([Recipe]).pipe(
  Layer.provide([SagaConfig.layer({ service: "kitchen" }), MapLive, Broker.layerMemory, TransactionCommitter.layerNone])
)

Effect.runPromise(Effect.provide(program, Live))
