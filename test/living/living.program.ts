/**
 * One of several processes that run orders and answer their commands, until it is told to stop by SIGTERM. It keeps its share
 * of a number of orders in flight. Lines on its input change that:
 *
 * - `keep 500`: so many are in flight, over all processes
 * - `hold 3000`: each transactional step keeps its connection for so long, in milliseconds
 * - `finish`: starts none, and prints `settled` when all are
 */
import { appendFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { createInterface } from "node:readline"
import * as NodeRuntime from "@effect/platform-node-shared/NodeRuntime"
import { PgClient } from "@effect/sql-pg"
import { Effect, Fiber, Layer, Logger, Redacted, Runtime } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, ParticipantConfig, SagaConfig, SagaManager, SagaTransaction, TransactionCommitter } from "effect-saga"
import { MqttBroker } from "effect-saga/mqtt"
import { PgliteClient } from "effect-saga/pglite"
import { SqlParticipantStore, SqlSagaExecutionRepository } from "effect-saga/sql"
import * as Orders from "../kill/Orders.ts"
import * as Journal from "./Journal.ts"
import * as Outside from "./Outside.ts"

/** What the program is told. Times are in milliseconds. */
export interface Order {
  /** A folder, or the address of a server. */
  readonly database: { readonly folder: string } | { readonly url: string }
  readonly schema: string
  /** The address of a server. Undefined: a broker in memory, so that each process answers its own commands. */
  readonly broker?: string
  /** Where its journal and its log are. */
  readonly folder: string
  readonly lease: number
  readonly grace: number
  /** How long a step takes at most that is not transactional. */
  readonly pace: number
  /** How many processes share the work. */
  readonly processes: number
  /**
   * It knows more sagas (`Later.ts`), starts orders in a queue, and asks for what is refused, which leaves a fact. A former release
   * of the program does not know those sagas, and perhaps not the facts. Default: it does nothing of that.
   */
  readonly isLater?: boolean
}

const order: Order = JSON.parse(process.argv[2] ?? "")

const { note, outside } = Outside.open(order)

const table = (name: string) => SqlClient.SqlClient.use((sql) => Effect.succeed(sql(`${order.schema}.${name}`)))

let hold = 0

/** In the transaction of the step, and of nothing else. */
const inTransaction = ({ op, step }: Orders.Work) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { epoch, idempotencyKey, uuid } = yield* SagaTransaction
    yield* sql`insert into ${yield* table("effect")} (uuid, step, op, key, epoch, pid, at)
      values (${uuid}, ${step}, ${op}, ${idempotencyKey}, ${epoch}, ${process.pid}, ${Journal.now()})`
    if (step === "ledger" && hold > 0) yield* Effect.sleep(hold)
  }).pipe(Effect.orDie)

// Not read by a former release that has not what that file imports.
const Later = order.isLater === true ? await import("./Later.ts") : undefined
const { PaymentsLive, PlaceLater, PlaceOrder, kit } = Orders.make(
  (work) => (work.isTransactional ? inTransaction(work) : outside(work)),
  Later?.label
)
const later = Later?.make(kit)
const sagas = later === undefined ? [PlaceOrder] : [PlaceOrder, PlaceLater, later.Batch, later.Notice, later.Tick]
const layerOptions = Later === undefined ? {} : { queues: [Later.Line] }

const database =
  "url" in order.database
    ? PgClient.layer({
        url: Redacted.make(order.database.url),
        maxConnections: 12,
        connectTimeout: "5 seconds",
        // The audit of an upgrade asks which release has claimed an execution.
        applicationName: order.isLater === true ? "later" : "former"
      })
    : PgliteClient.layer(order.database)

const effects = Layer.effectDiscard(
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`create table if not exists ${yield* table("effect")} (seq bigserial, uuid text not null, step text not null,
      op text not null, key text not null, epoch int not null, pid int not null, at float8 not null)`
  })
)

const tables = { schema: order.schema }

const Live = Layer.merge(SagaManager.layer(sagas, layerOptions), PaymentsLive).pipe(
  Layer.provide(order.broker === undefined ? TransactionCommitter.layerNone : TransactionCommitter.layerTwoPhase),
  Layer.provideMerge(
    Layer.mergeAll(
      SagaConfig.layer({
        service: "orders",
        maxRunning: 20_000,
        lease: order.lease,
        recoveryInterval: order.lease / 3,
        shutdownGrace: order.grace,
        // A vote may be lost while servers are away: it is asked for again, and counts.
        reserveTimeout: "1 hour"
      }),
      ParticipantConfig.layer({ shutdownGrace: order.grace }),
      order.broker === undefined ? Broker.layerMemory : MqttBroker.layer({ url: order.broker })
    )
  ),
  Layer.provide(effects),
  Layer.provideMerge(Layer.merge(SqlSagaExecutionRepository.layer(tables), SqlParticipantStore.layer(tables))),
  Layer.provideMerge(database)
)

const unsettled = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ n: number }>`
    select count(*)::int as n from ${yield* table("saga_execution")} where not settled`
  return row?.n ?? 0
})

/** What starts by the calendar. */
let ticks: Fiber.Fiber<unknown, unknown> | undefined
let kept = 0
let isFinishing = false
let n = 0

/** No step is parked, so the answer is no, wherever the execution runs. */
const ask = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { retryParked } = yield* SagaManager.SagaManager
  const rows = yield* sql<{ uuid: string }>`
    select uuid::text as uuid from ${yield* table("saga_execution")} where not settled order by random() limit 3`
  yield* Effect.forEach(rows, ({ uuid }) => Effect.exit(retryParked(uuid, "1", { actor: "nobody" })), {
    concurrency: "unbounded",
    discard: true
  })
})

/** Every second start of a later release waits in the queue, also of orders that a former release knows. */
const start = Effect.suspend(() => {
  const options = {
    context: { n, courier: Math.random() < 0.7 },
    ...(Later !== undefined && n % 2 === 0 && { queue: Later.Line, key: `key ${n % 5}` })
  }
  const turn = n++ % 3
  if (later === undefined || turn === 0) return SagaManager.start(PlaceOrder, options)
  return turn === 1 ? SagaManager.start(PlaceLater, options) : SagaManager.start(later.Batch, options)
}).pipe(
  // A later release stores where the trace goes on.
  Effect.withSpan("order"),
  Effect.tap((uuid) => Effect.sync(() => note({ _tag: "started", uuid, at: Journal.now() })))
)

/** A signal to each batch that waits for one; the same one, whoever sends it. */
const sayGo = Effect.gen(function* () {
  if (Later === undefined) return
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ uuid: string }>`
    select uuid::text as uuid from ${yield* table("saga_execution")}
    where not settled and waits_for = 'signal go' order by created_at limit 20`
  yield* Effect.forEach(
    rows,
    ({ uuid }) => Effect.ignore(SagaManager.signal(Later.Go, { uuid, id: uuid, payload: { by: "a test" } })),
    { concurrency: 5, discard: true }
  )
})

/** A burst of starts would be an event of its own. */
const mostStarts = 20

/** A share of those that are missing. While the database is away nobody knows how many are. */
const feed = Effect.gen(function* () {
  if (kept > 0) {
    const missing = kept - (yield* unsettled)
    const share = Math.min(Math.ceil(missing / order.processes), mostStarts)
    for (let i = 0; i < share; i++) yield* Effect.forkChild(Effect.ignore(start))
  }
  if (isFinishing && ticks !== undefined) yield* Fiber.interrupt(ticks)
  if (isFinishing && (yield* unsettled) === 0) {
    isFinishing = false
    console.log("settled")
  }
  if (order.isLater === true && kept > 0) yield* Effect.forkChild(Effect.ignore(ask))
  yield* sayGo
}).pipe(Effect.ignore, Effect.delay("200 millis"))

createInterface({ input: process.stdin }).on("line", (line) => {
  const [what, value] = line.split(" ")
  if (what === "keep") kept = Number(value)
  if (what === "hold") hold = Number(value)
  if (what === "finish") {
    kept = 0
    isFinishing = true
  }
})

const log = Logger.layer([
  Logger.map(Logger.formatLogFmt, (line) => appendFileSync(join(order.folder, `${process.pid}.log`), `${line}\n`))
])

Effect.gen(function* () {
  if (later !== undefined) ticks = yield* Effect.forkChild(Layer.launch(later.ticks))
  console.log("up")
}).pipe(
  Effect.andThen(Effect.forever(feed)),
  Effect.provide(Live),
  Effect.provide(log),
  Effect.ensuring(Effect.sync(() => process.stdin.destroy())),
  NodeRuntime.runMain({ teardown: (exit) => Runtime.defaultTeardown(exit, process.exit) })
)
