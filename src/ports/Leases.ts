/**
 * Which instance works on which execution, for repositories in the memory of one process. A lease only saves work that two
 * instances would do twice. Safety comes from revisions (SPEC A3).
 */

import type { SagaState } from "../execution/rules/SagaState.ts"
import { SagaExecution } from "../execution/view/SagaExecution.ts"

/** Stored together with a write, so that other instances know who works on the execution. Safety does not depend on it. */
export interface Hint {
  /** The instance that has the execution. */
  readonly owner: string
  /** When the owner looks at the execution again, in milliseconds since the epoch. Absent: the owner works on it now. */
  readonly wakeAt?: number
}

export interface ClaimRequest {
  /** The instance that takes the executions. */
  readonly owner: string
  /** How many executions the owner gets at most. 0: it only renews its lease. */
  readonly limit: number
  /** In milliseconds since the epoch. A database measures leases by its own clock instead. */
  readonly now: number
  /** Executions that wake later are not given. Default: `now`. */
  readonly dueBy?: number
  /** How long the owner counts as alive after this claim. */
  readonly leaseMillis: number
  /** Only executions of these definitions. Absent: of any definition. */
  readonly fingerprints?: ReadonlyArray<string>
  /**
   * The executions that the owner works on. An owner gives them when its lease was over: `lost` tells which of them other
   * instances have taken, and its other executions are given to it again.
   */
  readonly holds?: ReadonlyArray<string>
}

export interface TakeRequest {
  readonly uuid: string
  /** The instance that wants to run the execution. */
  readonly owner: string
  /** Milliseconds since the epoch, as in `ClaimRequest`. */
  readonly now: number
  /** As in `Hint`. Absent: the owner works on it from now on. */
  readonly wakeAt?: number
}

/** The hint that a `take` leaves. */
export const hintOf = ({ owner, wakeAt }: TakeRequest): Hint => ({ owner, ...(wakeAt !== undefined && { wakeAt }) })

export interface Claimed {
  /** The executions that the owner has got, without their definitions. */
  readonly executions: ReadonlyArray<SagaExecution>
  /** The owner's lease was over, so other instances may have taken its executions. */
  readonly lapsed: boolean
  /** The executions of `holds` that other instances have. */
  readonly lost: ReadonlyArray<string>
}

/** Whether an instance has work with the execution: run it, tell participants, send again, apply a deadline. */
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
