/**
 * The insides, for tests and tools that stand close to the library: the rules of an execution, the envelope of a message,
 * what a repository of one's own does with an execution. **No promises**: any release may change or remove any of it.
 * Modules that the public front has too are here with all of their names.
 */

// Definition

export * as Command from "./definition/Command.ts"
export * as SagaPath from "./definition/SagaPath.ts"
export * as SagaRegistry from "./definition/SagaRegistry.ts"

// Execution

export * as SagaDecision from "./execution/rules/SagaDecision.ts"
export * as SagaEvent from "./execution/rules/SagaEvent.ts"
export * as SagaInput from "./execution/rules/SagaInput.ts"
export * as SagaExecution from "./execution/view/SagaExecution.ts"
export * as SagaStepExecution from "./execution/view/SagaStepExecution.ts"

// Orchestrator

export * as Executor from "./orchestrator/Executor.ts"
export * as ReplyConsumer from "./orchestrator/ReplyConsumer.ts"

// Ports

export * as Broker from "./ports/Broker.ts"
export { FaultPoint } from "./ports/FaultPoint.ts"
export * as RequestContext from "./ports/RequestContext.ts"
export * as SagaExecutionRepository from "./ports/SagaExecutionRepository.ts"
export * as TransactionCommitter from "./ports/TransactionCommitter.ts"

// Wire

export * as Envelope from "./wire/Envelope.ts"
