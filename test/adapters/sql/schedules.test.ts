/** Schedules on a database: its time counts, and of several processes each tick has one. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { Broker, Saga, SagaConfig, SagaManager, SagaSchedule, TransactionCommitter } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import { until } from "../../fixtures/mqtt.ts"
import { databases } from "../../fixtures/postgres.ts"

describe("SagaSchedule", () => {
  for (const { layer, name, schema } of databases("schedules"))
    it.live(
      `each tick has one execution, whichever of three processes starts it, and the next process goes on from there: ${name}`,
      () => {
        const ticks: Array<number> = []
        const EachSecond = Saga.make("EachSecond", { context: { at: Schema.Date } }).pipe(
          Saga.local("note", { execute: ({ at }) => Effect.sync(() => ticks.push(at.getTime())).pipe(Effect.asVoid) }),
          Saga.commit
        )
        const process = Layer.fresh(
          SagaSchedule.layer(EachSecond, { cron: "* * * * * *", context: ({ tick }) => ({ at: tick }) }).pipe(
            Layer.provide(SagaManager.layer([EachSecond])),
            Layer.provide([
              SagaConfig.layer({ service: "orders" }),
              SqlSagaExecutionRepository.layer({ schema }),
              Broker.layerMemory,
              TransactionCommitter.layerNone
            ])
          )
        )
        const made = (count: number) => Effect.timeout(until(Effect.sync(() => ticks.length >= count)), "30 seconds")
        return Effect.gen(function* () {
          yield* Effect.scoped(
            Effect.andThen(Effect.all([process, process, process].map(Layer.build), { discard: true }), made(3))
          )
          const before = ticks.length
          yield* Effect.scoped(Effect.andThen(Layer.build(process), made(before + 2)))
          // A stop is shorter than a minute, so no tick of it is left out. Those before it may run after the later ones.
          const isWhole = () => (Math.max(...ticks) - Math.min(...ticks)) / 1_000 + 1 === new Set(ticks).size
          yield* until(Effect.sync(isWhole))
          assert.strictEqual(new Set(ticks).size, ticks.length)
        }).pipe(Effect.scoped, Effect.provide(layer))
      },
      90_000
    )
})
