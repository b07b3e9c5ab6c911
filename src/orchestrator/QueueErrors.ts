/** The errors of a start in a queue: nothing of the execution is stored. */
import { Schema } from "effect"
import { line } from "../wire/OneLine.ts"

/** The manager has no queue of this name (`queues` of `SagaManager.layer`); or, where limits are changed, the repository has none. */
export class SagaQueueUnknown extends Schema.TaggedError<SagaQueueUnknown>()("SagaQueueUnknown", {
  queue: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const known = this.known.length === 0 ? "there is none" : `there are ${this.known.join(", ")}`
    return line`There is no queue ${JSON.stringify(this.queue)}: ${known}`
  }
}

/** As many executions wait in the queue as may (`maxQueued`). Start it again later. */
export class SagaQueueFull extends Schema.TaggedError<SagaQueueFull>()("SagaQueueFull", { queue: Schema.String }) {
  override get message(): string {
    return line`The queue ${this.queue} takes no more executions: as many wait in it as may`
  }
}
