/**
 * The contract of `SagaExecutionRepository` as tests: call `suite` in a test file with the layer to be tested. The tests
 * use ids of their own, so the store may already hold executions. Needs `@effect/vitest`.
 */
import { assert } from "@effect/vitest"
import { Effect, type Layer, Result } from "effect"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import * as Broker from "../ports/Broker.ts"
import * as Repository from "../ports/SagaExecutionRepository.ts"
import * as InboxSuite from "./RepositoryInboxSuite.ts"
import * as OwnershipSuite from "./RepositoryOwnershipSuite.ts"
import { queues } from "./RepositoryQueueSuite.ts"
import * as RecoverySuite from "./RepositoryRecoverySuite.ts"
import { schedules } from "./RepositoryScheduleSuite.ts"
import * as SignalSuite from "./RepositorySignalSuite.ts"
import * as Sample from "./SampleExecutions.ts"
import * as Suite from "./Suite.ts"

/**
 * `core`: one operation after the other; `concurrent`: several at the same time; `recovery`: `find`, and which instance
 * has which execution; `inbox`: inputs for the instance that has an execution, and signals among them; `schedules`: the last
 * tick of each schedule; `queues`: places in queues.
 */
export const suite = <E>(
  name: string,
  layer: Layer.Layer<Repository.SagaExecutionRepository, E>,
  options: Suite.Options<Part> = {}
): void =>
  Suite.register(
    `SagaExecutionRepository: ${name}`,
    layer,
    { core, concurrent, recovery, inbox, schedules, queues },
    options
  )

type Part = Suite.Part | "inbox" | "schedules" | "queues"

type Test = Suite.Test<Repository.SagaExecutionRepository>

const recovery = (test: Test): void => {
  RecoverySuite.recovery(test)
  OwnershipSuite.ownership(test)
}

const inbox = (test: Test): void => {
  InboxSuite.inbox(test)
  SignalSuite.signals(test)
}

const repository = Repository.SagaExecutionRepository

/** Stores each state of a run. */
const storeAll = Effect.fnUntraced(function* (
  execution: SagaExecution,
  steps: ReadonlyArray<(execution: SagaExecution) => SagaExecution>
) {
  const { store } = yield* repository
  let stored = yield* store(execution)
  for (const step of steps) stored = yield* store(step(stored))
  return stored
})

const assertEqual = (actual: SagaExecution, expected: SagaExecution): void =>
  assert.deepStrictEqual(Execution.raw(actual), Execution.raw(expected))

const assertNotFound = Effect.fnUntraced(function* (uuid: string) {
  const error = yield* Effect.flip((yield* repository).load(uuid))
  assert.strictEqual(error._tag, "SagaExecutionNotFound")
})

const assertConflict = Effect.fnUntraced(function* (execution: SagaExecution) {
  const error = yield* Effect.flip((yield* repository).store(execution))
  if (error._tag !== "SagaExecutionConflict") return assert.fail(error._tag)
  assert.strictEqual(error.uuid, execution.uuid)
  assert.strictEqual(error.revision, execution.revision + 1)
  return error
})

const core = (test: Test): void => {
  test("REP-001 loads an execution equal to the one stored, without its definition", () =>
    Effect.gen(function* () {
      const { load, store } = yield* repository
      const execution = Sample.paused(Sample.started(Sample.created({ user: "ada" })))
      const stored = yield* store(execution)
      const loaded = yield* load(execution.uuid)
      assertEqual(loaded, stored)
      assertEqual(loaded, Execution.stored(execution))
      assert.strictEqual(loaded.definition, undefined)
      assert.strictEqual(loaded.user, "ada")
      assert.deepStrictEqual(loaded.relatedServices, ["orders"])
      assert.strictEqual(loaded.pausedStep?.name, "payment")
    }))

  test("REP-002 loads the latest of the states stored", () =>
    Effect.gen(function* () {
      const { load, store } = yield* repository
      const first = yield* store(Sample.started(Sample.created()))
      const second = yield* store(Sample.paused(first))
      const loaded = yield* load(first.uuid)
      assertEqual(loaded, second)
      assert.strictEqual(loaded.status, "paused")
      assert.strictEqual(loaded.executedSteps.length, 1)
    }))

  test("REP-003 loads an execution by any text form of its id", () =>
    Effect.gen(function* () {
      const { load, store } = yield* repository
      const stored = yield* store(Sample.created())
      for (const text of [stored.uuid, stored.uuid.toUpperCase(), ` ${stored.uuid}\n`])
        assertEqual(yield* load(text), stored)
    }))

  test("REP-004 says that an unknown execution is not found", () =>
    Effect.gen(function* () {
      yield* assertNotFound(Sample.callerUuid())
      yield* assertNotFound(Sample.created().uuid)
      for (const text of ["", "no uuid", "' or 1 = 1", "\u0000"]) yield* assertNotFound(text)
    }))

  test("REP-005 deletes an execution by itself, by id and by text", () =>
    Effect.gen(function* () {
      const repo = yield* repository
      const targets: ReadonlyArray<(execution: SagaExecution) => string | SagaExecution> = [
        (execution) => execution,
        ({ uuid }) => uuid,
        ({ uuid }) => ` ${uuid.toUpperCase()} `
      ]
      for (const target of targets) {
        const stored = yield* repo.store(Sample.started(Sample.created()))
        yield* repo.delete(target(stored))
        yield* assertNotFound(stored.uuid)
      }
    }))

  test("REP-005 deleting an unknown execution is no error", () =>
    Effect.gen(function* () {
      const repo = yield* repository
      yield* repo.delete(Sample.callerUuid())
      yield* repo.delete(Sample.created())
      yield* repo.delete("no uuid")
    }))

  test("REP-006 treats all text forms of an id as one execution", () =>
    Effect.gen(function* () {
      const repo = yield* repository
      const uuid = Sample.callerUuid()
      const stored = yield* repo.store(Sample.created({ uuid }))
      assertEqual(yield* repo.load(uuid.toUpperCase()), stored)
      yield* repo.store(Sample.started(yield* repo.load(`\t${uuid}`)))
      assert.strictEqual((yield* repo.load(uuid)).revision, 2)
      yield* repo.delete(uuid.toUpperCase())
      yield* assertNotFound(uuid)
    }))

  test("REP-007 stores, overwrites, loads and deletes one execution from its start to its end", () =>
    Effect.gen(function* () {
      const repo = yield* repository
      const stored = yield* storeAll(Sample.created(), Sample.story.slice(0, -1))
      assertEqual(yield* repo.load(stored.uuid.toUpperCase()), stored)
      yield* assertNotFound(Sample.callerUuid())
      yield* repo.delete(stored.uuid)
      yield* assertNotFound(stored.uuid)
    }))

  test("I6 each write raises the revision by one; without new facts nothing is written", () =>
    Effect.gen(function* () {
      const { load, store } = yield* repository
      let execution = Sample.created()
      for (const [i, step] of Sample.story.slice(0, -1).entries()) {
        const stored = yield* store(execution)
        assert.strictEqual(stored.revision, i + 1)
        assert.deepStrictEqual(Execution.unstored(stored), [])
        assert.strictEqual((yield* store(stored)).revision, i + 1)
        assertEqual(yield* load(stored.uuid), stored)
        execution = step(stored)
      }
    }))

  test("I18 after every write the loaded state is the fold of the facts so far", () =>
    Effect.gen(function* () {
      const { load, store } = yield* repository
      const first = Sample.created()
      const { events } = Sample.undone(Sample.refused(Sample.paused(Sample.started(first))))
      let execution = yield* store(first)
      for (let n = 2; n <= events.length; n++) {
        execution = yield* store(Execution.evolve(execution, events[n - 1]!))
        const loaded = yield* load(execution.uuid)
        const folded = Execution.fromEvents(n, events.slice(0, n))
        if (folded instanceof Execution.SagaDecodeError) return assert.fail(folded.message)
        assertEqual(loaded, folded)
        assertEqual(loaded, execution)
      }
    }))

  test("gives back the exact text of a message that is to be sent again", () =>
    Effect.gen(function* () {
      const { load } = yield* repository
      const note = "\u2028 ünï \ud83d\udc18 \" \\ \n</script> ' ; drop table"
      const stored = yield* storeAll(Sample.created({ note, user: "o'neil \ud83d\ude42" }), [
        Sample.started,
        Sample.paused
      ])
      const loaded = yield* load(stored.uuid)
      const sent = ({ state }: SagaExecution) => Broker.toMessage(state.root.current!.request!.message, "Charge")
      assert.deepStrictEqual(sent(loaded), sent(stored))
      assert.deepStrictEqual(loaded.events, stored.events)
      assert.strictEqual(JSON.stringify(loaded.context), JSON.stringify(stored.context))
    }))

  test("keeps a snapshot: later changes of an execution do not change the stored one", () =>
    Effect.gen(function* () {
      const { load, store } = yield* repository
      const stored = yield* store(Sample.started(Sample.created()))
      Sample.finished(Sample.paused(stored))
      const loaded = yield* load(stored.uuid)
      Sample.paused(loaded)
      assertEqual(yield* load(stored.uuid), stored)
      assert.strictEqual((yield* load(stored.uuid)).status, "running")
    }))

  test("W5 refuses a write whose revision is taken, also by the same execution", () =>
    Effect.gen(function* () {
      const { load, store } = yield* repository
      const first = yield* store(Sample.created())
      const next = Sample.started(first)
      const second = yield* store(next)
      assert.strictEqual((yield* assertConflict(next))?.existing, undefined)
      yield* assertConflict(Sample.started(first))
      assertEqual(yield* load(first.uuid), second)
    }))

  test("refuses a second start under one uuid, and names the execution that has it", () =>
    Effect.gen(function* () {
      const { load, store } = yield* repository
      const uuid = Sample.callerUuid()
      const stored = yield* store(Sample.created({ uuid }))
      assert.strictEqual((yield* assertConflict(Sample.created({ uuid, note: "other" })))?.existing, uuid)
      yield* store(Sample.started(stored))
      assert.strictEqual((yield* assertConflict(Sample.created({ uuid })))?.existing, uuid)
      assert.strictEqual((yield* load(uuid)).revision, 2)
    }))

  test("refuses a second start under one startKey, and names the execution that has it", () =>
    Effect.gen(function* () {
      const { store } = yield* repository
      const startKey = Sample.uniqueName()
      const stored = yield* store(Sample.created({ startKey }))
      const other = Sample.created({ startKey })
      assert.strictEqual((yield* assertConflict(other))?.existing, stored.uuid)
      yield* assertNotFound(other.uuid)
      yield* store(Sample.started(stored))
    }))

  test("C9 refuses a start whose uuid or startKey is taken, and leaves the other of the two free", () =>
    Effect.gen(function* () {
      const { store } = yield* repository
      for (const name of ["uuid", "startKey"] as const) {
        const startKey = Sample.uniqueName()
        const names = { uuid: Sample.callerUuid(startKey), startKey }
        const taken = yield* store(Sample.created({ [name]: names[name] }))
        assert.strictEqual((yield* assertConflict(Sample.created(names)))?.existing, taken.uuid)
        const other = name === "uuid" ? { startKey: names.startKey } : { uuid: names.uuid }
        assert.strictEqual((yield* store(Sample.created(other))).revision, 1)
      }
    }))

  test("refuses a write to an execution that is deleted", () =>
    Effect.gen(function* () {
      const repo = yield* repository
      for (const options of [{}, { uuid: Sample.callerUuid() }, { startKey: Sample.uniqueName() }]) {
        const stored = yield* repo.store(Sample.created(options))
        yield* repo.delete(stored)
        yield* assertConflict(Sample.started(stored))
        yield* assertNotFound(stored.uuid)
      }
    }))

  test("C9 after a delete the uuid and startKey that a caller gave stay used up, with the outcome", () =>
    Effect.gen(function* () {
      const repo = yield* repository
      const ends = [
        { outcome: "deleted", steps: [Sample.started, Sample.paused] },
        { outcome: "committed", steps: Sample.story },
        { outcome: "rejected", steps: [Sample.started, Sample.paused, Sample.refused, Sample.rejected] }
      ] as const
      for (const { outcome, steps } of ends) {
        for (const name of ["uuid", "startKey"] as const) {
          const given = name === "uuid" ? Sample.callerUuid() : Sample.uniqueName()
          const stored = yield* storeAll(Sample.created({ [name]: given }), steps)
          yield* repo.delete(stored.uuid)
          yield* assertNotFound(stored.uuid)
          const error = yield* Effect.flip(repo.store(Sample.created({ [name]: given, note: "later" })))
          if (error._tag !== "SagaExecutionRetired") return assert.fail(error._tag)
          assert.strictEqual(error.outcome, outcome)
          assert.strictEqual(error.uuid, stored.uuid)
          assert.strictEqual(error.startKey, stored.startKey)
          assert.strictEqual(error.saga, stored.saga)
          assert.strictEqual(error.contextHash, Repository.contextHash(stored))
        }
      }
    }))

  test("after a delete nothing is left of an execution whose uuid the library made", () =>
    Effect.gen(function* () {
      const repo = yield* repository
      const execution = Sample.created()
      yield* repo.delete(yield* repo.store(execution))
      assert.strictEqual((yield* repo.store(execution)).revision, 1)
    }))

  test("C12 errors contain nothing of the context", () =>
    Effect.gen(function* () {
      const repo = yield* repository
      const startKey = Sample.uniqueName()
      const stored = yield* repo.store(Sample.created({ startKey }))
      const conflict = yield* Effect.flip(repo.store(Sample.created({ startKey })))
      yield* repo.delete(stored)
      const retired = yield* Effect.flip(repo.store(Sample.created({ startKey })))
      const missing = yield* Effect.flip(repo.load(stored.uuid))
      for (const error of [conflict, retired, missing])
        assert.notInclude(`${error.message} ${JSON.stringify(error)}`, Sample.secret)
      assert.include(conflict.message, stored.uuid)
      assert.include(retired.message, startKey)
      assert.include(missing.message, stored.uuid)
    }))
}

const concurrent = (test: Test): void => {
  test("I14 of many writers on one revision exactly one succeeds", () =>
    Effect.gen(function* () {
      const { load, store } = yield* repository
      let current = yield* store(Sample.created())
      for (const step of Sample.story.slice(0, -1)) {
        const racers = yield* Effect.forEach(Array.from({ length: 8 }), () => load(current.uuid))
        const results = yield* Effect.forEach(racers, (loaded) => Effect.result(store(step(loaded))), {
          concurrency: "unbounded"
        })
        const won = results.filter(Result.isSuccess).map((result) => result.success)
        const lost = results.filter(Result.isFailure).map((result) => result.failure._tag)
        assert.strictEqual(won.length, 1)
        assert.deepStrictEqual(new Set(lost), new Set(["SagaExecutionConflict"]))
        assertEqual(yield* load(current.uuid), won[0]!)
        current = won[0]!
      }
    }))

  test("I10 many starts with one startKey store one execution", () =>
    Effect.gen(function* () {
      const { load, store } = yield* repository
      const startKey = Sample.uniqueName()
      // A store that writes several together is busy with these when the others come.
      const before = Array.from({ length: 8 }, () => Sample.created({ startKey: Sample.uniqueName() }))
      const attempts = Array.from({ length: 16 }, () => Sample.created({ startKey }))
      const all = yield* Effect.forEach([...before, ...attempts], (execution) => Effect.result(store(execution)), {
        concurrency: "unbounded"
      })
      const results = all.slice(before.length)
      const [winner, ...others] = results.filter(Result.isSuccess).map((result) => result.success.uuid)
      assert.deepStrictEqual(others, [])
      for (const result of results.filter(Result.isFailure)) {
        if (result.failure._tag !== "SagaExecutionConflict") return assert.fail(result.failure._tag)
        assert.strictEqual(result.failure.existing, winner)
      }
      for (const { uuid } of attempts) if (uuid !== winner) yield* assertNotFound(uuid)
      assert.strictEqual((yield* load(winner!)).startKey, startKey)
    }))

  test("C9 many starts with one startKey leave the uuids free of those that come too late", () =>
    Effect.gen(function* () {
      const { store } = yield* repository
      const startKey = Sample.uniqueName()
      const before = Array.from({ length: 8 }, () => Sample.created({ startKey: Sample.uniqueName() }))
      const attempts = Array.from({ length: 8 }, () => Sample.created({ uuid: Sample.callerUuid(startKey), startKey }))
      const all = yield* Effect.forEach([...before, ...attempts], (execution) => Effect.result(store(execution)), {
        concurrency: "unbounded"
      })
      const late = attempts.filter((_, i) => Result.isFailure(all[before.length + i]!))
      assert.strictEqual(late.length, attempts.length - 1)
      for (const { uuid } of late) assert.strictEqual((yield* store(Sample.created({ uuid }))).revision, 1)
    }))

  test("I10 many starts with one uuid store one execution", () =>
    Effect.gen(function* () {
      const { load, store } = yield* repository
      const uuid = Sample.callerUuid()
      const results = yield* Effect.forEach(
        Array.from({ length: 16 }, (_, i) => Sample.created({ uuid, note: `${i}` })),
        (execution) => Effect.result(store(execution)),
        { concurrency: "unbounded" }
      )
      const won = results.filter(Result.isSuccess).map((result) => result.success)
      assert.strictEqual(won.length, 1)
      assertEqual(yield* load(uuid), won[0]!)
    }))

  test("loses none of many executions that are written at the same time", () =>
    Effect.gen(function* () {
      const { load } = yield* repository
      const runs = yield* Effect.forEach(
        Array.from({ length: 100 }),
        () => storeAll(Sample.created(), [Sample.started, Sample.paused]),
        { concurrency: "unbounded" }
      )
      const loaded = yield* Effect.forEach(runs, ({ uuid }) => load(uuid), { concurrency: "unbounded" })
      loaded.forEach((execution, i) => {
        assertEqual(execution, runs[i]!)
      })
    }))

  test("a write and a delete at the same time never bring a deleted execution back", () =>
    Effect.gen(function* () {
      const repo = yield* repository
      for (let i = 0; i < 8; i++) {
        const stored = yield* repo.store(Sample.created({ startKey: Sample.uniqueName() }))
        const [written] = yield* Effect.all([Effect.result(repo.store(Sample.started(stored))), repo.delete(stored)], {
          concurrency: "unbounded"
        })
        if (Result.isFailure(written)) assert.strictEqual(written.failure._tag, "SagaExecutionConflict")
        yield* assertNotFound(stored.uuid)
      }
    }))
}
