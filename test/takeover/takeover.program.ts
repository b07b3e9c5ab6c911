/**
 * A process that runs executions on Postgres, to be killed and frozen. `start <id>` on its input begins one, whose steps print
 * `step <id> <n>` when they begin. It prints `settled` after `settle`, once the cluster has shared its shards out.
 */
import process from "node:process"
import { createInterface } from "node:readline"
import * as NodeClusterSocket from "@effect/platform-node-shared/NodeClusterSocket"
import * as NodeRuntime from "@effect/platform-node-shared/NodeRuntime"
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import { Sharding } from "effect/cluster"
import { Broker, Saga, SagaConfig, SagaManager, SagaOwnership, TransactionCommitter } from "effect-saga"
import { ClusterOwnership, ClusterRunner } from "effect-saga/cluster"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import { settled } from "../fixtures/shards.ts"

/** What the program is told. Without `lease` and `recoveryInterval` (milliseconds) it has the defaults. */
export interface Order {
  readonly url: string
  readonly schema: string
  readonly steps: number
  /** Milliseconds that a step takes. */
  readonly pace: number
  readonly lease?: number
  readonly recoveryInterval?: number
  /** Where the runner of the process listens. Without it executions are shared out by leases. */
  readonly port?: number
}

const { lease, pace, port, recoveryInterval, schema, steps, url }: Order = JSON.parse(process.argv[2] ?? "")

const Walk = Saga.make("Walk", { context: { id: Schema.String, ns: Schema.Array(Schema.Int) } }).pipe(
  Saga.forEach("walk", {
    items: ({ ns }) => ns,
    item: Schema.Int,
    as: "n",
    concurrency: 1,
    steps: (each) =>
      each.pipe(
        Saga.local("step", {
          success: Schema.Int,
          execute: ({ id, n }) =>
            Effect.sync(() => void process.stdout.write(`step ${id} ${n}\n`)).pipe(
              Effect.andThen(Effect.sleep(pace)),
              Effect.as(n)
            )
        })
      )
  }),
  Saga.commit
)

const Cluster =
  port === undefined
    ? undefined
    : ClusterRunner.layer(NodeClusterSocket, {
        host: "127.0.0.1",
        port,
        ...(lease !== undefined && { expiration: lease })
      })

const Ownership = Cluster === undefined ? SagaOwnership.layerLease : Layer.provideMerge(ClusterOwnership.layer, Cluster)

const Live = SagaManager.layer([Walk]).pipe(
  Layer.provideMerge(Ownership),
  Layer.provide([
    SagaConfig.layer({
      service: "walks",
      ...(lease !== undefined && { lease }),
      ...(recoveryInterval !== undefined && { recoveryInterval })
    }),
    SqlSagaExecutionRepository.layer({ schema }),
    Broker.layerMemory,
    TransactionCommitter.layerNone
  ]),
  Layer.provide(PgClient.layer({ url: Redacted.make(url), maxConnections: 8 }))
)

const main = Effect.gen(function* () {
  const context = yield* Effect.context<SagaManager.SagaManager>()
  const run = Effect.runForkWith(context)
  const sharding = Context.getOption(context, Sharding.Sharding)
  const said = Effect.sync(() => void process.stdout.write("settled\n"))
  const printed = Option.match(sharding, {
    onNone: () => said,
    onSome: (sharding) => Effect.andThen(Effect.provideService(settled, Sharding.Sharding, sharding), said)
  })
  createInterface({ input: process.stdin }).on("line", (line) => {
    const [word, id = ""] = line.split(" ")
    if (word === "settle") return run(printed)
    const ns = Array.from({ length: steps }, (_, n) => n)
    // Without a uuid of its own it begins here.
    return run(Effect.ignore(SagaManager.run(Walk, { context: { id, ns } })))
  })
  yield* Effect.sync(() => process.stdout.write("up\n"))
  return yield* Effect.never
})

NodeRuntime.runMain(Effect.provide(main, Live))
