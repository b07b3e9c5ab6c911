/** The errors of the manager's doors: those of its own, and for each door the union of what it can fail with. */
import { Schema } from "effect"
import type * as SagaRegistry from "../definition/SagaRegistry.ts"
import type * as SagaInput from "../execution/rules/SagaInput.ts"
import type * as SignalInput from "../execution/rules/SignalInput.ts"
import type { SagaContextEncodeError, SagaContextTooLarge } from "../execution/view/ExecutionErrors.ts"
import type { SagaExecutionUnreadable } from "../execution/view/Readable.ts"
import type { SagaInvalidStart, SagaInvalidUuid } from "../execution/view/SagaExecution.ts"
import type {
  SagaExecutionNotFound,
  SagaExecutionRepositoryError,
  SagaRepositoryUnsupported
} from "../ports/SagaExecutionRepository.ts"
import { line } from "../wire/OneLine.ts"
import type { StorageError } from "./ExecutionLoop.ts"
import type * as Supervisor from "./ExecutionSupervisor.ts"
import type { SagaOverloaded } from "./ExecutionSupervisor.ts"
import type { SagaQueueFull, SagaQueueUnknown } from "./QueueErrors.ts"

export type { StorageError } from "./ExecutionLoop.ts"
export { type RunError, SagaOverloaded } from "./ExecutionSupervisor.ts"
export { SagaQueueFull, SagaQueueUnknown } from "./QueueErrors.ts"
export { SagaOwnServiceRequested } from "./Registration.ts"

/**
 * The start key or uuid belongs to an execution that was started with something else (SPEC C9): another `saga`, another `version`
 * of this saga (its steps, or what `Saga.make` calls so), or another `context`. `uuid` is that execution: a caller that only wants
 * it to be there, whatever version it has, is done.
 */
export class SagaStartConflict extends Schema.TaggedError<SagaStartConflict>()("SagaStartConflict", {
  uuid: Schema.String,
  saga: Schema.String,
  difference: Schema.Literals(["saga", "version", "context"]),
  startKey: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    const named = this.startKey === undefined ? "uuid" : line`start key ${JSON.stringify(this.startKey)}`
    const { difference, saga, uuid } = this
    return line`The ${named} belongs to execution ${uuid} of saga ${saga}, which ${differences[difference]}`
  }
}

const differences = {
  saga: "is another one",
  version: "was started with another version of it",
  context: "was started with other initial values"
} as const

/** A response does not say which execution it is for. */
export class SagaResponseUnaddressed extends Schema.TaggedError<SagaResponseUnaddressed>()(
  "SagaResponseUnaddressed",
  {}
) {
  override get message(): string {
    return "The response has no uuid: it must name the execution that it answers"
  }
}

/**
 * A signal cannot be sent as it is: its payload does not fit the signal's schema or is too large, or its key, its id, the actor or
 * the name of the execution is no text that can be stored. `issue` names the place, never the value. Nothing is stored.
 */
export class SagaSignalInvalid extends Schema.TaggedError<SagaSignalInvalid>()("SagaSignalInvalid", {
  signal: Schema.String,
  field: Schema.Literals(["signal", "options", "uuid", "startKey", "payload", "key", "id", "actor"]),
  issue: Schema.String
}) {
  override get message(): string {
    return line`The signal ${this.signal} cannot be sent: its ${this.field} ${this.issue}`
  }
}

/**
 * `resolveParked` gave a result for a step whose service has done it after all: the service was asked first, and its recorded
 * result counts (SPEC C18). The execution goes on with that. Tell the person: what they have done by hand may have to be undone.
 */
export class SagaResolutionOverruled extends Schema.TaggedError<SagaResolutionOverruled>()("SagaResolutionOverruled", {
  uuid: Schema.String,
  path: Schema.String
}) {
  override get message(): string {
    return line`Step ${this.path} of execution ${this.uuid} was done by its service, whose result counts`
  }
}

/**
 * An argument is not what its type says, as plain JavaScript or a value of a request may have it; or there is no such option; or the actor or the reason of a
 * person cannot be stored: too long (256 and 4,096 bytes), or with a NUL or half a surrogate. Nothing was done.
 */
export class SagaInvalidArgument extends Schema.TaggedError<SagaInvalidArgument>()("SagaInvalidArgument", {
  argument: Schema.String,
  issue: Schema.String
}) {
  override get message(): string {
    return line`The argument ${this.argument} cannot be used: ${this.issue}`
  }
}

/** Why an execution could not be looked at or changed. */
export type ControlError = Supervisor.ControlError | SagaInvalidArgument

/** Why an execution could not be given with the types of its saga. */
export type LoadError =
  | SagaExecutionNotFound
  | SagaExecutionRepositoryError
  | SagaRegistry.SagaDefinitionDrift
  | SagaExecutionUnreadable
  | SagaRepositoryUnsupported
  | SagaInvalidArgument

/** Why an execution could not be started, or its record not be written. */
export type StartError =
  | SagaRegistry.SagaNotRegistered
  | SagaRegistry.SagaDefinitionDrift
  | SagaContextEncodeError
  | SagaContextTooLarge
  | SagaInvalidUuid
  | SagaInvalidStart
  | SagaStartConflict
  | SagaInvalidArgument
  | SagaOverloaded
  | SagaQueueUnknown
  | SagaQueueFull
  | StorageError

/** Why a signal was not taken: nothing of it is stored. */
export type SignalError =
  | SagaSignalInvalid
  | SignalInput.SagaSignalConflict
  | SignalInput.SagaSignalsFull
  | SignalInput.SagaSignalRefused
  | SagaRepositoryUnsupported
  | ControlError

/** Why a response was not taken. */
export type ResumeError =
  | SagaResponseUnaddressed
  | SagaContextEncodeError
  | SagaInput.SagaExecutionAlreadyExecuted
  | SagaInput.SagaResponseAmbiguous
  | SagaInput.SagaResponseConflict
  | SagaInput.SagaResponseNotAwaited
  | ControlError
