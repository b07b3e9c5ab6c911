/**
 * The cost of tracing: CPU time of a saga of three local steps without a tracer, and with one that drops every span, in memory
 * and on Postgres. They run in turns in one process. CPU time, because a busy machine changes it less than the time of day.
 */
import { randomUUID } from "node:crypto"
import process from "node:process"
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Layer, Option, Redacted, Schema, Tracer } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, Saga, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import type { Report } from "./run.ts"

const url = process.env.SAGA_TEST_PG_URL
const schema = `bench_${randomUUID().slice(0, 8)}`

const step = (text: string) => Effect.sync(() => text)
const nothing = () => Effect.void

const PlaceOrder = Saga.make("PlaceOrder", { context: { orderId: Schema.String } }).pipe(
  Saga.local("ticketId", {
    success: Schema.String,
    execute: ({ orderId }) => step(`t-${orderId}`),
    compensate: nothing
  }),
  Saga.local("paymentId", {
    success: Schema.String,
    execute: ({ orderId }) => step(`p-${orderId}`),
    compensate: nothing
  }),
  Saga.local("parcelId", {
    success: Schema.String,
    execute: ({ orderId }) => step(`s-${orderId}`),
    compensate: nothing
  }),
  Saga.commit
)

/** A tracer that drops every span. `sampled`: it says so only at the end; false: at the start of a trace, as samplers do. */
const dropping = (sampled: boolean) => {
  const span: Tracer.Span = {
    _tag: "Span",
    name: "dropped",
    spanId: "00f067aa0ba902b7",
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    parent: Option.none(),
    annotations: Context.empty(),
    status: { _tag: "Started", startTime: 0n },
    attributes: new Map(),
    links: [],
    sampled,
    kind: "internal",
    end() {},
    attribute() {},
    event() {},
    addLinks() {}
  }
  return Layer.succeed(Tracer.Tracer, Tracer.make({ span: () => span }))
}

const tracers = { without: Layer.empty, dropped: dropping(false), late: dropping(true) }
type Traced = keyof typeof tracers

const manager = (repository: Layer.Layer<SagaExecutionRepository.SagaExecutionRepository, unknown>, traced: Traced) =>
  SagaManager.layer([PlaceOrder]).pipe(
    Layer.provide([
      SagaConfig.layer({ service: "bench" }),
      repository,
      Broker.layerMemory,
      TransactionCommitter.layerNone
    ]),
    Layer.provideMerge(tracers[traced]),
    Layer.fresh
  )

const database = PgClient.layer({ url: Redacted.make(url ?? ""), maxConnections: 10 })

const cleanUp = Effect.provide(
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`drop schema if exists ${sql(schema)} cascade`),
  database
)

let number = 0
const one = Effect.suspend(() => SagaManager.execute(PlaceOrder, { context: { orderId: `o${number++}` } }))

/** Microseconds of CPU time for a saga. */
const cost = (sagas: number, inFlight: number) =>
  Effect.gen(function* () {
    const before = process.cpuUsage()
    yield* Effect.forEach(Array.from({ length: sagas }), () => one, { concurrency: inFlight, discard: true })
    const { system, user } = process.cpuUsage(before)
    return (system + user) / sagas
  })

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

const compare = Effect.fnUntraced(function* (
  where: string,
  repository: Layer.Layer<SagaExecutionRepository.SagaExecutionRepository, unknown>,
  sagas: number,
  inFlight: number
) {
  const without = yield* Layer.build(manager(repository, "without"))
  const dropped = yield* Layer.build(manager(repository, "dropped"))
  const late = yield* Layer.build(manager(repository, "late"))
  const run = (services: typeof without) => Effect.provideContext(cost(sagas, inFlight), services)
  for (const services of [without, dropped, late]) yield* run(services)
  const rounds: Array<Readonly<Record<Traced, number>>> = []
  for (let round = 0; round < 9; round++) {
    rounds.push({ without: yield* run(without), dropped: yield* run(dropped), late: yield* run(late) })
  }
  const ratio = (traced: Traced) => Number(median(rounds.map((costs) => costs.without / costs[traced])).toFixed(3))
  return {
    case: where,
    inFlight,
    micros: Number(median(rounds.map(({ without }) => without)).toFixed(1)),
    dropped: ratio("dropped"),
    late: ratio("late")
  }
})

const measure = Effect.gen(function* () {
  const memory = SagaExecutionRepository.layerMemory
  const rows = [yield* compare("memory", memory, 20_000, 1), yield* compare("memory", memory, 20_000, 64)]
  if (url === undefined) return { rows }
  const stored = SqlSagaExecutionRepository.layer({ schema }).pipe(Layer.provide(database))
  rows.push(yield* compare("postgres", stored, 3_000, 64))
  return { rows }
})

export const run = (): Promise<Report> =>
  Effect.runPromise(Effect.scoped(Effect.ensuring(measure, Effect.ignore(cleanUp))))
