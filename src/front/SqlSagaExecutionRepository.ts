/** Executions on Postgres: on one database, or spread over several. */
export type { Database, Databases } from "../adapters/sql/OpenShards.ts"
export { layer, type SqlSagaExecutionRepositoryOptions } from "../adapters/sql/SqlSagaExecutionRepository.ts"
export { layerSharded, type ShardedOptions } from "../adapters/sql/SqlShards.ts"
