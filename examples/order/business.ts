/** The order business: two participants, and an orchestrator that gets the orders, is killed, and is started again. */
import { Clock, Effect, Fiber, Latch, Layer, Random, Schema, Stream } from "effect"
import type { Order } from "./contracts.ts"
import type { Said } from "./messages.ts"
import * as Place from "./places.ts"
import * as Processes from "./processes.ts"
import type { Progress } from "./progress.ts"
import * as Services from "./services.ts"
import { Books, summarize, type Tally } from "./summary.ts"
import type { Service } from "./transports.ts"

export interface Run {
  readonly orders: ReadonlyArray<Order>
  readonly places: Place.Places
  readonly processes: boolean
  readonly crashes: number
  readonly seed: number
  readonly tally: Tally
  readonly progress: Progress
  /** The time for a look at the dashboard: after all orders have ended, before the services close. */
  readonly look: Effect.Effect<void>
}

/** One life of a process: its books, or nothing if it dies. A process that ends by itself before it is up fails for good. */
const life = Effect.fnUntraced(function* (
  service: Service,
  places: Place.Places,
  hear: (it: Said, process: Processes.Process) => Effect.Effect<unknown, unknown>
) {
  const process = yield* Processes.start(service, places)
  let isUp = false
  let books: unknown
  yield* Stream.runForEach(process.said, (it) => {
    if (it._tag === "Started") isUp = true
    if (it._tag === "Closed") books = it.books
    return hear(it, process)
  })
  if (!isUp && !(yield* process.isKilled))
    return yield* new Processes.ServiceFailed({ service, problem: "The service does not start" })
  return books
}, Effect.scoped)

/**
 * A participant in this process, or in a process of its own that is started again if it dies. `close` gives its books;
 * `lost` fails if it cannot be started again.
 */
const participant = Effect.fnUntraced(function* (name: Services.Participant, { places, processes, progress }: Run) {
  if (!processes) {
    const context = yield* Layer.build(Services.participant(name, places))
    return { close: Effect.provideContext(Services.participants[name].books, context), lost: Effect.never }
  }
  const up = yield* Latch.make()
  let close: Effect.Effect<unknown, unknown> = Effect.void
  let isClosing = false
  const closed = yield* life(name, places, (it, { tell }) => {
    if (it._tag !== "Started") return Effect.void
    close = tell({ _tag: "Close" })
    return isClosing ? close : up.open
  }).pipe(
    Effect.tap((books) => (books === undefined ? progress.note(`⚡ ${name} has died, and starts again`) : Effect.void)),
    Effect.repeat({ until: (books) => books !== undefined }),
    Effect.forkScoped
  )
  yield* Effect.raceFirst(up.await, Fiber.join(closed))
  const closing = Effect.suspend(() => {
    isClosing = true
    return close
  })
  const books = Fiber.join(closed)
  return { close: Effect.andThen(closing, books), lost: Effect.andThen(books, Effect.never) }
})

/** Kills come after these numbers of settled orders. The last fifth of the orders is left to the process that follows. */
export const crashPoints = (orders: number, crashes: number, seed: number) =>
  Effect.forEach(Array.from({ length: crashes }).keys(), (i) =>
    Effect.map(Random.next, (random) => Math.ceil(orders * 0.8 * ((i + random) / crashes)))
  ).pipe(Random.withSeed(seed))

const sagas = (n: number) => (n === 1 ? "1 saga" : `${n} sagas`)

/** Sends the orders to the orchestrator, some at a time, and kills it at the given numbers of settled orders. */
const feed = (run: Run, crashAt: number) => {
  const { orders, progress, tally } = run
  const waiting = orders.filter(({ orderId }) => !tally.outcomes.has(orderId)).values()
  const underWay = Math.max(1, Math.min(32, Math.ceil(orders.length / 4)))
  let isKilled = false
  return Effect.fnUntraced(function* (it: Said, { kill, tell }: Processes.Process) {
    const next = Effect.suspend(() => {
      const { done, value } = waiting.next()
      return done === true ? Effect.void : tell({ _tag: "Place", order: value })
    })
    if (it._tag === "Started") {
      tally.begun ??= yield* Clock.currentTimeMillis
      if (it.unfinished > 0) yield* progress.note(`▶ it is up, and goes on with ${sagas(it.unfinished)} half done`)
      yield* Effect.repeat(next, { times: underWay - 1 })
    }
    if (it._tag === "Settled" && tally.add(it.order)) {
      yield* progress.settled(it.order)
      if (!isKilled && tally.outcomes.size >= crashAt) {
        isKilled = true
        yield* kill
      }
      yield* next
    }
    if (tally.outcomes.size === orders.length && !isKilled) yield* Effect.andThen(run.look, tell({ _tag: "Close" }))
  })
}

const orchestrate = Effect.fnUntraced(function* (run: Run) {
  const points = yield* crashPoints(run.orders.length, run.crashes, run.seed)
  for (let crashes = 0; ; crashes++) {
    const books = yield* life("orders", run.places, feed(run, points[crashes] ?? Number.POSITIVE_INFINITY))
    if (books !== undefined) return { books, crashes }
    yield* run.progress.crashed
  }
})

/** Runs all orders, and then asks each service for its books. */
export const run = Effect.fnUntraced(function* (run: Run) {
  yield* run.progress.note("· each service makes its database")
  yield* Place.prepare(run.places)
  yield* run.progress.note("· payments, shipping and orders start, in this order")
  const [payments, shipping] = yield* Effect.all([participant("payments", run), participant("shipping", run)], {
    concurrency: 2
  })
  const { books: orders, crashes } = yield* Effect.raceAllFirst([orchestrate(run), payments.lost, shipping.lost])
  const now = yield* Clock.currentTimeMillis
  const seconds = (now - (run.tally.begun ?? now)) / 1_000
  const books = yield* Schema.decodeUnknownEffect(Books)({
    orders,
    payments: yield* payments.close,
    shipping: yield* shipping.close
  })
  return { books, summary: summarize(run.tally, books, seconds, crashes) }
}, Effect.scoped)
