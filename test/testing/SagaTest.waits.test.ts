/**
 * Every crash point of a saga that waits: a signal from another process, a sleep and a time that is over, with a service that is
 * undone or committed (SPEC C15, C16, I23).
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Ref, Schema } from "effect"
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
