/** I29: a defect ends no loop of the library. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schema } from "effect"
import type { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import {
  Broker,
  Inspector,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  SagaSchedule,
  TransactionCommitter
} from "effect-saga"
import { SagaMetrics } from "effect-saga/health"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import * as Loop from "../../src/ports/Loop.ts"
import { aedes, until } from "../fixtures/mqtt.ts"
import * as Pglite from "../fixtures/pglite.ts"
import { schemaOf, server, url } from "../fixtures/postgres.ts"

/** Lets every loop die at its first turn, and says which have died and which have come back. */
const makeFaults = Effect.sync(() => {
  const turns = new Map<Loop.Name, number>()
  const fault = (name: Loop.Name) =>
    Effect.suspend(() => {
      const turn = (turns.get(name) ?? 0) + 1
      turns.set(name, turn)
      return turn === 1 ? Effect.die(new Error(`a bug in ${name}`)) : Effect.void
    })
  return { turns, fault }
})

const Bank = Participant.make("bank", { Charge: { payload: {}, success: Schema.String } })
const saga = Saga.make("Pay", { context: {} }).pipe(
  Saga.remote("payment", { execute: { command: Bank.commands.Charge, payload: () => ({}) } }),
  Saga.commit
)
/** The gauges of what is stored, of nothing. */
const collecting = SagaMetrics.layer().pipe(
  Layer.provide(Inspector.layerMemory().pipe(Layer.provide(SagaExecutionRepository.layerMemory)))
)

/** A manager, with a schedule and the gauges of what is stored beside it. */
const managing = SagaSchedule.layer(saga, { cron: "* * * * *", context: () => ({}) }).pipe(
  Layer.provideMerge(SagaManager.layer([saga])),
  Layer.provide(SagaConfig.layer({ service: "orders" })),
  Layer.merge(collecting)
)
const quiet = Logger.layer([])

/** Loops that only adapters have. */
const ofAdapters: ReadonlyArray<Loop.Name> = ["retention", "notifications", "MQTT connection"]

/** Loops that need a NATS server: `test/adapters/nats/faults.test.ts` gives them a defect. */
const ofNats: ReadonlyArray<Loop.Name> = ["NATS connection", "NATS subscription", "NATS deliveries"]

describe("the loops of a process", () => {
  it.effect("F5 go on after a defect, each of them, and sagas run to their end", () =>
    Effect.gen(function* () {
      const { fault, turns } = yield* makeFaults
      const shared = Layer.mergeAll(
        SagaExecutionRepository.layerMemory,
        Broker.layerMemory,
        ParticipantStore.layerMemory,
        TransactionCommitter.layerNone,
        Layer.succeed(Loop.LoopFault, fault)
      )
      const programs = Layer.merge(managing, Participant.layer(Bank, { Charge: () => Effect.succeed("p1") }))
      yield* Effect.gen(function* () {
        yield* TestClock.adjust("1 minute")
        const running = yield* Effect.forkChild(SagaManager.execute(saga, { context: {} }))
        yield* TestClock.adjust("1 minute")
        const exit = running.pollUnsafe()
        assert.deepStrictEqual(exit?._tag === "Success" ? exit.value : exit, { payment: "p1" })
      }).pipe(Effect.provide(Layer.provide(programs, shared)))
      for (const name of Loop.names.filter((name) => ![...ofAdapters, ...ofNats].includes(name))) {
        assert.isAtLeast(turns.get(name) ?? 0, 2, name)
      }
    }).pipe(Effect.provide(quiet))
  )

  it.live(
    "F5 go on after a defect on SQL and MQTT too, and sagas run to their end",
    () =>
      Effect.gen(function* () {
        const { fault, turns } = yield* makeFaults
        const faults = Layer.succeed(Loop.LoopFault, fault)
        const schema = schemaOf("loops")
        // A PGlite has no other process to hear from.
        const database: Layer.Layer<SqlClient.SqlClient, unknown> = url === undefined ? Pglite.layer() : server(schema)
        const programs = Layer.merge(managing, Participant.layer(Bank, { Charge: () => Effect.succeed("p1") })).pipe(
          Layer.provide([
            SqlSagaExecutionRepository.layer({ schema }).pipe(Layer.provide(database)),
            aedes,
            ParticipantStore.layerMemory,
            TransactionCommitter.layerNone
          ]),
          Layer.provide(faults)
        )
        yield* Effect.gen(function* () {
          assert.deepStrictEqual(yield* SagaManager.execute(saga, { context: {} }), { payment: "p1" })
          // Every loop has died at its first turn, and comes back after a second.
          const names = Loop.names.filter(
            (name) => !ofNats.includes(name) && (url !== undefined || name !== "notifications")
          )
          yield* until(Effect.sync(() => names.every((name) => (turns.get(name) ?? 0) >= 2)))
        }).pipe(Effect.provide(programs))
      }).pipe(Effect.provide(quiet)),
    30_000
  )

  it.effect("rest a second after a defect, and say which loop it was", () =>
    Effect.gen(function* () {
      const logged: Array<string> = []
      let turns = 0
      yield* Loop.repeat(
        "retention",
        Effect.suspend(() => (++turns <= 3 ? Effect.die(new Error("a bug")) : Effect.never))
      ).pipe(
        Effect.provide(
          Logger.layer([Logger.make(({ message }) => void logged.push(JSON.stringify([message].flat().slice(0, 2))))])
        )
      )
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(turns, 1)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(turns, 4)
      assert.deepStrictEqual(logged, Array(3).fill('["A loop died and goes on",{"loop":"retention"}]'))
    }).pipe(Effect.scoped)
  )
})
