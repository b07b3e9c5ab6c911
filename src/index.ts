/**
 * The public front. A module of `front/` lists which names of a file are public; the other modules are public as they
 * are. Drivers, test tools and internals have entry points of their own (`effect-saga/sql`, `/mqtt`, `/testing`, …).
 */

// Definition

export type * as Command from "./definition/Command.ts"
export * as Saga from "./definition/Saga.ts"
export {
  type Content,
  SagaRequest,
  SagaResponse,
  SagaResponseError,
  SagaResponseStatus,
  type Target
} from "./definition/SagaMessage.ts"
export * as SagaShape from "./definition/SagaShape.ts"
export type * as SagaStep from "./definition/SagaStep.ts"
export * as SagaValidation from "./definition/SagaValidation.ts"
export * as Signal from "./definition/Signal.ts"
export type { SagaEvent } from "./execution/rules/SagaEvent.ts"
export { CommitState, Decision, SagaStatus, SagaStepStatus } from "./execution/rules/SagaStatus.ts"

// Orchestrator

export * as SagaExecution from "./front/SagaExecution.ts"
export * as SagaService from "./front/SagaService.ts"
export * as SagaConfig from "./orchestrator/SagaConfig.ts"
export * as SagaError from "./orchestrator/SagaError.ts"
export * as SagaManager from "./orchestrator/SagaManager.ts"
export * as SagaQueue from "./orchestrator/SagaQueue.ts"
export * as SagaRunner from "./orchestrator/SagaRunner.ts"
export * as SagaSchedule from "./orchestrator/SagaSchedule.ts"

// Participant

export * as Participant from "./participant/Participant.ts"
export * as ParticipantConfig from "./participant/ParticipantConfig.ts"
export { transactional } from "./participant/Transactional.ts"

// Ports, and adapters that need nothing installed

export * as KeyValueRepository from "./adapters/keyvalue/KeyValueRepository.ts"
export * as Broker from "./front/Broker.ts"
export * as DeadLetters from "./front/DeadLetters.ts"
export * as Inspector from "./front/Inspector.ts"
export * as RequestContext from "./front/RequestContext.ts"
export * as SagaExecutionRepository from "./front/SagaExecutionRepository.ts"
export * as SagaOwnership from "./front/SagaOwnership.ts"
export * as SagaTracing from "./front/SagaTracing.ts"
export * as TransactionCommitter from "./front/TransactionCommitter.ts"
export * as ParticipantStore from "./ports/ParticipantStore.ts"
export { SagaTransaction } from "./ports/SagaTransaction.ts"
export type { Json } from "./wire/JsonLimits.ts"
export { UuidGenerator } from "./wire/Uuid.ts"

// Tooling

export * as SagaDiagram from "./tooling/SagaDiagram.ts"
export * as SagaStory from "./tooling/SagaStory.ts"
