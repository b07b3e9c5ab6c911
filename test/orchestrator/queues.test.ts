/** Queues with managers: what waits, who begins, and what goes on without a place. By the real clock, in memory and on databases. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Result, Schema } from "effect"
import { KeyValueStore } from "effect/persistence"
import {
  Broker,
  KeyValueRepository,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  SagaQueue,
  SagaSchedule,
  TransactionCommitter
} from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import { databases } from "../fixtures/postgres.ts"
import { Asking, Ledger, open, Resting, until, Work } from "../fixtures/queues.ts"

const memory = SagaExecutionRepository.layerMemoryWith({ keep: 1_000, shared: true })

type Store = Layer.Layer<SagaExecutionRepository.SagaExecutionRepository, unknown>

/** Each kind of store, as a layer that several managers share. */
const stores: ReadonlyArray<{
  readonly name: string
  readonly run: (test: (store: Store) => Effect.Effect<void, unknown, any>) => Effect.Effect<void, unknown, any>
}> = [
  {
    name: "memory",
    run: (test) => Effect.flatMap(Layer.build(memory), (context) => test(Layer.succeedContext(context)))
  },
  ...databases("queues").map(({ layer, name, schema }) => ({
    name,
    run: (test: (store: Store) => Effect.Effect<void, unknown, any>) =>
      Effect.flatMap(Layer.build(layer), (context) =>
        test(SqlSagaExecutionRepository.layer({ schema }).pipe(Layer.provide(Layer.succeedContext(context))))
      )
  }))
]

let names = 0
const queueOf = (limits: SagaQueue.Limits) => SagaQueue.make(`q${names++}`, limits)

const work = (n: number, queue: SagaQueue.SagaQueue, key = "") => ({ context: { n, key }, queue, key })

for (const { name, run } of stores) {
  const test = (title: string, body: (store: Store) => Effect.Effect<void, unknown, any>) =>
    it.live(`${title}: ${name}`, () => Effect.scoped(run(body)) as Effect.Effect<void, unknown>, 60_000)

  describe(`queues: ${name}`, () => {
    test("no more run than there are places, in all and for each key, by any process", (store) =>
      Effect.gen(function* () {
        const ledger = new Ledger()
        const queue = queueOf({ concurrency: 4, perKey: { concurrency: 2 } })
        const [first, second] = [yield* open(store, ledger, [queue]), yield* open(store, ledger, [queue])]
        const run = (n: number) => SagaManager.run(Work, work(n, queue, `key ${n % 3}`))
        const all = yield* Effect.forEach(
          Array.from({ length: 30 }, (_, n) => n),
          (n) => (n % 2 === 0 ? first : second).use(run(n)),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual([...new Set(all.map(({ status }) => status))], ["finished"])
        assert.isAtMost(ledger.most(), 4)
        assert.isAbove(ledger.most(), 1)
        for (const key of ["key 0", "key 1", "key 2"])
          assert.isAtMost(
            ledger.most((entry) => entry.key === key),
            2
          )
        const [status] = (yield* first.use(SagaQueue.list)).filter((one) => one.queue === queue.name)
        assert.deepInclude(status, { queued: 0, again: 0, held: 0 })
      }))

    test("a start is told its uuid when the execution is stored, and one that waits is listed", (store) =>
      Effect.gen(function* () {
        const ledger = new Ledger()
        const queue = queueOf({ concurrency: 1 })
        const { use } = yield* open(store, ledger, [queue])
        yield* ledger.hold("1 one")
        yield* use(SagaManager.start(Work, work(1, queue, "ann")))
        yield* until("the first runs", () => ledger.has(1, "one"))
        const uuid = yield* use(SagaManager.start(Work, { ...work(2, queue, "bob"), priority: 7 }))
        const { items } = yield* use(SagaManager.SagaManager.use(({ find }) => find({ status: "created" })))
        const listed = items.find((item) => item.uuid === uuid)
        assert.deepInclude(listed?.queued, { queue: queue.name, key: "bob", priority: 7 })
        assert.isFalse(ledger.has(2, "one"))
        yield* ledger.letGo("1 one")
        yield* until("the second runs", () => ledger.has(2, "two"))
      }))

    test("an execution that sleeps gives its place to another, and goes on before new ones begin", (store) =>
      Effect.gen(function* () {
        const ledger = new Ledger()
        const queue = queueOf({ concurrency: 1 })
        const { use } = yield* open(store, ledger, [queue])
        yield* ledger.hold("2 one")
        const start = (n: number, pause = 0) =>
          use(SagaManager.start(Resting, { context: { n, key: "", pause }, queue }))
        yield* start(1, 300)
        yield* until("the first sleeps", () => ledger.has(1, "one"))
        yield* start(2)
        yield* until("the second has its place", () => ledger.has(2, "one"))
        yield* start(3)
        yield* Effect.sleep("600 millis")
        assert.isFalse(ledger.has(1, "two"), "its sleep is over, and the place is taken")
        yield* ledger.letGo("2 one")
        yield* until("all are done", () => ledger.begun("two").length === 3)
        assert.isBelow(
          ledger.entries.findIndex(({ n, step }) => n === 1 && step === "two"),
          ledger.entries.findIndex(({ n, step }) => n === 3 && step === "one")
        )
        assert.strictEqual(ledger.most(), 1)
      }))

    test("an execution that goes on where a place is free has it by the write with which its step begins", (store) =>
      Effect.gen(function* () {
        const queue = queueOf({ concurrency: 1 })
        const { use } = yield* open(store, new Ledger(), [queue])
        const execution = yield* use(SagaManager.run(Resting, { context: { n: 1, key: "", pause: 20 }, queue }))
        const facts = execution.events.map(({ _tag }) => _tag)
        assert.deepStrictEqual(facts.slice(facts.indexOf("PlaceLeft")), [
          "PlaceLeft",
          "StepSucceeded",
          "PlaceWanted",
          "PlaceTaken",
          "StepStarted",
          "StepSucceeded",
          "ExecutionFinished",
          "TransactionSettled"
        ])
        // One write each: the start, the first step, the sleep, the second step, the end.
        assert.strictEqual(execution.revision, 5)
        const [status] = (yield* use(SagaQueue.list)).filter((one) => one.queue === queue.name)
        assert.deepInclude(status, { queued: 0, again: 0, held: 0 })
      }))

    test("an execution that awaits a reply keeps its place", (store) =>
      Effect.gen(function* () {
        const ledger = new Ledger()
        const queue = queueOf({ concurrency: 1 })
        const { use } = yield* open(store, ledger, [queue])
        const uuid = yield* use(SagaManager.start(Asking, work(1, queue)))
        const load = use(SagaManager.SagaManager.use(({ load }) => load(uuid)))
        while ((yield* load).status !== "paused") yield* Effect.sleep("10 millis")
        yield* use(SagaManager.start(Work, work(2, queue)))
        yield* Effect.sleep("500 millis")
        assert.deepStrictEqual(ledger.entries, [])
        yield* use(SagaManager.SagaManager.use(({ cancel }) => cancel(uuid)))
      }))

    test("undo needs no place", (store) =>
      Effect.gen(function* () {
        const ledger = new Ledger()
        const queue = queueOf({ concurrency: 1 })
        const { use } = yield* open(store, ledger, [queue])
        const long = { context: { n: 1, key: "", pause: 3_600_000 }, queue }
        const uuid = yield* use(SagaManager.start(Resting, long))
        yield* until("the first sleeps", () => ledger.has(1, "one"))
        yield* ledger.hold("2 one")
        yield* use(SagaManager.start(Work, work(2, queue)))
        yield* until("the second has the place", () => ledger.has(2, "one"))
        yield* use(SagaManager.SagaManager.use(({ cancel }) => cancel(uuid)))
        yield* until("the first is undone", () => ledger.has(1, "undo"))
        yield* ledger.letGo("2 one")
        yield* until("the second goes on", () => ledger.has(2, "two"))
      }))

    test("what waits in a queue is cancelled at once, or ends at its deadline, and nothing of it has run", (store) =>
      Effect.gen(function* () {
        const ledger = new Ledger()
        const queue = queueOf({ concurrency: 1 })
        const { use } = yield* open(store, ledger, [queue])
        yield* ledger.hold("1 one")
        yield* use(SagaManager.start(Work, work(1, queue)))
        yield* until("the first runs", () => ledger.has(1, "one"))
        const second = yield* use(
          Effect.forkScoped(Effect.result(SagaManager.run(Work, { ...work(2, queue), startKey: `c${queue.name}` })))
        )
        const third = yield* use(
          Effect.forkScoped(Effect.result(SagaManager.run(Work, { ...work(3, queue), deadline: "400 millis" })))
        )
        const find = use(SagaManager.SagaManager.use(({ find }) => find({ startKey: `c${queue.name}` })))
        let uuid = ""
        while (uuid === "") uuid = (yield* find).items[0]?.uuid ?? ""
        yield* use(SagaManager.SagaManager.use(({ cancel }) => cancel(uuid)))
        for (const [fiber, tag] of [
          [second, "SagaCancelled"],
          [third, "SagaDeadlinePassed"]
        ] as const) {
          const result = yield* Fiber.join(fiber)
          assert.isTrue(Result.isFailure(result))
          if (Result.isFailure(result) && result.failure._tag === "SagaFailedExecution")
            assert.strictEqual((result.failure.cause as { _tag: string })._tag, tag)
          else assert.fail(`${tag}: ${JSON.stringify(result)}`)
        }
        yield* ledger.letGo("1 one")
        yield* until("the first ends", () => ledger.has(1, "two"))
        assert.deepStrictEqual(ledger.begun("one"), [1])
      }))

    test("C9 a second start with the same key is the same execution, also where the queue is full", (store) =>
      Effect.gen(function* () {
        const ledger = new Ledger()
        const queue = queueOf({ concurrency: 1, maxQueued: 2 })
        const { use } = yield* open(store, ledger, [queue])
        yield* ledger.hold("1 one")
        yield* use(SagaManager.start(Work, work(1, queue)))
        yield* until("the first runs", () => ledger.has(1, "one"))
        const startKey = `${queue.name} order`
        const uuid = yield* use(SagaManager.start(Work, { ...work(2, queue), startKey }))
        assert.strictEqual(yield* use(SagaManager.start(Work, { ...work(2, queue), startKey })), uuid)
        let error: unknown
        for (let n = 3; error === undefined && n < 10; n++)
          error = Exit.isFailure(yield* Effect.exit(use(SagaManager.start(Work, work(n, queue))))) ? n : undefined
        const refused = yield* Effect.flip(use(SagaManager.start(Work, work(10, queue))))
        assert.deepInclude(refused, { _tag: "SagaQueueFull", queue: queue.name })
        assert.strictEqual(yield* use(SagaManager.start(Work, { ...work(2, queue), startKey })), uuid)
        yield* ledger.letGo("1 one")
        yield* until("it runs", () => ledger.has(2, "two"))
      }))

    test("limits are lowered and raised while executions run", (store) =>
      Effect.gen(function* () {
        const ledger = new Ledger()
        const queue = queueOf({ concurrency: 3 })
        const { use } = yield* open(store, ledger, [queue])
        for (const n of [1, 2, 3]) yield* ledger.hold(`${n} one`)
        for (const n of [1, 2, 3]) yield* use(SagaManager.start(Work, work(n, queue)))
        yield* until("three run", () => ledger.begun("one").length === 3)
        for (const n of [4, 5]) yield* use(SagaManager.start(Work, work(n, queue)))
        yield* use(SagaQueue.setLimits(queue, { concurrency: 1 }))
        yield* ledger.letGo("1 one")
        yield* ledger.letGo("2 one")
        yield* until("two have gone on", () => ledger.begun("two").length === 2)
        yield* Effect.sleep("500 millis")
        assert.sameMembers([...ledger.begun("one")], [1, 2, 3])
        yield* use(SagaQueue.setLimits(queue, { concurrency: 2 }))
        yield* until("others begin", () => ledger.begun("two").length === 4)
        yield* ledger.letGo("3 one")
        const unknown = yield* Effect.flip(use(SagaQueue.setLimits("nobody", {})))
        assert.strictEqual(unknown._tag, "SagaQueueUnknown")
      }))

    test("a rate is kept by the clock of the store", (store) =>
      Effect.gen(function* () {
        const ledger = new Ledger()
        const queue = queueOf({ concurrency: 100, rate: { limit: 4, per: "400 millis" } })
        const { use } = yield* open(store, ledger, [queue])
        const begun = Date.now()
        yield* Effect.forEach(Array.from({ length: 12 }), (_, n) => use(SagaManager.start(Work, work(n, queue))))
        yield* until("all have begun", () => ledger.begun("one").length === 12)
        // Four at once, and eight at one in 100 milliseconds.
        const last = Math.max(...ledger.entries.filter(({ step }) => step === "one").map(({ at }) => at))
        assert.isAtLeast(last - begun, 750)
        for (const { at } of ledger.entries) {
          const within = ledger.entries.filter((other) => other.step === "one" && other.at >= at && other.at < at + 200)
          assert.isAtMost(within.length, 4 + 3 + 4, "limit, tokens of the time, and lateness")
        }
      }))

    test("what a process leaves in a queue, the next one runs", (store) =>
      Effect.gen(function* () {
        const ledger = new Ledger()
        const queue = queueOf({ concurrency: 2 })
        const first = yield* open(store, ledger, [queue], { shutdownGrace: "100 millis" })
        yield* first.use(SagaQueue.setLimits(queue, { concurrency: 0 }))
        yield* Effect.forEach(Array.from({ length: 6 }), (_, n) => first.use(SagaManager.start(Work, work(n, queue))))
        yield* first.stop
        assert.deepStrictEqual(ledger.entries, [])
        const second = yield* open(store, ledger, [queue])
        yield* Effect.sleep("300 millis")
        assert.deepStrictEqual(ledger.entries, [], "a person has said that nothing is admitted")
        yield* second.use(SagaQueue.setLimits(queue, { concurrency: 2 }))
        yield* until("all run", () => ledger.begun("two").length === 6)
        assert.isAtMost(ledger.most(), 2)
      }))

    test("a schedule starts in a queue", (store) =>
      Effect.gen(function* () {
        const ledger = new Ledger()
        const queue = queueOf({ concurrency: 1 })
        const { use } = yield* open(store, ledger, [queue])
        yield* use(SagaQueue.setLimits(queue, { concurrency: 0 }))
        const schedule = { cron: "* * * * * *", name: `s-${queue.name}-${process.pid}`, queue, key: "s" }
        yield* use(Layer.build(SagaSchedule.layer(Work, { ...schedule, context: () => ({ n: 1, key: "" }) })))
        const held = Effect.map(use(SagaQueue.list), (all) => all.find((one) => one.queue === queue.name)!.queued)
        while ((yield* held) === 0) yield* Effect.sleep("100 millis")
        assert.deepStrictEqual(ledger.entries, [])
        yield* use(SagaQueue.setLimits(queue, { concurrency: 1 }))
        yield* until("it runs", () => ledger.has(1, "two"))
        const unknown = SagaSchedule.layer(Work, { ...schedule, queue: "nobody", context: () => ({ n: 1, key: "" }) })
        const error = yield* Effect.flip(use(Layer.build(unknown)))
        assert.strictEqual(error._tag, "SagaQueueUnknown")
      }))
  })
}

describe("a start in a queue is refused, and nothing is stored", () => {
  const queue = SagaQueue.make("known")
  const wrong: ReadonlyArray<readonly [string, object, object]> = [
    ["of another name", { queue: "unknown" }, { _tag: "SagaQueueUnknown", queue: "unknown", known: ["known"] }],
    ["that is none", { queue: 7 }, { _tag: "SagaInvalidStart", field: "queue" }],
    ["with a long key", { queue, key: "x".repeat(257) }, { _tag: "SagaInvalidStart", field: "key" }],
    ["with a key that cannot be stored", { queue, key: "a\0" }, { _tag: "SagaInvalidStart", field: "key" }],
    ["with half a priority", { queue, priority: 0.5 }, { _tag: "SagaInvalidStart", field: "priority" }],
    [
      "with no number as its priority",
      { queue, priority: Number.NaN },
      { _tag: "SagaInvalidStart", field: "priority" }
    ],
    ["with too high a priority", { queue, priority: 1_001 }, { _tag: "SagaInvalidStart", field: "priority" }]
  ]
  for (const [name, options, expected] of wrong)
    it.live(name, () =>
      Effect.gen(function* () {
        const { use } = yield* open(memory, new Ledger(), [queue])
        const error = yield* Effect.flip(
          use(SagaManager.start(Work, { context: { n: 1, key: "" }, ...options } as never))
        )
        assert.deepInclude(error, expected)
        assert.deepStrictEqual((yield* use(SagaManager.SagaManager.use(({ find }) => find({})))).items, [])
      }).pipe(Effect.scoped)
    )

  it.live("a repository without queues is refused when the manager starts", () =>
    Effect.gen(function* () {
      const Empty = Saga.make("Empty", { context: { n: Schema.Int } }).pipe(
        Saga.local("one", { execute: () => Effect.void }),
        Saga.commit
      )
      const layer = SagaManager.layer([Empty], { queues: [queue] }).pipe(
        Layer.provide([
          SagaConfig.layer({ service: "work" }),
          KeyValueRepository.layer().pipe(Layer.provide(KeyValueStore.layerMemory)),
          Broker.layerMemory,
          TransactionCommitter.layerNone
        ])
      )
      const error = yield* Effect.flip(Layer.build(layer))
      assert.deepInclude(error, { _tag: "SagaRepositoryUnsupported", operation: "queue" })
      const listing = yield* Effect.flip(
        Effect.provide(SagaQueue.list, KeyValueRepository.layer().pipe(Layer.provide(KeyValueStore.layerMemory)))
      )
      assert.deepInclude(listing, { _tag: "SagaRepositoryUnsupported", operation: "queue" })
    }).pipe(Effect.scoped)
  )

  it.live("limits that cannot be used are an invalid setting of the manager", () =>
    Effect.gen(function* () {
      for (const limits of [{ concurrency: 0 }, { concurrency: Number.NaN }, { maxQueued: -1 }, { concurrency: 1.5 }]) {
        const error = yield* Effect.flip(open(memory, new Ledger(), [SagaQueue.make("bad", limits)]))
        assert.deepInclude(error, { _tag: "InvalidSetting" })
      }
      const error = yield* Effect.flip(open(memory, new Ledger(), [SagaQueue.make("a b")]))
      assert.deepInclude(error, { _tag: "InvalidSetting", setting: "SagaQueue.name" })
      const twice = [SagaQueue.make("night", { concurrency: 1 }), SagaQueue.make("night", { concurrency: 2 })]
      const second = yield* Effect.flip(open(memory, new Ledger(), twice))
      assert.deepInclude(second, { _tag: "InvalidSetting", setting: "SagaQueue night" })
    }).pipe(Effect.scoped)
  )
})
