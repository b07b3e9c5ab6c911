/**
 * A turn of the loop as data: store facts, perform one piece of work in place, start work and wait for it, or
 * end. Pure: told as stories in tests, without a layer.
 */

import { type Instruction, needsIntent } from "../execution/rules/Instruction.ts"
import type { ScheduleConfig } from "../execution/rules/RetrySchedule.ts"
import * as Decision from "../execution/rules/SagaDecision.ts"
import type { SagaEvent } from "../execution/rules/SagaEvent.ts"
import type { SagaState } from "../execution/rules/SagaState.ts"
import { type Frame, stepAt } from "../execution/rules/StepTree.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import { SagaExecution } from "../execution/view/SagaExecution.ts"
import type { Hint } from "../ports/SagaExecutionRepository.ts"
import type { Membership } from "../ports/SagaOwnership.ts"
import * as Inbox from "./Inbox.ts"
import * as LaterAttributes from "./LaterAttributes.ts"
import { type Progress, unnamed, type Work } from "./Progress.ts"

/** Facts and intents are stored before anything that they announce happens (SPEC W1, W7). */
export interface Store {
  readonly _tag: "Store"
  /** The facts want a place again that the execution has left. */
  readonly wantsPlace: boolean
  readonly hint: Hint
  readonly then: Act
}

export type Act =
  /** One piece of work, and nobody waits for this execution meanwhile: on the fiber of the loop itself. */
  | { readonly _tag: "Perform"; readonly work: readonly [Instruction] }
  /** Work on fibers of its own. The loop goes on with the first that ends, with an input, or at `wakeAt`. */
  | { readonly _tag: "Await"; readonly work: Work; readonly wakeAt: number }
  /** Nothing to do before an input comes, or `wakeAt`. */
  | { readonly _tag: "Done"; readonly work: readonly []; readonly wakeAt: number }

export interface Plan {
  readonly execution: SagaExecution
  readonly next: Store | Act
}

/** The work of this execution that is under way. */
export interface UnderWay {
  readonly isBusy: boolean
  /** A transactional step is, which commits together with its record: nothing else begins or is written meanwhile. */
  readonly isJoint: boolean
  /** Whether the decision still wants something that is under way. */
  readonly isAwaited: (decision: Decision.Decision) => boolean
  readonly notUnderWay: (instructions: Work) => Work
}

/** Hints for recovery: this instance works on the execution, or the execution waits and nobody has it. */
export interface Hints {
  readonly atWork: () => Hint
  readonly waiting: (wakeAt: number) => Hint
  /** False for a runner by hand: nobody else knows of its executions. */
  readonly isNamed: boolean
}

/** Hints for recovery: this instance works on an execution, or nobody has it until a time. A runner by hand has no name. */
export const hintsOf = (membership: Pick<Membership, "owner"> | undefined): Hints => {
  const byHand: Hint = { owner: unnamed, wakeAt: Number.POSITIVE_INFINITY }
  if (membership === undefined) return { isNamed: false, atWork: () => byHand, waiting: () => byHand }
  let atWork: Hint = { owner: membership.owner }
  return {
    isNamed: true,
    atWork: () => {
      const { owner } = membership
      if (atWork.owner !== owner) atWork = { owner }
      return atWork
    },
    waiting: (wakeAt) => ({ wakeAt, closes: true })
  }
}

/** The next turn, from what is known at `now`. `inFlight` undefined: nothing was started yet. */
export const plan = (
  self: Progress,
  inFlight: UnderWay | undefined,
  now: number,
  schedule: ScheduleConfig,
  hints: Hints
): Plan => {
  if (self.inbox.stop !== undefined || self.unreadable !== undefined) return stopping(self, inFlight, hints)
  const { attemptSince, definition, isUnheard, presentSince, refusal, since } = self
  const { state: before } = self.execution
  const trace = self.trace?.context(before)
  const moment = { definition, now, since, presentSince, attemptSince, schedule, isUnheard, refusal, trace }
  const { decision, state } = Decision.advance(before, moment)
  const execution = state === before ? self.execution : new SagaExecution(state, definition)
  const isJoint = inFlight?.isJoint === true
  const work = isJoint ? none : (inFlight?.notUnderWay(decision.instructions) ?? decision.instructions)
  // The decision of a pivot and its next step leave with one write (SPEC C18).
  const next = decision.asking === "Commit" ? work.find(isBuilt) : undefined
  if (next !== undefined && work.length > 1) return { execution, next: { _tag: "Perform", work: [next] } }
  const isAwaited = inFlight?.isAwaited(decision) === true
  const act = actOf(work, isAwaited, decision.wakeAt)
  const needsNoWrite = work.length > 0 && !work.some(needsIntent) && !holdsBack(self, execution, work)
  if (isJoint || needsNoWrite || isStored(self, execution)) return { execution, next: act }
  const wakeAt = work.length === 0 && !isAwaited ? decision.wakeAt : undefined
  const closes = closesInbox(before, state)
  const wantsPlace = before.place?.status === "left" && state.place?.status === "wanted"
  return toStore(execution, hintOf(self, wakeAt, closes, hints), act, wantsPlace)
}

const toStore = (execution: SagaExecution, hint: Hint, then: Act, wantsPlace = false): Plan => ({
  execution: LaterAttributes.added(execution),
  next: { _tag: "Store", wantsPlace, hint, then }
})

/**
 * Whether what was decided may not stand over an input that was not read (SPEC C16): a wait begins, a deadline is applied, or the
 * execution ends. Without an input or a result only a deadline turns an execution back, or parks a step.
 */
const closesInbox = (before: SagaState, after: SagaState): boolean =>
  after.direction !== before.direction || after.parked !== before.parked || gainsClosing(after)

/** Whether a wait begins, ends by time, or the execution ends, by a fact that is not stored yet. */
export const gainsClosing = ({ history, root, unstored }: SagaState): boolean => {
  let node: typeof history | undefined = history
  for (let left = unstored; left > 0 && node !== undefined; left--, node = node.tail)
    if (isClosing(node.head, root)) return true
  return false
}

const isClosing = (fact: SagaEvent, root: Frame): boolean => {
  switch (fact._tag) {
    case "WaitStarted":
    case "ExecutionFinished":
    case "ExecutionErrored":
      return true
    case "StepSucceeded":
      return fact.timedOut === true
    case "StepFailed":
      return fact.failure._tag === "StepTimedOut" || stepAt(root, fact.path)?.step.kind === "wait"
    default:
      return false
  }
}

/** Nothing is to be written: no fact was gained, and no input is to be taken out of the stored inbox. */
const isStored = ({ inbox }: Progress, { state }: SagaExecution): boolean =>
  state.unstored === 0 && Inbox.reads(inbox).length === 0

const none: readonly [] = []

/** Makes facts at once, and does nothing that can be seen outside. */
const isBuilt = ({ _tag }: Instruction): boolean =>
  _tag === "BuildRequest" ||
  _tag === "Choose" ||
  _tag === "MapContext" ||
  _tag === "MapItems" ||
  _tag === "BuildStart" ||
  _tag === "BuildWait"

/**
 * The process stops, or it cannot read what has come: work that is under way may end and its facts are stored, and nothing begins. The intent of a next step
 * is not stored either: a step found as running would count as half done (SPEC C7).
 */
const stopping = (self: Progress, inFlight: UnderWay | undefined, hints: Hints): Plan => {
  const { execution } = self
  const wakeAt = Number.POSITIVE_INFINITY
  const act: Act =
    inFlight?.isBusy === true && self.inbox.stop !== "over"
      ? { _tag: "Await", work: none, wakeAt }
      : { _tag: "Done", work: none, wakeAt }
  if (inFlight?.isJoint === true || isStored(self, execution)) return { execution, next: act }
  return toStore(execution, hintOf(self, undefined, false, hints), act)
}

const actOf = (work: Work, isAwaited: boolean, wakeAt: number): Act => {
  const [only] = work
  if (isAwaited) return { _tag: "Await", work, wakeAt }
  if (only === undefined) return { _tag: "Done", work: none, wakeAt }
  return work.length === 1 && isDoneInPlace(only, wakeAt)
    ? { _tag: "Perform", work: [only] }
    : { _tag: "Await", work, wakeAt }
}

/** `wakeAt` undefined: this instance goes on at once. `closes`: see `Hint`. */
export const hintOf = (self: Progress, wakeAt: number | undefined, closes: boolean, hints: Hints): Hint => {
  const hint = wakeAt === undefined ? hints.atWork() : hints.waiting(wakeAt)
  if (!hints.isNamed) return hint
  const { inbox, execution, isHeld } = self
  const takes = !isHeld && execution.revision > 0
  const reads = Inbox.reads(inbox)
  return takes || reads.length > 0 || (closes && hint.closes !== true)
    ? { ...hint, ...(takes && { takes }), ...(reads.length > 0 && { reads }), ...(closes && { closes }) }
    : hint
}

/** A callback may take long, and the message of another branch would leave only after it. */
const holdsBack = ({ announces }: Progress, execution: SagaExecution, work: Work): boolean =>
  announces && work.some(({ _tag }) => _tag === "HandleReply") && Execution.unstoredMessages(execution) !== undefined

/**
 * A callback is performed in place only where no reply, deadline or retry is awaited meanwhile. A phase of the two-phase
 * commit never is: it takes as long as its participants, and the execution may be cancelled before.
 */
const isDoneInPlace = (instruction: Instruction, wakeAt: number): boolean => {
  switch (instruction._tag) {
    case "Reserve":
    case "Commit":
    case "Reject":
      return false
    case "RunStep":
    case "Compensate":
      return (
        wakeAt === Number.POSITIVE_INFINITY && !("transactional" in instruction.step && instruction.step.transactional)
      )
    case "HandleReply":
      return wakeAt === Number.POSITIVE_INFINITY
    default:
      return true
  }
}
