/**
 * How facts of the rollback change the state: steps are asked for their effect, compensated, or parked for a person.
 * Steps of a sequence are compensated from the latest to the first; a parked step does not hold up the others.
 */
import { enrol } from "./EnrolmentEvolution.ts"
import type { Of } from "./SagaEvent.ts"
import type { SagaFailure } from "./SagaFailure.ts"
import * as SagaSignals from "./SagaSignals.ts"
import type { SagaState } from "./SagaState.ts"
import type { SagaStepStatus } from "./SagaStatus.ts"
import * as Items from "./StepItems.ts"
import {
  atFrame,
  type Frame,
  find,
  inRolledBack,
  isRunning,
  isUnanswered,
  none,
  push,
  type Sent,
  type StepState,
  turnBack,
  union,
  untried
} from "./StepTree.ts"
import * as TwoPhaseCommit from "./TwoPhaseCommit.ts"

// ---- what is admitted ------------------------------------------------------------------------------------------

const admitsProbe = (step: StepState): boolean => isUnanswered(step) && step.compensation?.sent === undefined

const admitsProbeAnswer = (step: StepState, { status }: Of<"ProbeAnswered">): boolean =>
  step.compensation?.sent?.message.op === "probe" && status !== 500

/**
 * The effect of the step exists or may exist, and its execute does not run any more. A callback of its reply that still
 * runs does not matter: its facts are not admitted any more.
 */
const hasEffect = (step: StepState): boolean => !step.alreadyRollback && step.effect !== "none" && !isExecuting(step)

/** The step still runs, so its effect is not known yet. */
const isExecuting = (step: StepState): boolean => (step.kind === "local" || step.kind === "start") && isRunning(step)

const admitsCompensationStart = (step: StepState): boolean =>
  hasEffect(step) && step.kind !== "remote" && step.status !== "running-on-failure"

const admitsCompensationRequest = (step: StepState): boolean =>
  hasEffect(step) && step.kind === "remote" && step.compensation?.sent === undefined

/** Once for each attempt: another answer before the next attempt is due is the same answer again. */
const admitsFailedAttempt = (
  { alreadyRollback, compensation, kind, parked, status }: StepState,
  { at }: Of<"CompensationFailed">
): boolean => {
  if (compensation === undefined || parked !== undefined || alreadyRollback) return false
  if (kind !== "remote") return status === "running-on-failure"
  const { failedAttempts, retryAt, sent } = compensation
  return sent !== undefined && (retryAt === undefined ? failedAttempts === 0 : retryAt <= at)
}

/** A step that is over and not compensated can still be reached by a late answer, or by a person. */
const isStillOpen = (step: StepState | undefined): step is StepState =>
  step !== undefined && (step.parked !== undefined || step.compensation !== undefined)

// ---- changes ---------------------------------------------------------------------------------------------------

export const start = (self: SagaState, failure: SagaFailure, at: number): SagaState => {
  const tells = self.autocommit || self.start?.transactional !== true || self.commitState !== "none"
  return {
    ...self,
    direction: "backward",
    decision: "reject",
    status: "running",
    root: turnBack(self.root),
    failure: self.failure ?? failure,
    signals: SagaSignals.close(self.signals),
    commitState: tells ? "rejecting" : "none",
    phase: tells && self.enrolled.length > 0 ? TwoPhaseCommit.begin("reject", self.enrolled, at) : undefined
  }
}

/** The reply to a request. During the rollback it only tells whether there is an effect; the step is not finished by it. */
export const replied = (self: SagaState, event: Of<"ReplyReceived">): SagaState =>
  learned(self, event, (step) => answered(step, event))

export const probeSent = (self: SagaState, { at, command, message, path }: Of<"ProbeSent">): SagaState =>
  inRollback(self, path, (step) =>
    admitsProbe(step) ? { ...step, compensation: { ...untried, sent: { command, message, at } } } : step
  )

export const probeAnswered = (self: SagaState, event: Of<"ProbeAnswered">): SagaState =>
  learned(self, event, (step) => (admitsProbeAnswer(step, event) ? answered(step, event) : step))

export const compensationStarted = (self: SagaState, { path }: Of<"CompensationStarted">): SagaState =>
  inRollback(self, path, (step) =>
    admitsCompensationStart(step) ? compensating(step, "running-on-failure", undefined) : step
  )

export const compensationSent = (self: SagaState, { at, command, message, path }: Of<"CompensationSent">): SagaState =>
  inRollback(self, path, (step) =>
    admitsCompensationRequest(step) ? compensating(step, "paused-on-failure", { command, message, at }) : step
  )

const compensating = (step: StepState, status: SagaStepStatus, sent: Sent | undefined): StepState => ({
  ...step,
  status,
  statusBefore: step.statusBefore ?? step.status,
  compensation: { ...(step.compensation ?? untried), retryAt: undefined, sent },
  items: step.items && Items.turned(step.items, turnBack)
})

/** An attempt to compensate, or to ask for the effect, has failed. */
export const attemptFailed = (self: SagaState, event: Of<"CompensationFailed">): SagaState =>
  inRollback(self, event.path, (step) => {
    if (!admitsFailedAttempt(step, event)) return step
    const { failedAttempts, sent } = step.compensation!
    const { failure, retryAt } = event
    // To look at the started saga is no attempt to undo it.
    const isOpen = failure._tag === "StartedNotUndone"
    const failed = retryAt === undefined ? "errored-on-failure" : "paused-on-failure"
    return {
      ...step,
      status: step.statusBefore === undefined ? step.status : failed,
      compensation: { sent, failedAttempts: failedAttempts + (isOpen ? 0 : 1), failure, retryAt }
    }
  })

export const compensated = (self: SagaState, { path }: Of<"StepCompensated">): SagaState =>
  settled(self, path, asCompensated, false)

export const parked = (self: SagaState, { at, path, reason }: Of<"StepParked">): SagaState =>
  self.parked.includes(path)
    ? self
    : settled(
        self,
        path,
        (step) => ({
          ...step,
          status: step.statusBefore === undefined ? step.status : "errored-on-failure",
          parked: { reason, at }
        }),
        true
      )

/** A person asks for another try: attempts are counted anew. */
export const unparked = (self: SagaState, { at, path }: Of<"StepUnparked">): SagaState =>
  reopened(
    inParked(self, path, (step) => {
      const { failure, sent } = step.compensation ?? untried
      // The schedule of resends starts anew as well; the message is the same.
      const again = sent === undefined ? undefined : { ...sent, at }
      return { ...step, parked: undefined, compensation: { sent: again, failedAttempts: 0, retryAt: at, failure } }
    }),
    self,
    path
  )

/** A person says that the step needs no compensation any more. */
export const resolved = (self: SagaState, { path }: Of<"StepResolved">): SagaState =>
  closed(
    inParked(self, path, (step) => ({ ...asCompensated(step), compensation: undefined })),
    self
  )

const asCompensated = (step: StepState): StepState => ({
  ...step,
  status: step.statusBefore ?? step.status,
  statusBefore: undefined,
  alreadyRollback: true,
  parked: undefined,
  compensation:
    step.compensation === undefined ? undefined : { ...step.compensation, sent: undefined, retryAt: undefined }
})

/** Takes over the effect of a step from an answer. Only the first answer counts. */
const answered = (
  step: StepState,
  event: Pick<Of<"ReplyReceived">, "status" | "content" | "byHand"> & Pick<Of<"ProbeAnswered">, "relatedServices">
): StepState =>
  !isUnanswered(step)
    ? step
    : {
        ...step,
        compensation: untried,
        parked: undefined,
        effect: event.status === 200 ? "exists" : "none",
        relatedServices: union(step.relatedServices, event.relatedServices ?? none),
        ...(event.status !== 404 && { reply: { status: event.status, content: event.content, byHand: event.byHand } })
      }

// ---- where the step is -----------------------------------------------------------------------------------------

/** Changes a step by an answer about its effect, and enrols the services that the answer names. */
const learned = (
  self: SagaState,
  event: Of<"ReplyReceived" | "ProbeAnswered">,
  change: (step: StepState) => StepState
): SagaState => {
  const next = reopened(inRollback(self, event.path, change), self, event.path)
  return enrol(next, self, event.relatedServices ?? none, 0, event.at)
}

/** The step that is compensated next in a frame: the current one, else the latest of those done. */
const latest = (outer: Frame): StepState | undefined => outer.current ?? outer.done?.head

/** Changes the step that is compensated next, or one that is over and still open. */
const inRollback = (self: SagaState, path: string, change: (step: StepState) => StepState): SagaState => {
  if (self.direction !== "backward") return self
  const root = atFrame(self.root, path, (outer) => {
    const step = latest(outer)
    if (step?.path !== path) {
      const found = find(outer.rolledBack, path)
      return isStillOpen(found) ? inRolledBack(outer, found, change) : outer
    }
    const changed = change(step)
    return changed === step ? outer : { ...outer, current: changed, done: withoutLatest(outer) }
  })
  return root === self.root ? self : { ...self, root }
}

/** The steps that are done without the one that is compensated next. */
const withoutLatest = (outer: Frame): Frame["done"] => (outer.current === undefined ? outer.done?.tail : outer.done)

/** Moves the step that is compensated next to the steps that are over, compensated or parked. */
const settled = (self: SagaState, path: string, change: (step: StepState) => StepState, parks: boolean): SagaState => {
  if (self.direction !== "backward") return self
  const root = atFrame(self.root, path, (outer) => {
    const step = latest(outer)
    if (step?.path === path) {
      if (isExecuting(step)) return outer
      return {
        ...outer,
        current: undefined,
        done: withoutLatest(outer),
        rolledBack: push(change(step), outer.rolledBack)
      }
    }
    const found = find(outer.rolledBack, path)
    return isStillOpen(found) && !found.alreadyRollback ? inRolledBack(outer, found, change) : outer
  })
  if (root === self.root) return self
  const parked = parks ? union(self.parked, [path]) : self.parked.filter((other) => other !== path)
  const reopened = self.reopened.filter((other) => other !== path)
  return closed({ ...self, root, parked, reopened }, self)
}

/** Changes a parked step. */
const inParked = (self: SagaState, path: string, change: (step: StepState) => StepState): SagaState => {
  if (!self.parked.includes(path)) return self
  // A parked step is among those that are over.
  const root = atFrame(self.root, path, (outer) => inRolledBack(outer, find(outer.rolledBack, path)!, change))
  return { ...self, root, parked: self.parked.filter((other) => other !== path) }
}

/** A parked step that changed is compensated again. */
const reopened = (next: SagaState, before: SagaState, path: string): SagaState =>
  next !== before && (before.parked.includes(path) || before.reopened.includes(path))
    ? { ...next, parked: next.parked.filter((other) => other !== path), reopened: union(next.reopened, [path]) }
    : next

/** `alreadyRollback` becomes true with the last open step, even if the execution itself ended before. */
const closed = (next: SagaState, before: SagaState): SagaState =>
  next !== before && next.status === "errored" && next.parked.length === 0 && next.reopened.length === 0
    ? { ...next, alreadyRollback: true }
    : next
