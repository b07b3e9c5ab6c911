/**
 * A process that runs executions from a queue. It notes the begin and the end of each step in a file of its own, by a clock that all
 * processes of a machine share; what is written there outlives a kill. Lines on its input: `start 0 500` starts executions of these
 * numbers, and prints `started`.
 */
import { appendFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { createInterface } from "node:readline"
import * as NodeRuntime from "@effect/platform-node-shared/NodeRuntime"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted, Schema } from "effect"
import { Broker, Saga, SagaConfig, SagaManager, SagaQueue, TransactionCommitter } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"

/** In nanoseconds, by a clock that all processes share: `process.hrtime` of Deno begins with its process. */
const now = (): bigint => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e6))

/** What the program is told. Times are in milliseconds. */
export interface Order {
  readonly url: string
  readonly schema: string
  /** Where its file is. */
  readonly folder: string
  /** How long a step takes. */
  readonly pace: number
  /** How long an execution sleeps between its two steps. */
  readonly pause: number
  readonly keys: number
  /** Executions that run here at once, at most. Undefined: the default. */
  readonly atOnce?: number
  /** Undefined: without a queue. */
  readonly limits?: SagaQueue.Limits
}

const order: Order = JSON.parse(process.argv[2] ?? "")
const file = join(order.folder, `${process.pid}.ledger`)
const note = (n: number, step: string, what: "begin" | "end") => appendFileSync(file, `${n} ${step} ${what} ${now()}\n`)

const step = (n: number, name: string) =>
  Effect.sync(() => note(n, name, "begin")).pipe(
    Effect.andThen(order.pace === 0 ? Effect.void : Effect.sleep(order.pace)),
    Effect.andThen(Effect.sync(() => note(n, name, "end")))
  )

const Batch = Saga.make("Batch", { context: { n: Schema.Int } }).pipe(
  Saga.local("one", { execute: ({ n }) => step(n, "one") }),
  Saga.sleep("rest", order.pause),
  Saga.local("two", { execute: ({ n }) => step(n, "two") }),
  Saga.commit
)

const queue = order.limits === undefined ? undefined : SagaQueue.make("batch", order.limits)

const config = {
  service: "batch",
  lease: "3 seconds",
  recoveryInterval: "500 millis",
  maxPending: 20_000,
  ...(order.atOnce !== undefined && { maxRunning: order.atOnce })
} as const

const main = SagaManager.layer([Batch], { queues: queue === undefined ? [] : [queue] }).pipe(
  Layer.provide([
    SagaConfig.layer(config),
    SqlSagaExecutionRepository.layer({ schema: order.schema }),
    Broker.layerMemory,
    TransactionCommitter.layerNone
  ]),
  Layer.provide(PgClient.layer({ url: Redacted.make(order.url), maxConnections: 8 }))
)

const program = Effect.gen(function* () {
  const services = yield* Effect.context<SagaManager.SagaManager>()
  const startAll = (from: number, to: number) =>
    Effect.forEach(
      Array.from({ length: to - from }, (_, i) => from + i),
      (n) => SagaManager.start(Batch, { context: { n }, startKey: `n ${n}`, queue, key: `key ${n % order.keys}` }),
      { concurrency: 128, discard: true }
    )
  createInterface({ input: process.stdin }).on("line", (line) => {
    const [, from = "0", to = "0"] = line.split(" ")
    const work = Effect.andThen(
      startAll(Number(from), Number(to)),
      Effect.sync(() => console.log("started"))
    )
    Effect.runForkWith(services)(work)
  })
  console.log("ready")
  return yield* Effect.never
})

NodeRuntime.runMain(Effect.provide(program, main))
