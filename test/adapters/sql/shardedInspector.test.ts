/** One inspector over two databases: its contract, what it puts together, and what a database that is away concerns. */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Logger, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { AuthorizationError, SqlError } from "effect/sql/SqlError"
import { DeadLetters, Inspector, ParticipantStore, SagaExecutionRepository } from "effect-saga"
import {
  SqlBuckets,
  SqlDeadLetters,
  SqlInspector,
  SqlParticipantStore,
  SqlSagaExecutionRepository
} from "effect-saga/sql"
import { InspectorSuite } from "effect-saga/testing/suites"
import { bucketOf, bucketOfKey } from "../../../src/ports/Buckets.ts"
import * as Sample from "../../../src/testing/SampleExecutions.ts"
import {
  away,
  divided,
  keyIn,
  onPglites,
  onServer,
  places,
  repository,
  type Two,
  uuidIn,
  withoutRights
} from "../../fixtures/manyDatabases.ts"
import { url } from "../../fixtures/postgres.ts"
import * as Network from "../../fixtures/silentNetwork.ts"

/** The records of participants are in one of them. */
const participants = ({ south: { client, ...tables } }: Two) => Layer.provide(SqlParticipantStore.layer(tables), client)

for (const { name, two } of places("inspected")) {
  const layer = Layer.unwrap(
    Effect.map(Effect.tap(two, divided), (two) =>
      Layer.mergeAll(SqlInspector.layerSharded(two), repository(two), participants(two))
    )
  )
  InspectorSuite.suite(`over ${name}`, layer, { timeout: "2 minutes", excludeTestServices: true })
}

const inspectorOf = (
  databases: SqlSagaExecutionRepository.Databases<unknown>,
  options?: SqlInspector.ShardedInspectorOptions
) =>
  Effect.map(Layer.build(Layer.fresh(SqlInspector.layerSharded(databases, options))), (context) =>
    Context.get(context, Inspector.Inspector)
  )

const repositoryOf = (two: Two) =>
  Effect.map(Layer.build(Layer.fresh(repository(two))), (context) =>
    Context.get(context, SagaExecutionRepository.SagaExecutionRepository)
  )

/** A database that lets this program not in. */
const refused: Layer.Layer<SqlClient.SqlClient, unknown> = Layer.effectContext(
  Effect.fail(new SqlError({ reason: new AuthorizationError({ cause: new Error("no such role") }) }))
)

const who = { actor: "anna", reason: "the customer has called", wait: 0 }

for (const { name, two } of places("inspected_together")) {
  describe(`the inspector over ${name}`, () => {
    it.live(
      "has one list in the order of all, with cursors that lead through both",
      () =>
        Effect.gen(function* () {
          const databases = yield* two
          yield* divided(databases)
          const { store } = yield* repositoryOf(databases)
          const { find } = yield* inspectorOf(databases)
          const stored: Array<string> = []
          for (let n = 0; n < 9; n++) {
            const uuid = uuidIn(n % 3 === 0 ? "north" : "south")
            yield* store(Sample.created({ uuid, at: Sample.time + n }))
            stored.unshift(uuid)
          }
          const found: Array<string> = []
          let after: string | undefined
          do {
            const page: Inspector.Page = yield* find({}, { limit: 2, ...(after !== undefined && { after }) })
            found.push(...page.items.map(({ uuid }) => uuid))
            after = page.next
          } while (after !== undefined)
          assert.deepStrictEqual(found, stored)
          assert.deepInclude(yield* Effect.flip(find({}, { after: "nonsense" })), { reason: "rejected" })
        }).pipe(Effect.scoped),
      30_000
    )

    it.live(
      "adds up groups, and names a process once that has a lease in each",
      () =>
        Effect.gen(function* () {
          const databases = yield* two
          yield* divided(databases)
          const { claim, store } = yield* repositoryOf(databases)
          const inspector = yield* inspectorOf(databases)
          const saga = Sample.uniqueName()
          for (const [n, place] of (["north", "south", "south"] as const).entries()) {
            const uuid = uuidIn(place)
            let execution = yield* store(Sample.started(Sample.created({ saga, uuid, at: Sample.time + n })))
            for (const step of [Sample.paused, Sample.refused, Sample.parked])
              execution = yield* store(step(execution), { wakeAt: Sample.time })
          }
          const [group, ...others] = yield* inspector.parked
          assert.deepStrictEqual(others, [])
          assert.deepInclude(group, { saga, count: 3, oldest: Sample.time })
          assert.strictEqual(group?.places.length, 1)
          assert.deepStrictEqual(
            (yield* inspector.count()).map(({ count, oldest }) => [count, oldest]),
            [[3, Sample.time]]
          )
          assert.deepStrictEqual(
            (yield* inspector.census).map(({ count }) => count),
            [3]
          )
          for (const place of ["north", "south"] as const)
            yield* store(Sample.started(Sample.created({ uuid: uuidIn(place) })))
          yield* claim({ owner: "one", limit: 10, now: Date.now(), leaseMillis: 60_000, holds: [] })
          const [process, ...more] = yield* inspector.processes
          assert.deepStrictEqual(more, [])
          assert.deepInclude(process, { id: "one", isAlive: true, working: 2 })
        }).pipe(Effect.scoped),
      30_000
    )

    it.live(
      "finds an execution and puts an action where the bucket is, also when it has moved since",
      () =>
        Effect.gen(function* () {
          const databases = yield* two
          yield* divided(databases)
          const { store } = yield* repositoryOf(databases)
          const { act, load } = yield* inspectorOf(databases)
          const startKey = keyIn("north")
          const { uuid } = yield* store(Sample.started(Sample.created({ startKey })))
          assert.strictEqual((yield* load(startKey)).summary.uuid, uuid)
          const buckets = [bucketOf(uuid)]
          yield* SqlBuckets.move(databases, { from: "north", to: "south", buckets })
          for (const target of [uuid, startKey]) assert.strictEqual((yield* load(target)).summary.uuid, uuid)
          assert.deepStrictEqual(yield* act(startKey, { _tag: "Cancel" }, who), { _tag: "Waiting", inbox: 1 })
          assert.strictEqual((yield* load(uuid)).inbox.length, 1)
          yield* SqlBuckets.move(databases, { from: "south", to: "north", buckets })
          // The first one has gone along.
          assert.deepStrictEqual(yield* act(uuid, { _tag: "Cancel" }, who), { _tag: "Waiting", inbox: 2 })
          const nobody = yield* Effect.flip(load(uuidIn("south")))
          assert.strictEqual(nobody._tag, "SagaExecutionNotFound")
        }).pipe(Effect.scoped),
      30_000
    )

    it.live(
      "sees participants and dead letters of each, and decides in doubt where the participant is",
      () =>
        Effect.gen(function* () {
          const databases = yield* two
          yield* divided(databases)
          const { commands, deadLetters, decideInDoubt, inDoubt } = yield* inspectorOf(databases)
          const uuid = uuidIn("north")
          const decided = { service: "payments", uuid, decision: "commit" } as const
          const without = yield* Effect.flip(decideInDoubt(decided, who))
          assert.deepInclude(without, { reason: "unmigrated" })
          const transactions = [uuid]
          const { unit } = Context.get(yield* Layer.build(participants(databases)), ParticipantStore.ParticipantStore)
          yield* unit({ service: "payments", transactions, messages: [] }, ({ save }) =>
            save({
              transactions: [
                { uuid, coordinator: "orders", status: "reserved", notAfter: 9e12, heuristic: false, updatedAt: 10 }
              ]
            })
          )
          for (const [n, { client, ...tables }] of [databases.north, databases.south].entries()) {
            const letters = Layer.provide(SqlDeadLetters.layer(tables), client)
            yield* Effect.provide(
              DeadLetters.DeadLetters.use(({ record }) =>
                record({ receivedAt: n, topic: `letter ${n}`, sender: "x", reason: "unreadable", size: 1, sha256: "" })
              ),
              letters
            )
          }
          assert.deepStrictEqual(
            (yield* inDoubt(0)).map(({ service }) => service),
            ["payments"]
          )
          assert.deepStrictEqual(yield* commands, [])
          assert.deepStrictEqual(
            (yield* deadLetters()).map(({ topic }) => topic),
            ["letter 1", "letter 0"]
          )
          assert.strictEqual((yield* deadLetters(1)).length, 1)
          assert.deepStrictEqual(yield* decideInDoubt(decided, who), { _tag: "Waiting", inbox: 1 })
          assert.deepInclude(yield* decideInDoubt({ ...decided, uuid: uuidIn("south") }, who), { why: "NotInDoubt" })
        }).pipe(Effect.scoped),
      30_000
    )
  })
}

describe("the inspector over databases of which one is away", () => {
  it.live(
    "shows what the others have and names it, and fails where a part would be wrong",
    () =>
      Effect.gen(function* () {
        const databases = yield* onPglites
        yield* divided(databases)
        const { store } = yield* repositoryOf(databases)
        const saga = Sample.uniqueName()
        const [here, there] = [uuidIn("north"), uuidIn("south")]
        for (const uuid of [here, there]) yield* store(Sample.started(Sample.created({ saga, uuid })))
        const inspector = yield* inspectorOf({ north: databases.north, south: away })
        const { items, missing } = yield* inspector.find({})
        assert.deepStrictEqual([items.map(({ uuid }) => uuid), missing], [[here], ["south"]])
        assert.deepStrictEqual(yield* inspector.missing, ["south"])
        assert.strictEqual((yield* inspector.count(saga))[0]?.count, 1)
        assert.strictEqual((yield* inspector.load(here)).summary.uuid, here)
        const isAway = { _tag: "InspectorError", reason: "unavailable", databases: ["south"] } as const
        assert.deepInclude(yield* Effect.flip(inspector.load(there)), isAway)
        assert.deepInclude(yield* Effect.flip(inspector.find({ startKey: keyIn("south") })), isAway)
        assert.deepInclude(yield* Effect.flip(inspector.act(there, { _tag: "Cancel" }, who)), isAway)
        assert.deepInclude(yield* Effect.flip(inspector.census), isAway)
        const doubt = { service: "payments", uuid: there, decision: "commit" } as const
        assert.deepInclude(yield* Effect.flip(inspector.decideInDoubt(doubt, who)), isAway)
      }).pipe(Effect.scoped),
    30_000
  )

  it.live(
    "shows what the others have where one gives the role no rights, and says so",
    () =>
      Effect.gen(function* () {
        const databases = yield* onPglites
        yield* divided(databases)
        const { store } = yield* repositoryOf(databases)
        const [here, there] = [uuidIn("north"), uuidIn("south")]
        for (const uuid of [here, there]) yield* store(Sample.started(Sample.created({ uuid })))
        const { census, count, find, load, missing, refusals } = yield* inspectorOf(databases)
        const told = Effect.all([missing, refusals ?? Effect.succeed({})])
        assert.deepStrictEqual(yield* told, [[], {}])
        yield* withoutRights(databases.south)
        const lacking = { _tag: "InspectorError", reason: "unavailable", databases: ["south"] } as const
        // The rows are refused, and after a second also the question for buckets.
        for (const _ of [1, 2]) {
          assert.deepStrictEqual(
            (yield* find({})).items.map(({ uuid }) => uuid),
            [here]
          )
          assert.strictEqual((yield* count())[0]?.count, 1)
          assert.deepStrictEqual(yield* told, [["south"], { south: "42501" }])
          for (const failure of [yield* Effect.flip(load(there)), yield* Effect.flip(census)]) {
            assert.deepInclude(failure, lacking)
            assert.propertyVal((failure as Inspector.InspectorError).cause, "code", "42501")
          }
          yield* Effect.sleep("1100 millis")
        }
        yield* Effect.provide(
          SqlClient.SqlClient.use((sql) => sql`reset role`),
          databases.south.client
        )
        yield* Effect.sleep("1100 millis")
        for (const question of [find({}), count(), census]) yield* question
        assert.deepStrictEqual(yield* told, [[], {}])
      }).pipe(Effect.scoped),
    30_000
  )

  it.live(
    "says which database has no tables, and that nobody has a bucket before anybody has begun",
    () =>
      Effect.gen(function* () {
        const databases = yield* onPglites
        const { north } = databases
        const alone = Layer.build(Layer.provide(SqlSagaExecutionRepository.layer(), north.client))
        const { store } = Context.get(yield* alone, SagaExecutionRepository.SagaExecutionRepository)
        const { uuid } = yield* store(Sample.started(Sample.created()))
        const inspector = yield* inspectorOf(databases)
        assert.deepInclude(yield* Effect.flip(inspector.count()), { reason: "unmigrated", databases: ["south"] })
        yield* Layer.build(Layer.provide(SqlSagaExecutionRepository.layer(), databases.south.client))
        assert.strictEqual((yield* inspector.find({})).items.length, 1)
        assert.deepInclude(yield* Effect.flip(inspector.load(uuid)), { reason: "unavailable", databases: [] })
        yield* SqlBuckets.begin(databases, "north")
        assert.strictEqual((yield* inspector.load(uuid)).summary.uuid, uuid)
      }).pipe(Effect.scoped),
    30_000
  )

  it.live(
    "says once that one cannot be used which was away at the start",
    () =>
      Effect.gen(function* () {
        const databases = yield* onPglites
        yield* divided(databases)
        yield* repositoryOf(databases)
        let tries = 0
        const south = { client: Layer.unwrap(Effect.sync(() => (tries++ === 0 ? away.client : refused))) }
        const logged: Array<unknown> = []
        const logger = Logger.make(({ logLevel, message }) => logLevel === "Error" && logged.push(message))
        yield* Effect.gen(function* () {
          const { missing } = yield* inspectorOf({ north: databases.north, south })
          while (tries < 4) {
            assert.deepStrictEqual(yield* missing, ["south"])
            yield* Effect.sleep("100 millis")
          }
        }).pipe(Effect.provide(Logger.layer([logger])))
        const what = { database: "south", codes: ["AuthorizationError"] }
        assert.deepStrictEqual(logged, [["A database cannot be used: its executions wait", what]])
      }).pipe(Effect.scoped),
    30_000
  )

  it.live.runIf(url !== undefined)(
    "names one that has left a question open, also when it answers again, until it has answered that question",
    () =>
      Effect.gen(function* () {
        const databases = yield* onServer("inspected_slow")
        yield* divided(databases)
        const { store } = yield* repositoryOf(databases)
        yield* store(Sample.started(Sample.created({ startKey: keyIn("south") })))
        const { count, missing, processes } = yield* inspectorOf(databases, { statementTimeout: "300 millis" })
        const sql = Context.get(yield* Layer.build(Layer.fresh(databases.south.client)), SqlClient.SqlClient)
        const isLocked = yield* Deferred.make<void>()
        const isRead = yield* Deferred.make<void>()
        const reader = yield* sql`lock table ${sql(`${databases.south.schema}.saga_execution`)}`.pipe(
          Effect.andThen(Deferred.succeed(isLocked, undefined)),
          Effect.andThen(Deferred.await(isRead)),
          sql.withTransaction,
          Effect.forkChild
        )
        yield* Deferred.await(isLocked)
        assert.deepStrictEqual(yield* count(), [])
        yield* Deferred.succeed(isRead, undefined)
        yield* Fiber.join(reader)
        // The databases are asked for their buckets again.
        yield* Effect.sleep("1500 millis")
        yield* processes
        assert.deepStrictEqual(yield* missing, ["south"])
        assert.strictEqual((yield* count())[0]?.count, 1)
        assert.deepStrictEqual(yield* missing, [])
      }).pipe(Effect.scoped),
    30_000
  )

  it.live.runIf(url !== undefined)(
    "learns that it goes and comes back",
    () =>
      Effect.gen(function* () {
        const databases = yield* onServer("inspected_away")
        yield* divided(databases)
        const network = yield* Network.make(url ?? "")
        const client = PgClient.layer({ url: Redacted.make(network.url), maxConnections: 4 })
        const seen = { north: databases.north, south: { ...databases.south, client } }
        const { store } = yield* repositoryOf(databases)
        const startKey = keyIn("south")
        yield* store(Sample.started(Sample.created({ startKey })))
        assert.strictEqual(bucketOfKey(startKey) % 2, 1)
        const { count, load, missing } = yield* inspectorOf(seen)
        const counted = Effect.map(count(), ([line]) => line?.count ?? 0)
        assert.deepStrictEqual([yield* counted, yield* missing], [1, []])
        network.close(true)
        assert.deepStrictEqual([yield* counted, yield* missing], [0, ["south"]])
        assert.deepInclude(yield* Effect.flip(load(startKey)), { reason: "unavailable", databases: ["south"] })
        network.close(false)
        yield* Effect.sleep("1500 millis")
        assert.deepStrictEqual([yield* counted, yield* missing], [1, []])
      }).pipe(Effect.scoped),
    30_000
  )
})
