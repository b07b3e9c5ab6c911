/** The repository suite on three functions and on a `KeyValueStore`, and how the functions are called. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as KeyValueRepository from "../../../src/adapters/keyvalue/KeyValueRepository.ts"
import * as Execution from "../../../src/execution/view/SagaExecution.ts"
import * as Repository from "../../../src/ports/SagaExecutionRepository.ts"
import * as RepositorySuite from "../../../src/testing/RepositorySuite.ts"
import * as Sample from "../../../src/testing/SampleExecutions.ts"

/** Three functions over a map of texts, or of the values themselves. */
const functions = (kept = new Map<string, unknown>(), text = true) => ({
  save: (uuid: string, value: KeyValueRepository.Kept) =>
    Effect.sync(() => kept.set(uuid, text ? JSON.stringify(value) : value)),
  get: (uuid: string) => Effect.sync(() => (text ? kept.get(uuid) : Option.fromNullishOr(kept.get(uuid)))),
  remove: (uuid: string) => Effect.sync(() => kept.delete(uuid)),
  list: () => Effect.sync(() => kept.values())
})

const layerOf = (
  functions: KeyValueRepository.KeyValueFunctions,
  options?: KeyValueRepository.KeyValueRepositoryOptions
) => Layer.effect(Repository.SagaExecutionRepository, KeyValueRepository.make(functions, options))

/** As `functions`, but every call lets others go first. */
const slow = (kept?: Map<string, unknown>): KeyValueRepository.KeyValueFunctions => {
  const { get, list, remove, save } = functions(kept)
  const later = <A>(self: Effect.Effect<A>) => Effect.andThen(Effect.yieldNow, self)
  return {
    save: (uuid, value) => later(save(uuid, value)),
    get: (uuid) => later(get(uuid)),
    remove: (uuid) => later(remove(uuid)),
    list: () => later(list())
  }
}

/** It keeps no schedules. */
const unscheduled = { parts: ["core", "concurrent", "recovery", "inbox"] } as const

RepositorySuite.suite("functions over text", layerOf(functions()), unscheduled)
RepositorySuite.suite("functions over values", layerOf(functions(new Map(), false)), unscheduled)
RepositorySuite.suite("functions that take their time", layerOf(slow()), unscheduled)
RepositorySuite.suite("functions that forget settled executions", layerOf(slow(), { keepSettled: false }), unscheduled)
const { get, remove, save } = functions()
RepositorySuite.suite("three functions", layerOf({ get, remove, save }), { parts: ["core", "concurrent"] })
RepositorySuite.suite(
  "key value store",
  KeyValueRepository.layer({ prefix: "sagas:" }).pipe(Layer.provide(KeyValueStore.layerMemory)),
  unscheduled
)

describe("REP-008 three functions", () => {
  it.effect("REP-006 the functions of a repository get every id in one normal form", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const kept = functions()
      const note = <A>(uuid: string, self: Effect.Effect<A>) =>
        Effect.tap(
          self,
          Effect.sync(() => seen.push(uuid))
        )
      const repo = yield* KeyValueRepository.make({
        save: (uuid, value) => note(uuid, kept.save(uuid, value)),
        get: (uuid) => note(uuid, kept.get(uuid)),
        remove: (uuid) => note(uuid, kept.remove(uuid))
      })
      const stored = yield* repo.store(Sample.created())
      yield* repo.load(` ${stored.uuid.toUpperCase()}`)
      yield* repo.store(Sample.started(stored))
      yield* repo.delete(` ${stored.uuid.toUpperCase()}`)
      const again = yield* repo.store(Sample.created({ uuid: stored.uuid }))
      yield* repo.delete(again)
      assert.deepStrictEqual(new Set(seen), new Set([stored.uuid]))
    })
  )

  it.effect("the functions of a repository are not called with text that is no id", () =>
    Effect.gen(function* () {
      const never = () => Effect.die("called")
      const repo = yield* KeyValueRepository.make({ save: never, get: never, remove: never })
      assert.strictEqual((yield* Effect.flip(repo.load("no uuid")))._tag, "SagaExecutionNotFound")
      yield* repo.delete("no uuid")
    })
  )

  it.effect("the save function gets the whole execution in its encoded form, under its id", () =>
    Effect.gen(function* () {
      const kept = new Map<string, unknown>()
      const repo = yield* KeyValueRepository.make(functions(kept, false))
      const stored = yield* repo.store(Sample.paused(Sample.started(Sample.created())))
      assert.deepStrictEqual([...kept], [[stored.uuid, Execution.raw(stored)]])
    })
  )

  it.effect("a second repository on the same records loads executions, and knows which startKeys are used up", () =>
    Effect.gen(function* () {
      const kept = new Map<string, unknown>()
      const first = yield* KeyValueRepository.make(functions(kept))
      const stored = yield* first.store(Sample.started(Sample.created()))
      yield* first.delete(yield* first.store(Sample.created({ startKey: "order-7" })))
      const second = yield* KeyValueRepository.make(functions(kept))
      assert.deepStrictEqual(Execution.raw(yield* second.load(stored.uuid)), Execution.raw(stored))
      const error = yield* Effect.flip(second.store(Sample.created({ startKey: "order-7" })))
      assert.strictEqual(error._tag, "SagaExecutionRetired")
      assert.deepStrictEqual(
        (yield* second.find({})).items.map(({ uuid }) => uuid),
        [stored.uuid]
      )
    })
  )

  it.effect("a startKey is free again if a crash kept its execution from being saved", () =>
    Effect.gen(function* () {
      const kept = new Map<string, unknown>()
      const { get, remove, save } = functions(kept)
      const lost = Sample.created({ startKey: "order-7" })
      const broken = yield* KeyValueRepository.make({
        get,
        remove,
        save: (uuid, value) => (uuid === lost.uuid ? Effect.fail("down") : save(uuid, value))
      })
      yield* Effect.flip(broken.store(lost))
      const repo = yield* KeyValueRepository.make({ get, remove, save })
      const stored = yield* repo.store(Sample.created({ startKey: "order-7" }))
      const error = yield* Effect.flip(repo.store(lost))
      if (error._tag !== "SagaExecutionConflict") return assert.fail(error._tag)
      assert.strictEqual(error.existing, stored.uuid)
    })
  )

  it.effect("I10 a startKey stays used up while its execution is being deleted", () =>
    Effect.gen(function* () {
      for (let wait = 0; wait < 12; wait++) {
        const kept = functions()
        const others = Effect.repeat(Effect.yieldNow, { times: 4 })
        const repo = yield* KeyValueRepository.make({ ...kept, get: (uuid) => Effect.andThen(others, kept.get(uuid)) })
        const first = yield* repo.store(Sample.created({ startKey: "order-7" }))
        const again = Effect.flip(repo.store(Sample.created({ startKey: "order-7" })))
        const gone = Effect.andThen(Effect.repeat(Effect.yieldNow, { times: wait }), repo.delete(first))
        const [error] = yield* Effect.all([again, gone], { concurrency: "unbounded" })
        assert.include(["SagaExecutionConflict", "SagaExecutionRetired"], error._tag)
      }
    })
  )

  it.effect("without a list function, find and claim give nothing", () =>
    Effect.gen(function* () {
      const { get, remove, save } = functions()
      const repo = yield* KeyValueRepository.make({ get, remove, save })
      const request = { owner: "a", now: 0, leaseMillis: 1, limit: 1 }
      const errors = [yield* Effect.flip(repo.find({})), yield* Effect.flip(repo.claim(request))]
      assert.deepStrictEqual(errors, [
        new Repository.SagaRepositoryUnsupported({ operation: "find" }),
        new Repository.SagaRepositoryUnsupported({ operation: "claim" })
      ])
      yield* repo.release("a")
      assert.isTrue(repo.durable)
      assert.isFalse(repo.transactional)
    })
  )

  it.effect("a function that fails with any error makes the operation fail as unavailable", () =>
    Effect.gen(function* () {
      const stored = Sample.started(Execution.stored(Sample.created()))
      const causes = [new Error("connection refused"), "down", 7, undefined, { code: 1 }]
      for (const cause of causes) {
        const fail = () => Effect.fail(cause)
        const repo = yield* KeyValueRepository.make({ save: fail, get: fail, remove: fail, list: fail })
        const failing = {
          store: repo.store(stored),
          load: repo.load(stored.uuid),
          delete: repo.delete(stored),
          find: repo.find({}),
          claim: repo.claim({ owner: "a", now: 0, leaseMillis: 1, limit: 1 })
        } as const
        for (const [operation, call] of Object.entries(failing)) {
          const error = yield* Effect.flip<unknown, unknown, never>(call)
          if (!(error instanceof Repository.SagaExecutionRepositoryError)) return assert.fail(String(error))
          assert.strictEqual(error.reason, "unavailable")
          assert.strictEqual(error.operation, operation)
          assert.strictEqual(error.cause, cause)
        }
      }
    })
  )

  it.effect("W5 the repository recognizes its own write that was made although the function failed", () =>
    Effect.gen(function* () {
      const kept = functions()
      let broken = true
      const repo = yield* KeyValueRepository.make({
        ...kept,
        save: (uuid, value) => Effect.tap(kept.save(uuid, value), broken ? Effect.fail("connection lost") : Effect.void)
      })
      const first = Sample.created()
      assert.strictEqual((yield* Effect.flip(repo.store(first)))._tag, "SagaExecutionRepositoryError")
      const stored = yield* repo.store(first)
      assert.strictEqual(stored.revision, 1)
      const next = Sample.started(stored)
      assert.strictEqual((yield* Effect.flip(repo.store(next)))._tag, "SagaExecutionRepositoryError")
      broken = false
      yield* repo.store(Sample.paused(yield* repo.load(first.uuid)))
      assert.strictEqual((yield* Effect.flip(repo.store(next)))._tag, "SagaExecutionConflict")
      assert.strictEqual((yield* repo.load(first.uuid)).status, "paused")
    })
  )

  it.effect("I16 a record that cannot be read is corrupt, and stays as it is", () =>
    Effect.gen(function* () {
      const execution = Sample.started(Execution.stored(Sample.created()))
      const raw = Execution.raw(execution)
      const broken = [
        "{",
        "7",
        "{}",
        JSON.stringify({ ...raw, events: [] }),
        JSON.stringify({ ...raw, events: [{ _tag: Sample.secret }] }),
        `{"card":"${Sample.secret}`,
        // Those of another execution, under another uuid or under its own.
        JSON.stringify({ ...raw, uuid: Sample.callerUuid() }),
        JSON.stringify(Execution.raw(Sample.started(Execution.stored(Sample.created()))))
      ]
      for (const text of broken) {
        const kept = new Map<string, unknown>([[execution.uuid, text]])
        const repo = yield* KeyValueRepository.make(functions(kept))
        for (const call of [repo.load(execution.uuid), repo.delete(execution.uuid)]) {
          const error = yield* Effect.flip<unknown, unknown, never>(call)
          if (!(error instanceof Repository.SagaExecutionRepositoryError)) return assert.fail(String(error))
          assert.strictEqual(error.reason, "corrupt")
          assert.notInclude(`${error.message} ${error.cause} ${JSON.stringify(error)}`, Sample.secret)
        }
        assert.deepStrictEqual([...kept], [[execution.uuid, text]])
      }
    })
  )

  it.effect("I16 find lists the other executions when one cannot be read", () =>
    Effect.gen(function* () {
      const kept = new Map<string, unknown>([[Sample.callerUuid(), "{"]])
      const repo = yield* KeyValueRepository.make(functions(kept))
      const stored = yield* repo.store(Sample.created())
      assert.deepStrictEqual(
        (yield* repo.find({})).items.map(({ uuid }) => uuid),
        [stored.uuid]
      )
      assert.strictEqual(kept.size, 2)
    })
  )

  it.effect("the functions are called one after the other for one execution, and at the same time for several", () =>
    Effect.gen(function* () {
      const busy = new Map<string, number>()
      let most = 0
      let all = 0
      const kept = slow()
      const watched = <A>(uuid: string, self: Effect.Effect<A, unknown>) =>
        Effect.acquireUseRelease(
          Effect.sync(() => {
            all++
            busy.set(uuid, (busy.get(uuid) ?? 0) + 1)
            most = Math.max(most, all)
            assert.strictEqual(busy.get(uuid), 1)
          }),
          () => self,
          () =>
            Effect.sync(() => {
              all--
              busy.set(uuid, busy.get(uuid)! - 1)
            })
        )
      const repo = yield* KeyValueRepository.make({
        save: (uuid, value) => watched(uuid, kept.save(uuid, value)),
        get: (uuid) => watched(uuid, kept.get(uuid)),
        remove: (uuid) => watched(uuid, kept.remove(uuid))
      })
      const executions = [Sample.created(), Sample.created()]
      yield* Effect.forEach(
        [...executions, ...executions, ...executions],
        (it) => Effect.repeat(Effect.result(repo.store(it)), { times: 2 }),
        {
          concurrency: "unbounded"
        }
      )
      assert.strictEqual(most, 2)
    })
  )
})

describe("key value store", () => {
  it.effect("executions in a KeyValueStore leave other keys alone", () =>
    Effect.gen(function* () {
      const store = yield* KeyValueStore.KeyValueStore
      yield* store.set("mine", "not an execution")
      const repo = yield* KeyValueRepository.fromKeyValueStore(store)
      const stored = yield* repo.store(Sample.created())
      assert.deepStrictEqual(new Set(yield* store.keys), new Set(["mine", `effect-saga/${stored.uuid}`]))
      assert.strictEqual((yield* repo.find({})).items.length, 1)
    }).pipe(Effect.provide(KeyValueStore.layerMemory))
  )
})
