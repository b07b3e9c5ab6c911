/** The statement that admits from a queue decides as the pure function does, whatever waits and runs: generated queues. */

import process from "node:process"
import { assert, layer as withLayer } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { SqlClient } from "effect/sql"
import { postgres } from "../../../src/adapters/sql/SagaExecutionStatements.ts"
import * as SqlConnections from "../../../src/adapters/sql/SqlConnections.ts"
import * as SqlTables from "../../../src/adapters/sql/SqlTables.ts"
import * as QueueAdmission from "../../../src/ports/QueueAdmission.ts"
import * as Uuid from "../../../src/wire/Uuid.ts"
import { below, type Chance, happens, pick } from "../../execution/rules/chance.ts"
import { databases, schemaOf } from "../../fixtures/postgres.ts"
import { limitsOf, placesOf } from "../../fixtures/queueStates.ts"

interface Row extends Omit<QueueAdmission.Queued, "status"> {
  /** Undefined: the execution has no place, and wants none. */
  readonly status: QueueAdmission.PlaceStatus | undefined
  readonly owner: string | null
  readonly kind: string
}

/** Tables of their own, and executions in them. */
const using = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const schema = schemaOf("admission")
  yield* Effect.addFinalizer(() => Effect.ignore(sql`drop schema if exists ${sql(schema)} cascade`))
  const migrations = { module: "m", list: "saga_execution_migration", migrations: SqlTables.executions }
  yield* SqlTables.setUp({ schema }, yield* SqlConnections.make("SqlSagaExecutionRepository", {}), migrations)
  const statements = postgres(sql, { of: (table) => `${schema}.${table}`, space: schema, schema })
  const put = Effect.fnUntraced(function* (queue: string, rows: ReadonlyArray<Row>) {
    const given = sql`json_to_recordset(${JSON.stringify(rows)}::json) as r (uuid uuid, owner text, key text,
      priority int, since bigint, status text, kind text)`
    yield* sql`insert into ${sql(`${schema}.saga_execution`)} (uuid, saga, fingerprint, status, direction, commit_state,
        parked, revision, settled, claimable, created_at, updated_at, owner, wake_at)
      select uuid, 's', kind, 'created', 'forward', 'none', false, 1, false, true, 1, 1, owner,
        case when owner is not null then 0 end from ${given}`
    yield* sql`insert into ${sql(`${schema}.saga_queued`)} (uuid, queue, key, priority, since, place, kind)
      select uuid, ${queue}, key, priority, since, status, kind from ${given} where status is not null`
    return rows.map(({ uuid }) => uuid)
  })
  return { sql, schema, statements, put }
})

for (const { layer, name } of databases("admission")) {
  const rounds = Number(process.env.EFFORT ?? 1) * (name === "Postgres" ? 100 : 40)
  withLayer(layer, { timeout: "2 minutes", excludeTestServices: true })(`admission: ${name}`, (it) => {
    it.effect("a database admits those that the rules admit", () =>
      Effect.gen(function* () {
        const { put, schema, sql, statements } = yield* using
        const seed = Number(process.env.SEED ?? 1)
        const random: Chance = { state: seed }
        for (let round = 0; round < rounds; round++) {
          const queue = `q${round}`
          const limits = limitsOf(random)
          let places = placesOf(random, queue, (since) => Uuid.v7(since))
          let memory = QueueAdmission.noMemory
          // Nobody here knows `h`.
          const fingerprints = new Map(places.map(({ uuid }) => [uuid, pick(random, ["f", "f", "g", "h"] as const)]))
          const busy = new Set(places.filter(() => happens(random, 0.2)).map(({ uuid }) => uuid))
          const isKnown = ({ uuid }: QueueAdmission.Queued) => fingerprints.get(uuid) !== "h"
          yield* statements.declareQueue(queue, limits)
          yield* put(
            queue,
            places.map((place) => {
              const { uuid } = place
              return { ...place, owner: busy.has(uuid) ? "b" : null, kind: fingerprints.get(uuid)! }
            })
          )
          // Places are given back meanwhile. Tokens do not come within the time of a test.
          for (let turn = 0; turn < 3; turn++) {
            const most = below(random, 10)
            const wanted = places.filter((place) => place.status === "held" || isKnown(place))
            const expected = QueueAdmission.admit(limits, memory, wanted, most, 0)
            const { count, given: taken } = yield* statements.admit({
              queue,
              most,
              owner: "a",
              except: [],
              fingerprints: ["f", "g"],
              at: 1
            })
            const held = yield* sql<{ uuid: string }>`select uuid from ${sql(`${schema}.saga_queued`)}
              where queue = ${queue} and place = 'held'`
            memory = expected.memory
            const admitted = new Set(expected.admitted.map(({ uuid }) => uuid))
            places = places.map((place) => (admitted.has(place.uuid) ? { ...place, status: "held" } : place))
            assert.sameMembers(
              held.map(({ uuid }) => uuid),
              places.filter(({ status }) => status === "held").map(({ uuid }) => uuid),
              `SEED=${seed}, round ${round}, turn ${turn}: ${JSON.stringify({ limits, most })}`
            )
            assert.strictEqual(count, admitted.size)
            const given = taken.map(({ uuid }) => uuid)
            assert.sameMembers(
              given,
              [...admitted].filter((uuid) => !busy.has(uuid))
            )
            const owned = yield* sql<{ uuid: string }>`select uuid from ${sql(`${schema}.saga_execution`)}
              where owner = 'a' and wake_at = 0 and inbox = 1`
            assert.includeMembers(
              owned.map(({ uuid }) => uuid),
              given
            )
            const gone = places.filter(({ status }) => status === "held" && happens(random, 0.5))
            places = places.filter((place) => !gone.includes(place))
            yield* sql`delete from ${sql(`${schema}.saga_execution`)} where uuid = any(${gone.map(({ uuid }) => uuid)}::uuid[])`
          }
        }
      })
    )
    it.effect("a database gives as many places again as the rules do", () =>
      Effect.gen(function* () {
        const { put, statements } = yield* using
        const seed = Number(process.env.SEED ?? 1)
        const random: Chance = { state: seed }
        let some = 0
        for (let round = 0; round < rounds; round++) {
          const queue = `q${round}`
          const limits = limitsOf(random)
          const places = placesOf(random, queue, (since) => Uuid.v7(since))
          const resting = placesOf(random, queue, (since) => Uuid.v7(since)).slice(0, 8)
          const elsewhere = new Set(resting.filter(() => happens(random, 0.2)).map(({ uuid }) => uuid))
          yield* statements.declareQueue(queue, limits)
          yield* put(
            queue,
            places.map((place) => ({ ...place, owner: null, kind: "f" }))
          )
          yield* put(
            queue,
            resting.map((place) => {
              const owner = elsewhere.has(place.uuid) ? "b" : happens(random, 0.5) ? "a" : null
              return { ...place, status: undefined, owner, kind: "f" }
            })
          )
          const wanted = resting.map(({ status: _, ...place }) => ({
            ...place,
            fingerprint: "f",
            revision: 1,
            owner: "a"
          }))
          const { contended, given } = yield* statements.regain(wanted)
          const [taken, why] = [[...places], `SEED=${seed}, round ${round}: ${JSON.stringify(limits)}`]
          for (const place of resting.filter(({ uuid }) => given.includes(uuid))) {
            assert.isTrue(QueueAdmission.isFree(limits, taken, place.key), why)
            taken.push({ ...place, status: "held" })
          }
          // An execution of another instance takes no part, and may have stood before others in the line.
          if (elsewhere.size === 0)
            for (const { key, uuid } of resting)
              assert.isTrue(given.includes(uuid) || !QueueAdmission.isFree(limits, taken, key), why)
          assert.deepStrictEqual([contended, given.filter((uuid) => elsewhere.has(uuid))], [false, []])
          some += given.length
        }
        if (process.env.SEED === undefined) assert.isAbove(some, 20)
      })
    )

    if (name === "Postgres")
      it.effect("C13 an admission that has begun before another one has ended admits nobody", () =>
        Effect.gen(function* () {
          const { put, schema, sql, statements } = yield* using
          yield* statements.declareQueue("q", { concurrency: 2, maxQueued: 100 })
          const uuids = Array.from({ length: 4 }, (_, i) => Uuid.v7(i))
          const waiting = { queue: "q", priority: 0, since: 1, status: "new", owner: null, kind: "f" } as const
          yield* put(
            "q",
            uuids.map((uuid) => ({ ...waiting, uuid, key: uuid }))
          )
          const [resting = ""] = yield* put("q", [{ ...waiting, uuid: Uuid.v7(9), key: "", status: undefined }])
          // Who reads the queue by this view sees the database as it was when the statement began, and stops there at a lock.
          const lock = 741_000_000 + (process.pid % 1_000_000)
          yield* sql.unsafe(`create view ${schema}.slow_queue as select * from ${schema}.saga_queue
          where pg_advisory_xact_lock_shared(${lock})::text is not null`)
          const of = (table: string) => `${schema}.${table === "saga_queue" ? "slow_queue" : table}`
          const slow = postgres(sql, { of, space: schema, schema })
          const [isLocked, mayGo] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
          const holding = Effect.andThen(
            sql`select pg_advisory_xact_lock(${lock})::text`,
            Effect.andThen(Deferred.succeed(isLocked, undefined), Deferred.await(mayGo))
          )
          const holder = yield* Effect.forkChild(sql.withTransaction(holding))
          yield* Deferred.await(isLocked)
          const query = { queue: "q", most: 10, owner: "a", except: [], fingerprints: ["f"], at: 1 }
          const late = yield* Effect.forkChild(slow.admit(query))
          const wanted = { ...waiting, uuid: resting, key: "", fingerprint: "f", revision: 1, owner: "a" }
          const lateAgain = yield* Effect.forkChild(slow.regain([wanted]))
          const waits = sql<{ n: number }>`select count(*)::int as n from pg_locks
          where locktype = 'advisory' and not granted and objid = ${lock}::int::oid`
          yield* Effect.repeat(waits, { until: ([row]) => row?.n === 2 })
          assert.strictEqual((yield* statements.admit({ ...query, owner: "b" })).count, 2)
          yield* Deferred.succeed(mayGo, undefined)
          yield* Fiber.join(holder)
          assert.deepStrictEqual(yield* Fiber.join(late), { count: 0, given: [], contended: true })
          assert.deepStrictEqual(yield* Fiber.join(lateAgain), { given: [], contended: true })
          const held = yield* sql`select from ${sql(`${schema}.saga_queued`)} where place = 'held'`
          assert.strictEqual(held.length, 2)
        })
      )
  })
}
