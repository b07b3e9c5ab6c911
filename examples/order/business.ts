/** The order business: two participants, and the orchestrator that is told the orders, killed, and started again. */
import { Clock, Effect, Layer, Queue, Random, Schema, Stream } from "effect"
import type { Order } from "./contracts.ts"
import * as Place from "./places.ts"
import * as Processes from "./processes.ts"
import type { Progress } from "./progress.ts"
import * as Services from "./services.ts"
import { Books, summarize, type Tally } from "./summary.ts"

export interface Run {
  readonly orders: ReadonlyArray<Order>
  readonly places: Place.Places
  readonly processes: boolean
  readonly crashes: number
  readonly seed: number
  readonly tally: Tally
  readonly progress: Progress
}

/** A participant in this process or in one of its own. Gives what its books say, which ends it. */
const participant = Effect.fnUntraced(function* (name: Services.Participant, { places, processes }: Run) {
  if (!processes) {
    const context = yield* Layer.build(Services.participant(name, places))
    return Effect.provideContext(Services.participants[name].books, context)
  }
  const { said, tell } = yield* Processes.start(name, places)
  const answers = yield* Stream.toQueue(said, { capacity: "unbounded" })
  yield* Queue.take(answers)
  return Effect.andThen(tell({ _tag: "Close" }), Queue.take(answers)).pipe(
    Effect.map((it) => (it._tag === "Closed" ? it.books : undefined))
  )
})

/** After how many orders the orchestrator is killed. The last ones are left to what comes after. */
export const crashPoints = (orders: number, crashes: number, seed: number) =>
  Effect.forEach(Array.from({ length: crashes }).keys(), (i) =>
    Effect.map(Random.next, (random) => Math.ceil(orders * 0.8 * ((i + random) / crashes)))
  ).pipe(Random.withSeed(seed))

const sagas = (n: number) => (n === 1 ? "1 saga" : `${n} sagas`)

/** One life of the orchestrator: its books, or nothing if it is killed when so many orders are settled. */
const life = Effect.fnUntraced(function* (run: Run, crashAt: number) {
  const { orders, progress, tally } = run
  const { kill, said, tell } = yield* Processes.start("orders", run.places)
  const waiting = orders.filter(({ orderId }) => !tally.outcomes.has(orderId)).values()
  const next = Effect.suspend(() => {
    const { done, value } = waiting.next()
    return done === true ? Effect.void : tell({ _tag: "Place", order: value })
  })
  const underWay = Math.max(1, Math.min(32, Math.ceil(orders.length / 4)))
  let killed = false
  let books: unknown
  yield* Stream.runForEach(
    said,
    Effect.fnUntraced(function* (it) {
      if (it._tag === "Closed") books = it.books
      if (it._tag === "Started") {
        if (it.unfinished > 0) yield* progress.note(`▶ it is up, and goes on with ${sagas(it.unfinished)} half done`)
        yield* Effect.repeat(next, { times: underWay - 1 })
      }
      if (it._tag === "Settled" && tally.add(it.order)) {
        yield* progress.settled(it.order)
        if (!killed && tally.outcomes.size >= crashAt) {
          killed = true
          yield* progress.crashed
          yield* kill
        }
        yield* next
      }
      if (tally.outcomes.size === orders.length && !killed) yield* tell({ _tag: "Close" })
    })
  )
  if (books === undefined && !killed)
    return yield* new Processes.ServiceFailed({ service: "orders", problem: "it has ended" })
  return books
}, Effect.scoped)

const orchestrate = Effect.fnUntraced(function* (run: Run) {
  const points = yield* crashPoints(run.orders.length, run.crashes, run.seed)
  for (const [crashes, point] of [...points, Number.POSITIVE_INFINITY].entries()) {
    const books = yield* life(run, point)
    if (books !== undefined) return { books, crashes }
  }
  return yield* Effect.die("the last life has no end")
})

/** Runs all orders, and then asks each service for its books. */
export const run = Effect.fnUntraced(function* (run: Run) {
  yield* run.progress.note("· each service makes its database")
  yield* Place.prepare(run.places)
  yield* run.progress.note("· payments, shipping and orders start, in this order")
  const [payments, shipping] = yield* Effect.all([participant("payments", run), participant("shipping", run)], {
    concurrency: 2
  })
  const start = yield* Clock.currentTimeMillis
  const { books: orders, crashes } = yield* orchestrate(run)
  const seconds = ((yield* Clock.currentTimeMillis) - start) / 1_000
  const books = yield* Schema.decodeUnknownEffect(Books)({
    orders,
    payments: yield* payments,
    shipping: yield* shipping
  })
  return { books, summary: summarize(run.tally, books, seconds, crashes) }
}, Effect.scoped)
