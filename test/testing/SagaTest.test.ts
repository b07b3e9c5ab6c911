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

describe("SagaTest.crashPoints of some points only", () => {
  const crashes = (only: SagaTest.Only<"taken" | "payment"> | ReadonlyArray<SagaTest.Only<"taken" | "payment">>) =>
    Effect.map(
      SagaTest.crashPoints(order, { context: { amount: 1_000 }, layer: Layer.merge(Stock.layer, PaymentsLive), only }),
      (all) => all.map(({ crash }) => crash)
    )

  it.effect("those of a step: its callback, its messages, and the writes of its facts", () =>
    Effect.gen(function* () {
      const [all, taken, payment] = [
        (yield* runs(1_000)).map(({ crash }) => crash),
        yield* crashes("taken"),
        yield* crashes("payment")
      ]
      assert.includeMembers([...all], [...taken])
      assert.includeMembers([...all], [...payment])
      assert.deepStrictEqual(new Set([...taken, ...payment]).size, all.length)
      const kinds = (crashed: ReadonlyArray<string>) => new Set(crashed.slice(1).map((crash) => crash.split(".")[0]))
      assert.deepStrictEqual(kinds(taken), new Set(["store", "callback"]))
      assert.deepStrictEqual(kinds(payment), new Set(["store", "publish", "acknowledge"]))
      assert.isBelow(Math.max(taken.length, payment.length), all.length)
    })
  )

  it.effect("those of an operation or of a point, also of one step", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        (yield* crashes("publish")).filter((crash) => !crash.startsWith("publish.")),
        ["none"]
      )
      assert.deepStrictEqual(yield* crashes(["taken", "callback"]), [
        "none",
        "callback.before 1",
        "callback.before 2",
        "callback.after 1",
        "callback.after 2"
      ])
    })
  )

  it.effect("a layer that may be kept is made once, and the others for each run", () =>
    Effect.gen(function* () {
      const made = { kept: 0, anew: 0 }
      class Kept extends Context.Service<Kept, number>()("test/Kept") {}
      const saga = Saga.make("Kept", { context: {} }).pipe(
        Saga.local("number", { success: Schema.Int, execute: () => Kept.useSync((kept) => kept) }),
        Saga.local("piece", { execute: () => Stock.add(-1) }),
        Saga.commit
      )
      const counted = <A>(name: keyof typeof made, value: A) => {
        made[name]++
        return value
      }
      const all = yield* SagaTest.crashPoints(saga, {
        context: {},
        shared: Layer.sync(Kept, () => counted("kept", 7)),
        layer: Layer.effect(
          Stock,
          Effect.suspend(() => counted("anew", Ref.make(5)))
        ),
        only: "callback"
      })
      assert.deepStrictEqual(made, { kept: 1, anew: all.length })
      assert.isAbove(all.length, 3)
    })
  )
})
