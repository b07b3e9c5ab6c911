/** Everything of the core, room by room. Drivers and test tools have entry points of their own. */

// Definition
export * as Command from "./definition/Command.ts"
export * as Saga from "./definition/Saga.ts"
export { SagaRequest, SagaResponse, SagaResponseError, SagaResponseStatus } from "./definition/SagaMessage.ts"
export * as SagaPath from "./definition/SagaPath.ts"
export * as SagaRegistry from "./definition/SagaRegistry.ts"
export * as SagaShape from "./definition/SagaShape.ts"
export type * as SagaStep from "./definition/SagaStep.ts"
export * as SagaValidation from "./definition/SagaValidation.ts"

// Execution
export * as Envelope from "./execution/Envelope.ts"
export * as SagaDecision from "./execution/SagaDecision.ts"
export * as SagaEvent from "./execution/SagaEvent.ts"
export * as SagaExecution from "./execution/SagaExecution.ts"
export {
  SagaCancelled,
  SagaContextDecodeError,
  SagaContextEncodeError,
  SagaContextTooLarge,
  SagaFailedCommitCallback,
  SagaFailedExecutionStep,
  SagaRejected,
  SagaRelatedServicesRefused,
  SagaStepInterrupted,
  SagaStepTimedOut,
  type SagaSystemError
} from "./execution/SagaFailure.ts"
export { CommitState, Decision, SagaStatus, SagaStepStatus } from "./execution/SagaStatus.ts"
export * as SagaStepExecution from "./execution/SagaStepExecution.ts"
export * as SagaTrigger from "./execution/SagaTrigger.ts"
export { UuidGenerator } from "./execution/Uuid.ts"

// Ports
export * as Broker from "./ports/Broker.ts"
export * as DeadLetters from "./ports/DeadLetters.ts"
export { FaultPoint } from "./ports/FaultPoint.ts"
export * as ParticipantStore from "./ports/ParticipantStore.ts"
export * as SagaExecutionRepository from "./ports/SagaExecutionRepository.ts"
export * as TransactionCommitter from "./ports/TransactionCommitter.ts"

// Runtime
export * as Executor from "./runtime/CallerExecutor.ts"
export * as Participant from "./runtime/Participant.ts"
export * as RequestContext from "./runtime/RequestContext.ts"
export * as SagaConfig from "./runtime/SagaConfig.ts"
export * as SagaError from "./runtime/SagaError.ts"
export * as SagaManager from "./runtime/SagaManager.ts"
export * as SagaRunner from "./runtime/SagaRunner.ts"
export * as SagaService from "./runtime/SagaService.ts"
export { SagaTransaction } from "./runtime/SagaTransaction.ts"
export { TransactionRefused, transactional } from "./runtime/Transactional.ts"

// Tooling
export * as SagaDiagram from "./tooling/SagaDiagram.ts"
export * as SagaStory from "./tooling/SagaStory.ts"
