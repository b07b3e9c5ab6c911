/** Executions, the records of participants, and dead letters on Postgres, over any `effect/sql` client. */
export * as SagaExecutionStatements from "./adapters/sql/SagaExecutionStatements.ts"
export type { ConnectionOptions } from "./adapters/sql/SqlConnections.ts"
export * as SqlDeadLetters from "./adapters/sql/SqlDeadLetters.ts"
export * as SqlInspector from "./adapters/sql/SqlInspector.ts"
export * as SqlOpenTransaction from "./adapters/sql/SqlOpenTransaction.ts"
export * as SqlParticipantStore from "./adapters/sql/SqlParticipantStore.ts"
export * as SqlSagaExecutionRepository from "./adapters/sql/SqlSagaExecutionRepository.ts"
export type * as SqlTables from "./adapters/sql/SqlTables.ts"
