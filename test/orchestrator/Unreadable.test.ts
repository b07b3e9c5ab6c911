/** C10, C20: what a process does with an execution that it has found and cannot read. The whole of it is in `schemaChange.test.ts`. */
import { assert, it } from "@effect/vitest"
import { Context, Deferred, Effect, Layer, Logger, Metric, Result, Schema } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecution,
  SagaExecutionRepository,
  SagaManager,
  SagaRunner,
  TransactionCommitter
} from "effect-saga"
import { SagaExecution as Internals } from "effect-saga/internals"
import * as SagaRegistry from "../../src/definition/SagaRegistry.ts"
import { Unreadable } from "../../src/orchestrator/Unreadable.ts"
import { counting } from "../fixtures/manager.ts"

/** What the step does besides. */
let meanwhile: Effect.Effect<unknown> = Effect.void
const ran: Array<string> = []
const steps = (name: string) =>
  Effect.andThen(
    Effect.sync(() => ran.push(name)),
    Effect.suspend(() => meanwhile)
  )
const order = (context: any = { sku: Schema.String }): Saga.AnyCommitted =>
  (Saga.make("Order", { context }) as any).pipe(
    Saga.local("one" as never, { success: Schema.String, execute: () => Effect.as(steps("one"), "1") } as never),
    Saga.local("two" as never, { execute: () => Effect.asVoid(steps("two")) } as never),
    Saga.commit
  )
const Lenient = order()
const Strict = order({ sku: Schema.String, tenant: Schema.String })

const base = Layer.mergeAll(Broker.layerMemory, TransactionCommitter.layerNone, SagaConfig.layer({ service: "orders" }))

const store = Effect.map(
  Effect.suspend(() => Layer.build(Layer.fresh(SagaExecutionRepository.layerMemoryWith({ keep: 10, shared: true })))),
  Context.get(SagaExecutionRepository.SagaExecutionRepository)
)
const repositoryOf = (repository: SagaExecutionRepository.SagaExecutionRepository["Service"]) =>
  Layer.succeed(SagaExecutionRepository.SagaExecutionRepository, repository)

it.effect("F22, C10 a runner by hand does nothing with an execution that it cannot read", () =>
  Effect.gen(function* () {
    ran.splice(0)
    const repository = yield* store
    const made = yield* repository.store(yield* SagaExecution.fromDefinition(Lenient, { context: { sku: "book" } }))
    const left = yield* repository.load(made.uuid)
    const runner = SagaRunner.layer([Strict]).pipe(Layer.provide([base, repositoryOf(repository)]))
    yield* Effect.gen(function* () {
      const { cancel, execute } = yield* SagaRunner.SagaRunner
      // A value that is bound to a saga already is read all the same: it may be as old as its file.
      const bound = Internals.bind(left, Strict)
      for (const given of [left, bound]) {
        const error = yield* Effect.flip(execute(given))
        assert.deepInclude(error, {
          _tag: "SagaExecutionUnreadable",
          uuid: left.uuid,
          rule: "$.tenant: MissingKey"
        } as object)
      }
      assert.strictEqual((yield* Effect.flip(cancel(left)))._tag, "SagaExecutionUnreadable")
    }).pipe(Effect.provide(runner))
    assert.deepStrictEqual([ran, (yield* repository.load(left.uuid)).revision], [[], 1])
  }).pipe(Effect.scoped)
)

it.effect("F22, C20 a runner that has lost a race to what it cannot read ends, and the execution is given back", () =>
  Effect.gen(function* () {
    ran.splice(0)
    const repository = yield* store
    const manager = SagaManager.layer([Lenient]).pipe(Layer.provide([base, repositoryOf(repository)]))
    const said: Array<unknown> = []
    const logger = Logger.make(({ message }) => void said.push([message].flat()[0]))
    yield* Effect.gen(function* () {
      const { find, start } = yield* SagaManager.SagaManager
      const mayEnd = yield* Deferred.make<void>()
      meanwhile = Deferred.await(mayEnd)
      const uuid = yield* start(Lenient, { context: { sku: "book" } })
      // A process of another release finishes the step, with a result of another type.
      const theirs = yield* repository.load(uuid)
      const at = theirs.state.updatedAt
      const next = Internals.evolve(theirs, { _tag: "StepSucceeded", path: "0", result: 7, at })
      yield* repository.store(next, { wakeAt: at })
      yield* Deferred.succeed(mayEnd, undefined)
      yield* TestClock.adjust("10 seconds")
      const { items } = yield* find({})
      assert.deepInclude(items[0], {
        uuid,
        status: "running",
        unreadable: { path: "0", step: "one", value: "result", rule: "$: not a string" }
      })
      assert.deepStrictEqual(ran, ["one"])
      assert.deepStrictEqual(said, ["An execution cannot be read by this program, and is left to others"])
      // It names nobody: another process may take it at once.
      const taken = yield* repository.take({ uuid, owner: "other", now: at })
      assert.strictEqual(taken, "other")
    }).pipe(Effect.provide(manager), Effect.provide(Logger.layer([logger])))
    meanwhile = Effect.void
  }).pipe(Effect.scoped)
)

it.effect("C10, C20 an execution of another program that is only looked at does not count as unreadable", () =>
  Effect.gen(function* () {
    const repository = yield* store
    const { uuid } = yield* repository.store(yield* SagaExecution.fromDefinition(Lenient, { context: { sku: "book" } }))
    const Other = Saga.make("Other", { context: {} }).pipe(
      Saga.local("one", { execute: () => Effect.void }),
      Saga.commit
    )
    const manager = SagaManager.layer([Other]).pipe(Layer.provide([base, repositoryOf(repository)]))
    const said: Array<unknown> = []
    const logger = Logger.make(({ message }) => void said.push([message].flat()[0]))
    yield* Effect.gen(function* () {
      const { cancel, find, load } = yield* SagaManager.SagaManager
      assert.strictEqual((yield* load(uuid)).uuid, uuid)
      assert.strictEqual((yield* Effect.flip(cancel(uuid)))._tag, "SagaDefinitionDrift")
      yield* TestClock.adjust("10 seconds")
      assert.notProperty((yield* find({})).items[0], "unreadable")
      assert.deepStrictEqual(said, ["Executions wait for a program that has their saga in its old form"])
      assert.deepStrictEqual(yield* measured, [])
    }).pipe(Effect.provide(manager), Effect.provide(Logger.layer([logger])))
  }).pipe(Effect.scoped, counting)
)

const known = Result.getOrThrow(SagaRegistry.make([Strict]))

const measured = Effect.map(Metric.snapshot, (metrics) =>
  metrics.flatMap((metric) =>
    metric.id === "effect_saga_unreadable" && metric.type === "Gauge"
      ? [[metric.attributes?.service, metric.attributes?.saga, Number(metric.state.value)]]
      : []
  )
)

it.effect(
  "C20 executions that cannot be read are counted, said once for each kind, and forgotten when they are over",
  () =>
    Effect.gen(function* () {
      const repository = yield* store
      const stored = yield* Effect.forEach([1, 2], () =>
        Effect.flatMap(SagaExecution.fromDefinition(Lenient, { context: { sku: "book" } }), repository.store)
      )
      const [first, second] = stored as [SagaExecution.SagaExecution, SagaExecution.SagaExecution]
      let claims = 0
      const found = new Unreadable(known, "orders", repository, () => claims++)
      const said: Array<unknown> = []
      const logger = Logger.make(({ message }) => void said.push([message].flat()[1]))
      const settle = found
        .settle({ giveBack: () => Effect.succeed(true) }, 0)
        .pipe(Effect.provide(Logger.layer([logger])))
      for (const one of [first, second, first]) assert.isTrue(Result.isFailure(found.bound(one)))
      found.corrupt(["broken", "broken"])
      assert.deepStrictEqual([claims, found.uuids], [2, [first.uuid, second.uuid, "broken"]])
      assert.deepStrictEqual(yield* settle, [first.uuid, second.uuid])
      assert.deepStrictEqual(yield* settle, [])
      assert.lengthOf(said, 2)
      assert.deepStrictEqual(said[1], { uuid: "broken" })
      assert.deepStrictEqual(yield* measured, [
        ["orders", "Order", 2],
        ["orders", "", 1]
      ])
      // One is deleted; the others are looked at again, and given back once more if a race has made them this process's.
      yield* repository.delete(second.uuid)
      yield* found.lookAgain
      assert.deepStrictEqual(found.uuids, [first.uuid])
      assert.deepStrictEqual(yield* settle, [first.uuid])
      assert.deepStrictEqual(yield* measured, [
        ["orders", "Order", 1],
        ["orders", "", 0]
      ])
    }).pipe(Effect.scoped, counting)
)

it.effect("C20 a process remembers 10,000 executions that it cannot read; more are given back for a while", () =>
  Effect.gen(function* () {
    const repository = yield* store
    const found = new Unreadable(known, "orders", repository, () => {})
    const one = yield* SagaExecution.fromDefinition(Lenient, { context: { sku: "book" } })
    found.corrupt(Array.from({ length: 10_000 }, (_, i) => `${i}`))
    assert.isTrue(found.isFull)
    found.corrupt(["one more"])
    found.bound(one)
    const given: Array<object> = []
    const giveBack = (request: object) => Effect.sync(() => given.push(request) > 0)
    assert.deepStrictEqual(yield* found.settle({ giveBack }, 1_000), [])
    assert.deepStrictEqual(given, [{ uuid: one.uuid, revision: 0, wakeAt: 601_000 }])
    assert.lengthOf(found.uuids, 10_000)
  }).pipe(Effect.scoped, Effect.provide(Logger.layer([])))
)
