/**
 * Who has taken which execution, for repositories that live in one process. A lease spares work that two would do; it
 * makes nothing safe, which is what revisions are for (SPEC A3).
 */
import { SagaExecution } from "../execution/SagaExecution.ts"
import type { SagaState } from "../execution/SagaState.ts"

export interface ClaimRequest {
  /** The instance that takes the executions. */
  readonly owner: string
  readonly limit: number
  /** Milliseconds since the epoch. */
  readonly now: number
  readonly leaseMillis: number
}

/** Whether an instance has something to do for the execution: run it, tell somebody, resend, apply a deadline. */
export const isClaimable = ({ autocommit, commitState, reopened, status }: SagaState): boolean =>
  status === "created" ||
  status === "running" ||
  status === "paused" ||
  commitState === "reserving" ||
  commitState === "committing" ||
  commitState === "rejecting" ||
  (status === "finished" && commitState === "none" && autocommit) ||
  reopened.length > 0

export class Leases {
  private readonly held = new Map<string, { readonly owner: string; readonly until: number }>()

  /** The first executions that are claimable and not taken, without their definitions. */
  take(states: Iterable<SagaState>, { leaseMillis, limit, now, owner }: ClaimRequest): ReadonlyArray<SagaExecution> {
    const taken: Array<SagaExecution> = []
    for (const state of states) {
      if (taken.length >= limit) break
      const lease = this.held.get(state.uuid)
      if (!isClaimable(state) || (lease !== undefined && lease.until > now)) continue
      this.held.set(state.uuid, { owner, until: now + leaseMillis })
      taken.push(new SagaExecution(state, undefined))
    }
    return taken
  }

  end(uuid: string): void {
    this.held.delete(uuid)
  }

  release(owner: string): void {
    for (const [uuid, lease] of this.held) if (lease.owner === owner) this.held.delete(uuid)
  }
}
