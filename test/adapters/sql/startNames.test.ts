/** Start keys and users that no store could hold the same way: refused by name, before anything is stored (SPEC C11). */
import { assert, layer as withLayer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import {
  Broker,
  RequestContext,
  Saga,
  SagaConfig,
  SagaExecution,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import { databases } from "../../fixtures/postgres.ts"

const Plain = Saga.make("Plain", { context: {} }).pipe(Saga.local("one", { execute: () => Effect.void }), Saga.commit)

const stores = [
  ...databases("names").map(({ layer, name, schema }) => ({
    name,
    layer: SqlSagaExecutionRepository.layer({ schema }).pipe(Layer.provideMerge(layer))
  })),
  { name: "memory", layer: SagaExecutionRepository.layerMemoryWith({ keep: 100 }) }
]

const longest = { startKey: 512, user: 256 }
const wrong = (bytes: number): ReadonlyArray<readonly [string, any]> => [
  ["too long", "x".repeat(bytes + 1)],
  ["too long in bytes", `x${"é".repeat(bytes / 2)}`],
  ["a NUL", "order\0"],
  ["half a surrogate", "order\ud83d"],
  ["null", null],
  ["a number", 7]
]
const right = (bytes: number): ReadonlyArray<string> => [
  "",
  "order-17",
  "x".repeat(bytes),
  "🙂".repeat(bytes / 4),
  "'; drop table saga_execution; --",
  "__proto__"
]

for (const { layer, name } of stores) {
  const managed = Layer.provideMerge(
    SagaManager.layer([Plain]).pipe(
      Layer.provide([SagaConfig.layer({ service: "orders" }), Broker.layerMemory, TransactionCommitter.layerNone])
    ),
    layer
  )
  withLayer(managed, { timeout: "1 minute", excludeTestServices: true })(`start keys and users: ${name}`, (it) => {
    const found = (filter: { readonly startKey?: string; readonly user?: string; readonly saga?: string }) =>
      Effect.map(
        SagaManager.SagaManager.use((manager) => manager.find(filter)),
        ({ items }) => items.map(({ uuid }) => uuid)
      )

    for (const field of ["startKey", "user"] as const) {
      it.effect(`F39: a wrong ${field} is SagaInvalidStart with the name of the field, and stores nothing`, () =>
        Effect.gen(function* () {
          const before = yield* found({ saga: "Plain" })
          for (const [what, value] of wrong(longest[field])) {
            const starts: ReadonlyArray<Effect.Effect<unknown, unknown, SagaManager.SagaManager>> = [
              SagaManager.start(Plain, { context: {}, [field]: value }),
              SagaManager.run(Plain, { context: {}, [field]: value }),
              SagaExecution.fromDefinition(Plain, { [field]: value })
            ]
            for (const start of starts)
              assert.deepInclude(yield* Effect.flip(start), { _tag: "SagaInvalidStart", field }, what)
          }
          assert.deepStrictEqual(yield* found({ saga: "Plain" }), before)
        })
      )

      it.effect(`F39: any other text is taken as ${field}, and found again`, () =>
        Effect.gen(function* () {
          for (const text of right(longest[field])) {
            const uuid = yield* SagaManager.start(Plain, { context: {}, [field]: text })
            assert.include(yield* found({ [field]: text }), uuid)
          }
        })
      )
    }

    it.effect("F39: nothing is found by a text that cannot be stored", () =>
      Effect.gen(function* () {
        for (const text of ["order\0", "order\ud83d"])
          for (const filter of [{ startKey: text }, { user: text }, { saga: text }])
            assert.deepStrictEqual(yield* found(filter), [])
      })
    )

    it.effect("F39: the user of the request is checked too", () =>
      Effect.gen(function* () {
        const start = SagaManager.start(Plain, { context: {} })
        const error = yield* Effect.flip(RequestContext.provide({ user: "a\0" })(start))
        assert.deepInclude(error, { _tag: "SagaInvalidStart", field: "user" })
      })
    )

    it.effect("F39: a start key is one for all sagas of a repository", () =>
      Effect.gen(function* () {
        const Other = Saga.make("Other", { context: {} }).pipe(
          Saga.local("one", { execute: () => Effect.void }),
          Saga.commit
        )
        const others = SagaManager.layer([Other]).pipe(
          Layer.provide([SagaConfig.layer({ service: "others" }), Broker.layerMemory, TransactionCommitter.layerNone])
        )
        yield* SagaManager.start(Plain, { context: {}, startKey: "shared" })
        const again = SagaManager.start(Other, { context: {}, startKey: "shared" })
        const error = yield* Effect.flip(Effect.provide(again, others))
        assert.deepInclude(error, { _tag: "SagaStartConflict", startKey: "shared", saga: "Plain" })
      })
    )
  })
}
