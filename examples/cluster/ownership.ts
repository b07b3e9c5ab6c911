/** Executions shared out by Effect Cluster. `host` and `port` are where the other processes of the service reach this one. */
import { NodeClusterSocket } from "@effect/platform-node"
import { Layer } from "effect"
import { ClusterOwnership, ClusterRunner } from "effect-saga/cluster"

export const ownership = (host: string, port: number) =>
  Layer.provide(ClusterOwnership.layer, ClusterRunner.layer(NodeClusterSocket, { host, port }))
