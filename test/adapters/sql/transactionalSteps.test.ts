/** Transactional steps: their SQL and their record commit together, or neither does (SPEC W7, I15). */
import { assert, layer as withLayer } from "@effect/vitest"
import { Deferred, Effect, Exit, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, Saga, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import { FaultPoint } from "effect-saga/internals"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import * as SampleExecutions from "../../../src/testing/SampleExecutions.ts"
import { databases } from "../../fixtures/postgres.ts"

class Broke extends Schema.TaggedError<Broke>()("Broke", {}) {}

for (const { layer, name, schema } of databases("transactional")) {
  const ledger = `${schema}.ledger`
  const write = (entry: string) =>
    SqlClient.SqlClient.use((sql) => sql`insert into ${sql(ledger)} (entry) values (${entry})`).pipe(
      Effect.asVoid,
      Effect.orDie
    )
  const entries = SqlClient.SqlClient.use((sql) =>
    Effect.map(sql<{ entry: string }>`select entry from ${sql(ledger)} order by n`, (rows) =>
      rows.map(({ entry }) => entry)
    )
  )
  const clear = SqlClient.SqlClient.use((sql) => sql`truncate ${sql(ledger)}`)
  const saga = Saga.make("Ledger", { context: { fails: Schema.Boolean } })
  const entry = { transactional: true as const }

  const Straight = saga.pipe(
    Saga.local("first", { ...entry, execute: () => write("first"), compensate: () => write("first back") }),
    Saga.local("second", {
      ...entry,
      error: Broke,
      execute: ({ fails }) => Effect.andThen(write("second"), fails ? Effect.fail(new Broke()) : Effect.void),
      compensate: () => write("second back")
    }),
    Saga.commit
  )
  let attempts = 0
  const Labelled = Saga.make("Labelled", { context: { order: Schema.String } }).pipe(
    Saga.local("entry", { ...entry, success: Schema.Int, execute: () => Effect.as(write("labelled"), 7) }),
    Saga.attributes(({ entry, order }) => ({ entry, order })),
    Saga.commit
  )
  const Retried = Saga.make("Retried", { context: {} }).pipe(
    Saga.local("third", {
      ...entry,
      execute: () =>
        Effect.andThen(
          write(`attempt ${++attempts}`),
          Effect.suspend(() => (attempts < 3 ? Effect.die("again") : Effect.void))
        ),
      retry: { times: 5, backoff: "1 millis" }
    }),
    Saga.commit
  )
  const Several = Saga.make("Several", { context: {} }).pipe(
    Saga.parallel("all", {
      a: Saga.local("a", { ...entry, execute: () => write("a") }),
      b: Saga.local("b", { ...entry, execute: () => write("b") }),
      c: Saga.local("c", { execute: () => write("c") })
    }),
    Saga.commit
  )
  const Late = Saga.make("Late", { context: {} }).pipe(
    Saga.local("slow", {
      ...entry,
      timeout: "20 millis",
      execute: () => Effect.andThen(write("slow"), Effect.never),
      compensate: { run: () => write("run"), unknown: () => write("unknown") }
    }),
    Saga.commit
  )

  const repository = SqlSagaExecutionRepository.layer({ schema })
  const table = Layer.effectDiscard(
    SqlClient.SqlClient.use(
      (sql) => sql`create table ${sql(ledger)} (n int generated always as identity, entry text not null)`
    )
  )
  const base = Layer.provideMerge(Layer.provideMerge(table, repository), layer)
  const managedWith = (config: Partial<SagaConfig.SagaConfigOptions>) =>
    SagaManager.layer([Labelled, Straight, Retried, Several, Late]).pipe(
      Layer.provide([SagaConfig.layer({ service: "bank", shutdownGrace: 0, ...config })]),
      Layer.provide([Broker.layerMemory, TransactionCommitter.layerNone])
    )
  const managed = managedWith({})
  /** A process that ends as if it were killed, and is soon taken for dead. */
  const killed = managedWith({ recoveryInterval: "50 millis", lease: "150 millis" })
  const facts = (uuid: string) =>
    Effect.map(
      SagaExecutionRepository.SagaExecutionRepository.use((one) => one.load(uuid)),
      ({ events }) => events.map(({ _tag }) => _tag)
    )

  withLayer(base, { timeout: "2 minutes", excludeTestServices: true })(`transactional steps: ${name}`, (it) => {
    it.effect("a transactional step commits with its record and the intent of the next step, in one write", () =>
      Effect.gen(function* () {
        yield* clear
        const done = yield* SagaManager.run(Straight, { context: { fails: false } })
        assert.deepStrictEqual(yield* entries, ["first", "second"])
        assert.strictEqual(done.revision, 3)
        assert.deepStrictEqual(yield* facts(done.uuid), [
          "ExecutionCreated",
          "ExecutionStarted",
          "StepStarted",
          "StepSucceeded",
          "StepStarted",
          "StepSucceeded",
          "ExecutionFinished",
          "TransactionSettled"
        ])
      }).pipe(Effect.provide(managed))
    )

    it.effect("find knows the status that a transaction has stored, also after one that was rolled back", () =>
      Effect.gen(function* () {
        const { atomically, find, store } = yield* SagaExecutionRepository.SagaExecutionRepository
        const name = SampleExecutions.uniqueName()
        const paused = SampleExecutions.paused(
          yield* store(SampleExecutions.started(SampleExecutions.created({ saga: name })))
        )
        assert.isTrue(Exit.isFailure(yield* Effect.exit(atomically(Effect.andThen(store(paused), new Broke())))))
        yield* atomically(store(paused))
        assert.deepStrictEqual(
          (yield* find({ saga: name })).items.map(({ status }) => status),
          ["paused"]
        )
      })
    )

    it.effect(
      "a transactional step that fails leaves nothing; transactional steps before it are compensated in a transaction",
      () =>
        Effect.gen(function* () {
          yield* clear
          const error = yield* Effect.flip(SagaManager.execute(Straight, { context: { fails: true } }))
          assert.instanceOf(error, Broke)
          assert.deepStrictEqual(yield* entries, ["first", "first back"])
        }).pipe(Effect.provide(managed))
    )

    it.effect("a transactional step leaves nothing of an attempt that is repeated", () =>
      Effect.gen(function* () {
        yield* clear
        attempts = 0
        yield* SagaManager.execute(Retried, { context: {} })
        assert.deepStrictEqual(yield* entries, ["attempt 3"])
      }).pipe(Effect.provide(managed))
    )

    it.effect("the attributes behind a transactional step commit with it", () =>
      Effect.gen(function* () {
        yield* clear
        const manager = yield* SagaManager.SagaManager
        const order = SampleExecutions.uniqueName()
        yield* SagaManager.execute(Labelled, { context: { order } })
        const { items } = yield* manager.find({ attributes: { order, entry: 7 } })
        assert.deepStrictEqual(items.length, 1)
        assert.deepStrictEqual(yield* entries, ["labelled"])
      }).pipe(Effect.provide(managed))
    )

    it.effect("a transactional step that times out leaves nothing, and needs no unknown compensation", () =>
      Effect.gen(function* () {
        yield* clear
        const execution = yield* SagaManager.run(Late, { context: {}, raiseOnError: false })
        assert.strictEqual(execution.status, "errored")
        assert.deepStrictEqual(yield* entries, [])
      }).pipe(Effect.provide(managed))
    )

    it.effect("transactional steps run in several branches at the same time", () =>
      Effect.gen(function* () {
        yield* clear
        yield* SagaManager.execute(Several, { context: {} })
        assert.deepStrictEqual((yield* entries).toSorted(), ["a", "b", "c"])
      }).pipe(Effect.provide(managed))
    )

    for (const point of ["store.before", "store.after", "callback.before", "callback.after"] as const) {
      it.effect(`I15 transactional steps happen once when the process stops at ${point}`, () =>
        Effect.gen(function* () {
          for (let stopAt = 1; ; stopAt++) {
            yield* clear
            let seen = 0
            const ended = yield* Deferred.make<void>()
            // The process stands still at this instruction until its scope is closed.
            const freeze = Effect.andThen(Deferred.succeed(ended, undefined), Effect.never)
            const run = SagaManager.run(Straight, { context: { fails: false }, startKey: `${point} ${stopAt}` })
            yield* Effect.gen(function* () {
              yield* Effect.forkChild(Effect.andThen(run, Deferred.succeed(ended, undefined)))
              yield* Deferred.await(ended)
            }).pipe(
              Effect.provide(killed),
              Effect.provideService(FaultPoint, (at) => (at === point && ++seen === stopAt ? freeze : Effect.void))
            )
            // The next process finishes it, and says so under the same key.
            yield* Effect.provide(run, killed)
            assert.deepStrictEqual(yield* entries, ["first", "second"], `stopped at ${stopAt}`)
            if (seen < stopAt) break
          }
        })
      )
    }
  })
}
