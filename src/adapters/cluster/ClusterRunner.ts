/**
 * A runner of Effect Cluster that fits `ClusterOwnership`. Runners know each other by tables in Postgres, and speak over sockets. No
 * message is stored: the facts of the executions are the truth.
 */
import { Duration, Effect, Layer, Option } from "effect"
import {
  MessageStorage,
  RunnerAddress,
  RunnerHealth,
  Runners,
  type Sharding,
  ShardingConfig,
  SocketRunner,
  SqlRunnerStorage
} from "effect/cluster"
import { RpcSerialization } from "effect/rpc"
import type { SocketServer } from "effect/socket"
import type { SqlClient } from "effect/sql"
import { bucketCount } from "../../ports/Buckets.ts"
import * as Setting from "../../ports/Setting.ts"

export interface RunnerOptions {
  /** The name or the address at which the other runners reach this process. */
  readonly host: string
  /** The port at which they reach it: a whole number from 1 to 65,535. Each process of one machine has its own. */
  readonly port: number
  /** The address at which the process listens, where it is another one. Default: `host` and `port`. */
  readonly listen?: { readonly host: string; readonly port: number }
  /**
   * After how long without a sign of life a process loses its buckets: it was killed, or stands still. From 1 second to 1 minute,
   * default 3 seconds. Let it be that of `SagaConfig.lease`: what the process was at work on is free when both are over.
   */
  readonly expiration?: Duration.Input
  /**
   * Into how many parts the executions are shared out: a whole number from 1 to 256, default 64, the same in all processes. A few times
   * as many as there are processes: a part moves by statements of its own, so more of them take longer to move.
   */
  readonly shards?: number
  /** The beginning of the names of the tables: a letter, then letters, digits and `_`. All runners have the same. Default `cluster`. */
  readonly prefix?: string
}

const names: Setting.Names<RunnerOptions> = {
  host: true,
  port: true,
  listen: true,
  expiration: true,
  prefix: true,
  shards: true
}

/** The sockets of a runtime: `NodeClusterSocket` of `@effect/platform-node`, which also runs on Bun and Deno. */
export interface Transport<E> {
  readonly layerSocketServer: Layer.Layer<SocketServer.SocketServer, E, ShardingConfig.ShardingConfig>
  readonly layerClientProtocol: Layer.Layer<Runners.RpcClientProtocol, never, RpcSerialization.RpcSerialization>
}

/** How long a runner has to answer whether it lives, and how often it is asked. */
const ping = { patience: "700 millis", again: 1 } as const

/**
 * Whether a runner lives, found out in a second and a half. `RunnerHealth.layerPing` takes half a minute. A wrong answer costs a
 * move of its buckets and no more: they are given away only when the runner has let them go, or its lease is over.
 */
export const layerHealth: Layer.Layer<RunnerHealth.RunnerHealth, never, Runners.Runners> = Layer.effect(
  RunnerHealth.RunnerHealth,
  Effect.map(Runners.Runners, (runners) =>
    RunnerHealth.RunnerHealth.of({
      isAlive: (address) =>
        runners.ping(address).pipe(Effect.timeout(ping.patience), Effect.retry({ times: ping.again }), Effect.isSuccess)
    })
  )
)

/**
 * The settings of the cluster, for an `expiration` in milliseconds and a number of shards. Those of `ShardingConfig.defaults` take over
 * after more than half a minute. One runner pings the others. Where that one is killed, nobody pings it: the others find it gone after
 * `expiration` and `refreshAssignmentsInterval`, which is 4.5 seconds at most with the defaults.
 */
export const settings = (expiration = 3_000, shards = 64): Partial<ShardingConfig.ShardingConfig["Service"]> => ({
  shardsPerGroup: shards,
  // Locks of a session go with its connection: where one statement of many is late, all shards would be lost.
  shardLockDisableAdvisory: true,
  shardLockExpiration: Duration.millis(expiration),
  // Two statements: the locks, and the sign of life. The cluster takes no longer interval: one that fails is to leave time for another.
  shardLockRefreshInterval: Duration.millis(expiration / 3),
  // One statement that reads who is there, and the only one that can be sent less often.
  refreshAssignmentsInterval: Duration.millis(expiration / 2),
  // By sockets. The database hears of it only where a runner comes or goes.
  runnerHealthCheckInterval: Duration.millis(expiration / 3),
  // No message is polled for: it is also how often a runner tries to get the shards that it has not, and no statement where it has all.
  entityMessagePollInterval: Duration.millis(expiration / 6)
})

const addressOf = Effect.fnUntraced(function* (
  setting: string,
  { host, port }: { readonly host: string; readonly port: number }
) {
  yield* Setting.text(`${setting}.host`, host)
  yield* Setting.wholeNumber(`${setting}.port`, port, { least: 1, most: 65_535 })
  return RunnerAddress.make(host, port)
})

const make = Effect.fnUntraced(function* <E>(transport: Transport<E>, options: RunnerOptions) {
  const {
    expiration = "3 seconds",
    listen,
    prefix,
    shards = 64
  } = yield* Setting.known("ClusterRunner", options, names)
  if (listen !== undefined) yield* Setting.known("ClusterRunner.listen", listen, { host: true, port: true })
  const runnerAddress = yield* addressOf("ClusterRunner", options)
  const listenAddress = listen && (yield* addressOf("ClusterRunner.listen", listen))
  const bounds = { least: "1 second", most: "1 minute" } as const
  const millis = yield* Setting.duration("ClusterRunner.expiration", expiration, bounds)
  yield* Setting.wholeNumber("ClusterRunner.shards", shards, { least: 1, most: bucketCount })
  if (prefix !== undefined && !(typeof prefix === "string" && /^[A-Za-z]\w{0,39}$/.test(prefix))) {
    const issue = "it must be a letter, then up to 39 letters, digits and _"
    return yield* new Setting.InvalidSetting({ setting: "ClusterRunner.prefix", issue })
  }
  return SocketRunner.layer.pipe(
    Layer.provide(Layer.provide(layerHealth, Runners.layerRpc)),
    Layer.provide([transport.layerSocketServer, transport.layerClientProtocol]),
    Layer.provide([
      MessageStorage.layerNoop,
      Layer.orDie(SqlRunnerStorage.layerWith(prefix === undefined ? {} : { prefix }))
    ]),
    Layer.provide([
      RpcSerialization.layerSchemaBinary(),
      ShardingConfig.layer({
        ...settings(millis, shards),
        runnerAddress: Option.some(runnerAddress),
        runnerListenAddress: Option.fromUndefinedOr(listenAddress)
      })
    ])
  )
})

/**
 * A runner on sockets, with the tables of the runners on the database of `SqlClient`. It keeps one connection of the pool for its
 * locks. Fails with `InvalidSetting`, or where it cannot listen. With it several services of one process, or entities of its own, may
 * share the cluster.
 *
 * @example
 * ```ts
 * const Cluster = ClusterRunner.layer(NodeClusterSocket, { host: "10.0.0.7", port: 34431 })
 * const Ownership = Layer.provide(ClusterOwnership.layer, Cluster)
 * ```
 */
export const layer = <E>(
  transport: Transport<E>,
  options: RunnerOptions
): Layer.Layer<Sharding.Sharding, E | Setting.InvalidSetting, SqlClient.SqlClient> =>
  Layer.unwrap(make(transport, options))
