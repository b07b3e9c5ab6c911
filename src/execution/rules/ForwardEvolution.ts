/** How facts about the execution of steps change the state: a step starts, is answered, succeeds or fails. */
import { enrol } from "./EnrolmentEvolution.ts"
import * as Rollback from "./RollbackEvolution.ts"
import * as Context from "./SagaContext.ts"
import type { EffectKnowledge, Of } from "./SagaEvent.ts"
import type { SagaFailure } from "./SagaFailure.ts"
import * as SagaSignals from "./SagaSignals.ts"
import { isOpen, type SagaState } from "./SagaState.ts"
import type { SagaStepStatus } from "./SagaStatus.ts"
import {
  atFrame,
  atStep,
  type Frame,
  isRunning,
  isWaiting,
  none,
  push,
  type Sent,
  type StepKind,
  type StepState,
  union
} from "./StepTree.ts"

// ---- what is admitted ------------------------------------------------------------------------------------------

const admitsStart = (self: SagaState): boolean =>
  self.direction === "forward" && isOpen(self) && self.commitState === "none"

/** A step starts when the one before it is done. */
const isNext = (outer: Frame, path: string): boolean =>
  outer.current === undefined && path === outer.prefix + outer.next

const admitsReply = (step: StepState): boolean => step.status === "paused-by-on-execute" && step.kind === "remote"

const admitsResult = (self: SagaState, step: StepState, event: Of<"StepSucceeded">): boolean =>
  step.kind === "wait" ? admitsEnd(self, step, event) : isRunning(step)

/** A wait ends with the signal that is there for it, and with time only if none is. On the way back it is over anyway. */
const admitsEnd = (self: SagaState, step: StepState, { signal, timedOut }: Of<"StepSucceeded">): boolean =>
  isWaiting(step) &&
  self.direction === "forward" &&
  SagaSignals.taken(self.signals).get(step.path)?.id === signal &&
  (signal !== undefined || timedOut === true || step.signal === undefined)

/** During a rollback too: the step of another branch may still run. */
const admitsFailure = (self: SagaState): boolean =>
  isOpen(self) && (self.direction === "backward" || self.commitState === "none")

const admitsFailureOf = (self: SagaState, step: StepState, failure: SagaFailure): boolean =>
  step.failure === undefined &&
  !(failure._tag === "StepTimedOut" && SagaSignals.taken(self.signals).has(step.path)) &&
  (isRunning(step) || step.status === "paused-by-on-execute" || step.status === "errored-by-on-execute")

// ---- changes ---------------------------------------------------------------------------------------------------

interface Started {
  readonly path: string
  readonly name: string
  readonly at: number
}

/** Knowledge about a step when it starts. */
interface Known {
  readonly deadline?: number | undefined
  readonly request?: Sent
  readonly choice?: number | null
  readonly signal?: string | undefined
  readonly failure?: SagaFailure
}

export const start = (
  self: SagaState,
  event: Started,
  kind: StepKind,
  status: SagaStepStatus,
  known: Known,
  inner: (outer: Frame) => ReadonlyArray<Frame> = () => none
): SagaState => {
  if (!admitsStart(self)) return self
  const root = atFrame(self.root, event.path, (outer) =>
    isNext(outer, event.path)
      ? { ...outer, next: outer.next + 1, current: started(self, event, kind, status, "unknown", known, inner(outer)) }
      : outer
  )
  return withRoot(self, root)
}

const started = (
  self: SagaState,
  event: Started,
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
  relatedServices: self.start === undefined || (kind !== "local" && kind !== "remote") ? none : [self.start.service],
  alreadyRollback: false,
  startedAt: event.at,
  deadline: known.deadline,
  request: known.request,
  reply: undefined,
  effect,
  result: undefined,
  failure: known.failure,
  compensation: undefined,
  parked: undefined,
  choice: known.choice,
  signal: known.signal,
  inner
})

/** Signals that have come before are taken by the next facts. */
export const waitStarted = (self: SagaState, event: Of<"WaitStarted">): SagaState => {
  const { at, deadline, key, path, signal } = event
  const next = start(self, event, "wait", "paused-by-on-execute", { deadline, signal })
  return next === self || signal === undefined
    ? next
    : { ...next, signals: SagaSignals.begin(next.signals, { path, signal, key, startedAt: at }) }
}

export const replied = (self: SagaState, event: Of<"ReplyReceived">): SagaState => {
  const root = atStep(self.root, event.path, (step) =>
    admitsReply(step)
      ? {
          ...step,
          status:
            event.status === 200
              ? "running-on-success"
              : event.status === 400
                ? "running-on-error"
                : "errored-by-on-execute",
          reply: { status: event.status, content: event.content },
          effect: event.effect ?? (event.status === 200 ? "exists" : "none"),
          relatedServices: union(step.relatedServices, event.relatedServices)
        }
      : step
  )
  return enrol(withRoot(self, root), self, event.relatedServices, 0, event.at)
}

export const succeeded = (self: SagaState, event: Of<"StepSucceeded">): SagaState => {
  const root = atFrame(self.root, event.path, (outer) => {
    const step = outer.current
    if (step === undefined || step.path !== event.path || !admitsResult(self, step, event)) return outer
    const finished: StepState = {
      ...step,
      status: "finished",
      result: event.result,
      effect: step.kind === "wait" ? "none" : event.recovered === true ? step.effect : "exists",
      relatedServices:
        event.relatedServices === undefined ? step.relatedServices : union(step.relatedServices, event.relatedServices)
    }
    // A failure in another branch has started the rollback: the result is kept, and this step is compensated first.
    if (self.direction === "backward") return { ...outer, current: finished }
    return { ...outer, current: undefined, done: push(finished, outer.done), context: extended(outer, finished) }
  })
  const moved = withRoot(self, root)
  const isAwaited = moved !== self && self.signals.waits.some(({ path }) => path === event.path)
  const next = isAwaited ? { ...moved, signals: SagaSignals.end(self.signals, event.path, event.signal) } : moved
  return event.relatedServices === undefined ? next : enrol(next, self, event.relatedServices, 0, event.at)
}

/** The context after a step. */
const extended = (outer: Frame, step: StepState): Context.SagaContext => {
  switch (step.kind) {
    case "local":
    case "remote":
      return Context.append(outer.context, step.path, step.name, step.result)
    case "wait":
      return step.signal === undefined
        ? outer.context
        : Context.append(outer.context, step.path, step.name, step.result)
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

export const failed = (self: SagaState, event: Of<"StepFailed">): SagaState => {
  if (!admitsFailure(self)) return self
  const root = atFrame(self.root, event.path, (outer) => {
    const step = outer.current
    if (step?.path === event.path) {
      if (!admitsFailureOf(self, step, event.failure)) return outer
      const current: StepState = { ...step, status: event.status, effect: event.effect, failure: event.failure }
      return event.effect === "none" && current.inner.length === 0
        ? { ...outer, current: undefined, rolledBack: push(current, outer.rolledBack) }
        : { ...outer, current }
    }
    // The step failed before it could start: a request that could not be built, a condition that threw.
    if (self.direction === "backward" || !isNext(outer, event.path)) return outer
    const { at, failure, kind = "local", name = "", path, status } = event
    const unstarted = started(self, { path, name, at }, kind, status, "none", { failure }, none)
    return { ...outer, next: outer.next + 1, rolledBack: push(unstarted, outer.rolledBack) }
  })
  if (root === self.root) return self
  const next = { ...self, root }
  return self.direction === "forward" ? Rollback.start(next, event.failure, event.at) : next
}

const withRoot = (self: SagaState, root: Frame): SagaState => {
  if (root === self.root) return self
  const isPaused = root.current?.status === "paused-by-on-execute"
  const status = self.direction === "backward" ? self.status : isPaused ? "paused" : "running"
  return { ...self, root, status }
}
