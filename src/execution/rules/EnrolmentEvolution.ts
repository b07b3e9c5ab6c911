/** The services that take part in the transaction of an execution, and the question that they are asked. */
import { maxRelatedServices } from "../../wire/Envelope.ts"
import type { SagaState } from "./SagaState.ts"
import { none, union } from "./StepTree.ts"
import * as TwoPhaseCommit from "./TwoPhaseCommit.ts"

/** How many services may take part in one execution (SPEC C11): each is asked and told. */
const maxEnrolled = 256

/** The reason why these services cannot join the transaction; undefined: they can. */
export const fullWith = (
  { enrolled, passed, start }: SagaState,
  services: ReadonlyArray<string>
): string | undefined =>
  start?.transactional === true && !passed && union(enrolled, services).length > maxEnrolled
    ? `more than ${maxEnrolled} services would take part`
    : undefined

/**
 * The services of a reply that join the transaction, and the reason why others do not. Too many: none joins. Behind the pivot there
 * is no transaction to join.
 */
export const joining = (
  self: SagaState,
  named: ReadonlyArray<string>,
  allowed: ReadonlyArray<string> | undefined
): { readonly services: ReadonlyArray<string>; readonly issue: string | undefined } => {
  if (self.passed) return { services: none, issue: undefined }
  if (named.length > maxRelatedServices)
    return { services: none, issue: `${named.length} of them, ${maxRelatedServices} may be named` }
  const services = allowed === undefined ? named : named.filter((name) => allowed.includes(name))
  const full = fullWith(self, services)
  if (full !== undefined) return { services: none, issue: full }
  const issue =
    services.length === named.length ? undefined : named.filter((name) => !services.includes(name)).join(", ")
  return { services, issue }
}

/** Enrols services in the transaction of `next`, unless the fact was not admitted (`next` is `before`). */
export const enrol = (
  next: SagaState,
  before: SagaState,
  services: ReadonlyArray<string>,
  notAfter: number,
  at: number
): SagaState => {
  if (next === before || next.passed) return next
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
