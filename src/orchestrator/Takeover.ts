/**
 * Whose turn it is: an execution that is in the middle of its work is taken up only where nobody else who lives is at work
 * on it (SPEC C7). That spares steps a second run; what makes writes safe is their revision (SPEC A3).
 */
import { Clock, Effect } from "effect"
import { interrupted } from "../execution/rules/Interruption.ts"
import type * as RetrySchedule from "../execution/rules/RetrySchedule.ts"
import * as Decision from "../execution/rules/SagaDecision.ts"
import * as TwoPhaseCommit from "../execution/rules/TwoPhaseCommit.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import type { SagaExecutionRepository, SagaExecutionRepositoryError } from "../ports/SagaExecutionRepository.ts"

export interface TakenUp {
  /** The newest state, bound to its saga. */
  readonly execution: SagaExecution
  /** The instance that is at work on it, where that is another one. */
  readonly elsewhere: string | undefined
}

/** Loads an execution to go on with it. */
export type TakeUp = <E>(
  load: Effect.Effect<SagaExecution, E>
) => Effect.Effect<TakenUp, E | SagaExecutionRepositoryError>

/** `owner`: this instance; undefined: there is no other one. */
export const make = (
  repository: SagaExecutionRepository["Service"],
  owner: string | undefined,
  schedule: RetrySchedule.ScheduleConfig
): TakeUp => {
  const take = Effect.fnUntraced(function* <E>(found: SagaExecution, load: Effect.Effect<SagaExecution, E>) {
    let execution = found
    while (owner !== undefined) {
      const now = yield* Clock.currentTimeMillis
      if (!isUnderWay(execution, now, schedule)) break
      const holder = yield* repository.take({ uuid: execution.uuid, owner, now })
      if (holder !== owner) return { execution, elsewhere: holder }
      // It may have gone on before it was taken.
      const latest = yield* load
      const isNewest = latest.revision === execution.revision
      execution = latest
      if (isNewest) break
    }
    return { execution, elsewhere: undefined }
  })
  return (load) =>
    Effect.flatMap(load, (execution) =>
      execution.status === "paused" ? Effect.succeed({ execution, elsewhere: undefined }) : take(execution, load)
    )
}

/** Whether there is something to do for somebody, or being done. What the own service is asked for, somebody does. */
const isUnderWay = (
  { definition, state }: SagaExecution,
  now: number,
  schedule: RetrySchedule.ScheduleConfig
): boolean =>
  definition !== undefined &&
  (TwoPhaseCommit.pending(state.phase).includes(state.service ?? "") ||
    Decision.advance(state, { definition, now, since: now, schedule }).decision.instructions.length > 0)

/** What is left of work that stopped in the middle, as its `onCrash` says. `isGoingOn`: it has not stopped. */
export const afterCrash = (
  execution: SagaExecution,
  now: number,
  isGoingOn: (path: string) => boolean = () => false
): SagaExecution =>
  execution.definition === undefined
    ? execution
    : interrupted(execution.state, { definition: execution.definition, now })
        .filter(({ path }) => !isGoingOn(path))
        .reduce(Execution.evolve, execution)
