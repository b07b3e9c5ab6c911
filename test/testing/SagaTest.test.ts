/** SagaTest finds every instruction at which a crash makes a difference, and shows what has come of it. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Ref, Schema } from "effect"
import { Participant, Saga } from "effect-saga"
import { SagaTest } from "effect-saga/testing"

class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", {}) {}

const Payments = Participant.make("payments", {
  Charge: {
    payload: { amount: Schema.Int },
    success: Schema.Struct({ paymentId: Schema.String }),
    error: CardDeclined
  },
  Refund: { payload: { paymentId: Schema.String } }
})

class Stock extends Context.Service<Stock, Ref.Ref<number>>()("test/Stock") {
  static readonly layer = Layer.effect(Stock, Ref.make(5))
  static readonly add = (by: number) => Stock.use(Ref.update((left) => left + by))
}

const PaymentsLive = Participant.layer(Payments, {
  Charge: ({ amount }) => (amount > 100 ? Effect.fail(new CardDeclined()) : Effect.succeed({ paymentId: "p-1" })),
  Refund: () => Effect.void
})

const order = Saga.make("Order", { context: { amount: Schema.Int } }).pipe(
  // Takes a piece twice if a crash makes the step run again.
  Saga.local("taken", { execute: () => Stock.add(-1), compensate: () => Stock.add(1) }),
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: ({ amount }) => ({ amount }) },
    compensate: { command: Payments.commands.Refund, payload: ({ payment }) => payment }
  }),
  Saga.commit
)

const runs = (amount: number) =>
  SagaTest.crashPoints(order, {
    context: { amount },
    layer: Layer.merge(Stock.layer, PaymentsLive),
    inspect: Stock.use(Ref.get)
  })

const finished = ["started", "taken succeeded", "payment succeeded", "finished"]
const errored = ["started", "taken succeeded", "payment failed", "taken compensated", "errored"]

describe("SagaTest.crashPoints", () => {
  for (const [amount, story] of [
    [10, finished],
    [1_000, errored]
  ] as const) {
    it.effect(`crashPoints: a saga comes to ${story.at(-1)}, wherever the manager stops`, () =>
      Effect.gen(function* () {
        const [calm, ...crashed] = yield* runs(amount)
        assert.strictEqual(calm?.crash, "none")
        assert.deepStrictEqual(calm?.story, story)
        for (const { crash, execution, story: told } of crashed) {
          assert.deepStrictEqual(told, story, crash)
          assert.isTrue(execution.settled, crash)
        }
        const kinds = new Set(crashed.map(({ crash }) => crash.split(" ")[0]))
        assert.deepStrictEqual(
          [...kinds].sort(),
          ["acknowledge", "callback", "publish", "store"].flatMap((at) => [`${at}.after`, `${at}.before`])
        )
        assert.strictEqual(new Set(crashed.map(({ crash }) => crash)).size, crashed.length)
      })
    )
  }

  it.effect("crashPoints shows the damage of a crash to a step that ignores its idempotency key", () =>
    Effect.gen(function* () {
      const [calm, ...crashed] = yield* runs(10)
      assert.strictEqual(calm?.inspected, 4)
      const guilty = crashed.filter(({ inspected }) => inspected !== 4).map(({ crash }) => crash)
      assert.deepStrictEqual(guilty, ["store.before 2", "callback.after 1"])
    })
  )

  it.effect("crashPoints gives up on a run that never ends, and shows how far it came", () =>
    Effect.gen(function* () {
      const stuck = Saga.make("Stuck", { context: {} }).pipe(
        Saga.local("wait", { execute: () => Effect.never }),
        Saga.commit
      )
      const [calm] = yield* SagaTest.crashPoints(stuck, { context: {}, layer: Layer.empty })
      assert.deepStrictEqual([calm?.execution.settled, calm?.story], [false, ["started"]])
    })
  )
})
