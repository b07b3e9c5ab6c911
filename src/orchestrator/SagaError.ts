/**
 * The errors of the library: each class, the family of all, and its parts. Each error is told apart by its tag
 * (`Effect.catchTag`); a part and its guard are for code that treats one kind of trouble alike. The errors that a saga
 * declares are its own and no member.
 */
import { Schema } from "effect"
import { SagaResponseError } from "../definition/SagaMessage.ts"
import { SagaDefinitionDrift, SagaInvalid, SagaNotRegistered } from "../definition/SagaRegistry.ts"
import { SagaDefinitionError } from "../definition/SagaValidation.ts"
import {
  SagaAlreadyDecided,
  SagaExecutionAlreadyExecuted,
  SagaExecutionNotFinished,
  SagaNotCancellable,
  SagaResolutionRefused,
  SagaResponseAmbiguous,
  SagaResponseConflict,
  SagaResponseNotAwaited,
  SagaRollbackExecution,
  SagaStepNotParked
} from "../execution/rules/SagaInput.ts"
import { SagaSignalConflict, SagaSignalRefused, SagaSignalsFull } from "../execution/rules/SignalInput.ts"
import {
  SagaCancelled,
  SagaContextDecodeError,
  SagaContextEncodeError,
  SagaContextTooLarge,
  SagaDeadlinePassed,
  SagaFailedCommitCallback,
  SagaFailedExecutionStep,
  SagaRejected,
  SagaRelatedServicesRefused,
  SagaStartedNotUndone,
  SagaStepInterrupted,
  SagaStepTimedOut,
  SagaTooManyItems
} from "../execution/view/ExecutionErrors.ts"
import { SagaExecutionUnreadable } from "../execution/view/Readable.ts"
import { SagaDecodeError, SagaInvalidStart, SagaInvalidUuid } from "../execution/view/SagaExecution.ts"
import { BrokerError, MessageMalformed, MessageTooLarge, SenderMismatch } from "../ports/Broker.ts"
import { DeadLettersError } from "../ports/DeadLetters.ts"
import { InspectorError } from "../ports/Inspector.ts"
import {
  ParticipantAnswerTooLate,
  ParticipantAnswerUnknown,
  ParticipantStoreError,
  TransactionRefused
} from "../ports/ParticipantStore.ts"
import {
  SagaExecutionConflict,
  SagaExecutionNotFound,
  SagaExecutionRepositoryError,
  SagaExecutionRetired,
  SagaInboxFull,
  SagaRepositoryUnsupported
} from "../ports/SagaExecutionRepository.ts"
import { InvalidSetting } from "../ports/Setting.ts"
import { SagaFailedExecution, SagaParkedForward } from "./FailedExecution.ts"
import {
  SagaInvalidArgument,
  SagaOverloaded,
  SagaQueueFull,
  SagaQueueUnknown,
  SagaResolutionOverruled,
  SagaResponseUnaddressed,
  SagaSignalInvalid,
  SagaStartConflict
} from "./ManagerErrors.ts"
import { SagaOwnServiceRequested, SagaTransactionUnsupported } from "./Registration.ts"
import { InvalidServiceName } from "./SagaConfig.ts"

export {
  isSagaDefinitionError,
  isSagaStepError,
  SagaDefinitionError,
  SagaStepError
} from "../definition/SagaValidation.ts"
export type { SagaSystemError } from "../execution/view/ExecutionErrors.ts"
export { isSagaFailedExecution } from "./FailedExecution.ts"
export {
  BrokerError,
  DeadLettersError,
  InspectorError,
  InvalidServiceName,
  InvalidSetting,
  MessageMalformed,
  MessageTooLarge,
  ParticipantAnswerTooLate,
  ParticipantAnswerUnknown,
  ParticipantStoreError,
  SagaAlreadyDecided,
  SagaCancelled,
  SagaContextDecodeError,
  SagaContextEncodeError,
  SagaContextTooLarge,
  SagaDeadlinePassed,
  SagaDecodeError,
  SagaDefinitionDrift,
  SagaExecutionAlreadyExecuted,
  SagaExecutionConflict,
  SagaExecutionNotFinished,
  SagaExecutionNotFound,
  SagaExecutionRepositoryError,
  SagaExecutionRetired,
  SagaExecutionUnreadable,
  SagaFailedCommitCallback,
  SagaFailedExecution,
  SagaFailedExecutionStep,
  SagaInboxFull,
  SagaInvalid,
  SagaInvalidArgument,
  SagaInvalidStart,
  SagaInvalidUuid,
  SagaNotCancellable,
  SagaNotRegistered,
  SagaOverloaded,
  SagaOwnServiceRequested,
  SagaParkedForward,
  SagaQueueFull,
  SagaQueueUnknown,
  SagaRejected,
  SagaRelatedServicesRefused,
  SagaRepositoryUnsupported,
  SagaResolutionOverruled,
  SagaResolutionRefused,
  SagaResponseAmbiguous,
  SagaResponseConflict,
  SagaResponseError,
  SagaResponseNotAwaited,
  SagaResponseUnaddressed,
  SagaRollbackExecution,
  SagaSignalConflict,
  SagaSignalInvalid,
  SagaSignalRefused,
  SagaSignalsFull,
  SagaStartConflict,
  SagaStartedNotUndone,
  SagaStepInterrupted,
  SagaStepNotParked,
  SagaStepTimedOut,
  SagaTooManyItems,
  SagaTransactionUnsupported,
  SenderMismatch,
  TransactionRefused
}

/** About one step of one execution. */
export const SagaStepExecutionError = Schema.Union([
  SagaFailedExecutionStep,
  SagaStepTimedOut,
  SagaStartedNotUndone,
  SagaStepInterrupted,
  SagaStepNotParked,
  SagaResolutionRefused,
  SagaResolutionOverruled,
  SagaResponseError,
  SagaRelatedServicesRefused,
  SagaTooManyItems,
  SagaContextDecodeError,
  SagaContextEncodeError,
  SagaContextTooLarge
])
export type SagaStepExecutionError = typeof SagaStepExecutionError.Type

/** About one execution: its start, its end, its record, what it was asked for. */
export const SagaExecutionError = Schema.Union([
  SagaFailedExecution,
  SagaFailedCommitCallback,
  SagaParkedForward,
  SagaRollbackExecution,
  SagaDeadlinePassed,
  SagaCancelled,
  SagaRejected,
  SagaExecutionAlreadyExecuted,
  SagaExecutionNotFinished,
  SagaExecutionNotFound,
  SagaExecutionConflict,
  SagaExecutionRetired,
  SagaExecutionRepositoryError,
  SagaExecutionUnreadable,
  SagaInboxFull,
  SagaRepositoryUnsupported,
  SagaAlreadyDecided,
  SagaNotCancellable,
  SagaSignalConflict,
  SagaSignalInvalid,
  SagaSignalRefused,
  SagaSignalsFull,
  SagaResponseAmbiguous,
  SagaResponseConflict,
  SagaResponseNotAwaited,
  SagaResponseUnaddressed,
  SagaStartConflict,
  SagaQueueFull,
  SagaQueueUnknown,
  SagaOverloaded,
  SagaInvalidArgument,
  SagaInvalidStart,
  SagaInvalidUuid,
  SagaDecodeError,
  SagaDefinitionDrift,
  SagaNotRegistered,
  InspectorError
])
// The schema cannot say what the cause is.
export type SagaExecutionError =
  | Exclude<typeof SagaExecutionError.Type, { readonly _tag: "SagaFailedExecution" }>
  | SagaFailedExecution

/** About a message. */
export const SagaMessageError = Schema.Union([BrokerError, MessageMalformed, MessageTooLarge, SenderMismatch])
export type SagaMessageError = typeof SagaMessageError.Type

/** About a participant: its records, the transactions it joins, its dead letters. */
export const SagaParticipantError = Schema.Union([
  ParticipantStoreError,
  ParticipantAnswerTooLate,
  ParticipantAnswerUnknown,
  TransactionRefused,
  DeadLettersError
])
export type SagaParticipantError = typeof SagaParticipantError.Type

/** Why a layer cannot be built: its sagas, its settings, or a repository that cannot run the sagas. */
export const SagaSetUpError = Schema.Union([
  SagaInvalid,
  SagaTransactionUnsupported,
  SagaOwnServiceRequested,
  InvalidServiceName,
  InvalidSetting
])
export type SagaSetUpError = typeof SagaSetUpError.Type

/** Every error of the library, but for those of the drivers that have an entry point of their own. */
export const SagaError = Schema.Union([
  ...SagaDefinitionError.members,
  ...SagaStepExecutionError.members,
  ...SagaExecutionError.members,
  ...SagaMessageError.members,
  ...SagaParticipantError.members,
  ...SagaSetUpError.members
])
export type SagaError =
  | SagaDefinitionError
  | SagaStepExecutionError
  | SagaExecutionError
  | SagaMessageError
  | SagaParticipantError
  | SagaSetUpError

export const isSagaStepExecutionError: (error: unknown) => error is SagaStepExecutionError =
  Schema.is(SagaStepExecutionError)

export const isSagaExecutionError: (error: unknown) => error is SagaExecutionError = Schema.is(SagaExecutionError)

/** Whether an error is one of the library, and not one that a saga declares. */
export const isSagaError: (error: unknown) => error is SagaError = Schema.is(SagaError)
