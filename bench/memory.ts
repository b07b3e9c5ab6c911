/**
 * What a saga of three local steps costs in memory, against a hand-written Effect program that does the same: run the
 * steps, and when one fails undo the others in reverse. Both run in turns in one process; the ratio is what counts.
 */
import { Effect, Layer, Schema } from "effect"
import { Broker, Saga, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import type { Report } from "./run.ts"

class Declined extends Schema.TaggedError<Declined>()("Declined", { orderId: Schema.String }) {}

interface Order {
  readonly orderId: string
  readonly amount: number
  readonly fails: boolean
}

let undone = 0
const reserve = ({ orderId }: Order) => Effect.sync(() => `t-${orderId}`)
const charge = ({ amount, orderId }: Order) => Effect.sync(() => `p-${orderId}-${amount}`)
const ship = ({ fails, orderId }: Order) =>
  fails ? Effect.suspend(() => Effect.fail(new Declined({ orderId }))) : Effect.sync(() => `s-${orderId}`)
const undo = (_: string) =>
  Effect.sync(() => {
    undone++
  })

const PlaceOrder = Saga.make("PlaceOrder", {
  context: { orderId: Schema.String, amount: Schema.Int, fails: Schema.Boolean }
}).pipe(
  Saga.local("ticketId", { success: Schema.String, execute: reserve, compensate: ({ ticketId }) => undo(ticketId) }),
  Saga.local("paymentId", { success: Schema.String, execute: charge, compensate: ({ paymentId }) => undo(paymentId) }),
  Saga.local("shipmentId", {
    success: Schema.String,
    error: Declined,
    execute: ship,
    compensate: ({ shipmentId }) => undo(shipmentId)
  }),
  Saga.commit
)

const ours = (order: Order): Effect.Effect<unknown, unknown, SagaManager.SagaManager> =>
  SagaManager.execute(PlaceOrder, { context: order })

/** What one would write by hand: a context that grows by each result, a list of what to undo. */
const reference = (order: Order): Effect.Effect<unknown, unknown> =>
  Effect.suspend(() => {
    const compensations: Array<() => Effect.Effect<void>> = []
    let context: Order & { readonly ticketId?: string; readonly paymentId?: string; readonly shipmentId?: string } =
      order
    return Effect.gen(function* () {
      const ticketId = yield* reserve(context)
      context = { ...context, ticketId }
      compensations.push(() => undo(ticketId))
      const paymentId = yield* charge(context)
      context = { ...context, paymentId }
      compensations.push(() => undo(paymentId))
      const shipmentId = yield* ship(context)
      context = { ...context, shipmentId }
      return context
    }).pipe(
      Effect.catch((error) =>
        Effect.gen(function* () {
          for (const compensate of compensations.reverse()) yield* compensate()
          return yield* Effect.fail(error)
        })
      )
    )
  })

const layer = SagaManager.layer([PlaceOrder]).pipe(
  Layer.provide([
    SagaConfig.layer({ service: "bench" }),
    SagaExecutionRepository.layerMemory,
    Broker.layerMemory,
    TransactionCommitter.layerNone
  ])
)

/** Sagas per second: `inFlight` loops until the time is over; every outcome is checked. */
const rate = Effect.fnUntraced(function* <R>(
  program: (order: Order) => Effect.Effect<unknown, unknown, R>,
  fails: boolean,
  inFlight: number,
  millis: number
) {
  let count = 0
  const undoneBefore = undone
  const start = performance.now()
  const loop = Effect.gen(function* () {
    while (performance.now() - start < millis) {
      const n = count++
      const order = { orderId: `o${n}`, amount: n % 1_000, fails }
      const failed = yield* Effect.match(program(order), { onFailure: (error) => error, onSuccess: () => undefined })
      if (failed instanceof Declined !== fails) throw new Error(`wrong outcome: ${failed}`)
    }
  })
  yield* Effect.all(
    Array.from({ length: inFlight }, () => loop),
    { concurrency: "unbounded", discard: true }
  )
  if (undone - undoneBefore !== (fails ? 2 * count : 0)) throw new Error("wrong number of compensations")
  return (1_000 * count) / (performance.now() - start)
})

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

/** Turns: what else the machine does meets both sides alike. */
const rounds = 7
const millis = 1_000
const warmUp = 4_000

const measure = Effect.gen(function* () {
  const rows = []
  for (const inFlight of [1, 64]) {
    for (const fails of [false, true]) {
      const pairs: Array<{ readonly ours: number; readonly reference: number }> = []
      yield* rate(ours, fails, inFlight, warmUp)
      yield* rate(reference, fails, inFlight, warmUp)
      for (let round = 0; round < rounds; round++) {
        pairs.push({
          reference: yield* rate(reference, fails, inFlight, millis),
          ours: yield* rate(ours, fails, inFlight, millis)
        })
      }
      rows.push({
        case: fails ? "failure" : "success",
        inFlight,
        ours: Math.round(median(pairs.map((pair) => pair.ours))),
        reference: "effect",
        referenceValue: Math.round(median(pairs.map((pair) => pair.reference))),
        ratio: Number(median(pairs.map((pair) => pair.ours / pair.reference)).toFixed(3))
      })
    }
  }
  return { rows }
})

export const run = (): Promise<Report> => Effect.runPromise(Effect.provide(measure, layer))
