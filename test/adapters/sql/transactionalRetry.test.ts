/** Errors of the database in transactional steps: told as they are, repeated as in a plain step, and by the library (SPEC C8). */
import { PgClient } from "@effect/sql-pg"
import { assert, layer as withLayer } from "@effect/vitest"
import { Effect, Layer, Redacted, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { isSqlError } from "effect/sql/SqlError"
import { Broker, Saga, SagaConfig, SagaManager, TransactionCommitter } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import { databases, url } from "../../fixtures/postgres.ts"

/** An author may hide the error of the database behind one of the saga's own. */
class Busy extends Schema.TaggedError<Busy>()("Busy", { cause: Schema.Defect() }) {}

for (const { layer, name, schema } of databases("retries")) {
  const ledger = `${schema}.ledger`
  const sql = (text: string) => SqlClient.SqlClient.use((client) => client.unsafe<{ entry: string }>(text))
  const write = (entry: string) => Effect.orDie(sql(`insert into ${ledger} (entry) values ('${entry}')`))
  const entries = Effect.map(Effect.orDie(sql(`select entry from ${ledger} order by n`)), (rows) =>
    rows.map(({ entry }) => entry)
  )
  const raise = (code: string) => sql(`do $$ begin raise exception 'no' using errcode = '${code}'; end $$`)
  const nested = (text: string) => SqlClient.SqlClient.use((client) => client.withTransaction(client.unsafe(text)))

  /** The attempts of the steps by name. */
  const attempts = new Map<string, number>()
  /** Writes a line, and goes on as `failing` says in each attempt before the last. */
  const attempt = <E, R>(step: string, fails: number, failing: Effect.Effect<unknown, E, R>) =>
    Effect.suspend(() => {
      const count = (attempts.get(step) ?? 0) + 1
      attempts.set(step, count)
      return Effect.andThen(write(`${step} ${count}`), Effect.asVoid(count <= fails ? failing : Effect.void))
    })

  const saga = <const Name extends string>(name: Name) => Saga.make(name, { context: {} })
  const retry = { times: 5, backoff: "1 millis" } as const
  const transactional = true as const
  const failsOnce = (text: string) => () => attempt("step", 1, Effect.orDie(sql(text)))
  const raises = (code: string, fails: number) => () => attempt("step", fails, Effect.orDie(raise(code)))

  const Plain = saga("Plain").pipe(Saga.local("step", { execute: failsOnce("select 1/0"), retry }), Saga.commit)
  const Sql = saga("Sql").pipe(
    Saga.local("step", { transactional, execute: failsOnce("select 1/0"), retry }),
    Saga.commit
  )
  const Nested = saga("Nested").pipe(
    Saga.local("step", { transactional, execute: () => attempt("step", 1, Effect.orDie(nested("select 1/0"))), retry }),
    Saga.commit
  )
  const Once = saga("Once").pipe(Saga.local("step", { transactional, execute: failsOnce("select 1/0") }), Saga.commit)
  const Deadlock = saga("Deadlock").pipe(
    Saga.local("before", { transactional, execute: () => write("before"), compensate: () => write("undone") }),
    Saga.local("step", { transactional, execute: raises("40P01", 3) }),
    Saga.commit
  )
  const Serialization = saga("Serialization").pipe(
    Saga.local("step", { transactional, execute: raises("40001", 3), retry }),
    Saga.commit
  )
  const ReadOnly = saga("ReadOnly").pipe(
    Saga.local("step", {
      transactional,
      execute: () => attempt("step", 1, Effect.andThen(Effect.orDie(sql("set transaction read only")), write("never")))
    }),
    Saga.commit
  )
  const Wrapped = saga("Wrapped").pipe(
    Saga.local("step", {
      transactional,
      error: Busy,
      execute: () =>
        attempt(
          "step",
          2,
          Effect.mapError(raise("40P01"), (cause) => new Busy({ cause }))
        )
    }),
    Saga.commit
  )
  const Lost = saga("Lost").pipe(
    Saga.local("step", {
      transactional,
      execute: () => attempt("step", 1, Effect.orDie(sql("select pg_terminate_backend(pg_backend_pid())"))),
      retry
    }),
    Saga.commit
  )
  /** Ends the session of the transaction from another one: the step itself ends well. */
  const kill = Effect.gen(function* () {
    const [row] = yield* SqlClient.SqlClient.use((client) =>
      client.unsafe<{ pid: number }>("select pg_backend_pid() as pid")
    )
    yield* Effect.provide(
      sql(`select pg_terminate_backend(${row?.pid}, 10000)`),
      PgClient.layer({ url: Redacted.make(url ?? ""), maxConnections: 1 })
    )
  }).pipe(Effect.orDie)
  const LostAtEnd = saga("LostAtEnd").pipe(
    Saga.local("step", { transactional, execute: () => attempt("step", 1, kill), retry }),
    Saga.commit
  )
  const LostTwice = saga("LostTwice").pipe(
    Saga.local("step", { transactional, execute: () => attempt("step", 2, kill) }),
    Saga.commit
  )
  const Ignores = saga("Ignores").pipe(
    Saga.local("step", { transactional, execute: () => attempt("step", 9, Effect.ignore(sql("select 1/0"))) }),
    Saga.commit
  )
  const Undo = saga("Undo").pipe(
    Saga.local("step", {
      transactional,
      execute: () => write("done"),
      compensate: () => attempt("step", 3, Effect.orDie(raise("40P01"))),
      retryCompensate: { times: 0, backoff: "1 millis" }
    }),
    Saga.local("end", { execute: () => Effect.die(new Error("no")) }),
    Saga.commit
  )

  const table = Layer.effectDiscard(
    sql(`create table ${ledger} (n int generated always as identity, entry text not null)`)
  )
  const base = Layer.provideMerge(Layer.provideMerge(table, SqlSagaExecutionRepository.layer({ schema })), layer)
  const sagas = [
    Plain,
    Sql,
    Nested,
    Once,
    Deadlock,
    Serialization,
    ReadOnly,
    Wrapped,
    Lost,
    LostAtEnd,
    LostTwice,
    Ignores,
    Undo
  ] as const
  const managed = SagaManager.layer(sagas).pipe(
    Layer.provide([SagaConfig.layer({ service: "bank", shutdownGrace: 0 })]),
    Layer.provide([Broker.layerMemory, TransactionCommitter.layerNone])
  )
  const clear = Effect.andThen(
    Effect.sync(() => attempts.clear()),
    Effect.orDie(sql(`truncate ${ledger}`))
  )
  const run = (saga: (typeof sagas)[number]) =>
    Effect.andThen(clear, SagaManager.run(saga, { context: {}, raiseOnError: false }))
  const causeOf = (execution: { readonly cause: unknown }) => (execution.cause as Error | undefined)?.cause

  withLayer(base, { timeout: "2 minutes", excludeTestServices: true })(`retries in transactions: ${name}`, (it) => {
    for (const saga of [Plain, Sql, Nested])
      it.effect(`F28: retry repeats a step after an error of the database (${saga.name})`, () =>
        Effect.gen(function* () {
          const { status } = yield* run(saga)
          assert.deepStrictEqual([status, attempts.get("step")], ["finished", 2])
          // Only a transaction takes back what an attempt has written.
          assert.deepStrictEqual(yield* entries, saga === Plain ? ["step 1", "step 2"] : ["step 2"])
        }).pipe(Effect.provide(managed))
      )

    it.effect("F28: a transactional step without retry that fails by the database says so in its cause", () =>
      Effect.gen(function* () {
        const execution = yield* run(Once)
        assert.deepStrictEqual([execution.status, attempts.get("step")], ["errored", 1])
        assert.isTrue(isSqlError(causeOf(execution)))
        assert.deepStrictEqual(yield* entries, [])
      }).pipe(Effect.provide(managed))
    )

    for (const [saga, expected, written] of [
      [Deadlock, 4, ["before", "step 4"]],
      [Serialization, 4, ["step 4"]],
      [ReadOnly, 2, ["step 2"]],
      [Wrapped, 3, ["step 3"]]
    ] as const)
      it.effect(`F28: a step whose transaction the database has ended runs again by itself (${saga.name})`, () =>
        Effect.gen(function* () {
          const { status } = yield* run(saga)
          assert.deepStrictEqual([status, attempts.get("step")], ["finished", expected])
          assert.deepStrictEqual<ReadonlyArray<string>>(yield* entries, written)
        }).pipe(Effect.provide(managed))
      )

    it.effect("F28: a transactional step that ignores a failed statement fails, and says so", () =>
      Effect.gen(function* () {
        const execution = yield* run(Ignores)
        assert.strictEqual(execution.status, "errored")
        assert.match(String(causeOf(execution)), /A failed statement was ignored: use a nested transaction/)
        assert.deepStrictEqual(yield* entries, [])
      }).pipe(Effect.provide(managed))
    )

    it.effect("F28: a deadlock in a compensation is none of its attempts", () =>
      Effect.gen(function* () {
        const { alreadyRollback, parked } = yield* run(Undo)
        assert.deepStrictEqual([alreadyRollback, parked, attempts.get("step")], [true, [], 4])
        assert.deepStrictEqual(yield* entries, ["done", "step 4"])
      }).pipe(Effect.provide(managed))
    )

    // Nobody can end a session of PGlite, which has one.
    if (name.includes("PGlite")) return
    it.effect("F28: a step whose connection is lost runs again on another one", () =>
      Effect.gen(function* () {
        const { status } = yield* run(Lost)
        assert.deepStrictEqual([status, attempts.get("step")], ["finished", 2])
        assert.deepStrictEqual(yield* entries, ["step 2"])
      }).pipe(Effect.provide(managed))
    )

    for (const [saga, expected] of [
      [LostAtEnd, 2],
      [LostTwice, 3]
    ] as const)
      it.effect(`F28: a step is not to blame where the savepoint around it is lost (${saga.name})`, () =>
        Effect.gen(function* () {
          const { status } = yield* run(saga)
          assert.deepStrictEqual([status, attempts.get("step")], ["finished", expected])
          assert.deepStrictEqual(yield* entries, [`step ${expected}`])
        }).pipe(Effect.provide(managed))
      )
  })
}
