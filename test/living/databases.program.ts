/**
 * One of several orchestrators of the order business over two databases, until it is told to stop by SIGTERM. Lines on its input:
 *
 * - `place 17`: starts the order of this number, which another process may have started
 * - `finish`: prints `settled` when all orders of all processes have ended
 */
import { appendFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { createInterface } from "node:readline"
import * as NodeRuntime from "@effect/platform-node-shared/NodeRuntime"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Logger, Queue, Redacted, Runtime, Schedule } from "effect"
import { SagaConfig, SagaManager, TransactionCommitter } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import { ordersFrom } from "../../bench/business/business.ts"
import * as Business from "./Business.ts"
import * as Journal from "./Journal.ts"
import type { Order } from "./living.program.ts"
import * as Outside from "./Outside.ts"

export interface Told extends Omit<Order, "database" | "schema" | "isLater"> {
  readonly url: string
  readonly schemas: { readonly north: string; readonly south: string }
  readonly broker: string
  readonly namespace: string
}

const told: Told = JSON.parse(process.argv[2] ?? "")
const { note, outside } = Outside.open(told)
const PlaceOrder = Business.make(outside)

/** As few connections as a repository can have. */
const databaseOf = (schema: string) => ({
  client: PgClient.layer({ url: Redacted.make(told.url), maxConnections: 6, connectTimeout: "30 seconds" }),
  schema
})

const Live = SagaManager.layer([PlaceOrder]).pipe(
  Layer.provide(TransactionCommitter.layerTwoPhase),
  Layer.provide([
    Business.broker(told.broker, told.namespace),
    SagaConfig.layer({
      service: "shop",
      lease: told.lease,
      recoveryInterval: told.lease / 3,
      shutdownGrace: told.grace,
      // No outcome depends on how long something took.
      replyTimeout: "1 hour",
      reserveTimeout: "1 hour"
    }),
    SqlSagaExecutionRepository.layerSharded({
      north: databaseOf(told.schemas.north),
      south: databaseOf(told.schemas.south)
    })
  ])
)

/** Starts that have not been answered. */
let open = 0

/** A bucket that moves is away for a moment. */
const place = Effect.fnUntraced(
  function* (n: number) {
    const order = ordersFrom(n, 1)[0]!
    open++
    const uuid = yield* Effect.retry(SagaManager.start(PlaceOrder, { context: order, startKey: order.orderId }), {
      while: ({ _tag }) => _tag === "SagaExecutionRepositoryError",
      schedule: Schedule.spaced("100 millis")
    })
    note({ _tag: "started", uuid, at: Journal.now() })
  },
  Effect.ensuring(Effect.sync(() => open--))
)

/** A page without one of the databases does not say that nothing is left. */
const isSettled = Effect.map(
  SagaManager.SagaManager.use(({ find }) => find({ settled: false }, { limit: 1 })),
  ({ items, missing }) => open === 0 && items.length === 0 && missing === undefined
)

const finish = isSettled.pipe(
  Effect.orElseSucceed(() => false),
  Effect.delay("200 millis"),
  Effect.repeat({ until: (isSettled) => isSettled }),
  Effect.andThen(Effect.sync(() => console.log("settled")))
)

const obey = Effect.gen(function* () {
  const lines = yield* Queue.unbounded<string>()
  createInterface({ input: process.stdin }).on("line", (line) => Queue.offerUnsafe(lines, line))
  console.log("up")
  while (true) {
    const [what, n] = (yield* Queue.take(lines)).split(" ")
    if (what === "place") yield* Effect.forkChild(place(Number(n)))
    if (what === "finish") yield* Effect.forkChild(finish)
  }
})

const log = Logger.layer([
  Logger.map(Logger.formatLogFmt, (line) => appendFileSync(join(told.folder, `${process.pid}.log`), `${line}\n`))
])

obey.pipe(
  Effect.provide(Live),
  Effect.provide(log),
  Effect.ensuring(Effect.sync(() => process.stdin.destroy())),
  NodeRuntime.runMain({ teardown: (exit) => Runtime.defaultTeardown(exit, process.exit) })
)
