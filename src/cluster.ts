/** Executions shared out by Effect Cluster. `effect/cluster` is unstable: a minor release of `effect` may change it. */
export * as ClusterOwnership from "./adapters/cluster/ClusterOwnership.ts"
export * as ClusterRunner from "./adapters/cluster/ClusterRunner.ts"
