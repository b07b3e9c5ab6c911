/** The error of an execution that failed, and the family of errors that say so. */
import { Schema } from "effect"
import {
  failedStep,
  placeText,
  SagaFailedCommitCallback,
  SagaFailedExecutionStep
} from "../execution/view/ExecutionErrors.ts"
import { SagaExecution } from "../execution/view/SagaExecution.ts"
import { describe, json, line } from "../wire/OneLine.ts"

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
    /** The step that failed first; absent where the execution was cancelled or rejected. */
    failedStep: Schema.optionalKey(
      Schema.Struct({
        path: Schema.String,
        step: Schema.String,
        service: Schema.optionalKey(Schema.String),
        command: Schema.optionalKey(Schema.String)
      })
    ),
    /** The latest failure of each compensation that failed. */
    later: Schema.Array(Schema.Unknown),
    /** Paths of steps whose compensation needs a person. Empty: everything is compensated. */
    parked: Schema.Array(Schema.String),
    execution: Schema.instanceOf(SagaExecution)
  }
) {
  declare readonly cause: E
  override get message(): string {
    const { cause, failedStep: at } = this
    // The step stands in the message already, so its error says only why it failed.
    const why = describe(cause instanceof SagaFailedExecutionStep ? cause.cause : cause)
    const where = at === undefined ? "" : ` at step ${at.step} (${placeText(at)})`
    const parked = this.parked.length === 0 ? "" : `; parked: ${this.parked.join(", ")}`
    return line`Saga ${this.saga} (${this.uuid}) failed${where}: ${why}${parked}`
  }

  /** For logs: without the execution, whose context may hold what belongs into no log. */
  override toJSON(): unknown {
    return { ...json(this), ...(this.failedStep !== undefined && { failedStep: this.failedStep }) }
  }
}

/** Whether an error says that an execution failed: the whole of it, one of its steps, or the commit. */
export const isSagaFailedExecution: (
  error: unknown
) => error is SagaFailedExecution | SagaFailedExecutionStep | SagaFailedCommitCallback = Schema.is(
  Schema.Union([SagaFailedExecution, SagaFailedExecutionStep, SagaFailedCommitCallback])
)

/** The error of an execution whose status is `errored`. */
export const failureOf = (execution: SagaExecution): SagaFailedExecution => {
  const { cause, definition, later, parked, saga, state, uuid } = execution
  const at = failedStep(state.failure, definition)
  return new SagaFailedExecution({
    uuid,
    saga,
    cause,
    ...(at !== undefined && { failedStep: at }),
    later: [...later],
    parked: [...parked],
    execution
  })
}
