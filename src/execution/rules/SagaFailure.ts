/** Why a step or an execution failed, as it is stored: a value, with a declared error in the encoding of its own schema. */
import { Schema } from "effect"
import { ReplyStatus } from "../../wire/Envelope.ts"
import { Json, maxContextSize } from "../../wire/JsonLimits.ts"

const at = { path: Schema.String, step: Schema.String }

/** The person or program that stopped the execution, and the reason. Both may be missing. */
const by = { actor: Schema.optionalKey(Schema.String), reason: Schema.optionalKey(Schema.String) }

export const SagaFailure = Schema.Union([
  /** The step failed with an error it declares. */
  Schema.TaggedStruct("StepError", { ...at, error: Json }),
  /** A callback died, threw or interrupted itself. */
  Schema.TaggedStruct("StepDefect", { ...at, defect: Json }),
  /** No result before the deadline. `unheard`: nobody took the commands of the service then. `refused`: why the broker did not. */
  Schema.TaggedStruct("StepTimedOut", {
    ...at,
    deadline: Schema.Int,
    unheard: Schema.optionalKey(Schema.Literal(true)),
    refused: Schema.optionalKey(Schema.String)
  }),
  /** The other side failed (500), or refused (400) where no error is declared. */
  Schema.TaggedStruct("StepRefused", { ...at, status: ReplyStatus, content: Json }),
  /** A value could not be encoded or decoded, or breaks a limit. `issue` names the place, not the value. */
  Schema.TaggedStruct("StepValueRejected", {
    ...at,
    rule: Schema.Literals(["encode", "decode", "context-size", "message-size", "related-services", "items"]),
    issue: Schema.String
  }),
  /** The process stopped in the middle of a step that must not be run again. */
  Schema.TaggedStruct("StepInterrupted", at),
  /** The saga that the step has started is not undone yet. `looks`: how often that was looked at. */
  Schema.TaggedStruct("StartedNotUndone", { ...at, uuid: Schema.String, looks: Schema.Int }),
  /** Nothing was decided before the deadline of the execution. */
  Schema.TaggedStruct("DeadlinePassed", { deadline: Schema.Int }),
  Schema.TaggedStruct("CommitFailed", { reason: Schema.String }),
  Schema.TaggedStruct("Cancelled", by),
  Schema.TaggedStruct("Rejected", by)
])
export type SagaFailure = typeof SagaFailure.Type

/** The context has no room for the result of a step. */
export const tooLarge = (path: string, step: string, size: number): SagaFailure => {
  const issue = `the context would have ${size} of ${maxContextSize} bytes`
  return { _tag: "StepValueRejected", path, step, rule: "context-size", issue }
}

/** Whether the error is one the step declares, and not one of `SagaSystemError`. */
export const isDeclared = (self: SagaFailure): boolean =>
  self._tag === "StepError" || (self._tag === "StepRefused" && self.status === 400)
