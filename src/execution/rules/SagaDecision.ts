/**
 * The next part of an execution: `decide` reads the state and the definition, and gives facts that need no work, and
 * instructions for the loop. The rules are pure: after a crash or a conflict the same question gives the same answer.
 */
import * as SagaPath from "../../definition/SagaPath.ts"
import type { Local, Parallel, Remote, Retry, SagaStep, Start, Wait } from "../../definition/SagaStep.ts"
import { attemptOf } from "../../wire/Envelope.ts"
import { maxContextSize } from "../../wire/JsonLimits.ts"
import * as CompensationRetry from "./CompensationRetry.ts"
import type { Decision } from "./Instruction.ts"
import type { Moment } from "./Moment.ts"
import { PhaseDecider } from "./PhaseDecision.ts"
import * as PivotDecision from "./PivotDecision.ts"
import * as Place from "./QueuePlace.ts"
import * as RetrySchedule from "./RetrySchedule.ts"
import { type SagaContext, sizeWith } from "./SagaContext.ts"
import type { EffectKnowledge, SagaEvent } from "./SagaEvent.ts"
import { evolve } from "./SagaEvolution.ts"
import { type SagaFailure, tooLarge } from "./SagaFailure.ts"
import * as SagaSignals from "./SagaSignals.ts"
import { isSettled, type SagaState } from "./SagaState.ts"
import * as Items from "./StepItems.ts"
import { type Frame, framesIn, framesUnderWay, isRolledBack, type Sent, type StepState, stepAt } from "./StepTree.ts"
import * as TwoPhaseCommit from "./TwoPhaseCommit.ts"
import * as WaitDecision from "./WaitDecision.ts"

/** The decision for this moment. */
export const decide = (self: SagaState, moment: Moment): Decision => {
  if (isSettled(self)) return nothing
  // After the write that says so the execution is taken up anew, as after a crash.
  if (self.setAside !== undefined) return self.setAside === "retried" ? { ...nothing, wakeAt: moment.now } : nothing
  const decider = new Decider(self, moment)
  decider.whole()
  return decider
}

export type { Decision } from "./Instruction.ts"

interface Advanced {
  readonly state: SagaState
  readonly decision: Decision
}

/** Adds the facts that need no work, until only work is left. */
export const advance = (self: SagaState, moment: Moment): Advanced => {
  let state = self
  while (true) {
    const begun = beginLocal(state, moment)
    if (begun !== undefined) return begun
    const decision = decide(state, moment)
    if (decision.facts.length === 0) return { state, decision }
    for (const fact of decision.facts) {
      const next = evolve(state, fact)
      /* v8 ignore next -- @preserve No input leads here: it would be a bug, in which `decide` and `evolve` disagree. */
      if (next === state)
        throw new Error(`${fact._tag} was decided for execution ${state.uuid} and is not admitted by it`)
      state = next
    }
  }
}

/** The usual case, found without a walk over the tree: the next step is a local one of the saga itself. */
const beginLocal = (self: SagaState, { definition, now }: Moment): Advanced | undefined => {
  const { current, next, prefix } = self.root
  // Behind its end a list is read slowly.
  const step = next < definition.steps.length ? definition.steps[next] : undefined
  if (step?._tag !== "Local" || current !== undefined || self.direction === "backward") return undefined
  if (Place.isLacking(self)) return undefined
  if (self.setAside !== undefined || self.deadline !== undefined) return undefined
  // Behind the pivot participants are told beside the steps.
  if (self.commitState === "committing") return undefined
  const path = prefix + next
  const state = evolve(self, stepStarted(step, path, now))
  if (state === self) return undefined
  const { context, current: started } = state.root
  const instructions: Decision["instructions"] = [{ _tag: "RunStep", path, step, state: started!, context }]
  return { state, decision: { facts: none, instructions, asking: undefined, wakeAt: Number.POSITIVE_INFINITY } }
}

const stepStarted = ({ name, policies: { timeout } }: Local, path: string, at: number): SagaEvent =>
  timeout === undefined
    ? { _tag: "StepStarted", path, name, at }
    : { _tag: "StepStarted", path, name, at, deadline: Math.ceil(at + timeout) }

const none: ReadonlyArray<never> = []

export const nothing: Decision = {
  facts: none,
  instructions: none,
  asking: undefined,
  wakeAt: Number.POSITIVE_INFINITY
}

class Decider extends PhaseDecider {
  /** The signals that open waits take, by the paths of the waits. */
  private taken: ReadonlyMap<string, SagaSignals.Received> | undefined

  whole(): void {
    const { commitState, direction, passed, root, status } = this.self
    if (status === "created") return this.self.place === undefined ? undefined : void this.isLate()
    if (direction === "backward") return this.rollBack()
    if (this.isLate()) return
    if (status !== "finished" && (commitState === "none" || passed)) {
      const complete = this.forward(root, this.definition.steps)
      // The first failure starts the rollback: no other branch begins a step in the same moment. Behind the pivot the others follow.
      const failure = this.facts.find(({ _tag }) => _tag === "StepFailed")
      if (failure !== undefined) this.facts.splice(0, this.facts.length, ...this.facts.filter(tookSignal), failure)
      if (!complete) {
        if (passed && commitState === "committing") this.tellCommit()
        return this.leavePlace()
      }
    }
    this.end()
  }

  /** Whether the time of the execution is over and nothing is decided: then the rollback begins. */
  private isLate(): boolean {
    const { deadline, decision } = this.self
    if (deadline === undefined || decision !== null) return false
    if (deadline > this.now) {
      this.wake(deadline)
      return false
    }
    this.facts.push({ _tag: "RollbackStarted", failure: { _tag: "DeadlinePassed", deadline }, at: this.now })
    return true
  }

  // ---- places in a queue -----------------------------------------------------------------------------------------

  /** Whether a step has to wait for a place. What runs, is answered or is undone needs none. */
  private lacksPlace(): boolean {
    const { place } = this.self
    if (place?.status === "left" && !this.facts.some(({ _tag }) => _tag === "PlaceWanted"))
      this.facts.push({ _tag: "PlaceWanted", at: this.now })
    return Place.isLacking(this.self)
  }

  private leavePlace(): void {
    if (this.facts.length === 0 && this.instructions.length === 0 && Place.rests(this.self))
      this.facts.push({ _tag: "PlaceLeft", at: this.now })
  }

  // ---- forward -------------------------------------------------------------------------------------------------

  /** True when every step of the frame is done. */
  private forward(frame: Frame, steps: ReadonlyArray<SagaStep>): boolean {
    const { context, current, next, prefix } = frame
    if (current !== undefined) {
      this.goOn(current, steps[next - 1]!, context)
      return false
    }
    const step = steps[next]
    if (step === undefined) return true
    this.begin(step, prefix + next, context)
    return false
  }

  /** `request`: the one that was refused, where a step behind the pivot begins once more. */
  private begin(step: SagaStep, path: string, context: SagaContext, request?: Sent): void {
    const { name } = step
    const at = this.now
    switch (step._tag) {
      case "Local":
        if (!this.lacksPlace()) this.facts.push(stepStarted(step, path, at))
        return
      case "Remote":
        if (this.lacksPlace()) return
        this.instructions.push({
          _tag: "BuildRequest",
          path,
          step,
          context,
          attempt: request === undefined ? 1 : attemptOf(request.message.id) + 1
        })
        return
      case "Pivot":
        // Those who take part are asked for their votes first.
        this.facts.push(this.isAlone ? { _tag: "PivotPassed", path, at } : { _tag: "ReservationStarted", at })
        return
      case "Conditional":
        this.instructions.push({ _tag: "Choose", path, step, context })
        return
      case "Start":
        this.instructions.push({ _tag: "BuildStart", path, step, context })
        return
      case "Nested":
        this.instructions.push({ _tag: "MapContext", path, step, context })
        return
      case "Wait":
        if (step.until === undefined && step.key === undefined) {
          this.facts.push(WaitDecision.started(step, path, at, undefined, undefined, this.moment.trace))
        } else this.instructions.push({ _tag: "BuildWait", path, step, context })
        return
      case "Parallel":
        this.facts.push({ _tag: "ParallelStarted", path, name, branches: step.branches.map(sizeOf), at })
        return
      case "ForEach":
        this.instructions.push({ _tag: "MapItems", path, step, context })
    }
  }

  private goOn(state: StepState, step: SagaStep, context: SagaContext): void {
    const { path } = state
    if (state.resolution !== undefined) return this.askFirst(state, step as Remote) // only a service is asked
    if (state.tries?.failedAt !== undefined) return this.tryAgain(state, step)
    if (state.status === "created") return this.begin(step, path, context, state.request)
    switch (step._tag) {
      case "Local":
      case "Start":
        this.instructions.push({ _tag: "RunStep", path, step, state, context })
        return
      case "Remote":
        return this.awaitReply(state, step, context)
      case "Wait":
        return this.wait(state, step, context)
      case "Conditional":
      case "Nested":
      case "Parallel":
      case "ForEach": {
        let complete = true
        framesUnderWay(state).forEach((frame, i) => {
          complete = this.forward(frame, stepsInside(step, state, i)) && complete
        })
        if (!complete) return
        // Items that run at the same time have not seen what the others add.
        const size = state.items === undefined ? 0 : sizeWith(context, step.name, undefined) + state.items.size
        if (size > maxContextSize) this.failed(path, "exists", tooLarge(path, step.name, size))
        else this.facts.push({ _tag: "StepSucceeded", path, at: this.now })
      }
    }
  }

  private tryAgain(state: StepState, step: SagaStep): void {
    const next = PivotDecision.afterFailure(state, step, this.signalFor(state) !== undefined, this.moment)
    if (typeof next === "number") this.wake(next)
    else if (step._tag === "Wait" || !this.lacksPlace()) this.facts.push(next)
  }

  /** A person has given the result of a step that the service may have done all the same. */
  private askFirst(state: StepState, step: Remote): void {
    const sent = state.compensation?.sent
    if (sent === undefined) this.instructions.push({ _tag: "BuildProbe", path: state.path, step, state })
    else this.awaitCompensation(state, sent, CompensationRetry.of(step, this.schedule))
  }

  private signalFor({ path }: StepState): SagaSignals.Received | undefined {
    this.taken ??= SagaSignals.taken(this.self.signals)
    return this.taken.get(path)
  }

  private wait(state: StepState, step: Wait, context: SagaContext): void {
    const next = WaitDecision.goOn(state, step, context, this.signalFor(state), this.now)
    if (typeof next === "number") this.wake(next)
    else if (next._tag === "TimeOut") this.instructions.push(next)
    else this.facts.push(next)
  }

  private awaitReply(state: StepState, step: Remote, context: SagaContext): void {
    const { deadline, path, request, status } = state
    if (status === "running-on-success" || status === "running-on-error") {
      this.instructions.push({ _tag: "HandleReply", path, step, state, context })
    } else if (status === "errored-by-on-execute") {
      const content = state.reply?.content ?? null
      this.failed(path, state.effect, { _tag: "StepRefused", path, step: step.name, status: 500, content })
      // The fact that starts a remote step has its request and its deadline. One that is accepted may have no end.
    } else if (this.isOver(deadline ?? Number.POSITIVE_INFINITY, request!.at, this.schedule.resend)) {
      const isUnheard = this.moment.isUnheard?.(step.execute.service) === true
      const late = { _tag: "StepTimedOut" as const, path, step: step.name, deadline: deadline! }
      const refused = this.moment.refusal?.(request!)
      const silent = isUnheard ? { ...late, unheard: true as const } : late
      this.failed(path, "unknown", refused === undefined ? silent : { ...late, refused })
    } else this.resend(path, request!, this.schedule.resend)
  }

  private failed(path: string, effect: EffectKnowledge, failure: SagaFailure): void {
    this.facts.push({ _tag: "StepFailed", path, status: "errored-by-on-execute", effect, failure, at: this.now })
  }

  // ---- rollback ------------------------------------------------------------------------------------------------

  private rollBack(): void {
    const { phase, commitState, root, status } = this.self
    const at = this.now
    const isTold = commitState === "rejecting" && TwoPhaseCommit.isReached(phase)
    if (commitState === "rejecting" && !isTold) this.agree("Reject", this.schedule.resendDecision)
    if (status !== "errored" && this.rollBackFrame(root, this.definition.steps))
      this.facts.push({ _tag: "ExecutionErrored", at })
    // Without a service to tell, the transaction is over with the last step.
    if (isTold && (status === "errored" || phase !== undefined)) {
      this.facts.push({ _tag: "TransactionSettled", state: "rejected", at })
    }
    for (const path of this.self.reopened) this.reopened(path)
  }

  /** True when no step of the frame is left to be compensated. */
  private rollBackFrame(frame: Frame, steps: ReadonlyArray<SagaStep>): boolean {
    if (isRolledBack(frame)) return true
    const state = frame.current ?? frame.done!.head
    this.compensateStep(state, stepOf(steps, frame, state), frame.context, state === frame.current)
    return false
  }

  private compensateStep(state: StepState, step: SagaStep, context: SagaContext, entered: boolean): void {
    switch (step._tag) {
      case "Wait":
      case "Pivot":
        return this.compensated(state.path)
      case "Local":
      case "Start":
        return this.compensateLocal(state, step, context)
      case "Remote":
        return this.compensateRemote(state, step, context)
      case "Conditional":
      case "Nested":
      case "Parallel":
      case "ForEach": {
        const { path } = state
        if (!entered && framesIn(state).length > 0) {
          this.facts.push({ _tag: "CompensationStarted", path, at: this.now })
          return
        }
        let complete = true
        framesUnderWay(state).forEach((frame, i) => {
          complete = this.rollBackFrame(frame, stepsInside(step, state, i)) && complete
        })
        if (step._tag === "ForEach") for (const frame of Items.left(state.items)) this.letEnd(frame, step.steps)
        if (complete) this.compensated(path)
      }
    }
  }

  /** What runs in an item whose turn to be compensated has not come is not stopped (SPEC C17). */
  private letEnd(frame: Frame, steps: ReadonlyArray<SagaStep>): void {
    const state = frame.current
    if (state === undefined) return
    const step = stepOf(steps, frame, state)
    if (step._tag === "Local" || step._tag === "Start") {
      if (state.status === "running-on-execute") this.compensateLocal(state, step, frame.context)
    } else if (isComposite(step))
      [...framesUnderWay(state), ...Items.left(state.items)].forEach((inner, i) => {
        this.letEnd(inner, stepsInside(step, state, i))
      })
  }

  private compensateLocal(state: StepState, step: Local | Start, context: SagaContext): void {
    const { effect, path, status } = state
    if (status === "running-on-execute") {
      // A running step must end before it can be compensated. After a crash it runs again under the same idempotency key.
      this.instructions.push({ _tag: "RunStep", path, step, state, context })
    } else if (effect === "none" || (step._tag === "Local" && step.compensate === undefined)) this.compensated(path)
    else if (effect === "unknown" && step._tag === "Local" && step.compensate?.unknown === undefined)
      this.park(path, "its effect is unknown")
    else if (status === "running-on-failure") {
      this.instructions.push({ _tag: "Compensate", path, step, state, context })
    } else if (status === "errored-on-failure" && state.compensation?.retryAt === undefined)
      this.park(path, "its compensation failed")
    else if (state.compensation?.retryAt !== undefined && state.compensation.retryAt > this.now)
      this.wake(state.compensation.retryAt)
    else this.facts.push({ _tag: "CompensationStarted", path, at: this.now })
  }

  private compensateRemote(state: StepState, step: Remote, context: SagaContext): void {
    const { effect, path } = state
    const compensation = step.compensate
    if (effect === "none" || compensation === undefined) return this.compensated(path)
    const { failedAttempts = 0, failure, retryAt, sent } = state.compensation ?? {}
    if (failedAttempts > 0 && retryAt === undefined) return this.park(path, CompensationRetry.reason(sent, failure))
    if (sent !== undefined) return this.awaitCompensation(state, sent, CompensationRetry.of(step, this.schedule))
    if (effect === "exists" || (compensation.unknown !== undefined && !step.execute.probe)) {
      this.instructions.push({ _tag: "BuildCompensation", path, step, compensation, state, context })
    } else if (step.execute.probe) this.instructions.push({ _tag: "BuildProbe", path, step, state })
    else this.park(path, "its effect is unknown and the service cannot be asked")
  }

  private awaitCompensation(state: StepState, sent: Sent, retry: Retry): void {
    // The retry of a person sends it once more at least.
    const times = state.compensation?.retryAt === sent.at ? Math.max(1, retry.times) : retry.times
    const end = RetrySchedule.dueAt(sent.at, times + 1, retry.backoff, sent.message.id)
    if (this.isOver(end, sent.at, retry.backoff)) return this.park(state.path, `no answer to ${sent.message.op}`)
    this.resend(state.path, sent, retry.backoff)
  }

  private reopened(path: string): void {
    // A step that was parked is still in the tree and in the definition.
    const { frame, step } = stepAt(this.self.root, path)!
    this.compensateStep(step, SagaPath.at(this.definition, path)!, frame.context, true)
  }

  private compensated(path: string): void {
    this.facts.push({ _tag: "StepCompensated", path, at: this.now })
  }

  private park(path: string, reason: string): void {
    this.facts.push({ _tag: "StepParked", path, reason, at: this.now })
  }
}

/** Each open wait takes the signal that is there for it, also where another one fails in the same moment (SPEC C16). */
const tookSignal = (fact: SagaEvent): boolean => fact._tag === "StepSucceeded" && fact.signal !== undefined

const sizeOf = ({ name, steps }: Parallel["branches"][number]) => ({ name, steps: steps.length })

type Composite = Extract<SagaStep, { readonly _tag: "Conditional" | "Nested" | "Parallel" | "ForEach" }>

const isComposite = (step: SagaStep): step is Composite =>
  "alternatives" in step || "saga" in step || "branches" in step || "items" in step

/** The steps of the frame at an index inside a step. */
const stepsInside = (step: Composite, state: StepState, index: number): ReadonlyArray<SagaStep> => {
  switch (step._tag) {
    case "Conditional":
      return step.alternatives[state.choice!]!.steps // without a choice there is no frame
    case "Nested":
      return step.saga.steps
    case "Parallel":
      return step.branches[index]!.steps
    case "ForEach":
      return step.steps
  }
}

const stepOf = (steps: ReadonlyArray<SagaStep>, frame: Frame, state: StepState): SagaStep =>
  steps[Number(state.path.slice(frame.prefix.length))]!
