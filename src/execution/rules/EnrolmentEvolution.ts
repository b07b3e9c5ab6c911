/** The services that take part in the transaction of an execution, and the question that they are asked. */
import type { SagaState } from "./SagaState.ts"
import { union } from "./StepTree.ts"
import * as TwoPhaseCommit from "./TwoPhaseCommit.ts"

/** Enrols services in the transaction of `next`, unless the fact was not admitted (`next` is `before`). */
export const enrol = (
  next: SagaState,
  before: SagaState,
  services: ReadonlyArray<string>,
  notAfter: number,
  at: number
): SagaState => {
  if (next === before) return next
  const enrolled = next.start?.transactional === true ? union(next.enrolled, services) : next.enrolled
  if (enrolled === next.enrolled && notAfter <= next.notAfter) return next
  // A service that joins during the rollback must be told of the rejection as well.
  const tells = enrolled !== next.enrolled && (next.commitState === "rejecting" || next.commitState === "rejected")
  return {
    ...next,
    enrolled,
    commitState: tells ? "rejecting" : next.commitState,
    phase: tells ? TwoPhaseCommit.join(next.phase ?? TwoPhaseCommit.begin("reject", [], at), enrolled, at) : next.phase,
    notAfter: Math.max(next.notAfter, notAfter)
  }
}

/** Changes the phase, where there is one. */
export const inPhase = (self: SagaState, change: (phase: TwoPhaseCommit.Phase) => TwoPhaseCommit.Phase): SagaState => {
  if (self.phase === undefined) return self
  const phase = change(self.phase)
  return phase === self.phase ? self : { ...self, phase }
}
