/** Which connections the library has for itself, and what a connection that is silent costs (SPEC C20, I28). */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Redacted, Schema, Scope, Stream } from "effect"
import { SqlClient } from "effect/sql"
import {
  Broker,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { SqlDeadLetters, SqlParticipantStore, SqlSagaExecutionRepository } from "effect-saga/sql"
import { ReserveLimit } from "../../../src/adapters/sql/SqlConnections.ts"
import { DeadLetters } from "../../../src/ports/DeadLetters.ts"
import * as SampleExecutions from "../../../src/testing/SampleExecutions.ts"
import { schemaOf, server, url } from "../../fixtures/postgres.ts"
import * as Network from "../../fixtures/silentNetwork.ts"

/** The time limit of a statement in these tests. */
const limit = 500

const until = (happened: Effect.Effect<boolean, unknown, SqlClient.SqlClient>) =>
  Effect.repeat(Effect.andThen(Effect.sleep("10 millis"), happened), { until: (it) => it }).pipe(Effect.orDie)

const pool = (through: string, maxConnections: number, applicationName: string) =>
  Layer.fresh(PgClient.layer({ url: Redacted.make(through), maxConnections, applicationName, prepare: false }))

const repositoryOn = (through: string, schema: string, maxConnections = 6) =>
  SqlSagaExecutionRepository.layer({ schema, statementTimeout: limit }).pipe(
    Layer.provideMerge(pool(through, maxConnections, schema))
  )

/** A process with a client of its own, which ends with its scope. */
const makeProcess = Effect.fnUntraced(function* (
  sagas: ReadonlyArray<Saga.AnyCommitted>,
  options: {
    readonly schema: string
    readonly through?: string
    readonly maxConnections?: number
    readonly config?: Partial<SagaConfig.SagaConfigOptions>
  }
) {
  const { config, maxConnections, schema, through = url ?? "" } = options
  const scope = yield* Scope.fork(yield* Scope.Scope)
  const context = yield* (SagaManager.layer(sagas) as Layer.Layer<SagaManager.SagaManager, never, never>).pipe(
    Layer.provideMerge([
      SagaConfig.layer({ service: "orders", lease: "5 seconds", recoveryInterval: "200 millis", ...config }),
      repositoryOn(through, schema, maxConnections),
      Layer.fresh(Broker.layerMemory),
      TransactionCommitter.layerNone
    ]),
    Layer.fresh,
    Layer.buildWithScope(scope)
  )
  return {
    context,
    run: (saga: Saga.AnyCommitted) =>
      Effect.provideContext(SagaManager.run(saga as any, { context: {} }), context) as Effect.Effect<
        { readonly status: string; readonly revision: number; readonly uuid: string },
        unknown
      >,
    close: Scope.close(scope, Exit.void)
  }
})

/**
 * Runs a test with a client of its own, beside those that it makes. A process that stands still does not even end: it is
 * left alone then.
 */
const withSchema = (
  name: string,
  test: (schema: string) => Effect.Effect<void, unknown, SqlClient.SqlClient | Scope.Scope>
) =>
  Effect.gen(function* () {
    const schema = schemaOf(name)
    const running = yield* Effect.forkDetach(Effect.scoped(test(schema)).pipe(Effect.provide(server(schema, 2))))
    yield* Effect.raceFirst(
      Fiber.join(running),
      Effect.andThen(Effect.sleep("1 minute"), Effect.die(new Error("It stands still")))
    )
  })

/** How many sessions the server has for a client. */
const sessions = (schema: string) =>
  SqlClient.SqlClient.use((sql) =>
    Effect.map(
      sql<{ n: number }>`select count(*)::int as n from pg_stat_activity where application_name = ${schema}`,
      ([row]) => row?.n ?? 0
    )
  )

const leases = (schema: string) =>
  SqlClient.SqlClient.use(
    (sql) =>
      sql<{
        until: string
        epoch: number
      }>`select lease_until::text as until, epoch from ${sql(`${schema}.saga_instance`)}`
  )

/** Waits until the lease of the only process has been renewed several times. */
const renewals = (schema: string, times: number) =>
  Effect.gen(function* () {
    for (let n = 0; n < times; n++) {
      const [before] = yield* leases(schema)
      yield* until(Effect.map(leases(schema), ([now]) => now?.until !== before?.until))
    }
  })

const Quick = Saga.make("Quick", { context: {} }).pipe(
  Saga.local("one", { success: Schema.Int, execute: () => Effect.succeed(1) }),
  Saga.local("two", { success: Schema.Int, execute: () => Effect.succeed(2) }),
  Saga.commit
)

// Needs a server: the connections of a PGlite share one session. Side by side, as the tests mostly wait.
describe.runIf(url !== undefined)("connections of the library", { concurrent: true }, () => {
  it.live("F1 a repository has four connections of the pool for itself, and a smaller pool is refused", () =>
    withSchema("reserved", (schema) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        yield* Layer.buildWithScope(repositoryOn(url ?? "", schema), scope)
        assert.isAtLeast(yield* sessions(schema), 4)
        yield* Scope.close(scope, Exit.void)
        yield* until(Effect.map(sessions(schema), (n) => n === 0))

        const refused = yield* Effect.flip(Layer.build(repositoryOn(url ?? "", schema, 5)))
        assert.deepInclude(refused, { _tag: "InvalidSetting", setting: "PgClient.maxConnections" })
        assert.match(String(refused), /at least 6, and is 5.*PgClient\.layer\(\{ url, maxConnections: 10 \}\)/)
      })
    )
  )

  it.live("F1 a pool whose connections are in use is refused by name, whichever of those to be reserved it lacks", () =>
    withSchema("inuse", (schema) =>
      Effect.gen(function* () {
        // One is left of the four that a repository reserves, and then three: only the listener has none.
        const refusals = yield* Effect.forEach(
          [5, 3],
          (held) =>
            Effect.gen(function* () {
              const { reserve } = yield* SqlClient.SqlClient
              yield* Effect.replicateEffect(reserve, held)
              return yield* Effect.flip(Layer.build(SqlSagaExecutionRepository.layer({ schema })))
            }).pipe(
              // However short: a pool that is slow to give connections is refused by the same name.
              Effect.provideService(ReserveLimit, 500),
              Effect.scoped,
              Effect.provide(pool(url ?? "", 6, schema))
            ),
          { concurrency: "unbounded" }
        )
        for (const refused of refusals) {
          assert.deepInclude(refused, { _tag: "InvalidSetting", setting: "PgClient.maxConnections" })
          assert.match(String(refused), /all are in use/)
        }
      })
    )
  )

  it.live("F1 two repositories on one client need what both reserve", () =>
    withSchema("two", (schema) =>
      Effect.gen(function* () {
        const both = (maxConnections: number) =>
          Layer.merge(
            SqlSagaExecutionRepository.layer({ schema, prefix: "a_" }),
            Layer.fresh(SqlSagaExecutionRepository.layer({ schema, prefix: "b_" }))
          ).pipe(Layer.provide(pool(url ?? "", maxConnections, schema)), Layer.build, Effect.scoped)
        assert.match(String(yield* Effect.flip(both(9))), /at least 10, and is 9/)
        yield* both(10)
      })
    )
  )

  it.live(
    "F1 a process keeps its lease and runs other sagas while transactional steps want more than the pool has",
    () =>
      withSchema("busy", (schema) =>
        Effect.gen(function* () {
          const end = yield* Deferred.make<void>()
          let begun = 0
          const Slow = Saga.make("Slow", { context: {} }).pipe(
            Saga.local("one", {
              transactional: true,
              execute: () =>
                Effect.suspend(() => {
                  begun++
                  return Deferred.await(end)
                })
            }),
            Saga.commit
          )
          const { context, run } = yield* makeProcess([Slow, Quick], {
            schema,
            maxConnections: 7,
            config: { recoveryInterval: "100 millis" }
          })
          const slow = yield* Effect.forkChild(
            Effect.all(
              Array.from({ length: 12 }, () => run(Slow)),
              { concurrency: "unbounded" }
            )
          )
          // Three connections are shared, and one of them is for single statements.
          yield* until(Effect.sync(() => begun === 2))
          const { status, uuid } = yield* run(Quick)
          assert.strictEqual(status, "finished")
          const { load } = Context.get(context, SagaExecutionRepository.SagaExecutionRepository)
          assert.strictEqual((yield* load(uuid)).uuid, uuid)
          yield* renewals(schema, 12)
          assert.strictEqual(begun, 2)
          assert.deepStrictEqual(
            (yield* leases(schema)).map(({ epoch }) => epoch),
            [1]
          )
          yield* Deferred.succeed(end, undefined)
          yield* Fiber.join(slow)
          assert.strictEqual(begun, 12)
        })
      )
  )

  it.live("F1 units of participants leave the reserved connections of the same client alone", () =>
    withSchema("units", (schema) =>
      Effect.gen(function* () {
        const stores = Layer.merge(
          SqlParticipantStore.layer({ schema, statementTimeout: limit }),
          SqlSagaExecutionRepository.layer({ schema, statementTimeout: limit })
        ).pipe(Layer.provide(pool(url ?? "", 6, schema)))
        const context = yield* Layer.build(stores)
        const { unit } = Context.get(context, ParticipantStore.ParticipantStore)
        const { store } = Context.get(context, SagaExecutionRepository.SagaExecutionRepository)
        const end = yield* Deferred.make<void>()
        let begun = 0
        const units = yield* Effect.forkChild(
          Effect.forEach(
            Array.from({ length: 8 }, () => crypto.randomUUID()),
            (uuid) =>
              unit({ service: "bank", transactions: [uuid], messages: [] }, () =>
                Effect.suspend(() => {
                  begun++
                  return Deferred.await(end)
                })
              ),
            { concurrency: "unbounded" }
          )
        )
        yield* until(Effect.sync(() => begun === 1))
        yield* store(SampleExecutions.started(SampleExecutions.created()))
        assert.strictEqual(begun, 1)
        yield* Deferred.succeed(end, undefined)
        yield* Fiber.join(units)
        assert.strictEqual(begun, 8)
      })
    )
  )
})

describe.runIf(url !== undefined)("a silent connection", { concurrent: true }, () => {
  it.live("F2 sagas go on while all connections are silent, and the process keeps its lease", () =>
    withSchema("silent", (schema) =>
      Effect.gen(function* () {
        const proxy = yield* Network.make(url ?? "")
        const { run } = yield* makeProcess([Quick], { schema, through: proxy.url, maxConnections: 8 })
        yield* run(Quick)
        const made = proxy.made()
        proxy.silence()
        assert.isAtLeast(proxy.silent(), 4)
        const done = yield* Effect.all(
          Array.from({ length: 5 }, () => run(Quick)),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(new Set(done.map(({ status }) => status)), new Set(["finished"]))
        assert.isAbove(proxy.made(), made)
        yield* renewals(schema, 2)
        assert.deepStrictEqual(
          (yield* leases(schema)).map(({ epoch }) => epoch),
          [1]
        )
        // The lease, the writes that were used and the listener have been replaced.
        yield* until(Effect.sync(() => proxy.silent() <= 1))
      })
    )
  )

  it.live("F2 a pool full of silent connections costs one time limit, and not one for each of them", () =>
    withSchema("full", (schema) =>
      Effect.gen(function* () {
        const proxy = yield* Network.make(url ?? "")
        const context = yield* Layer.build(
          SqlSagaExecutionRepository.layer({ schema, statementTimeout: limit }).pipe(
            Layer.provideMerge(pool(proxy.url, 10, schema))
          )
        )
        const { load, store } = Context.get(context, SagaExecutionRepository.SagaExecutionRepository)
        const sql = Context.get(context, SqlClient.SqlClient)
        const { uuid } = yield* store(SampleExecutions.started(SampleExecutions.created()))
        // All at the same time, so that each has a connection.
        yield* Effect.all(
          Array.from({ length: 6 }, () => sql`select pg_sleep(0.3)`),
          { concurrency: "unbounded" }
        )
        proxy.silence()
        assert.isAtLeast(proxy.silent(), 10)
        let limits = 0
        yield* load(uuid).pipe(
          Effect.tapError(() => Effect.sync(() => limits++)),
          Effect.retry({ times: 10 })
        )
        // The others are asked whether they work, for a part of the limit each.
        assert.isAtLeast(limits, 1)
        assert.isBelow(limits, 6)
      })
    )
  )

  it.live("F2 W5 a write whose answer never comes is found again by its write id, and no step runs twice", () =>
    withSchema("answer", (schema) =>
      Effect.gen(function* () {
        const proxy = yield* Network.make(url ?? "")
        let runs = 0
        const Counted = Saga.make("Counted", { context: {} }).pipe(
          Saga.local("first", { execute: () => Effect.sync(() => void runs++) }),
          Saga.local("afterwards", { execute: () => Effect.sync(() => void runs++) }),
          Saga.commit
        )
        const { run } = yield* makeProcess([Counted], { schema, through: proxy.url })
        proxy.silenceAnswerTo('"name":"afterwards"')
        const { revision, status } = yield* run(Counted)
        assert.deepStrictEqual({ revision, status, runs }, { revision: 3, status: "finished", runs: 2 })
        yield* until(Effect.sync(() => proxy.silent() === 0))
      })
    )
  )

  for (const [what, text] of [
    ["begin", "BEGIN"],
    ["record", "ExecutionFinished"],
    ["commit", "COMMIT"]
  ] as const) {
    it.live(`F2 a transactional step goes on and has its effect once when the answer to its ${what} never comes`, () =>
      withSchema("transaction", (schema) =>
        Effect.gen(function* () {
          const proxy = yield* Network.make(url ?? "")
          const sql = yield* SqlClient.SqlClient
          const ledger = `${schema}.ledger`
          const Booked = Saga.make("Booked", { context: {} }).pipe(
            Saga.local("entry", {
              transactional: true,
              execute: () =>
                SqlClient.SqlClient.use((sql) => sql`insert into ${sql(ledger)} (n) values (1)`).pipe(
                  Effect.asVoid,
                  Effect.orDie
                )
            }),
            Saga.commit
          )
          const { run } = yield* makeProcess([Booked], { schema, through: proxy.url, maxConnections: 8 })
          yield* sql`create table ${sql(ledger)} (n int not null)`
          proxy.silenceAnswerTo(text)
          assert.strictEqual((yield* run(Booked)).status, "finished")
          assert.deepStrictEqual(yield* sql`select n from ${sql(ledger)}`, [{ n: 1 }])
          yield* until(Effect.sync(() => proxy.silent() === 0))
        })
      )
    )
  }

  it.live("F2 loads, lists and dead letters are answered in time, and the time of a handler does not count", () =>
    withSchema("others", (schema) =>
      Effect.gen(function* () {
        const proxy = yield* Network.make(url ?? "")
        const options = { schema, statementTimeout: limit }
        const stores = Layer.mergeAll(
          SqlParticipantStore.layer(options),
          SqlSagaExecutionRepository.layer(options),
          SqlDeadLetters.layer(options)
        ).pipe(Layer.provideMerge(pool(proxy.url, 8, schema)))
        const context = yield* Layer.build(stores)
        const { unit } = Context.get(context, ParticipantStore.ParticipantStore)
        const { load, store } = Context.get(context, SagaExecutionRepository.SagaExecutionRepository)
        const letters = Context.get(context, DeadLetters)
        const stored = yield* store(SampleExecutions.started(SampleExecutions.created()))

        proxy.silenceAnswerTo(stored.uuid)
        const error = yield* Effect.flip(load(stored.uuid))
        assert.deepInclude(error, { _tag: "SagaExecutionRepositoryError", reason: "unavailable" })
        assert.deepInclude((error as any).cause, { code: "StatementTimeout" })
        assert.strictEqual((yield* load(stored.uuid)).revision, 1)

        const letter = { topic: "t", sender: "s", reason: "Defect", size: 1, sha256: "x", receivedAt: 1 } as const
        yield* letters.record(letter)
        assert.strictEqual((yield* letters.list()).length, 1)

        let runs = 0
        const place = { service: "bank", transactions: [crypto.randomUUID()], messages: [] }
        proxy.silenceAnswerTo("BEGIN")
        const value = yield* unit(place, ({ attempt }) =>
          attempt(
            Effect.suspend(() => {
              runs++
              return Effect.as(Effect.sleep(2 * limit), "done")
            })
          )
        )
        assert.deepStrictEqual([value, runs], ["done", 1])
        yield* until(Effect.sync(() => proxy.silent() === 0))
      })
    )
  )

  it.live("F2 a handler that gives up a statement in a savepoint goes on with its transaction", () =>
    withSchema("giveup", (schema) =>
      Effect.gen(function* () {
        const context = yield* Layer.build(
          SqlParticipantStore.layer({ schema, statementTimeout: limit }).pipe(
            Layer.provideMerge(pool(url ?? "", 6, schema))
          )
        )
        const { unit } = Context.get(context, ParticipantStore.ParticipantStore)
        const sql = Context.get(context, SqlClient.SqlClient)
        let runs = 0
        const value = yield* unit(
          { service: "bank", transactions: [crypto.randomUUID()], messages: [] },
          ({ attempt }) =>
            attempt(
              Effect.gen(function* () {
                runs++
                const slow = yield* Effect.timeoutOption(sql.withTransaction(sql`select pg_sleep(60)`), "100 millis")
                const [row] = yield* sql<{ n: number }>`select 1 as n`
                return [slow._tag, row?.n]
              })
            )
        )
        assert.deepStrictEqual([value, runs], [["None", 1], 1])
      })
    )
  )

  it.live("F2 the listener hears again after its connection fell silent with the others", () =>
    withSchema("listener", (schema) =>
      Effect.gen(function* () {
        const proxy = yield* Network.make(url ?? "")
        const silent = yield* Layer.build(repositoryOn(proxy.url, schema, 8))
        const other = yield* Layer.build(repositoryOn(url ?? "", schema, 6))
        const [here, there] = [silent, other].map((it) =>
          Context.get(it, SagaExecutionRepository.SagaExecutionRepository)
        )
        for (const owner of ["here", "there"]) {
          yield* there!.claim({ owner, limit: 0, now: Date.now(), leaseMillis: 60_000 })
        }
        const heard: Array<string> = []
        yield* Effect.forkScoped(Stream.runForEach(here!.inputs, (uuid) => Effect.sync(() => void heard.push(uuid))))
        yield* Effect.yieldNow
        const news = Effect.gen(function* () {
          const { uuid } = yield* there!.store(SampleExecutions.started(SampleExecutions.created()))
          yield* there!.submit({ uuid, id: "news", input: {}, at: SampleExecutions.time })
          yield* Effect.sleep("50 millis")
          return heard.includes(uuid)
        })
        yield* until(news)
        proxy.silence()
        // A write finds out that its connection is silent.
        yield* here!.store(SampleExecutions.started(SampleExecutions.created()))
        yield* until(news)
      })
    )
  )

  it.live("F2 a statement that waits for too long is cancelled in the database, and its connection is closed", () =>
    withSchema("locked", (schema) =>
      Effect.gen(function* () {
        const proxy = yield* Network.make(url ?? "")
        const sql = yield* SqlClient.SqlClient
        const context = yield* Layer.build(repositoryOn(proxy.url, schema, 8))
        const { store } = Context.get(context, SagaExecutionRepository.SagaExecutionRepository)
        const created = SampleExecutions.started(SampleExecutions.created())
        const pids = (sessions: "waiting" | "all") =>
          Effect.map(
            sql<{ pid: number }>`select pid from pg_stat_activity where application_name = ${schema}
              ${sessions === "all" ? sql`` : sql`and wait_event_type = 'Lock'`}`,
            (rows) => rows.map(({ pid }) => pid)
          )
        let waited: ReadonlyArray<number> = []
        yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`lock table ${sql(`${schema}.saga_event`)} in access exclusive mode`
            const storing = yield* Effect.forkChild(Effect.flip(store(created)))
            // Outside of the transaction, which would see the sessions as they were at its begin.
            const outside = (happened: Effect.Effect<boolean, unknown>) =>
              Effect.updateContext(until(happened), (context: Context.Context<SqlClient.SqlClient>) =>
                Context.omit(sql.transactionService)(context)
              )
            yield* outside(
              Effect.map(pids("waiting"), (found) => {
                waited = found
                return found.length > 0
              })
            )
            const error = yield* Fiber.join(storing)
            assert.deepInclude(error, { _tag: "SagaExecutionRepositoryError", reason: "unavailable" })
            yield* outside(Effect.map(pids("waiting"), (found) => found.length === 0))
          })
        )
        yield* until(Effect.map(pids("all"), (found) => !found.some((pid) => waited.includes(pid))))
        assert.strictEqual((yield* store(created)).revision, 1)
      })
    )
  )

  it.live("F2 a process closes while all connections are silent", () =>
    withSchema("closing", (schema) =>
      Effect.gen(function* () {
        const proxy = yield* Network.make(url ?? "")
        const Waiting = Saga.make("Waiting", { context: {} }).pipe(
          Saga.local("entry", {
            transactional: true,
            execute: () => SqlClient.SqlClient.use((sql) => sql`select pg_sleep(60)`).pipe(Effect.asVoid, Effect.orDie)
          }),
          Saga.commit
        )
        const { close, run } = yield* makeProcess([Waiting, Quick], {
          schema,
          through: proxy.url,
          maxConnections: 8,
          config: { shutdownGrace: "1 second" }
        })
        const waiting = yield* Effect.forkChild(Effect.exit(run(Waiting)))
        yield* until(
          SqlClient.SqlClient.use((sql) =>
            Effect.map(
              sql<{ n: number }>`select count(*)::int as n from pg_stat_activity
                where application_name = ${schema} and wait_event = 'PgSleep'`,
              ([row]) => row?.n === 1
            )
          )
        )
        proxy.silence()
        // Nobody hears anything before the end of the test: what waits for an answer waits for ever.
        yield* close
        const exit = yield* Fiber.join(waiting)
        assert.isTrue(Exit.isFailure(exit) || Cause.hasInterrupts(exit as any))
      })
    )
  )
})
