/**
 * Goes on with what a process left that is gone: before any reply is taken, and then again and again, what nobody alive
 * has is claimed, half-done local steps are treated as their `onCrash` says, and all that is sent and not answered is sent
 * again (SPEC C7). Claiming is also how this process says that it lives.
 */
import { type Clock, Effect, type Result, type Scope } from "effect"
import type { SagaDefinitionDrift } from "../definition/SagaRegistry.ts"
import * as Decision from "../execution/SagaDecision.ts"
import type { SagaExecution } from "../execution/SagaExecution.ts"
import * as Execution from "../execution/SagaExecution.ts"
import type { SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"

/** Executions that are claimed at once. */
const batch = 256

export interface Options {
  readonly repository: SagaExecutionRepository["Service"]
  readonly bound: (execution: SagaExecution) => Result.Result<SagaExecution, SagaDefinitionDrift>
  readonly resume: (execution: SagaExecution, since: number) => void
  /** How many executions there is room for. */
  readonly room: () => number
  readonly owner: string
  /** Of the sagas that this process can continue. */
  readonly fingerprints: ReadonlyArray<string>
  readonly interval: number
  readonly lease: number
  readonly clock: Clock.Clock
}

/** Claims once, and then at every interval while the scope is open. */
export const run = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<void, never, Scope.Scope> {
  if (yield* round(options)) {
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(options.interval), round(options))))
  }
})

/** Claims as much as there is room for. False: the repository cannot. */
const round = Effect.fnUntraced(
  function* ({ bound, clock, fingerprints, interval, lease, owner, repository, resume, room }: Options) {
    while (true) {
      const limit = Math.max(0, Math.min(batch, room()))
      const now = clock.currentTimeMillisUnsafe()
      // What wakes before the next look is taken now: timers are more exact.
      const { executions, lapsed } = yield* repository.claim({
        owner,
        limit,
        now,
        dueBy: now + interval,
        leaseMillis: lease,
        fingerprints
      })
      if (lapsed) yield* Effect.logWarning("The lease of this process was over: others may have taken what it ran")
      for (const execution of executions) {
        const known = bound(execution)
        if (known._tag === "Success") resume(afterCrash(known.success, now), Number.NEGATIVE_INFINITY)
      }
      if (executions.length < limit || limit === 0) return true
    }
  },
  Effect.catchTags({
    SagaRepositoryUnsupported: () =>
      Effect.as(
        Effect.logInfo("The repository cannot list executions: what a crash leaves half done is not taken up again"),
        false
      ),
    SagaExecutionRepositoryError: ({ reason }) =>
      Effect.as(Effect.logError("Executions of a former process could not be claimed", { reason }), true)
  })
)

/** With what its half-done local steps make of it. */
export const afterCrash = (execution: SagaExecution, now: number): SagaExecution =>
  execution.definition === undefined
    ? execution
    : Decision.interrupted(execution.state, execution.definition, now).reduce(Execution.evolve, execution)
