/** F5, F13: one stored execution that can be decoded and makes no sense stops no process, and no other execution. */
import { assert, it } from "@effect/vitest"
import { Clock, Context, Effect, Exit, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  KeyValueRepository,
  Saga,
  SagaConfig,
  SagaExecution,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { SagaExecution as Internals } from "effect-saga/internals"

const ran: Array<string> = []
const saga = Saga.make("Choose", { context: {} }).pipe(
  Saga.conditional("way", [
    Saga.ifThen(
      () => true,
      (branch) => branch.pipe(Saga.local("step", { execute: () => Effect.sync(() => void ran.push("step")) }))
    )
  ]),
  Saga.commit
)

/** An execution as a dead instance has left it. With `choice` 7 the saga does not have the alternative that was chosen. */
const left = Effect.fnUntraced(function* (choice: number) {
  const repository = yield* SagaExecutionRepository.SagaExecutionRepository
  const at = yield* Clock.currentTimeMillis
  const created = yield* SagaExecution.fromDefinition(saga, { context: {} })
  const path = `0/if${choice}/0`
  const facts = [
    { _tag: "ExecutionStarted", service: "orders", autocommit: true, transactional: false, at },
    { _tag: "AlternativeChosen", path: "0", name: "way", choice, label: `if${choice}`, at },
    { _tag: "StepStarted", path, name: "step", at }
  ] as const
  return yield* repository.store(facts.reduce<SagaExecution.SagaExecution>(Internals.evolve, created))
})

for (const when of ["at the start of a process", "while it runs"] as const) {
  it.effect(
    `F5, F13 ${when}: an execution that makes no sense is set aside after five tries, and the others go on`,
    () =>
      Effect.gen(function* () {
        ran.splice(0)
        const logged: Array<string> = []
        const logger = Logger.make(({ message }) => void logged.push(String([message].flat()[0])))
        const shared = yield* Layer.build(SagaExecutionRepository.layerMemoryWith({ keep: 10, shared: true }))
        const manager = SagaManager.layer([saga]).pipe(
          Layer.provide([
            SagaConfig.layer({ service: "orders" }),
            Layer.succeedContext(shared),
            Broker.layerMemory,
            TransactionCommitter.layerNone
          ])
        )
        yield* Effect.gen(function* () {
          const leave = Effect.all([left(7), left(0)])
          const [, good] = when === "at the start of a process" ? yield* leave : [undefined, undefined]
          yield* Effect.gen(function* () {
            const execution = good ?? (yield* leave)[1]
            yield* TestClock.adjust("30 seconds")
            assert.strictEqual(
              (yield* SagaManager.SagaManager.use(({ load }) => load(execution.uuid))).status,
              "finished"
            )
            assert.deepStrictEqual(ran, ["step"])
            assert.deepStrictEqual(logged, [
              ...Array(5).fill("A saga runner died"),
              "An execution is set aside until a person retries it"
            ])
            const { find, load, resolveParked, retryParked } = yield* SagaManager.SagaManager
            const { items } = yield* find({ parked: true })
            assert.deepStrictEqual(
              items.map(({ failure, status }) => ({ failure, status })),
              [{ failure: { tag: "SetAside" }, status: "running" }]
            )
            const { uuid } = items[0]!
            const parked = yield* load(uuid)
            assert.deepStrictEqual([parked.parked, parked.settled], [["execution"], false])
            const fact = parked.events.at(-1)
            assert.deepInclude(fact, { _tag: "StepParked", path: "execution" })
            assert.match(fact?._tag === "StepParked" ? fact.reason : "", /^TypeError: /)
            // Nobody claims it before a person acts; then it is tried again, and set aside again.
            const refused = yield* Effect.flip(resolveParked(uuid, "execution", { actor: "ann", reason: "" }))
            assert.strictEqual(refused._tag, "SagaStepNotParked")
            yield* TestClock.adjust("10 minutes")
            assert.lengthOf(logged, 6)
            const retried = yield* retryParked(uuid, "execution", { actor: "ann" })
            assert.deepInclude(retried.events.at(-1), { _tag: "StepUnparked", path: "execution", actor: "ann" })
            yield* TestClock.adjust("30 seconds")
            assert.deepStrictEqual(logged.slice(6), logged.slice(0, 6))
            assert.deepStrictEqual((yield* load(uuid)).parked, ["execution"])
            const next = yield* Effect.exit(SagaManager.execute(saga, { context: {} }))
            assert.isTrue(Exit.isSuccess(next), "a new saga runs")
          }).pipe(Effect.provide(manager))
        }).pipe(Effect.provide(shared), Effect.provide(Logger.layer([logger])))
      }).pipe(Effect.scoped)
  )
}

/** A memory whose writes can be refused for good, by the tags of their facts. */
const refusing = Effect.gen(function* () {
  const shared = yield* Layer.build(SagaExecutionRepository.layerMemoryWith({ keep: 10, shared: true }))
  const memory = Context.get(shared, SagaExecutionRepository.SagaExecutionRepository)
  const state = { refused: new Set<string>() }
  const error = new SagaExecutionRepository.SagaExecutionRepositoryError({ reason: "rejected", operation: "store" })
  const repository = SagaExecutionRepository.SagaExecutionRepository.of({
    ...memory,
    store: (execution, hint) =>
      Internals.unstored(execution).some(({ _tag }) => state.refused.has(_tag))
        ? Effect.fail(error)
        : memory.store(execution, hint)
  })
  const logged: Array<string> = []
  const manager = Layer.fresh(
    SagaManager.layer([saga]).pipe(
      Layer.provide([
        SagaConfig.layer({ service: "orders" }),
        Layer.succeed(SagaExecutionRepository.SagaExecutionRepository, repository),
        Broker.layerMemory,
        TransactionCommitter.layerNone
      ])
    )
  )
  const logger = Logger.layer([Logger.make(({ message }) => void logged.push(String([message].flat()[0])))])
  return { state, logged, process: Layer.provideMerge(manager, logger) }
})

it.effect(
  "F13 an execution whose write is refused for good is parked, is nobody's, and goes on when a person says so",
  () =>
    Effect.gen(function* () {
      ran.splice(0)
      const { logged, process, state } = yield* refusing
      state.refused.add("StepSucceeded")
      const uuid = yield* Effect.gen(function* () {
        const error = yield* Effect.flip(SagaManager.run(saga, { context: {} }))
        assert.deepInclude(error, { _tag: "SagaExecutionRepositoryError", reason: "rejected" })
        const { find, load } = yield* SagaManager.SagaManager
        yield* TestClock.adjust("1 minute")
        const { items } = yield* find({ parked: true })
        assert.lengthOf(items, 1)
        assert.deepStrictEqual((yield* load(items[0]!.uuid)).parked, ["execution"])
        assert.deepStrictEqual([ran, logged], [["step"], ["An execution is set aside until a person retries it"]])
        return items[0]!.uuid
      }).pipe(Effect.provide(process))
      // Another process does not take it up either, until a person asks for it there.
      yield* Effect.gen(function* () {
        const { load, retryParked } = yield* SagaManager.SagaManager
        yield* TestClock.adjust("10 minutes")
        assert.deepStrictEqual(ran, ["step"])
        state.refused.clear()
        yield* retryParked(uuid, "execution", { actor: "ann", reason: "there is room again" })
        yield* TestClock.adjust("1 second")
        const { parked, status } = yield* load(uuid)
        assert.deepStrictEqual([status, parked, ran], ["finished", [], ["step", "step"]])
      }).pipe(Effect.provide(process))
    }).pipe(Effect.scoped)
)

it.effect("F13 an execution that cannot even be parked is said in the log, and the others go on", () =>
  Effect.gen(function* () {
    ran.splice(0)
    const { logged, process, state } = yield* refusing
    for (const tag of ["StepSucceeded", "StepParked"]) state.refused.add(tag)
    yield* Effect.gen(function* () {
      yield* Effect.flip(SagaManager.run(saga, { context: {} }))
      yield* TestClock.adjust("900 millis")
      assert.deepStrictEqual(logged, ["An execution could not be set aside"])
      state.refused.clear()
      yield* SagaManager.execute(saga, { context: {} })
    }).pipe(Effect.provide(process))
  }).pipe(Effect.scoped)
)

it.effect("F5 a process starts although its first claim dies, and takes up what was left", () =>
  Effect.gen(function* () {
    ran.splice(0)
    const shared = yield* Layer.build(SagaExecutionRepository.layerMemoryWith({ keep: 10, shared: true }))
    const memory = Context.get(shared, SagaExecutionRepository.SagaExecutionRepository)
    const good = yield* Effect.provide(left(0), shared)
    let claims = 0
    const repository = SagaExecutionRepository.SagaExecutionRepository.of({
      ...memory,
      claim: (request) => (++claims === 1 ? Effect.die(new Error("a bug of the store")) : memory.claim(request))
    })
    const manager = SagaManager.layer([saga]).pipe(
      Layer.provide([
        SagaConfig.layer({ service: "orders" }),
        Layer.succeed(SagaExecutionRepository.SagaExecutionRepository, repository),
        Broker.layerMemory,
        TransactionCommitter.layerNone
      ])
    )
    yield* Effect.gen(function* () {
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* SagaManager.SagaManager.use(({ load }) => load(good.uuid))).status, "finished")
    }).pipe(Effect.provide(manager))
  }).pipe(Effect.scoped, Effect.provide(Logger.layer([])))
)

/** A second start of the same step does not fit; a fact of a newer version is not known. */
const spoilt = {
  "has a fact that does not fit": (text: string) => text.replace(/\{"_tag":"StepStarted"[^}]*\}/, "$&,$&"),
  "has a fact of a newer version": (text: string) => text.replace('"StepStarted"', '"StepForetold"')
}

it.effect.each(Object.entries(spoilt))(
  "F35 an execution that %s is listed, left as it is and said in the log once, and the others go on",
  ([, spoil]) =>
    Effect.gen(function* () {
      ran.splice(0)
      const kept = new Map<string, string>()
      let lists = 0
      const repository = yield* KeyValueRepository.make({
        save: (uuid, value) => Effect.sync(() => kept.set(uuid, JSON.stringify(value))),
        get: (uuid) => Effect.sync(() => kept.get(uuid)),
        remove: (uuid) => Effect.sync(() => kept.delete(uuid)),
        list: () =>
          Effect.sync(() => {
            lists++
            return [...kept.values()]
          })
      })
      let except: ReadonlyArray<string> | undefined
      const stored = Layer.succeed(SagaExecutionRepository.SagaExecutionRepository, {
        ...repository,
        claim: (request) => {
          except = request.except
          return repository.claim(request)
        }
      })
      const bad = yield* Effect.provide(left(0), stored)
      const good = yield* Effect.provide(left(0), stored)
      const text = spoil(kept.get(bad.uuid)!)
      assert.notStrictEqual(text, kept.get(bad.uuid))
      kept.set(bad.uuid, text)
      const logged: Array<string> = []
      const logger = Logger.make(({ message }) => void logged.push(String([message].flat()[0])))
      yield* Effect.gen(function* () {
        const { find, load } = yield* SagaManager.SagaManager
        yield* TestClock.adjust("1 minute")
        assert.strictEqual((yield* load(good.uuid)).status, "finished")
        assert.deepStrictEqual(ran, ["step"])
        assert.strictEqual(kept.get(bad.uuid), text)
        const error = yield* Effect.flip(load(bad.uuid))
        assert.deepInclude(error, { _tag: "SagaExecutionRepositoryError", reason: "corrupt" })
        const { items } = yield* find({})
        assert.deepInclude(items.find(({ uuid }) => uuid === bad.uuid)!, { saga: "Choose", status: "running" })
        assert.deepStrictEqual([except, lists > 10], [[bad.uuid], true], "it is not claimed again")
        assert.deepStrictEqual(logged, ["An execution cannot be read by this program, and is left to others"])
      }).pipe(
        Effect.provide(
          SagaManager.layer([saga]).pipe(
            Layer.provide([
              SagaConfig.layer({ service: "orders" }),
              stored,
              Broker.layerMemory,
              TransactionCommitter.layerNone
            ])
          )
        ),
        Effect.provide(Logger.layer([logger]))
      )
    }).pipe(Effect.scoped)
)
