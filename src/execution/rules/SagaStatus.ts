/** The statuses of an execution and of its steps: the words that people, storage and the wire share. */
import { Schema } from "effect"

export const SagaStatus = Schema.Literals(["created", "running", "paused", "finished", "errored"])
export type SagaStatus = typeof SagaStatus.Type

/**
 * `…-on-execute`, `…-on-success` and `…-on-error` belong to the execute operation and the callbacks of its reply,
 * `…-on-failure` to the compensation. `errored-by-on-execute`: the other side failed, not this one.
 */
export const SagaStepStatus = Schema.Literals([
  "created",
  "running-on-execute",
  "finished-on-execute",
  "errored-on-execute",
  "paused-by-on-execute",
  "errored-by-on-execute",
  "running-on-failure",
  "paused-on-failure",
  "errored-on-failure",
  "running-on-success",
  "errored-on-success",
  "running-on-error",
  "errored-on-error",
  "finished"
])
export type SagaStepStatus = typeof SagaStepStatus.Type

/** Where the phase of all participants stands (SPEC C2). */
export const CommitState = Schema.Literals(["none", "reserving", "committing", "committed", "rejecting", "rejected"])
export type CommitState = typeof CommitState.Type

export const Decision = Schema.Literals(["commit", "reject"])
export type Decision = typeof Decision.Type
