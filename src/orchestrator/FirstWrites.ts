/**
 * Waits for the first write of an execution, and not for more: from then on the execution survives its caller and its
 * process. Two callers may start the same uuid, so the write that is seen may be that of the other one.
 */
import { Deferred, Effect } from "effect"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import { ReleasingMap } from "../ports/ReleasingMap.ts"

export interface FirstWrites {
  /** Gives the execution once it is stored, or with `begin` where that is over, or fails, before anything is stored. */
  readonly await: <E>(uuid: string, begin: Effect.Effect<SagaExecution, E>) => Effect.Effect<SagaExecution, E>
  /** Called after each write with the execution as it is stored. */
  readonly stored: (execution: SagaExecution) => void
}

export const make = (): FirstWrites => {
  const expected = new ReleasingMap<string, Array<Deferred.Deferred<SagaExecution>>>()
  const leave = (uuid: string, mine: Deferred.Deferred<SagaExecution>): void => {
    const others = expected.get(uuid)?.filter((other) => other !== mine) ?? []
    if (others.length === 0) expected.delete(uuid)
    else expected.set(uuid, others)
  }
  return {
    await: (uuid, begin) => {
      const mine = Deferred.makeUnsafe<SagaExecution>()
      return Effect.onExit(
        Effect.suspend(() => {
          expected.set(uuid, [...(expected.get(uuid) ?? []), mine])
          return Effect.catchCause(
            Effect.raceFirst(begin, Deferred.await(mine)),
            // The execution may have been stored and failed since, all in one go.
            (cause) => mine.effect ?? Effect.failCause(cause)
          )
        }),
        () => Effect.sync(() => leave(uuid, mine))
      )
    },
    stored: (execution) => {
      if (expected.size === 0) return
      const waiting = expected.get(execution.uuid)
      if (waiting === undefined) return
      expected.delete(execution.uuid)
      for (const mine of waiting) Deferred.doneUnsafe(mine, Effect.succeed(execution))
    }
  }
}
