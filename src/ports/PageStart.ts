/** Reads the cursor of a page request, for every repository and inspector. */
import { Effect } from "effect"
import * as ExecutionSummary from "./ExecutionSummary.ts"
import { SagaExecutionRepositoryError } from "./RepositoryErrors.ts"

/** Where a page begins. A cursor that is none is refused. */
export const pageStart = ({
  after,
  before
}: ExecutionSummary.PageRequest): Effect.Effect<ExecutionSummary.PageStart, SagaExecutionRepositoryError> => {
  const given = after ?? before
  if (given === undefined) return Effect.succeed({ from: undefined, isBackward: false })
  return Effect.mapBoth(Effect.fromOption(ExecutionSummary.position(given)), {
    onFailure: () => new SagaExecutionRepositoryError({ reason: "rejected", operation: "find" }),
    onSuccess: (from) => ({ from, isBackward: after === undefined })
  })
}
