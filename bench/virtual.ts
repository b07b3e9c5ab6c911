/**
 * What virtual time costs in tests: a month with the memory store and on a PGlite, and the crash points of a saga of five steps on
 * a PGlite. In seconds of CPU, which a busy machine changes least.
 */
import process from "node:process"
import { Effect, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Broker, Saga, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import { PgliteClient } from "effect-saga/pglite"
import { SqlParticipantStore, SqlSagaExecutionRepository } from "effect-saga/sql"
import { SagaTest } from "effect-saga/testing"
import type { Report } from "./run.ts"

const seconds = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const before = process.cpuUsage()
    const value = yield* work
    const { system, user } = process.cpuUsage(before)
    return { value, seconds: Number(((system + user) / 1e6).toFixed(2)) }
  })

const Slow = Saga.make("Slow", { context: {} }).pipe(
  Saga.remote("approved", { execute: { target: "people/approve", content: () => null }, timeout: "60 days" }),
  Saga.commit
)

/** Lets a database answer. */
const turns = Effect.forEach(
  Array.from({ length: 20 }),
  () => Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void))),
  { discard: true }
)

/** `waits`: a request waits, and is sent again each hour in the end. */
const month = <E>(repository: Layer.Layer<SagaExecutionRepository.SagaExecutionRepository, E>, waits: boolean) =>
  Effect.gen(function* () {
    if (waits) yield* SagaManager.run(Slow, { context: {}, pauseOnDisk: true })
    yield* TestClock.adjust("1 day")
    return yield* seconds(
      Effect.forEach(Array.from({ length: 30 * 24 }), () => Effect.andThen(TestClock.adjust("1 hour"), turns), {
        discard: true
      })
    )
  }).pipe(
    Effect.provide(
      SagaManager.layer([Slow]).pipe(
        Layer.provide([
          SagaConfig.layer({ service: "bench" }),
          repository,
          Broker.layerMemory,
          TransactionCommitter.layerNone
        ])
      )
    ),
    Effect.provide(TestClock.layer()),
    Effect.map(({ seconds }) => seconds)
  )

const step = { success: Schema.Int, execute: () => Effect.succeed(1), compensate: () => Effect.void }
const Five = Saga.make("Five", { context: {} }).pipe(
  Saga.local("one", step),
  Saga.local("two", { ...step, transactional: true }),
  Saga.local("three", step),
  Saga.local("four", { ...step, transactional: true }),
  Saga.local("five", step),
  Saga.commit
)

const measure = Effect.gen(function* () {
  const pglite = Layer.fresh(Layer.provide(SqlSagaExecutionRepository.layer(), PgliteClient.layer()))
  const memory = yield* month(SagaExecutionRepository.layerMemory, true)
  const idle = yield* month(pglite, false)
  const waiting = yield* month(pglite, true)
  const points = yield* seconds(
    SagaTest.crashPoints(Five, {
      context: {},
      layer: Layer.empty,
      shared: Layer.provideMerge(
        Layer.merge(SqlSagaExecutionRepository.layer(), SqlParticipantStore.layer()),
        PgliteClient.layer()
      )
    })
  )
  return {
    rows: [
      { case: "month, memory", ours: memory },
      { case: "month in which nothing is due, PGlite", ours: idle },
      { case: "month, PGlite", ours: waiting },
      { case: "crash points, PGlite", ours: points.seconds, runs: points.value.length }
    ]
  }
})

export const run = (): Promise<Report> => Effect.runPromise(measure)
