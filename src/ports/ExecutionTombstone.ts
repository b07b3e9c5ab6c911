/**
 * The record that stays when an execution is removed, where a caller has given its uuid or `startKey`: the same start never
 * runs twice, however late it is repeated (SPEC C9). An execution that the library has named leaves no record.
 */
import { Schema } from "effect"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as CanonicalJson from "../wire/CanonicalJson.ts"
import { Uuid as UuidText } from "../wire/Envelope.ts"
import { line } from "../wire/OneLine.ts"
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

/** The uuid or `startKey` is used up: the execution that had it is over and removed. */
export class SagaExecutionRetired extends Schema.TaggedError<SagaExecutionRetired>()(
  "SagaExecutionRetired",
  Tombstone.fields
) {
  override get message(): string {
    return line`Execution ${this.uuid} of saga ${this.saga}${this.startKey === undefined ? "" : ` (startKey ${this.startKey})`} is over (${this.outcome}) and no longer kept`
  }
}

/** Hash of the initial context: tells a repeated start from another start with the same name (SPEC C9). */
export const contextHash = (execution: SagaExecution): string => {
  const [first] = execution.events
  return CanonicalJson.sha256(first?._tag === "ExecutionCreated" ? first.context : null)
}

/** Whether a caller has given the uuid: uuids of the library are version 7 (SPEC C9). */
export const isCallerGiven = (uuid: string): boolean => Uuid.version(uuid) !== "7"

/** The tombstone of an execution; undefined where no caller has named it. */
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
