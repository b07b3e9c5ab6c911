/** The story of an execution: its lines, and the values that it leaves out. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Participant, Saga, type SagaEvent, type SagaExecution, SagaStory } from "effect-saga"
import { SagaTest } from "effect-saga/testing"

class NoCourier extends Schema.TaggedError<NoCourier>()("NoCourier", { city: Schema.String }) {}

const Payments = Participant.make("payments", {
  Charge: { payload: { amount: Schema.Int }, success: Schema.Struct({ paymentId: Schema.String }) },
  Refund: { payload: { paymentId: Schema.String } }
})

const order = Saga.make("Order", { context: { city: Schema.String, stubborn: Schema.Boolean } }).pipe(
  Saga.local("stock", {
    success: Schema.String,
    execute: () => Effect.succeed("shelf 7"),
    compensate: ({ stubborn }) => (stubborn ? Effect.die(new Error("the shelf is locked")) : Effect.void),
    retryCompensate: { times: 1 }
  }),
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: () => ({ amount: 10 }) },
    compensate: { command: Payments.commands.Refund, payload: ({ payment }) => payment }
  }),
  Saga.conditional("delivery", [
    Saga.ifThen(
      ({ city }) => city !== "Ghent",
      Saga.local("courier", { error: NoCourier, execute: ({ city }) => new NoCourier({ city }) })
    )
  ]),
  Saga.commit
)

const PaymentsLive = Participant.layer(Payments, {
  Charge: () => Effect.succeed({ paymentId: "p-secret" }),
  Refund: () => Effect.void
})

const run = (city: string, stubborn = false) =>
  Effect.map(
    SagaTest.crashPoints(order, { context: { city, stubborn }, layer: PaymentsLive }),
    (runs) => runs[0]!.execution
  )

describe("SagaStory", () => {
  it.effect("the story tells a run that goes well", () =>
    Effect.gen(function* () {
      const execution = yield* run("Ghent")
      assert.deepStrictEqual(SagaStory.tell(execution), [
        "Order starts",
        "stock succeeded",
        "payment: payments is asked to Charge",
        "payment succeeded",
        "delivery: no condition holds",
        "finished: every step has succeeded"
      ])
      assert.deepStrictEqual(SagaStory.outline(execution), [
        "started",
        "stock succeeded",
        "payment succeeded",
        "finished"
      ])
    })
  )

  const rolledBack = [
    "Order starts",
    "stock succeeded",
    "payment: payments is asked to Charge",
    "payment succeeded",
    "delivery: alternative 1 is chosen",
    "courier failed: NoCourier",
    "payment: payments is asked to Refund",
    "payment compensated",
    "stock compensated",
    "errored: everything that was done is compensated"
  ]

  it.effect("the story tells failures and compensations, by tags and without values", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(SagaStory.tell(yield* run("Atlantis")), rolledBack)
    })
  )

  it.effect("the story has values where they are asked for", () =>
    Effect.gen(function* () {
      const told = SagaStory.tell(yield* run("Atlantis"), { values: true })
      assert.deepStrictEqual(
        told.filter((line) => !rolledBack.includes(line)),
        [
          'Order starts: {"city":"Atlantis","stubborn":false}',
          'stock succeeded: "shelf 7"',
          'payment succeeded: {"paymentId":"p-secret"}',
          'courier failed: NoCourier: {"_tag":"NoCourier","city":"Atlantis"}'
        ]
      )
    })
  )

  it.effect("the story tells which step is parked, and that the rest is compensated", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(SagaStory.tell(yield* run("Atlantis", true)).slice(-5), [
        "payment compensated",
        "stock could not be compensated: it died; it is tried again",
        "stock could not be compensated: it died; it is not tried again",
        "stock is parked for a person: its compensation failed",
        "errored: everything is compensated but stock"
      ])
    })
  )

  it.effect("the story ends with the steps that are not over yet", () =>
    Effect.gen(function* () {
      const execution = yield* run("Ghent")
      const upTo = (tag: SagaExecution.SagaExecution["events"][number]["_tag"]) =>
        SagaStory.tell({
          events: execution.events.slice(0, execution.events.findIndex(({ _tag }) => _tag === tag) + 1)
        })
      assert.deepStrictEqual(upTo("StepStarted"), ["Order starts", "stock is running"])
      assert.strictEqual(upTo("RequestSent").at(-1), "payment waits for payments")
    })
  )

  it("the story names the signal that was refused, since its sender may not have heard of it", () => {
    const refused = (why: object): SagaEvent => ({ _tag: "ActionRefused", id: "1", why: why as never, at: 1 })
    const uuid = "01900000-0000-7000-8000-000000000001"
    const events = [
      refused({ _tag: "SagaSignalRefused", uuid, signal: "approval", reason: "payload" }),
      refused({ _tag: "SagaSignalConflict", uuid, signal: "approval", id: "approval" }),
      refused({ _tag: "SagaNotCancellable", uuid, reason: "decided" }),
      { ...refused({ _tag: "SagaStepNotParked", uuid, path: "1" }), action: "RetryParked", actor: "ann\n@desk" },
      { ...refused({ _tag: "SagaNotCancellable", uuid }), actor: "ben" }
    ]
    assert.deepStrictEqual(SagaStory.tell({ events }), [
      "an input was refused: SagaSignalRefused, the signal approval (payload)",
      "an input was refused: SagaSignalConflict, the signal approval",
      "an input was refused: SagaNotCancellable",
      "RetryParked by ann @desk was refused: SagaStepNotParked",
      "an input by ben was refused: SagaNotCancellable"
    ])
  })

  it("the story tells waits, signals and deadlines, and what is said only where values are asked for (C16)", () => {
    const at = 0
    const events: ReadonlyArray<SagaEvent> = [
      { _tag: "ExecutionCreated", uuid: "u" as never, saga: "S", fingerprint: "", context: {}, at },
      { _tag: "DeadlineSet", deadline: 9, at },
      { _tag: "WaitStarted", path: "0", name: "ask", signal: "approval", key: "k", deadline: 5_000, at },
      { _tag: "SignalReceived", signal: "approval", id: "1", key: "k", content: "yes", actor: "ann", at },
      { _tag: "StepSucceeded", path: "0", result: "yes", signal: "1", at },
      { _tag: "WaitStarted", path: "1", name: "again", signal: "approval", at },
      { _tag: "SignalReceived", signal: "ping", id: "2", at },
      { _tag: "StepSucceeded", path: "1", timedOut: true, at },
      { _tag: "WaitStarted", path: "2", name: "nap", deadline: 5_000, at },
      { _tag: "RollbackStarted", failure: { _tag: "DeadlinePassed", deadline: 9 }, at }
    ]
    const story = [
      "S starts",
      "ask waits for the signal approval until 1970-01-01T00:00:05.000Z",
      "the signal approval has come from ann",
      "ask succeeded",
      "again waits for the signal approval",
      "the signal ping has come",
      "again goes on without a signal",
      "nap sleeps until 1970-01-01T00:00:05.000Z",
      "the rollback begins: nothing was decided at the deadline",
      "nap sleeps until 1970-01-01T00:00:05.000Z"
    ]
    assert.deepStrictEqual(SagaStory.tell({ events }), story)
    assert.deepStrictEqual(SagaStory.tell({ events }, { values: true }).slice(1, 4), [
      'ask waits for the signal approval until 1970-01-01T00:00:05.000Z: "k"',
      'the signal approval has come from ann: "yes"',
      'ask succeeded: "yes"'
    ])
  })

  it("the story tells a wait that is open once, where nothing was told since it began", () => {
    const at = 0
    const waiting = (path: string, name: string): SagaEvent => ({
      _tag: "WaitStarted",
      path,
      name,
      signal: "approval",
      key: name,
      at
    })
    const open = [waiting("0/b0/0", "ann"), waiting("0/b1/0", "ben")]
    const told = ["ann waits for the signal approval", "ben waits for the signal approval"] as const
    assert.deepStrictEqual(SagaStory.tell({ events: open }), [...told])
    assert.deepStrictEqual(SagaStory.tell({ events: open }, { times: true, values: true }), [
      `${told[0]}: "ann"`,
      `${told[1]}: "ben"`
    ])
    const came: SagaEvent = { _tag: "SignalReceived", signal: "approval", id: "1", key: "ann", at }
    const succeeded: SagaEvent = { _tag: "StepSucceeded", path: "0/b0/0", signal: "1", at }
    assert.deepStrictEqual(SagaStory.tell({ events: [...open, came, succeeded] }), [
      ...told,
      "the signal approval has come",
      "ann succeeded",
      told[1]
    ])
  })

  it("the story tells what a step has started, and how far its rollback is", () => {
    const at = 0
    const asked = { saga: "Other", uuid: "u-2" as never, startKey: "k", context: { city: "Porto" }, at }
    const failure = { _tag: "StartedNotUndone", path: "0", step: "one", uuid: "u-2", looks: 1 } as const
    const events: ReadonlyArray<SagaEvent> = [
      { _tag: "ExecutionCreated", uuid: "u" as never, saga: "S", fingerprint: "", context: {}, at },
      { _tag: "StartRequested", path: "0", name: "one", ...asked },
      { _tag: "StepSucceeded", path: "0", result: "u-2", at },
      { _tag: "StartRequested", path: "1", name: "two", ...asked },
      { _tag: "StepSucceeded", path: "1", result: "u-2", existing: true, at },
      { _tag: "StartRequested", path: "2", name: "three", ...asked },
      { _tag: "RollbackStarted", failure: { _tag: "Cancelled" }, at },
      { _tag: "CompensationStarted", path: "0", at },
      { _tag: "CompensationFailed", path: "0", failure, retryAt: 1, at }
    ]
    assert.deepStrictEqual(SagaStory.tell({ events }).slice(1), [
      "one starts Other as u-2",
      "one succeeded",
      "two starts Other as u-2",
      "two succeeded: it was there already",
      "three starts Other as u-2",
      "the rollback begins: cancelled",
      "one could not be compensated: the saga that it has started is not undone yet; it is tried again",
      "three is running"
    ])
    assert.include(SagaStory.tell({ events }, { values: true }), 'one starts Other as u-2: {"city":"Porto"}')
  })
})
