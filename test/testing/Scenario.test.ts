/** Scenarios read as prose: given, when, expect. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Participant, Saga, Signal } from "effect-saga"
import { SagaTest } from "effect-saga/testing"

class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { reason: Schema.String }) {}

const Payments = Participant.make("payments", {
  Charge: { payload: { amount: Schema.Int }, success: Schema.String, error: CardDeclined },
  Refund: { payload: { payment: Schema.String } }
})
const Approval = Signal.make("approval", { payload: Schema.Boolean })

const Order = Saga.make("Order", { context: { amount: Schema.Int } }).pipe(
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: ({ amount }) => ({ amount }) },
    compensate: { command: Payments.commands.Refund, payload: ({ payment }) => ({ payment }) }
  }),
  Saga.waitFor("approved", { signal: Approval, timeout: "1 day" }),
  Saga.commit
)

const charge = { command: Payments.commands.Charge, payload: ({ amount }: { readonly amount: number }) => ({ amount }) }
const Visit = Saga.make("Visit", { context: { amount: Schema.Int } }).pipe(
  Saga.remote("first", {
    execute: charge,
    compensate: { command: Payments.commands.Refund, payload: ({ first }) => ({ payment: first }) }
  }),
  Saga.remote("second", { execute: charge }),
  Saga.commit
)

describe("a scenario", () => {
  const order = SagaTest.given(Order, { context: { amount: 7 } })
  const paid = order.when({ replies: { payment: "p-1" } })

  it.effect("given an order, when it is paid and approved, expect it to be finished", () =>
    paid
      .when({ signals: [SagaTest.signal(Approval, { after: "1 hour", payload: true })] })
      .expect({ status: "finished", context: { payment: "p-1", approved: true }, took: "1 hour", answers: ["applied"] })
  )

  it.effect("given an order, when the card is declined, expect nothing to be compensated", () =>
    order.when({ replies: { payment: SagaTest.error(new CardDeclined({ reason: "stolen" })) } }).expect({
      status: "errored",
      cause: "CardDeclined",
      outline: ["started", "payment failed", "errored"],
      compensated: []
    })
  )

  it.effect("given an order, when nobody approves, expect the money back after a day", () =>
    Effect.gen(function* () {
      const { execution } = yield* paid.expect({
        status: "errored",
        compensated: ["payment"],
        commands: [{ command: "Charge", payload: { amount: 7 } }, { command: "Refund" }],
        took: "1 day"
      })
      assert.strictEqual(execution.settled, true)
    })
  )

  it.effect("given a calm order, when one step is answered otherwise, expect the other answers to stay", () =>
    Effect.gen(function* () {
      const calm = SagaTest.given(Visit, { context: { amount: 7 } }).when({
        replies: { first: "p-1", second: "p-2" },
        compensations: { first: SagaTest.late("1 minute", undefined) }
      })
      const declined = calm.when({ replies: { second: SagaTest.error(new CardDeclined({ reason: "stolen" })) } })
      yield* calm.expect({ status: "finished", context: { first: "p-1", second: "p-2" } })
      yield* declined.expect({ status: "errored", cause: "CardDeclined", compensated: ["first"], took: "1 minute" })
      yield* declined
        .when({ compensations: { first: SagaTest.late("2 minutes", undefined) } })
        .expect({ status: "errored", compensated: ["first"], took: "2 minutes" })
    })
  )

  it.effect("compares an error with its values, and the story", () =>
    order.when({ replies: { payment: SagaTest.error(new CardDeclined({ reason: "stolen" })) } }).expect({
      cause: new CardDeclined({ reason: "stolen" }),
      story: [
        "Order starts",
        "payment: payments is asked to Charge",
        "payment failed: CardDeclined",
        "errored: everything that was done is compensated"
      ]
    })
  )

  it.effect("compares what an error is made of, and not what a runtime adds to it", () =>
    Effect.gen(function* () {
      const declined = order.when({ replies: { payment: SagaTest.error(new CardDeclined({ reason: "stolen" })) } })
      // Bun does so, at any time.
      yield* declined.expect({
        cause: Object.defineProperty(new CardDeclined({ reason: "stolen" }), "line", { value: 7 })
      })
      const error = yield* Effect.flip(declined.expect({ cause: new CardDeclined({ reason: "expired" }) }))
      assert.deepStrictEqual(error._tag === "SagaTestUnexpected" && error.differences.map(({ field }) => field), [
        "cause"
      ])
    })
  )

  it.effect("that goes another way says what is different, and tells its story", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        paid.expect({
          status: "finished",
          context: { payment: "p-2", amount: 7 },
          cause: "CardDeclined",
          commands: [{ command: "Charge" }],
          took: "2 days"
        })
      )
      if (error._tag !== "SagaTestUnexpected") return assert.fail(error._tag)
      assert.deepStrictEqual(
        error.differences.map(({ field }) => field),
        ["status", "context", "cause", "commands", "took"]
      )
      assert.include(error.message, "status, expected: finished\n  status, received: errored")
      assert.include(error.message, "\n  after 1d: approved failed: no result at its deadline")
    })
  )
})
