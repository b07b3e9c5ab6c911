/**
 * How facts change the state of an execution: a fold. `evolve` is pure and total: a fact that the state does not admit
 * (a late reply, a second result) leaves the state as it is, and that is also how a caller asks whether it is admitted.
 */

import { enrol, inPhase } from "./EnrolmentEvolution.ts"
import * as Forward from "./ForwardEvolution.ts"
import * as Pivot from "./PivotEvolution.ts"
import * as Place from "./QueuePlace.ts"
import * as Rollback from "./RollbackEvolution.ts"
import * as Context from "./SagaContext.ts"
import type { Of, SagaEvent } from "./SagaEvent.ts"
import * as SagaSignals from "./SagaSignals.ts"
import { copyOf, isComplete, isOpen, isSettled, type SagaState, whole } from "./SagaState.ts"
import { type Draft, frame, isRolledBack, push } from "./StepTree.ts"
import * as TwoPhaseCommit from "./TwoPhaseCommit.ts"

/** The same state where the fact is not admitted. */
export const evolve = (self: SagaState, event: SagaEvent): SagaState => {
  const next = apply(self, event)
  if (next === self) return self
  // `apply` has just made `next`, and nobody else has it: writing into it saves a third copy of all fields.
  const fresh: Draft<SagaState> = next
  fresh.updatedAt = event.at
  fresh.history = push(event, self.history)
  fresh.unstored = self.unstored + 1
  return fresh
}

/** The state after its write. */
export const stored = (self: SagaState, revision: number): SagaState => {
  const kept = copyOf(self)
  kept.revision = revision
  kept.unstored = 0
  if (kept.setAside === "retried") kept.setAside = undefined
  if (kept.phase !== undefined) kept.phase = TwoPhaseCommit.stored(kept.phase)
  return kept
}

const apply = (self: SagaState, event: SagaEvent): SagaState => {
  switch (event._tag) {
    case "ExecutionCreated":
      return self
    case "ExecutionStarted":
      return admitsExecutionStart(self) ? begun(self, event) : self
    case "DeadlineSet":
      return admitsDeadline(self) ? { ...self, deadline: event.deadline } : self
    case "QueueEntered":
      return admitsQueue(self) ? { ...self, place: Place.entered(event) } : self
    case "PlaceTaken":
      return Place.isWanted(self)
        ? { ...self, status: self.status === "created" ? "running" : self.status, place: placed(self, "held") }
        : self
    case "PlaceLeft":
      return Place.rests(self) ? { ...self, place: placed(self, "left") } : self
    case "PlaceWanted":
      return admitsWish(self) ? { ...self, place: Place.again(self.place!, event.at) } : self
    case "AttributesChanged":
      return { ...self, attributes: { ...self.attributes, ...event.attributes } }
    case "AutocommitChanged":
      return admitsAutocommit(self, event) ? { ...self, autocommit: event.autocommit } : self
    case "ActionApplied":
    case "ActionRefused":
      return { ...self }

    case "StepStarted": {
      const next = Forward.start(self, event, "local", "running-on-execute", { deadline: event.deadline })
      return self.start?.takesPart === true ? enrol(next, self, [self.start.service], 0, event.at) : next
    }
    case "RequestSent":
      return enrol(
        Forward.start(self, event, "remote", "paused-by-on-execute", {
          deadline: event.deadline,
          request: { command: event.command, message: event.message, at: event.at }
        }),
        self,
        [event.message.service],
        event.message.notAfter,
        event.at
      )
    case "AlternativeChosen":
      return Forward.start(self, event, "conditional", "running-on-execute", { choice: event.choice }, (outer) =>
        event.choice === null ? {} : { inner: [frame(`${event.path}/${event.label}/`, outer.context, undefined)] }
      )
    case "NestedStarted":
      return Forward.start(self, event, "nested", "running-on-execute", {
        inner: [frame(`${event.path}/n/`, Context.initial(`${event.path}/n/`, event.context), undefined)]
      })
    case "ParallelStarted":
      return Forward.start(self, event, "parallel", "running-on-execute", {}, (outer) => ({
        inner: event.branches.map((branch, i) => frame(`${event.path}/b${i}/`, outer.context, branch.steps))
      }))
    case "ForEachStarted":
      return Forward.forEachStarted(self, event)
    case "StartRequested":
      return Forward.start(self, event, "start", "running-on-execute", { child: event })
    case "WaitStarted":
      return Forward.waitStarted(self, event)
    case "SignalReceived": {
      const signals = admitsSignal(self) ? SagaSignals.receive(self.signals, event) : self.signals
      return signals === self.signals ? self : { ...self, signals }
    }
    case "ReplyReceived":
      return self.direction === "backward" ? Rollback.replied(self, event) : Forward.replied(self, event)
    case "RequestAccepted":
      return Forward.accepted(self, event)
    case "StepSucceeded":
      return Forward.succeeded(self, event)
    case "StepFailed":
      return Forward.failed(self, event)

    case "PivotPassed":
      return Pivot.passed(self, event)
    case "TryStarted":
      return Pivot.tryStarted(self, event)

    case "RollbackStarted":
      return admitsRollback(self) ? Rollback.start(self, event.failure, event.at) : self
    case "ProbeSent":
      return (self.passed ? Pivot : Rollback).probeSent(self, event)
    case "ProbeAnswered":
      return (self.passed ? Pivot : Rollback).probeAnswered(self, event)
    case "CompensationStarted":
      return Rollback.compensationStarted(self, event)
    case "CompensationSent":
      return Rollback.compensationSent(self, event)
    case "CompensationFailed":
      return Rollback.attemptFailed(self, event)
    case "StepCompensated":
      return Rollback.compensated(self, event)
    case "StepParked":
      if (event.path === whole) return admitsSettingAside(self) ? { ...self, setAside: "parked" } : self
      return (self.passed ? Pivot : Rollback).parked(self, event)
    case "StepUnparked": {
      if (event.path === whole) return self.setAside === "parked" ? { ...self, setAside: "retried" } : self
      const stalled = TwoPhaseCommit.serviceAt(self.phase, event.path)
      return stalled === undefined
        ? self.passed
          ? Pivot.retried(self, event)
          : Rollback.unparked(self, event)
        : inPhase(self, (phase) => TwoPhaseCommit.again(phase, stalled, event.at))
    }
    case "StepResolved": {
      const stalled = TwoPhaseCommit.serviceAt(self.phase, event.path)
      return stalled === undefined
        ? (self.passed ? Pivot : Rollback).resolved(self, event)
        : inPhase(self, (phase) => TwoPhaseCommit.resolved(phase, stalled))
    }

    case "ReservationStarted":
      return admitsReservation(self)
        ? { ...self, commitState: "reserving", phase: TwoPhaseCommit.begin("reserve", self.enrolled, event.at) }
        : self
    case "VoteReceived":
      return admitsVote(self) ? inPhase(self, (phase) => TwoPhaseCommit.answered(phase, event.service)) : self
    case "CommitDecided":
      return admitsCommit(self)
        ? {
            ...self,
            decision: "commit",
            commitState: "committing",
            phase: TwoPhaseCommit.begin("commit", self.enrolled, event.at)
          }
        : self
    case "RejectRequested":
      return admitsReject(self)
        ? { ...self, commitState: "rejecting", phase: TwoPhaseCommit.begin("reject", self.enrolled, event.at) }
        : self
    case "DecisionAcknowledged":
      return admitsAcknowledgement(self)
        ? inPhase(self, (phase) => TwoPhaseCommit.answered(phase, event.service))
        : self
    case "ServiceStalled":
      return admitsAcknowledgement(self)
        ? inPhase(self, (phase) => TwoPhaseCommit.stalled(phase, event.service, event.reason, event.at))
        : self
    case "ExecutionFinished":
      return admitsFinish(self) ? finished(self) : self
    case "ExecutionErrored":
      return admitsRollbackEnd(self)
        ? { ...self, status: "errored", alreadyRollback: self.parked.length === 0 && self.reopened.length === 0 }
        : self
    case "TransactionSettled":
      return admitsSettlement(self, event) ? settled(self, event) : self
  }
}

const begun = (self: SagaState, event: Of<"ExecutionStarted">): SagaState => {
  const next = copyOf(self)
  next.status = statusAtStart(self)
  next.start = event
  next.autocommit = event.autocommit
  return next
}

const finished = (self: SagaState): SagaState => {
  const next = copyOf(self)
  next.status = "finished"
  return next
}

const settled = (self: SagaState, { state }: Of<"TransactionSettled">): SagaState => {
  const next = copyOf(self)
  next.commitState = state
  next.decision = state === "committed" ? "commit" : "reject"
  return next
}

// ---- what is admitted ------------------------------------------------------------------------------------------
// Of the whole execution. The predicates of single steps stand in `ForwardEvolution` and `RollbackEvolution`.

const admitsExecutionStart = (self: SagaState): boolean => self.status === "created" && self.start === undefined

/** In a queue the execution starts, and its steps begin with its first place. */
const statusAtStart = ({ place }: SagaState) => (place === undefined ? "running" : "created")

const admitsQueue = ({ place, start, status }: SagaState): boolean =>
  status === "created" && start === undefined && place === undefined

const admitsWish = ({ direction, place }: SagaState): boolean => place?.status === "left" && direction === "forward"

const placed = ({ place }: SagaState, status: "held" | "left") => ({ ...place!, status })

const admitsDeadline = (self: SagaState): boolean => self.status === "created" && self.deadline === undefined

/** Nothing that has ended or turned back takes a signal (SPEC C16). */
const admitsSignal = (self: SagaState): boolean => self.direction === "forward" && self.status !== "finished"

const admitsAutocommit = (self: SagaState, { autocommit }: Of<"AutocommitChanged">): boolean =>
  isOpen(self) && self.commitState === "none" && self.autocommit !== autocommit

/** Only as long as the execution goes forward and no decision is stored. */
const admitsRollback = (self: SagaState): boolean =>
  self.direction === "forward" &&
  self.decision === null &&
  (self.status !== "finished" || self.commitState === "none" || self.commitState === "reserving")

/** In any state, so that the rules that fail for the execution are not asked. */
const admitsSettingAside = (self: SagaState): boolean => self.setAside === undefined && !isSettled(self)

const admitsReservation = (self: SagaState): boolean => isComplete(self) && self.commitState === "none"

const admitsVote = (self: SagaState): boolean => self.commitState === "reserving"

const admitsCommit = (self: SagaState): boolean =>
  isComplete(self) && self.commitState === "reserving" && TwoPhaseCommit.isReached(self.phase)

const admitsReject = (self: SagaState): boolean => self.direction === "backward" && self.commitState === "none"

const admitsAcknowledgement = (self: SagaState): boolean =>
  self.commitState === "committing" || self.commitState === "rejecting"

const admitsFinish = (self: SagaState): boolean => self.status === "running" && isComplete(self)

const admitsRollbackEnd = (self: SagaState): boolean =>
  self.direction === "backward" && self.status !== "errored" && isRolledBack(self.root)

const admitsSettlement = (self: SagaState, { state }: Of<"TransactionSettled">): boolean =>
  TwoPhaseCommit.isReached(self.phase) &&
  (state === "rejected"
    ? self.commitState === "rejecting"
    : self.direction === "forward" &&
      (self.status === "finished"
        ? self.commitState !== "committed"
        : self.passed && self.commitState === "committing"))
