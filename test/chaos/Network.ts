/**
 * A broker in memory whose wire loses, repeats, delays and reorders messages, by a seed. Time is the clock of the test. It
 * counts what was acknowledged, and can be told to be kind again.
 */
import { Context, Effect, Layer, Stream } from "effect"
import { Broker } from "effect-saga"
import { below, type Chance, happens } from "../execution/rules/chance.ts"

export interface Network {
  readonly broker: Broker.Broker["Service"]
  /** From now on everything arrives, once and at once. */
  kind: boolean
  acknowledged: number
  lost: number
  repeated: number
}

/** How long a message may be on its way, in milliseconds. */
const longest = 3_000

export const make = Effect.fnUntraced(function* (random: Chance) {
  const inner = Context.get(
    yield* Layer.build(Layer.fresh(Broker.layerMemoryWith({ capacity: 100_000 }))),
    Broker.Broker
  )
  const scope = yield* Effect.scope
  const copies = (message: Broker.Message): Effect.Effect<void, Broker.BrokerError> => {
    const later = (millis: number) =>
      Effect.ignore(Effect.andThen(Effect.sleep(millis), inner.publish(message))).pipe(
        Effect.forkIn(scope),
        Effect.asVoid
      )
    if (network.kind) return inner.publish(message)
    if (happens(random, 0.1)) {
      network.lost++
      return Effect.void
    }
    const first = happens(random, 0.5) ? inner.publish(message) : later(below(random, longest))
    if (!happens(random, 0.1)) return first
    network.repeated++
    return Effect.andThen(first, later(below(random, longest)))
  }
  const network: Network = {
    broker: {
      publish: (message) => Effect.suspend(() => copies(message)),
      subscribe: (group) =>
        Stream.map(inner.subscribe(group), (delivery) => {
          let isOwed = true
          return {
            ...delivery,
            acknowledge: Effect.andThen(
              delivery.acknowledge,
              Effect.sync(() => {
                if (isOwed) network.acknowledged++
                isOwed = false
              })
            )
          }
        })
    },
    kind: false,
    acknowledged: 0,
    lost: 0,
    repeated: 0
  }
  return network
})
