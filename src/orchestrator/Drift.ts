/** Finds the stored executions that a deployment could not continue: their saga, as it was then, is not in it (SPEC C10). */
import { Effect } from "effect"
import type { AnyCommitted } from "../definition/Saga.ts"
import { type Census, SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"
import { register } from "./Registration.ts"

export interface Drift {
  /** Unsettled executions that the given sagas continue, by saga and fingerprint. */
  readonly continued: ReadonlyArray<Census>
  /** Unsettled executions that wait until a program has their saga in its old form. Nothing of them is lost. */
  readonly drifted: ReadonlyArray<Census>
}

/** Asks the repository what these sagas can and cannot continue. Needs no running manager: for use before a deployment. */
export const checkDrift = Effect.fnUntraced(function* (sagas: ReadonlyArray<AnyCommitted>) {
  const registry = yield* register(sagas)
  const { census } = yield* SagaExecutionRepository
  const counted = yield* census
  const isKnown = ({ fingerprint, saga }: Census) => registry.find(saga, fingerprint)._tag === "Success"
  const drift: Drift = {
    continued: counted.filter(isKnown),
    drifted: counted.filter((one) => !isKnown(one))
  }
  return drift
})
