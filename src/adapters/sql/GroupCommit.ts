/**
 * Concurrent writes of a process leave together. A write alone waits for nobody; many share a round trip and a flush of
 * the log. At most two statements are in flight: one is written while the other is answered.
 */
import { Effect, Exit, type Scope } from "effect"

/** Rows in one statement. */
const maxRows = 512

/** Statements at the same time. */
const maxInFlight = 2

/** So many rows are worth two statements. */
const enoughForTwo = 64

/** Milliseconds after which rows go without company: the statement before them may hang. */
const patience = 50

/** Writes that wait; more are refused. */
export const maxQueued = 100_000

interface Waiting<Row, A, E> {
  readonly row: Row
  readonly resume: (outcome: Effect.Effect<A, E>) => void
}

export interface GroupCommit<Row, A, E> {
  /** Writes one row with others. Whoever stops waiting does not take the row back. */
  readonly write: (row: Row) => Effect.Effect<A, E>
}

export const make = Effect.fnUntraced(function* <Row, A, E>(options: {
  /** Rows with the same key never leave together. */
  readonly key: (row: Row) => string
  /** Writes all rows; one exit for each, in their order. */
  readonly writeAll: (rows: ReadonlyArray<Row>) => Effect.Effect<ReadonlyArray<Exit.Exit<A, E>>>
  readonly refused: () => E
}): Effect.fn.Return<GroupCommit<Row, A, E>, never, Scope.Scope> {
  const { key, refused, writeAll } = options
  const context = yield* Effect.context<never>()
  const fork = Effect.runForkWith(context)
  let queue: Array<Waiting<Row, A, E>> = []
  let inFlight = 0
  let rowsInFlight = 0
  /** Answers are being given out: whoever gets one may write again at once. */
  let answering = false
  let impatient = false
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
    for (const waiting of queue) {
      const id = key(waiting.row)
      if (batch.size < most && !batch.has(id)) batch.set(id, waiting)
      else left.push(waiting)
    }
    queue = left
    return [...batch.values()]
  }

  const depart = (hurry = false): void => {
    while (!answering && queue.length > 0 && inFlight < maxInFlight) {
      // Fewer than fly already do better to wait for those, and leave with what they write next.
      if (inFlight > 0 && queue.length < rowsInFlight && !hurry) return growImpatient()
      const rows = queue.length + rowsInFlight
      const batch = take(rows < enoughForTwo ? maxRows : Math.min(maxRows, Math.ceil(rows / 2)))
      inFlight++
      rowsInFlight += batch.length
      fork(writeAll(batch.map(({ row }) => row))).addObserver((exit) => {
        inFlight--
        rowsInFlight -= batch.length
        // What those write next who have waited leaves with the next statement.
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
        depart()
      })
  }
})
