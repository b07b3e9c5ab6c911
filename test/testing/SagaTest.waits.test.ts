/**
 * Every crash point of a saga that waits: a signal from another process, a sleep and a time that is over, with a service that is
 * undone or committed (SPEC C15, C16, I23).
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, type Duration, Effect, Layer, Ref, Schema } from "effect"
import {
  type Broker,
  Participant,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  SagaTransaction,
  Signal,
  TransactionCommitter
} from "effect-saga"
import { SagaTest } from "effect-saga/testing"

const Approval = Signal.make("approval", { payload: Schema.String })

const Payments = Participant.make("payments", {
  Charge: { payload: {}, success: Schema.String },
  Refund: { payload: {} }
})

/** Charges and refunds that stand, and the decisions that the service was told. */
class Books extends Context.Service<Books, Ref.Ref<ReadonlyArray<string>>>()("test/Books") {
  static readonly layer = Layer.effect(Books, Ref.make<ReadonlyArray<string>>([]))
  static readonly add = (line: string) => Books.use(Ref.update((lines) => [...lines, line]))
}

const PaymentsLive = Participant.layer(
  Payments,
  { Charge: () => Effect.as(Books.add("charge"), "p-1"), Refund: () => Books.add("refund") },
  { commit: () => Books.add("commit"), reject: () => Books.add("reject") }
).pipe(Layer.provideMerge(Books.layer))

/** Another process, which knows the signal only. */
class Clicks extends Context.Service<Clicks, SagaManager.SagaManager["Service"]>()("test/Clicks") {
  static readonly layer = Layer.effect(Clicks, SagaManager.SagaManager).pipe(
    Layer.provide(SagaManager.layer([])),
    Layer.provide([SagaConfig.layer({ service: "clicks" }), TransactionCommitter.layerNone]),
    Layer.fresh
  )
}

/** Asked twice after a crash, the person clicks twice. */
const click = Effect.gen(function* () {
  const { uuid } = yield* SagaTransaction
  const { signal } = yield* Clicks
  yield* Effect.orDie(signal(Approval, { uuid, payload: "yes" }))
})

const begun = Saga.make("Order", { context: {} }).pipe(
  Saga.local("asked", { execute: () => click, compensate: () => Books.add("taken back") }),
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: () => ({}) },
    compensate: { command: Payments.commands.Refund, payload: () => ({}) }
  }),
  Saga.waitFor("approval", { signal: Approval, timeout: "1 minute" }),
  Saga.sleep("rest", "10 seconds")
)
const Goes = begun.pipe(
  Saga.waitFor("second", {
    signal: Approval,
    timeout: "20 seconds",
    onTimeout: { success: Schema.Literal("nobody"), value: () => "nobody" }
  }),
  Saga.commit
)
const Fails = begun.pipe(Saga.waitFor("second", { signal: Approval, timeout: "20 seconds" }), Saga.commit)

const runs = (saga: typeof Goes | typeof Fails, committer: "layerNone" | "layerTwoPhase") =>
  SagaTest.crashPoints(saga as typeof Goes, {
    context: {},
    shared: Layer.fresh(SagaExecutionRepository.layerMemoryWith({ keep: 1_000 })),
    layer: Layer.mergeAll(PaymentsLive, Clicks.layer) as Layer.Layer<
      Books | Clicks,
      never,
      Broker.Broker | SagaExecutionRepository.SagaExecutionRepository
    >,
    committer: TransactionCommitter[committer],
    inspect: Books.use(Ref.get)
  })

const Sleeper = Saga.make("Sleeper", { context: {} }).pipe(
  Saga.sleep("week", "7 days"),
  Saga.local("done", { execute: () => Books.add("a week later"), compensate: () => Effect.void }),
  Saga.commit
)

describe("SagaTest.crashPoints with signals", () => {
  const Paid = Saga.make("Paid", { context: {} }).pipe(
    Saga.remote("payment", {
      execute: { command: Payments.commands.Charge, payload: () => ({}) },
      compensate: { command: Payments.commands.Refund, payload: () => ({}) }
    }),
    Saga.waitFor("approval", { signal: Approval, timeout: "1 minute" }),
    Saga.commit
  )
  const told = (...after: ReadonlyArray<Duration.Input>) =>
    SagaTest.crashPoints(Paid, {
      context: {},
      layer: PaymentsLive,
      inspect: Books.use(Ref.get),
      signals: after.map((after) => SagaTest.signal(Approval, { after, payload: "yes" }))
    })

  it.effect("C16 I23 tells the execution once, also where the manager stops before it or in its middle", () =>
    Effect.gen(function* () {
      const all = yield* told(0)
      for (const { crash, execution, inspected } of all) {
        assert.strictEqual(execution.status, "finished", crash)
        assert.strictEqual(execution.events.filter(({ _tag }) => _tag === "SignalReceived").length, 1, crash)
        assert.deepStrictEqual(inspected, ["charge"], crash)
      }
      assert.isAbove(all.length, 8)
    })
  )

  it.effect("C16 tells it a time after the start; two signals of one name count once", () =>
    Effect.gen(function* () {
      const [calm] = yield* told("4 seconds", "2 seconds")
      const received = calm?.execution.events.filter(({ _tag }) => _tag === "SignalReceived") ?? []
      assert.strictEqual(received.length, 1)
      assert.isAtLeast((received[0]?.at ?? 0) - (calm?.execution.events[0]?.at ?? 0), 2_000)
      assert.strictEqual(calm?.execution.status, "finished")
    })
  )
})

describe("SagaTest.crashPoints of a saga that takes a month", () => {
  const Month = Saga.make("Month", { context: {}, deadline: "90 days" }).pipe(
    Saga.remote("payment", {
      execute: { command: Payments.commands.Charge, payload: () => ({}) },
      compensate: { command: Payments.commands.Refund, payload: () => ({}) }
    }),
    Saga.sleep("rest", "30 days"),
    Saga.waitFor("approval", { signal: Approval, timeout: "2 days" }),
    Saga.start("next", { saga: Sleeper, context: () => ({}) }),
    Saga.commit
  )
  const month = (signals: ReadonlyArray<SagaTest.Telling<"approval">>) =>
    SagaTest.crashPoints(Month, { context: {}, layer: PaymentsLive, inspect: Books.use(Ref.get), signals })

  it.effect("C15 I24 finishes after a month, wherever it stops, and what it starts a week later", () =>
    Effect.gen(function* () {
      const all = yield* month([SagaTest.signal(Approval, { after: "31 days", payload: "yes" })])
      for (const { crash, execution, inspected } of all) {
        assert.strictEqual(execution.status, "finished", crash)
        assert.isAtLeast((execution.events.at(-1)?.at ?? 0) - (execution.events[0]?.at ?? 0), 31 * 86_400_000, crash)
        assert.deepStrictEqual(new Set(inspected), new Set(["charge", "a week later"]), crash)
      }
      assert.isAbove(all.length, 10)
    })
  )

  it.effect("C15 I1 is undone after a month where nobody answers, wherever it stops", () =>
    Effect.gen(function* () {
      const all = yield* month([])
      for (const { crash, execution, inspected } of all) {
        assert.strictEqual(execution.status, "errored", crash)
        assert.deepStrictEqual(inspected, ["charge", "refund"], crash)
      }
      assert.isAbove(all.length, 10)
    })
  )
})

describe("SagaTest.crashPoints of a saga that waits", () => {
  for (const committer of ["layerNone", "layerTwoPhase"] as const) {
    it.effect(`C16 I23 finishes with one click, one charge and one decision, wherever it stops: ${committer}`, () =>
      Effect.gen(function* () {
        const all = yield* runs(Goes, committer)
        for (const { crash, execution, inspected } of all) {
          assert.strictEqual(execution.status, "finished", crash)
          assert.isTrue(execution.settled, crash)
          assert.deepInclude({ ...(execution.context as object) }, { approval: "yes", second: "nobody" }, crash)
          assert.strictEqual(execution.events.filter(({ _tag }) => _tag === "SignalReceived").length, 1, crash)
          assert.deepStrictEqual(inspected, committer === "layerNone" ? ["charge"] : ["charge", "commit"], crash)
        }
        assert.isAbove(all.length, 20)
      })
    )

    it.effect(`C16 I1 is undone once where the second click does not come, wherever it stops: ${committer}`, () =>
      Effect.gen(function* () {
        const all = yield* runs(Fails, committer)
        for (const { crash, execution, inspected, story } of all) {
          assert.strictEqual(execution.status, "errored", crash)
          assert.isTrue(execution.settled && execution.alreadyRollback, crash)
          assert.include(story, "second failed", crash)
          const undone = inspected.filter((line) => line !== "reject" && line !== "taken back")
          assert.deepStrictEqual(undone, ["charge", "refund"], crash)
          if (committer === "layerTwoPhase") assert.include(inspected, "reject", crash)
        }
        assert.isAbove(all.length, 20)
      })
    )
  }
})
