/**
 * How the pivot and the facts behind it change the state (SPEC C18): a step whose try has failed is tried again, then parked for a
 * person, and stays awaited meanwhile. The failures themselves stand in `ForwardEvolution`.
 */
import { answered, finish, unparked } from "./ForwardEvolution.ts"
import type { Of } from "./SagaEvent.ts"
import { isDeclared } from "./SagaFailure.ts"
import * as SagaSignals from "./SagaSignals.ts"
import { isComplete, isOpen, type SagaState, withRoot } from "./SagaState.ts"
import { atFrame, atStep, isUnanswered, type StepState, union, untried } from "./StepTree.ts"
import * as TwoPhaseCommit from "./TwoPhaseCommit.ts"

// ---- what is admitted ------------------------------------------------------------------------------------------

/** Once, between two steps of the saga itself, and only when everybody who takes part has voted for it. */
const admitsPivot = (self: SagaState, path: string): boolean =>
  isComplete(self) &&
  isOpen(self) &&
  !self.passed &&
  path === self.root.prefix + self.root.next &&
  (self.commitState === "reserving"
    ? TwoPhaseCommit.isReached(self.phase)
    : self.commitState === "none" && self.enrolled.length === 0)

const hasFailed = ({ tries }: StepState): boolean => tries?.failedAt !== undefined

const isAsked = ({ compensation }: StepState): boolean => compensation?.sent !== undefined

// ---- changes ---------------------------------------------------------------------------------------------------

export const passed = (self: SagaState, { at, path }: Of<"PivotPassed">): SagaState => {
  if (!admitsPivot(self, path)) return self
  const next: SagaState = {
    ...self,
    passed: true,
    decision: "commit",
    root: { ...self.root, next: self.root.next + 1 }
  }
  return self.enrolled.length === 0
    ? next
    : { ...next, commitState: "committing", phase: TwoPhaseCommit.begin("commit", self.enrolled, at) }
}

export const tryStarted = (self: SagaState, { at, deadline, path }: Of<"TryStarted">): SagaState =>
  unparked(
    behind(self, path, (step) =>
      hasFailed(step)
        ? {
            ...step,
            ...again(step, at),
            // The time of a wait is that from here to its deadline: the next try has as much.
            ...(deadline !== undefined && { deadline, startedAt: at }),
            parked: undefined,
            tries: { ...step.tries!, failedAt: undefined }
          }
        : step
    ),
    path
  )

/** Where the next try begins. `created`: from the start, with a new message where there was one. */
const again = (step: StepState, at: number): Partial<StepState> => {
  const { deadline, kind, reply, request, signal, tries } = step
  if (kind === "local") return { status: "running-on-execute" }
  // The service may have done the request, so the same message is sent again, and its resends begin anew.
  if (isUnanswered(step)) return { request: { ...request!, at, accepted: undefined }, reply: undefined }
  if (reply?.status === 200) return { status: "running-on-success" }
  if (reply?.status === 400 && !isDeclared(tries!.failure)) return { status: "running-on-error" }
  const isWaiting = kind === "wait" && (signal !== undefined || deadline !== undefined)
  return isWaiting ? {} : { status: "created" }
}

export const parked = (self: SagaState, { at, path, reason }: Of<"StepParked">): SagaState => {
  const next = behind(self, path, (step) =>
    hasFailed(step) && step.parked === undefined
      ? { ...step, parked: { reason, at }, compensation: undefined, resolution: undefined }
      : step
  )
  return next === self ? self : { ...next, parked: union(self.parked, [path]) }
}

/** A person asks for the next try: failures are counted anew. */
export const retried = (self: SagaState, { path }: Of<"StepUnparked">): SagaState =>
  unparked(
    behind(self, path, (step) =>
      step.parked === undefined ? step : { ...step, parked: undefined, tries: { ...step.tries!, failures: 0 } }
    ),
    path
  )

/** A person gives the result. Where the service may have done it, the service is asked first. */
export const resolved = (self: SagaState, { asks, path, result }: Of<"StepResolved">): SagaState => {
  if (!self.parked.includes(path)) return self
  if (asks !== true) return finished(self, path, result)
  return unparked(
    behind(self, path, (step) => ({ ...step, parked: undefined, resolution: { result } })),
    path
  )
}

export const probeSent = (self: SagaState, { at, command, message, path }: Of<"ProbeSent">): SagaState =>
  behind(self, path, (step) =>
    step.resolution !== undefined && !isAsked(step)
      ? { ...step, compensation: { ...untried, sent: { command, message, at } } }
      : step
  )

/** The recorded result of the service counts; without one, the result that the person gave. */
export const probeAnswered = (self: SagaState, event: Of<"ProbeAnswered">): SagaState => {
  const { path, status } = event
  let given: StepState["resolution"]
  const next = behind(self, path, (step) => {
    if (step.resolution === undefined || status === 500) return step
    if (status === 200) return { ...answered(step, event), effect: "exists", resolution: undefined }
    given = step.resolution
    return { ...step }
  })
  return given === undefined ? next : finished(next, path, given.result)
}

/** The step is done with a result that no try has given, so nothing of it is there to be undone. */
const finished = (self: SagaState, path: string, result: StepState["result"]): SagaState => {
  const root = atFrame(self.root, path, (outer) => {
    const { effect, ...step } = outer.current! // a parked step is the one that its frame is at
    return finish(outer, {
      ...step,
      status: "finished",
      result,
      effect: effect === "unknown" ? "none" : effect,
      compensation: undefined,
      parked: undefined,
      resolution: undefined
    })
  })
  const next = withRoot(self, root)
  return unparked({ ...next, signals: SagaSignals.end(self.signals, path, undefined) }, path)
}

const behind = (self: SagaState, path: string, change: (step: StepState) => StepState): SagaState =>
  self.passed && isOpen(self) ? withRoot(self, atStep(self.root, path, change)) : self
