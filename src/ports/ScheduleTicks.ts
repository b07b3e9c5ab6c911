/** The last tick of each schedule: part of a repository whose processes share schedules. */
import { Effect } from "effect"
import type { SagaExecutionRepositoryError } from "./RepositoryErrors.ts"

export interface ScheduleTicks {
  /** The last tick of a schedule, in milliseconds since the epoch. A schedule that is new is remembered with `since`. */
  readonly last: (schedule: string, since: number) => Effect.Effect<number, SagaExecutionRepositoryError>
  /**
   * Makes a time the last tick of a schedule. False, and nothing is changed: the schedule has this tick or a later one already. In
   * `atomically` it is written together with what is stored there.
   */
  readonly advance: (schedule: string, at: number) => Effect.Effect<boolean, SagaExecutionRepositoryError>
  /**
   * Makes a time the last tick where that is later than `beyond`: it was written by a clock that was wrong. False, and nothing is
   * changed: it is not.
   */
  readonly putBack: (
    schedule: string,
    at: number,
    beyond: number
  ) => Effect.Effect<boolean, SagaExecutionRepositoryError>
}

/** In the memory of this process. */
export const ticksIn = (ticks: Map<string, number>): ScheduleTicks => ({
  last: (schedule, since) =>
    Effect.sync(() => {
      const last = ticks.get(schedule) ?? since
      ticks.set(schedule, last)
      return last
    }),
  advance: (schedule, at) =>
    Effect.sync(() => {
      const isLater = at > (ticks.get(schedule) ?? Number.NEGATIVE_INFINITY)
      if (isLater) ticks.set(schedule, at)
      return isLater
    }),
  putBack: (schedule, at, beyond) =>
    Effect.sync(() => {
      const isBeyond = (ticks.get(schedule) ?? Number.NEGATIVE_INFINITY) > beyond
      if (isBeyond) ticks.set(schedule, at)
      return isBeyond
    })
})
