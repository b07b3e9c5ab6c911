/** I29: a handler that dies holds no place among the messages in flight. */
import { assert, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { Broker } from "effect-saga"
import * as Consumer from "../../src/ports/Consumer.ts"
import { counting, outcomes, until } from "../fixtures/manager.ts"

it.effect("I29 a handler that dies gives its place back, and its message is counted once", () =>
  counting(
    Effect.gen(function* () {
      const broker = yield* Broker.Broker
      const handled: Array<string> = []
      yield* Effect.forkScoped(
        Consumer.run({ service: "bank", kinds: ["command"], maxInFlight: 1 }, (delivery) =>
          delivery.body === "bad"
            ? Effect.die(new Error("a bug"))
            : Effect.andThen(
                Effect.sync(() => void handled.push(delivery.body)),
                Consumer.conclude("applied", delivery.acknowledge)
              )
        )
      )
      const address = { to: "bank", kind: "command", from: "orders", name: "Charge" } as const
      for (const body of ["first", "bad", "last"]) yield* broker.publish({ address, body })
      yield* until("the last is handled", () => handled.length === 2)
      assert.deepStrictEqual(handled, ["first", "last"])
      assert.deepStrictEqual(yield* outcomes, { applied: 2, Defect: 1 })
    }).pipe(Effect.scoped, Effect.provide(Broker.layerMemory), Effect.provide(Logger.layer([])))
  )
)
