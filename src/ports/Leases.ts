/**
 * Which instance works on which execution, for repositories in the memory of one process. A lease only saves work that two
 * instances would do twice. Safety comes from revisions (SPEC A3).
 */

import type { SagaState } from "../execution/rules/SagaState.ts"
import { SagaExecution } from "../execution/view/SagaExecution.ts"
import { bucketOf } from "./Buckets.ts"
import { type InboxRow, inOrder } from "./SagaInbox.ts"

/** Stored together with a write, so that other instances know who works on the execution. Safety does not depend on it. */
export interface Hint {
  /** The instance that has the execution. Absent: it waits, and nobody has it. */
  readonly owner?: string
  /** When an instance looks at the execution again, in milliseconds since the epoch. Absent: the owner works on it now. */
  readonly wakeAt?: number
  /** The ids of inputs whose consequence is in this write. They leave the inbox with it. */
  readonly reads?: ReadonlyArray<string>
  /**
   * The write begins a wait, applies a deadline or ends the execution. It is refused with a `SagaExecutionConflict` that is
   * `unread` while the inbox has other rows than `reads` (SPEC C16).
   */
  readonly closes?: boolean
  /**
   * The writer did not have the execution: the write is refused with a `SagaExecutionConflict` while another living instance
   * is at work on it.
   */
  readonly takes?: boolean
}

/** An execution that an instance works on, as it knows it. */
export interface Held {
  readonly uuid: string
  readonly revision: number
}

/** Buckets of executions, by their numbers. */
export type Buckets = ReadonlyArray<number>

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
  /**
   * The owner has renewed its lease a short while ago, and counts from then: the repository need not renew it once more, where that
   * costs something.
   */
  readonly isFresh?: boolean
  /** Only executions of these definitions. Absent: of any definition. */
  readonly fingerprints?: ReadonlyArray<string>
  /**
   * The executions that the owner works on. It is given due executions that name it and that are not listed, or that are
   * listed with an older revision than the stored one: also one that it has written itself since it made the list.
   * Absent: executions that name the owner are not given.
   */
  readonly holds?: ReadonlyArray<Held>
  /**
   * The name that the owner had before its lease was over. Executions of `holds` that still name it become the owner's at
   * once. The lease under this name ends.
   */
  readonly former?: string
  /** Executions of other owners whose lease is over are not given: after an outage they renew first (SPEC C20). */
  readonly spares?: boolean
  /**
   * In how many milliseconds the renewal of the lease has to be answered: else the claim fails. It is for one of several databases, which the
   * others are not to wait for. Absent: as the repository has it.
   */
  readonly answersWithin?: number
  /** The owner does not renew its lease at intervals where it is told that it is alone (`Claimed.isAlone`). */
  readonly rests?: boolean
  /** Executions that are not given: the owner has found that it cannot read them. */
  readonly except?: ReadonlyArray<string>
  /** Executions of `except` that the owner gives back if they name it, so that another one may claim them at once. */
  readonly gives?: ReadonlyArray<string>
  /**
   * Only executions of these buckets are given. Executions of others that name the owner, and that it does not hold, are given
   * back. Absent: executions of any bucket.
   */
  readonly buckets?: Buckets
}

export interface TakeRequest {
  readonly uuid: string
  /** The instance that wants to run the execution. */
  readonly owner: string
  /** Milliseconds since the epoch, as in `ClaimRequest`. */
  readonly now: number
  /** As in `Hint`. Absent: the owner works on it from now on. */
  readonly wakeAt?: number
  /** It stays with another owner that works on it, though its lease be over; as in `ClaimRequest`. */
  readonly spares?: boolean
  /** A name that the owner had: what names it is the owner's. */
  readonly former?: string
}

/** The hint that a `take` leaves. */
export const hintOf = ({ owner, wakeAt }: TakeRequest): Hint => ({ owner, ...(wakeAt !== undefined && { wakeAt }) })

export interface GiveBackRequest extends Held {
  /** The instance that has the execution. */
  readonly owner: string
  /** When an instance looks at it again, in milliseconds since the epoch; `Infinity`: an input must come first. */
  readonly wakeAt: number
}

export interface Claimed {
  /** The executions that the owner has got, without their definitions. */
  readonly executions: ReadonlyArray<SagaExecution>
  /**
   * The owner's lease was over, so other instances may have taken its executions. It is not renewed and nothing is given:
   * the owner claims under a new name, with this one as `former` (SPEC C20).
   */
  readonly lapsed: boolean
  /** The executions of `holds` that other instances have. After a change of name, all that have not become the owner's. */
  readonly lost: ReadonlyArray<string>
  /** The owners of the executions of `lost`, by uuid; undefined: it has none. Absent, or without a uuid: the claimer asks for each. */
  readonly holders?: ReadonlyMap<string, string | undefined>
  /** The inputs that wait for executions of the owner: for those given now, and for those that it holds. */
  readonly inbox: ReadonlyArray<InboxRow>
  /**
   * When those of `executions` were due that waited and that nobody had, in milliseconds since the epoch. Those that an
   * owner has left at work are not among them.
   */
  readonly dueAt?: ReadonlyMap<string, number>
  /**
   * The revisions that `executions` had when they became the owner's, by uuid, at least: what is read after that is as new. The owner
   * reads again what its own runners have written since. Absent, or without a uuid: not known, so whatever has run since is read again.
   */
  readonly takenAt?: ReadonlyMap<string, number>
  /**
   * When the first of the executions that wait is due, in milliseconds since the epoch; `Infinity`: none of them is ever.
   * Absent: the owner claims at its intervals.
   */
  readonly nextAt?: number
  /**
   * No other instance is there, or can come without this one hearing of it by `inputs`: the owner claims at `nextAt`, and keeps
   * its lease until then. Absent: the owner claims at its intervals.
   */
  readonly isAlone?: boolean
  /**
   * Executions that were due and cannot be read: a fact, or the form of one, is of a newer version, or makes no sense. They
   * have no owner, so that a process that can read them may claim them (SPEC C20). Absent: none.
   */
  readonly unreadable?: ReadonlyArray<string>
  /**
   * The buckets of executions whose database has not answered, where they are spread over several: the lease was not renewed there, so
   * others may have them. Absent: none.
   */
  readonly unrenewed?: ReadonlyArray<number>
  /** Executions of other buckets that the claim has admitted from a queue. They are due, and nobody has them. Absent: none. */
  readonly elsewhere?: ReadonlyArray<string>
}

/** Whether an instance has work with the execution: run it, tell participants, send again, apply a deadline. */
export const isClaimable = (self: SagaState): boolean => {
  const { autocommit, commitState, deadline, decision, reopened, setAside, status } = self
  const isTimed = deadline !== undefined && decision === null
  return (
    setAside !== "parked" &&
    (status === "created" ||
      status === "running" ||
      status === "paused" ||
      commitState === "reserving" ||
      commitState === "committing" ||
      commitState === "rejecting" ||
      (status === "finished" && commitState === "none" && (autocommit || isTimed)) ||
      reopened.length > 0)
  )
}

/** An execution that a repository keeps, with the hint of its last write. A claim replaces the hint. */
export interface KeptExecution {
  readonly state: SagaState
  readonly inbox: ReadonlyMap<string, InboxRow> | undefined
  hint: Hint | undefined
}

const nothing: Omit<Claimed, "lapsed"> = { executions: [], lost: [], inbox: [] }

/** Which instances count as alive, and until when. */
export class Leases {
  /** The end of each owner's lease, in milliseconds since the epoch. */
  readonly until: Map<string, number>

  /** The only instance: its lease lasts until another one claims. */
  private alone: Pick<ClaimRequest, "owner" | "leaseMillis"> | undefined

  constructor(until: ReadonlyMap<string, number> = new Map()) {
    this.until = new Map(until)
  }

  /**
   * Renews the owner's lease, and gives it due executions that no living instance has or that name the owner, in the order
   * of `kept`.
   */
  claim(kept: Iterable<KeptExecution>, request: ClaimRequest): Claimed {
    const { dueBy, fingerprints, former, holds, limit, now, owner } = request
    const lapsed = this.isOver(request)
    if (lapsed) return { ...nothing, lapsed }
    this.renew(request)
    const executions: Array<SagaExecution> = []
    const lost: Array<string> = []
    const holders = new Map<string, string | undefined>()
    const inbox: Array<InboxRow> = []
    const dueAt = new Map<string, number>()
    const takenAt = new Map<string, number>()
    let nextAt = Number.POSITIVE_INFINITY
    const known = fingerprints && new Set(fingerprints)
    const left = new Set(request.except)
    const given = new Set(request.gives)
    const buckets = request.buckets && new Set(request.buckets)
    const held = new Map(holds?.map(({ revision, uuid }) => [uuid, revision]))
    for (const execution of kept) {
      const { state } = execution
      const seen = held.get(state.uuid)
      const isStrange = buckets?.has(bucketOf(state.uuid)) === false
      const isGivenBack = given.has(state.uuid) || (isStrange && seen === undefined)
      if (isGivenBack && execution.hint?.owner === owner) execution.hint = { wakeAt: now }
      const { hint } = execution
      if (seen !== undefined && hint !== undefined && hint.owner !== owner) {
        if (hint.owner === undefined ? former !== undefined : hint.owner !== former) {
          lost.push(state.uuid)
          holders.set(state.uuid, hint.owner)
        } else if (hint.owner !== undefined) execution.hint = { ...hint, owner }
      }
      const isGiven =
        executions.length < limit &&
        (seen === undefined || state.revision > seen) &&
        (isClaimable(state) || isWaitedFor(execution)) &&
        known?.has(state.creation.fingerprint) !== false &&
        !left.has(state.uuid) &&
        !isStrange &&
        this.isFree(execution.hint, request) &&
        (hint?.wakeAt ?? now) <= (dueBy ?? now)
      if (!isStrange && hint?.wakeAt !== undefined && hint.wakeAt > (dueBy ?? now))
        nextAt = Math.min(nextAt, hint.wakeAt)
      if (isGiven) {
        if (hint?.owner === undefined && hint?.wakeAt !== undefined) dueAt.set(state.uuid, hint.wakeAt)
        execution.hint = { owner }
        takenAt.set(state.uuid, state.revision)
        executions.push(new SagaExecution(state, undefined))
      }
      if (isWaitedFor(execution) && execution.hint?.owner === owner) inbox.push(...execution.inbox!.values())
    }
    const isAlone = this.isOnly(request)
    if (this.alone?.owner === owner || isAlone) this.alone = isAlone ? request : undefined
    return { executions, lapsed, lost, holders, inbox: inOrder(inbox), dueAt, takenAt, nextAt, isAlone }
  }

  /** Another instance claims: the only one has to renew its lease again. True where there was one, which must be told. */
  meet({ former, now, owner }: ClaimRequest): boolean {
    const { alone } = this
    if (alone === undefined || alone.owner === owner || alone.owner === former) return false
    this.until.set(alone.owner, now + alone.leaseMillis)
    this.alone = undefined
    return true
  }

  private isOnly({ now, owner, rests = false }: ClaimRequest): boolean {
    if (!rests) return false
    for (const [other, until] of this.until) if (other !== owner && until > now) return false
    return true
  }

  /** A first claim that already holds executions follows a lease that is forgotten. */
  isOver({ former, holds = [], now, owner }: ClaimRequest): boolean {
    if (this.alone?.owner === owner) return false
    const until = this.until.get(owner)
    return until === undefined ? holds.length > 0 && former === undefined : until <= now
  }

  private renew({ former, leaseMillis, now, owner }: ClaimRequest): void {
    this.until.set(owner, now + leaseMillis)
    if (former !== undefined) this.until.delete(former)
  }

  /** Whether the owner may have an execution: it names the owner, or no living instance. */
  private isFree(hint: Hint | undefined, { former, holds, now, owner, spares }: ClaimRequest): boolean {
    if (hint?.owner === undefined) return true
    if (hint.owner === owner) return holds !== undefined
    return !this.isAlive(hint.owner, now) && (spares !== true || hint.owner === former)
  }

  /** The instance that has an execution after a `take`: the one that asks, unless another living one works on it. */
  holder(hint: Hint | undefined, { former, now, owner, spares }: Omit<TakeRequest, "uuid">): string {
    if (hint?.owner === undefined || hint.owner === former) return owner
    return hint.wakeAt === undefined && (spares === true || this.isAlive(hint.owner, now)) ? hint.owner : owner
  }

  private isAlive(owner: string, now: number): boolean {
    return this.alone?.owner === owner || (this.until.get(owner) ?? now) > now
  }

  /** Ends the owner's lease: any instance may claim the owner's executions. */
  release(owner: string): void {
    this.until.delete(owner)
    if (this.alone?.owner === owner) this.alone = undefined
  }

  /** Gives back what the owner was at work on in some buckets. It keeps its lease. */
  leave(
    kept: Iterable<Pick<KeptExecution, "hint"> & { readonly state: Pick<SagaState, "uuid"> }>,
    owner: string,
    buckets: Buckets
  ): void {
    for (const execution of kept) {
      if (execution.hint?.owner !== owner || !buckets.includes(bucketOf(execution.state.uuid))) continue
      execution.hint = { wakeAt: 0 }
    }
  }
}

const isWaitedFor = ({ inbox }: KeptExecution): boolean => inbox !== undefined && inbox.size > 0

/** The hint after an input has come: the execution is due at once, unless its owner is at work on it anyway. */
export const dueFrom = (hint: Hint | undefined, at: number): Hint | undefined =>
  hint?.wakeAt === undefined ? hint : { ...hint, wakeAt: Math.min(hint.wakeAt, at) }
