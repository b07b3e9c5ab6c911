/**
 * Where one execution stands in this process, and what follows from each thing that happens to it. A pure reducer: the
 * supervisor keeps one slot for each execution and does what the outputs say. An execution without a slot is not this
 * process's, or is over.
 */
import { Cause, Exit } from "effect"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import type { LoopResult } from "./ExecutionLoop.ts"
import * as Inbox from "./Inbox.ts"
import type { RunError } from "./RunError.ts"
import type { TakenUp } from "./Takeover.ts"
import type { Whom } from "./Waiters.ts"

export type { RunError } from "./RunError.ts"

export type Slot =
  /**
   * This process has the execution, and no runner is needed now: a runner has failed and is tried again. Where there are no
   * other instances, also an execution that waits for a reply or a time (`isAsleep`).
   */
  | { readonly _tag: "Waiting"; readonly deaths: number; readonly isAsleep?: true }
  /**
   * `isOver`: the end is stored, and the runner is about to end. `deaths`: runners before this one that have died in a row.
   * `waited`: a start has met an execution that waits here.
   */
  | {
      readonly _tag: "Running"
      readonly inbox: Inbox.Inbox
      readonly isOver: boolean
      readonly deaths: number
      readonly waited: boolean
    }
  /** Another instance has taken the execution, and the runner is being interrupted. `isBack`: it was taken back since. */
  | { readonly _tag: "Leaving"; readonly inbox: Inbox.Inbox; readonly isOver: boolean; readonly isBack: boolean }

export type SlotEvent =
  /** A caller starts a new execution. Its runner is launched by the supervisor, which wants the result at once. */
  | { readonly _tag: "Start"; readonly inbox: Inbox.Inbox }
  | { readonly _tag: "Input"; readonly input: Inbox.PendingInput }
  /** The time has come to look at the execution; `since`: when it was looked at last. */
  | { readonly _tag: "Due"; readonly since: number }
  /** Recovery has claimed the execution for this instance. */
  | {
      readonly _tag: "Claimed"
      /** Undefined: what the claim has read may be old, so the execution is loaded again. */
      readonly takenUp: TakenUp | undefined
      readonly since: number
      /** Those that wait in the stored inbox. */
      readonly inputs: ReadonlyArray<Inbox.PendingInput>
    }
  | { readonly _tag: "Lost" }
  /** The execution is another instance's from now on, which waits until the runner has ended: its step may end. */
  | { readonly _tag: "Left" }
  /** The end of the execution is stored. */
  | { readonly _tag: "Over" }
  | { readonly _tag: "Ended"; readonly exit: Exit.Exit<LoopResult, RunError> }

export type Output =
  /** Launch a runner. `from` undefined: load the execution first. */
  /** `hasDied`: the runner before this one. */
  | {
      readonly _tag: "Run"
      readonly inbox: Inbox.Inbox
      readonly from: TakenUp | undefined
      readonly since: number
      readonly hasDied: boolean
    }
  | { readonly _tag: "Offer"; readonly inbox: Inbox.Inbox; readonly input: Inbox.PendingInput }
  | { readonly _tag: "Interrupt" }
  /** The runner ends at its next boundary. */
  | { readonly _tag: "Stop"; readonly inbox: Inbox.Inbox }
  | { readonly _tag: "Schedule"; readonly at: number; readonly since: number }
  /** Resume the waiters whose wish the execution fulfils. */
  | { readonly _tag: "Tell"; readonly result: LoopResult }
  | { readonly _tag: "Fail"; readonly exit: Exit.Exit<never, RunError>; readonly whom: Whom }
  /** Park the execution as a whole: each of its runners dies, or its write can never work. */
  | { readonly _tag: "SetAside"; readonly cause: Cause.Cause<RunError> }
  /** Hand on the inputs: another instance owns the execution. */
  | { readonly _tag: "HandOn"; readonly inbox: Inbox.Inbox; readonly execution: SagaExecution }
  /** Fail the inputs that nobody judges any more. */
  | { readonly _tag: "Abandon"; readonly inbox: Inbox.Inbox; readonly exit: Exit.Exit<never, RunError> }

export interface Change {
  readonly slot: Slot | undefined
  readonly outputs: ReadonlyArray<Output>
}

export interface Moment {
  readonly now: number
  /** After how many milliseconds an execution is looked at again whose runner has failed. */
  readonly recoveryInterval: number
  /** The repository knows no other instances: an execution that waits is this process's. */
  readonly isAlone: boolean
}

/** Since when an execution counts as looked at that was left half done: everything that is not answered is sent again. */
export const never = Number.NEGATIVE_INFINITY

/** Whether the execution has a runner here. */
export const isActive = (slot: Slot | undefined): slot is Exclude<Slot, { readonly _tag: "Waiting" }> =>
  slot !== undefined && slot._tag !== "Waiting"

/** The slot after an event, and what is to be done for it. The same slot and no outputs: the event changes nothing. */
export const reduce = (slot: Slot | undefined, event: SlotEvent, moment: Moment): Change => {
  switch (event._tag) {
    case "Start":
      return isActive(slot)
        ? unchanged(slot)
        : { slot: running(event.inbox, deathsOf(slot), slot !== undefined), outputs: none }
    case "Input":
      return isActive(slot)
        ? { slot, outputs: [{ _tag: "Offer", inbox: slot.inbox, input: event.input }] }
        : run(undefined, moment.now, [event.input], deathsOf(slot))
    case "Due":
      // The runner of a start may find that the execution exists already: it is looked at after that.
      return isActive(slot)
        ? { slot, outputs: [{ _tag: "Schedule", at: moment.now + moment.recoveryInterval, since: event.since }] }
        : run(undefined, event.since, none, deathsOf(slot))
    case "Claimed":
      if (!isActive(slot)) return run(event.takenUp, event.since, event.inputs, deathsOf(slot))
      return slot._tag === "Leaving" ? { slot: { ...slot, isBack: true }, outputs: none } : unchanged(slot)
    case "Lost":
      return leaving(slot, { _tag: "Interrupt" })
    case "Left":
      return leaving(slot, slot?._tag === "Running" ? { _tag: "Stop", inbox: slot.inbox } : { _tag: "Interrupt" })
    case "Over":
      return isActive(slot) && !slot.isOver ? { slot: { ...slot, isOver: true }, outputs: none } : unchanged(slot)
    case "Ended":
      return isActive(slot) ? ended(slot, event.exit, moment) : unchanged(slot)
  }
}

const none: ReadonlyArray<never> = []

const unchanged = (slot: Slot | undefined): Change => ({ slot, outputs: none })

const leaving = (slot: Slot | undefined, output: Output): Change => {
  if (slot?._tag === "Waiting") return { slot: undefined, outputs: none }
  return slot?._tag === "Running"
    ? { slot: { _tag: "Leaving", inbox: slot.inbox, isOver: slot.isOver, isBack: false }, outputs: [output] }
    : unchanged(slot)
}

const running = (inbox: Inbox.Inbox, deaths: number, waited: boolean): Slot => ({
  _tag: "Running",
  inbox,
  isOver: false,
  deaths,
  waited
})

const deathsOf = (slot: Slot | undefined): number => (slot === undefined || slot._tag === "Leaving" ? 0 : slot.deaths)

const run = (
  from: TakenUp | undefined,
  since: number,
  inputs: ReadonlyArray<Inbox.PendingInput>,
  deaths = 0
): Change => {
  const inbox = Inbox.make(inputs)
  inbox.revision = from?.execution.revision ?? 0
  return { slot: running(inbox, deaths, false), outputs: [{ _tag: "Run", inbox, from, since, hasDied: deaths > 0 }] }
}

const ended = (
  slot: Exclude<Slot, { readonly _tag: "Waiting" }>,
  exit: Exit.Exit<LoopResult, RunError>,
  moment: Moment
): Change => {
  if (slot._tag === "Leaving" && (slot.isBack || Exit.isFailure(exit))) return handOver(slot.inbox, slot.isBack)
  if (Exit.isFailure(exit)) return failed(slot, exit.cause, moment)
  const { inbox } = slot
  const { elsewhere, execution, wakeAt } = exit.value
  const tell: Output = { _tag: "Tell", result: exit.value }
  if (elsewhere !== undefined) return { slot: undefined, outputs: [{ _tag: "HandOn", inbox, execution }, tell] }
  if (inbox.inputs.length > 0) return run({ ...exit.value, isHeld: false }, moment.now, inbox.inputs)
  const isAsleep = wakeAt === Number.POSITIVE_INFINITY
  // An execution that is over may still have to tell others of it.
  const isOver = (execution.status === "finished" || execution.status === "errored") && isAsleep
  return {
    slot: isOver || !moment.isAlone ? undefined : waiting,
    outputs: isAsleep ? [tell] : [{ _tag: "Schedule", at: wakeAt, since: moment.now }, tell]
  }
}

const waiting: Slot = { _tag: "Waiting", deaths: 0, isAsleep: true }

/**
 * Inputs that came meanwhile are judged again, on what the other instance has made of the execution. It finds those of the stored inbox
 * by itself. If no other has it, what is not answered is sent again: the runner that has ended may have been without a lease.
 */
const handOver = (inbox: Inbox.Inbox, isBack: boolean): Change => {
  const inputs = Inbox.waiting(inbox).filter(({ stored }) => isBack || stored === undefined)
  return !isBack && inputs.length === 0 ? { slot: undefined, outputs: none } : run(undefined, never, inputs)
}

const failed = (
  slot: Exclude<Slot, { readonly _tag: "Waiting" }>,
  cause: Cause.Cause<RunError>,
  { now, recoveryInterval }: Moment
): Change => {
  const { inbox } = slot
  const exit = Exit.failCause(cause)
  if (isConflict(cause)) {
    // The execution exists already. Inputs that came are for that one, and so are waiters that did not start this one.
    const fail: Output = { _tag: "Fail", exit, whom: "starters" }
    if (inbox.inputs.length > 0) {
      const next = run(undefined, now, inbox.inputs)
      return { slot: next.slot, outputs: [...next.outputs, fail] }
    }
    return { slot: slot._tag === "Running" && slot.waited ? waiting : undefined, outputs: [fail] }
  }
  const told: ReadonlyArray<Output> = [
    { _tag: "Fail", exit, whom: isUnknown(cause) ? "callers" : "everybody" },
    { _tag: "Abandon", inbox, exit }
  ]
  const setAside: Output = { _tag: "SetAside", cause }
  if (isFinal(cause)) return { slot: undefined, outputs: isRefused(cause) ? [setAside, ...told] : told }
  const deaths = Cause.hasDies(cause) ? deathsOf(slot) + 1 : 0
  // A bug that is met again and again: trying for ever would fill the log and help nobody (F13).
  if (deaths === maxDeaths) return { slot: undefined, outputs: [setAside, ...told] }
  // The store was away for longer than a runner tries, or there may be a bug. The execution stays this process's.
  const again: Output = { _tag: "Schedule", at: now + recoveryInterval, since: never }
  return { slot: { _tag: "Waiting", deaths }, outputs: [again, ...told] }
}

/** Runners of one execution that may die in a row, as often as a message whose handling dies is tried (SPEC C8). */
const maxDeaths = 5

/**
 * Taking the execution up again here is of no use: it is gone, another program's, cannot be read by this one, or its write
 * can never work.
 */
const isFinal = (cause: Cause.Cause<RunError>): boolean =>
  cause.reasons.some(
    (reason) =>
      reason._tag === "Fail" &&
      (reason.error._tag !== "SagaExecutionRepositoryError" || reason.error.reason !== "unavailable")
  )

/** This process cannot run the execution, but another one can: inputs that were stored for it are judged there. */
const isUnknown = (cause: Cause.Cause<RunError>): boolean =>
  cause.reasons.some(
    (reason) =>
      reason._tag === "Fail" &&
      (reason.error._tag === "SagaDefinitionDrift" || reason.error._tag === "SagaExecutionUnreadable")
  )

/** The store refuses a write of the execution for good: without a mark it would be in no list (F13). */
const isRefused = (cause: Cause.Cause<RunError>): boolean =>
  cause.reasons.some(
    (reason) =>
      reason._tag === "Fail" &&
      reason.error._tag === "SagaExecutionRepositoryError" &&
      reason.error.reason === "rejected"
  )

const isConflict = (cause: Cause.Cause<RunError>): boolean =>
  cause.reasons.some((reason) => reason._tag === "Fail" && reason.error._tag === "SagaExecutionConflict")
