/** Dashboards on a database, each with a connection of its own: what happens at one is seen at the other, and at none it is kept. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, ParticipantStore, TransactionCommitter } from "effect-saga"
import { SqlInspector, SqlSagaExecutionRepository } from "effect-saga/sql"
import { databases } from "../../fixtures/postgres.ts"
import * as Shop from "../../fixtures/shop.ts"
import { asking, writing } from "./served.ts"

const api = "/ops/sagas/api"

for (const { layer: database, name, schema } of databases("dashboard"))
  describe(name, () => {
    it.live("what is done at one dashboard is seen at the other, and at the manager", () => {
      const stored = Layer.mergeAll(
        SqlSagaExecutionRepository.layer({ schema }),
        ParticipantStore.layerMemory,
        Broker.layerMemory,
        TransactionCommitter.layerNone
      )
      const World = SqlInspector.layer({ schema }).pipe(
        Layer.provideMerge(Shop.Shop),
        Layer.provideMerge(stored),
        Layer.provideMerge(database),
        Layer.provideMerge(Logger.layer([]))
      )
      return Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const here = yield* asking()
        // Another process: it has the database and nothing else.
        const there = yield* Effect.provide(
          asking({ path: "/ops/sagas" }),
          Layer.fresh(SqlInspector.layer({ schema })).pipe(Layer.provide(Layer.succeed(SqlClient.SqlClient, sql)))
        )
        const heard: Array<string> = []
        yield* there.listen(`${api}/events`, (state) => heard.push(state))
        const shown = (at: typeof here, key: string, wanted: string) =>
          Effect.repeat(
            Effect.map(at.ask(`${api}/executions?startKey=${key}`), ({ body }) => body.items[0]),
            {
              until: (row) => row?.shown === wanted && row.waitsFor !== "payments/Charge",
              schedule: Schedule.spaced("50 millis"),
              times: 400
            }
          )
        yield* Shop.order("dear", "Ghent", 5_000)
        yield* Shop.order("sunk", "Parked")
        const { uuid } = yield* shown(here, "dear", "waiting")
        assert.deepInclude(yield* shown(there, "sunk", "parked"), { saga: "PlaceOrder" })
        const overview = yield* there.ask(`${api}/overview`)
        assert.deepInclude(overview.body.attention[0], { kind: "parked", count: 1, step: "reservation" })
        assert.deepInclude(overview.body.processes[0], { service: "orders", alive: true })
        const sent = yield* there.ask(
          `${api}/executions/${uuid}/actions`,
          writing({ action: "signal", signal: "approval", payload: { approved: true, by: "ada" }, reason: "checked" })
        )
        assert.include(["applied", "waiting"], sent.body.answer)
        yield* shown(here, "dear", "finished")
        const told = (yield* here.ask(`${api}/executions/${uuid}`)).body.story.map(({ text }: any) => text)
        assert.include(told, "the signal approval has come from ada@example.com")
        yield* Effect.repeat(
          Effect.sync(() => new Set(heard).size),
          { until: (n) => n > 1, schedule: Schedule.spaced("50 millis"), times: 400 }
        )
      }).pipe(Effect.scoped, Effect.provide(World)) as Effect.Effect<void, unknown>
    })
  })
