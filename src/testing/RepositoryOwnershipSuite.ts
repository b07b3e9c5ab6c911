/** Which instance has which execution (SPEC C20), as tests of the part `recovery` of the repository suite. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Repository from "../ports/SagaExecutionRepository.ts"
import * as Sample from "./SampleExecutions.ts"
import type * as Suite from "./Suite.ts"

const repository = Repository.SagaExecutionRepository

const minute = 60_000

/** Longer than tests take on the real clock. In memory the clock of the tests stands at 0. */
const hour = 3_600_000

const request = { now: Sample.time, leaseMillis: minute, limit: 100_000 }

/** An instance with a lease. It has nothing yet. */
const instance = Effect.fnUntraced(function* (leaseMillis = minute) {
  const { claim } = yield* repository
  const owner = Sample.uniqueName()
  yield* claim({ ...request, owner, leaseMillis, limit: 0, holds: [] })
  return owner
})

const written = Effect.fnUntraced(function* (hint: Repository.Hint) {
  const { store } = yield* repository
  return yield* store(Sample.started(Sample.created()), hint)
})

/** An execution whose uuid ends in this byte. */
const inBucket = Effect.fnUntraced(function* (bucket: number, hint: Repository.Hint) {
  const { store } = yield* repository
  const uuid = `${Sample.callerUuid().slice(0, -2)}${bucket.toString(16).padStart(2, "0")}`
  return yield* store(Sample.started(Sample.created({ uuid })), hint)
})

/** The uuids that a claim gives and takes, of those that the test knows. */
const claimed = Effect.fnUntraced(function* (
  known: ReadonlyArray<SagaExecution>,
  options: Partial<Repository.ClaimRequest> & { readonly owner: string }
) {
  const { claim } = yield* repository
  const { executions, lapsed, lost } = yield* claim({ ...request, holds: [], ...options })
  const given = new Set(executions.map(({ uuid }) => uuid))
  const of = (set: { has(uuid: string): boolean }) => known.filter(({ uuid }) => set.has(uuid)).map(({ uuid }) => uuid)
  return { given: of(given), lapsed, lost: of(new Set(lost)) }
})

const nothing = { given: [], lapsed: false, lost: [] }

export const ownership = (test: Suite.Test<Repository.SagaExecutionRepository>): void => {
  test("C20 a lease that is over is never renewed under its name, and nothing is claimed under it", () =>
    Effect.gen(function* () {
      const owner = yield* instance(0)
      const execution = yield* written({ owner })
      for (let i = 0; i < 2; i++)
        assert.deepStrictEqual(yield* claimed([execution], { owner }), { given: [], lapsed: true, lost: [] })
      // Nobody counts the name as alive: another instance gets the execution.
      assert.deepStrictEqual((yield* claimed([execution], { owner: yield* instance() })).given, [execution.uuid])
    }))

  test("C20 an instance whose lease was forgotten is told so, and not the first claim of one that holds nothing", () =>
    Effect.gen(function* () {
      const owner = Sample.uniqueName()
      const execution = yield* written({ owner })
      assert.isTrue((yield* claimed([], { owner, holds: [execution] })).lapsed)
      assert.isFalse((yield* claimed([], { owner, holds: [] })).lapsed)
      assert.isFalse((yield* claimed([], { owner: Sample.uniqueName(), former: owner, holds: [execution] })).lapsed)
    }))

  test("C20 a lapsed lease that nobody took from is renewed under a new name with all that its owner holds", () =>
    Effect.gen(function* () {
      const { take } = yield* repository
      const former = yield* instance(0)
      const other = yield* instance()
      const held = yield* written({ owner: former })
      const taken = yield* written({ owner: other })
      const waits = yield* written({ wakeAt: Sample.time + 1 })
      const forgotten = yield* written({ owner: former })
      const all = [held, taken, waits, forgotten]
      const owner = Sample.uniqueName()
      const holds = [held, taken, waits]
      assert.isTrue((yield* claimed(all, { owner: former, holds })).lapsed)
      assert.deepStrictEqual(yield* claimed(all, { owner, former, holds }), {
        given: [forgotten.uuid],
        lapsed: false,
        lost: [taken.uuid, waits.uuid]
      })
      assert.strictEqual(yield* take({ uuid: held.uuid, owner: other, now: Sample.time }), owner)
      // Asked again, as its answer may have been lost.
      assert.deepStrictEqual((yield* claimed(all, { owner, former, holds: [held, forgotten] })).lost, [])
    }))

  test("C20 a claim that says who has what is lost says so of each", () =>
    Effect.gen(function* () {
      const { claim } = yield* repository
      const former = yield* instance(0)
      const other = yield* instance()
      const taken = yield* written({ owner: other })
      const free = yield* written({ wakeAt: Sample.time + 1 })
      const owner = Sample.uniqueName()
      const names: Array<readonly [holds: ReadonlyArray<SagaExecution>, former?: string]> = [
        [[taken, free], former],
        [[taken]]
      ]
      for (const [holds, former] of names) {
        const { holders, lost } = yield* claim({ ...request, owner, holds, ...(former !== undefined && { former }) })
        const known = new Map(holds.map((one) => [one.uuid, one === taken ? other : undefined]))
        assert.deepStrictEqual(new Set(lost), new Set(known.keys()))
        if (holders !== undefined) assert.deepStrictEqual(new Map(lost.map((uuid) => [uuid, holders.get(uuid)])), known)
      }
    }))

  test("C20 a change of name ends the former lease", () =>
    Effect.gen(function* () {
      const former = yield* instance()
      const [held, forgotten] = [yield* written({ owner: former }), yield* written({ owner: former })]
      yield* claimed([], { owner: Sample.uniqueName(), former, holds: [held], limit: 0 })
      const { given } = yield* claimed([held, forgotten], { owner: yield* instance() })
      assert.deepStrictEqual(given, [forgotten.uuid])
    }))

  test("C20 each round gives an instance what names it and what it does not hold, or holds at an older revision", () =>
    Effect.gen(function* () {
      const { store } = yield* repository
      const [owner, other] = [yield* instance(), yield* instance()]
      const held = yield* written({ owner })
      const old = yield* written({ owner })
      const forgotten = yield* written({ owner })
      const theirs = yield* written({ owner: other })
      const all = [held, old, forgotten, theirs]
      // Another process of the same name has written it, or a write whose answer was lost.
      yield* store(Sample.paused(old), { owner })
      assert.deepStrictEqual(yield* claimed(all, { owner, holds: all }), {
        given: [old.uuid],
        lapsed: false,
        lost: [theirs.uuid]
      })
      const holds = [held, { uuid: old.uuid, revision: 2 }]
      assert.deepStrictEqual(yield* claimed(all, { owner, holds }), { ...nothing, given: [forgotten.uuid] })
      assert.deepStrictEqual(yield* claimed(all, { owner, holds, limit: 0 }), nothing)
      assert.deepStrictEqual((yield* claimed(all, { owner, holds: [] })).given, [held.uuid, old.uuid, forgotten.uuid])
    }))

  test("C20 a held execution that nobody has any more is not lost, and given only if it was written since", () =>
    Effect.gen(function* () {
      const { store } = yield* repository
      const owner = yield* instance()
      const [same, newer] = [yield* written({ wakeAt: Sample.time }), yield* written({ owner })]
      yield* store(Sample.paused(newer), { wakeAt: Sample.time })
      const holds = [same, newer]
      assert.deepStrictEqual(yield* claimed([same, newer], { owner, holds }), { ...nothing, given: [newer.uuid] })
    }))

  test("C20 a claim tells the revision at which it has taken an execution, or nothing of it", () =>
    Effect.gen(function* () {
      const { claim, store } = yield* repository
      const owner = yield* instance()
      const [first, later] = [yield* written({ owner }), yield* written({ owner })]
      yield* store(Sample.paused(later), { wakeAt: Sample.time })
      const { executions, takenAt } = yield* claim({ ...request, owner, holds: [] })
      for (const [{ uuid }, revision] of [
        [first, 1],
        [later, 2]
      ] as const) {
        assert.include(
          executions.map((execution) => execution.uuid),
          uuid
        )
        assert.include([undefined, revision], takenAt?.get(uuid))
      }
    }))

  test("C20 a paused execution has no owner: whoever writes next has it, and what is due is claimed once", () =>
    Effect.gen(function* () {
      const { store } = yield* repository
      const [a, b, c] = [yield* instance(), yield* instance(), yield* instance()]
      const waits = yield* store(Sample.paused(yield* written({ owner: a })), {
        wakeAt: Sample.time + minute,
        closes: true
      })
      assert.deepStrictEqual((yield* claimed([waits], { owner: a })).given, [])
      assert.deepStrictEqual((yield* claimed([waits], { owner: b })).given, [])
      yield* store(Sample.finished(waits), { owner: b })
      for (const owner of [a, c])
        assert.deepStrictEqual((yield* claimed([waits], { owner, dueBy: Sample.time + minute })).given, [])
      const due = yield* written({ wakeAt: Sample.time + minute })
      const claims = yield* Effect.forEach(
        [a, b, c],
        (owner) => claimed([due], { owner, dueBy: Sample.time + minute }),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        claims.flatMap(({ given }) => given),
        [due.uuid]
      )
    }))

  test("C20 an execution is given back by its owner until it is due, and has no owner then", () =>
    Effect.gen(function* () {
      const { giveBack, take } = yield* repository
      const [owner, other] = [yield* instance(), yield* instance()]
      const execution = yield* written({ owner })
      const { revision, uuid } = execution
      assert.isTrue(yield* giveBack({ uuid, owner, revision, wakeAt: Sample.time + minute }))
      assert.isFalse(yield* giveBack({ uuid, owner, revision, wakeAt: Sample.time }), "it is not the owner's any more")
      assert.deepStrictEqual((yield* claimed([execution], { owner: other })).given, [])
      const due = { owner: other, dueBy: Sample.time + minute }
      assert.deepStrictEqual((yield* claimed([execution], due)).given, [uuid])
      assert.strictEqual(yield* take({ uuid, owner, now: Sample.time }), other)
      assert.isTrue(yield* giveBack({ uuid, owner: other, revision, wakeAt: Number.POSITIVE_INFINITY }))
      assert.deepStrictEqual((yield* claimed([execution], { owner, dueBy: Sample.time + 1e12 })).given, [])
      assert.strictEqual(yield* take({ uuid, owner, now: Sample.time }), owner)
    }))

  test("C20 an execution is not given back that another has, that was written since, or for which inputs wait", () =>
    Effect.gen(function* () {
      const { giveBack, store, submit } = yield* repository
      const [owner, other] = [yield* instance(), yield* instance()]
      const theirs = yield* written({ owner: other })
      const newer = yield* written({ owner })
      yield* store(Sample.paused(newer), { owner })
      const awaited = yield* written({ owner })
      yield* submit({ uuid: awaited.uuid, id: "x", input: null, at: Sample.time })
      const all = [theirs, newer, awaited]
      const back = (execution: SagaExecution) =>
        giveBack({ uuid: execution.uuid, owner, revision: execution.revision, wakeAt: Sample.time + minute })
      assert.deepStrictEqual(yield* Effect.forEach(all, back, { concurrency: "unbounded" }), [false, false, false])
      assert.isTrue(yield* back(Sample.created()), "what is not there belongs to nobody")
      // They are where they were.
      assert.deepStrictEqual((yield* claimed(all, { owner: yield* instance() })).given, [])
      assert.deepStrictEqual((yield* claimed(all, { owner })).given, [newer.uuid, awaited.uuid])
    }))

  test("C20 a claim of buckets gives only theirs, and gives back what names the owner elsewhere and is not held", () =>
    Effect.gen(function* () {
      const owner = yield* instance()
      const waiting = [yield* inBucket(1, {}), yield* inBucket(2, {})] as const
      const dueLater = yield* inBucket(2, { wakeAt: Sample.time + 7 })
      const [mine, strange, held] = [
        yield* inBucket(1, { owner }),
        yield* inBucket(2, { owner }),
        yield* inBucket(2, { owner })
      ]
      const all = [...waiting, dueLater, mine, strange, held]
      const buckets = { owner, buckets: [1], holds: [held] }
      assert.sameMembers((yield* claimed(all, buckets)).given, [waiting[0].uuid, mine.uuid])
      const { claim } = yield* repository
      const { nextAt = Number.POSITIVE_INFINITY } = yield* claim({ ...request, ...buckets })
      assert.notStrictEqual(nextAt, Sample.time + 7)
      const other = yield* instance()
      assert.sameMembers((yield* claimed(all, { owner: other, buckets: [2] })).given, [waiting[1].uuid, strange.uuid])
    }))

  test("C20 an owner gives back what it is at work on in a bucket, and keeps its lease and what it has elsewhere", () =>
    Effect.gen(function* () {
      const { release } = yield* repository
      const [owner, other] = [yield* instance(), yield* instance()]
      const [left, kept, theirs] = [
        yield* inBucket(1, { owner }),
        yield* inBucket(2, { owner }),
        yield* inBucket(1, { owner: other })
      ]
      yield* release(owner, [1, 3])
      assert.deepStrictEqual((yield* claimed([left, kept, theirs], { owner: yield* instance() })).given, [left.uuid])
      assert.isFalse((yield* claimed([], { owner, holds: [kept] })).lapsed)
    }))

  test("C20 many executions given back at the same time are each given back for their own time", () =>
    Effect.gen(function* () {
      const { giveBack } = yield* repository
      const owner = yield* instance()
      const all = yield* Effect.forEach(Array.from({ length: 20 }), () => written({ owner }))
      const given = yield* Effect.forEach(
        all,
        ({ revision, uuid }, i) => giveBack({ uuid, owner, revision, wakeAt: Sample.time + 1 + (i % 2) * minute }),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(new Set(given), new Set([true]))
      const due = yield* claimed(all, { owner: yield* instance(), dueBy: Sample.time + 1 })
      assert.deepStrictEqual(
        due.given,
        all.filter((_, i) => i % 2 === 0).map(({ uuid }) => uuid)
      )
    }))

  test("C20 claim says when what waited was due, and not of what an owner has left at work", () =>
    Effect.gen(function* () {
      const { claim, submit } = yield* repository
      const dead = yield* instance(0)
      const due = yield* written({ wakeAt: Sample.time - 7 })
      const early = yield* written({ wakeAt: Sample.time + minute })
      const left = yield* written({ owner: dead })
      const fresh = yield* written({})
      yield* submit({ uuid: early.uuid, id: "x", input: null, at: Sample.time - 3 })
      const { dueAt } = yield* claim({ ...request, owner: Sample.uniqueName(), holds: [] })
      const times = [due, early, left, fresh].map(({ uuid }) => dueAt?.get(uuid))
      assert.deepStrictEqual(times, [Sample.time - 7, Sample.time - 3, undefined, undefined])
    }))

  test("C20 an instance that spares others gets what nobody has and what is its own, and nothing of those that are over", () =>
    Effect.gen(function* () {
      const [former, dead] = [yield* instance(0), yield* instance(0)]
      const waits = yield* written({ wakeAt: Sample.time })
      const [held, forgotten] = [yield* written({ owner: former }), yield* written({ owner: former })]
      const theirs = yield* written({ owner: dead })
      const all = [waits, held, forgotten, theirs]
      const owner = Sample.uniqueName()
      const spared = { owner, former, holds: [held], spares: true }
      assert.deepStrictEqual(yield* claimed(all, spared), { ...nothing, given: [waits.uuid, forgotten.uuid] })
      assert.deepStrictEqual(yield* claimed(all, { owner, holds: [], spares: true }), {
        ...nothing,
        given: [waits.uuid, held.uuid, forgotten.uuid]
      })
      const { take } = yield* repository
      const asked = { uuid: theirs.uuid, owner, now: Sample.time }
      assert.strictEqual(yield* take({ ...asked, spares: true }), dead)
      const mine = yield* written({ owner: former })
      assert.strictEqual(yield* take({ ...asked, uuid: mine.uuid, spares: true, former }), owner)
      assert.strictEqual(yield* take({ ...asked, uuid: held.uuid, spares: true }), owner)
      assert.deepStrictEqual((yield* claimed(all, { owner, holds: [waits, held, forgotten] })).given, [theirs.uuid])
    }))

  test("C20 a write that takes an execution is refused while another living instance is at work on it, and only then", () =>
    Effect.gen(function* () {
      const { load, release, store, submit } = yield* repository
      const [me, alive, dead] = [yield* instance(hour), yield* instance(hour), yield* instance(0)]
      yield* release(dead)
      const taking = Effect.fnUntraced(function* (hint: Repository.Hint, more: Repository.Hint = {}) {
        const execution = yield* store(Sample.paused(Sample.started(Sample.created())), hint)
        if (more.closes === true) yield* submit({ uuid: execution.uuid, id: "x", input: null, at: Sample.time })
        const result = yield* Effect.result(store(Sample.finished(execution), { owner: me, takes: true, ...more }))
        if (result._tag === "Success") return "written"
        assert.strictEqual((yield* load(execution.uuid)).revision, 1)
        if (result.failure._tag !== "SagaExecutionConflict") return result.failure._tag
        return result.failure.unread === true ? "unread" : "conflict"
      })
      assert.strictEqual(yield* taking({ owner: alive }), "conflict")
      for (const hint of [{ owner: me }, { owner: dead }, { wakeAt: Sample.time }, {}])
        assert.strictEqual(yield* taking(hint), "written", JSON.stringify(hint))
      assert.strictEqual(yield* taking({ wakeAt: Sample.time }, { closes: true }), "unread")
      assert.strictEqual(yield* taking({ wakeAt: Sample.time }, { closes: true, reads: ["x"] }), "written")
      assert.strictEqual(yield* taking({ owner: alive }, { reads: ["x"] }), "conflict")
      assert.strictEqual(yield* taking({ owner: dead }, { reads: ["x"] }), "written")
    }))
}
