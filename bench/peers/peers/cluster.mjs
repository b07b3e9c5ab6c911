// Tier D (g): effect/cluster ClusterWorkflowEngine on SingleRunner, messages in PostgreSQL through @effect/sql-pg.
// options: pool=N (default 10), multiplex=on, runners=memory (runner storage in memory: no shard-lock traffic), shards=N (default 300)
import * as NodeCrypto from "@effect/platform-node-shared/NodeCrypto"
import { PgClient } from "@effect/sql-pg"
import * as ClusterWorkflowEngine from "effect/cluster/ClusterWorkflowEngine"
import * as SingleRunner from "effect/cluster/SingleRunner"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { PG } from "../lib.mjs"
import { OrderLayer, runOrder } from "./order-workflow.mjs"
export const tier = "D"
export const open = async ({ db, scenario, options }) => {
  const client = PgClient.layer({
    host: PG.host,
    port: PG.port,
    username: PG.user,
    database: db,
    maxConnections: +(options.pool ?? 10),
    multiplex: options.multiplex === "on"
  })
  const engine = ClusterWorkflowEngine.layer.pipe(
    Layer.provide(
      SingleRunner.layer({
        runnerStorage: options.runners ?? "sql",
        shardingConfig: options.shards ? { shardsPerGroup: +options.shards } : {}
      })
    ),
    Layer.provide([client, NodeCrypto.layerDigest])
  )
  const rt = ManagedRuntime.make(OrderLayer.pipe(Layer.provideMerge(engine), Layer.provide(Logger.layer([]))))
  await rt.context()
  return { run: (i) => rt.runPromise(runOrder(i, scenario)), close: () => rt.dispose() }
}
