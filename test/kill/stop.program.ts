/** Runs sagas, answers commands, or both, until it is told to stop by SIGTERM. It prints what its steps and handlers do. */
import process from "node:process"
import * as NodeRuntime from "@effect/platform-node-shared/NodeRuntime"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted, Runtime, Schema } from "effect"
import {
  Broker,
  Participant,
  ParticipantConfig,
  Saga,
  SagaConfig,
  SagaManager,
  TransactionCommitter
} from "../../src/index.ts"
import { MqttBroker } from "../../src/mqtt.ts"
import { SqlParticipantStore, SqlSagaExecutionRepository } from "../../src/sql.ts"

/** What the program is told. */
export interface Order {
  readonly database: string
  readonly schema: string
  /** Undefined: a broker in memory. */
  readonly broker?: string
  readonly programs: "orders" | "bank" | "side by side" | "one on the other"
  readonly grace: number
  /** How long a step and a handler take, in milliseconds. */
  readonly takes: number
  /** A step goes on only when the process was told to stop, so it cannot end before that on a busy machine. */
  readonly awaitsStop?: boolean
  /** When a request without an answer is sent again, in milliseconds. */
  readonly resendAfter?: number
  /** The sagas that are started, or met where they exist already. */
  readonly sagas?: ReadonlyArray<"Pay" | "PayBank" | "PayUninterruptible">
  /** The sessions of the broker. */
  readonly clientId?: string
}

const order: Order = JSON.parse(process.argv[2] ?? "")

const say = (line: string) => Effect.sync(() => console.log(line))

let isFirst = true

/** After the first interruption it says "later", in half the time that a second grace would take to the next interruption. */
const interrupted = (what: string) =>
  Effect.suspend(() => {
    const later = (order.grace - 1_000) / 2
    if (isFirst && later > 0) setTimeout(() => console.log("later"), later).unref()
    isFirst = false
    return say(`interrupted ${what}`)
  })

const stopping = new Promise<void>((resolve) => process.once("SIGTERM", () => resolve()))

/** Half of its time before the effect, half after it. */
const slowly = (what: string) =>
  say(`begun ${what}`).pipe(
    Effect.andThen(order.awaitsStop === true ? Effect.promise(() => stopping) : Effect.void),
    Effect.andThen(Effect.sleep(order.takes / 2)),
    Effect.andThen(say(`charged ${what}`)),
    Effect.andThen(Effect.sleep(order.takes / 2)),
    Effect.as(what),
    Effect.onInterrupt(() => interrupted(what))
  )

const Bank = Participant.make("bank", { Charge: { payload: {}, success: Schema.String } })
const BankLive = Participant.layer(Bank, { Charge: () => slowly("handler") })

const receipt = { execute: () => say("receipt") }

const Pay = Saga.make("Pay", { context: {} }).pipe(
  Saga.local("payment", { success: Schema.String, execute: () => slowly("step") }),
  Saga.local("receipt", receipt),
  Saga.commit
)

const PayUninterruptible = Saga.make("PayUninterruptible", { context: {} }).pipe(
  Saga.local("payment", { success: Schema.String, execute: () => Effect.uninterruptible(slowly("step")) }),
  Saga.commit
)

const PayBank = Saga.make("PayBank", { context: {} }).pipe(
  Saga.remote("payment", { execute: { command: Bank.commands.Charge, payload: () => ({}) }, timeout: "1 hour" }),
  Saga.local("receipt", receipt),
  Saga.commit
)

const Orders = SagaManager.layer([Pay, PayBank, PayUninterruptible])

const programs = {
  orders: Orders,
  bank: BankLive,
  "side by side": Layer.merge(Orders, BankLive),
  "one on the other": Layer.provideMerge(Orders, BankLive)
}

const database = PgClient.layer({
  url: Redacted.make(order.database),
  maxConnections: 8,
  // The client closes after a connection that it is about to open, and after a commit that is under way.
  connectTimeout: "5 seconds"
})
const tables = { schema: order.schema, statementTimeout: "5 seconds" } as const

const Live = (programs[order.programs] as typeof Orders).pipe(
  Layer.provide([
    SagaConfig.layer({
      service: "orders",
      shutdownGrace: order.grace,
      ...(order.resendAfter !== undefined && { resend: { initial: order.resendAfter } }),
      lease: "1500 millis",
      recoveryInterval: "500 millis"
    }),
    ParticipantConfig.layer({ shutdownGrace: order.grace }),
    TransactionCommitter.layerNone,
    order.broker === undefined
      ? Broker.layerMemory
      : MqttBroker.layer({ url: order.broker, ...(order.clientId !== undefined && { clientId: order.clientId }) })
  ]),
  Layer.provide(Layer.merge(SqlSagaExecutionRepository.layer(tables), SqlParticipantStore.layer(tables))),
  Layer.provide(database)
)

const run = { context: {}, raiseOnError: false } as const
const sagas = {
  Pay: SagaManager.run(Pay, { ...run, startKey: "Pay" }),
  PayBank: SagaManager.run(PayBank, { ...run, startKey: "PayBank" }),
  PayUninterruptible: SagaManager.run(PayUninterruptible, { ...run, startKey: "PayUninterruptible" })
}

const start = Effect.forEach(
  order.sagas ?? [],
  (name) => Effect.flatMap(sagas[name], ({ parked, status }) => say(`${name} ${status} ${JSON.stringify(parked)}`)),
  { concurrency: "unbounded" }
)

say("up").pipe(
  Effect.andThen(start),
  Effect.andThen(Effect.never),
  Effect.provide(Live),
  // What the steps of a process that stops say comes before this.
  Effect.onExit(() => say("closed")),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    teardown: (exit) => Runtime.defaultTeardown(exit, process.exit)
  })
)
