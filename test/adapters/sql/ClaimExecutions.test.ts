/** A claim that takes long (SPEC C20, I28). */
import { assert, it, layer as withLayer } from "@effect/vitest"
import { Clock, Context, type Duration, Effect, Layer, Result } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { SagaExecutionRepository } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import * as ClaimExecutions from "../../../src/adapters/sql/ClaimExecutions.ts"
import type { LimitedStatements } from "../../../src/adapters/sql/LimitedStatements.ts"
import { type LostRow, postgres } from "../../../src/adapters/sql/SagaExecutionStatements.ts"
import * as SteadyClock from "../../../src/ports/SteadyClock.ts"
import * as Sample from "../../../src/testing/SampleExecutions.ts"
import { databases } from "../../fixtures/postgres.ts"

const lease = 3_000

/** Statements of a database on which each takes so long, and the lease that it has for their owner. */
const slow = (each: Duration.Input) => {
  const known = {
    ...{ until: Number.NEGATIVE_INFINITY, renewals: 0, lapses: 0, queues: 0 },
    hasQueues: undefined as boolean | undefined,
    adopted: [] as Array<number>,
    /** After how many parts the lease of the former name has ended. */
    ended: [] as Array<number>,
    lost: [] as ReadonlyArray<LostRow>
  }
  const after = <A>(value: () => A) => Effect.andThen(TestClock.adjust(each), Effect.sync(value))
  const now = TestClock.testClockWith((clock) => Effect.succeed(clock.currentTimeMillisUnsafe()))
  const execution = Sample.started(Sample.created())
  const statements = {
    renew: (_owner: string, leaseMillis: number, begins: boolean) =>
      Effect.flatMap(now, (at) => {
        const lapsed = !begins && known.until <= at
        known.renewals++
        if (lapsed) known.lapses++
        else known.until = at + leaseMillis
        return after(() => ({ lapsed, now: at }))
      }),
    adopt: (_owner: string, _former: string, uuids: ReadonlyArray<string>, remains: boolean) => {
      known.adopted.push(uuids.length)
      if (!remains) known.ended.push(known.adopted.length)
      return after(() => uuids.slice(0, 1).map((uuid) => ({ uuid, owner: "b#1" })))
    },
    lost: () => after(() => known.lost),
    remind: () => after(() => undefined),
    wantedQueues: after(() => {
      known.queues++
      return []
    }),
    claim: () =>
      after(() => ({
        rows: [{ uuid: execution.uuid, dueAt: null }],
        nextAt: undefined,
        ...(known.hasQueues !== undefined && { hasQueues: known.hasQueues })
      })),
    disown: () => after(() => undefined),
    ofClaim: { inbox: () => after(() => []) }
  } as unknown as LimitedStatements
  const read = (uuids: ReadonlyArray<string>) =>
    after(() => new Map(uuids.map((uuid) => [uuid, Result.succeed(execution)] as const)))
  return { claim: ClaimExecutions.make(statements, read, new Map()), known, execution }
}

it.effect("C20 a claim whose statements take longer than the lease together renews it between them (I28)", () =>
  Effect.gen(function* () {
    const { claim, execution, known } = slow("900 millis")
    const request = { owner: "a#2", former: "a#1", limit: 10, now: 0, leaseMillis: lease, holds: [execution] }
    const { executions, lapsed } = yield* claim(request)
    assert.isFalse(lapsed)
    assert.strictEqual(executions.length, 1)
    assert.isAbove(known.renewals, 1)
    assert.strictEqual(known.lapses, 0)
    // It is still there when the next renewal is due.
    const at = yield* TestClock.testClockWith((clock) => Effect.succeed(clock.currentTimeMillisUnsafe()))
    assert.isAbove(known.until, at)
  })
)

it.effect("C20 a new name is given to what is held in parts, and the lease is renewed between them", () =>
  Effect.gen(function* () {
    const { claim, known } = slow("800 millis")
    const holds = Array.from({ length: 2_500 }, () => ({ uuid: Sample.callerUuid(), revision: 1 }))
    const request = { owner: "a#2", former: "a#1", limit: 10, now: 0, leaseMillis: lease, holds }
    const { lapsed, lost } = yield* claim(request)
    assert.deepStrictEqual([known.adopted, known.ended], [[1_000, 1_000, 500], [3]])
    assert.deepStrictEqual([lapsed, known.lapses], [false, 0])
    assert.deepStrictEqual(lost, [holds[0]!.uuid, holds[1_000]!.uuid, holds[2_000]!.uuid])
    yield* claim({ ...request, holds: [] })
    assert.deepStrictEqual(known.adopted.slice(3), [0], "the former lease ends also where nothing is held")
  })
)

it.effect("C20 a claim whose statements are quick renews the lease once", () =>
  Effect.gen(function* () {
    const { claim, known } = slow("20 millis")
    assert.isFalse((yield* claim({ owner: "a#1", limit: 10, now: 0, leaseMillis: lease })).lapsed)
    assert.strictEqual(known.renewals, 1)
  })
)

it.effect("C20 a claim says who has what is lost, so that its owner need not ask for each", () =>
  Effect.gen(function* () {
    const { claim, execution, known } = slow("20 millis")
    const [taken, free] = [Sample.callerUuid(), Sample.callerUuid()]
    known.lost = [
      { uuid: taken, owner: "b#1" },
      { uuid: free, owner: null }
    ]
    const request = { owner: "a#2", limit: 10, now: 0, leaseMillis: lease }
    yield* claim(request)
    const { holders, lost } = yield* claim({ ...request, holds: [execution] })
    assert.deepStrictEqual(lost, [taken, free])
    assert.deepStrictEqual(
      [...(holders ?? [])],
      [
        [taken, "b#1"],
        [free, undefined]
      ]
    )
  })
)

it.effect("a claim asks for queues unless it has seen that there are none", () =>
  Effect.gen(function* () {
    const { claim, known } = slow("20 millis")
    for (const [hasQueues, asked] of [
      [undefined, 1],
      [true, 2],
      [false, 2]
    ] as const) {
      known.hasQueues = hasQueues
      yield* claim({ owner: "a#1", limit: 10, now: 0, leaseMillis: lease })
      assert.strictEqual(known.queues, asked)
    }
  })
)

it.effect("C20 a claim that finds its lease over between two statements gives nothing", () =>
  Effect.gen(function* () {
    const { claim, known } = slow("4 seconds")
    const { executions, lapsed } = yield* claim({ owner: "a#1", limit: 10, now: 0, leaseMillis: lease })
    assert.deepStrictEqual([lapsed, executions, known.lapses], [true, [], 1])
  })
)

for (const { layer, name, schema } of databases("claim")) {
  withLayer(layer, { timeout: "2 minutes", excludeTestServices: true })(`a claim that is late: ${name}`, (it) => {
    it.effect("C20 takes nothing from others where its own lease is over by then: they are over all (I28)", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const { store } = Context.get(
          yield* Layer.build(SqlSagaExecutionRepository.layer({ schema })),
          SagaExecutionRepository.SagaExecutionRepository
        )
        const mine = yield* store(Sample.started(Sample.created()), { owner: "late#1" })
        const theirs = yield* store(Sample.started(Sample.created()), { owner: "other#1" })
        const nobodys = yield* store(Sample.paused(Sample.started(Sample.created())), { wakeAt: Sample.time })
        const { claim, renew, take } = postgres(sql, { of: (table) => `${schema}.${table}`, space: schema, schema })
        const query = {
          limit: 10,
          dueBy: Sample.time,
          fingerprints: undefined,
          holds: [],
          except: [],
          buckets: undefined,
          sparing: undefined
        }
        const given = (owner: string) =>
          Effect.map(claim({ ...query, owner }), ({ rows }) => new Set(rows.map(({ uuid }) => uuid)))
        // The claim of a process whose lease, and that of the other, was over before the server ran it.
        assert.deepStrictEqual(yield* given("late#1"), new Set([mine.uuid, nobodys.uuid]))
        // So is what it takes, and what it writes to take it.
        assert.strictEqual(yield* take(theirs.uuid, "late#1", 0, undefined), "other#1")
        assert.strictEqual(yield* take(mine.uuid, "late#1", 0, undefined), "late#1")
        const next = Sample.paused(theirs)
        const taking = (owner: string) => Effect.result(store(next, { owner, takes: true }))
        assert.strictEqual((yield* taking("late#1"))._tag, "Failure")
        yield* renew("late#2", 60_000, true)
        assert.isTrue((yield* given("late#2")).has(theirs.uuid))
        yield* renew("late#3", 60_000, true)
        yield* renew("late#2", 0, false)
        assert.strictEqual(yield* take(theirs.uuid, "late#3", 0, undefined), "late#3")
        yield* renew("late#4", 60_000, true)
        yield* renew("late#3", 0, false)
        assert.strictEqual((yield* taking("late#4"))._tag, "Success")
      }).pipe(Effect.scoped)
    )

    for (const hours of [-1, 1])
      it.effect(`I24 C16 sets a clock that is ${hours} h off to the time of the database`, () =>
        Effect.gen(function* () {
          const { claim } = Context.get(
            yield* Layer.build(SqlSagaExecutionRepository.layer({ schema })),
            SagaExecutionRepository.SagaExecutionRepository
          )
          const real = yield* Clock.Clock
          const wrong: Clock.Clock = {
            ...real,
            currentTimeMillisUnsafe: () => real.currentTimeMillisUnsafe() + hours * 3_600_000,
            monotonicTimeNanosUnsafe: () => real.monotonicTimeNanosUnsafe(),
            sleep: (duration) => real.sleep(duration)
          }
          const steady = SteadyClock.of(wrong)
          const request = { owner: Sample.uniqueName(), now: 0, limit: 0, leaseMillis: 60_000 }
          yield* Effect.provideService(claim(request), Clock.Clock, steady)
          // Both are on one machine here. The server may have been slow.
          const ahead = steady.currentTimeMillisUnsafe() - real.currentTimeMillisUnsafe()
          assert.isAtMost(ahead, 1)
          assert.isAbove(ahead, -60_000)
        }).pipe(Effect.scoped)
      )
  })
}
