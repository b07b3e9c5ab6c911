/** SagaTest.run plays one story of a saga: answers, signals and a cancel at times, on the real manager. */
import process from "node:process"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Duration, Effect, Exit, Layer, Metric, Ref, Schema } from "effect"
import { Participant, Saga, SagaError, SagaStory, Signal, TransactionCommitter } from "effect-saga"
import { SagaTest } from "effect-saga/testing"

class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { reason: Schema.String }) {}

const Payments = Participant.make("payments", {
  Charge: {
    payload: { order: Schema.String, amount: Schema.Int },
    success: Schema.Struct({ paymentId: Schema.String }),
    error: CardDeclined
  },
  Refund: { payload: { paymentId: Schema.String }, compensable: false }
})
const Shipping = Participant.make("shipping", { Pack: { payload: { paidAt: Schema.Date } } })

class Stock extends Context.Service<Stock, Ref.Ref<number>>()("test/Stock") {
  static readonly layer = Layer.effect(Stock, Ref.make(5))
  static readonly add = (by: number) => Stock.use(Ref.update((left) => left + by))
}

const Order = Saga.make("Order", { context: { order: Schema.String } }).pipe(
  Saga.local("taken", { execute: () => Stock.add(-1), compensate: () => Stock.add(1) }),
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: ({ order }) => ({ order, amount: 7 }) },
    compensate: { command: Payments.commands.Refund, payload: ({ payment }) => payment },
    timeout: "30 seconds"
  }),
  Saga.remote("parcel", {
    execute: { command: Shipping.commands.Pack, payload: () => ({ paidAt: new Date(0) }) },
    timeout: "1 hour"
  }),
  Saga.commit
)

const paid = { paymentId: "p-1" }
const order = { context: { order: "o-1" }, layer: Stock.layer, inspect: Stock.use(Ref.get) }

/** How many replies changed nothing, in all runs so far. */
const stale = Effect.map(Metric.snapshot, (all) =>
  all
    .filter(({ attributes, id }) => id === "effect_saga_messages_total" && attributes?.outcome === "stale")
    .reduce((sum, { state }) => sum + Number("count" in state ? state.count : 0), 0)
)

describe("answers of services", () => {
  it.effect("a value is the reply of a step, and each command is there with its payload", () =>
    Effect.gen(function* () {
      const ran = yield* SagaTest.run(Order, { ...order, replies: { payment: paid, parcel: undefined } })
      assert.strictEqual(ran.execution.status, "finished")
      if (ran.execution.status === "finished") assert.strictEqual(ran.execution.context.payment.paymentId, "p-1")
      assert.strictEqual(ran.inspected, 4)
      assert.deepStrictEqual(ran.outline, [
        "started",
        "taken succeeded",
        "payment succeeded",
        "parcel succeeded",
        "finished"
      ])
      const at = { does: "execute", after: Duration.zero } as const
      assert.deepStrictEqual(ran.commands, [
        { step: "payment", service: "payments", command: "Charge", payload: { order: "o-1", amount: 7 }, ...at },
        { step: "parcel", service: "shipping", command: "Pack", payload: { paidAt: new Date(0) }, ...at }
      ])
      assert.deepStrictEqual(ran.compensated, [])
      assert.deepStrictEqual(ran.took, Duration.zero)
    })
  )

  it.effect("a function answers the payload", () =>
    Effect.gen(function* () {
      const ran = yield* SagaTest.run(Order, {
        ...order,
        replies: { payment: ({ amount, order }) => ({ paymentId: `${order} for ${amount}` }), parcel: undefined }
      })
      assert.propertyVal({ ...ran.execution.context?.payment }, "paymentId", "o-1 for 7")
    })
  )

  it.effect("an error is the refusal of a service: the step fails with it, and what was done is compensated", () =>
    Effect.gen(function* () {
      const refused = new CardDeclined({ reason: "stolen" })
      const ran = yield* SagaTest.run(Order, { ...order, replies: { payment: SagaTest.error(refused) } })
      if (ran.execution.status !== "errored") return assert.fail(ran.execution.status)
      assert.deepStrictEqual(ran.execution.cause, refused)
      assert.deepStrictEqual(ran.compensated, ["taken"])
      assert.strictEqual(ran.inspected, 5)
    })
  )

  it.effect("silence ends at the deadline, and the service says that it did nothing", () =>
    Effect.gen(function* () {
      const ran = yield* SagaTest.run(Order, { ...order, replies: { payment: paid, parcel: SagaTest.silence } })
      assert.deepStrictEqual(ran.compensated, ["payment", "taken"])
      assert.deepStrictEqual(ran.took, Duration.hours(1))
      const first = yield* SagaTest.run(Order, { ...order, replies: { payment: SagaTest.silence } })
      assert.deepStrictEqual([first.compensated, first.commands.length], [["taken"], 1])
      assert.deepStrictEqual(ran.commands.at(-1), {
        step: "payment",
        does: "compensate",
        service: "payments",
        command: "Refund",
        payload: paid,
        after: Duration.hours(1)
      })
      if (ran.execution.status !== "errored") return assert.fail(ran.execution.status)
      assert.instanceOf(ran.execution.cause, SagaError.SagaFailedExecutionStep)
    })
  )

  it.effect("a late reply comes in time, or finds its step failed and the work to be compensated", () =>
    Effect.gen(function* () {
      const late = (after: Duration.Input) =>
        SagaTest.run(Order, { ...order, replies: { payment: SagaTest.late(after, paid), parcel: undefined } })
      const inTime = yield* late("29 seconds")
      assert.strictEqual(inTime.execution.status, "finished")
      assert.deepStrictEqual(inTime.took, Duration.seconds(29))
      const tooLate = yield* late("1 day")
      assert.strictEqual(tooLate.execution.status, "errored")
      assert.deepStrictEqual(tooLate.compensated, ["payment", "taken"])
      assert.deepStrictEqual(
        tooLate.commands.map(({ command, step }) => `${step}: ${command}`),
        ["payment: Charge", "payment: Refund"]
      )
    })
  )

  it.effect("a reply that comes twice counts once, and so does a request that is sent again", () =>
    Effect.gen(function* () {
      let asked = 0
      const payment = () => {
        asked++
        return SagaTest.late("20 seconds", SagaTest.twice(paid))
      }
      const before = yield* stale
      const ran = yield* SagaTest.run(Order, { ...order, replies: { payment, parcel: undefined } })
      assert.strictEqual(ran.execution.status, "finished")
      assert.deepStrictEqual([asked, ran.commands.length], [1, 2])
      assert.isAbove(yield* stale, before)
    })
  )

  it.effect("a service that dies has done nothing", () =>
    Effect.gen(function* () {
      const ran = yield* SagaTest.run(Order, { ...order, replies: { payment: SagaTest.dies } })
      assert.strictEqual(ran.execution.status, "errored")
      assert.deepStrictEqual(ran.compensated, ["taken"])
    })
  )

  it.effect("a compensation that dies each time is tried again, and its step is parked", () =>
    Effect.gen(function* () {
      const ran = yield* SagaTest.run(Order, {
        ...order,
        replies: { payment: paid, parcel: SagaTest.silence },
        compensations: { payment: SagaTest.dies }
      })
      assert.deepStrictEqual(ran.execution.parked, ["1"])
      assert.deepStrictEqual(ran.compensated, ["taken"])
      assert.isAbove(Duration.toMillis(ran.took), Duration.toMillis("1 hour"))
    })
  )

  it.effect("a step without an answer fails the run at once, with the name of the step", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(SagaTest.run(Order, { ...order, replies: { payment: paid } }))
      assert.strictEqual(error._tag, "SagaTestReplyMissing")
      assert.strictEqual(
        error.message,
        "No reply for the step parcel: shipping is asked to Pack. Give one in replies, or a participant in layer"
      )
    })
  )

  it.effect("an answer that does not fit, or of a step that asks nobody, fails the run", () =>
    Effect.gen(function* () {
      const wrong = (payment: unknown) =>
        Effect.flip(SagaTest.run(Order, { ...order, replies: { payment, parcel: undefined } as never }))
      const messages = yield* Effect.forEach(
        [
          { paymentId: 7 },
          () => {
            throw new Error("broken")
          }
        ],
        (reply) => Effect.map(wrong(reply), ({ message }) => message)
      )
      assert.match(messages[0] ?? "", /^The reply for the step payment cannot be used: .*paymentId/)
      assert.strictEqual(messages[1], "The reply for the step payment cannot be used: its function threw Error: broken")
      const stray = yield* Effect.flip(SagaTest.run(Order, { ...order, replies: { taken: undefined } as never }))
      assert.strictEqual(
        stray.message,
        "The reply for the step taken cannot be used: no step of that name sends a request"
      )
    })
  )

  it.effect("participants of the layer answer for services of which the test says nothing", () =>
    Effect.gen(function* () {
      const handled: Array<string> = []
      const handler = (name: string) => () => Effect.sync(() => void handled.push(name))
      const PaymentsLive = Participant.layer(Payments, {
        Charge: () => Effect.as(handler("Charge")(), paid),
        Refund: handler("Refund")
      })
      const ShippingLive = Participant.layer(Shipping, { Pack: handler("Pack") })
      const layer = Layer.mergeAll(Stock.layer, PaymentsLive, ShippingLive)
      const ran = yield* SagaTest.run(Order, { ...order, layer, replies: { parcel: SagaTest.silence } })
      assert.deepStrictEqual(handled, ["Charge", "Refund"])
      assert.deepStrictEqual(ran.compensated, ["payment", "taken"])
      assert.lengthOf(ran.commands, 3)
      handled.length = 0
      yield* SagaTest.run(Order, { ...order, layer, replies: { parcel: undefined } })
      assert.deepStrictEqual(handled, ["Charge"], "the script answers for shipping")
    })
  )

  it.effect("services without a contract are answered too, and the two-phase commit is the real one", () =>
    Effect.gen(function* () {
      const untyped = Saga.make("Untyped", { context: {} }).pipe(
        Saga.remote("one", { execute: { target: "office/ask", content: () => ({ n: 1 }) }, success: Schema.Int }),
        Saga.commit
      )
      const committer = TransactionCommitter.layerTwoPhase
      const ran = yield* SagaTest.run(untyped, { context: {}, replies: { one: 7 }, committer })
      assert.strictEqual(ran.execution.commitState, "committed")
      assert.include(ran.story, "office is in favour")
      assert.deepStrictEqual(ran.commands[0]?.payload, { n: 1 })
      const refused = yield* SagaTest.run(untyped, { context: {}, replies: { one: SagaTest.error("no") } })
      if (refused.execution.status !== "errored") return assert.fail(refused.execution.status)
      assert.propertyVal(refused.execution.cause, "_tag", "SagaResponseError")
    })
  )
})

// ---- waits -------------------------------------------------------------

const Approval = Signal.make("approval", { payload: Schema.Struct({ approved: Schema.Boolean }) })

const Contract = Saga.make("Contract", { context: {} }).pipe(
  Saga.local("draft", { execute: () => Effect.void, compensate: () => Effect.void }),
  Saga.sleep("thinking", "28 days"),
  Saga.waitFor("answer", {
    signal: Approval,
    timeout: "2 days",
    onTimeout: { success: Schema.Literal("nobody"), value: () => "nobody" }
  }),
  Saga.commit
)

describe("time", () => {
  it.effect("30 days take no time, and the story tells them", () =>
    Effect.gen(function* () {
      // Of CPU, which a busy machine changes least.
      const before = process.cpuUsage()
      const ran = yield* SagaTest.run(Contract, { context: {} })
      const { system, user } = process.cpuUsage(before)
      assert.isBelow((system + user) / 1e6, 0.5)
      assert.deepStrictEqual(ran.story, [
        "Contract starts",
        "draft succeeded",
        "thinking sleeps for 28d",
        "after 28d: thinking succeeded",
        "answer waits for the signal approval for 2d",
        "after 30d: answer goes on without a signal",
        "finished: every step has succeeded"
      ])
      assert.deepStrictEqual(ran.took, Duration.days(30))
    })
  )

  it.effect("a signal comes at its time, before or while somebody waits; a second one is answered as the first", () =>
    Effect.gen(function* () {
      const yes = { payload: { approved: true } }
      const ran = yield* SagaTest.run(Contract, {
        context: {},
        signals: [
          SagaTest.signal(Approval, { ...yes, after: "40 days" }),
          SagaTest.signal(Approval, { ...yes, after: "29 days" }),
          SagaTest.signal(Approval, { payload: { approved: false }, after: "40 days", id: "too late" })
        ]
      })
      assert.deepStrictEqual(ran.answers, ["applied", "applied", "SagaSignalRefused"])
      assert.deepStrictEqual(ran.took, Duration.days(29))
      if (ran.execution.status !== "finished") return assert.fail(ran.execution.status)
      assert.deepStrictEqual(ran.execution.context.answer, { approved: true })
      const early = yield* SagaTest.run(Contract, { context: {}, signals: [SagaTest.signal(Approval, yes)] })
      assert.deepStrictEqual(early.took, Duration.days(28))
    })
  )

  it.effect("what is due at the moment of a signal comes before it", () =>
    Effect.gen(function* () {
      const signals = [SagaTest.signal(Approval, { after: "30 days", payload: { approved: true } })]
      const ran = yield* SagaTest.run(Contract, { context: {}, signals })
      assert.propertyVal(ran.execution.context, "answer", "nobody")
      assert.deepStrictEqual(ran.answers, ["SagaSignalRefused"])
    })
  )

  it.effect("a cancel comes at its time, and one that is too late is told so", () =>
    Effect.gen(function* () {
      const ran = yield* SagaTest.run(Contract, { context: {}, cancelAfter: "3 days" })
      if (ran.execution.status !== "errored") return assert.fail(ran.execution.status)
      assert.propertyVal(ran.execution.cause, "_tag", "SagaCancelled")
      assert.deepStrictEqual([ran.compensated, ran.answers], [["draft"], ["cancelled"]])
      assert.deepStrictEqual(ran.took, Duration.days(3))
      const late = yield* SagaTest.run(Contract, { context: {}, cancelAfter: "31 days" })
      assert.deepStrictEqual(late.answers, ["SagaNotCancellable"])
    })
  )

  it.effect("a run that waits for what never comes is over, and so is one whose step never ends", () =>
    Effect.gen(function* () {
      const waits = Saga.make("Waits", { context: {} }).pipe(Saga.waitFor("answer", { signal: Approval }), Saga.commit)
      const paused = yield* SagaTest.run(waits, { context: {} })
      assert.strictEqual(paused.execution.status, "paused")
      assert.strictEqual(paused.story.at(-1), "answer waits for the signal approval")
      const stuck = Saga.make("Stuck", { context: {} }).pipe(
        Saga.local("step", { execute: () => Effect.never }),
        Saga.commit
      )
      const running = yield* SagaTest.run(stuck, { context: {} })
      assert.strictEqual(running.execution.status, "running")
      const given = yield* SagaTest.run(Contract, { context: {}, within: "1 day" })
      assert.strictEqual(given.execution.status, "paused")
    })
  )

  it.effect("begins at a date", () =>
    Effect.gen(function* () {
      const opens = new Date("2030-05-02T09:00:00Z")
      const saga = Saga.make("Opening", { context: { opens: Schema.Date } }).pipe(
        Saga.sleep("opening", ({ opens }) => opens),
        Saga.commit
      )
      const startsAt = new Date("2030-05-01T09:00:00Z")
      const ran = yield* SagaTest.run(saga, { context: { opens }, startsAt })
      assert.deepStrictEqual(ran.took, Duration.days(1))
      assert.include(SagaStory.tell(ran.execution as never).join(), "2030-05-02T09:00:00.000Z")
    })
  )
})

describe("steps inside steps", () => {
  const Inner = Saga.make("Inner", { context: {} }).pipe(
    Saga.remote("payment", {
      execute: { command: Payments.commands.Charge, payload: () => ({ order: "inner", amount: 1 }) },
      compensate: { command: Payments.commands.Refund, payload: ({ payment }) => payment }
    }),
    Saga.waitFor("answer", { signal: Approval, timeout: "1 day" }),
    Saga.commit
  )
  const Outer = Saga.make("Outer", { context: { large: Schema.Boolean } }).pipe(
    Saga.nested("inner", { saga: Inner, context: () => ({}) }),
    Saga.conditional("way", [
      Saga.ifThen(
        ({ large }) => large,
        Saga.remote("truck", {
          execute: { command: Shipping.commands.Pack, payload: () => ({ paidAt: new Date(0) }) }
        })
      )
    ]),
    Saga.parallel("both", {
      left: Saga.remote("one", { execute: { target: "left/do" }, success: Schema.Int }),
      right: Saga.remote("two", { execute: { target: "right/do" }, success: Schema.Int })
    }),
    Saga.commit
  )

  it.effect("are answered by their names, those of a nested saga under the name of its step", () =>
    Effect.gen(function* () {
      const ran = yield* SagaTest.run(Outer, {
        context: { large: true },
        replies: { inner: { payment: paid }, truck: undefined, one: 1, two: SagaTest.late("1 minute", 2) },
        signals: [SagaTest.signal(Approval, { after: "1 hour", payload: { approved: true } })]
      })
      assert.strictEqual(ran.execution.status, "finished")
      assert.deepStrictEqual(
        ran.commands.map(({ step }) => step),
        ["inner.payment", "truck", "one", "two"]
      )
    })
  )

  it.effect("a missing answer is named with the step around it", () =>
    Effect.gen(function* () {
      const missing = yield* Effect.flip(SagaTest.run(Outer, { context: { large: false } }))
      assert.propertyVal(missing, "step", "inner.payment")
    })
  )

  it.effect("are compensated after the silence of one branch", () =>
    Effect.gen(function* () {
      const ran = yield* SagaTest.run(Outer, {
        context: { large: false },
        replies: { inner: { payment: paid }, one: 1, two: SagaTest.silence },
        signals: [SagaTest.signal(Approval, { payload: { approved: true } })]
      })
      assert.deepStrictEqual(ran.compensated, ["payment"])
      assert.deepStrictEqual(ran.commands.at(-1)?.step, "inner.payment")
    })
  )
})

it.effect("an initial value that cannot be stored is an error of the run", () =>
  Effect.gen(function* () {
    const exit = yield* Effect.exit(SagaTest.run(Order, { ...order, context: { order: 1 as never } }))
    assert.propertyVal(Exit.isFailure(exit) ? Cause.squash(exit.cause) : {}, "_tag", "SagaContextEncodeError")
  })
)
