/** What a deployment would leave behind: stored executions whose saga, as it was then, is not among these (SPEC C10). */
import { Effect } from "effect"
import type { AnyCommitted } from "../definition/Saga.ts"
import { type Census, SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"
import { register } from "./Registration.ts"

export interface Drift {
  /** Unsettled executions that these sagas continue. */
  readonly continued: ReadonlyArray<Census>
  /** Unsettled executions that wait for a program that has their saga in its old form. Nothing of them is lost. */
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
