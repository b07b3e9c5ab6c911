/**
 * The line in front of connections that several users share. It is bounded and measured: work that finds too many waiting is
 * refused, instead of waiting for longer than anybody waits for it.
 */
import { Context, Effect, Semaphore } from "effect"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import * as Metrics from "../../ports/Metrics.ts"

/** How many may wait for a connection; more are refused. */
export const maxWaiting = 10_000

const refused = () =>
  new SqlError({
    reason: new UnknownError({ cause: { code: "TooManyWaiting" }, message: "TooManyWaiting", operation: "acquire" })
  })

export interface ConnectionQueue {
  /** Runs work when one of the connections is free. Fails at once where too many wait already. */
  readonly within: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>
  /** How many may work at the same time from now on. */
  readonly resize: (connections: number) => Effect.Effect<void>
}

/** `use`: "transaction" for transactional steps and participants' units, "any" for these and single statements. */
export const make = (use: "any" | "transaction", connections: number, most = maxWaiting): ConnectionQueue => {
  const semaphore = Semaphore.makeUnsafe(connections)
  const counts = { inUse: 0, waiting: 0 }
  const context = Context.empty()
  const count = (what: "inUse" | "waiting", change: 1 | -1): void => {
    counts[what] += change
    const gauge = what === "inUse" ? Metrics.connectionsInUse : Metrics.connectionsWaiting
    gauge.update(context, counts[what], use)
  }

  return {
    resize: (connections) => semaphore.resize(connections),
    within: <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
      Effect.suspend(() => {
        let counted: "inUse" | "waiting" | undefined
        const move = (to: typeof counted): void => {
          if (counted !== undefined) count(counted, -1)
          counted = to
          if (to !== undefined) count(to, 1)
        }
        const entered = Effect.suspend(() => {
          move("inUse")
          return work
        })
        // The handler stands before the work is counted: an interruption in between would leave a place that is nobody's.
        return Effect.ensuring(
          Effect.suspend((): Effect.Effect<A, E | SqlError, R> => {
            if (counts.waiting >= most) return Effect.fail(refused())
            move("waiting")
            return semaphore.withPermit(entered)
          }),
          Effect.sync(() => move(undefined))
        )
      })
  }
}
