/** A thing that a run needs is missing or wrong. */
import { Schema } from "effect"

export class NotReady extends Schema.TaggedError<NotReady>()("NotReady", {
  problem: Schema.String,
  mend: Schema.String
}) {
  override get message(): string {
    return `${this.problem}: ${this.mend}`
  }
}
