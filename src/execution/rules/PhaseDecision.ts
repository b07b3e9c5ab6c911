/**
 * The part of a decision about the participants of a two-phase commit: when they are asked, told, and given up (SPEC C5, C8). With
 * it stand the times at which anything is due, which the decision about steps uses as well.
 */
import type { Definition } from "../../definition/SagaStep.ts"
import { messageId } from "../../wire/Envelope.ts"
import type { Decision, Instruction } from "./Instruction.ts"
import type { Moment } from "./Moment.ts"
import * as RetrySchedule from "./RetrySchedule.ts"
import type { SagaEvent } from "./SagaEvent.ts"
import type { SagaState } from "./SagaState.ts"
import type { Sent } from "./StepTree.ts"
import * as TwoPhaseCommit from "./TwoPhaseCommit.ts"

export class PhaseDecider implements Decision {
  readonly facts: Array<SagaEvent> = []
  readonly instructions: Array<Instruction> = []
  asking: "Reserve" | "Commit" | "Reject" | undefined
  wakeAt = Number.POSITIVE_INFINITY

  protected readonly self: SagaState
  protected readonly definition: Definition
  protected readonly now: number
  protected readonly moment: Moment
  protected readonly schedule: RetrySchedule.ScheduleConfig

  constructor(self: SagaState, moment: Moment) {
    this.self = self
    this.definition = moment.definition
    this.now = moment.now
    this.moment = moment
    this.schedule = moment.schedule
  }

  // ---- participants --------------------------------------------------------------------------------------------

  protected end(): void {
    const { phase, autocommit, commitState, decision, root, status } = this.self
    const at = this.now
    const commits = autocommit || decision === "commit"
    if (commitState === "none") {
      if (status === "finished" && !(commits && this.isAlone)) return
      if (commits && !this.isAlone) this.facts.push({ _tag: "ReservationStarted", at })
      else {
        if (status !== "finished") this.facts.push({ _tag: "ExecutionFinished", at })
        if (commits) this.facts.push({ _tag: "TransactionSettled", state: "committed", at })
      }
    } else if (commitState === "reserving") {
      if (!TwoPhaseCommit.isReached(phase)) return this.reserve()
      const isAtPivot = this.definition.steps[root.next]?._tag === "Pivot"
      this.facts.push(
        isAtPivot ? { _tag: "PivotPassed", path: root.prefix + root.next, at } : { _tag: "CommitDecided", at }
      )
    } else if (decision === "commit" && status !== "finished") this.facts.push({ _tag: "ExecutionFinished", at })
    else this.tellCommit()
  }

  /** Nobody takes part in the transaction. */
  protected get isAlone(): boolean {
    return this.self.start?.transactional !== true || this.self.enrolled.length === 0
  }

  /** Those who take part are told the decision until all of them have acknowledged it. */
  protected tellCommit(): void {
    const { phase, status } = this.self
    if (TwoPhaseCommit.isReached(phase)) {
      this.facts.push({ _tag: "TransactionSettled", state: "committed", at: this.now })
      return
    }
    this.agree("Commit", this.schedule.resendDecision)
    // At that time callers get an error: the commit takes longer.
    const patience = phase!.at + this.schedule.commitWait
    if (status === "finished" && patience > this.now) this.wake(patience)
  }

  private reserve(): void {
    const { phase } = this.self
    const { reserveTimeout, resend } = this.schedule
    if (this.isOver(phase!.at + reserveTimeout, phase!.at, resend)) {
      const reason = `no vote from ${TwoPhaseCommit.pending(phase).join(", ")}`
      this.facts.push({ _tag: "RollbackStarted", failure: { _tag: "CommitFailed", reason }, at: this.now })
      return
    }
    this.agree("Reserve", resend)
  }

  /** Asks the services that have not answered, when it is due. A service that does not answer a decision for long is stalled. */
  protected agree(tag: "Reserve" | "Commit" | "Reject", backoff: RetrySchedule.Backoff): void {
    const { phase, uuid } = this.self
    const { asks, op } = phase!
    const services: Array<string> = []
    for (const { at, service, stalled, status } of asks) {
      if (status === "answered") continue
      const id = messageId(uuid, service, op)
      const isDue = this.isDue(at, id, stalled === undefined ? backoff : rarely(backoff))
      if (isDue || status === "new") services.push(service)
      if (tag === "Reserve" || stalled !== undefined) continue
      if (this.isOver(RetrySchedule.dueAt(at, maxAttempts, backoff, id), at, backoff))
        this.facts.push({ _tag: "ServiceStalled", service, reason: `no answer to ${op}`, at: this.now })
    }
    this.asking = tag
    if (services.length > 0) this.instructions.push({ _tag: tag, path: services.sort().join(), services })
  }

  // ---- times -----------------------------------------------------------------------------------------------------

  protected wake(at: number): void {
    if (at < this.wakeAt) this.wakeAt = at
  }

  protected resend(path: string, sent: Sent, backoff: RetrySchedule.Backoff): void {
    const { accepted, at, message } = sent
    const { acceptedResend: pause } = this.schedule
    const curve = accepted === undefined ? backoff : { initial: pause, factor: 1, max: pause }
    if (this.isDue(accepted ?? at, message.id, curve)) this.instructions.push({ _tag: "Resend", path, sent })
  }

  /** Whether a message that was first sent at a time is sent now: its time has come, or this process has been away since. */
  private isDue(at: number, id: string, backoff: RetrySchedule.Backoff): boolean {
    const { presentSince, since } = this.moment
    const { last, next } = RetrySchedule.around(at, this.now, backoff, id)
    this.wake(next)
    const seen = Math.max(at, since)
    return last > seen || seen < presentSince || since === Number.NEGATIVE_INFINITY
  }

  /** Whether the answer to a message comes too late: after an absence it has the time of one attempt (SPEC C20). */
  protected isOver(end: number, at: number, { initial }: RetrySchedule.Backoff): boolean {
    const { attemptSince, now, presentSince } = this.moment
    const last = at < presentSince ? Math.max(end, Math.max(attemptSince, presentSince) + initial) : end
    if (last > now) this.wake(last)
    return last <= now
  }
}

/** How often a decision is sent before its service counts as stalled (SPEC C8). */
const maxAttempts = 10

const rarely = ({ factor, max }: RetrySchedule.Backoff): RetrySchedule.Backoff => ({ initial: max, factor, max })
