/** The error of an execution that failed, and the family of errors that say so. */
import { Schema } from "effect"
import { SagaFailedCommitCallback, SagaFailedExecutionStep } from "../execution/view/ExecutionErrors.ts"
import { SagaExecution } from "../execution/view/SagaExecution.ts"

/**
 * The execution failed and was rolled back as far as possible. `cause` is the first failure, `later` are the failures of
 * compensations.
 */
export class SagaFailedExecution<E = unknown> extends Schema.TaggedError<SagaFailedExecution<any>>()(
  "SagaFailedExecution",
  {
    uuid: Schema.String,
    saga: Schema.String,
    /** The error that a step declares, or a `SagaSystemError`. */
    cause: Schema.Unknown,
    /** The latest failure of each compensation that failed. */
    later: Schema.Array(Schema.Unknown),
    /** Paths of steps whose compensation needs a person. Empty: everything is compensated. */
    parked: Schema.Array(Schema.String),
    execution: Schema.instanceOf(SagaExecution)
  }
) {
  declare readonly cause: E
  override get message(): string {
    const tag = (error: unknown) =>
      typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : String(error)
    const parked = this.parked.length === 0 ? "" : `; parked: ${this.parked.join(", ")}`
    return `Saga ${this.saga} (${this.uuid}) failed: ${tag(this.cause)}${parked}`
  }
}

/** Whether an error says that an execution failed: the whole of it, one of its steps, or the commit. */
export const isSagaFailedExecution: (
  error: unknown
) => error is SagaFailedExecution | SagaFailedExecutionStep | SagaFailedCommitCallback = Schema.is(
  Schema.Union([SagaFailedExecution, SagaFailedExecutionStep, SagaFailedCommitCallback])
)

/** The error of an execution whose status is `errored`. */
export const failureOf = (execution: SagaExecution): SagaFailedExecution =>
  new SagaFailedExecution({
    uuid: execution.uuid,
    saga: execution.saga,
    cause: execution.cause,
    later: [...execution.later],
    parked: [...execution.parked],
    execution
  })
