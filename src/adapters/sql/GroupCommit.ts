/**
 * Concurrent writes of a process leave together. Behind at most two statements in flight they queue, and whatever has
 * queued leaves as one: a write alone waits for nobody, many share a round trip and a flush of the log.
 */
import { Effect, Exit, type Scope } from "effect"

/** Rows in one statement. */
const maxRows = 512

/** Statements at the same time. */
const maxInFlight = 2

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
  let closed = false

  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      closed = true
      for (const { resume } of queue.splice(0)) resume(Exit.fail(refused()))
    })
  )

  const take = (): ReadonlyArray<Waiting<Row, A, E>> => {
    const batch = new Map<string, Waiting<Row, A, E>>()
    const left: Array<Waiting<Row, A, E>> = []
    for (const waiting of queue) {
      const id = key(waiting.row)
      if (batch.size < maxRows && !batch.has(id)) batch.set(id, waiting)
      else left.push(waiting)
    }
    queue = left
    return [...batch.values()]
  }

  const depart = (): void => {
    while (inFlight < maxInFlight && queue.length > 0) {
      const batch = take()
      inFlight++
      fork(writeAll(batch.map(({ row }) => row))).addObserver((exit) => {
        inFlight--
        // Those who wait go on first: what they write next leaves with the next statement.
        batch.forEach(({ resume }, i) => {
          resume(Exit.isSuccess(exit) ? exit.value[i]! : Effect.failCause(exit.cause))
        })
        depart()
      })
    }
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
