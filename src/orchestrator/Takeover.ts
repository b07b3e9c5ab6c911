/**
 * Takes an execution up, unless another living instance works on it (SPEC C7). This keeps steps from running twice. It does
 * not make writes safe: their revision does (SPEC A3).
 */
import { Clock, Effect } from "effect"
import { interrupted } from "../execution/rules/Interruption.ts"
import type * as RetrySchedule from "../execution/rules/RetrySchedule.ts"
import * as Decision from "../execution/rules/SagaDecision.ts"
import * as TwoPhaseCommit from "../execution/rules/TwoPhaseCommit.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import { isClaimable, type SagaExecutionRepositoryError } from "../ports/SagaExecutionRepository.ts"
import type { Membership } from "../ports/SagaOwnership.ts"

export interface TakenUp {
  /** The newest state, bound to its saga. */
  readonly execution: SagaExecution
  /** The other instance that works on it; undefined: this one may. */
  readonly elsewhere: string | undefined
  /** The stored execution names this instance as its owner. */
  readonly isHeld: boolean
  /** The state was not read now: there may be a newer one. */
  readonly isOld?: boolean
}

/**
 * Loads an execution to go on with it. A paused one waits and has no owner, so it is not taken but by the next write; where
 * such a write was refused (`isContested`), another instance may be at work on it all the same.
 */
export type TakeUp = <E>(
  load: Effect.Effect<SagaExecution, E>,
  isContested?: boolean
) => Effect.Effect<TakenUp, E | SagaExecutionRepositoryError>

/** `membership` undefined: a runner by hand, which knows no other instances. */
export const make = (membership: Membership | undefined, schedule: RetrySchedule.ScheduleConfig): TakeUp => {
  const take = Effect.fnUntraced(function* <E>(
    found: SagaExecution,
    load: Effect.Effect<SagaExecution, E>,
    isContested: boolean
  ) {
    let execution = found
    while (membership !== undefined) {
      const now = yield* Clock.currentTimeMillis
      if (!(isContested ? isClaimable(execution.state) : isUnderWay(execution, now, schedule))) break
      const holder = yield* membership.take({ uuid: execution.uuid, now })
      if (holder !== membership.owner) return { execution, elsewhere: holder, isHeld: false }
      // Another instance may have written between the load and the takeover.
      const latest = yield* load
      const isNewest = latest.revision === execution.revision
      execution = latest
      if (isNewest) return { execution, elsewhere: undefined, isHeld: true }
    }
    return { execution, elsewhere: undefined, isHeld: false }
  })
  return (load, isContested = false) =>
    Effect.flatMap(load, (execution) => {
      if (membership?.isMine(execution.uuid) === false)
        return Effect.succeed({ execution, elsewhere: another, isHeld: false })
      return execution.status === "paused" && !isContested
        ? Effect.succeed({ execution, elsewhere: undefined, isHeld: false })
        : take(execution, load, isContested)
    })
}

/** An instance whose name is not known. */
const another = "another"

/** Whether an instance has work to do for it now, or is doing it. A hook of the own service that is asked is such work. */
const isUnderWay = (
  { definition, state }: SagaExecution,
  now: number,
  schedule: RetrySchedule.ScheduleConfig
): boolean =>
  definition !== undefined &&
  (TwoPhaseCommit.pending(state.phase).includes(state.start?.service ?? "") ||
    Decision.advance(state, { definition, now, since: now, presentSince: always, attemptSince: always, schedule })
      .decision.instructions.length > 0)

/** The other instance may have been there all the time. */
const always = Number.NEGATIVE_INFINITY

/** Treats half-done local steps as their `onCrash` says. `isGoingOn` names the steps that this process is still running. */
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
