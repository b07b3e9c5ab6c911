/**
 * An execution at one moment: its facts, folded by `SagaEvolution`. A state is never changed: every fact makes a new one,
 * which shares with the old one everything that stays the same.
 */

import type { Attributes } from "../../definition/Attributes.ts"
import type { QueuePlace } from "./QueuePlace.ts"
import * as Context from "./SagaContext.ts"
import type { Of, SagaEvent } from "./SagaEvent.ts"
import type { SagaFailure } from "./SagaFailure.ts"
import * as SagaSignals from "./SagaSignals.ts"
import type { CommitState, Decision, SagaStatus } from "./SagaStatus.ts"
import { collect, type Draft, type Frame, frame, push, type Stack, started, stepAt } from "./StepTree.ts"
import type * as TwoPhaseCommit from "./TwoPhaseCommit.ts"

export interface SagaState {
  readonly uuid: string
  /** The facts that it began with. Every change copies the fields of a state, so what never changes is not among them. */
  readonly creation: Of<"ExecutionCreated">
  readonly start: Of<"ExecutionStarted"> | undefined
  /** By which people find it; undefined: none. */
  readonly attributes: Attributes | undefined
  readonly autocommit: boolean
  readonly status: SagaStatus
  readonly direction: "forward" | "backward"
  readonly decision: Decision | null
  readonly commitState: CommitState
  /** The pivot is passed: nothing is undone any more, and what fails is tried again. */
  readonly passed: boolean
  readonly root: Frame
  /** The first failure. Later ones stay with their steps. */
  readonly failure: SagaFailure | undefined
  readonly enrolled: ReadonlyArray<string>
  /** The question to the enrolled services; undefined: none yet. */
  readonly phase: TwoPhaseCommit.Phase | undefined
  /** Paths of the steps that are parked: their compensation, or behind the pivot they themselves. */
  readonly parked: ReadonlyArray<string>
  /** Paths of parked steps that are compensated again: a person asked for it, or a late answer allows it. */
  readonly reopened: ReadonlyArray<string>
  /**
   * `parked`: nothing is decided for the execution before a person asks for it, because its runners die or its write is
   * refused for good. `retried`: a person has asked, and that is not stored yet.
   */
  readonly setAside: "parked" | "retried" | undefined
  readonly alreadyRollback: boolean
  readonly signals: SagaSignals.SagaSignals
  /** How many items all its lists have (SPEC C11). */
  readonly items: number
  /** When the execution is rolled back if nothing is decided by then. */
  readonly deadline: number | undefined
  /** Of an execution that was started in a queue. */
  readonly place: QueuePlace | undefined
  /** The greatest `notAfter` of an execute message: that of everything sent later. */
  readonly notAfter: number
  readonly updatedAt: number
  /** Number of writes; the next one is stored under `revision + 1`. */
  readonly revision: number
  readonly history: Stack<SagaEvent> | undefined
  /** How many events on top of `history` are not stored yet. */
  readonly unstored: number
}

/** The place of an execution that is parked as a whole. No step has such a path. */
export const whole = "execution"

/** The state that the first fact makes. */
export const created = (event: Of<"ExecutionCreated">): SagaState => ({
  uuid: event.uuid,
  creation: event,
  start: undefined,
  attributes: event.attributes,
  autocommit: true,
  status: "created",
  direction: "forward",
  decision: null,
  commitState: "none",
  passed: false,
  root: frame("", Context.initial("", event.context), undefined),
  failure: undefined,
  enrolled: [],
  phase: undefined,
  parked: [],
  reopened: [],
  setAside: undefined,
  alreadyRollback: false,
  signals: SagaSignals.nothing,
  items: 0,
  deadline: undefined,
  place: undefined,
  notAfter: 0,
  updatedAt: event.at,
  revision: 0,
  history: push(event, undefined),
  unstored: 1
})

/** A copy to be changed. Each fact makes one, and a spread of so many fields would take longer. */
export const copyOf = (self: SagaState): Draft<SagaState> => ({
  uuid: self.uuid,
  creation: self.creation,
  start: self.start,
  attributes: self.attributes,
  autocommit: self.autocommit,
  status: self.status,
  direction: self.direction,
  decision: self.decision,
  commitState: self.commitState,
  passed: self.passed,
  root: self.root,
  failure: self.failure,
  enrolled: self.enrolled,
  phase: self.phase,
  parked: self.parked,
  reopened: self.reopened,
  setAside: self.setAside,
  alreadyRollback: self.alreadyRollback,
  signals: self.signals,
  items: self.items,
  deadline: self.deadline,
  place: self.place,
  notAfter: self.notAfter,
  updatedAt: self.updatedAt,
  revision: self.revision,
  history: self.history,
  unstored: self.unstored
})

export const isOpen = (self: SagaState): boolean => self.status === "running" || self.status === "paused"

/** No step is under way, and none has failed. Only the definition tells whether one is left to start. */
export const isComplete = (self: SagaState): boolean =>
  self.direction === "forward" && self.status !== "created" && self.root.current === undefined

/** The failures of the rollback, in the order in which the steps were compensated. */
export const laterFailures = (self: SagaState): ReadonlyArray<SagaFailure> =>
  collect(
    self.root,
    (frame) => started(frame).toReversed(),
    (found, { compensation, failure }) => {
      if (compensation?.failure !== undefined) found.push(compensation.failure)
      if (failure !== undefined && failure !== self.failure) found.push(failure)
    }
  )

/** A step behind the pivot waits for a person. Other branches may still run. */
export const isParkedForward = (self: SagaState): boolean => self.direction === "forward" && self.parked.length > 0

/** Why the first of these steps has failed. */
export const parkedFailure = (self: SagaState): SagaFailure | undefined =>
  isParkedForward(self) ? stepAt(self.root, self.parked[0]!)?.step.tries?.failure : undefined

/** The state with changed steps, and the status that follows from them. */
export const withRoot = (self: SagaState, root: Frame): SagaState => {
  if (root === self.root) return self
  const isPaused = root.current?.status === "paused-by-on-execute"
  const status = self.direction === "backward" ? self.status : isPaused ? "paused" : "running"
  const moved = copyOf(self)
  moved.root = root
  moved.status = status
  return moved
}

/** Nothing is left to do (SPEC C18). */
export const isSettled = (self: SagaState): boolean =>
  (self.commitState === "committed" && self.status === "finished") ||
  (self.commitState === "rejected" &&
    self.status === "errored" &&
    self.parked.length === 0 &&
    self.reopened.length === 0)
