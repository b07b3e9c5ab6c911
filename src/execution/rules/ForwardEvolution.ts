/** How facts about the execution of steps change the state: a step starts, is answered, succeeds or fails. */
import { attemptOf } from "../../wire/Envelope.ts"
import { enrol } from "./EnrolmentEvolution.ts"
import * as Rollback from "./RollbackEvolution.ts"
import * as Context from "./SagaContext.ts"
import type { EffectKnowledge, Of } from "./SagaEvent.ts"
import type { SagaFailure } from "./SagaFailure.ts"
import * as SagaSignals from "./SagaSignals.ts"
import { isOpen, type SagaState, withRoot } from "./SagaState.ts"
import type { SagaStepStatus } from "./SagaStatus.ts"
import * as Items from "./StepItems.ts"
import {
  atFrame,
  atStep,
  copyOf,
  type Frame,
  framesIn,
  isRunning,
  isUnanswered,
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
  self.direction === "forward" && isOpen(self) && (self.commitState === "none" || self.passed)

/** A step starts when the one before it is done. */
const isNext = (outer: Frame, path: string): boolean =>
  outer.current === undefined && path === outer.prefix + outer.next

/** Behind the pivot a step that could not begin, or was refused, begins once more; each message follows on the one before. */
const isBegunAgain = ({ current }: Frame, path: string, { request }: Known): boolean =>
  current?.path === path &&
  current.status === "created" &&
  (request === undefined ||
    current.request === undefined ||
    attemptOf(request.message.id) === attemptOf(current.request.message.id) + 1)

/** Where a person has given the result, an answer only tells whether that counts: `ProbeAnswered`. */
const admitsReply = (step: StepState, { attempt = 1 }: Of<"ReplyReceived" | "RequestAccepted">): boolean =>
  step.status === "paused-by-on-execute" &&
  isUnanswered(step) &&
  step.resolution === undefined &&
  attemptOf(step.request!.message.id) === attempt

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
  isOpen(self) && (self.direction === "backward" || self.commitState === "none" || self.passed)

const admitsFailureOf = (self: SagaState, step: StepState, failure: SagaFailure): boolean =>
  step.failure === undefined &&
  step.tries?.failedAt === undefined &&
  !(failure._tag === "StepTimedOut" && SagaSignals.taken(self.signals).has(step.path)) &&
  (isRunning(step) || ["created", "paused-by-on-execute", "errored-by-on-execute"].includes(step.status))

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
  readonly child?: Of<"StartRequested">
  readonly failure?: SagaFailure
  /** The frames inside. */
  readonly inner?: ReadonlyArray<Frame>
  readonly items?: StepState["items"]
}

export const start = (
  self: SagaState,
  event: Started,
  kind: StepKind,
  status: SagaStepStatus,
  known: Known,
  inside?: (outer: Frame) => Pick<Known, "inner" | "items">
): SagaState => {
  if (!admitsStart(self)) return self
  const root = atFrame(self.root, event.path, (outer) => {
    const isAgain = isBegunAgain(outer, event.path, known)
    if (!isAgain && !isNext(outer, event.path)) return outer
    const begun = started(self, event, kind, status, "unknown", known, inside?.(outer) ?? known)
    return isAgain ? { ...outer, current: { ...begun, tries: outer.current!.tries } } : begin(outer, begun)
  })
  return withRoot(self, root)
}

/** Put together field by field, as below in `finish`: the usual step does both, and a spread takes longer. */
const begin = ({ context, done, length, next, prefix, rolledBack }: Frame, current: StepState): Frame => ({
  prefix,
  next: next + 1,
  length,
  context,
  done,
  current,
  rolledBack
})

const started = (
  self: SagaState,
  event: Started,
  kind: StepKind,
  status: SagaStepStatus,
  effect: EffectKnowledge,
  known: Known,
  { inner = none, items }: Pick<Known, "inner" | "items">
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
  tries: undefined,
  resolution: undefined,
  choice: known.choice,
  child: known.child,
  signal: known.signal,
  inner,
  items
})

export const forEachStarted = (self: SagaState, event: Of<"ForEachStarted">): SagaState => {
  const { as, concurrency, items: values, path, steps } = event
  const list = { as, concurrency: Math.max(1, concurrency), path, steps, values }
  const next = start(self, event, "forEach", "running-on-execute", {}, ({ context }) => ({
    items: Items.begin(list, context)
  }))
  return next === self ? self : { ...next, items: next.items + values.length }
}

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
    admitsReply(step, event)
      ? {
          ...answered(step, event),
          effect: event.effect ?? (event.status === 200 ? "exists" : "none"),
          relatedServices: union(step.relatedServices, event.relatedServices)
        }
      : step
  )
  // A copy of it that another instance has stored counts once: what is parked since then stays parked.
  if (root === self.root) return self
  return enrol(unparked(withRoot(self, root), event.path), self, event.relatedServices, 0, event.at)
}

/** The service has begun: its first word counts. A step behind the pivot waits for its answer and for no next try. */
export const accepted = (self: SagaState, event: Of<"RequestAccepted">): SagaState => {
  if (self.direction === "backward") return self
  const { at, deadline, path } = event
  const root = atStep(self.root, path, (step) =>
    admitsReply(step, event) && step.request!.accepted === undefined
      ? { ...step, ...untroubled(step), deadline, request: { ...step.request!, accepted: at } }
      : step
  )
  return root === self.root ? self : unparked(withRoot(self, root), path)
}

const untroubled = ({ tries }: StepState) => ({ parked: undefined, tries: tries && { ...tries, failedAt: undefined } })

/** The callback that follows an answer. The step waits for nothing else any more: no next try, no person, no probe. */
export const answered = (
  step: StepState,
  { byHand, content, status }: Pick<Of<"ReplyReceived">, "status" | "content" | "byHand">
): StepState => ({
  ...step,
  status: status === 200 ? "running-on-success" : status === 400 ? "running-on-error" : "errored-by-on-execute",
  reply: { status, content, byHand },
  compensation: undefined,
  ...untroubled(step)
})

/** A step that goes on is not parked any more. */
export const unparked = (self: SagaState, path: string): SagaState =>
  self.parked.includes(path) ? { ...self, parked: self.parked.filter((other) => other !== path) } : self

export const succeeded = (self: SagaState, event: Of<"StepSucceeded">): SagaState => {
  const root = atFrame(self.root, event.path, (outer) => {
    const step = outer.current
    if (step === undefined || step.path !== event.path || !admitsResult(self, step, event)) return outer
    const finished = copyOf(step)
    finished.status = "finished"
    finished.result = event.result
    if (step.kind === "wait" || event.existing === true) finished.effect = "none"
    else if (event.recovered !== true) finished.effect = "exists"
    if (event.relatedServices !== undefined)
      finished.relatedServices = union(step.relatedServices, event.relatedServices)
    // A failure in another branch has started the rollback: the result is kept, and this step is compensated first.
    return self.direction === "backward" ? { ...outer, current: finished } : finish(outer, finished)
  })
  const moved = withRoot(self, root)
  const isAwaited = moved !== self && self.signals.waits.some(({ path }) => path === event.path)
  const next = isAwaited ? { ...moved, signals: SagaSignals.end(self.signals, event.path, event.signal) } : moved
  return event.relatedServices === undefined ? next : enrol(next, self, event.relatedServices, 0, event.at)
}

/** The step is done, and its failures are no longer of interest: only `history` keeps them. */
export const finish = (outer: Frame, step: StepState): Frame => ({
  prefix: outer.prefix,
  next: outer.next,
  length: outer.length,
  context: extended(outer, step),
  done: push(step.tries === undefined ? step : { ...step, tries: undefined }, outer.done),
  current: undefined,
  rolledBack: outer.rolledBack
})

/** The context after a step. */
const extended = (outer: Frame, step: StepState): Context.SagaContext => {
  switch (step.kind) {
    case "local":
    case "remote":
    case "start":
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
    case "forEach": {
      const items = step.items!
      const each = Items.all(items).map(({ context }) => context)
      return Context.appendEach(outer.context, step.path, step.name, each, items.size)
    }
  }
}

export const failed = (self: SagaState, event: Of<"StepFailed">): SagaState => {
  if (!admitsFailure(self)) return self
  const root = atFrame(self.root, event.path, (outer) => {
    const step = outer.current
    if (step?.path === event.path) {
      if (!admitsFailureOf(self, step, event.failure)) return outer
      if (self.passed) return { ...outer, current: failedTry(step, event) }
      const current: StepState = { ...step, status: event.status, effect: event.effect, failure: event.failure }
      return event.effect === "none" && framesIn(current).length === 0
        ? { ...outer, current: undefined, rolledBack: push(current, outer.rolledBack) }
        : { ...outer, current }
    }
    // The step failed before it could start: a request that could not be built, a condition that threw.
    if (self.direction === "backward" || !isNext(outer, event.path)) return outer
    const { at, failure, kind = "local", name = "", path, status } = event
    const unstarted = started(self, { path, name, at }, kind, status, "none", { failure }, {})
    const moved = { ...outer, next: outer.next + 1 }
    return self.passed
      ? { ...moved, current: failedTry(unstarted, event) }
      : { ...moved, rolledBack: push(unstarted, outer.rolledBack) }
  })
  if (root === self.root || self.passed) return withRoot(self, root)
  const next = { ...self, root }
  return self.direction === "forward" ? Rollback.start(next, event.failure, event.at) : next
}

/** A try has failed behind the pivot: the step waits for the next one (SPEC C18). */
const failedTry = (step: StepState, { at, effect, failure }: Of<"StepFailed">): StepState => ({
  ...step,
  status: "paused-by-on-execute",
  effect: effect === "exists" ? effect : step.effect,
  failure: undefined,
  tries: { failures: (step.tries?.failures ?? 0) + 1, failure, failedAt: at }
})
