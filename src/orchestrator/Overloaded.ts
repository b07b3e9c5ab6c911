/** The refusal of a process, or of an inbox, that has too much to do (SPEC C13). */
import { Schema } from "effect"
import { line } from "../wire/OneLine.ts"

/** Too much is pending in this process, or for this execution; nothing of the new execution or the input is stored. */
export class SagaOverloaded extends Schema.TaggedError<SagaOverloaded>()("SagaOverloaded", {
  limit: Schema.Literals(["maxPending", "inbox"]),
  value: Schema.Int
}) {
  override get message(): string {
    return line`Refused: ${this.limit} is ${this.value}`
  }
}
