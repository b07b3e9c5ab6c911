/**
 * Goes on with what a process left that is gone: before any reply is taken, and then again and again, what nobody alive
 * has is claimed, half-done local steps are treated as their `onCrash` says, and all that is sent and not answered is sent
 * again (SPEC C7). Claiming is also how this process says that it lives. If it has not for too long, it stops what others
 * have taken up meanwhile, and only that.
 */
import { type Clock, Effect, type Result, type Scope } from "effect"
import type { SagaDefinitionDrift } from "../definition/SagaRegistry.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Loop from "../ports/Loop.ts"
import type { SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"
import type { ExecutionSupervisor } from "./ExecutionSupervisor.ts"
import { afterCrash } from "./Takeover.ts"

/** Executions that are claimed at once. */
const batch = 256

export interface Options {
  readonly repository: SagaExecutionRepository["Service"]
  readonly bound: (execution: SagaExecution) => Result.Result<SagaExecution, SagaDefinitionDrift>
  readonly active: Pick<ExecutionSupervisor, "resume" | "room" | "running" | "lose">
  readonly owner: string
  /** Of the sagas that this process can continue. */
  readonly fingerprints: ReadonlyArray<string>
  readonly interval: number
  readonly lease: number
  readonly clock: Clock.Clock
}

/** Claims once, and then at every interval while the scope is open. */
export const run = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<void, never, Scope.Scope> {
  const self: Self = { ...options, doubts: 0 }
  if (yield* Loop.aside(round(self), { loop: "recovery" }, true)) {
    yield* Loop.every("recovery", options.interval, round(self))
  }
})

interface Self extends Options {
  /** How many more claims must tell what this process has. */
  doubts: number
}

/** Claims as much as there is room for. False: the repository cannot. */
const round = Effect.fnUntraced(
  function* (self: Self) {
    const { active, bound, clock, fingerprints, interval, lease, owner, repository } = self
    while (true) {
      const limit = Math.max(0, Math.min(batch, active.room()))
      const now = clock.currentTimeMillisUnsafe()
      // A claim whose answer is lost may have taken something all the same (SPEC A1).
      const doubts = self.doubts
      self.doubts = Math.max(1, doubts)
      // What wakes before the next look is taken now: wakeUps are more exact.
      const { executions, lapsed, lost } = yield* repository.claim({
        owner,
        limit,
        now,
        dueBy: now + interval,
        leaseMillis: lease,
        fingerprints,
        ...(doubts > 0 && { holds: active.running() })
      })
      self.doubts = Math.max(0, doubts - 1)
      if (lapsed) {
        yield* Effect.logWarning("The lease of this process was over: others may have taken what it ran")
        // Now, and once more: somebody may be about to take something at this moment.
        self.doubts = 2
        // Taken by somebody who is gone by now; it goes on from the state as it is.
        for (const { uuid } of executions) active.lose(uuid)
      }
      for (const uuid of lost) active.lose(uuid)
      for (const execution of executions) {
        // An execution that makes no sense stays claimed and is not looked at again here: the others go on.
        yield* Loop.aside(
          Effect.sync(() => {
            const known = bound(execution)
            if (known._tag === "Success") active.resume(afterCrash(known.success, now), Number.NEGATIVE_INFINITY)
          }),
          { uuid: execution.uuid },
          undefined
        )
      }
      if (!lapsed && (executions.length < limit || limit === 0)) return true
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
