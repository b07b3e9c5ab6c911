/**
 * What outlives an execution: its name, where a caller has given it one, so that the same start never runs twice, however
 * late it is repeated (SPEC C9). Executions that the library has named leave nothing.
 */
import { Schema } from "effect"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as CanonicalJson from "../wire/CanonicalJson.ts"
import { Uuid as UuidText } from "../wire/Envelope.ts"
import * as Uuid from "../wire/Uuid.ts"

export const Outcome = Schema.Literals(["committed", "rejected", "deleted"])
export type Outcome = typeof Outcome.Type

export const Tombstone = Schema.Struct({
  uuid: UuidText,
  startKey: Schema.optionalKey(Schema.String),
  saga: Schema.String,
  /** SHA-256 of the initial context. */
  contextHash: Schema.String,
  outcome: Outcome
})
export type Tombstone = typeof Tombstone.Type

/** A uuid or `startKey` given by a caller is used up: the execution that had it is over and forgotten. */
export class SagaExecutionRetired extends Schema.TaggedError<SagaExecutionRetired>()(
  "SagaExecutionRetired",
  Tombstone.fields
) {
  override get message(): string {
    return `Execution ${this.uuid} of saga ${this.saga}${this.startKey === undefined ? "" : ` (startKey ${this.startKey})`} is over (${this.outcome}) and no longer kept`
  }
}

/** Hash of the context an execution was started with: tells a start that is repeated from another one (SPEC C9). */
export const contextHash = (execution: SagaExecution): string => {
  const [first] = execution.events
  return CanonicalJson.sha256(first?._tag === "ExecutionCreated" ? first.context : null)
}

/** Whether the uuid was given by a caller: the library's own are version 7 and leave nothing behind (SPEC C9). */
export const isCallerGiven = (uuid: string): boolean => Uuid.version(uuid) !== "7"

/** What must outlive the execution; nothing where no caller has named it. */
export const of = (execution: SagaExecution): Tombstone | undefined =>
  execution.startKey === undefined && !isCallerGiven(execution.uuid)
    ? undefined
    : {
        uuid: execution.uuid,
        ...(execution.startKey !== undefined && { startKey: execution.startKey }),
        saga: execution.saga,
        contextHash: contextHash(execution),
        outcome: !execution.settled ? "deleted" : execution.commitState === "committed" ? "committed" : "rejected"
      }
