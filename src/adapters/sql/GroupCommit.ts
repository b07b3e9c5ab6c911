/**
 * Requests of one process that come at the same time are sent in one statement: writes share a round trip and a flush of the
 * log, and loads a round trip. Those of one turn of the event loop leave together at its end, as replies come many at a time; nothing
 * waits longer for others. At most two statements are in flight: one is sent while the other is answered.
 */
import { Clock, Context, Effect, Exit, References, type Scope } from "effect"
import * as Metrics from "../../ports/Metrics.ts"

/** Rows in one statement, at most. */
const maxRows = 512

/** Bytes of the rows in one statement, at most: a larger row is sent alone. */
const maxBytes = 4 * 1024 * 1024

/** Statements at the same time, at most. */
const maxInFlight = 2

/** From this number on, rows are shared out to two statements. */
const enoughForTwo = 64

/** Milliseconds after which few rows are sent although a statement is in flight: that statement may hang. */
const patience = 50

/** Writes that may wait; more are refused. */
export const maxQueued = 100_000

interface Waiting<Row, A, E> {
  readonly row: Row
  readonly resume: (outcome: Effect.Effect<A, E>) => void
}

export interface GroupCommit<Row, A, E> {
  /** Writes one row with others. An interrupted caller no longer waits; its row may still be written. */
  readonly write: (row: Row) => Effect.Effect<A, E>
}

/** Measures the statements that store executions. */
export const measured =
  (context: Context.Context<never>) =>
  (rows: number, millis: number): void => {
    Metrics.writeBatchSize.update(context, rows)
    Metrics.writeSeconds.update(context, millis / 1_000)
  }

export const make = Effect.fnUntraced(function* <Row, A, E>(options: {
  /** Rows with the same key are never in one statement. */
  readonly key: (row: Row) => string
  /** About how many bytes the row has in a statement. */
  readonly size: (row: Row) => number
  /** Writes all rows. Gives one exit for each row, in the same order. */
  readonly writeAll: (rows: ReadonlyArray<Row>) => Effect.Effect<ReadonlyArray<Exit.Exit<A, E>>>
  readonly refused: () => E
  /** Called when a statement has ended, with its rows and its time in milliseconds. */
  readonly onSent?: (rows: number, millis: number) => void
  /** Rows of one statement, at most. Absent: 512, and where many are under way, half of them, so that two statements share them. */
  readonly most?: number
}): Effect.fn.Return<GroupCommit<Row, A, E>, never, Scope.Scope> {
  const { key, most = maxRows, onSent, refused, size, writeAll } = options
  // Writes of many executions belong to none of their traces.
  const context = Context.add(yield* Effect.context<never>(), References.TracerEnabled, false)
  const fork = Effect.runForkWith(context)
  const clock = yield* Clock.Clock
  let queue: Array<Waiting<Row, A, E>> = []
  let inFlight = 0
  let rowsInFlight = 0
  /** True while answers are given: a caller that gets one may write again at once. */
  let answering = false
  let impatient = false
  let gathering = false
  let closed = false

  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      closed = true
      for (const { resume } of queue.splice(0)) resume(Exit.fail(refused()))
    })
  )

  const take = (most: number): ReadonlyArray<Waiting<Row, A, E>> => {
    const batch = new Map<string, Waiting<Row, A, E>>()
    const left: Array<Waiting<Row, A, E>> = []
    let bytes = 0
    for (const waiting of queue) {
      const id = key(waiting.row)
      const more = size(waiting.row)
      const fits = batch.size < most && (batch.size === 0 || bytes + more <= maxBytes)
      if (fits && !batch.has(id)) {
        batch.set(id, waiting)
        bytes += more
      } else left.push(waiting)
    }
    queue = left
    return [...batch.values()]
  }

  const depart = (hurry = false): void => {
    while (!answering && queue.length > 0 && inFlight < maxInFlight) {
      // Fewer rows than are in flight wait for those, to be sent together with the next writes of their callers.
      if (inFlight > 0 && queue.length < rowsInFlight && !hurry) return growImpatient()
      const rows = queue.length + rowsInFlight
      const isShared = options.most === undefined && rows >= enoughForTwo
      const batch = take(isShared ? Math.min(most, Math.ceil(rows / 2)) : most)
      inFlight++
      rowsInFlight += batch.length
      const begun = onSent === undefined ? 0n : clock.monotonicTimeNanosUnsafe()
      fork(writeAll(batch.map(({ row }) => row))).addObserver((exit) => {
        inFlight--
        rowsInFlight -= batch.length
        onSent?.(batch.length, Number(clock.monotonicTimeNanosUnsafe() - begun) / 1_000_000)
        // The next writes of these callers are sent together, after all of them have their answer.
        answering = true
        batch.forEach(({ resume }, i) => {
          resume(Exit.isSuccess(exit) ? exit.value[i]! : Effect.failCause(exit.cause))
        })
        answering = false
        depart()
      })
    }
  }

  const growImpatient = (): void => {
    if (impatient) return
    impatient = true
    fork(Effect.sleep(patience)).addObserver(() => {
      impatient = false
      depart(true)
    })
  }

  return {
    write: (row) =>
      Effect.callback<A, E>((resume) => {
        if (closed || queue.length >= maxQueued) return resume(Effect.fail(refused()))
        queue.push({ row, resume })
        if (gathering) return
        gathering = true
        queueMicrotask(() => {
          gathering = false
          depart()
        })
      })
  }
})
