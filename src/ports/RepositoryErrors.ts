/** The errors of the port `SagaExecutionRepository`. */
import { Schema } from "effect"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import { json, line } from "../wire/OneLine.ts"
import { withCode } from "./DatabaseCode.ts"

/**
 * Another writer has written this revision first: load the execution and decide again (SPEC W5). `unread`: the revision is
 * free, and inputs wait that this writer has not read: read them and decide again (SPEC C16). Nothing is written.
 */
export class SagaExecutionConflict extends Schema.TaggedError<SagaExecutionConflict>()("SagaExecutionConflict", {
  uuid: Schema.String,
  /** The revision that was refused; 1 for a first write. */
  revision: Schema.Int,
  /** Of a first write: the execution that already has the uuid or the `startKey`. */
  existing: Schema.optionalKey(Schema.String),
  unread: Schema.optionalKey(Schema.Boolean)
}) {
  override get message(): string {
    if (this.unread === true)
      return line`Inputs wait for execution ${this.uuid}, which cannot pause or end before they are read`
    return this.existing === undefined
      ? line`Revision ${this.revision} of execution ${this.uuid} was written by another writer, or the execution is gone`
      : line`Execution ${this.uuid} cannot start: ${this.existing === this.uuid ? "it exists" : `its startKey belongs to execution ${this.existing}`}`
  }
}

export class SagaExecutionNotFound extends Schema.TaggedError<SagaExecutionNotFound>()("SagaExecutionNotFound", {
  /** The uuid that the caller has named; where the caller has named a `startKey`, that key. */
  uuid: Schema.String,
  startKey: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    return this.startKey === undefined
      ? line`There is no execution ${this.uuid}`
      : line`There is no execution with the start key ${JSON.stringify(this.startKey)}`
  }
}

export const Operation = Schema.Literals([
  "store",
  "load",
  "delete",
  "submit",
  "inbox",
  "find",
  "claim",
  "take",
  "giveBack",
  "release",
  "census",
  "ended",
  "schedule",
  "queue"
])
export type Operation = typeof Operation.Type

/**
 * `unavailable`: the call may work later; a write may have happened all the same. `corrupt`: the stored execution cannot be
 * read. `rejected`: the same call can never work.
 */
export class SagaExecutionRepositoryError extends Schema.TaggedError<SagaExecutionRepositoryError>()(
  "SagaExecutionRepositoryError",
  {
    reason: Schema.Literals(["unavailable", "corrupt", "rejected"]),
    operation: Operation,
    cause: Schema.optionalKey(Schema.Defect())
  }
) {
  override get message(): string {
    return withCode(line`The repository could not ${this.operation}: ${this.reason}`, this)
  }

  override toJSON(): unknown {
    return json(this)
  }
}

/** The repository has no function for the operation, such as `list`. */
export class SagaRepositoryUnsupported extends Schema.TaggedError<SagaRepositoryUnsupported>()(
  "SagaRepositoryUnsupported",
  { operation: Operation }
) {
  override get message(): string {
    return line`The repository cannot ${this.operation} executions`
  }
}

export const conflict = ({ revision, uuid }: SagaExecution, existing?: string): SagaExecutionConflict =>
  new SagaExecutionConflict({ uuid, revision: revision + 1, ...(existing !== undefined && { existing }) })

/** The refusal of a write that closes an execution for which inputs wait. */
export const unread = ({ revision, uuid }: SagaExecution): SagaExecutionConflict =>
  new SagaExecutionConflict({ uuid, revision: revision + 1, unread: true })
