/** F14: on a PGlite nobody else can be, so virtual time that nobody uses costs nothing; another instance in the process is met. */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Schema, Scope } from "effect"
import { SqlClient, Statement } from "effect/sql"
import { TestClock } from "effect/testing"
import {
  Broker,
  Participant,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import * as Pglite from "../../fixtures/pglite.ts"

const Bank = Participant.make("bank", { Charge: { payload: {}, success: Schema.String } })

const Slow = Saga.make("Slow", { context: {} }).pipe(
  Saga.remote("charge", { execute: { command: Bank.commands.Charge, payload: () => ({}) }, timeout: "60 days" }),
  Saga.commit
)

/** Lets the database answer. */
const answered = Effect.forEach(
  Array.from({ length: 40 }),
  () => Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void))),
  { discard: true }
)

const passing = (hours: number) =>
  Effect.forEach(
    Array.from({ length: Math.ceil(hours / 12) }),
    () => Effect.andThen(TestClock.adjust(`${Math.min(12, hours)} hours`), answered),
    { discard: true }
  )

const world = Effect.gen(function* () {
  const database = yield* Layer.build(Pglite.layer())
  const asked = { statements: 0 }
  const counting = Layer.succeed(Statement.CurrentTransformer, (statement: Statement.Statement<unknown>) =>
    Effect.sync(() => {
      asked.statements++
      return statement
    })
  )
  const open = Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Scope.Scope)
    const services = yield* SagaManager.layer([Slow]).pipe(
      Layer.provide(Layer.orDie(SagaConfig.layer({ service: "orders" }))),
      Layer.provideMerge(SqlSagaExecutionRepository.layer({ schema: "sagas" })),
      Layer.provide([Layer.succeedContext(database), counting, Broker.layerMemory, TransactionCommitter.layerNone]),
      Layer.orDie,
      Layer.fresh,
      Layer.buildWithScope(scope)
    )
    return { services, close: Scope.close(scope, Exit.void) }
  })
  return { asked, database, open }
})

it.effect("F14 a virtual month on PGlite costs a look at what is over each day, and nothing else", () =>
  Effect.gen(function* () {
    const { asked, open } = yield* world
    yield* open
    yield* TestClock.adjust("2 minutes")
    yield* answered
    const before = asked.statements
    yield* passing(30 * 24)
    assert.isAtMost(asked.statements - before, 2 * 31)
  }).pipe(Effect.scoped)
)

it.effect("F14 a request on PGlite is sent again when that is due, though nobody polls", () =>
  Effect.gen(function* () {
    const { asked, database, open } = yield* world
    const { services } = yield* open
    const { uuid } = yield* Effect.provideContext(SagaManager.run(Slow, { context: {}, pauseOnDisk: true }), services)
    const sql = Context.get(database, SqlClient.SqlClient)
    const dueAt = Effect.map(
      sql<{ at: number }>`select wake_at::float8 as at from sagas.saga_execution where uuid = ${uuid}::uuid`,
      ([row]) => row?.at ?? 0
    )
    const first = yield* dueAt
    yield* passing(12)
    assert.isAbove(yield* dueAt, first)
    const before = asked.statements
    yield* passing(7 * 24)
    // About one an hour in the end, each with a claim and what gives it back.
    assert.isBelow(asked.statements - before, 7 * 24 * 12)
  }).pipe(Effect.scoped)
)

it.effect("F14 an instance that was alone on PGlite has a lease that ends as soon as another one comes", () =>
  Effect.gen(function* () {
    const { database, open } = yield* world
    const sql = Context.get(database, SqlClient.SqlClient)
    const leases = Effect.map(
      sql<{ left: number }>`select extract(epoch from lease_until - now())::float8 as left from sagas.saga_instance`,
      (rows) => rows.map(({ left }) => left > 60)
    )
    const one = yield* open
    yield* answered
    assert.deepStrictEqual(yield* leases, [true])
    const two = yield* open
    yield* TestClock.adjust("1 second")
    yield* answered
    assert.deepStrictEqual(yield* leases, [false, false])
    yield* two.close
    yield* TestClock.adjust("10 seconds")
    yield* answered
    assert.deepStrictEqual(yield* leases, [true])
    // Who opens the database next finds no lease.
    const repository = Context.get(one.services, SagaExecutionRepository.SagaExecutionRepository)
    const now = yield* TestClock.testClockWith((clock) => Effect.succeed(clock.currentTimeMillisUnsafe()))
    assert.isFalse((yield* repository.claim({ owner: "late#1", limit: 1, now, leaseMillis: 1_000 })).isAlone)
  }).pipe(Effect.scoped)
)
