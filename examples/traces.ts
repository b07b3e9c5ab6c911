/** Spans: an order over two services, told as its traces. A tracer that keeps spans stands in for an exporter. */
import { Console, Effect, Layer, Option, Schema, Tracer } from "effect"
import {
  Broker,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  Signal,
  TransactionCommitter
} from "effect-saga"

const Payments = Participant.make("payments", {
  Charge: { payload: { amount: Schema.Int }, success: Schema.Struct({ paymentId: Schema.String }) },
  Refund: { payload: { paymentId: Schema.String } }
})
const PaymentsLive = Participant.layer(Payments, {
  Charge: ({ amount }) => Effect.succeed({ paymentId: `payment of ${amount}` }),
  Refund: () => Effect.void
})

class NoCourier extends Schema.TaggedError<NoCourier>()("NoCourier", {}) {}
const Packed = Signal.make("packed", { payload: Schema.Struct({ by: Schema.String }) })

const PlaceOrder = Saga.make("PlaceOrder", { context: { amount: Schema.Int } }).pipe(
  Saga.local("parcel", {
    success: Schema.String,
    execute: () => Effect.succeed("a box"),
    compensate: () => Effect.void
  }),
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: ({ amount }) => ({ amount }) },
    compensate: { command: Payments.commands.Refund, payload: ({ payment }) => payment }
  }),
  Saga.waitFor("packed", { signal: Packed, timeout: "1 day" }),
  Saga.local("shipment", { success: Schema.String, error: NoCourier, execute: () => Effect.fail(new NoCourier()) }),
  Saga.commit
)

/** In a program it is `Otlp.layerJson({ baseUrl: "http://localhost:4318" })` of `effect/observability`, and nothing else changes. */
const spans: Array<Tracer.Span> = []
const keeping = Tracer.make({
  span: (options) => {
    const span = new Tracer.NativeSpan(options)
    spans.push(span)
    return span
  }
})

/** Each span under its parent. A trace of its own says what it is linked to. */
const tell = Effect.gen(function* () {
  const ended = spans.filter(({ status }) => status._tag === "Ended")
  const names = new Map(ended.map(({ name, spanId }) => [spanId, name]))
  const under = (parent: string | undefined, depth: number): Effect.Effect<void> =>
    Effect.forEach(
      ended.filter((span) => Option.getOrUndefined(span.parent)?.spanId === parent),
      (span) => {
        const links = span.links.map(({ span: { spanId } }) => names.get(spanId)).join(", ")
        const error = span.attributes.get("error.type")
        const more = `${error === undefined ? "" : ` fails: ${error}`}${links === "" ? "" : `  (links: ${links})`}`
        return Effect.andThen(Console.log(`${"  ".repeat(depth)}${span.name}${more}`), under(span.spanId, depth + 1))
      },
      { discard: true }
    )
  yield* under(undefined, 0)
})

const program = Effect.gen(function* () {
  const startKey = "order 1"
  yield* SagaManager.start(PlaceOrder, { context: { amount: 20 }, startKey }).pipe(Effect.withSpan("POST /orders"))
  yield* Effect.sleep("200 millis")
  yield* SagaManager.signal(Packed, { startKey, payload: { by: "Ada" } })
  yield* Effect.sleep("200 millis")
  yield* tell
})

const Live = Layer.merge(SagaManager.layer([PlaceOrder]), PaymentsLive).pipe(
  Layer.provide([
    SagaConfig.layer({ service: "orders" }),
    SagaExecutionRepository.layerMemory,
    ParticipantStore.layerMemory,
    Broker.layerMemory,
    TransactionCommitter.layerNone
  ]),
  Layer.provideMerge(Layer.succeed(Tracer.Tracer, keeping))
)

Effect.runPromise(Effect.provide(program, Live))
