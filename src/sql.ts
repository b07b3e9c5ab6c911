/** Executions on Postgres, over any `effect/sql` client. */
export * as SqlSagaExecutionRepository from "./adapters/sql/SqlSagaExecutionRepository.ts"
