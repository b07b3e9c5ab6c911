/**
 * Goes on with what a former process left: before any reply is taken, everything unsettled is claimed, half-done local
 * steps are treated as their `onCrash` says, and all that is sent and not answered is sent again (SPEC C7).
 */
import { type Clock, Effect, type Result } from "effect"
import type { SagaDefinitionDrift } from "../definition/SagaRegistry.ts"
import * as Decision from "../execution/SagaDecision.ts"
import type { SagaExecution } from "../execution/SagaExecution.ts"
import * as Execution from "../execution/SagaExecution.ts"
import type { SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"

/** Executions that are claimed at once. */
const batch = 256

/** How long a claim holds, in milliseconds (SPEC C7). */
const lease = 9_000

export const atStart = Effect.fnUntraced(function* (options: {
  readonly repository: SagaExecutionRepository["Service"]
  readonly bound: (execution: SagaExecution) => Result.Result<SagaExecution, SagaDefinitionDrift>
  readonly resume: (execution: SagaExecution, since: number) => void
  readonly owner: string
  readonly clock: Clock.Clock
}): Effect.fn.Return<void> {
  const { bound, clock, owner, repository, resume } = options
  const claim = repository.claim({ owner, limit: batch, now: clock.currentTimeMillisUnsafe(), leaseMillis: lease })
  const claimAll: Effect.Effect<void> = Effect.flatMap(claim, (claimed) => {
    for (const execution of claimed) {
      const known = bound(execution)
      // Of a saga that this program does not know: another instance may know it. It stays as it is (SPEC C10).
      if (known._tag === "Failure") continue
      resume(afterCrash(known.success, clock.currentTimeMillisUnsafe()), Number.NEGATIVE_INFINITY)
    }
    return claimed.length < batch ? Effect.void : claimAll
  }).pipe(
    Effect.catchTag("SagaRepositoryUnsupported", () =>
      Effect.logInfo("The repository cannot list executions: what a crash leaves half done is not taken up again")
    ),
    Effect.catchTag("SagaExecutionRepositoryError", (error) =>
      Effect.logError("Executions of a former process could not be claimed", { reason: error.reason })
    )
  )
  yield* claimAll
})

/** With what its half-done local steps make of it. */
export const afterCrash = (execution: SagaExecution, now: number): SagaExecution =>
  execution.definition === undefined
    ? execution
    : Decision.interrupted(execution.state, execution.definition, now).reduce(Execution.evolve, execution)
