/** Executions on Postgres: on one database, or spread over several. */
export { layer, type SqlSagaExecutionRepositoryOptions } from "../adapters/sql/SqlSagaExecutionRepository.ts"
export { type Database, type Databases, layerSharded, type ShardedOptions } from "../adapters/sql/SqlShards.ts"
