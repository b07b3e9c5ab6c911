/** The error of an execution that failed, and the family of errors that say so. */
import { Schema } from "effect"
import { isParkedForward, parkedFailure } from "../execution/rules/SagaState.ts"
import {
  failedStep,
  placeText,
  SagaFailedCommitCallback,
  SagaFailedExecutionStep,
  toError
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

/**
 * A step behind the pivot has failed in every try, or waited in vain, and waits for a person. Nothing is undone, and the execution
 * stays alive: `parked` has the paths for `retryParked` and `resolveParked`, `cause` says why the first of them failed. Its callers
 * are told at once; a new call with the same start key waits for the end again once nothing is parked.
 */
export class SagaParkedForward extends Schema.TaggedError<SagaParkedForward>()("SagaParkedForward", {
  uuid: Schema.String,
  saga: Schema.String,
  parked: Schema.Array(Schema.String),
  /** The error that the step declares, or a `SagaSystemError`. */
  cause: Schema.Unknown,
  execution: Schema.instanceOf(SagaExecution)
}) {
  override get message(): string {
    return line`Saga ${this.saga} (${this.uuid}) waits for a person behind its pivot, at ${this.parked.join(", ")}: ${describe(this.cause)}`
  }

  /** For logs: without the execution, whose context may hold what belongs into no log. */
  override toJSON(): unknown {
    return json(this)
  }
}

/** The error for the callers of an execution that waits for a person behind its pivot; undefined: it waits for none. */
export const parkedForward = (execution: SagaExecution): SagaParkedForward | undefined => {
  const { definition, saga, state, uuid } = execution
  if (!isParkedForward(state)) return undefined
  const failure = parkedFailure(state)
  const cause = failure === undefined ? undefined : toError(failure, saga, definition)
  return new SagaParkedForward({ uuid, saga, parked: [...state.parked], cause, execution })
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
