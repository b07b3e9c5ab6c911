/**
 * The errors of a failed execution. A failure is stored as data (`SagaFailure`); `toError` makes the error that callers
 * get. In the process where a step failed, callers get the very error of its callback.
 */
import { Cause, Schema } from "effect"
import { SagaResponseError } from "../../definition/SagaMessage.ts"
import * as SagaPath from "../../definition/SagaPath.ts"
import type { Definition } from "../../definition/SagaStep.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import { check, type Json } from "../../wire/JsonLimits.ts"
import { describe, json, line } from "../../wire/OneLine.ts"
import { isDeclared, type SagaFailure } from "../rules/SagaFailure.ts"

/**
 * A step had no result at its deadline (milliseconds since the epoch). Stands in the `cause` of `SagaFailedExecutionStep`.
 * Whether the step had an effect was not known; the rollback asks for it. Give the step a longer `timeout` if it is slow.
 */
export class SagaStepTimedOut extends Schema.TaggedError<SagaStepTimedOut>()("SagaStepTimedOut", {
  path: Schema.String,
  step: Schema.String,
  deadline: Schema.Int,
  /** The service of a remote step, where nobody took its commands at the deadline: it did not run, or its name is wrong. */
  unheard: Schema.optionalKey(Schema.String),
  /** Why the broker did not take the request of a remote step: it is too large for it. */
  refused: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    const silence = this.unheard === undefined ? "" : `: nobody listens to the service ${this.unheard}`
    const why = this.refused === undefined ? silence : `: ${this.refused}`
    return line`Step ${this.step} (${this.path}) had no result at its deadline ${new Date(this.deadline).toISOString()}${why}`
  }
}

/**
 * The process stopped in the middle of a local step whose `onCrash` forbids running it again. Stands in the `cause` of
 * `SagaFailedExecutionStep`. Steps that may safely run twice can have `onCrash: "retry"`.
 */
export class SagaStepInterrupted extends Schema.TaggedError<SagaStepInterrupted>()("SagaStepInterrupted", {
  path: Schema.String,
  step: Schema.String
}) {
  override get message(): string {
    return line`Step ${this.step} (${this.path}) was left half done by a crash`
  }
}

/**
 * The saga that a step has started is cancelled and not undone yet, so the step is not either. It is looked at again. Stands in the
 * `cause` of `SagaFailedExecutionStep`, among the `later` errors of an execution.
 */
export class SagaStartedNotUndone extends Schema.TaggedError<SagaStartedNotUndone>()("SagaStartedNotUndone", {
  path: Schema.String,
  step: Schema.String,
  /** The execution that the step has started. */
  uuid: Schema.String
}) {
  override get message(): string {
    return line`Execution ${this.uuid}, which step ${this.step} (${this.path}) has started, is not undone yet`
  }
}

/**
 * A value cannot be stored or sent: it does not fit its schema, or is not JSON. A caller gets the error itself for the
 * initial context and for the content of a response; for a step it stands in the `cause` of `SagaFailedExecutionStep`.
 * `issue` names the place in the value, never the value.
 */
export class SagaContextEncodeError extends Schema.TaggedError<SagaContextEncodeError>()("SagaContextEncodeError", {
  path: Schema.String,
  step: Schema.String,
  issue: Schema.String
}) {
  override get message(): string {
    return this.path === ""
      ? line`The initial context cannot be stored: ${this.issue}`
      : line`The value of step ${this.step} (${this.path}) cannot be stored or sent: ${this.issue}`
  }
}

/**
 * A stored or received value does not fit the schema of its step: the other side sends another format, or the schema was
 * changed while executions were under way. Stands in the `cause` of `SagaFailedExecutionStep`.
 */
export class SagaContextDecodeError extends Schema.TaggedError<SagaContextDecodeError>()("SagaContextDecodeError", {
  path: Schema.String,
  step: Schema.String,
  issue: Schema.String
}) {
  override get message(): string {
    return line`The value of ${this.step === "" ? "the initial context" : `step ${this.step} (${this.path})`} cannot be read: ${this.issue}`
  }
}

/**
 * The context, or a message, is larger than SPEC C11 allows. A caller gets the error itself for the initial context; for a
 * step it stands in the `cause` of `SagaFailedExecutionStep`. Store large values elsewhere and keep their id in the context.
 */
export class SagaContextTooLarge extends Schema.TaggedError<SagaContextTooLarge>()("SagaContextTooLarge", {
  path: Schema.String,
  step: Schema.String,
  issue: Schema.String
}) {
  override get message(): string {
    return line`${this.path === "" ? "The initial context" : `The result of step ${this.step} (${this.path})`} is too large: ${this.issue}`
  }
}

/**
 * A reply names services that `SagaConfig.relatedServices` does not allow, or more than 64; or more than 256 services would
 * take part in the execution. Stands in the `cause` of `SagaFailedExecutionStep`. Add the services to the list if they may take part;
 * where there are too many, divide the work among several executions.
 */
export class SagaRelatedServicesRefused extends Schema.TaggedError<SagaRelatedServicesRefused>()(
  "SagaRelatedServicesRefused",
  { path: Schema.String, step: Schema.String, issue: Schema.String }
) {
  override get message(): string {
    return line`Step ${this.step} (${this.path}) names services that are not allowed: ${this.issue}`
  }
}

/**
 * The list of a `Saga.forEach` has more than 1,000 items, or the lists of the execution have more than 10,000 together. Stands in
 * the `cause` of `SagaFailedExecutionStep`. Divide the work: an execution for each part of the list.
 */
export class SagaTooManyItems extends Schema.TaggedError<SagaTooManyItems>()("SagaTooManyItems", {
  path: Schema.String,
  step: Schema.String,
  issue: Schema.String
}) {
  override get message(): string {
    return line`Step ${this.step} (${this.path}) has too many items: ${this.issue}`
  }
}

/**
 * A step failed with something else than an error that it declares: a callback died (`cause` is its defect), no reply came
 * in time, the other side answered 500, a value broke its schema or a limit. The execution is rolled back; the cause says
 * whether a new execution with the same context may succeed.
 */
export class SagaFailedExecutionStep extends Schema.TaggedError<SagaFailedExecutionStep>()("SagaFailedExecutionStep", {
  saga: Schema.String,
  path: Schema.String,
  step: Schema.String,
  /** Of a remote step, where the program knows the saga. */
  service: Schema.optionalKey(Schema.String),
  command: Schema.optionalKey(Schema.String),
  cause: Schema.Defect()
}) {
  override get message(): string {
    return line`Step ${this.step} (${placeText(this)}) of saga ${this.saga} failed: ${describe(this.cause)}`
  }
  override toJSON(): unknown {
    return json(this)
  }
}

/** The place of a step for a message: its path, and the service and command of a remote one. */
export const placeText = (at: { readonly path: string; readonly service?: string; readonly command?: string }) =>
  at.service === undefined ? at.path : `${at.path}, ${at.service}/${at.command}`

/**
 * The transaction was rejected, because a participant voted against it or did not vote in time (`decision: "reject"`); or
 * the commit is decided, and the participants in `pending` have not acknowledged it within `commitWait`
 * (`decision: "commit"`). After a commit there is nothing to do: they are told until they answer.
 */
export class SagaFailedCommitCallback extends Schema.TaggedError<SagaFailedCommitCallback>()(
  "SagaFailedCommitCallback",
  {
    /** The decision. It is final. */
    decision: Schema.Literals(["commit", "reject"]),
    pending: Schema.Array(Schema.String),
    reason: Schema.String
  }
) {
  override get message(): string {
    return this.decision === "commit"
      ? line`The commit is decided and not yet acknowledged by ${this.pending.join(", ")}: ${this.reason}`
      : line`The transaction was rejected: ${this.reason}`
  }
}

/** The execution was cancelled by `SagaManager.cancel`, and is rolled back. A new execution can be started. */
export class SagaCancelled extends Schema.TaggedError<SagaCancelled>()("SagaCancelled", {
  actor: Schema.optionalKey(Schema.String),
  reason: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    return line`The execution was cancelled${said(this)}`
  }
}

/**
 * Nothing was decided at the deadline of the execution (milliseconds since the epoch), and it is rolled back. Give the saga a
 * longer `deadline` if it may take longer.
 */
export class SagaDeadlinePassed extends Schema.TaggedError<SagaDeadlinePassed>()("SagaDeadlinePassed", {
  deadline: Schema.Int
}) {
  override get message(): string {
    return line`The execution was not decided at its deadline ${new Date(this.deadline).toISOString()}`
  }
}

/** The execution was rolled back or rejected by hand (`reject`, `rollback`). A new execution can be started. */
export class SagaRejected extends Schema.TaggedError<SagaRejected>()("SagaRejected", {
  actor: Schema.optionalKey(Schema.String),
  reason: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    return this.actor === undefined
      ? "The execution was rejected by its caller"
      : line`The execution was rejected${said(this)}`
  }
}

const said = ({ actor, reason }: { readonly actor?: string; readonly reason?: string }): string =>
  `${actor === undefined ? "" : ` by ${actor}`}${reason === undefined ? "" : `: ${reason}`}`

/** The errors of an execution besides those that its steps declare. */
export type SagaSystemError =
  | SagaFailedExecutionStep
  | SagaFailedCommitCallback
  | SagaDeadlinePassed
  | SagaCancelled
  | SagaRejected

/** Not enumerable, so no copy and no stored form has it. A weak map would double the time of a saga that fails. */
const original = Symbol("original")

/** Keeps the error itself for as long as this process has the failure: the encoded failure may have less in it. */
export const remember = (self: SagaFailure, error: unknown): void => {
  Object.defineProperty(self, original, { value: error })
}

// A cast, as the property is no part of a failure's form.
const originalOf = (self: SagaFailure): unknown => (self as { readonly [original]?: unknown })[original]

/** A larger defect is stored as its tag and the beginning of its message. */
const maxDefectSize = 65_536

/** Whether this process has the error itself. */
export const isRemembered = (self: SagaFailure): boolean => original in self

/** The stored form of a defect, or of anything else that was thrown. */
export const encodeDefect = (defect: unknown): Json => {
  const encoded = JsonCodec.encode(Schema.Defect(), defect)
  if (encoded === undefined || JsonCodec.isCodecIssue(encoded)) {
    return { name: "Error", message: "a defect that is not JSON" }
  }
  const size = check(encoded)
  return typeof size === "number" && size <= maxDefectSize ? encoded : { name: "Error", message: describe(defect) }
}

export const defectOf = (cause: Cause.Cause<unknown>): unknown =>
  Cause.hasInterruptsOnly(cause) ? new Error("the callback interrupted itself") : Cause.squash(cause)

/** The error of a caller: the declared error itself, or a `SagaSystemError`. */
export const toError = (self: SagaFailure, saga: string, definition: Definition | undefined): unknown => {
  switch (self._tag) {
    case "CommitFailed":
      return new SagaFailedCommitCallback({ decision: "reject", pending: [], reason: self.reason })
    case "DeadlinePassed":
      return new SagaDeadlinePassed({ deadline: self.deadline })
    case "Cancelled":
      return new SagaCancelled(by(self))
    case "Rejected":
      return new SagaRejected(by(self))
    case "StepError":
      return originalOf(self) ?? declaredError(self, saga, definition)
    case "StepRefused":
      if (isDeclared(self)) return new SagaResponseError({ status: 400, content: self.content })
  }
  return new SagaFailedExecutionStep({ saga, ...placeOf(self, definition), cause: causeOf(self, definition) })
}

/** The step that a failure is about, with the service that it asks and the command. */
export interface Place {
  readonly path: string
  readonly step: string
  readonly service?: string
  readonly command?: string
}

const placeOf = (
  { path, step: name }: Omit<Place, "service" | "command">,
  definition: Definition | undefined
): Place => {
  const step = definition === undefined ? undefined : SagaPath.at(definition, path)
  if (step?._tag !== "Remote") return { path, step: name }
  const { command, service } = step.execute
  return { path, step: name, service, command }
}

/** The place of the step that failed first; undefined where no step did: the execution was cancelled or rejected. */
export const failedStep = (self: SagaFailure | undefined, definition: Definition | undefined): Place | undefined =>
  self !== undefined && "path" in self ? placeOf(self, definition) : undefined

const by = ({ actor, reason }: { readonly actor?: string; readonly reason?: string }) => ({
  ...(actor !== undefined && { actor }),
  ...(reason !== undefined && { reason })
})

const causeOf = (
  self: Exclude<
    SagaFailure,
    { readonly _tag: "CommitFailed" | "DeadlinePassed" | "Cancelled" | "Rejected" | "StepError" }
  >,
  definition: Definition | undefined
): unknown => {
  const { path, step } = self
  switch (self._tag) {
    case "StepDefect": {
      if (original in self) return originalOf(self)
      const defect = JsonCodec.decode(Schema.Defect(), self.defect)
      return JsonCodec.isCodecIssue(defect) ? self.defect : defect
    }
    case "StepTimedOut":
      return new SagaStepTimedOut({
        path,
        step,
        deadline: self.deadline,
        ...(self.unheard === true && { unheard: placeOf(self, definition).service ?? "" }),
        ...(self.refused !== undefined && { refused: self.refused })
      })
    case "StepRefused":
      return new SagaResponseError({ status: self.status === 400 ? 400 : 500, content: self.content })
    case "StepInterrupted":
      return new SagaStepInterrupted({ path, step })
    case "StartedNotUndone":
      return new SagaStartedNotUndone({ path, step, uuid: self.uuid })
    case "StepValueRejected":
      switch (self.rule) {
        case "encode":
          return new SagaContextEncodeError({ path, step, issue: self.issue })
        case "decode":
          return new SagaContextDecodeError({ path, step, issue: self.issue })
        case "context-size":
        case "message-size":
          return new SagaContextTooLarge({ path, step, issue: self.issue })
        case "related-services":
          return new SagaRelatedServicesRefused({ path, step, issue: self.issue })
        case "items":
          return new SagaTooManyItems({ path, step, issue: self.issue })
      }
  }
}

const declaredError = (
  { error, path, step: name }: Extract<SagaFailure, { readonly _tag: "StepError" }>,
  saga: string,
  definition: Definition | undefined
): unknown => {
  const step = definition === undefined ? undefined : SagaPath.at(definition, path)
  if (step === undefined || (step._tag !== "Local" && step._tag !== "Remote")) return error
  const decoded = JsonCodec.decode(step.error, error)
  return JsonCodec.isCodecIssue(decoded)
    ? new SagaFailedExecutionStep({
        saga,
        ...placeOf({ path, step: name }, definition),
        cause: new SagaContextDecodeError({ path, step: name, issue: decoded.message })
      })
    : decoded
}
