/** C20: a process that has nothing to do renews its lease by one statement, and misses nothing by that. */
import { assert, describe, it, layer as withLayer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { SqlClient, Statement } from "effect/sql"
import { SagaExecutionRepository } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import { emptyUntil, isAtRest } from "../../../src/adapters/sql/ClaimOutlook.ts"
import type { Hint } from "../../../src/ports/SagaExecutionRepository.ts"
import * as Sample from "../../../src/testing/SampleExecutions.ts"
import { databases, dropping, schemaOf } from "../../fixtures/postgres.ts"

const minute = 60_000
const now = Sample.time
const never = Number.POSITIVE_INFINITY

/** The claim of an idle process. */
const idle = { owner: "mine#1", limit: 10, now, leaseMillis: minute, holds: [] }

describe("the outlook of a claim", () => {
  const held = [{ uuid: Sample.callerUuid(), revision: 1 }]
  for (const [what, request, expected] of [
    ["holds nothing", idle, true],
    ["lists nothing of what it holds", { ...idle, holds: undefined }, true],
    ["spares what others have", { ...idle, spares: true, buckets: [1], except: [Sample.callerUuid()] }, true],
    ["takes nothing", { ...idle, limit: 0 }, false],
    ["holds an execution", { ...idle, holds: held }, false],
    ["has a new name", { ...idle, former: "mine#0" }, false],
    ["gives something back", { ...idle, gives: [Sample.callerUuid()] }, false]
  ] as const)
    it(`C20 a claim whose owner ${what} is ${expected ? "at rest" : "sent always"}`, () => {
      const { holds, ...others } = request
      assert.strictEqual(isAtRest({ ...others, ...(holds !== undefined && { holds }) }), expected)
    })

  for (const [what, outlook, expected] of [
    ["nothing is ever due", { firstAt: never, hasQueues: false }, never],
    ["the first one is due later", { firstAt: now + 1, hasQueues: false }, now + 1],
    ["one is due now", { firstAt: now, hasQueues: false }, undefined],
    ["an owner is at work", { firstAt: 0, hasQueues: false }, undefined],
    ["there is a queue", { firstAt: never, hasQueues: true }, undefined],
    ["there may be a queue", { firstAt: never }, undefined],
    ["nothing is known", { hasQueues: false }, undefined],
    ["no lease was renewed", undefined, undefined]
  ] as const)
    it(`C20 where ${what}, a claim is ${expected === undefined ? "sent" : "left out"}`, () => {
      assert.strictEqual(emptyUntil(now, outlook), expected)
    })
})

/** An empty repository, in which a claim has reminded of inputs a while ago, and the statements that run. */
const world = Effect.fnUntraced(function* (
  options: Pick<NonNullable<Parameters<typeof SqlSagaExecutionRepository.layer>[0]>, "statements"> = {}
) {
  const sql = yield* SqlClient.SqlClient
  const schema = schemaOf("outlook")
  yield* Layer.build(dropping(schema))
  /** That of a process. */
  const another = Effect.map(
    Layer.build(Layer.fresh(SqlSagaExecutionRepository.layer({ schema, ...options }))),
    Context.get(SagaExecutionRepository.SagaExecutionRepository)
  )
  const repository = yield* another
  let count = 0
  const transformer: Statement.Transformer = (self) =>
    Effect.sync(() => {
      count++
      return self
    })
  /** A claim, and how many statements it has sent. */
  const claim = Effect.fnUntraced(function* (request: Partial<SagaExecutionRepository.ClaimRequest> = {}) {
    count = 0
    const claims = repository.claim({ ...idle, ...request })
    const claimed = yield* Effect.provideService(claims, Statement.CurrentTransformer, transformer)
    return { ...claimed, count, given: claimed.executions.map(({ uuid }) => uuid) }
  })
  assert.isAbove((yield* claim()).count, 1)
  const ownerOf = (uuid: string) =>
    Effect.map(
      sql<{ readonly owner: string | null }>`select owner from ${sql(`${schema}.saga_execution`)} where uuid = ${uuid}`,
      ([row]) => row?.owner
    )
  const written = (hint: Hint, uuid = Sample.callerUuid()) =>
    repository.store(Sample.paused(Sample.started(Sample.created({ uuid }))), hint)
  return { another, claim, ownerOf, repository, schema, sql, written }
})

for (const { layer, name } of databases("outlook")) {
  withLayer(layer, { timeout: "2 minutes", excludeTestServices: true })(`a claim of an idle process: ${name}`, (it) => {
    it.effect("C20 is one statement where nothing is due, and says when to look again", () =>
      Effect.gen(function* () {
        const { claim, repository, written } = yield* world()
        const empty = { count: 1, lapsed: false, given: [] }
        assert.deepInclude(yield* claim(), { ...empty, nextAt: never })
        yield* written({ wakeAt: now + 2 * minute })
        const { uuid } = yield* written({ wakeAt: now + minute })
        assert.deepInclude(yield* claim(), { ...empty, nextAt: now + minute })
        // Two processes side by side.
        yield* repository.claim({ ...idle, owner: "other#1" })
        assert.deepInclude(yield* claim({ now: now + 5_000 }), { ...empty, nextAt: now + minute })
        const due = yield* claim({ dueBy: now + minute })
        assert.deepStrictEqual([due.given, due.nextAt], [[uuid], now + 2 * minute])
      }).pipe(Effect.scoped)
    )

    it.effect("C20 renews the lease by that statement, and hears by it that the lease was over", () =>
      Effect.gen(function* () {
        const { claim, schema, sql } = yield* world()
        assert.strictEqual((yield* claim({ leaseMillis: 60 * minute })).count, 1)
        const [lease] = yield* sql<{ readonly isLong: boolean }>`
          select lease_until > now() + interval '30 minutes' as "isLong" from ${sql(`${schema}.saga_instance`)}`
        assert.isTrue(lease?.isLong)
        yield* claim({ leaseMillis: 0 })
        const over = yield* claim()
        assert.deepStrictEqual([over.lapsed, over.count, over.nextAt], [true, 1, undefined])
      }).pipe(Effect.scoped)
    )

    it.effect("C20 takes over what a dead owner was at work on, and what waits in the inbox", () =>
      Effect.gen(function* () {
        const { claim, repository, written } = yield* world()
        const { uuid } = yield* written({ owner: "dead#1" })
        assert.deepStrictEqual((yield* claim()).given, [uuid])
        // A claim whose answer was lost has taken it.
        assert.deepStrictEqual((yield* claim()).given, [uuid])
        yield* repository.giveBack({ uuid, owner: idle.owner, revision: 1, wakeAt: never })
        assert.deepInclude(yield* claim(), { count: 1, given: [] })
        yield* repository.submit({ uuid, id: "x", input: { _tag: "Cancel" }, at: now })
        const { given, inbox } = yield* claim()
        assert.deepStrictEqual([given, inbox.map(({ id }) => id)], [[uuid], ["x"]])
        assert.isAbove((yield* claim({ holds: [{ uuid, revision: 1 }] })).inbox.length, 0)
      }).pipe(Effect.scoped)
    )

    it.effect("C20 gives a place in a queue that another process has declared since", () =>
      Effect.gen(function* () {
        const { another, claim, repository } = yield* world()
        const { uuid } = yield* repository.store(Sample.queued("mail"), { wakeAt: never })
        assert.deepInclude(yield* claim(), { count: 1, given: [] })
        const { queues } = yield* another
        yield* queues!.declare("mail", { concurrency: 1, maxQueued: 10 })
        assert.deepStrictEqual((yield* claim()).given, [uuid])
      }).pipe(Effect.scoped)
    )

    it.effect("C20 gives back what names the owner in buckets of others", () =>
      Effect.gen(function* () {
        const { claim, ownerOf, written } = yield* world()
        const { uuid } = yield* written({ owner: idle.owner }, `${Sample.callerUuid().slice(0, -2)}02`)
        assert.deepStrictEqual((yield* claim({ buckets: [1] })).given, [])
        assert.isNull(yield* ownerOf(uuid))
      }).pipe(Effect.scoped)
    )

    it.effect("C20 says what is lost and renames what is held, however little is due", () =>
      Effect.gen(function* () {
        const { claim, ownerOf, written } = yield* world()
        const theirs = yield* written({ owner: "other#1", wakeAt: now + minute })
        assert.deepStrictEqual((yield* claim({ holds: [theirs] })).lost, [theirs.uuid])
        const mine = yield* written({ owner: idle.owner, wakeAt: now + minute })
        yield* claim({ owner: "mine#2", former: idle.owner, holds: [mine] })
        assert.strictEqual(yield* ownerOf(mine.uuid), "mine#2")
        yield* claim({ owner: "mine#2", except: [mine.uuid], gives: [mine.uuid] })
        assert.isNull(yield* ownerOf(mine.uuid))
        // The lease under the former name ends, though nothing is held.
        yield* claim({ owner: "mine#3", former: "mine#2" })
        const held = [{ uuid: mine.uuid, revision: 1 }]
        assert.isTrue((yield* claim({ owner: "mine#2", holds: held })).lapsed)
      }).pipe(Effect.scoped)
    )

    it.effect("C16 looks now and then for inputs that a former release has left behind", () =>
      Effect.gen(function* () {
        const { claim, repository, schema, sql, written } = yield* world()
        const { uuid } = yield* written({ wakeAt: never })
        yield* repository.submit({ uuid, id: "x", input: { _tag: "Cancel" }, at: now })
        yield* sql`update ${sql(`${schema}.saga_execution`)} set claimable = false, wake_at = null`
        assert.deepInclude(yield* claim({ now: now + 9_999 }), { count: 1, given: [] })
        assert.deepStrictEqual((yield* claim({ now: now + 10_000 })).given, [uuid])
      }).pipe(Effect.scoped)
    )

    it.effect("C20 says the time of the next one where only others may have what is due", () =>
      Effect.gen(function* () {
        const { claim, written } = yield* world()
        yield* written({ wakeAt: now })
        yield* written({ wakeAt: now + minute })
        const { count, given, nextAt } = yield* claim({ fingerprints: ["another program"] })
        assert.deepStrictEqual([given, nextAt], [[], now + minute])
        assert.isAbove(count, 1)
        // The claim that follows closely renews no lease.
        const fresh = yield* claim({ fingerprints: ["another program"], isFresh: true })
        assert.deepStrictEqual([fresh.given, fresh.nextAt], [[], now + minute])
      }).pipe(Effect.scoped)
    )

    it.effect("C20 is sent where the statement of a program does not look", () =>
      Effect.gen(function* () {
        const { claim } = yield* world({
          statements: (postgres) =>
            Effect.succeed({
              ...postgres,
              renew: (owner, leaseMillis, begins) => postgres.renew(owner, leaseMillis, begins)
            })
        })
        assert.deepInclude(yield* claim(), { count: 2, nextAt: never })
      }).pipe(Effect.scoped)
    )
  })
}
