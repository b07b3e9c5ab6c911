/** The inspector on Postgres: of one database, or of several among which executions are spread. */
export { layerSharded, type ShardedInspectorOptions } from "../adapters/sql/ShardedInspector.ts"
export { layer, type SqlInspectorOptions } from "../adapters/sql/SqlInspector.ts"
