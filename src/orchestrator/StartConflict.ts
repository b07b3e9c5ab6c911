/** Whether two starts under one name ask for the same execution, and the error where they do not (SPEC C9). */
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import { contextHash } from "../ports/SagaExecutionRepository.ts"
import { SagaStartConflict } from "./ManagerErrors.ts"

export const startConflict = (
  { startKey }: SagaExecution,
  uuid: string,
  saga: string,
  difference: SagaStartConflict["difference"]
): SagaStartConflict => new SagaStartConflict({ uuid, saga, difference, ...(startKey !== undefined && { startKey }) })

/** What differs; undefined: they ask for the same. */
export const differenceOf = (
  mine: SagaExecution,
  theirs: SagaExecution
): SagaStartConflict["difference"] | undefined => {
  if (theirs.saga !== mine.saga) return "saga"
  if (theirs.state.creation.fingerprint !== mine.state.creation.fingerprint) return "version"
  return contextHash(theirs) === contextHash(mine) ? undefined : "context"
}
