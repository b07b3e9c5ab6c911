/** The repository suite on the memory layers, and what the memory layers do besides. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Execution from "../../src/execution/view/SagaExecution.ts"
import * as Repository from "../../src/ports/SagaExecutionRepository.ts"
import * as RepositorySuite from "../../src/testing/RepositorySuite.ts"
import * as Sample from "../../src/testing/SampleExecutions.ts"

const repository = Repository.SagaExecutionRepository

RepositorySuite.suite("memory", Repository.layerMemory)
RepositorySuite.suite("memory that keeps settled executions", Repository.layerMemoryWith({ keep: 1_000 }))

const commit = Effect.fnUntraced(function* (options?: Sample.Options) {
  const { store } = yield* repository
  let stored = yield* store(Sample.created(options))
  for (const step of Sample.story) stored = yield* store(step(stored))
  return stored
})

describe("memory", () => {
  it.effect("the memory repository forgets an execution when it is settled, and only then", () =>
    Effect.gen(function* () {
      const { load, store } = yield* repository
      const parked = yield* store(Sample.parked(Sample.refused(Sample.paused(Sample.started(Sample.created())))))
      const settled = yield* commit()
      assert.isTrue(settled.settled)
      assert.strictEqual((yield* Effect.flip(load(settled.uuid)))._tag, "SagaExecutionNotFound")
      assert.strictEqual((yield* load(parked.uuid)).status, "errored")
    }).pipe(Effect.provide(Repository.layerMemory))
  )

  it.effect(
    "C9 the memory repository remembers how a settled execution ended that has a uuid or startKey of a caller",
    () =>
      Effect.gen(function* () {
        const { store } = yield* repository
        const uuid = Sample.callerUuid()
        yield* commit({ uuid, startKey: "order-7" })
        for (const again of [Sample.created({ uuid }), Sample.created({ startKey: "order-7" })]) {
          const error = yield* Effect.flip(store(again))
          if (error._tag !== "SagaExecutionRetired") return assert.fail(error._tag)
          assert.strictEqual(error.outcome, "committed")
        }
      }).pipe(Effect.provide(Repository.layerMemory))
  )

  it.effect("the memory repository keeps the configured number of settled executions", () =>
    Effect.gen(function* () {
      const { find, load } = yield* repository
      const runs = yield* Effect.forEach([1, 2, 3], () => commit())
      assert.strictEqual((yield* Effect.flip(load(runs[0]!.uuid)))._tag, "SagaExecutionNotFound")
      for (const run of runs.slice(1)) assert.deepStrictEqual(Execution.raw(yield* load(run.uuid)), Execution.raw(run))
      assert.strictEqual((yield* find({ settled: true })).items.length, 2)
    }).pipe(Effect.provide(Repository.layerMemoryWith({ keep: 2 })))
  )

  it.effect("the memory repository says that it does not survive a restart, and begins empty", () =>
    Effect.gen(function* () {
      const first = yield* Effect.provide(
        Effect.gen(function* () {
          const repo = yield* repository
          assert.isFalse(repo.durable)
          assert.isTrue(repo.transactional)
          return yield* repo.store(Sample.created())
        }),
        Repository.layerMemory
      )
      const load = Effect.flatMap(repository, (repo) => Effect.flip(repo.load(first.uuid)))
      assert.strictEqual((yield* Effect.provide(load, Repository.layerMemory))._tag, "SagaExecutionNotFound")
    })
  )
})
