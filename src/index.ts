/** Everything of the core, room by room. Drivers and test tools have entry points of their own. */

// Adapters that need nothing installed
export * as KeyValueRepository from "./adapters/keyvalue/KeyValueRepository.ts"
// Definition
export * as Command from "./definition/Command.ts"
export * as Saga from "./definition/Saga.ts"
export { SagaRequest, SagaResponse, SagaResponseError, SagaResponseStatus } from "./definition/SagaMessage.ts"
export * as SagaPath from "./definition/SagaPath.ts"
export * as SagaRegistry from "./definition/SagaRegistry.ts"
export * as SagaShape from "./definition/SagaShape.ts"
export type * as SagaStep from "./definition/SagaStep.ts"
export * as SagaValidation from "./definition/SagaValidation.ts"
export * as SagaDecision from "./execution/rules/SagaDecision.ts"
export * as SagaEvent from "./execution/rules/SagaEvent.ts"
export * as SagaInput from "./execution/rules/SagaInput.ts"
export { CommitState, Decision, SagaStatus, SagaStepStatus } from "./execution/rules/SagaStatus.ts"
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
} from "./execution/view/ExecutionErrors.ts"
export * as SagaExecution from "./execution/view/SagaExecution.ts"
export * as SagaStepExecution from "./execution/view/SagaStepExecution.ts"
// Runtime
export * as Executor from "./orchestrator/Executor.ts"
export * as SagaService from "./orchestrator/ReplyConsumer.ts"
export * as SagaConfig from "./orchestrator/SagaConfig.ts"
export * as SagaError from "./orchestrator/SagaError.ts"
export * as SagaManager from "./orchestrator/SagaManager.ts"
export * as SagaRunner from "./orchestrator/SagaRunner.ts"
export * as Participant from "./participant/Participant.ts"
export * as ParticipantConfig from "./participant/ParticipantConfig.ts"
export { TransactionRefused, transactional } from "./participant/Transactional.ts"
// Ports
export * as Broker from "./ports/Broker.ts"
export * as DeadLetters from "./ports/DeadLetters.ts"
export { FaultPoint } from "./ports/FaultPoint.ts"
export * as ParticipantStore from "./ports/ParticipantStore.ts"
export * as RequestContext from "./ports/RequestContext.ts"
export * as SagaExecutionRepository from "./ports/SagaExecutionRepository.ts"
export { SagaTransaction } from "./ports/SagaTransaction.ts"
export { InvalidSetting } from "./ports/Setting.ts"
export * as TransactionCommitter from "./ports/TransactionCommitter.ts"
// Tooling
export * as SagaDiagram from "./tooling/SagaDiagram.ts"
export * as SagaStory from "./tooling/SagaStory.ts"
// Execution
export * as Envelope from "./wire/Envelope.ts"
export { UuidGenerator } from "./wire/Uuid.ts"
