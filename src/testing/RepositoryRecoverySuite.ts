/** The part `recovery` of the repository suite: which executions are found, and which instance may run them. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Repository from "../ports/SagaExecutionRepository.ts"
import * as Sample from "./SampleExecutions.ts"
import type * as Suite from "./Suite.ts"

const repository = Repository.SagaExecutionRepository

const uuids = (found: ReadonlyArray<{ readonly uuid: string }>): ReadonlyArray<string> => found.map(({ uuid }) => uuid)

/** Executions of one saga that no other test knows, a second apart. */
const storeMany = Effect.fnUntraced(function* (saga: string, count: number) {
  const { store } = yield* repository
  return yield* Effect.forEach(Array.from({ length: count }), (_, i) =>
    store(Sample.started(Sample.created({ saga, at: Sample.time + i * 1_000 })))
  )
})

const minute = 60_000

/** Takes all there is, and gives those among the executions. */
const claimed = Effect.fnUntraced(function* (
  among: ReadonlyArray<SagaExecution>,
  owner: string,
  now: number,
  leaseMillis = minute
) {
  const { claim } = yield* repository
  const known = new Set(uuids(among))
  const { executions } = yield* claim({ owner, now, leaseMillis, limit: 100_000 })
  return executions.filter(({ uuid }) => known.has(uuid))
})

export const recovery = (test: Suite.Test<Repository.SagaExecutionRepository>): void => {
  test("F8 a claim says when the first of the executions that wait is due, so that nothing else has to know", () =>
    Effect.gen(function* () {
      const { claim, store } = yield* repository
      const waiting = Sample.paused(Sample.started(Sample.created()))
      const now = Sample.time
      yield* store(waiting, { wakeAt: now + 4 * minute })
      yield* store(Sample.paused(Sample.started(Sample.created())), { wakeAt: now + 5 * minute })
      const before = yield* claim({ owner: Sample.uniqueName(), now, leaseMillis: minute, limit: 1_000 })
      assert.isAbove(before.nextAt ?? 0, now)
      assert.isAtMost(before.nextAt ?? 0, now + 4 * minute)
    }))

  test("F8 of many executions those that have ended or are not there are found in one call", () =>
    Effect.gen(function* () {
      const { ended, find, store } = yield* repository
      const running = yield* store(Sample.started(Sample.created()))
      const paused = yield* store(Sample.paused(Sample.started(Sample.created())))
      const errored = yield* store(Sample.parked(Sample.refused(Sample.paused(Sample.started(Sample.created())))))
      // One that waits for a person behind its pivot is news to callers that wait for its end (SPEC C18), and it is not settled.
      const forward = yield* store(Sample.parkedForward(Sample.started(Sample.created({ saga: Sample.uniqueName() }))))
      const { items } = yield* find({ parked: true, settled: false, status: "paused", saga: forward.saga })
      assert.deepStrictEqual(
        items.map(({ decision, failure, uuid }) => ({ decision, failure, uuid })),
        [{ decision: "commit", failure: { tag: "StepError", path: "2" }, uuid: forward.uuid }]
      )
      const { uuid: unknown } = Sample.created()
      const all = [...uuids([running, paused, errored, forward]), unknown]
      const over = [errored.uuid, forward.uuid, unknown]
      assert.deepStrictEqual(new Set(yield* ended(all, false)), new Set(over))
      assert.deepStrictEqual(new Set(yield* ended(all, true)), new Set([paused.uuid, ...over]))
      assert.deepStrictEqual(yield* ended([], true), [])
    }))

  test("find gives the executions that match all properties of the filter, newest first", () =>
    Effect.gen(function* () {
      const { find, store } = yield* repository
      const saga = Sample.uniqueName()
      const startKey = Sample.uniqueName()
      const at = (i: number) => Sample.time + i * 1_000
      const running = yield* store(Sample.started(Sample.created({ saga, at: at(0), user: "ada" })))
      const paused = yield* store(Sample.paused(Sample.started(Sample.created({ saga, at: at(1), startKey }))))
      const broken = Sample.refused(Sample.paused(Sample.started(Sample.created({ saga, at: at(2), user: "bob" }))))
      const parked = yield* store(Sample.parked(broken))
      const cases: ReadonlyArray<[Repository.Filter, ReadonlyArray<SagaExecution>]> = [
        [{}, [parked, paused, running]],
        [{ status: "running" }, [running]],
        [{ status: "errored", parked: true }, [parked]],
        [{ parked: false }, [paused, running]],
        [{ startKey }, [paused]],
        [{ user: "ada" }, [running]],
        [{ user: "ada", status: "paused" }, []],
        [{ settled: false }, [parked, paused, running]],
        [{ settled: true }, []],
        [{ createdBefore: at(1) }, [running]],
        [{ createdAfter: at(1) }, [parked]],
        [{ createdAfter: at(0), createdBefore: at(2) }, [paused]]
      ]
      for (const [filter, expected] of cases) {
        const page = yield* find({ saga, ...filter })
        assert.deepStrictEqual(uuids(page.items), uuids(expected), JSON.stringify(filter))
        assert.strictEqual(page.next, undefined)
      }
      assert.deepStrictEqual((yield* find({ saga: Sample.uniqueName() })).items, [])
    }))

  test("find gives the executions that have all attributes of the filter, with those of their start", () =>
    Effect.gen(function* () {
      const { find, store } = yield* repository
      const saga = Sample.uniqueName()
      const stored = (attributes: NonNullable<Sample.Options["attributes"]>, i: number) =>
        store(Sample.started(Sample.created({ saga, attributes, at: Sample.time + i })))
      const customer = `é "${Sample.uniqueName()}"`
      const first = yield* stored({ customer, branch: 7, vip: true }, 0)
      const second = yield* store(Sample.paused(yield* stored({ customer, branch: 0.5, vip: false }, 1)))
      const third = yield* stored({ customer: "another", branch: 7 }, 2)
      yield* store(Sample.started(Sample.created({ saga })))
      const cases: ReadonlyArray<[Repository.Filter, ReadonlyArray<SagaExecution>]> = [
        [{ attributes: { customer } }, [second, first]],
        [{ attributes: { customer }, status: "paused" }, [second]],
        [{ saga, attributes: { branch: 7 } }, [third, first]],
        [{ saga, attributes: { branch: 7, customer } }, [first]],
        [{ saga, attributes: { vip: false } }, [second]],
        [{ saga, attributes: { branch: "7" } }, []],
        [{ saga, attributes: { Customer: customer } }, []],
        [{ saga, attributes: { customer: "a\0b" } }, []],
        [{ saga, attributes: { customer: "\ud800" } }, []],
        [{ saga, attributes: { __proto__: null, customer } as { readonly customer: string } }, [second, first]]
      ]
      for (const [filter, expected] of cases) {
        const page = yield* find(filter)
        assert.deepStrictEqual(uuids(page.items), uuids(expected), JSON.stringify(filter))
      }
      const [summary] = (yield* find({ attributes: { customer }, status: "paused" })).items
      assert.deepStrictEqual(summary?.attributes, { customer, branch: 0.5, vip: false })
      assert.deepStrictEqual((yield* find({ saga, attributes: {} })).items.length, 4)
      const [newest] = (yield* find({ attributes: { customer } }, { limit: 1 })).items
      const next = (yield* find({ attributes: { customer } }, { limit: 1 })).next
      assert.strictEqual(newest?.uuid, second.uuid)
      const rest = yield* find({ attributes: { customer } }, { limit: 1, ...(next !== undefined && { after: next }) })
      assert.deepStrictEqual(uuids(rest.items), uuids([first]))
    }))

  test("find gives executions by the attributes that their steps have changed, from the write on that changes them", () =>
    Effect.gen(function* () {
      const { find, load, store } = yield* repository
      const saga = Sample.uniqueName()
      const [before, after] = [Sample.uniqueName(), Sample.uniqueName()]
      const labelled = (execution: SagaExecution, attributes: NonNullable<Sample.Options["attributes"]>) =>
        Sample.after(execution, { _tag: "AttributesChanged", path: "0", attributes, at: execution.state.updatedAt })
      const first = yield* store(Sample.started(Sample.created({ saga, attributes: { customer: before, branch: 7 } })))
      const plain = yield* store(Sample.started(Sample.created({ saga })))
      const paused = yield* store(labelled(Sample.paused(first), { customer: after, account: true }))
      yield* store(labelled(Sample.paused(plain), { account: true }))
      const all = { customer: after, branch: 7, account: true }
      const found = (filter: Repository.Filter) => Effect.map(find({ saga, ...filter }), ({ items }) => uuids(items))
      for (const attributes of [{ customer: after }, { branch: 7 }, all])
        assert.deepStrictEqual(yield* found({ attributes }), [first.uuid], JSON.stringify(attributes))
      assert.deepStrictEqual(yield* found({ attributes: { customer: before } }), [])
      assert.deepStrictEqual(
        (yield* found({ attributes: { account: true } })).toSorted(),
        uuids([first, plain]).toSorted()
      )
      const ofFirst = find({ saga, attributes: { customer: after } })
      assert.deepStrictEqual((yield* ofFirst).items[0]?.attributes, all)
      assert.deepStrictEqual((yield* load(first.uuid)).attributes, all)
      // A later write that has nothing to do with them, and one of another process, leave them as they are.
      yield* store(Sample.refused(paused))
      assert.deepStrictEqual((yield* ofFirst).items[0]?.attributes, all)
    }))

  test("find shows the summary of an execution as it is now, and nothing secret", () =>
    Effect.gen(function* () {
      const { find, store } = yield* repository
      const saga = Sample.uniqueName()
      const first = yield* store(Sample.paused(Sample.started(Sample.created({ saga, user: "ada" }))))
      const stored = yield* store(Sample.parked(Sample.refused(first)))
      const [head, ...others] = (yield* find({ saga })).items
      assert.deepStrictEqual(others, [])
      if (head === undefined) return assert.fail("not found")
      const { wakeAt: _, ...known } = head
      assert.deepStrictEqual(known, {
        uuid: stored.uuid,
        saga,
        fingerprint: Sample.Order.fingerprint,
        status: "errored",
        direction: "backward",
        decision: "reject",
        commitState: "rejected",
        user: "ada",
        parked: true,
        failure: { tag: "StepRefused", path: "1" },
        revision: 2,
        settled: false,
        createdAt: stored.state.creation.at,
        updatedAt: stored.state.updatedAt
      })
      assert.notInclude(JSON.stringify(head), Sample.secret)
    }))

  test("find gives every execution once over all pages, also when executions come and go in between", () =>
    Effect.gen(function* () {
      const repo = yield* repository
      const saga = Sample.uniqueName()
      // Several of one moment: the uuid decides.
      const all = yield* Effect.forEach(Array.from({ length: 11 }), (_, i) =>
        repo.store(Sample.created({ saga, at: Sample.time + Math.floor(i / 4) }))
      )
      const pages: Array<ReadonlyArray<string>> = []
      let after: string | undefined
      do {
        const page = yield* repo.find({ saga }, { limit: 3, ...(after !== undefined && { after }) })
        pages.push(uuids(page.items))
        after = page.next
        yield* repo.store(Sample.created({ saga, at: Sample.time + 1_000 + pages.length }))
        if (pages.length === 1) yield* repo.delete(pages[0]!.at(-1)!)
      } while (after !== undefined)
      const expected = [...all].sort(
        (a, b) => b.state.creation.at - a.state.creation.at || (a.uuid < b.uuid ? 1 : a.uuid > b.uuid ? -1 : 0)
      )
      assert.deepStrictEqual(pages.flat(), uuids(expected))
      assert.deepStrictEqual(
        pages.map((page) => page.length),
        [3, 3, 3, 2]
      )
    }))

  test("find gives 100 executions on a page by default, and at least one", () =>
    Effect.gen(function* () {
      const { find } = yield* repository
      const saga = Sample.uniqueName()
      yield* storeMany(saga, 101)
      const first = yield* find({ saga })
      assert.strictEqual(first.items.length, 100)
      assert.strictEqual((yield* find({ saga }, { after: first.next! })).items.length, 1)
      assert.strictEqual((yield* find({ saga }, { limit: 1_000_000 })).items.length, 101)
      for (const limit of [0, -1, 0.5, Number.NaN])
        assert.isAtLeast((yield* find({ saga }, { limit })).items.length, 1, `${limit}`)
    }))

  test("find refuses a cursor that it has not given", () =>
    Effect.gen(function* () {
      const { find } = yield* repository
      for (const after of ["", "x", "!!", "MTIz", "' or 1 = 1", "\u0000"]) {
        const error = yield* Effect.flip(find({}, { after }))
        if (error._tag !== "SagaExecutionRepositoryError") return assert.fail(error._tag)
        assert.strictEqual(error.reason, "rejected")
      }
    }))

  test("C7 claim gives an execution with work to do to one owner until its lease is over", () =>
    Effect.gen(function* () {
      const all = yield* storeMany(Sample.uniqueName(), 3)
      const now = Sample.time + minute
      const [a, b] = [Sample.uniqueName(), Sample.uniqueName()]
      const taken = yield* claimed(all, a, now)
      assert.deepStrictEqual(new Set(uuids(taken)), new Set(uuids(all)))
      for (const execution of taken) {
        assert.strictEqual(execution.definition, undefined)
        assert.strictEqual(execution.revision, 1)
        assert.strictEqual(execution.status, "running")
      }
      assert.deepStrictEqual(yield* claimed(all, b, now), [])
      assert.deepStrictEqual(yield* claimed(all, a, now), [])
      // A lease of no length is over at once, whatever clock the repository goes by.
      assert.deepStrictEqual(yield* claimed(all, a, now, 0), [])
      assert.strictEqual((yield* claimed(all, b, now)).length, 3)
      assert.deepStrictEqual(yield* claimed(all, a, now), [])
    }))

  test("C7 claim leaves executions of a living owner, and executions that wake later", () =>
    Effect.gen(function* () {
      const { claim, store } = yield* repository
      const now = Sample.time
      const [alive, dead, b] = [Sample.uniqueName(), Sample.uniqueName(), Sample.uniqueName()]
      yield* claim({ owner: alive, now, leaseMillis: minute, limit: 0 })
      yield* claim({ owner: dead, now, leaseMillis: 0, limit: 0 })
      const write = (hint: Repository.Hint) => store(Sample.started(Sample.created()), hint)
      const worked = yield* write({ owner: alive })
      const left = yield* write({ owner: dead })
      const due = yield* write({ owner: dead, wakeAt: now })
      const later = yield* write({ owner: dead, wakeAt: now + 1 })
      const never = yield* write({ owner: dead, wakeAt: Number.POSITIVE_INFINITY })
      const all = [worked, left, due, later, never]
      assert.deepStrictEqual(new Set(uuids(yield* claimed(all, b, now))), new Set(uuids([left, due])))
      assert.deepStrictEqual(uuids(yield* claimed(all, b, now + 1)), [later.uuid])
      // A write that names no owner gives the execution up.
      yield* store(Sample.paused(worked))
      assert.deepStrictEqual(uuids(yield* claimed(all, b, now + 1)), [worked.uuid])
    }))

  test("C7 claim of one execution succeeds unless a living owner runs it", () =>
    Effect.gen(function* () {
      const { claim, load, store, take } = yield* repository
      const now = Sample.time
      const [alive, dead, me] = [Sample.uniqueName(), Sample.uniqueName(), Sample.uniqueName()]
      yield* claim({ owner: alive, now, leaseMillis: minute, limit: 0 })
      yield* claim({ owner: dead, now, leaseMillis: 0, limit: 0 })
      yield* claim({ owner: me, now, leaseMillis: minute, limit: 0 })
      const holder = Effect.fnUntraced(function* (hint: Repository.Hint | undefined) {
        const { uuid } = yield* store(Sample.started(Sample.created()), hint)
        return yield* take({ uuid, owner: me, now })
      })
      assert.strictEqual(yield* holder({ owner: alive }), alive)
      assert.strictEqual(yield* holder({ owner: alive, wakeAt: now + 1 }), me)
      assert.strictEqual(yield* holder({ owner: alive, wakeAt: Number.POSITIVE_INFINITY }), me)
      assert.strictEqual(yield* holder({ owner: dead }), me)
      assert.strictEqual(yield* holder({ owner: me }), me)
      assert.strictEqual(yield* holder(undefined), me)
      const { uuid } = Sample.created()
      assert.strictEqual(yield* take({ uuid, owner: me, now }), me)
      // A claim changes the owner of an execution, and nothing else.
      const taken = yield* store(Sample.started(Sample.created()), { owner: alive, wakeAt: now })
      yield* take({ uuid: taken.uuid, owner: me, now })
      assert.strictEqual(yield* take({ uuid: taken.uuid, owner: alive, now }), me)
      assert.strictEqual((yield* load(taken.uuid)).revision, taken.revision)
      yield* take({ uuid: taken.uuid, owner: me, now, wakeAt: now })
      assert.strictEqual(yield* take({ uuid: taken.uuid, owner: alive, now }), alive)
      yield* store(Sample.paused(taken), { owner: alive })
      assert.strictEqual(yield* take({ uuid: taken.uuid, owner: me, now }), alive)
    }))

  test("C10 claim takes only executions that the owner can continue, and counts the others", () =>
    Effect.gen(function* () {
      const { census, claim, store } = yield* repository
      const saga = Sample.uniqueName()
      const known = yield* store(Sample.started(Sample.created({ saga })))
      const { fingerprint } = known.state.creation
      const take = (fingerprints: ReadonlyArray<string>) =>
        claim({ owner: Sample.uniqueName(), now: Sample.time, leaseMillis: minute, limit: 100_000, fingerprints })
      const none = yield* take(["another"])
      assert.notInclude(uuids(none.executions), known.uuid)
      const counted = (yield* census).filter((one) => one.saga === saga)
      assert.deepStrictEqual(counted, [{ saga, fingerprint, count: 1 }])
      const found = yield* take(["another", fingerprint])
      assert.include(uuids(found.executions), known.uuid)
    }))

  test("C20 claim does not give executions that the owner has found to be unreadable", () =>
    Effect.gen(function* () {
      const { claim } = yield* repository
      const [left, other] = yield* storeMany(Sample.uniqueName(), 2)
      const request = { now: Sample.time + minute, leaseMillis: minute, limit: 100_000 }
      const mine = yield* claim({ ...request, owner: Sample.uniqueName(), except: [left!.uuid] })
      assert.include(uuids(mine.executions), other!.uuid)
      assert.notInclude(uuids(mine.executions), left!.uuid)
      const theirs = yield* claim({ ...request, owner: Sample.uniqueName() })
      assert.include(uuids(theirs.executions), left!.uuid)
    }))

  test("C7 executions that an owner releases can be claimed at once", () =>
    Effect.gen(function* () {
      const repo = yield* repository
      const all = yield* storeMany(Sample.uniqueName(), 2)
      const [owner, other] = [Sample.uniqueName(), Sample.uniqueName()]
      assert.strictEqual((yield* claimed(all, owner, Sample.time)).length, 2)
      yield* repo.release(Sample.uniqueName())
      assert.deepStrictEqual(yield* claimed(all, other, Sample.time), [])
      yield* repo.release(owner)
      assert.strictEqual((yield* claimed(all, other, Sample.time)).length, 2)
    }))

  test("C7 claim gives the latest state; an owner that lost its lease cannot write after another owner wrote", () =>
    Effect.gen(function* () {
      const { store } = yield* repository
      const [execution] = yield* storeMany(Sample.uniqueName(), 1)
      const [slow] = yield* claimed([execution!], Sample.uniqueName(), Sample.time, 0)
      const [quick] = yield* claimed([execution!], Sample.uniqueName(), Sample.time)
      const written = yield* store(Sample.paused(quick!))
      const error = yield* Effect.flip(store(Sample.paused(slow!)))
      assert.strictEqual(error._tag, "SagaExecutionConflict")
      const [again] = yield* claimed([execution!], Sample.uniqueName(), Sample.time)
      assert.strictEqual(again?.revision, written.revision)
      assert.strictEqual(again?.status, "paused")
    }))

  test("C7 claim takes executions that run, wait for a reply or have services to tell, and leaves those that wait for a person", () =>
    Effect.gen(function* () {
      const { store } = yield* repository
      const make = (...steps: ReadonlyArray<(execution: SagaExecution) => SagaExecution>) =>
        store(steps.reduce((execution, step) => step(execution), Sample.created()))
      const manual = (execution: SagaExecution) => Sample.started(execution, { autocommit: false })
      const timed = (execution: SagaExecution) =>
        Sample.after(execution, { _tag: "DeadlineSet", deadline: Sample.time + 1_000, at: Sample.time })
      const due = [
        yield* make(),
        yield* make(Sample.started),
        yield* make(Sample.started, Sample.paused),
        yield* make(Sample.started, Sample.paused, Sample.refused),
        yield* make(Sample.started, Sample.paused, Sample.refused, Sample.undone),
        // It is rolled back if its person does not decide in time.
        yield* make(timed, manual, Sample.paused, Sample.finished)
      ]
      const not = [
        yield* make(manual, Sample.paused, Sample.finished),
        yield* make(Sample.started, Sample.paused, Sample.refused, Sample.parked),
        yield* make(timed, Sample.started, Sample.paused, Sample.finished, Sample.committed),
        yield* make(Sample.started, Sample.paused, Sample.refused, Sample.rejected)
      ]
      const taken = yield* claimed([...due, ...not], Sample.uniqueName(), Sample.time)
      assert.deepStrictEqual(new Set(uuids(taken)), new Set(uuids(due)))
    }))

  test("F13 claim leaves an execution that is set aside until a person has asked for it; find lists it as parked", () =>
    Effect.gen(function* () {
      const { find, load, store } = yield* repository
      const saga = Sample.uniqueName()
      const running = yield* store(Sample.started(Sample.created({ saga })))
      const parked = yield* store(Sample.setAside(running))
      assert.deepStrictEqual(yield* claimed([parked], Sample.uniqueName(), Sample.time), [])
      const { items } = yield* find({ saga, parked: true })
      assert.deepStrictEqual(
        items.map(({ failure, uuid }) => [uuid, failure?.tag]),
        [[parked.uuid, "SetAside"]]
      )
      assert.deepStrictEqual((yield* load(parked.uuid)).parked, ["execution"])
      const retried = yield* store(Sample.retried(yield* load(parked.uuid)))
      assert.deepStrictEqual(uuids(yield* claimed([retried], Sample.uniqueName(), Sample.time)), [retried.uuid])
      assert.deepStrictEqual((yield* find({ saga, parked: true })).items, [])
    }))

  test("claim takes no more than its limit, and no execution twice when several owners claim at once", () =>
    Effect.gen(function* () {
      const { claim } = yield* repository
      const all = new Set(uuids(yield* storeMany(Sample.uniqueName(), 9)))
      const taken = new Map<string, string>()
      const owners = [Sample.uniqueName(), Sample.uniqueName(), Sample.uniqueName()]
      let rounds = 0
      do {
        const claims = yield* Effect.forEach(
          owners,
          (owner) =>
            Effect.map(claim({ owner, now: Sample.time, leaseMillis: minute, limit: 2 }), ({ executions: found }) => ({
              owner,
              found
            })),
          { concurrency: "unbounded" }
        )
        for (const { found, owner } of claims) {
          assert.isAtMost(found.length, 2)
          for (const { uuid } of found) {
            assert.isFalse(taken.has(uuid), `${uuid} was taken by ${taken.get(uuid)} and ${owner}`)
            taken.set(uuid, owner)
          }
        }
        rounds = claims.some(({ found }) => found.length > 0) ? rounds + 1 : -1
      } while (rounds >= 0)
      for (const uuid of all) assert.isTrue(taken.has(uuid))
    }))
}
