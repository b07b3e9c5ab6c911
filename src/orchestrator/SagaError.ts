/**
 * The errors of the library as one family, and its parts. Every error is told apart by its tag; these unions and guards
 * are for those who treat a kind of trouble alike, whatever it was.
 */

import type { SagaResponseError } from "../definition/SagaMessage.ts"
import type { SagaDefinitionDrift, SagaInvalid, SagaNotRegistered } from "../definition/SagaRegistry.ts"
import type { SagaDefinitionError } from "../definition/SagaValidation.ts"
import { isSagaDefinitionError } from "../definition/SagaValidation.ts"
import type {
  SagaAlreadyDecided,
  SagaExecutionAlreadyExecuted,
  SagaExecutionNotFinished,
  SagaNotCancellable,
  SagaResponseAmbiguous,
  SagaRollbackExecution,
  SagaStepNotParked
} from "../execution/rules/SagaInput.ts"
import type {
  SagaCancelled,
  SagaContextDecodeError,
  SagaContextEncodeError,
  SagaContextTooLarge,
  SagaFailedCommitCallback,
  SagaFailedExecutionStep,
  SagaRejected,
  SagaRelatedServicesRefused,
  SagaStepInterrupted,
  SagaStepTimedOut
} from "../execution/view/ExecutionErrors.ts"
import type { SagaDecodeError, SagaInvalidUuid } from "../execution/view/SagaExecution.ts"
import type { BrokerError, MessageMalformed, MessageTooLarge, SenderMismatch } from "../ports/Broker.ts"
import type { DeadLettersError } from "../ports/DeadLetters.ts"
import type { ParticipantStoreError, TransactionRefused } from "../ports/ParticipantStore.ts"
import type {
  SagaExecutionConflict,
  SagaExecutionNotFound,
  SagaExecutionRepositoryError,
  SagaExecutionRetired,
  SagaRepositoryUnsupported
} from "../ports/SagaExecutionRepository.ts"
import type { InvalidSetting } from "../ports/Setting.ts"
import type { SagaOverloaded } from "./ExecutionSupervisor.ts"
import type { InvalidServiceName } from "./SagaConfig.ts"
import type { SagaOwnServiceRequested, SagaResponseUnaddressed, SagaStartConflict } from "./SagaManager.ts"
import type { SagaFailedExecution, SagaTransactionUnsupported } from "./SagaRunner.ts"

export {
  isSagaDefinitionError,
  isSagaStepError,
  type SagaDefinitionError,
  type SagaStepError
} from "../definition/SagaValidation.ts"
export { isSagaFailedExecution } from "./SagaRunner.ts"

/** About one step of one run. */
export type SagaStepExecutionError =
  | SagaFailedExecutionStep
  | SagaStepTimedOut
  | SagaStepInterrupted
  | SagaStepNotParked
  | SagaResponseError
  | SagaRelatedServicesRefused
  | SagaContextDecodeError
  | SagaContextEncodeError
  | SagaContextTooLarge

/** About one run. */
export type SagaExecutionError =
  | SagaFailedExecution
  | SagaFailedCommitCallback
  | SagaRollbackExecution
  | SagaCancelled
  | SagaRejected
  | SagaExecutionAlreadyExecuted
  | SagaExecutionNotFinished
  | SagaExecutionNotFound
  | SagaExecutionConflict
  | SagaExecutionRetired
  | SagaExecutionRepositoryError
  | SagaRepositoryUnsupported
  | SagaAlreadyDecided
  | SagaNotCancellable
  | SagaResponseAmbiguous
  | SagaResponseUnaddressed
  | SagaStartConflict
  | SagaOverloaded
  | SagaInvalidUuid
  | SagaDecodeError
  | SagaDefinitionDrift
  | SagaNotRegistered

/** About a message. */
export type SagaMessageError = BrokerError | MessageMalformed | MessageTooLarge | SenderMismatch

/** About a participant: its records, the transactions it joins, what it puts away. */
export type SagaParticipantError = ParticipantStoreError | TransactionRefused | DeadLettersError

export type SagaError =
  | SagaDefinitionError
  | SagaInvalid
  | SagaTransactionUnsupported
  | SagaOwnServiceRequested
  | InvalidServiceName
  | InvalidSetting
  | SagaStepExecutionError
  | SagaExecutionError
  | SagaMessageError
  | SagaParticipantError

const guard =
  <A extends { readonly _tag: string }>(...tags: ReadonlyArray<A["_tag"]>) =>
  (error: unknown): error is A =>
    typeof error === "object" &&
    error !== null &&
    "_tag" in error &&
    (tags as ReadonlyArray<unknown>).includes(error._tag) // to search it for any tag

export const isSagaStepExecutionError = guard<SagaStepExecutionError>(
  "SagaFailedExecutionStep",
  "SagaStepTimedOut",
  "SagaStepInterrupted",
  "SagaStepNotParked",
  "SagaResponseError",
  "SagaRelatedServicesRefused",
  "SagaContextDecodeError",
  "SagaContextEncodeError",
  "SagaContextTooLarge"
)

export const isSagaExecutionError = guard<SagaExecutionError>(
  "SagaFailedExecution",
  "SagaFailedCommitCallback",
  "SagaRollbackExecution",
  "SagaCancelled",
  "SagaRejected",
  "SagaExecutionAlreadyExecuted",
  "SagaExecutionNotFinished",
  "SagaExecutionNotFound",
  "SagaExecutionConflict",
  "SagaExecutionRetired",
  "SagaExecutionRepositoryError",
  "SagaRepositoryUnsupported",
  "SagaAlreadyDecided",
  "SagaNotCancellable",
  "SagaResponseAmbiguous",
  "SagaResponseUnaddressed",
  "SagaStartConflict",
  "SagaOverloaded",
  "SagaInvalidUuid",
  "SagaDecodeError",
  "SagaDefinitionDrift",
  "SagaNotRegistered"
)

const isMessageError = guard<SagaMessageError>("BrokerError", "MessageMalformed", "MessageTooLarge", "SenderMismatch")

const isParticipantError = guard<SagaParticipantError>(
  "ParticipantStoreError",
  "TransactionRefused",
  "DeadLettersError"
)

const isSetUpError = guard<
  SagaInvalid | SagaTransactionUnsupported | SagaOwnServiceRequested | InvalidServiceName | InvalidSetting
>("SagaInvalid", "SagaTransactionUnsupported", "SagaOwnServiceRequested", "InvalidServiceName", "InvalidSetting")

export const isSagaError = (error: unknown): error is SagaError =>
  isSagaExecutionError(error) ||
  isSagaStepExecutionError(error) ||
  isSagaDefinitionError(error) ||
  isMessageError(error) ||
  isParticipantError(error) ||
  isSetUpError(error)
