/**
 * Who is at work on which execution, for repositories that live in one process. A lease spares work that two would do; it
 * makes nothing safe, which is what revisions are for (SPEC A3).
 */

import type { SagaState } from "../execution/rules/SagaState.ts"
import { SagaExecution } from "../execution/view/SagaExecution.ts"

/** What a writer says of an execution besides its facts: never needed for safety, and never a write of its own. */
export interface Hint {
  /** The instance that has it. */
  readonly owner: string
  /** When it is looked at again if nothing happens, in milliseconds since the epoch; absent: it is being worked on. */
  readonly wakeAt?: number
}

export interface ClaimRequest {
  /** The instance that takes the executions. */
  readonly owner: string
  /** 0: the owner only says that it lives. */
  readonly limit: number
  /** Milliseconds since the epoch. A repository with a clock of its own measures leases by that. */
  readonly now: number
  /** What wakes later is not taken. Default: `now`. */
  readonly dueBy?: number
  /** How long the owner counts as alive without another claim. */
  readonly leaseMillis: number
  /** Only executions of these definitions; absent: of any. */
  readonly fingerprints?: ReadonlyArray<string>
  /**
   * What the owner is at work on. Given where it is in doubt about the rest: what others have of it is told (`lost`), and
   * what it has besides is taken again.
   */
  readonly holds?: ReadonlyArray<string>
}

export interface TakeRequest {
  readonly uuid: string
  /** The instance that wants to go on with it. */
  readonly owner: string
  /** Milliseconds since the epoch, as in `ClaimRequest`. */
  readonly now: number
  /** As in `Hint`: absent, it is going to be worked on. */
  readonly wakeAt?: number
}

/** The hint that a `take` leaves. */
export const hintOf = ({ owner, wakeAt }: TakeRequest): Hint => ({ owner, ...(wakeAt !== undefined && { wakeAt }) })

export interface Claimed {
  /** Without their definitions. */
  readonly executions: ReadonlyArray<SagaExecution>
  /** The owner's lease was over: others may have taken what it had. */
  readonly lapsed: boolean
  /** What others have of what the owner `holds`. */
  readonly lost: ReadonlyArray<string>
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

/** An execution that a repository keeps, with the hint of its last write. A claim replaces the hint. */
export interface KeptExecution {
  readonly state: SagaState
  hint: Hint | undefined
}

/** Which instances count as alive, and until when. */
export class Leases {
  private readonly until = new Map<string, number>()

  /** Renews the owner's lease, and gives it due executions that no living instance has, in the order of `kept`. */
  claim(
    kept: Iterable<KeptExecution>,
    { dueBy, fingerprints, holds, leaseMillis, limit, now, owner }: ClaimRequest
  ): Claimed {
    const lapsed = (this.until.get(owner) ?? now + 1) <= now
    this.until.set(owner, now + leaseMillis)
    const executions: Array<SagaExecution> = []
    const lost: Array<string> = []
    const known = fingerprints && new Set(fingerprints)
    const held = new Set(holds)
    for (const execution of kept) {
      const { hint, state } = execution
      if (held.has(state.uuid)) {
        if (hint !== undefined && hint.owner !== owner) lost.push(state.uuid)
        continue
      }
      if (executions.length >= limit) continue
      if (!isClaimable(state) || known?.has(state.fingerprint) === false) continue
      if (
        hint !== undefined &&
        ((hint.owner === owner ? holds === undefined : this.isAlive(hint.owner, now)) ||
          (hint.wakeAt ?? now) > (dueBy ?? now))
      )
        continue
      execution.hint = { owner }
      executions.push(new SagaExecution(state, undefined))
    }
    return { executions, lapsed, lost }
  }

  /** The instance that has an execution after a `take`: the one that asks, unless another living one works on it. */
  holder(hint: Hint | undefined, { now, owner }: TakeRequest): string {
    const isAtWork = hint !== undefined && hint.wakeAt === undefined && this.isAlive(hint.owner, now)
    return isAtWork ? hint.owner : owner
  }

  private isAlive(owner: string, now: number): boolean {
    return (this.until.get(owner) ?? now) > now
  }

  /** Ends the owner's lease: any instance may claim the owner's executions. */
  release(owner: string): void {
    this.until.delete(owner)
  }
}
