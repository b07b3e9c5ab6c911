/** Whole runs through the front door, by the ids of CONFORMANCE. Services, store and wire are those of the fixture. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  SagaConfig,
  SagaError,
  SagaExecutionRepository,
  SagaManager,
  SagaResponse,
  TransactionCommitter
} from "effect-saga"
import {
  agreeable,
  CreateOrder,
  charged,
  context,
  Journal,
  lines,
  messageOf,
  plain,
  quiet,
  refusing,
  reserved,
  start,
  until
} from "../fixtures/manager.ts"

const finishedContext = {
  ...context,
  stock: reserved.content,
  invoice: "invoice-10",
  payment: charged.content
}

const responseOf = (uuid: string, content: unknown) =>
  new SagaResponse({ uuid, step: content === charged.content ? "payment" : "stock", content })

describe("in memory", () => {
  it.effect("a run in memory runs every step in order, ends committed and is not stored any more", () =>
    Effect.gen(function* () {
      const { manager, use, wire, world } = yield* start()
      wire.answer = agreeable
      const execution = yield* use(SagaManager.run(CreateOrder, { context, user: "ada" }))
      assert.deepStrictEqual([execution.status, execution.commitState], ["finished", "committed"])
      assert.deepStrictEqual(plain(execution.context), finishedContext)
      assert.deepStrictEqual(lines(world), ["handle r-1", "invoice 10", "handle p-1"])
      const error = yield* Effect.flip(manager.load(execution.uuid))
      assert.strictEqual(error._tag, "SagaExecutionNotFound")
      assert.deepStrictEqual(
        wire.sent.map(({ address, envelope }) => [Broker.topic(address), envelope.saga, envelope.user]),
        [
          ["saga/v1/stock/command/orders/Reserve", execution.uuid, "ada"],
          ["saga/v1/payments/command/orders/Charge", execution.uuid, "ada"]
        ]
      )
    })
  )

  it.effect("MGR-002 without autocommit a run ends finished, and no service is asked to commit", () =>
    Effect.gen(function* () {
      const { story, use, wire } = yield* start({ enrols: true })
      wire.answer = agreeable
      const execution = yield* use(SagaManager.run(CreateOrder, { context, autocommit: false }))
      assert.deepStrictEqual([execution.status, execution.commitState], ["finished", "none"])
      const asked = () => story.filter((line) => /^(reserve|commit|reject)/.test(line))
      assert.deepStrictEqual(asked(), [])
      // The same committer is asked where autocommit is on.
      yield* use(SagaManager.run(CreateOrder, { context }))
      assert.deepStrictEqual(asked(), ["reserve payments stock", "commit payments stock"])
    })
  )

  it.effect("MGR-007 a run without a reply fails with SagaFailedExecution, whose cause is the step that waited", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      wire.answer = ({ op }) => (op === "probe" ? { status: 404 } : undefined)
      const running = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(CreateOrder, { context }))))
      yield* TestClock.adjust("5 minutes")
      const error = yield* Fiber.join(running)
      assert.strictEqual(error._tag, "SagaFailedExecution")
      if (error._tag !== "SagaFailedExecution") return
      assert.isTrue(SagaError.isSagaFailedExecution(error))
      assert.strictEqual(error.execution.status, "errored")
      assert.strictEqual(error.cause._tag, "SagaFailedExecutionStep")
      if (error.cause._tag !== "SagaFailedExecutionStep") return
      assert.strictEqual(error.cause.step, "stock")
      assert.strictEqual((error.cause.cause as { _tag: string })._tag, "SagaStepTimedOut")
      assert.deepStrictEqual([error.later, error.parked], [[], []])
    })
  )
})

describe("on disk", () => {
  it.effect("a run on disk pauses at each reply and ends committed, with the messages of a run in memory", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* start()
      const first = yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      assert.deepStrictEqual([first.status, first.pausedStep?.name], ["paused", "stock"])
      const second = yield* use(
        SagaManager.run({ response: responseOf(first.uuid, reserved.content), pauseOnDisk: true })
      )
      assert.deepStrictEqual([second.status, second.pausedStep?.name], ["paused", "payment"])
      const third = yield* use(
        SagaManager.run({ response: responseOf(first.uuid, charged.content), pauseOnDisk: true })
      )
      assert.deepStrictEqual([third.status, third.commitState], ["finished", "committed"])
      assert.deepStrictEqual(plain(third.context), finishedContext)
      assert.strictEqual((yield* Effect.flip(manager.load(first.uuid)))._tag, "SagaExecutionNotFound")
      assert.deepStrictEqual(
        wire.sent.map(({ envelope }) => [envelope.op, envelope.service]),
        [
          ["execute", "stock"],
          ["execute", "payments"]
        ]
      )
    })
  )

  it.effect(
    "MGR-009 without autocommit the last response finishes the execution, and no service is asked to commit",
    () =>
      Effect.gen(function* () {
        const { story, use } = yield* start({ enrols: true })
        const { uuid } = yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
        yield* use(SagaManager.run({ response: responseOf(uuid, reserved.content), pauseOnDisk: true }))
        const execution = yield* use(
          SagaManager.run({ response: responseOf(uuid, charged.content), pauseOnDisk: true, autocommit: false })
        )
        assert.deepStrictEqual([execution.status, execution.commitState], ["finished", "none"])
        assert.deepStrictEqual(
          story.filter((line) => /^(reserve|commit|reject)/.test(line)),
          []
        )
      })
  )

  it.effect("MGR-010 the id that a run on disk returns loads a paused execution", () =>
    Effect.gen(function* () {
      const { manager, use } = yield* start()
      const uuid = yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true, returnExecution: false }))
      assert.isString(uuid)
      const stored = yield* manager.load(uuid)
      assert.deepStrictEqual([stored.uuid, stored.status], [uuid, "paused"])
    })
  )

  it.effect("MGR-011 the initial context is in the paused execution, unchanged", () =>
    Effect.gen(function* () {
      const { use } = yield* start()
      const given = Object.freeze({ sku: "pen", amount: 7 })
      const execution = yield* use(SagaManager.run(CreateOrder, { context: given, pauseOnDisk: true }))
      assert.strictEqual(execution.status, "paused")
      assert.deepStrictEqual(plain(execution.context), { sku: "pen", amount: 7 })
    })
  )

  it.effect("MGR-017 resuming uses the stored context and user, also if others are given", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      const { uuid } = yield* use(SagaManager.run(CreateOrder, { context, user: "ada", pauseOnDisk: true }))
      const response = responseOf(uuid, reserved.content)
      // @ts-expect-error 'context' does not exist in type ...: a resume has neither context nor user
      const resume = SagaManager.run({ response, pauseOnDisk: true, context: { sku: "x", amount: 99 }, user: "eve" })
      const execution = yield* use(resume)
      assert.deepStrictEqual(plain(execution.context), { ...context, stock: reserved.content, invoice: "invoice-10" })
      assert.deepStrictEqual(
        wire.sent.map(({ envelope }) => [envelope.content, envelope.user]),
        [
          [{ sku: "book" }, "ada"],
          [{ amount: 10 }, "ada"]
        ]
      )
      assert.strictEqual(execution.user, "ada")
    })
  )
})

describe("replies", () => {
  it.effect("MGR-014 replies for another execution, or for none, are ignored", () =>
    Effect.gen(function* () {
      const { use, wire, world } = yield* start()
      const running = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context })))
      yield* until("the first request", () => wire.sent.length === 1)
      const [request] = wire.sent
      const right = messageOf(request!.envelope, reserved)
      const other = "01890000-0000-7000-8000-000000000000"
      const foreign = { ...JSON.parse(right.body), saga: other, inReplyTo: `${other}:0:execute` }
      yield* wire.deliver({ ...right, body: JSON.stringify(foreign) })
      const { saga: _, ...without } = JSON.parse(right.body)
      yield* wire.deliver({ ...right, body: JSON.stringify(without) })
      yield* until("both are acknowledged", () => wire.acknowledged === 2)
      assert.deepStrictEqual([lines(world), wire.sent.length], [[], 1])
      wire.answer = agreeable
      yield* wire.deliver(right)
      const execution = yield* Fiber.join(running)
      assert.strictEqual(execution.status, "finished")
    })
  )

  it.effect("MGR-021 the reply to a compensation of an errored execution changes nothing", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* start({ keep: 10 })
      wire.answer = refusing
      const errored = yield* use(SagaManager.run(CreateOrder, { context, raiseOnError: false }))
      assert.deepStrictEqual([errored.status, errored.alreadyRollback], ["errored", true])
      const sent = wire.sent.length
      const [compensation] = wire.of("failure", "stock")
      const before = yield* manager.load(errored.uuid)
      // Over the wire ...
      yield* until("all three replies are acknowledged", () => wire.acknowledged === 3)
      yield* wire.reply(compensation!, { status: 200 })
      yield* until("the fourth one, too", () => wire.acknowledged === 4)
      // ... and from a caller.
      const response = new SagaResponse({ uuid: errored.uuid, content: null, requestId: compensation!.envelope.id })
      const same = yield* use(SagaManager.run({ response, pauseOnDisk: true, raiseOnError: false }))
      assert.strictEqual(same.status, "errored")
      assert.strictEqual(wire.sent.length, sent)
      const after = yield* manager.load(errored.uuid)
      assert.deepStrictEqual([after.status, after.revision], ["errored", before.revision])
    })
  )

  it.effect("MGR-022 the state that waits for a reply is stored before the request leaves, in both modes", () =>
    Effect.gen(function* () {
      for (const pauseOnDisk of [false, true]) {
        const { manager, story, use, wire } = yield* start()
        // The fastest of all replies: it is there before the request is out.
        wire.answer = (envelope, command) => {
          story.push(`asked ${command}`)
          return agreeable(envelope, command)
        }
        const uuid = yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk, returnExecution: false }))
        const requests = story.flatMap((line, i) => (line.startsWith("sent execute") ? [story[i - 1]] : []))
        assert.match(requests[0] ?? "", /^stored ExecutionCreated .*RequestSent$/)
        yield* until("the end", () => story.some((line) => line.includes("TransactionSettled")))
        yield* quiet
        assert.strictEqual((yield* Effect.flip(manager.load(uuid)))._tag, "SagaExecutionNotFound")
        const all = story.flatMap((line, i) => (line.startsWith("sent execute") ? [story[i - 1] ?? ""] : []))
        assert.strictEqual(all.length, 2)
        for (const line of all) assert.match(line, /^stored .*RequestSent$/)
      }
    })
  )

  for (const pauseOnDisk of [false, true]) {
    it.effect(`MGR-024 two copies of a reply at once are handled once (pauseOnDisk: ${pauseOnDisk})`, () =>
      Effect.gen(function* () {
        const { use, wire, world } = yield* start()
        const running = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context, pauseOnDisk })))
        yield* until("the first request", () => wire.sent.length === 1)
        const [request] = wire.sent
        yield* Effect.all([wire.reply(request!, reserved), wire.reply(request!, reserved)], {
          concurrency: "unbounded"
        })
        yield* until("both are acknowledged", () => wire.acknowledged === 2)
        yield* quiet
        assert.deepStrictEqual(lines(world), ["handle r-1", "invoice 10"])
        assert.deepStrictEqual(
          wire.sent.map(({ envelope }) => envelope.service),
          ["stock", "payments"]
        )
        yield* Fiber.interrupt(running)
      })
    )
  }

  it.effect("MGR-024 one response given twice at once is handled once", () =>
    Effect.gen(function* () {
      const { use, wire, world } = yield* start()
      const { uuid } = yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      const response = new SagaResponse({ uuid, content: reserved.content, requestId: wire.sent[0]!.envelope.id })
      const resume = use(SagaManager.run({ response, pauseOnDisk: true }))
      const [one, two] = yield* Effect.all([resume, resume], { concurrency: "unbounded" })
      assert.deepStrictEqual([one.pausedStep?.name, two.pausedStep?.name], ["payment", "payment"])
      assert.deepStrictEqual(lines(world), ["handle r-1", "invoice 10"])
      assert.strictEqual(wire.sent.length, 2)
    })
  )
})

describe("stored executions", () => {
  for (const pauseOnDisk of [false, true]) {
    for (const raiseOnError of [false, true]) {
      it.effect(`MGR-015 a failed run is stored errored (${JSON.stringify({ pauseOnDisk, raiseOnError })})`, () =>
        Effect.gen(function* () {
          const { manager, use, wire } = yield* start({ keep: 10 })
          let uuid = ""
          if (pauseOnDisk) {
            uuid = (yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk }))).uuid
            yield* use(SagaManager.run({ response: responseOf(uuid, reserved.content), pauseOnDisk }))
            const { content } = refusing(wire.sent[1]!.envelope, "Charge")!
            // A refusal by hand does not prove that the service did nothing: it is asked.
            wire.answer = (envelope, command) =>
              envelope.op === "probe" ? { status: 404 } : agreeable(envelope, command)
            const response = new SagaResponse({ uuid, step: "payment", content, status: 400 })
            yield* Effect.exit(use(SagaManager.run({ response, pauseOnDisk, raiseOnError })))
          } else {
            wire.answer = refusing
            yield* Effect.exit(use(SagaManager.run(CreateOrder, { context, raiseOnError })))
            uuid = wire.sent[0]!.envelope.saga
          }
          const stored = yield* manager.load(uuid)
          assert.deepStrictEqual([stored.status, stored.alreadyRollback], ["errored", true])
          assert.strictEqual((stored.cause as { _tag: string })._tag, "CardDeclined")
        })
      )
    }
  }

  for (const decision of ["commit", "reject"] as const) {
    it.effect(`MGR-023 a finished execution without a decision stays stored until ${decision}`, () =>
      Effect.gen(function* () {
        const { manager, use, wire } = yield* start()
        wire.answer = agreeable
        const { uuid } = yield* use(SagaManager.run(CreateOrder, { context, autocommit: false }))
        yield* TestClock.adjust("1 day")
        const kept = yield* manager.load(uuid)
        assert.deepStrictEqual([kept.status, kept.commitState], ["finished", "none"])
        const decided = yield* decision === "commit" ? manager.commit(uuid) : manager.reject(uuid)
        assert.deepStrictEqual(
          [decided.status, decided.commitState],
          decision === "commit" ? ["finished", "committed"] : ["errored", "rejected"]
        )
        assert.deepStrictEqual(
          wire.of("failure").map(({ envelope }) => envelope.service),
          decision === "commit" ? [] : ["payments", "stock"]
        )
        assert.strictEqual((yield* Effect.flip(manager.load(uuid)))._tag, "SagaExecutionNotFound")
      })
    )
  }
})

describe("lifecycle", () => {
  it.effect("MGR-018 the storage is opened with the scope of the manager and released with it", () =>
    Effect.gen(function* () {
      const story: Array<string> = []
      const storage = Layer.effect(
        SagaExecutionRepository.SagaExecutionRepository,
        Effect.acquireRelease(
          Effect.gen(function* () {
            story.push("opened")
            return Context.get(
              yield* Layer.build(SagaExecutionRepository.layerMemory),
              SagaExecutionRepository.SagaExecutionRepository
            )
          }),
          () => Effect.sync(() => story.push("released"))
        )
      )
      const manager = SagaManager.layer([CreateOrder]).pipe(
        Layer.provide([
          storage,
          Broker.layerMemory,
          TransactionCommitter.layerNone,
          SagaConfig.layer({ service: "orders" }),
          Layer.succeed(Journal, { write: () => Effect.void })
        ])
      )
      yield* Effect.gen(function* () {
        yield* SagaManager.run(CreateOrder, { context, pauseOnDisk: true })
        story.push("ran")
      }).pipe(Effect.provide(manager))
      assert.deepStrictEqual(story, ["opened", "ran", "released"])
    })
  )

  it("MGR-018 a manager without a broker does not compile", () => {
    const incomplete = SagaManager.layer([CreateOrder]).pipe(
      Layer.provide([
        SagaExecutionRepository.layerMemory,
        TransactionCommitter.layerNone,
        SagaConfig.layer({ service: "orders" }),
        Layer.succeed(Journal, { write: () => Effect.void })
      ])
    )
    // @ts-expect-error Type 'Broker' is not assignable to type 'never'
    const complete: Layer.Layer<SagaManager.SagaManager, unknown> = incomplete
    assert.isDefined(complete)
  })
})

it.effect("the stored facts of a manager are a stream, from the time of the subscription", () =>
  Effect.gen(function* () {
    const { manager, use, wire } = yield* start()
    wire.answer = agreeable
    yield* use(SagaManager.run(CreateOrder, { context }))
    const seen: Array<string> = []
    const listening = yield* Effect.forkChild(
      Stream.runForEach(manager.events, ({ event, saga }) => Effect.sync(() => seen.push(`${saga} ${event._tag}`)))
    )
    yield* quiet
    yield* use(SagaManager.run(CreateOrder, { context }))
    yield* until("the last event", () => seen.at(-1) === "CreateOrder TransactionSettled")
    assert.deepStrictEqual(
      seen.map((line) => line.slice("CreateOrder ".length)),
      [
        "ExecutionCreated",
        "ExecutionStarted",
        "RequestSent",
        "ReplyReceived",
        "StepSucceeded",
        "StepStarted",
        "StepSucceeded",
        "RequestSent",
        "ReplyReceived",
        "StepSucceeded",
        "ExecutionFinished",
        "TransactionSettled"
      ]
    )
    yield* Fiber.interrupt(listening)
    yield* use(SagaManager.run(CreateOrder, { context }))
    assert.strictEqual(seen.length, 12)
  })
)
