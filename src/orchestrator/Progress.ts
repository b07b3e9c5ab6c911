/**
 * How far the loop of one execution has come, and what follows from it without doing anything: what work and inputs bring,
 * and what of it still counts when another instance has written first. Pure but for the fields of `Progress`, which the
 * loop owns: a copy for each turn would cost more than the turn.
 */
import { Result } from "effect"
import type { Definition } from "../definition/SagaStep.ts"
import type { Instruction } from "../execution/rules/Instruction.ts"
import type { SagaEvent } from "../execution/rules/SagaEvent.ts"
import { evolve } from "../execution/rules/SagaEvolution.ts"
import { type Arrival, judge, type Policy } from "../execution/rules/SagaInput.ts"
import type { SagaState } from "../execution/rules/SagaState.ts"
import type { Sent } from "../execution/rules/StepTree.ts"
import { stepAt } from "../execution/rules/StepTree.ts"
import * as Readable from "../execution/view/Readable.ts"
import { SagaExecution } from "../execution/view/SagaExecution.ts"
import type { Hint } from "../ports/SagaExecutionRepository.ts"
import type { ExecutionTrace } from "./ExecutionTrace.ts"
import * as Inbox from "./Inbox.ts"
import * as StoredInput from "./StoredInput.ts"
import * as Takeover from "./Takeover.ts"

export interface Progress {
  execution: SagaExecution
  readonly definition: Definition
  /** When the execution was looked at last, in milliseconds since the epoch. */
  since: number
  /** As in `Moment`, like `attemptSince`. */
  presentSince: number
  attemptSince: number
  /** As in `Moment`. */
  readonly isUnheard?: ((service: string) => boolean) | undefined
  readonly refusal?: ((sent: Sent) => string | undefined) | undefined
  readonly inbox: Inbox.Inbox
  /** Undefined: nothing is traced. */
  readonly trace?: ExecutionTrace | undefined
  /** The other instance that owns the execution: this loop ends. */
  elsewhere: string | undefined
  /** A signal that was accepted cannot be read by this program: what is under way ends, nothing begins, and the loop fails with this. */
  unreadable?: Readable.SagaExecutionUnreadable
  /** The stored execution names this instance as its owner. */
  isHeld: boolean
  /** As in `TakenUp`. */
  isOld?: boolean
  /** Another instance may have taken the execution since the last write: it is taken again before anything else. */
  isUnsure: boolean
  /** The hint of the write that was tried last. */
  hint: Hint | undefined
  /** Facts since the last write that came from work and inputs, in order. Facts that were only decided are not among them. */
  gains: ReadonlyArray<Gain>
  /** Paths of local steps whose intent is stored and that have not begun. */
  unbegun: Set<string> | undefined
  /** Whether there may be a message among the facts that are not stored yet. */
  announces: boolean
  /** Transactions in a row that did not commit. */
  failedCommits: number
}

/** Facts that cannot be decided again: after a lost race they are offered to the newer state. */
export interface Gain {
  readonly facts: ReadonlyArray<SagaEvent>
  /** The input that brought them; undefined: work did. */
  readonly judged: Inbox.Judged | undefined
}

/** Instructions whose work is not under way. */
export type Work = ReadonlyArray<Instruction>

/** Adds the facts of work or of an input. Facts that the state does not admit change nothing and are not kept. */
export const gain = (self: Progress, facts: ReadonlyArray<SagaEvent>, judged?: Inbox.Judged): void => {
  const state = facts.reduce(evolve, self.execution.state)
  if (state === self.execution.state) return
  self.execution = new SagaExecution(state, self.definition)
  self.announces ||= facts.some((fact) => "message" in fact)
  self.gains = [...self.gains, { facts, judged }]
}

/**
 * Adds the facts of work that ran on a fiber of its own. The end of a wait by time is not kept where an input has come meanwhile,
 * which may be its signal, or where it cannot be stored now: it is decided anew (SPEC C16).
 */
export const gainOfWork = (self: Progress, facts: ReadonlyArray<SagaEvent>, isJoint: boolean): void => {
  if ((isJoint || self.inbox.inputs.length > 0) && endsWait(facts, self.execution.state)) return
  gain(self, facts)
}

/** Judges the inputs that wait against the state as it is now. */
export const judgeInputs = (self: Progress, now: number, policy: Policy): void => {
  const { definition, inbox } = self
  const moment: Arrival = { ...policy, definition, now }
  const judged = inbox.inputs.splice(0).map((input) => judgeOne(self, input, moment))
  inbox.judged = [...inbox.judged, ...judged]
  if (!judged.some(isAccepted)) return
  const read = Readable.read(self.execution, definition)
  if (Result.isFailure(read)) self.unreadable = read.failure
}

/** The payload of a signal whose sender waits no more was not judged (SPEC C10). */
const isAccepted = ({ input: { input } }: Inbox.Judged): boolean => input._tag === "Signal" && input.accepted === true

const judgeOne = (self: Progress, input: Inbox.PendingInput, moment: Arrival): Inbox.Judged => {
  const { stored } = input
  // A row that is read again before it has left the inbox: its facts are stored.
  if (stored !== undefined && StoredInput.readOutcome(self.execution, stored.id) !== undefined) {
    return { input, refused: Result.void }
  }
  const verdict = judge(self.execution.state, input.input, moment)
  const judged = { input, refused: Result.map(verdict, () => undefined) }
  const outcome = stored && StoredInput.outcomeOf(input, verdict, moment.now)
  const facts = Result.isSuccess(verdict) ? verdict.success : none
  gain(self, outcome === undefined ? facts : [...facts, outcome], judged)
  return judged
}

const none: ReadonlyArray<never> = []

/** Takes back what was planned and has not begun, because an input came: the next turn decides it again. */
export const postpone = (self: Progress, work: Work): void => {
  for (const instruction of work) {
    if (instruction._tag === "RunStep") self.unbegun = new Set(self.unbegun).add(instruction.path)
    else if (instruction._tag === "Resend" || "services" in instruction) self.since = Number.NEGATIVE_INFINITY
  }
}

export interface Observer {
  /** False for a runner by hand: no instance has a name, so nothing says who works on the execution. */
  readonly isNamed: boolean
  /** Whether this loop is performing the local step at the path. */
  readonly isRunning: (path: string) => boolean
  readonly policy: Policy
}

/** A wait that time has ended is decided anew: a signal may have come meanwhile (SPEC C16). */
const endsWait = (facts: ReadonlyArray<SagaEvent>, { root }: SagaState): boolean =>
  facts.some((fact) => "path" in fact && stepAt(root, fact.path)?.step.kind === "wait")

/** The other instance, where instances have no names. */
export const unnamed = ""

/**
 * Goes on from a newer state after a lost race. Facts of work are offered to it one by one; those of an input wholly or
 * not at all, and an input that no longer stands, or was refused, is judged again. Everything else is decided anew
 * (SPEC W5). Where another instance owns the execution, nothing is offered: only the owner writes facts (SPEC C20).
 */
export const reconcile = (self: Progress, newer: Takeover.TakenUp, now: number, observer: Observer): void => {
  const { isNamed, isRunning, policy } = observer
  const { definition, inbox } = self
  const latest = newer.execution
  self.announces = true
  self.elsewhere = newer.elsewhere
  self.isHeld = newer.isHeld
  self.isOld = false
  self.isUnsure = false
  if (newer.elsewhere !== undefined) return leave(self, latest)
  let { state } = latest
  const standing = new Set<Inbox.Judged>()
  self.gains = self.gains.filter(({ facts, judged }) => {
    if (judged !== undefined && Result.isFailure(judged.refused)) return false
    if (judged === undefined && endsWait(facts, state)) return false
    const next = judged === undefined ? facts.reduce(evolve, state) : withAll(facts, state)
    if (next === undefined || next === state) return false
    state = next
    if (judged !== undefined) standing.add(judged)
    return true
  })
  inbox.inputs.unshift(...inbox.judged.filter((one) => !standing.has(one)).map(({ input }) => input))
  inbox.judged = inbox.judged.filter((one) => standing.has(one))
  const rebased = state === latest.state ? latest : new SagaExecution(state, definition)
  self.execution = rebased
  if (isNamed) {
    const isMine = (path: string) => isRunning(path) || self.unbegun?.has(path) === true
    self.execution = Takeover.afterCrash(rebased, now, isMine)
    return
  }
  // Without names, facts of this runner that still count are the only sign that the execution is its own.
  const isMine = rebased !== latest || brings(inbox, rebased, { ...policy, definition, now })
  self.elsewhere = isMine ? undefined : unnamed
}

const leave = (self: Progress, latest: SagaExecution): void => {
  Inbox.unjudge(self.inbox)
  self.gains = none
  self.execution = latest
}

/** The state with all of the facts, if it admits every one. */
const withAll = (facts: ReadonlyArray<SagaEvent>, self: SagaState): SagaState | undefined => {
  let state = self
  for (const fact of facts) {
    const next = evolve(state, fact)
    if (next === state) return undefined
    state = next
  }
  return state
}

/** Whether an input that waits would change the execution. */
const brings = ({ inputs }: Inbox.Inbox, { state }: SagaExecution, moment: Arrival): boolean =>
  inputs.some(({ input }) => {
    const verdict = judge(state, input, moment)
    return Result.isSuccess(verdict) && verdict.success.length > 0
  })
