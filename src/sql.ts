/** Executions, and what participants keep, on Postgres, over any `effect/sql` client. */
export * as SqlParticipantStore from "./adapters/sql/SqlParticipantStore.ts"
export * as SqlSagaExecutionRepository from "./adapters/sql/SqlSagaExecutionRepository.ts"
