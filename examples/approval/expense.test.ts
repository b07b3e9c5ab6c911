/** Every way that an expense can go, in virtual time. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SagaTest } from "effect-saga/testing"
import { Approval, Expense, Office } from "./expense.ts"

const letters: Array<number> = []
const OfficeLive = Layer.succeed(Office, {
  setAside: Effect.succeed,
  free: () => Effect.void,
  remind: (amount) => Effect.sync(() => void letters.push(amount))
})

const says = (approved: boolean, after: "2 hours" | "30 hours" | "3 days") => ({
  signals: [SagaTest.signal(Approval, { after, payload: { approved, by: "Ada" } })]
})

describe("an expense", () => {
  const lunch = SagaTest.given(Expense, { context: { amount: 20 }, layer: OfficeLive })

  it.effect("is paid when somebody approves it on the first day", () =>
    lunch.when(says(true, "2 hours")).expect({ context: { payment: "20 paid, approved by Ada" }, took: "2 hours" })
  )

  it.effect("is paid when somebody approves it after the reminder", () =>
    lunch.when(says(true, "30 hours")).expect({
      status: "finished",
      story: [
        "Expense starts",
        "budget succeeded",
        "answer waits for the signal approval for 1d",
        "after 1d: answer goes on without a signal",
        "late: alternative 1 is chosen",
        "reminder succeeded",
        "lateAnswer waits for the signal approval for 1d",
        "after 1d 6h: the signal approval has come",
        "lateAnswer succeeded",
        "payment succeeded",
        "finished: every step has succeeded"
      ]
    })
  )

  it.effect("gives the budget back when somebody declines it", () =>
    lunch.when(says(false, "2 hours")).expect({ status: "errored", cause: "Declined", compensated: ["budget"] })
  )

  it.effect("gives the budget back when nobody answers, after one reminder; a click after that is told so", () =>
    Effect.gen(function* () {
      letters.length = 0
      yield* lunch
        .when(says(true, "3 days"))
        .expect({ status: "errored", compensated: ["budget"], took: "2 days", answers: ["SagaSignalRefused"] })
      assert.deepStrictEqual(letters, [20])
    })
  )

  it.effect("counts a double click once", () =>
    lunch
      .when({ signals: [...says(true, "2 hours").signals, ...says(true, "2 hours").signals] })
      .expect({ status: "finished", answers: ["applied", "applied"] })
  )
})
