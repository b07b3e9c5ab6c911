/**
 * Goes on with the executions of dead instances (SPEC C7), once before any reply is taken and then at every interval. Half-done
 * local steps are treated as their `onCrash` says, and unanswered messages are sent again. A claim also renews the lease of
 * this instance. After a lapse, this instance stops the executions that others have taken, and only those.
 */
import { type Clock, Effect, type Result, type Scope } from "effect"
import type { SagaDefinitionDrift } from "../definition/SagaRegistry.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Loop from "../ports/Loop.ts"
import type { Membership } from "../ports/SagaOwnership.ts"
import type { ExecutionSupervisor } from "./ExecutionSupervisor.ts"
import { afterCrash } from "./Takeover.ts"

/** Executions that are claimed at once. */
const batch = 256

/** Executions that this process cannot read and remembers. More of them are claimed, and given back, again and again. */
const maxUnreadable = 10_000

export interface Options {
  readonly membership: Membership
  readonly bound: (execution: SagaExecution) => Result.Result<SagaExecution, SagaDefinitionDrift>
  readonly active: Pick<ExecutionSupervisor, "resume" | "room" | "running" | "lose">
  /** The fingerprints of the sagas that this process can continue. */
  readonly fingerprints: ReadonlyArray<string>
  readonly interval: number
  readonly clock: Clock.Clock
}

/** Executions that this process works on are not given to it again, whatever their revision. */
const anyRevision = 2 ** 31 - 2

/** Claims once, and then at every interval while the scope is open. */
export const run = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<void, never, Scope.Scope> {
  const self: Self = { ...options, doubts: 0, unreadable: new Set() }
  if (yield* Loop.aside(round(self), { loop: "recovery" }, true)) {
    yield* Loop.every("recovery", options.interval, round(self))
  }
})

interface Self extends Options {
  /** How many of the next claims must say which executions this process holds. */
  doubts: number
  /** Executions that this process does not claim again: it cannot read them (SPEC C20). */
  readonly unreadable: Set<string>
}

/** Leaves executions to processes that can read them. Each is said in the log once. */
const leave = ({ unreadable }: Self, uuids: ReadonlyArray<string>) =>
  Effect.forEach(
    uuids.filter((uuid) => !unreadable.has(uuid) && unreadable.size < maxUnreadable),
    (uuid) => {
      unreadable.add(uuid)
      return Effect.logError("An execution cannot be read by this program, and is left to others", { uuid })
    },
    { discard: true }
  )

/** Claims as many executions as there is room for. False: the repository cannot list executions. */
const round = Effect.fnUntraced(
  function* (self: Self) {
    const { active, bound, clock, fingerprints, interval, membership } = self
    while (true) {
      const limit = Math.max(0, Math.min(batch, active.room()))
      const now = clock.currentTimeMillisUnsafe()
      // A claim whose answer was lost may have taken executions all the same (SPEC A1).
      const doubts = self.doubts
      self.doubts = Math.max(1, doubts)
      // Executions that are due before the next round are claimed now: wake-ups in memory are more exact.
      const { unreadable = [], ...claimed } = yield* membership.claim({
        limit,
        now,
        dueBy: now + interval,
        fingerprints,
        ...(doubts > 0 && { holds: active.running().map((uuid) => ({ uuid, revision: anyRevision })) }),
        ...(self.unreadable.size > 0 && { except: [...self.unreadable] })
      })
      const { executions, lapsed, lost } = claimed
      yield* leave(self, unreadable)
      self.doubts = Math.max(0, doubts - 1)
      if (lapsed) {
        yield* Effect.logWarning("The lease of this process was over: others may have taken what it ran")
        // In this claim and the next one: another instance may be claiming at this moment.
        self.doubts = 2
        // Claimed now, and possibly run by an instance in between: go on from the stored state.
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
      if (!lapsed && (executions.length + unreadable.length < limit || limit === 0)) return true
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
