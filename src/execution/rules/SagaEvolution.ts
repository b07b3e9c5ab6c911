/**
 * How facts change the state of an execution: a fold. `evolve` is pure and total: an event that the state does not admit
 * (a late reply, a second result) leaves it as it is, and that is also how a caller asks.
 */
import type { ReplyStatus } from "../../wire/Envelope.ts"
import type { Json } from "../../wire/JsonLimits.ts"
import * as Context from "./SagaContext.ts"
import type { EffectKnowledge, Of, SagaEvent } from "./SagaEvent.ts"
import type { SagaFailure } from "./SagaFailure.ts"
import { isComplete, isOpen, type SagaState } from "./SagaState.ts"
import type { SagaStepStatus } from "./SagaStatus.ts"
import {
  atFrame,
  atStep,
  type Frame,
  find,
  frame,
  inRolledBack,
  isRolledBack,
  isUnanswered,
  none,
  push,
  type Sent,
  type StepKind,
  type StepRollback,
  type StepState,
  union
} from "./StepTree.ts"
import * as TwoPhaseCommit from "./TwoPhaseCommit.ts"

/** The same state where the event is not admitted. */
export const evolve = (self: SagaState, event: SagaEvent): SagaState => {
  const next = apply(self, event)
  if (next === self) return self
  // `apply` has just made it and nobody else has it: filled in place, a third copy of all fields is saved.
  const fresh: { -readonly [K in keyof SagaState]: SagaState[K] } = next
  fresh.updatedAt = event.at
  fresh.history = push(event, self.history)
  fresh.unstored = self.unstored + 1
  return fresh
}

/** The state after its write. */
export const stored = (self: SagaState, revision: number): SagaState => ({
  ...self,
  revision,
  unstored: 0,
  phase: self.phase === undefined ? undefined : TwoPhaseCommit.stored(self.phase)
})

const apply = (self: SagaState, event: SagaEvent): SagaState => {
  switch (event._tag) {
    case "ExecutionCreated":
      return self
    case "ExecutionStarted":
      return self.status === "created"
        ? {
            ...self,
            status: "running",
            service: event.service,
            headers: event.headers,
            autocommit: event.autocommit,
            transactional: event.transactional,
            takesPart: event.takesPart === true
          }
        : self

    case "AutocommitChanged":
      return isOpen(self) && self.commitState === "none" && self.autocommit !== event.autocommit
        ? { ...self, autocommit: event.autocommit }
        : self

    case "StepStarted": {
      const next = start(self, event, "local", "running-on-execute", { deadline: event.deadline })
      return self.takesPart && self.service !== undefined ? enrol(next, self, [self.service], 0, event.at) : next
    }
    case "RequestSent":
      return enrol(
        start(self, event, "remote", "paused-by-on-execute", {
          deadline: event.deadline,
          request: { command: event.command, message: event.message, at: event.at }
        }),
        self,
        [event.message.service],
        event.message.notAfter,
        event.at
      )
    case "AlternativeChosen":
      return start(self, event, "conditional", "running-on-execute", { choice: event.choice }, (outer) =>
        event.choice === null ? [] : [frame(`${event.path}/${event.label}/`, outer.context, undefined)]
      )
    case "NestedStarted":
      return start(self, event, "nested", "running-on-execute", nothingKnown, () => [
        frame(`${event.path}/n/`, Context.initial(`${event.path}/n/`, event.context), undefined)
      ])
    case "ParallelStarted":
      return start(self, event, "parallel", "running-on-execute", nothingKnown, (outer) =>
        event.branches.map((branch, i) => frame(`${event.path}/b${i}/`, outer.context, branch.steps))
      )

    case "ReplyReceived":
      return replied(self, event)
    case "StepSucceeded":
      return succeeded(self, event)
    case "StepFailed":
      return failed(self, event)

    case "RollbackStarted":
      return isForwardOrUndecided(self) ? backward(self, event.failure, event.at) : self
    case "ProbeSent":
      return inRollback(self, event.path, (step) =>
        isUnanswered(step) && step.rollback?.sent === undefined
          ? {
              ...step,
              rollback: { ...noRollback, sent: { command: event.command, message: event.message, at: event.at } }
            }
          : step
      )
    case "ProbeAnswered":
      return enrol(
        reopen(
          inRollback(self, event.path, (step) => probed(step, event)),
          self,
          event.path
        ),
        self,
        event.relatedServices ?? none,
        0,
        event.at
      )
    case "CompensationStarted":
      return inRollback(self, event.path, (step) =>
        canCompensate(step) && step.kind !== "remote" && step.status !== "running-on-failure"
          ? { ...running(step), rollback: { ...(step.rollback ?? noRollback), sent: undefined, retryAt: undefined } }
          : step
      )
    case "CompensationSent":
      return inRollback(self, event.path, (step) =>
        canCompensate(step) && step.kind === "remote" && step.rollback?.sent === undefined
          ? {
              ...running(step),
              status: "paused-on-failure",
              rollback: {
                ...(step.rollback ?? noRollback),
                retryAt: undefined,
                sent: { command: event.command, message: event.message, at: event.at }
              }
            }
          : step
      )
    case "CompensationFailed":
      return inRollback(self, event.path, (step) => attemptFailed(step, event))
    case "StepCompensated":
      return settleStep(self, event.path, compensated, false)
    case "StepParked":
      return self.parked.includes(event.path) ? self : settleStep(self, event.path, (step) => parked(step, event), true)
    case "StepUnparked": {
      const stalled = TwoPhaseCommit.serviceAt(self.phase, event.path)
      if (stalled !== undefined) return inPhase(self, (phase) => TwoPhaseCommit.again(phase, stalled, event.at))
      return reopen(
        late(self, event.path, (step) => unparked(step, event.at)),
        self,
        event.path
      )
    }
    case "StepResolved": {
      const stalled = TwoPhaseCommit.serviceAt(self.phase, event.path)
      if (stalled !== undefined) return inPhase(self, (phase) => TwoPhaseCommit.answered(phase, stalled))
      return closed(
        late(self, event.path, (step) => ({ ...compensated(step), rollback: undefined })),
        self
      )
    }

    case "ReservationStarted":
      return isComplete(self) && self.commitState === "none"
        ? { ...self, commitState: "reserving", phase: TwoPhaseCommit.begin("reserve", self.enrolled, event.at) }
        : self
    case "VoteReceived":
      return self.commitState === "reserving"
        ? inPhase(self, (phase) => TwoPhaseCommit.answered(phase, event.service))
        : self
    case "CommitDecided":
      return isComplete(self) && self.commitState === "reserving" && TwoPhaseCommit.isReached(self.phase)
        ? {
            ...self,
            decision: "commit",
            commitState: "committing",
            phase: TwoPhaseCommit.begin("commit", self.enrolled, event.at)
          }
        : self
    case "RejectRequested":
      return self.direction === "backward" && self.commitState === "none"
        ? { ...self, commitState: "rejecting", phase: TwoPhaseCommit.begin("reject", self.enrolled, event.at) }
        : self
    case "DecisionAcknowledged":
      return self.commitState === "committing" || self.commitState === "rejecting"
        ? inPhase(self, (phase) => TwoPhaseCommit.answered(phase, event.service))
        : self
    case "ServiceStalled":
      return self.commitState === "committing" || self.commitState === "rejecting"
        ? inPhase(self, (phase) => TwoPhaseCommit.stalled(phase, event.service, event.reason, event.at))
        : self
    case "ExecutionFinished":
      return self.status === "running" && isComplete(self) ? { ...self, status: "finished" } : self
    case "ExecutionErrored":
      return self.direction === "backward" && self.status !== "errored" && isRolledBack(self.root)
        ? { ...self, status: "errored", alreadyRollback: self.parked.length === 0 && self.reopened.length === 0 }
        : self
    case "TransactionSettled":
      return (event.state === "committed" &&
        self.status === "finished" &&
        self.direction === "forward" &&
        self.commitState !== "committed" &&
        TwoPhaseCommit.isReached(self.phase)) ||
        (event.state === "rejected" && self.commitState === "rejecting" && TwoPhaseCommit.isReached(self.phase))
        ? { ...self, commitState: event.state, decision: event.state === "committed" ? "commit" : "reject" }
        : self
  }
}

// ---- forward ---------------------------------------------------------------------------------------------------

const start = (
  self: SagaState,
  event: { readonly path: string; readonly name: string; readonly at: number },
  kind: StepKind,
  status: SagaStepStatus,
  known: Known,
  inner: (outer: Frame) => ReadonlyArray<Frame> = () => none
): SagaState => {
  if (self.direction !== "forward" || !isOpen(self) || self.commitState !== "none") return self
  const root = atFrame(self.root, event.path, (outer) =>
    outer.current === undefined && event.path === outer.prefix + outer.next
      ? { ...outer, next: outer.next + 1, current: begun(self, event, kind, status, "unknown", known, inner(outer)) }
      : outer
  )
  return withRoot(self, root)
}

interface Known {
  readonly deadline?: number | undefined
  readonly request?: Sent
  readonly choice?: number | null
  readonly failure?: SagaFailure
}

const nothingKnown: Known = {}

const begun = (
  self: SagaState,
  event: { readonly path: string; readonly name: string; readonly at: number },
  kind: StepKind,
  status: SagaStepStatus,
  effect: EffectKnowledge,
  known: Known,
  inner: ReadonlyArray<Frame>
): StepState => ({
  path: event.path,
  name: event.name,
  kind,
  status,
  statusBefore: undefined,
  relatedServices: self.service === undefined || (kind !== "local" && kind !== "remote") ? none : [self.service],
  alreadyRollback: false,
  startedAt: event.at,
  deadline: known.deadline,
  request: known.request,
  reply: undefined,
  effect,
  result: undefined,
  failure: known.failure,
  rollback: undefined,
  parked: undefined,
  choice: known.choice,
  inner
})

const replied = (self: SagaState, event: Of<"ReplyReceived">): SagaState => {
  if (self.direction === "backward") {
    // The answer only tells what there is to rollback; the step is never finished by it.
    const known = reopen(
      inRollback(self, event.path, (step) => answered(step, event)),
      self,
      event.path
    )
    return enrol(known, self, event.relatedServices, 0, event.at)
  }
  const root = atStep(self.root, event.path, (step) =>
    step.status === "paused-by-on-execute" && step.kind === "remote"
      ? {
          ...step,
          status:
            event.status === 200
              ? "running-on-success"
              : event.status === 400
                ? "running-on-error"
                : "errored-by-on-execute",
          reply: { status: event.status, content: event.content },
          effect: event.status === 200 ? "exists" : "none",
          relatedServices: union(step.relatedServices, event.relatedServices)
        }
      : step
  )
  return enrol(withRoot(self, root), self, event.relatedServices, 0, event.at)
}

const succeeded = (self: SagaState, event: Of<"StepSucceeded">): SagaState => {
  const root = atFrame(self.root, event.path, (outer) => {
    const step = outer.current
    if (step === undefined || step.path !== event.path || !isRunning(step)) return outer
    const finished: StepState = {
      ...step,
      status: "finished",
      result: event.result,
      effect: event.recovered === true ? "none" : "exists",
      relatedServices:
        event.relatedServices === undefined ? step.relatedServices : union(step.relatedServices, event.relatedServices)
    }
    // Undoing has begun in another branch: the result is kept, and the step stays to be undone first.
    if (self.direction === "backward") return { ...outer, current: finished }
    return { ...outer, current: undefined, done: push(finished, outer.done), context: extended(outer, finished) }
  })
  const next = withRoot(self, root)
  return event.relatedServices === undefined ? next : enrol(next, self, event.relatedServices, 0, event.at)
}

const extended = (outer: Frame, step: StepState): Context.SagaContext => {
  switch (step.kind) {
    case "local":
    case "remote":
      return Context.append(outer.context, step.path, step.name, step.result)
    case "conditional":
      return Context.append(step.inner[0]?.context ?? outer.context, step.path, step.name, step.choice ?? null)
    case "nested":
      return Context.appendInner(outer.context, step.path, step.name, step.inner[0]!.context)
    case "parallel":
      return Context.join(
        outer.context,
        step.inner.map((branch) => branch.context)
      )
  }
}

const failed = (self: SagaState, event: Of<"StepFailed">): SagaState => {
  if (!isOpen(self) || (self.direction === "forward" && self.commitState !== "none")) return self
  const root = atFrame(self.root, event.path, (outer) => {
    if (outer.current?.path === event.path) {
      const step = outer.current
      if (step.failure !== undefined) return outer
      if (!(isRunning(step) || step.status === "paused-by-on-execute" || step.status === "errored-by-on-execute"))
        return outer
      const current: StepState = { ...step, status: event.status, effect: event.effect, failure: event.failure }
      return event.effect === "none" && current.inner.length === 0
        ? { ...outer, current: undefined, rolledBack: push(current, outer.rolledBack) }
        : { ...outer, current }
    }
    // It failed before it could start: a request that could not be built, a condition that threw.
    if (outer.current !== undefined || self.direction !== "forward" || event.path !== outer.prefix + outer.next)
      return outer
    const { at, failure, kind = "local", name = "", path, status } = event
    const step = begun(self, { path, name, at }, kind, status, "none", { failure }, none)
    return { ...outer, next: outer.next + 1, rolledBack: push(step, outer.rolledBack) }
  })
  if (root === self.root) return self
  return self.direction === "forward" ? backward({ ...self, root }, event.failure, event.at) : { ...self, root }
}

// ---- backward --------------------------------------------------------------------------------------------------

const noRollback: StepRollback = { sent: undefined, failedAttempts: 0, retryAt: undefined, failure: undefined }

const isForwardOrUndecided = (self: SagaState): boolean =>
  self.direction === "forward" &&
  self.decision === null &&
  (self.status !== "finished" || self.commitState === "none" || self.commitState === "reserving")

const backward = (self: SagaState, failure: SagaFailure, at: number): SagaState => {
  const tells = self.autocommit || !self.transactional || self.commitState !== "none"
  return {
    ...self,
    direction: "backward",
    decision: "reject",
    status: "running",
    failure: self.failure ?? failure,
    commitState: tells ? "rejecting" : "none",
    phase: tells && self.enrolled.length > 0 ? TwoPhaseCommit.begin("reject", self.enrolled, at) : undefined
  }
}

const isRunning = (step: StepState): boolean =>
  step.status === "running-on-execute" || step.status === "running-on-success" || step.status === "running-on-error"

/** Its effect exists or may exist, and its execute does not run any more. A running callback of its reply is dropped. */
const canCompensate = (step: StepState): boolean =>
  !step.alreadyRollback && step.effect !== "none" && !(step.kind === "local" && isRunning(step))

const running = (step: StepState): StepState => ({
  ...step,
  status: "running-on-failure",
  statusBefore: step.statusBefore ?? step.status
})

const compensated = (step: StepState): StepState => ({
  ...step,
  status: step.statusBefore ?? step.status,
  statusBefore: undefined,
  alreadyRollback: true,
  parked: undefined,
  rollback: step.rollback === undefined ? undefined : { ...step.rollback, sent: undefined, retryAt: undefined }
})

const probed = (step: StepState, event: Of<"ProbeAnswered">): StepState =>
  step.rollback?.sent?.message.op !== "probe" || event.status === 500 ? step : answered(step, event)

/** What an answer says about the effect of a step that is to be undone. Only the first one counts. */
const answered = (
  step: StepState,
  event: { readonly status: ReplyStatus; readonly content?: Json; readonly relatedServices?: ReadonlyArray<string> }
): StepState =>
  !isUnanswered(step)
    ? step
    : {
        ...step,
        rollback: noRollback,
        parked: undefined,
        effect: event.status === 200 ? "exists" : "none",
        relatedServices: union(step.relatedServices, event.relatedServices ?? none),
        ...(event.status !== 404 && { reply: { status: event.status, content: event.content } })
      }

/** An attempt to rollback or to ask. What answers it again before the next one is due is the same answer once more. */
const attemptFailed = (step: StepState, event: Of<"CompensationFailed">): StepState => {
  const { kind, parked, status, rollback } = step
  if (rollback === undefined || parked !== undefined || step.alreadyRollback) return step
  const isUnderWay =
    kind === "local"
      ? status === "running-on-failure"
      : rollback.sent !== undefined &&
        (rollback.retryAt === undefined ? rollback.failedAttempts === 0 : rollback.retryAt <= event.at)
  if (!isUnderWay) return step
  return {
    ...step,
    status:
      step.statusBefore === undefined
        ? status
        : event.retryAt === undefined
          ? "errored-on-failure"
          : "paused-on-failure",
    rollback: {
      ...rollback,
      failedAttempts: rollback.failedAttempts + 1,
      failure: event.failure,
      retryAt: event.retryAt
    }
  }
}

const parked = (step: StepState, { at, reason }: Of<"StepParked">): StepState => ({
  ...step,
  status: step.statusBefore === undefined ? step.status : "errored-on-failure",
  parked: { reason, at }
})

const unparked = (step: StepState, at: number): StepState => ({
  ...step,
  parked: undefined,
  rollback: {
    ...(step.rollback ?? noRollback),
    failedAttempts: 0,
    retryAt: at,
    // The schedule of resends starts anew; the message is the same.
    sent: step.rollback?.sent === undefined ? undefined : { ...step.rollback.sent, at }
  }
})

/** A parked step that changed is undone again. */
const reopen = (next: SagaState, before: SagaState, path: string): SagaState =>
  next !== before && (before.parked.includes(path) || before.reopened.includes(path))
    ? { ...next, parked: next.parked.filter((other) => other !== path), reopened: union(next.reopened, [path]) }
    : next

/** Changes the step that is to be rolledBack: the current one, else the latest of those done. */
const inRollback = (self: SagaState, path: string, change: (step: StepState) => StepState): SagaState => {
  if (self.direction !== "backward") return self
  const root = atFrame(self.root, path, (outer) => {
    const step = outer.current ?? outer.done?.head
    if (step === undefined || step.path !== path) {
      const found = find(outer.rolledBack, path)
      return found?.parked === undefined && found?.rollback === undefined ? outer : inRolledBack(outer, path, change)
    }
    const changed = change(step)
    return changed === step
      ? outer
      : { ...outer, current: changed, done: outer.current === undefined ? outer.done?.tail : outer.done }
  })
  return root === self.root ? self : { ...self, root }
}

/** Moves the step that is to be undone to those over. */
const settleStep = (
  self: SagaState,
  path: string,
  change: (step: StepState) => StepState,
  parks: boolean
): SagaState => {
  if (self.direction !== "backward") return self
  const root = atFrame(self.root, path, (outer) => {
    const step = outer.current ?? outer.done?.head
    if (step !== undefined && step.path === path) {
      // What it leaves is not known yet.
      if (step.kind === "local" && isRunning(step)) return outer
      return {
        ...outer,
        current: undefined,
        done: outer.current === undefined ? outer.done?.tail : outer.done,
        rolledBack: push(change(step), outer.rolledBack)
      }
    }
    const found = find(outer.rolledBack, path)
    return found !== undefined && !found.alreadyRollback && (found.parked !== undefined || found.rollback !== undefined)
      ? inRolledBack(outer, path, change)
      : outer
  })
  if (root === self.root) return self
  const parked = parks ? union(self.parked, [path]) : self.parked.filter((other) => other !== path)
  const reopened = self.reopened.filter((other) => other !== path)
  return closed({ ...self, root, parked, reopened }, self)
}

/** Changes a parked step. */
const late = (self: SagaState, path: string, change: (step: StepState) => StepState): SagaState => {
  if (!self.parked.includes(path)) return self
  const root = atFrame(self.root, path, (outer) => inRolledBack(outer, path, change))
  return root === self.root ? self : { ...self, root, parked: self.parked.filter((other) => other !== path) }
}

/** `alreadyRollback` is true once no step is open any more; a step undone late may be the last one. */
const closed = (next: SagaState, before: SagaState): SagaState =>
  next !== before && next.status === "errored" && next.parked.length === 0 && next.reopened.length === 0
    ? { ...next, alreadyRollback: true }
    : next

// ---- the whole -------------------------------------------------------------------------------------------------

const withRoot = (self: SagaState, root: Frame): SagaState => {
  if (root === self.root) return self
  const isPaused = root.current?.status === "paused-by-on-execute"
  const status = self.direction === "backward" ? self.status : isPaused ? "paused" : "running"
  return { ...self, root, status }
}

const enrol = (
  next: SagaState,
  before: SagaState,
  services: ReadonlyArray<string>,
  notAfter: number,
  at: number
): SagaState => {
  if (next === before) return next
  const enrolled = next.transactional ? union(next.enrolled, services) : next.enrolled
  if (enrolled === next.enrolled && notAfter <= next.notAfter) return next
  // Who joins on the way back must be told as well.
  const tells = enrolled !== next.enrolled && (next.commitState === "rejecting" || next.commitState === "rejected")
  return {
    ...next,
    enrolled,
    commitState: tells ? "rejecting" : next.commitState,
    phase: tells ? TwoPhaseCommit.join(next.phase ?? TwoPhaseCommit.begin("reject", [], at), enrolled, at) : next.phase,
    notAfter: Math.max(next.notAfter, notAfter)
  }
}

const inPhase = (self: SagaState, change: (phase: TwoPhaseCommit.Phase) => TwoPhaseCommit.Phase): SagaState => {
  if (self.phase === undefined) return self
  const phase = change(self.phase)
  return phase === self.phase ? self : { ...self, phase }
}
