/** Executions, what participants keep, and dead letters on Postgres, over any `effect/sql` client. */
export * as SqlDeadLetters from "./adapters/sql/SqlDeadLetters.ts"
export * as SqlOpenTransaction from "./adapters/sql/SqlOpenTransaction.ts"
export * as SqlParticipantStore from "./adapters/sql/SqlParticipantStore.ts"
export * as SqlSagaExecutionRepository from "./adapters/sql/SqlSagaExecutionRepository.ts"
