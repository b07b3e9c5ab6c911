/** The part `inbox` of the repository suite: inputs that wait for the instance that has an execution (SPEC C16). */
import { assert } from "@effect/vitest"
import { Effect, Fiber, Option, Result, Stream } from "effect"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Repository from "../ports/SagaExecutionRepository.ts"
import * as SagaInbox from "../ports/SagaInbox.ts"
import type { Json } from "../wire/JsonLimits.ts"
import * as Sample from "./SampleExecutions.ts"
import type * as Suite from "./Suite.ts"

const repository = Repository.SagaExecutionRepository

const minute = 60_000

const rowOf = (execution: SagaExecution, id: string, at = Sample.time, input: Json = { _tag: "Cancel" }) => ({
  uuid: execution.uuid,
  id,
  input,
  at
})

/** The ids of the inputs that wait, in their order. */
const waiting = Effect.fnUntraced(function* (execution: SagaExecution) {
  return (yield* (yield* repository).inbox(execution.uuid)).map(({ id }) => id)
})

/** Paused, and nobody has it before the day after. */
const paused = Effect.fnUntraced(function* (options?: Sample.Options) {
  const { store } = yield* repository
  const hint = { wakeAt: Sample.time + 86_400_000 }
  return yield* store(Sample.paused(Sample.started(Sample.created(options))), hint)
})

const assertUnread = Effect.fnUntraced(function* (execution: SagaExecution, hint: Repository.Hint) {
  const error = yield* Effect.flip((yield* repository).store(execution, hint))
  if (error._tag !== "SagaExecutionConflict") return assert.fail(error._tag)
  assert.isTrue(error.unread, "unread")
  assert.strictEqual(error.revision, execution.revision + 1)
})

/** The uuids among these that a new instance gets. */
const claimable = Effect.fnUntraced(function* (executions: ReadonlyArray<SagaExecution>, now = Sample.time) {
  const { claim } = yield* repository
  const owner = Sample.uniqueName()
  const claimed = yield* claim({ owner, now, leaseMillis: minute, limit: 100_000, holds: [] })
  const given = new Set(claimed.executions.map(({ uuid }) => uuid))
  const rows = claimed.inbox.filter((row) => executions.some(({ uuid }) => uuid === row.uuid))
  return { owner, rows, uuids: executions.map(({ uuid }) => uuid).filter((uuid) => given.has(uuid)) }
})

export const inbox = (test: Suite.Test<Repository.SagaExecutionRepository>): void => {
  test("C16 an input is stored once, and is given back as it was", () =>
    Effect.gen(function* () {
      const { inbox, submit } = yield* repository
      const execution = yield* paused()
      const row = {
        ...rowOf(execution, "cancel-1", Sample.time, { _tag: "Cancel", note: '\u0000 " \ud83d\ude42', n: [1.5, null] }),
        actor: "ada o'neil",
        reason: "wrong address"
      }
      assert.deepStrictEqual(yield* inbox(execution.uuid), [])
      assert.strictEqual(yield* submit({ ...row, uuid: ` ${execution.uuid.toUpperCase()} ` }), "stored")
      assert.strictEqual(yield* submit({ ...row, input: { _tag: "Reject" } }), "known")
      assert.deepStrictEqual(yield* inbox(execution.uuid), [row])
      assert.deepStrictEqual(yield* inbox(execution.uuid.toUpperCase()), [row])
    }))

  test("C16 inputs are given in the order of their time, then of their ids, and to their own execution only", () =>
    Effect.gen(function* () {
      const { submit } = yield* repository
      const [execution, other] = [yield* paused(), yield* paused()]
      for (const [id, at] of [
        ["c", 2],
        ["b", 1],
        ["a", 2],
        ["d", 0]
      ] as const)
        yield* submit(rowOf(execution, id, Sample.time + at))
      yield* submit(rowOf(other, "a"))
      assert.deepStrictEqual(yield* waiting(execution), ["d", "b", "a", "c"])
      assert.deepStrictEqual(yield* waiting(other), ["a"])
    }))

  test("C16 an input for an execution that is not there, or is over, is not stored", () =>
    Effect.gen(function* () {
      const { inbox, load, store, submit } = yield* repository
      for (const uuid of [Sample.created().uuid, Sample.callerUuid(), "no uuid"]) {
        const error = yield* Effect.flip(submit({ ...rowOf(Sample.created(), "x"), uuid }))
        assert.strictEqual(error._tag, "SagaExecutionNotFound", uuid)
        assert.deepStrictEqual(yield* inbox(uuid), [])
      }
      const settled = yield* store(Sample.committed(Sample.finished(yield* paused())), { closes: true })
      // A repository may forget an execution that is over.
      const isKept = Result.isSuccess(yield* Effect.result(load(settled.uuid)))
      const submitted = yield* Effect.result(submit(rowOf(settled, "late")))
      if (Result.isSuccess(submitted)) assert.strictEqual(submitted.success, "settled")
      else assert.strictEqual(submitted.failure._tag, "SagaExecutionNotFound")
      assert.strictEqual(Result.isSuccess(submitted), isKept)
      assert.deepStrictEqual(yield* inbox(settled.uuid), [])
    }))

  test("C16 an input needs no revision: it is stored whatever its sender has seen", () =>
    Effect.gen(function* () {
      const { load, store, submit } = yield* repository
      const first = yield* store(Sample.started(Sample.created()))
      yield* submit(rowOf(first, "early"))
      const second = yield* store(Sample.paused(first))
      assert.strictEqual(yield* submit(rowOf(first, "late")), "stored")
      assert.deepStrictEqual(yield* waiting(second), ["early", "late"])
      assert.strictEqual((yield* load(first.uuid)).revision, 2, "an input is no write of the execution")
    }))

  test("C16 C20 an input makes its execution due at its own time, and an earlier time stays", () =>
    Effect.gen(function* () {
      const { store, submit } = yield* repository
      const write = (hint: Repository.Hint) => store(Sample.paused(Sample.started(Sample.created())), hint)
      const later = yield* write({ wakeAt: Sample.time + minute })
      const never = yield* write({ wakeAt: Number.POSITIVE_INFINITY })
      const without = yield* write({ wakeAt: Number.POSITIVE_INFINITY })
      const soon = yield* write({ wakeAt: Sample.time + 5 })
      const all = [later, never, without, soon]
      for (const execution of [later, never, soon]) yield* submit(rowOf(execution, "x", Sample.time + 10))
      assert.deepStrictEqual((yield* claimable(all, Sample.time + 4)).uuids, [])
      assert.deepStrictEqual((yield* claimable(all, Sample.time + 5)).uuids, [soon.uuid])
      const { rows, uuids } = yield* claimable(all, Sample.time + 10)
      assert.deepStrictEqual(uuids, [later.uuid, never.uuid])
      assert.deepStrictEqual(rows.map(({ uuid }) => uuid).toSorted(), [later.uuid, never.uuid].toSorted())
    }))

  test("C16 an input makes due also what waits for a person", () =>
    Effect.gen(function* () {
      const { store, submit } = yield* repository
      const finished = Sample.finished(Sample.paused(Sample.started(Sample.created(), { autocommit: false })))
      const undecided = yield* store(finished, { wakeAt: Number.POSITIVE_INFINITY })
      const parked = yield* store(Sample.parked(Sample.refused(yield* paused())), { wakeAt: Number.POSITIVE_INFINITY })
      const all = [undecided, parked]
      assert.deepStrictEqual((yield* claimable(all)).uuids, [])
      for (const execution of all) yield* submit(rowOf(execution, "x"))
      const { owner, uuids } = yield* claimable(all)
      assert.deepStrictEqual(uuids, [undecided.uuid, parked.uuid])
      // Nothing came of the inputs: it waits for a person as before.
      const read = yield* store(parked, { owner, reads: ["x"] })
      const { giveBack } = yield* repository
      const request = { uuid: read.uuid, owner, revision: read.revision, wakeAt: Number.POSITIVE_INFINITY }
      assert.isTrue(yield* giveBack(request))
      assert.deepStrictEqual((yield* claimable(all)).uuids, [])
    }))

  test("C16 an input leaves an execution to the living owner that works on it, and gives it the row", () =>
    Effect.gen(function* () {
      const { claim, store, submit } = yield* repository
      const owner = Sample.uniqueName()
      const request = { owner, now: Sample.time, leaseMillis: minute, limit: 100_000 }
      yield* claim(request)
      const execution = yield* store(Sample.started(Sample.created()), { owner })
      yield* submit(rowOf(execution, "x", Sample.time - minute))
      const others = yield* claimable([execution])
      assert.deepStrictEqual([others.uuids, others.rows], [[], []])
      const { inbox } = yield* claim({ ...request, holds: [execution] })
      assert.deepStrictEqual(inbox, [rowOf(execution, "x", Sample.time - minute)])
    }))

  test("C16 a write takes the inputs that it has read out of the inbox, and no others", () =>
    Effect.gen(function* () {
      const { store, submit } = yield* repository
      const execution = yield* paused()
      for (const id of ["a", "b", "c"]) yield* submit(rowOf(execution, id))
      const next = yield* store(Sample.finished(execution), { owner: "me", reads: ["c", "a", "unknown"] })
      assert.strictEqual(next.revision, execution.revision + 1)
      assert.deepStrictEqual(yield* waiting(execution), ["b"])
      // The id is free again: whoever judges it finds what became of it among the facts.
      assert.strictEqual(yield* submit(rowOf(execution, "a")), "stored")
    }))

  test("C16 a write whose revision is taken leaves the inbox as it is", () =>
    Effect.gen(function* () {
      const { store, submit } = yield* repository
      const execution = yield* paused()
      yield* submit(rowOf(execution, "a"))
      const next = yield* store(Sample.finished(execution))
      for (const hint of [{ reads: ["a"] }, { closes: true }, { reads: ["a"], closes: true }]) {
        const error = yield* Effect.flip(store(Sample.refused(execution), hint))
        if (error._tag !== "SagaExecutionConflict") return assert.fail(error._tag)
        assert.isUndefined(error.unread, "the newer state is loaded anyway")
      }
      assert.deepStrictEqual(yield* waiting(next), ["a"])
    }))

  test("C16 a write may take inputs out without any fact, and raises the revision", () =>
    Effect.gen(function* () {
      const { load, store, submit } = yield* repository
      const execution = yield* paused()
      yield* submit(rowOf(execution, "stale"))
      const next = yield* store(execution, { wakeAt: Sample.time, reads: ["stale"], closes: true })
      assert.strictEqual(next.revision, execution.revision + 1)
      assert.deepStrictEqual((yield* load(execution.uuid)).events, execution.events)
      assert.strictEqual((yield* load(execution.uuid)).revision, next.revision)
      assert.deepStrictEqual(yield* waiting(execution), [])
      assert.strictEqual((yield* Effect.flip(store(execution, { reads: ["stale"] })))._tag, "SagaExecutionConflict")
    }))

  test("C16 a write that begins a wait or ends the execution is refused while there are inputs that it has not read", () =>
    Effect.gen(function* () {
      const { load, store, submit } = yield* repository
      const execution = yield* paused()
      for (const id of ["a", "b"]) yield* submit(rowOf(execution, id))
      const finished = Sample.finished(execution)
      for (const reads of [undefined, [], ["a"], ["b"], ["c", "d"], ["a", "a"]])
        yield* assertUnread(finished, { owner: "me", closes: true, ...(reads !== undefined && { reads }) })
      assert.strictEqual((yield* load(execution.uuid)).revision, execution.revision)
      assert.deepStrictEqual(yield* waiting(execution), ["a", "b"])
      const open = yield* store(finished, { owner: "me", reads: ["a"] })
      yield* assertUnread(Sample.committed(open), { closes: true })
      const closed = yield* store(Sample.committed(open), { reads: ["b"], closes: true })
      assert.isTrue(closed.settled)
      assert.deepStrictEqual(yield* waiting(closed), [])
    }))

  test("C16 a start may close the execution: no input can wait for what is not there", () =>
    Effect.gen(function* () {
      const { store } = yield* repository
      for (const options of [{}, { uuid: Sample.callerUuid() }, { startKey: Sample.uniqueName() }]) {
        const hint = { wakeAt: Sample.time + minute, closes: true }
        const stored = yield* store(Sample.paused(Sample.started(Sample.created(options))), hint)
        assert.strictEqual((yield* store(Sample.finished(stored), { owner: "me", closes: true })).revision, 2)
      }
    }))

  test("C16 inputs are gone with their execution", () =>
    Effect.gen(function* () {
      const repo = yield* repository
      const execution = yield* paused({ startKey: Sample.uniqueName() })
      yield* repo.submit(rowOf(execution, "a"))
      yield* repo.delete(execution)
      assert.deepStrictEqual(yield* repo.inbox(execution.uuid), [])
      assert.strictEqual((yield* Effect.flip(repo.submit(rowOf(execution, "b"))))._tag, "SagaExecutionNotFound")
    }))

  test("I20 at most 1,000 inputs wait for one execution", () =>
    Effect.gen(function* () {
      const { store, submit } = yield* repository
      const execution = yield* paused()
      const ids = Array.from({ length: SagaInbox.maxRows }, (_, i) => `${i}`)
      yield* Effect.forEach(ids, (id) => submit(rowOf(execution, id)), { concurrency: 16, discard: true })
      const error = yield* Effect.flip(submit(rowOf(execution, "one more")))
      if (error._tag !== "SagaInboxFull") return assert.fail(error._tag)
      assert.strictEqual(error.rows, SagaInbox.maxRows)
      assert.strictEqual(yield* submit(rowOf(execution, "7")), "known")
      yield* store(execution, { owner: "me", reads: ["7", "8"] })
      assert.strictEqual(yield* submit(rowOf(execution, "one more")), "stored")
    }))

  test("C16 an input that comes while the execution ends is refused or keeps it from ending, and is never lost", () =>
    Effect.gen(function* () {
      const { load, store, submit } = yield* repository
      for (let i = 0; i < 12; i++) {
        const execution = Sample.finished(yield* paused())
        const write = Effect.result(store(Sample.committed(execution), { closes: true }))
        const send = Effect.result(submit(rowOf(execution, "late")))
        const atOnce = { concurrency: "unbounded" } as const
        const { ended, sent } = yield* i % 2 === 0
          ? Effect.all({ ended: write, sent: send }, atOnce)
          : Effect.all({ sent: send, ended: write }, atOnce)
        const isStored = Result.isSuccess(sent) && sent.success === "stored"
        assert.strictEqual(isStored, Result.isFailure(ended))
        if (Result.isFailure(ended)) assert.propertyVal(ended.failure, "unread", true)
        if (isStored) {
          assert.strictEqual((yield* load(execution.uuid)).revision, execution.revision)
          assert.deepStrictEqual(yield* waiting(execution), ["late"])
        }
      }
    }))

  test("C16 inputs that come while the execution is written are all there, and none is taken out unread", () =>
    Effect.gen(function* () {
      const { store, submit } = yield* repository
      let execution = yield* paused()
      const read = new Set<string>()
      const ids = Array.from({ length: 40 }, (_, i) => `${i}`)
      const sending = Effect.forEach(ids, (id) => submit(rowOf(execution, id)), { concurrency: 8 })
      const reading = Effect.gen(function* () {
        while (read.size < ids.length) {
          const reads = yield* waiting(execution)
          for (const id of reads) read.add(id)
          execution = yield* store(execution, { owner: "me", reads })
          yield* Effect.yieldNow
        }
      })
      const [sent] = yield* Effect.all([sending, reading], { concurrency: "unbounded" })
      assert.deepStrictEqual(new Set(sent), new Set(["stored"]))
      assert.deepStrictEqual(yield* waiting(execution), [])
      assert.strictEqual((yield* store(Sample.finished(execution), { closes: true })).status, "finished")
    }))

  test("C16 who listens hears of inputs by the uuid of their execution", () =>
    Effect.gen(function* () {
      const { inputs, submit } = yield* repository
      const execution = yield* paused()
      const heard = yield* Effect.forkChild(Stream.runHead(Stream.filter(inputs, (uuid) => uuid === execution.uuid)), {
        startImmediately: true
      })
      // Some may be missing, as before the listener is there.
      let sent = 0
      while (heard.pollUnsafe() === undefined) {
        yield* submit(rowOf(execution, `${sent++ % 900}`))
        yield* Effect.yieldNow
      }
      assert.deepStrictEqual(yield* Fiber.join(heard), Option.some(execution.uuid))
    }))
}
