/**
 * An orchestrator of `bench/processes.ts`. `run <in flight> <count>` on its input runs so many sagas and prints `ran` with what they took;
 * `settle` prints `settled` once the cluster has shared its shards out.
 */
import process from "node:process"
import { createInterface } from "node:readline"
import * as NodeClusterSocket from "@effect/platform-node-shared/NodeClusterSocket"
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Layer, Metric, Option, Redacted, Schema } from "effect"
import { Sharding } from "effect/cluster"
import { Statement } from "effect/sql"
import { Broker, Saga, SagaConfig, SagaManager, SagaOwnership, TransactionCommitter } from "effect-saga"
import { ClusterOwnership, ClusterRunner } from "effect-saga/cluster"
import { MqttBroker } from "effect-saga/mqtt"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import { settled } from "../../test/fixtures/shards.ts"
import * as Databases from "./databases.ts"
import { Echo } from "./echo.ts"

export interface Order extends Databases.Place {
  /** The sagas are spread over two. */
  readonly databases: 1 | 2
  /** The broker, where the steps are remote. Without it they are local. */
  readonly mqtt?: string
  /** Of the runner, where the executions are shared out by a cluster. Without it leases do that. */
  readonly port?: number
  /** Milliseconds. Without them: the defaults. */
  readonly lease?: number
  readonly recoveryInterval?: number
}

/** The cost of the sagas of one process. */
export interface Ran {
  readonly count: number
  /** Milliseconds. */
  readonly millis: number
  readonly cpu: number
  readonly statements: number
  /** Leases that were over before they were renewed, since the process began. */
  readonly lapses: number
}

const nothing = () => Effect.void
const local = (n: number) => Effect.sync(() => n + 1)

const Local = Saga.make("Local", { context: { n: Schema.Int } }).pipe(
  Saga.local("a", { success: Schema.Int, execute: ({ n }) => local(n), compensate: nothing }),
  Saga.local("b", { success: Schema.Int, execute: ({ a }) => local(a), compensate: nothing }),
  Saga.local("c", { success: Schema.Int, execute: ({ b }) => local(b), compensate: nothing }),
  Saga.commit
)

const Remote = Saga.make("Remote", { context: { n: Schema.Int } }).pipe(
  Saga.remote("a", { execute: { command: Echo.commands.Say, payload: ({ n }) => ({ n }) } }),
  Saga.commit
)

const order: Order = JSON.parse(process.argv[2] ?? "")
const { databases, lease, mqtt, port, recoveryInterval, schema, url } = order

let statements = 0
const counter: Statement.Transformer = (statement) =>
  Effect.sync(() => {
    statements++
    return statement
  })

const Ownership =
  port === undefined
    ? SagaOwnership.layerLease
    : Layer.provideMerge(
        ClusterOwnership.layer,
        ClusterRunner.layer(NodeClusterSocket, {
          host: "127.0.0.1",
          port,
          prefix: schema,
          ...(lease !== undefined && { expiration: lease })
        })
      )

const maxConnections = 10

const Repository =
  databases === 2
    ? SqlSagaExecutionRepository.layerSharded(Databases.of(order, maxConnections))
    : SqlSagaExecutionRepository.layer({ schema })

const Live = SagaManager.layer([Local, Remote]).pipe(
  Layer.provideMerge(Ownership),
  Layer.provide([
    SagaConfig.layer({
      service: "bench",
      ...(lease !== undefined && { lease }),
      ...(recoveryInterval !== undefined && { recoveryInterval })
    }),
    Repository,
    mqtt === undefined ? Broker.layerMemory : MqttBroker.layer({ url: mqtt }),
    TransactionCommitter.layerNone
  ]),
  Layer.provide(PgClient.layer({ url: Redacted.make(url), maxConnections })),
  Layer.provide(Layer.succeed(Statement.CurrentTransformer, counter))
)

const one = (n: number): Effect.Effect<unknown, unknown, SagaManager.SagaManager> =>
  mqtt === undefined ? SagaManager.execute(Local, { context: { n } }) : SagaManager.execute(Remote, { context: { n } })

const cost = Effect.fnUntraced(function* (inFlight: number, count: number) {
  let begun = 0
  const before = { at: performance.now(), cpu: process.cpuUsage(), statements }
  const loop = Effect.gen(function* () {
    while (begun < count) yield* one(begun++)
  })
  yield* Effect.all(
    Array.from({ length: inFlight }, () => loop),
    { concurrency: "unbounded", discard: true }
  )
  const { system, user } = process.cpuUsage(before.cpu)
  const ran: Ran = {
    count,
    millis: performance.now() - before.at,
    cpu: (system + user) / 1_000,
    statements: statements - before.statements,
    lapses: (yield* Metric.snapshot).reduce(
      (sum, { id, state }) => (id === "effect_saga_lease_lost" ? sum + Number(Object(state).count) : sum),
      0
    )
  }
  return ran
})

const say = (line: string) => Effect.sync(() => void process.stdout.write(`${line}\n`))

const main = Effect.gen(function* () {
  const context = yield* Effect.context<SagaManager.SagaManager>()
  const run = Effect.runForkWith(context)
  const whenSettled = Option.match(Context.getOption(context, Sharding.Sharding), {
    onNone: () => Effect.void,
    onSome: (sharding) => Effect.provideService(settled, Sharding.Sharding, sharding)
  })
  createInterface({ input: process.stdin }).on("line", (line) => {
    const [word, inFlight, count] = line.split(" ")
    if (word === "settle") return run(Effect.andThen(whenSettled, say("settled")))
    return run(Effect.flatMap(cost(Number(inFlight), Number(count)), (ran) => say(`ran ${JSON.stringify(ran)}`)))
  })
  yield* say("up")
  return yield* Effect.never
})

Effect.runFork(Effect.provide(main, Live))
