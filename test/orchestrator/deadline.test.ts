/** SPEC C16, C18: the deadline of a run, and the time that its messages say, until which it can turn back. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Fiber, Layer, Ref, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Participant,
  RequestContext,
  Saga,
  SagaConfig,
  SagaError,
  SagaExecution,
  SagaExecutionRepository,
  SagaManager,
  SagaRunner,
  Signal,
  TransactionCommitter
} from "effect-saga"
import type { Envelope } from "effect-saga/internals"
import { quiet } from "../fixtures/manager.ts"

const hour = 3_600_000
const day = 24 * hour

const Approval = Signal.make("approval", { payload: Schema.Void })
const Bank = Participant.make("bank", { Charge: { payload: {} } })
const charge = { command: Bank.commands.Charge, payload: () => ({}) }

/** Waits as long as it is let, and has a deadline of its own. */
const Ask = Saga.make("Ask", { context: {}, deadline: "3 days" }).pipe(
  Saga.waitFor("approval", { signal: Approval }),
  Saga.commit
)
const Open = Saga.make("Open", { context: {} }).pipe(Saga.waitFor("approval", { signal: Approval }), Saga.commit)
const Quick = Saga.make("Quick", { context: { ran: Schema.Array(Schema.String) } }).pipe(
  Saga.local("work", { success: Schema.String, execute: () => Effect.succeed("worked") }),
  Saga.commit
)
const Long = Saga.make("Long", { context: {} }).pipe(
  Saga.remote("first", { execute: charge, timeout: "1 hour" }),
  Saga.sleep("night", "10 days"),
  Saga.remote("second", { execute: charge }),
  Saga.commit
)
const Pivoted = Saga.make("Pivoted", { context: {}, deadline: "5 days" }).pipe(
  Saga.remote("first", { execute: charge }),
  Saga.pivot,
  Saga.remote("second", { execute: charge }),
  Saga.commit
)
const Endless = Saga.make("Endless", { context: {} }).pipe(
  Saga.remote("first", { execute: charge }),
  Saga.waitFor("approval", { signal: Approval }),
  Saga.commit
)

const ports = (committer: typeof TransactionCommitter.layerNone | typeof TransactionCommitter.layerTwoPhase) =>
  Layer.mergeAll(
    Layer.orDie(SagaConfig.layer({ service: "orders", replyTimeout: "2 minutes", reserveTimeout: "7 seconds" })),
    SagaExecutionRepository.layerMemoryWith({ keep: 10 }),
    committer
  ).pipe(Layer.provideMerge(Layer.fresh(Broker.layerMemory)))

const layer = (
  sagas: ReadonlyArray<Saga.AnyCommitted>,
  committer: Parameters<typeof ports>[0] = TransactionCommitter.layerNone
) => Layer.mergeAll(SagaManager.layer(sagas), SagaRunner.layer(sagas)).pipe(Layer.provideMerge(ports(committer)))

/** When the execution is rolled back for its time. */
const endOf = Effect.fnUntraced(function* (uuid: string) {
  const manager = yield* SagaManager.SagaManager
  const { cause, deadline, status } = yield* manager.load(uuid)
  if (status !== "errored") return { status, deadline }
  assert.instanceOf(cause, SagaError.SagaDeadlinePassed)
  return { status, deadline: cause.deadline }
})

describe("the deadline of a run (C18)", () => {
  it.effect("rolls it back where nothing is decided by then, however it was started", () =>
    Effect.gen(function* () {
      const running = yield* Effect.forkChild(Effect.flip(SagaManager.run(Open, { context: {}, deadline: "1 hour" })))
      const executing = yield* Effect.forkChild(
        Effect.flip(SagaManager.execute(Open, { context: {}, deadline: new Date(hour) }))
      )
      const started = yield* SagaManager.start(Open, { context: {}, deadline: DateTime.makeUnsafe(hour) })
      yield* TestClock.adjust(hour - 1)
      assert.deepStrictEqual(yield* endOf(started), { status: "paused", deadline: hour })
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* endOf(started), { status: "errored", deadline: hour })
      for (const error of [yield* Fiber.join(running), yield* Fiber.join(executing)]) {
        assert.instanceOf(error, SagaError.SagaFailedExecution)
        assert.instanceOf((error as SagaError.SagaFailedExecution<unknown>).cause, SagaError.SagaDeadlinePassed)
      }
    }).pipe(Effect.provide(layer([Open])))
  )

  it.effect("counts where it is earlier than that of its saga, and the other way round", () =>
    Effect.gen(function* () {
      const earlier = yield* SagaManager.start(Ask, { context: {}, deadline: "1 day" })
      const later = yield* SagaManager.start(Ask, { context: {}, deadline: "30 days" })
      const none = yield* SagaManager.start(Ask, { context: {} })
      assert.deepStrictEqual(
        yield* Effect.forEach([earlier, later, none], (uuid) => Effect.map(endOf(uuid), ({ deadline }) => deadline)),
        [day, 3 * day, 3 * day]
      )
    }).pipe(Effect.provide(layer([Ask])))
  )

  it.effect("that has passed already rolls it back before its first step", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust(day)
      const error = yield* Effect.flip(SagaManager.run(Quick, { context: { ran: [] }, deadline: new Date(5) }))
      assert.instanceOf(error, SagaError.SagaFailedExecution)
      const { execution } = error as SagaError.SagaFailedExecution<unknown>
      assert.deepStrictEqual([execution.executedSteps, execution.alreadyRollback], [[], true])
      assert.deepStrictEqual(yield* endOf(execution.uuid), { status: "errored", deadline: 5 })
    }).pipe(Effect.provide(layer([Quick])))
  )

  it.effect("is that of the first start where its name is given again: it names what is done, not until when", () =>
    Effect.gen(function* () {
      const named = { context: {}, startKey: "order-17" } as const
      const uuid = yield* SagaManager.start(Open, { ...named, deadline: "2 hours" })
      yield* TestClock.adjust("1 minute")
      for (const deadline of ["2 hours", "1 hour", new Date(5), undefined] as const) {
        const again = { ...named, ...(deadline !== undefined && { deadline }) }
        assert.strictEqual(yield* SagaManager.start(Open, again), uuid)
      }
      assert.deepStrictEqual(yield* endOf(uuid), { status: "paused", deadline: 2 * hour })
      yield* TestClock.adjust("2 hours")
      // The same request, long after its time: the same end.
      const error = yield* Effect.flip(SagaManager.run(Open, { ...named, deadline: new Date(2 * hour) }))
      assert.deepInclude(error, { _tag: "SagaFailedExecution", uuid })
    }).pipe(Effect.provide(layer([Open])))
  )

  it.effect("is that of an execution whose caller does not decide, too", () =>
    Effect.gen(function* () {
      const options = { context: { ran: [] }, autocommit: false } as const
      const uuid = yield* SagaManager.start(Quick, { ...options, deadline: "1 hour" })
      const kept = yield* SagaManager.start(Quick, { ...options, deadline: "1 hour" })
      yield* quiet
      assert.deepStrictEqual(yield* endOf(uuid), { status: "finished", deadline: hour })
      const manager = yield* SagaManager.SagaManager
      yield* manager.commit(kept)
      yield* TestClock.adjust("61 minutes")
      assert.deepStrictEqual(yield* endOf(uuid), { status: "errored", deadline: hour })
      assert.strictEqual((yield* Effect.flip(manager.commit(uuid)))._tag, "SagaAlreadyDecided")
      // What is decided stays.
      assert.deepStrictEqual(yield* endOf(kept), { status: "finished", deadline: hour })
    }).pipe(Effect.provide(layer([Quick])))
  )

  it.effect("C11 that is no time is SagaInvalidStart, and nothing is stored", () =>
    Effect.gen(function* () {
      const manager = yield* SagaManager.SagaManager
      for (const deadline of [
        0,
        -1,
        Number.NaN,
        "soon",
        null,
        {},
        true,
        "4000 days",
        new Date("soon"),
        new Date(1e15)
      ]) {
        const options = { context: {}, deadline: deadline as never } // as plain JavaScript, or a request, may have it
        for (const start of [
          SagaManager.run(Open, options),
          SagaManager.start(Open, options),
          SagaManager.execute(Open, options),
          SagaExecution.fromDefinition(Open, options)
        ])
          assert.deepInclude(yield* Effect.flip(start as Effect.Effect<unknown, unknown, never>), {
            _tag: "SagaInvalidStart",
            field: "deadline"
          })
      }
      assert.deepStrictEqual((yield* manager.find({})).items, [])
    }).pipe(Effect.provide(layer([Open])))
  )

  it.effect("by hand is stored with the execution, and applied when it is looked at", () =>
    Effect.gen(function* () {
      const runner = yield* SagaRunner.SagaRunner
      const created = yield* SagaExecution.fromDefinition(Ask, { context: {}, deadline: "1 hour" })
      assert.strictEqual(created.deadline, hour)
      const read = yield* SagaExecution.fromRaw(SagaExecution.raw(created), Ask)
      assert.strictEqual(read.deadline, hour)
      const paused = yield* runner.execute(read)
      assert.deepStrictEqual([paused.status, paused.deadline], ["paused", hour])
      yield* TestClock.adjust(hour)
      const error = yield* Effect.flip(runner.execute(paused))
      assert.deepInclude(error, { _tag: "SagaFailedExecution" })
      assert.instanceOf((error as SagaError.SagaFailedExecution<unknown>).cause, SagaError.SagaDeadlinePassed)
      // One that was made without a deadline has that of its saga from its start.
      const plain = yield* SagaExecution.fromDefinition(Ask, { context: {} })
      assert.strictEqual(plain.deadline, undefined)
      assert.strictEqual((yield* runner.execute(plain)).deadline, hour + 3 * day)
    }).pipe(Effect.provide(layer([Ask])))
  )
})

/** The executes that a saga sends; each is answered at once. */
const executes = Effect.gen(function* () {
  const broker = yield* Broker.Broker
  const sent: Array<Envelope.Envelope> = []
  yield* broker.subscribe({ service: "bank", kinds: ["command"] }).pipe(
    Stream.runForEach(({ acknowledge, body }) =>
      Effect.suspend(() => {
        const envelope: Envelope.Envelope = JSON.parse(body)
        sent.push(envelope)
        const { coordinator, id, path, saga, service, transactions } = envelope
        const reply = {
          id: `${id}:reply`,
          op: "reply",
          inReplyTo: id,
          status: 200,
          relatedServices: [service]
        } as const
        const answer = {
          v: 1,
          saga,
          path: path ?? "",
          service,
          coordinator,
          transactions,
          notAfter: 0,
          ...reply
        } as const
        return Effect.andThen(Effect.orDie(broker.publish(Broker.toMessage(answer))), acknowledge)
      })
    ),
    Effect.forkScoped
  )
  return sent
})

describe("keepUntil (C16)", () => {
  const reached = (saga: typeof Long, options: object = {}) =>
    Effect.gen(function* () {
      const sent = yield* executes
      yield* SagaManager.start(saga, { context: {}, ...options })
      yield* quiet
      yield* TestClock.adjust("10 days")
      yield* quiet
      return sent.map(({ keepUntil, path }) => [path, keepUntil])
    })

  it.effect("is the sum of the bounds of all steps that are left", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* reached(Long), [
        ["0", hour + 10 * day + 120_000],
        ["2", 10 * day + 120_000]
      ])
    }).pipe(Effect.provide(layer([Long])))
  )

  it.effect("has the time for the votes of a two-phase commit in it", () =>
    Effect.gen(function* () {
      const [first] = yield* reached(Long)
      assert.deepStrictEqual(first, ["0", hour + 10 * day + 120_000 + 7_000])
    }).pipe(Effect.provide(layer([Long], TransactionCommitter.layerTwoPhase)))
  )

  it.effect("is the deadline of the execution where it has one", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* reached(Long, { deadline: "40 days" }), [
        ["0", 40 * day],
        ["2", 40 * day]
      ])
    }).pipe(Effect.provide(layer([Long])))
  )

  it.effect("is not there behind the point of no return: nothing is undone", () =>
    Effect.gen(function* () {
      const sent = yield* executes
      yield* SagaManager.start(Pivoted, { context: {} })
      yield* quiet
      assert.deepStrictEqual(
        sent.map(({ keepUntil, path }) => [path, keepUntil]),
        [
          ["0", 5 * day],
          ["2", undefined]
        ]
      )
    }).pipe(Effect.provide(layer([Pivoted])))
  )

  it.effect("is not there where nothing ends the execution: then nothing of the step would be undone", () =>
    Effect.gen(function* () {
      const sent = yield* executes
      yield* SagaManager.start(Endless, { context: {} })
      yield* quiet
      assert.deepStrictEqual(
        sent.map((envelope) => "keepUntil" in envelope),
        [false]
      )
    }).pipe(Effect.provide(layer([Endless])))
  )

  it.effect("is that of the execution around it, where that can turn back for longer", () =>
    Effect.gen(function* () {
      const sent = yield* executes
      const uuid = "01890000-0000-7000-8000-00000000000a"
      const within = (start: Effect.Effect<unknown, unknown, SagaManager.SagaManager>, keep_until: string) =>
        Effect.gen(function* () {
          const headers = yield* Ref.make<Readonly<Record<string, string>>>({
            transactions: uuid,
            keep_until,
            tenant: "t"
          })
          yield* RequestContext.provide({ headers })(start)
          yield* quiet
        })
      const long = SagaManager.start(Long, { context: {} })
      yield* within(long, String(90 * day))
      yield* within(long, "5")
      yield* within(long, "soon")
      yield* within(SagaManager.start(Endless, { context: {} }), String(90 * day))
      const own = hour + 10 * day + 120_000
      assert.deepStrictEqual(
        sent.map(({ headers, keepUntil }) => [keepUntil, headers]),
        [90 * day, own, own, 90 * day].map((time) => [time, { tenant: "t" }])
      )
    }).pipe(Effect.provide(layer([Long, Endless])))
  )
})

describe("a wait without a limit (C16)", () => {
  it.effect("behind a request needs a deadline with a two-phase commit, whatever the request", () =>
    Effect.gen(function* () {
      const both = ports(TransactionCommitter.layerTwoPhase)
      for (const invalid of [
        Effect.asVoid(Layer.build(Layer.provide(SagaManager.layer([Endless]), both))),
        Effect.asVoid(Layer.build(Layer.provide(SagaRunner.layer([Endless]), both)))
      ]) {
        const error = yield* Effect.flip(Effect.scoped(invalid))
        assert.instanceOf(error, SagaError.SagaInvalid)
        assert.deepStrictEqual(
          (error as SagaError.SagaInvalid).issues.map(({ _tag }) => _tag),
          ["DeadlineRequired"]
        )
      }
      // Without one nobody keeps a transaction open.
      yield* Effect.scoped(Layer.build(layer([Endless])))
    })
  )
})
