/** C18, I26 at every crash point, with both committers: behind the pivot all is done, each effect once, and nothing is undone. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Ref, Schema } from "effect"
import { Participant, Saga, SagaTransaction, TransactionCommitter } from "effect-saga"
import { SagaTest } from "effect-saga/testing"

class Declined extends Schema.TaggedError<Declined>()("Declined", {}) {}

const Bank = Participant.make("bank", {
  Hold: { payload: {}, success: Schema.String },
  Free: { payload: {} },
  Charge: { payload: {}, success: Schema.String, error: Declined }
})

/** What has happened, by the keys of commands and steps. */
class Ledger extends Context.Service<Ledger, Ref.Ref<ReadonlyArray<string>>>()("test/Ledger") {
  static readonly layer = Layer.effect(Ledger, Ref.make<ReadonlyArray<string>>([]))
  /** Once for each key, as a service does that knows what it has done. */
  static readonly write = (what: string) =>
    Effect.gen(function* () {
      const { idempotencyKey, uuid } = yield* SagaTransaction
      const line = `${what} ${idempotencyKey.slice(uuid.length + 1)}`
      yield* Ledger.use(Ref.update((lines) => (lines.includes(line) ? lines : [...lines, line])))
    })
}

/** Refuses the first request of an execution. */
const BankLive = Participant.layer(Bank, {
  Hold: () => Effect.as(Ledger.write("hold"), "h-1"),
  Free: () => Ledger.write("free"),
  Charge: () =>
    Effect.gen(function* () {
      const { idempotencyKey } = yield* SagaTransaction
      if (idempotencyKey.endsWith(":execute")) return yield* new Declined()
      yield* Ledger.write("charge")
      return "c-1"
    })
})

const order = Saga.make("Order", { context: {} }).pipe(
  Saga.remote("hold", {
    execute: { command: Bank.commands.Hold, payload: () => ({}) },
    compensate: { command: Bank.commands.Free, payload: () => ({}) }
  }),
  Saga.pivot,
  Saga.parallel("rest", {
    bank: Saga.remote("charge", { execute: { command: Bank.commands.Charge, payload: () => ({}) } }),
    house: Saga.local("parcel", { execute: () => Ledger.write("parcel") })
  }),
  Saga.commit
)

describe("a pivot at every crash point", () => {
  for (const [name, committer] of [
    ["alone", TransactionCommitter.layerNone],
    ["two-phase", TransactionCommitter.layerTwoPhase]
  ] as const) {
    it.effect(`C18 I26 with the committer ${name} what is behind it is done once, and nothing is undone`, () =>
      Effect.gen(function* () {
        const runs = yield* SagaTest.crashPoints(order, {
          context: {},
          layer: Layer.provideMerge(BankLive, Ledger.layer),
          committer,
          inspect: Ledger.use(Ref.get)
        })
        assert.isAbove(runs.length, 20)
        for (const { crash, execution, inspected, story } of runs) {
          assert.deepStrictEqual([execution.status, execution.settled], ["finished", true], crash)
          assert.include(story, "pivot passed", crash)
          assert.notInclude(story, "hold compensated", crash)
          const expected = ["charge 2/b0/0:execute:2", "hold 0:execute", "parcel 2/b1/0:execute"]
          assert.deepStrictEqual([...inspected].sort(), expected, crash)
        }
      })
    )
  }
})

describe("SagaTest.run of a saga with a pivot", () => {
  const story = (charge: () => "c-1" | SagaTest.Answer<string, Declined>) =>
    SagaTest.run(order, {
      context: {},
      layer: Ledger.layer,
      replies: { hold: "h-1", charge },
      config: { retryForward: { times: 2 } }
    })

  it.effect("C18 tells of the tries: a refusal is asked again until it is none", () =>
    Effect.gen(function* () {
      let asked = 0
      const ran = yield* story(() => (asked++ < 2 ? SagaTest.error(new Declined()) : "c-1"))
      assert.strictEqual(ran.execution.status, "finished")
      assert.deepStrictEqual(
        ran.commands.map(({ step }) => step),
        ["hold", "charge", "charge", "charge"]
      )
      assert.deepStrictEqual(ran.compensated, [])
    })
  )

  it.effect("C18 ends where a person is needed, with nothing undone", () =>
    Effect.gen(function* () {
      const ran = yield* story(() => SagaTest.error(new Declined()))
      assert.deepStrictEqual([ran.execution.status, ran.execution.parked], ["paused", ["2/b0/0"]])
      assert.deepStrictEqual(ran.compensated, [])
      assert.include(ran.outline, "charge parked")
    })
  )
})
