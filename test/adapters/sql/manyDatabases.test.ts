/** Executions over two databases: who has which, whatever a process believes, and what a database that is away concerns. */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted, Result, Schedule, Schema } from "effect"
import { SqlClient } from "effect/sql"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  SagaQueue,
  SagaSchedule,
  TransactionCommitter
} from "effect-saga"
import { SqlBuckets, SqlSagaExecutionRepository } from "effect-saga/sql"
import * as SqlMigrations from "../../../src/adapters/sql/SqlMigrations.ts"
import { bucketOf, bucketOfKey } from "../../../src/ports/Buckets.ts"
import * as Sample from "../../../src/testing/SampleExecutions.ts"
import {
  divided,
  keyIn,
  onPglites,
  onServer,
  places,
  repository,
  type Two,
  uuidIn
} from "../../fixtures/manyDatabases.ts"
import { clientOf } from "../../fixtures/noEntry.ts"
import { url } from "../../fixtures/postgres.ts"
import * as Network from "../../fixtures/silentNetwork.ts"

const Repository = SagaExecutionRepository.SagaExecutionRepository

const opened = (layer: Layer.Layer<SagaExecutionRepository.SagaExecutionRepository, unknown>) =>
  Effect.map(Layer.build(Layer.fresh(layer)), (context) => Context.get(context, Repository))

/** A repository that knows one of the databases, and nothing of buckets. */
const alone = ({ client, ...tables }: Two["north"]) => Layer.provide(SqlSagaExecutionRepository.layer(tables), client)

const Order = Saga.make("Order", { context: { number: Schema.Int } }).pipe(
  Saga.local("reservation", { success: Schema.Int, execute: ({ number }) => Effect.succeed(number) }),
  Saga.commit
)

const managed = (layer: Layer.Layer<SagaExecutionRepository.SagaExecutionRepository, unknown>) =>
  SagaManager.layer([Order]).pipe(
    Layer.provide([
      SagaConfig.layer({ service: "orders", recoveryInterval: "100 millis" }),
      layer,
      Broker.layerMemory,
      TransactionCommitter.layerNone
    ])
  )

for (const { name, two } of places("many")) {
  describe(`executions over ${name}`, () => {
    it.live(
      "I10 processes that believe different things of the databases start one execution of a key",
      () =>
        Effect.gen(function* () {
          const databases = yield* two
          yield* SqlBuckets.begin(databases, "north")
          // This one has looked before anything moved, and does not look again by itself.
          const before = yield* opened(repository(databases))
          yield* SqlBuckets.move(databases, {
            from: "north",
            to: "south",
            buckets: [...Array(256).keys()].filter((it) => it % 2 === 1)
          })
          const processes = [
            before,
            yield* opened(repository(databases)),
            // Its names are exchanged, and it knows a database more or less.
            yield* opened(repository({ north: databases.south, south: databases.north })),
            yield* opened(SqlSagaExecutionRepository.layerSharded({ only: databases.north })),
            yield* opened(SqlSagaExecutionRepository.layerSharded({ only: databases.south })),
            yield* opened(alone(databases.north)),
            yield* opened(alone(databases.south))
          ]
          const unaware = yield* opened(alone(databases.north))
          const kept = yield* opened(repository(databases))
          for (const key of Array.from({ length: 12 }, (_, i) => keyIn(i % 2 === 0 ? "north" : "south"))) {
            const starts = [
              ...processes.map(({ store }) => Effect.result(store(Sample.created({ startKey: key })))),
              // By a process with any uuid that its database serves, as those with one database draw them.
              Effect.result(unaware.store(Sample.created({ startKey: key, uuid: uuidIn("north") })))
            ]
            const results = yield* Effect.all([...starts, ...starts], { concurrency: "unbounded" })
            const won = results.filter(Result.isSuccess).map(({ success }) => success.uuid)
            assert.strictEqual(won.length, 1, key)
            for (const result of results.filter(Result.isFailure)) {
              const { failure } = result
              if (failure._tag === "SagaExecutionConflict") assert.strictEqual(failure.existing, won[0])
              else assert.strictEqual(failure._tag, "SagaExecutionRepositoryError")
            }
            const { items } = yield* kept.find({ startKey: key })
            assert.deepStrictEqual(
              items.map(({ uuid }) => uuid),
              won
            )
          }
        }).pipe(Effect.scoped),
      60_000
    )

    it.live(
      "a uuid and a startKey of different buckets are refused, as they would name two executions",
      () =>
        Effect.gen(function* () {
          const databases = yield* two
          yield* divided(databases)
          const { store } = yield* opened(repository(databases))
          const startKey = keyIn("north")
          const refused = yield* Effect.flip(store(Sample.created({ startKey, uuid: uuidIn("south") })))
          assert.deepInclude(refused, { _tag: "SagaExecutionRepositoryError", reason: "rejected" })
          assert.strictEqual((yield* store(Sample.created({ startKey }))).revision, 1)
        }).pipe(Effect.scoped),
      30_000
    )

    it.live(
      "a database refuses what it does not serve, whoever writes it",
      () =>
        Effect.gen(function* () {
          const databases = yield* two
          yield* divided(databases)
          const { store, submit } = yield* opened(alone(databases.north))
          const refused = { _tag: "SagaExecutionRepositoryError", reason: "unavailable" } as const
          assert.deepInclude(yield* Effect.flip(store(Sample.created({ uuid: uuidIn("south") }))), refused)
          // Of those that are written together only the one is refused.
          const uuids = [uuidIn("north"), uuidIn("south"), uuidIn("north")]
          const written = yield* Effect.forEach(uuids, (uuid) => Effect.result(store(Sample.created({ uuid }))), {
            concurrency: "unbounded"
          })
          assert.deepStrictEqual(written.map(Result.isSuccess), [true, false, true])
          // The bucket leaves while a process holds an execution of it.
          const here = uuids[0] ?? ""
          const buckets = [bucketOf(here)]
          yield* SqlBuckets.move(databases, { from: "north", to: "south", buckets })
          const later = Sample.started(yield* (yield* opened(repository(databases))).load(here))
          assert.deepInclude(yield* Effect.flip(store(later)), refused)
          assert.deepInclude(yield* Effect.flip(submit({ uuid: here, id: "1", input: null, at: Sample.time })), {
            _tag: "SagaExecutionNotFound"
          })
        }).pipe(Effect.scoped),
      30_000
    )

    it.live(
      "pages of all databases come in one order, in both directions",
      () =>
        Effect.gen(function* () {
          const databases = yield* two
          yield* divided(databases)
          const { find, store } = yield* opened(repository(databases))
          for (let i = 0; i < 23; i++)
            yield* store(
              Sample.created({ at: Sample.time + (i >> 1), startKey: keyIn(i % 3 === 0 ? "south" : "north") })
            )
          for (const filter of [{}, { startKeyPrefix: "Order-" }]) {
            const all = (yield* find(filter)).items.map(({ uuid }) => uuid)
            assert.strictEqual(new Set(all).size, 23)
            const forward: Array<string> = []
            const pages = [yield* find(filter, { limit: 4 })]
            for (let page = pages[0]!; ; ) {
              forward.push(...page.items.map(({ uuid }) => uuid))
              if (page.next === undefined) break
              page = yield* find(filter, { limit: 4, after: page.next })
              pages.push(page)
            }
            assert.deepStrictEqual(forward, all)
            assert.strictEqual(pages.length, 6)
            for (let i = pages.length - 1; i > 0; i--) {
              const back = yield* find(filter, { limit: 4, before: pages[i]!.previous! })
              assert.deepStrictEqual(back.items, pages[i - 1]!.items)
            }
            assert.isUndefined(pages[0]!.previous)
          }
        }).pipe(Effect.scoped),
      30_000
    )

    it.live(
      "a claim gives what is due in all databases, and no more than it may",
      () =>
        Effect.gen(function* () {
          const databases = yield* two
          yield* divided(databases)
          const { claim, store } = yield* opened(repository(databases))
          const request = { owner: "one", limit: 10, now: Date.now(), leaseMillis: 60_000, holds: [] }
          yield* claim({ ...request, limit: 0 })
          // One of them has almost all of what is due.
          for (let i = 0; i < 13; i++)
            yield* store(Sample.started(Sample.created({ uuid: uuidIn(i === 0 ? "south" : "north") })))
          const first = yield* claim(request)
          assert.strictEqual(first.executions.length, 10)
          const holds = first.executions.map(({ revision, uuid }) => ({ revision, uuid }))
          const second = yield* claim({ ...request, holds })
          assert.strictEqual(second.executions.length, 3)
          const all = [...first.executions, ...second.executions].map(({ uuid }) => uuid)
          assert.strictEqual(new Set(all).size, 13)
          assert.isTrue(all.some((uuid) => bucketOf(uuid) % 2 === 1))
        }).pipe(Effect.scoped),
      30_000
    )

    it.live(
      "a manager runs executions in both, and finds a start again by its key",
      () =>
        Effect.gen(function* () {
          const databases = yield* two
          yield* divided(databases)
          const one = yield* Layer.build(Layer.fresh(managed(repository(databases))))
          const keys = [keyIn("north"), keyIn("south")]
          for (const [number, startKey] of keys.entries()) {
            const run = SagaManager.run(Order, { context: { number }, startKey })
            const [first, again] = [yield* Effect.provide(run, one), yield* Effect.provide(run, one)]
            assert.strictEqual(again.uuid, first.uuid)
            assert.strictEqual(bucketOf(first.uuid), bucketOfKey(startKey))
            assert.strictEqual(first.status, "finished")
          }
        }).pipe(Effect.scoped),
      30_000
    )
  })
}

describe("what is of one database", () => {
  it.live(
    "transactional steps, queues and schedules are refused when the manager is built",
    () =>
      Effect.gen(function* () {
        const databases = yield* onPglites
        yield* divided(databases)
        const Paid = Saga.make("Paid", { context: {} }).pipe(
          Saga.local("payment", { transactional: true, execute: () => Effect.void }),
          Saga.commit
        )
        const given = Layer.mergeAll(
          SagaConfig.layer({ service: "orders" }),
          repository(databases),
          Broker.layerMemory,
          TransactionCommitter.layerNone
        )
        const failure = <A>(layer: Layer.Layer<A, unknown>) => Effect.flip(Layer.build(Layer.fresh(layer)))
        const Line = SagaQueue.make("line", { concurrency: 1 })
        const refused = [
          yield* failure(Layer.provide(SagaManager.layer([Paid]), given)),
          yield* failure(Layer.provide(SagaManager.layer([Order], { queues: [Line] }), given)),
          yield* failure(
            SagaSchedule.layer(Order, { cron: "0 2 * * *", context: () => ({ number: 1 }) }).pipe(
              Layer.provide(SagaManager.layer([Order])),
              Layer.provide(given)
            )
          )
        ]
        assert.deepStrictEqual(
          refused.map((error) => Object(error)._tag),
          ["SagaTransactionUnsupported", "SagaRepositoryUnsupported", "SagaRepositoryUnsupported"]
        )
      }).pipe(Effect.scoped),
    30_000
  )

  it.live(
    "two databases that were begun with are nobody's, and all databases of a move must be known",
    () =>
      Effect.gen(function* () {
        const databases = yield* onPglites
        yield* SqlBuckets.begin({ north: databases.north }, "north")
        assert.deepInclude(yield* Effect.flip(SqlBuckets.begin(databases, "south")), { _tag: "SagaBucketsBegun" })
        // Somebody does not know of the other one.
        yield* SqlBuckets.begin({ south: databases.south }, "south")
        const { store } = yield* opened(repository(databases))
        const error = yield* Effect.flip(store(Sample.created()))
        assert.deepInclude(error, { _tag: "SagaExecutionRepositoryError", reason: "unavailable" })
        const unknown = { from: "north", to: "west", buckets: [1] }
        assert.deepInclude(yield* Effect.flip(SqlBuckets.move(databases, unknown)), { _tag: "InvalidSetting" })
      }).pipe(Effect.scoped),
    30_000
  )
})

describe.runIf(url !== undefined)("a role that may only read and write rows", () => {
  it.live(
    "writes also when the database becomes one of several, and no table is its own",
    () =>
      Effect.gen(function* () {
        const databases = yield* onServer("role")
        const { client, schema = "" } = databases.north
        const sql = Context.get(yield* Layer.build(client), SqlClient.SqlClient)
        const role = `${schema}_app`
        yield* Effect.acquireRelease(sql`create role ${sql(role)}`, () =>
          Effect.ignore(Effect.andThen(sql`drop owned by ${sql(role)}`, sql`drop role ${sql(role)}`))
        )
        const both = SqlMigrations.run({ schema }, "executions").pipe(
          Effect.andThen(SqlMigrations.grants({ schema }, "executions", role)),
          Effect.flatMap((grants) => Effect.all(grants)),
          Effect.provideService(SqlClient.SqlClient, sql)
        )
        yield* Effect.scoped(both)
        yield* SqlBuckets.begin(databases, "north")
        const asRole = PgClient.layer({ url: Redacted.make(`${url}?options=-c%20role%3D${role}`), maxConnections: 8 })
        const { store } = yield* opened(alone({ client: asRole, schema }))
        assert.strictEqual((yield* store(Sample.created())).revision, 1)
        const rights = yield* sql`select from information_schema.role_table_grants
          where grantee = ${role} and table_name = 'saga_bucket' and privilege_type in ('SELECT', 'UPDATE')`
        assert.strictEqual(rights.length, 2)
        const listed = SqlBuckets.list({ north: { client: asRole, schema } })
        assert.strictEqual((yield* listed).databases[0]?.buckets?.length, 256)
        // For a role that comes later.
        for (const table of ["saga_bucket", "saga_database"])
          yield* sql`revoke all on ${sql(`${schema}.${table}`)} from ${sql(role)}`
        assert.strictEqual((yield* Effect.flip(store(Sample.created())))._tag, "SagaExecutionRepositoryError")
        yield* Effect.scoped(both)
        assert.strictEqual((yield* store(Sample.created())).revision, 1)
        assert.strictEqual((yield* listed).databases[0]?.buckets?.length, 256)
      }).pipe(Effect.scoped),
    60_000
  )
})

describe("a database that lets nobody in yet", () => {
  it.live(
    "concerns its executions only, as one that is away",
    () =>
      Effect.gen(function* () {
        const databases = yield* onPglites
        yield* divided(databases)
        for (const code of ["57P03", "55000"]) {
          const south = { client: yield* clientOf(code) }
          const repo = yield* opened(SqlSagaExecutionRepository.layerSharded({ north: databases.north, south }))
          assert.deepStrictEqual((yield* repo.find({})).missing, ["south"])
          yield* repo.store(Sample.created({ uuid: uuidIn("north") }))
        }
      }).pipe(Effect.scoped),
    30_000
  )
})

describe.runIf(url !== undefined)("a database that is away", () => {
  it.live(
    "concerns its executions only, at the start and later",
    () =>
      Effect.gen(function* () {
        const databases = yield* onServer("away")
        yield* divided(databases)
        const network = yield* Network.make(url ?? "")
        const client = PgClient.layer({ url: Redacted.make(network.url), maxConnections: 8 })
        network.close(true)
        const seen = { north: databases.north, south: { ...databases.south, client } }
        const repo = yield* opened(SqlSagaExecutionRepository.layerSharded(seen, { statementTimeout: "1 second" }))
        const claim = repo.claim({ owner: "one", limit: 10, now: Date.now(), leaseMillis: 60_000, holds: [] })
        const here = yield* repo.store(Sample.started(Sample.created({ uuid: uuidIn("north") })))
        const there = Sample.started(Sample.created({ uuid: uuidIn("south") }))
        const isAway = Effect.map(Effect.flip(repo.store(there)), (error) =>
          assert.deepInclude(error, { _tag: "SagaExecutionRepositoryError", reason: "unavailable" })
        )
        yield* isAway
        assert.strictEqual((yield* repo.load(here.uuid)).revision, 1)
        assert.strictEqual((yield* claim).executions.length, 1)
        const { items, missing } = yield* repo.find({})
        assert.deepStrictEqual([items.map(({ uuid }) => uuid), missing], [[here.uuid], ["south"]])
        assert.strictEqual((yield* Effect.flip(repo.census))._tag, "SagaExecutionRepositoryError")
        network.close(false)
        // It is opened when something is asked of it.
        yield* Effect.retry(repo.store(there), {
          while: ({ _tag }) => _tag === "SagaExecutionRepositoryError",
          schedule: Schedule.spaced("50 millis")
        })
        assert.isTrue((yield* claim).executions.some(({ uuid }) => uuid === there.uuid))
        assert.strictEqual((yield* repo.find({})).items.length, 2)
        network.close(true)
        assert.deepStrictEqual((yield* repo.find({})).missing, ["south"])
        assert.strictEqual((yield* claim).lapsed, false)
        assert.strictEqual((yield* repo.load(here.uuid)).revision, 1)
        assert.strictEqual((yield* Effect.flip(repo.load(there.uuid)))._tag, "SagaExecutionRepositoryError")
      }).pipe(Effect.scoped),
    60_000
  )

  it.live(
    "the layer fails where none is there",
    () =>
      Effect.gen(function* () {
        const client = PgClient.layer({ url: Redacted.make("postgres://postgres@127.0.0.1:1/none") })
        const failed = yield* Effect.flip(Layer.build(SqlSagaExecutionRepository.layerSharded({ only: { client } })))
        assert.strictEqual(failed._tag, "SqlError")
      }).pipe(Effect.scoped),
    30_000
  )
})
