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
        const shared = yield* Layer.build(SagaExecutionRepository.layerMemoryWith({ keep: 10 }))
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
              "An execution is set aside: its runners die"
            ])
            const next = yield* Effect.exit(SagaManager.execute(saga, { context: {} }))
            assert.isTrue(Exit.isSuccess(next), "a new saga runs")
          }).pipe(Effect.provide(manager))
        }).pipe(Effect.provide(shared), Effect.provide(Logger.layer([logger])))
      }).pipe(Effect.scoped)
  )
}

it.effect("F5 a process starts although its first claim dies, and takes up what was left", () =>
  Effect.gen(function* () {
    ran.splice(0)
    const shared = yield* Layer.build(SagaExecutionRepository.layerMemoryWith({ keep: 10 }))
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
      const repository = KeyValueRepository.make({
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
