/** A bucket that moves to another database while sagas run in it; the mover is stopped at each point of its work. */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Redacted, Schedule, Schema } from "effect"
import { SqlClient } from "effect/sql"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  Signal,
  TransactionCommitter
} from "effect-saga"
import { FaultPoint } from "effect-saga/internals"
import { SqlBuckets, SqlSagaExecutionRepository } from "effect-saga/sql"
import { bucketOf, bucketOfKey, inBucket } from "../../../src/ports/Buckets.ts"
import * as Sample from "../../../src/testing/SampleExecutions.ts"
import { onPglites, onServer, places, repository, type Two } from "../../fixtures/manyDatabases.ts"
import { url } from "../../fixtures/postgres.ts"

const bucket = 7

/** Keys of the bucket, none of which is given twice. */
const keys = function* () {
  for (let n = 0; ; n++) if (bucketOfKey(`job-${n}`) === bucket) yield `job-${n}`
}

const Go = Signal.make("go", { payload: Schema.Int })

/** How often each step has run. */
const makeJob = () => {
  const runs = new Map<string, number>()
  const ran = (step: string) => Effect.sync(() => void runs.set(step, (runs.get(step) ?? 0) + 1))
  const Job = Saga.make("Job", { context: { key: Schema.String } }).pipe(
    Saga.local("first", { execute: ({ key }) => ran(`${key} first`) }),
    Saga.waitFor("go", { signal: Go }),
    Saga.local("second", { execute: ({ key }) => ran(`${key} second`) }),
    Saga.local("third", { execute: ({ key }) => ran(`${key} third`) }),
    Saga.commit
  )
  return { Job, runs }
}

const managed = (job: ReturnType<typeof makeJob>["Job"], two: Two) =>
  Layer.fresh(
    SagaManager.layer([job]).pipe(
      Layer.provideMerge(repository(two)),
      Layer.provide([
        SagaConfig.layer({ service: "jobs", recoveryInterval: "100 millis" }),
        Broker.layerMemory,
        TransactionCommitter.layerNone
      ])
    )
  )

/** Whom the store refuses for now tries again. */
const patiently = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.retry(effect, {
    while: ({ _tag }) => _tag === "SagaExecutionRepositoryError",
    schedule: Schedule.spaced("20 millis")
  })

/** Stops the mover at the point of this number. Gives how many it came to. */
const stoppedAt = Effect.fnUntraced(function* <E>(at: number, move: Effect.Effect<void, E>) {
  let points = 0
  const handler = () => Effect.suspend(() => (points++ === at ? Effect.die("stopped") : Effect.void))
  const exit = yield* Effect.exit(Effect.provideService(move, FaultPoint, handler))
  return { points, exit }
})

/** Rows of the bucket in the tables of a database. */
const rowsIn = ({ client, schema = "public" }: Two["north"]) =>
  Effect.scoped(
    Effect.gen(function* () {
      const sql = Context.get(yield* Layer.build(client), SqlClient.SqlClient)
      let count = 0
      for (const table of ["saga_execution", "saga_event", "saga_inbox", "saga_name"]) {
        const rows =
          yield* sql`select from ${sql(`${schema}.${table}`)} where get_byte(uuid_send(uuid), 15) = ${bucket}`
        count += rows.length
      }
      return count
    })
  )

for (const { name, two } of places("move")) {
  describe(`a bucket that moves between ${name}`, () => {
    it.live(
      "loses nothing and does nothing twice, wherever the mover is stopped",
      () =>
        Effect.gen(function* () {
          const databases = yield* two
          yield* SqlBuckets.begin(databases, "north")
          const { Job, runs } = makeJob()
          const one = yield* Layer.build(managed(Job, databases))
          const other = yield* Layer.build(managed(Job, databases))
          const { find } = Context.get(one, SagaExecutionRepository.SagaExecutionRepository)
          const all = keys()
          const used: Array<string> = []
          const next = (count: number) => {
            const some = Array.from({ length: count }, () => String(all.next().value))
            used.push(...some)
            return some
          }
          const run = (key: string, process: typeof one) =>
            Effect.forkScoped(
              Effect.provide(patiently(SagaManager.run(Job, { context: { key }, startKey: key })), process)
            )
          const go = (key: string, process: typeof one) =>
            Effect.provide(
              Effect.retry(SagaManager.signal(Go, { startKey: key, payload: 1 }), {
                // It is not there yet, or its database refuses it for now.
                while: ({ _tag }) => _tag === "SagaExecutionRepositoryError" || _tag === "SagaExecutionNotFound",
                schedule: Schedule.spaced("20 millis")
              }),
              process
            )
          let [from, to]: ["north" | "south", "north" | "south"] = ["north", "south"]
          for (let at = 0; ; at++) {
            const move = SqlBuckets.move(databases, { from, to, buckets: [bucket] })
            const before = next(3)
            const early = yield* Effect.forEach(before, (key) => run(key, one))
            // In the middle of its way some go on, and others begin.
            const signals = yield* Effect.forkScoped(
              Effect.forEach(before, (key) => go(key, other), { concurrency: "unbounded" })
            )
            const { exit, points } = yield* stoppedAt(at, move)
            const late = next(2)
            const runners = yield* Effect.forEach(late, (key) => run(key, other))
            const later = yield* Effect.forkScoped(
              Effect.forEach(late, (key) => go(key, one), { concurrency: "unbounded" })
            )
            const listed = (yield* find({}, { limit: 1_000 })).items.map(({ uuid }) => uuid)
            assert.strictEqual(new Set(listed).size, listed.length, `point ${at}`)
            // Another one finishes what the first one has begun.
            if (Exit.isFailure(exit)) assert.isTrue(Cause.hasDies(exit.cause), String(exit.cause))
            if (Exit.isFailure(exit)) yield* move
            yield* Fiber.join(signals)
            yield* Fiber.join(later)
            for (const fiber of [...early, ...runners]) {
              const execution = yield* Fiber.join(fiber)
              assert.strictEqual(execution.status, "finished", `point ${at}`)
              assert.strictEqual(bucketOf(execution.uuid), bucket)
            }
            assert.strictEqual(yield* rowsIn(databases[from]), 0, `point ${at}`)
            const served = yield* SqlBuckets.served(databases)
            assert.deepStrictEqual([served[to]?.includes(bucket), served[from]?.includes(bucket)], [true, false])
            ;[from, to] = [to, from]
            if (Exit.isSuccess(exit)) {
              assert.strictEqual(points, 10)
              break
            }
          }
          // I10: each key is of one execution still, wherever it has been.
          const executions = (yield* find({}, { limit: 1_000 })).items
          assert.deepStrictEqual(executions.map(({ startKey }) => startKey ?? "").sort(), [...used].sort())
          for (const key of used)
            for (const step of ["first", "second", "third"])
              assert.strictEqual(runs.get(`${key} ${step}`), 1, `${key} ${step}`)
          const again = SagaManager.run(Job, { context: { key: used[0]! }, startKey: used[0]! })
          assert.strictEqual(
            (yield* Effect.provide(again, other)).uuid,
            executions.find(({ startKey }) => startKey === used[0])?.uuid
          )
        }).pipe(Effect.scoped),
      120_000
    )
  })
}

// Needs a server: a PGlite has one session, so no write is under way while another one begins.
describe.runIf(url !== undefined)("a write that has begun before its bucket leaves", () => {
  it.live(
    "is waited for, and goes along",
    () =>
      Effect.gen(function* () {
        const databases = yield* onServer("begun")
        yield* SqlBuckets.begin(databases, "north")
        const { client, ...tables } = databases.north
        const north = Layer.provideMerge(SqlSagaExecutionRepository.layer(tables), client)
        const context = yield* Layer.build(north)
        const { atomically, store } = Context.get(context, SagaExecutionRepository.SagaExecutionRepository)
        const sql = Context.get(context, SqlClient.SqlClient)
        const execution = Sample.created({ uuid: inBucket(Sample.created().uuid, bucket) })
        const [written, commit] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const writer = yield* Effect.forkChild(
          atomically(
            Effect.andThen(
              store(execution),
              Effect.andThen(Deferred.succeed(written, undefined), Deferred.await(commit))
            )
          )
        )
        yield* Deferred.await(written)
        const mover = yield* Effect.forkChild(
          SqlBuckets.move(databases, { from: "north", to: "south", buckets: [bucket] })
        )
        const waits = sql`select from pg_stat_activity where wait_event_type = 'Lock' and query like ${`%${tables.schema}%`}`
        while (mover.pollUnsafe() === undefined && (yield* waits).length === 0) yield* Effect.sleep("10 millis")
        yield* Deferred.succeed(commit, undefined)
        yield* Fiber.join(writer)
        yield* Fiber.join(mover)
        assert.strictEqual(yield* rowsIn(databases.north), 0)
        const over = Context.get(
          yield* Layer.build(repository(databases)),
          SagaExecutionRepository.SagaExecutionRepository
        )
        assert.strictEqual((yield* over.load(execution.uuid)).revision, 1)
        // The database itself refuses what comes later, from a process that knows nothing of buckets.
        const late = yield* Effect.flip(store(Sample.started(yield* over.load(execution.uuid))))
        assert.deepInclude(late, { _tag: "SagaExecutionRepositoryError", reason: "unavailable" })
      }).pipe(Effect.scoped),
    30_000
  )
})

describe("a bucket that cannot move", () => {
  it.live(
    "says why: it is elsewhere, or has executions whose key is of another bucket than their uuid, from before",
    () =>
      Effect.gen(function* () {
        const databases = yield* onPglites
        const { client, ...tables } = databases.north
        // The program has had one database until now.
        const former = Context.get(
          yield* Layer.build(Layer.provide(SqlSagaExecutionRepository.layer(tables), client)),
          SagaExecutionRepository.SagaExecutionRepository
        )
        const given = keys()
        const startKey = String(given.next().value)
        const stored = yield* former.store(Sample.created({ startKey, uuid: inBucket(Sample.callerUuid(), 8) }))
        yield* SqlBuckets.begin(databases, "north")
        const stays = (move: SqlBuckets.Move, why: string) =>
          Effect.map(Effect.flip(SqlBuckets.move(databases, move)), (error) =>
            assert.deepInclude(error, { _tag: "SagaBucketStays", why })
          )
        yield* stays({ from: "north", to: "south", buckets: [bucket] }, "mixed")
        yield* stays({ from: "north", to: "south", buckets: [8] }, "mixed")
        yield* SqlBuckets.move(databases, { from: "north", to: "south", buckets: [9] })
        yield* SqlBuckets.move(databases, { from: "south", to: "north", buckets: [9] })
        const west = { client: Layer.succeedContext(yield* Layer.build(databases.south.client)), schema: "west" }
        const error = yield* Effect.flip(
          SqlBuckets.move({ ...databases, west }, { from: "south", to: "west", buckets: [9] })
        )
        assert.deepInclude(error, { _tag: "SagaBucketStays", why: "elsewhere" })
        yield* former.delete(stored)
        // What is left of it is the used name, which goes with the bucket of the key.
        yield* SqlBuckets.move(databases, { from: "north", to: "south", buckets: [bucket] })
        const { store } = Context.get(
          yield* Layer.build(repository(databases)),
          SagaExecutionRepository.SagaExecutionRepository
        )
        const again = yield* Effect.flip(store(Sample.created({ startKey })))
        assert.deepInclude(again, { _tag: "SagaExecutionRetired", uuid: stored.uuid })
        // Somebody starts another one at the last moment: the bucket does not leave after all.
        yield* SqlBuckets.move(databases, { from: "south", to: "north", buckets: [bucket] })
        const atLast = former.store(
          Sample.created({ startKey: String(given.next().value), uuid: inBucket(Sample.callerUuid(), 8) })
        )
        let isFirst = true
        const handler = () =>
          Effect.suspend(() => {
            const begins = isFirst
            isFirst = false
            return begins ? Effect.asVoid(Effect.orDie(atLast)) : Effect.void
          })
        const moved = SqlBuckets.move(databases, { from: "north", to: "south", buckets: [bucket] })
        const stayed = yield* Effect.flip(Effect.provideService(moved, FaultPoint, handler))
        assert.deepInclude(stayed, { _tag: "SagaBucketStays", why: "mixed" })
        assert.isTrue((yield* SqlBuckets.served(databases)).north?.includes(bucket))
      }).pipe(Effect.scoped),
    30_000
  )

  it.live(
    "says that a database stands there under two names, and stays where it is; nobody opens such two",
    () =>
      Effect.gen(function* () {
        const { north } = yield* onPglites
        const shared = { client: Layer.succeedContext(yield* Layer.build(north.client)) }
        const twice = { north: shared, south: shared }
        yield* SqlBuckets.begin(twice, "north")
        const same = (setting: string) => ({
          _tag: "InvalidSetting" as const,
          setting,
          issue: "south is the same database as north, or a copy of it"
        })
        const moving = SqlBuckets.move(twice, { from: "north", to: "south", buckets: [bucket] })
        const refused = yield* Effect.flip(Effect.timeout(moving, "10 seconds"))
        assert.deepInclude(refused, same("SqlBuckets.to"))
        assert.strictEqual((yield* SqlBuckets.served({ north: shared })).north?.length, 256)
        assert.deepInclude(yield* Effect.flip(SqlBuckets.list(twice)), same("SqlBuckets.databases"))
        const opening = Effect.flip(Layer.build(repository(twice)))
        assert.deepInclude(yield* opening, same("SqlSagaExecutionRepository.databases"))
      }).pipe(Effect.scoped),
    30_000
  )
})

describe.runIf(url !== undefined)("where buckets are", () => {
  it.live("a database of a wrong name is shown as one that does not answer", () =>
    Effect.gen(function* () {
      const { north } = yield* onServer("named")
      const wrong = new URL(url!)
      wrong.pathname = "/nobody_has_this_name"
      const south = { client: PgClient.layer({ url: Redacted.make(wrong.href) }) }
      yield* SqlBuckets.begin({ north }, "north")
      const { databases } = yield* SqlBuckets.list({ north, south })
      assert.deepStrictEqual(
        databases.map(({ buckets, database }) => [database, buckets?.length]),
        [
          ["north", 256],
          ["south", undefined]
        ]
      )
    }).pipe(Effect.scoped)
  )
})
