/** The spans of an execution: which there are, what they belong to, and that nothing secret is in them (I21). */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Ref, References, Schema, type Tracer } from "effect"
import {
  Broker,
  Participant,
  ParticipantStore,
  RequestContext,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  SagaTracing,
  Signal,
  TransactionCommitter
} from "effect-saga"
import { counting, quiet } from "../fixtures/manager.ts"
import { everySeries } from "../fixtures/metrics.ts"
import { keep, textOf, told } from "../fixtures/spans.ts"

const secret = "PASSPORT-1234567"

class Declined extends Schema.TaggedError<Declined>()("Declined", { said: Schema.String }) {}

const Payments = Participant.make("payments", {
  Charge: { payload: { card: Schema.String }, success: Schema.Struct({ paymentId: Schema.String }), error: Declined },
  Refund: { payload: { paymentId: Schema.String } }
})

const log = Effect.logInfo("it ran")

const Approval = Signal.make("approved", { payload: Schema.Struct({ by: Schema.String }) })

const PlaceOrder = Saga.make("PlaceOrder", { context: { card: Schema.String, fails: Schema.Boolean } }).pipe(
  Saga.local("parcel", {
    success: Schema.String,
    execute: () => Effect.as(log, secret),
    compensate: () => log
  }),
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: ({ card }) => ({ card }) },
    onSuccess: (reply) => Effect.as(log, reply),
    compensate: { command: Payments.commands.Refund, payload: ({ payment }) => ({ paymentId: payment.paymentId }) }
  }),
  Saga.waitFor("approval", { signal: Approval, timeout: "1 day" }),
  Saga.local("shipment", {
    success: Schema.String,
    error: Declined,
    execute: ({ fails }) =>
      Effect.andThen(log, fails ? Effect.fail(new Declined({ said: secret })) : Effect.succeed(secret))
  }),
  Saga.commit
)

const PaymentsLive = Participant.layer(Payments, {
  Charge: ({ card }) => Effect.as(Effect.logInfo("it ran"), { paymentId: `p-${card}` }),
  Refund: () => Effect.logInfo("it ran")
})

interface Said {
  readonly annotations: Readonly<Record<string, unknown>>
  readonly text: string
}

/** A program of two services whose spans and lines of the log are kept. */
const world = (
  tracing: Layer.Layer<never, unknown> = Layer.empty,
  committer: Layer.Layer<
    TransactionCommitter.TransactionCommitter,
    never,
    Broker.Broker
  > = TransactionCommitter.layerNone
) => {
  const spans = keep()
  const lines: Array<Said> = []
  const logger = Logger.make(({ cause, fiber, message }) => {
    lines.push({
      annotations: fiber.getRef(References.CurrentLogAnnotations),
      text: JSON.stringify([message, cause])
    })
  })
  const live = Layer.merge(SagaManager.layer([PlaceOrder]), PaymentsLive).pipe(
    Layer.provide([
      SagaConfig.layer({ service: "orders" }),
      SagaExecutionRepository.layerMemoryWith({ keep: 10 }),
      ParticipantStore.layerMemory,
      committer
    ]),
    Layer.provide([Broker.layerMemory, tracing, Logger.layer([logger])]),
    Layer.provideMerge(spans.layer)
  )
  return { spans, lines, live }
}

const settle = quiet

const run = (fails: boolean) =>
  Effect.gen(function* () {
    const headers = yield* Ref.make<Readonly<Record<string, string>>>({ authorization: secret })
    const options = { context: { card: secret, fails }, startKey: secret, user: secret }
    const uuid = yield* SagaManager.start(PlaceOrder, options).pipe(
      RequestContext.provide({ headers, user: secret }),
      Effect.withSpan("POST /orders")
    )
    yield* settle
    yield* SagaManager.signal(Approval, { uuid, payload: { by: secret } })
    yield* settle
    return uuid
  })

const attributesOf = (spans: ReadonlyArray<Tracer.Span>, name: string) =>
  Object.fromEntries(spans.find((span) => span.name === name)?.attributes ?? [])

const story = [
  "POST /orders: undefined",
  "saga.start PlaceOrder: started in POST /orders",
  "saga.step PlaceOrder/parcel: succeeded in saga.start PlaceOrder",
  "saga.step PlaceOrder/payment: built in saga.start PlaceOrder",
  "send payments/Charge: sent in saga.step PlaceOrder/payment",
  "process payments/Charge: 200 in send payments/Charge"
]

describe("spans", () => {
  it.effect("each activation after the first is a trace of its own, linked to the start and to the one before", () => {
    const { live, spans } = world()
    return Effect.gen(function* () {
      yield* run(false)
      const ended = spans.ended()
      assert.deepStrictEqual(told(ended), [
        ...story,
        "saga.decide PlaceOrder: decided after saga.start PlaceOrder and send payments/Charge",
        "saga.step PlaceOrder/payment: succeeded in saga.decide PlaceOrder",
        "saga.decide PlaceOrder: decided after saga.start PlaceOrder and saga.decide PlaceOrder",
        "saga.step PlaceOrder/shipment: succeeded in saga.decide PlaceOrder",
        "saga PlaceOrder: finished after saga.start PlaceOrder and saga.decide PlaceOrder"
      ])
      // The caller's trace with the first activation, two more activations, and the summary.
      assert.strictEqual(new Set(ended.map(({ traceId }) => traceId)).size, 4)
    }).pipe(Effect.provide(live))
  })

  it.effect("what is undone has spans of its own, and a failure has the tag of its error", () => {
    const { live, spans } = world()
    return Effect.gen(function* () {
      yield* run(true)
      yield* settle
      const ended = spans.ended()
      assert.deepStrictEqual(told(ended).slice(-7), [
        "saga.decide PlaceOrder: decided after saga.start PlaceOrder and saga.decide PlaceOrder",
        "saga.step PlaceOrder/shipment: failed in saga.decide PlaceOrder",
        "saga.undo PlaceOrder/payment: built in saga.decide PlaceOrder",
        "send payments/Refund: sent in saga.undo PlaceOrder/payment",
        "process payments/Refund: 200 in send payments/Refund",
        "saga.undo PlaceOrder/parcel: undone in saga.decide PlaceOrder",
        "saga PlaceOrder: errored after saga.start PlaceOrder and saga.decide PlaceOrder"
      ])
      assert.deepInclude(attributesOf(ended, "saga.step PlaceOrder/shipment"), { "error.type": "Declined" })
      assert.deepInclude(attributesOf(ended, "saga PlaceOrder"), { "error.type": "Declined" })
    }).pipe(Effect.provide(live))
  })

  it.effect("`nested` keeps all activations of a saga in the trace of its start", () => {
    const { live, spans } = world(SagaTracing.layer("linked", { PlaceOrder: "nested" }))
    return Effect.gen(function* () {
      yield* run(false)
      const ended = spans.ended()
      assert.deepStrictEqual(told(ended), [
        ...story,
        "saga.decide PlaceOrder: decided in saga.start PlaceOrder",
        "saga.step PlaceOrder/payment: succeeded in saga.decide PlaceOrder",
        "saga.decide PlaceOrder: decided in saga.start PlaceOrder",
        "saga.step PlaceOrder/shipment: succeeded in saga.decide PlaceOrder",
        "saga PlaceOrder: finished in saga.start PlaceOrder"
      ])
      assert.strictEqual(new Set(ended.map(({ traceId }) => traceId)).size, 1)
    }).pipe(Effect.provide(live))
  })

  for (const fails of [false, true])
    it.effect(
      `messages that end a transaction belong to the trace of the start: it ${fails ? "fails" : "commits"}`,
      () => {
        const { live, spans } = world(undefined, TransactionCommitter.layerTwoPhase)
        return Effect.gen(function* () {
          yield* run(fails)
          yield* settle
          assert.deepStrictEqual(
            told(spans.ended()).filter((line) => /^process payments\/[a-z]/.test(line)),
            fails
              ? ["process payments/reject: 200 in saga.start PlaceOrder"]
              : [
                  "process payments/reserve: 200 in saga.start PlaceOrder",
                  "process payments/commit: 200 in saga.start PlaceOrder"
                ]
          )
        }).pipe(Effect.provide(live))
      }
    )

  it.effect("`off` makes no span, and no message has a trace", () => {
    const { live, spans } = world(SagaTracing.layer("off"))
    return Effect.gen(function* () {
      yield* run(false)
      assert.deepStrictEqual(
        spans.begun.map(({ name }) => name),
        ["POST /orders"]
      )
    }).pipe(Effect.provide(live))
  })

  it.effect("attributes say the saga, the step and the message", () => {
    const { live, spans } = world()
    return Effect.gen(function* () {
      const uuid = yield* run(false)
      const ended = spans.ended()
      const saga = { "saga.name": "PlaceOrder", "saga.uuid": uuid }
      assert.deepStrictEqual(attributesOf(ended, "saga.start PlaceOrder"), { ...saga, "saga.outcome": "started" })
      assert.deepStrictEqual(attributesOf(ended, "saga.step PlaceOrder/parcel"), {
        ...saga,
        "saga.step.name": "parcel",
        "saga.step.path": "0",
        "saga.attempt": 1,
        "saga.outcome": "succeeded"
      })
      const message = {
        "messaging.system": "effect-saga",
        "messaging.destination.template": "saga/v1/{to}/{kind}/{from}/{command}",
        "messaging.message.id": `${uuid}:1:execute`,
        "messaging.message.conversation_id": uuid,
        "saga.step.path": "1"
      }
      assert.deepStrictEqual(attributesOf(ended, "send payments/Charge"), {
        ...saga,
        ...message,
        "messaging.operation.type": "send",
        "saga.attempt": 1,
        "saga.outcome": "sent"
      })
      assert.deepStrictEqual(attributesOf(ended, "process payments/Charge"), {
        "saga.uuid": uuid,
        ...message,
        "messaging.operation.type": "process",
        "saga.outcome": "200"
      })
      assert.deepStrictEqual(
        ended.filter(({ kind }) => kind !== "internal").map(({ kind, name }) => `${name} ${kind}`),
        ["send payments/Charge producer", "process payments/Charge consumer"]
      )
    }).pipe(Effect.provide(live))
  })

  for (const fails of [false, true]) {
    it.effect(
      `I21 nothing secret is in spans, logs and metrics of an order that ${fails ? "fails" : "succeeds"}`,
      () => {
        const { lines, live, spans } = world()
        return Effect.gen(function* () {
          yield* run(fails)
          yield* settle
          assert.isAbove(spans.begun.length, 8)
          assert.notInclude(textOf(spans.begun), secret)
          assert.notInclude(JSON.stringify(lines), secret)
          const series = yield* everySeries
          assert.isTrue(series.some(({ id }) => id === "effect_saga_settled"))
          assert.notInclude(JSON.stringify(series), secret)
        }).pipe(Effect.provide(live), counting)
      }
    )
  }
})

it.effect("every callback and handler logs with the execution and the step that it belongs to", () => {
  const { lines, live } = world()
  return Effect.gen(function* () {
    const uuid = yield* run(true)
    yield* settle
    const said = lines.filter(({ text }) => text.includes("it ran")).map(({ annotations }) => annotations)
    const step = (name: string) => ({ saga: "PlaceOrder", uuid, step: name })
    const handler = (command: string) => ({ uuid, step: "1", service: "payments", command })
    assert.deepStrictEqual(said, [
      step("parcel"),
      handler("Charge"),
      step("payment"),
      step("shipment"),
      handler("Refund"),
      step("parcel")
    ])
  }).pipe(Effect.provide(live))
})
