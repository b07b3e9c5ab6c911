/**
 * What is true of an execution, as a fold over its events. `evolve` is pure and total: an event that the state does not
 * admit (a late reply, a second result) leaves it as it is, and that is also how a caller asks.
 *
 * The state is a tree of frames. A frame is one sequence of steps under way: the saga's own, that of a chosen
 * alternative, of a nested saga, of a parallel branch. Steps done are a stack, so going forward pushes, undoing pops,
 * and neither copies. No definition is needed: executions of unknown or changed sagas can be folded and shown.
 */
import type { Envelope, ReplyStatus } from "./Envelope.ts"
import type { Json } from "./Json.ts"
import * as Agreement from "./SagaAgreement.ts"
import * as Context from "./SagaContext.ts"
import type { EffectKnowledge, Of, SagaEvent } from "./SagaEvent.ts"
import type { SagaFailure } from "./SagaFailure.ts"
import type { CommitState, Decision, SagaStatus, SagaStepStatus } from "./SagaStatus.ts"

export type StepKind = "local" | "remote" | "conditional" | "nested" | "parallel"

/** An immutable stack; `head` is the latest. */
export interface Stack<A> {
  readonly head: A
  readonly tail: Stack<A> | undefined
}

export const push = <A>(head: A, tail: Stack<A> | undefined): Stack<A> => ({ head, tail })

/** Latest first. */
export const toArray = <A>(stack: Stack<A> | undefined): Array<A> => {
  const items: Array<A> = []
  for (let node = stack; node !== undefined; node = node.tail) items.push(node.head)
  return items
}

/** A message that waits for its answer. Its k-th resend is due at `at` + backoff (SPEC C8). */
export interface Sent {
  readonly command: string | undefined
  readonly message: Envelope
  readonly at: number
}

/** How far the undoing of a step is. */
export interface Undo {
  /** The probe or compensation that is awaited; absent while a local compensation runs or waits for `retryAt`. */
  readonly sent: Sent | undefined
  readonly failedAttempts: number
  readonly retryAt: number | undefined
  readonly failure: SagaFailure | undefined
}

export interface StepState {
  readonly path: string
  readonly name: string
  readonly kind: StepKind
  readonly status: SagaStepStatus
  /** The status to go back to when the compensation is over. */
  readonly statusBefore: SagaStepStatus | undefined
  readonly relatedServices: ReadonlyArray<string>
  readonly alreadyRollback: boolean
  readonly startedAt: number
  readonly deadline: number | undefined
  readonly request: Sent | undefined
  readonly reply: { readonly status: number; readonly content: Json | undefined } | undefined
  readonly effect: EffectKnowledge
  readonly result: Json | undefined
  readonly failure: SagaFailure | undefined
  readonly undo: Undo | undefined
  readonly parked: { readonly reason: string; readonly at: number } | undefined
  readonly choice: number | null | undefined
  readonly inner: ReadonlyArray<Frame>
}

export interface Frame {
  /** Path before the index of its steps: "", "2/if1/", "3/b0/", "3/n/". */
  readonly prefix: string
  /** Index of the next step to start. */
  readonly next: number
  /** Number of its steps where evolve needs it: in a parallel branch. */
  readonly length: number | undefined
  readonly context: Context.SagaContext
  readonly done: Stack<StepState> | undefined
  readonly current: StepState | undefined
  /** Steps that are undone, parked or had nothing to undo; the one undone last is on top. */
  readonly undone: Stack<StepState> | undefined
}

export interface SagaState {
  readonly uuid: string
  readonly saga: string
  readonly version: string | undefined
  readonly fingerprint: string
  readonly user: string | undefined
  readonly startKey: string | undefined
  readonly service: string | undefined
  readonly headers: Readonly<Record<string, string>> | undefined
  readonly autocommit: boolean
  readonly transactional: boolean
  /** The own service has hooks: its first local step enrols it. */
  readonly takesPart: boolean
  readonly status: SagaStatus
  readonly direction: "forward" | "backward"
  readonly decision: Decision | null
  readonly commitState: CommitState
  readonly root: Frame
  /** The first cause. What fails afterwards stays with its step. */
  readonly failure: SagaFailure | undefined
  readonly enrolled: ReadonlyArray<string>
  /** What those enrolled are asked; undefined: nothing yet. */
  readonly agreement: Agreement.SagaAgreement | undefined
  /** Paths of the steps whose compensation is parked. */
  readonly parked: ReadonlyArray<string>
  /** Paths of parked steps that are being undone again: an operator asked for it, or a late answer allows it. */
  readonly reopened: ReadonlyArray<string>
  readonly alreadyRollback: boolean
  /** The greatest `notAfter` of an execute message: that of everything sent later. */
  readonly notAfter: number
  readonly createdAt: number
  readonly updatedAt: number
  /** Number of writes; the next one is stored under `revision + 1`. */
  readonly revision: number
  readonly history: Stack<SagaEvent> | undefined
  /** How many events on top of `history` are not stored yet. */
  readonly unstored: number
}

const frame = (prefix: string, context: Context.SagaContext, length: number | undefined): Frame => ({
  prefix,
  next: 0,
  length,
  context,
  done: undefined,
  current: undefined,
  undone: undefined
})

export const created = (event: Of<"ExecutionCreated">): SagaState => ({
  uuid: event.uuid,
  saga: event.saga,
  version: event.version,
  fingerprint: event.fingerprint,
  user: event.user,
  startKey: event.startKey,
  service: undefined,
  headers: undefined,
  autocommit: true,
  transactional: false,
  takesPart: false,
  status: "created",
  direction: "forward",
  decision: null,
  commitState: "none",
  root: frame("", Context.initial("", event.context), undefined),
  failure: undefined,
  enrolled: [],
  agreement: undefined,
  parked: [],
  reopened: [],
  alreadyRollback: false,
  notAfter: 0,
  createdAt: event.at,
  updatedAt: event.at,
  revision: 0,
  history: push(event, undefined),
  unstored: 1
})

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

const isOpen = (self: SagaState): boolean => self.status === "running" || self.status === "paused"

/** No step is under way, and none has failed. Whether one is left to start, the definition knows. */
const isComplete = (self: SagaState): boolean =>
  self.direction === "forward" && self.status !== "created" && self.root.current === undefined

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
      return undoing(self, event.path, (step) =>
        isUnanswered(step) && step.undo?.sent === undefined
          ? { ...step, undo: { ...noUndo, sent: { command: event.command, message: event.message, at: event.at } } }
          : step
      )
    case "ProbeAnswered":
      return enrol(
        reopen(
          undoing(self, event.path, (step) => probed(step, event)),
          self,
          event.path
        ),
        self,
        event.relatedServices ?? none,
        0,
        event.at
      )
    case "CompensationStarted":
      return undoing(self, event.path, (step) =>
        canCompensate(step) && step.kind !== "remote" && step.status !== "running-on-failure"
          ? { ...running(step), undo: { ...(step.undo ?? noUndo), sent: undefined, retryAt: undefined } }
          : step
      )
    case "CompensationSent":
      return undoing(self, event.path, (step) =>
        canCompensate(step) && step.kind === "remote" && step.undo?.sent === undefined
          ? {
              ...running(step),
              status: "paused-on-failure",
              undo: {
                ...(step.undo ?? noUndo),
                retryAt: undefined,
                sent: { command: event.command, message: event.message, at: event.at }
              }
            }
          : step
      )
    case "CompensationFailed":
      return undoing(self, event.path, (step) => attemptFailed(step, event))
    case "StepCompensated":
      return settleStep(self, event.path, compensated, false)
    case "StepParked":
      return self.parked.includes(event.path) ? self : settleStep(self, event.path, (step) => parked(step, event), true)
    case "StepUnparked": {
      const stalled = Agreement.serviceAt(self.agreement, event.path)
      if (stalled !== undefined) return agreeing(self, (agreement) => Agreement.again(agreement, stalled, event.at))
      return reopen(
        late(self, event.path, (step) => unparked(step, event.at)),
        self,
        event.path
      )
    }
    case "StepResolved": {
      const stalled = Agreement.serviceAt(self.agreement, event.path)
      if (stalled !== undefined) return agreeing(self, (agreement) => Agreement.answered(agreement, stalled))
      return closed(
        late(self, event.path, (step) => ({ ...compensated(step), undo: undefined })),
        self
      )
    }

    case "ReservationStarted":
      return isComplete(self) && self.commitState === "none"
        ? { ...self, commitState: "reserving", agreement: Agreement.begin("reserve", self.enrolled, event.at) }
        : self
    case "VoteReceived":
      return self.commitState === "reserving"
        ? agreeing(self, (agreement) => Agreement.answered(agreement, event.service))
        : self
    case "CommitDecided":
      return isComplete(self) && self.commitState === "reserving" && Agreement.isReached(self.agreement)
        ? {
            ...self,
            decision: "commit",
            commitState: "committing",
            agreement: Agreement.begin("commit", self.enrolled, event.at)
          }
        : self
    case "RejectRequested":
      return self.direction === "backward" && self.commitState === "none"
        ? { ...self, commitState: "rejecting", agreement: Agreement.begin("reject", self.enrolled, event.at) }
        : self
    case "DecisionAcknowledged":
      return self.commitState === "committing" || self.commitState === "rejecting"
        ? agreeing(self, (agreement) => Agreement.answered(agreement, event.service))
        : self
    case "ServiceStalled":
      return self.commitState === "committing" || self.commitState === "rejecting"
        ? agreeing(self, (agreement) => Agreement.stalled(agreement, event.service, event.reason, event.at))
        : self
    case "ExecutionFinished":
      return self.status === "running" && isComplete(self) ? { ...self, status: "finished" } : self
    case "ExecutionErrored":
      return self.direction === "backward" && self.status !== "errored" && isUndone(self.root)
        ? { ...self, status: "errored", alreadyRollback: self.parked.length === 0 && self.reopened.length === 0 }
        : self
    case "TransactionSettled":
      return (event.state === "committed" &&
        self.status === "finished" &&
        self.direction === "forward" &&
        self.commitState !== "committed" &&
        Agreement.isReached(self.agreement)) ||
        (event.state === "rejected" && self.commitState === "rejecting" && Agreement.isReached(self.agreement))
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

const none: ReadonlyArray<never> = []

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
  undo: undefined,
  parked: undefined,
  choice: known.choice,
  inner
})

const replied = (self: SagaState, event: Of<"ReplyReceived">): SagaState => {
  if (self.direction === "backward") {
    // The answer only tells what there is to undo; the step is never finished by it.
    const known = reopen(
      undoing(self, event.path, (step) => answered(step, event)),
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
        ? { ...outer, current: undefined, undone: push(current, outer.undone) }
        : { ...outer, current }
    }
    // It failed before it could start: a request that could not be built, a condition that threw.
    if (outer.current !== undefined || self.direction !== "forward" || event.path !== outer.prefix + outer.next)
      return outer
    const { at, failure, kind = "local", name = "", path, status } = event
    const step = begun(self, { path, name, at }, kind, status, "none", { failure }, none)
    return { ...outer, next: outer.next + 1, undone: push(step, outer.undone) }
  })
  if (root === self.root) return self
  return self.direction === "forward" ? backward({ ...self, root }, event.failure, event.at) : { ...self, root }
}

// ---- backward --------------------------------------------------------------------------------------------------

const noUndo: Undo = { sent: undefined, failedAttempts: 0, retryAt: undefined, failure: undefined }

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
    agreement: tells && self.enrolled.length > 0 ? Agreement.begin("reject", self.enrolled, at) : undefined
  }
}

const isRunning = (step: StepState): boolean =>
  step.status === "running-on-execute" || step.status === "running-on-success" || step.status === "running-on-error"

/** Its request is out and no reply was seen: it still waits, or its deadline has passed. */
export const isUnanswered = (step: StepState): boolean =>
  step.request !== undefined &&
  step.effect === "unknown" &&
  !step.alreadyRollback &&
  (step.status === "paused-by-on-execute" || step.status === "errored-by-on-execute")

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
  undo: step.undo === undefined ? undefined : { ...step.undo, sent: undefined, retryAt: undefined }
})

const probed = (step: StepState, event: Of<"ProbeAnswered">): StepState =>
  step.undo?.sent?.message.op !== "probe" || event.status === 500 ? step : answered(step, event)

/** What an answer says about the effect of a step that is to be undone. Only the first one counts. */
const answered = (
  step: StepState,
  event: { readonly status: ReplyStatus; readonly content?: Json; readonly relatedServices?: ReadonlyArray<string> }
): StepState =>
  !isUnanswered(step)
    ? step
    : {
        ...step,
        undo: noUndo,
        parked: undefined,
        effect: event.status === 200 ? "exists" : "none",
        relatedServices: union(step.relatedServices, event.relatedServices ?? none),
        ...(event.status !== 404 && { reply: { status: event.status, content: event.content } })
      }

/** An attempt to undo or to ask. What answers it again before the next one is due is the same answer once more. */
const attemptFailed = (step: StepState, event: Of<"CompensationFailed">): StepState => {
  const { kind, parked, status, undo } = step
  if (undo === undefined || parked !== undefined || step.alreadyRollback) return step
  const isUnderWay =
    kind === "local"
      ? status === "running-on-failure"
      : undo.sent !== undefined && (undo.retryAt === undefined ? undo.failedAttempts === 0 : undo.retryAt <= event.at)
  if (!isUnderWay) return step
  return {
    ...step,
    status:
      step.statusBefore === undefined
        ? status
        : event.retryAt === undefined
          ? "errored-on-failure"
          : "paused-on-failure",
    undo: { ...undo, failedAttempts: undo.failedAttempts + 1, failure: event.failure, retryAt: event.retryAt }
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
  undo: {
    ...(step.undo ?? noUndo),
    failedAttempts: 0,
    retryAt: at,
    // The schedule of resends starts anew; the message is the same.
    sent: step.undo?.sent === undefined ? undefined : { ...step.undo.sent, at }
  }
})

/** A parked step that changed is undone again. */
const reopen = (next: SagaState, before: SagaState, path: string): SagaState =>
  next !== before && (before.parked.includes(path) || before.reopened.includes(path))
    ? { ...next, parked: next.parked.filter((other) => other !== path), reopened: union(next.reopened, [path]) }
    : next

/** Changes the step that is to be undone: the current one, else the latest of those done. */
const undoing = (self: SagaState, path: string, change: (step: StepState) => StepState): SagaState => {
  if (self.direction !== "backward") return self
  const root = atFrame(self.root, path, (outer) => {
    const step = outer.current ?? outer.done?.head
    if (step === undefined || step.path !== path) {
      const found = find(outer.undone, path)
      return found?.parked === undefined && found?.undo === undefined ? outer : inUndone(outer, path, change)
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
        undone: push(change(step), outer.undone)
      }
    }
    const found = find(outer.undone, path)
    return found !== undefined && !found.alreadyRollback && (found.parked !== undefined || found.undo !== undefined)
      ? inUndone(outer, path, change)
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
  const root = atFrame(self.root, path, (outer) => inUndone(outer, path, change))
  return root === self.root ? self : { ...self, root, parked: self.parked.filter((other) => other !== path) }
}

/** `alreadyRollback` is true once no step is open any more; a step undone late may be the last one. */
const closed = (next: SagaState, before: SagaState): SagaState =>
  next !== before && next.status === "errored" && next.parked.length === 0 && next.reopened.length === 0
    ? { ...next, alreadyRollback: true }
    : next

const find = (stack: Stack<StepState> | undefined, path: string): StepState | undefined => {
  for (let node = stack; node !== undefined; node = node.tail) if (node.head.path === path) return node.head
  return undefined
}

const inUndone = (outer: Frame, path: string, change: (step: StepState) => StepState): Frame => {
  const found = find(outer.undone, path)
  if (found === undefined) return outer
  const changed = change(found)
  if (changed === found) return outer
  const steps = toArray(outer.undone).map((step) => (step === found ? changed : step))
  return {
    ...outer,
    undone: steps.reduceRight<Stack<StepState> | undefined>((tail, step) => push(step, tail), undefined)
  }
}

/** Nothing is left to undo in this frame. */
export const isUndone = (self: Frame): boolean => self.current === undefined && self.done === undefined

/** What failed while undoing, in the order the steps were undone. */
export const laterFailures = (self: SagaState): ReadonlyArray<SagaFailure> => {
  const found: Array<SagaFailure> = []
  const visit = (frame: Frame): void => {
    for (const step of [...(frame.current === undefined ? [] : [frame.current]), ...toArray(frame.undone)].reverse()) {
      if (step.undo?.failure !== undefined) found.push(step.undo.failure)
      if (step.failure !== undefined && step.failure !== self.failure) found.push(step.failure)
      step.inner.forEach(visit)
    }
  }
  visit(self.root)
  return found
}

/** Nothing is left to do (SPEC C14). */
export const isSettled = (self: SagaState): boolean =>
  self.commitState === "committed" ||
  (self.commitState === "rejected" &&
    self.status === "errored" &&
    self.parked.length === 0 &&
    self.reopened.length === 0)

// ---- the tree --------------------------------------------------------------------------------------------------

/** Changes the frame that holds the step at `path`, and what follows from it for the steps around. */
const atFrame = (root: Frame, path: string, change: (frame: Frame) => Frame): Frame => {
  if (path.indexOf("/", root.prefix.length) < 0) return change(root)
  const outer =
    [root.current, root.done?.head].find((step) => step !== undefined && path.startsWith(`${step.path}/`)) ??
    toArray(root.undone).find((step) => path.startsWith(`${step.path}/`))
  if (outer === undefined) return root
  const inner = outer.inner.map((frame) => (path.startsWith(frame.prefix) ? atFrame(frame, path, change) : frame))
  if (inner.every((frame, i) => frame === outer.inner[i])) return root
  const changed = around(outer, inner)
  if (outer === root.current) return { ...root, current: changed }
  if (outer === root.done?.head) return { ...root, done: push(changed, root.done.tail) }
  return inUndone(root, outer.path, () => changed)
}

/** A composite step mirrors what happens inside it. */
const around = (outer: StepState, inner: ReadonlyArray<Frame>): StepState => {
  const relatedServices = inner.reduce(
    (names, { current }) => union(names, current?.relatedServices ?? none),
    outer.relatedServices
  )
  if (outer.statusBefore !== undefined || outer.status === "finished") return { ...outer, inner, relatedServices }
  const broken = inner.some((frame) => frame.current?.failure !== undefined || frame.undone?.head.failure !== undefined)
  // Undone from outside: it was left as it is.
  const isLeft = inner.some(({ current, undone }) => current?.undo !== undefined || undone !== undefined)
  const status =
    broken || outer.status === "errored-by-on-execute"
      ? "errored-by-on-execute"
      : isLeft
        ? outer.status
        : isPausedInside(inner)
          ? "paused-by-on-execute"
          : "running-on-execute"
  return { ...outer, inner, relatedServices, status }
}

const isPausedInside = (frames: ReadonlyArray<Frame>): boolean => {
  let waits = false
  for (const { current, length, next } of frames) {
    if (current === undefined) {
      if (length === undefined || next < length) return false
    } else if (current.status === "paused-by-on-execute") waits = true
    else return false
  }
  return waits
}

const atStep = (root: Frame, path: string, change: (step: StepState) => StepState): Frame =>
  atFrame(root, path, (outer) => {
    if (outer.current === undefined || outer.current.path !== path) return outer
    const changed = change(outer.current)
    return changed === outer.current ? outer : { ...outer, current: changed }
  })

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
  // Who joins on the way back must be told as well.
  const tells = enrolled !== next.enrolled && (next.commitState === "rejecting" || next.commitState === "rejected")
  return {
    ...next,
    enrolled,
    commitState: tells ? "rejecting" : next.commitState,
    agreement: tells
      ? Agreement.join(next.agreement ?? Agreement.begin("reject", [], at), enrolled, at)
      : next.agreement,
    notAfter: Math.max(next.notAfter, notAfter)
  }
}

const agreeing = (
  self: SagaState,
  change: (agreement: Agreement.SagaAgreement) => Agreement.SagaAgreement
): SagaState => {
  if (self.agreement === undefined) return self
  const agreement = change(self.agreement)
  return agreement === self.agreement ? self : { ...self, agreement }
}

/** The state after its write. */
export const stored = (self: SagaState, revision: number): SagaState => ({
  ...self,
  revision,
  unstored: 0,
  agreement: self.agreement === undefined ? undefined : Agreement.stored(self.agreement)
})

const union = (some: ReadonlyArray<string>, more: ReadonlyArray<string>): ReadonlyArray<string> =>
  more.every((name) => some.includes(name)) ? some : [...new Set([...some, ...more])]
