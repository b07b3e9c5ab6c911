/**
 * What an operation costs with a million executions stored, against the same with a thousand: in milliseconds, both in turns
 * in one process on one server. The million is put in by SQL. `SAGA_BENCH_STORED` sets another number, to try it out.
 */
import { randomUUID } from "node:crypto"
import { type Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Inspector, SagaExecutionRepository, SagaManager, SagaResponse } from "effect-saga"
import type { Report } from "./run.ts"
import { Approve, drop, fill, hour, layerOf, now, PlaceOrder, removed, year } from "./stored/full.ts"

const many = Number(process.env.SAGA_BENCH_STORED ?? 1_000_000)
const few = 1_000

// ---- the filters -----------------------------------------------------------------------------------------------

type Filter = SagaExecutionRepository.Filter
const middle = now - year / 2

/** Each filter alone, as far as it can stand alone, and the usual pairs. One that is missing is an error of types. */
const filters: { readonly [Name in keyof Required<Filter>]: ReadonlyArray<Filter> } = {
  saga: [{ saga: "Other" }, { saga: "Other", status: "finished" }],
  status: [{ status: "paused" }],
  parked: [{ parked: true }, { parked: false }, { parked: true, saga: "Other" }],
  startKey: [{ startKey: "key 777" }],
  user: [{ user: "user 3" }],
  attributes: [{ attributes: { customer: 7 } }],
  settled: [{ settled: true }, { settled: false }],
  undoing: [{ undoing: true }, { undoing: true, saga: "Other" }],
  waitsFor: [{ waitsFor: "payments/Charge" }, { waitsFor: "payments" }, { waitsFor: "signal approval", saga: "Other" }],
  failure: [{ failure: "NoCourier" }],
  // Alone it reads all that are not settled: its docstring says with which others it goes.
  step: [
    { parked: true, step: "payment" },
    { waitsFor: "timer", step: "payment" }
  ],
  startKeyPrefix: [{ startKeyPrefix: "key " }],
  createdBefore: [{ createdBefore: middle }],
  createdAfter: [{ createdAfter: middle }]
}

const nameOf = (filter: Filter) =>
  Object.entries(filter)
    .map(([name, value]) => (value === middle ? name : `${name} ${JSON.stringify(value).replaceAll('"', "")}`))
    .join(", ")

// ---- the operations --------------------------------------------------------------------------------------------

type Services =
  | SagaManager.SagaManager
  | SagaExecutionRepository.SagaExecutionRepository
  | Inspector.Inspector
  | SqlClient.SqlClient

interface Operation {
  readonly name: string
  /** Gives the work that is measured; what it does before that is not. */
  readonly prepare: (schema: string) => Effect.Effect<Effect.Effect<unknown, unknown, Services>, unknown, Services>
}

const repository = <A, E>(
  use: (it: SagaExecutionRepository.SagaExecutionRepository["Service"]) => Effect.Effect<A, E>
) => SagaExecutionRepository.SagaExecutionRepository.use(use)

const plain = (name: string, work: Effect.Effect<unknown, unknown, Services>): Operation => ({
  name,
  prepare: () => Effect.succeed(work)
})

const found = (name: string, filter: SagaExecutionRepository.Filter, page = {}): Operation =>
  plain(
    `find: ${name}`,
    repository(({ find }) => find(filter, page))
  )

const inspected = (
  name: string,
  see: (it: Inspector.Inspector["Service"]) => Effect.Effect<unknown, unknown>
): Operation => plain(`inspect: ${name}`, Inspector.Inspector.use(see))

const start = (saga: typeof Approve) => SagaManager.start(saga, { context: { order: randomUUID() } })

const claimOf = (owner: string, limit: number) =>
  repository(({ claim }) => claim({ owner, limit, now, leaseMillis: hour }))

/** Executions of a process that is gone, as one claim takes them over. */
const left = 64

/** In the order of uuids somewhere among those that are stored. */
const someUuid = () => {
  const at = Math.floor(now - year + 0.9 * Math.random() * year)
  return `${at.toString(16).padStart(12, "0")}${randomUUID().replaceAll("-", "").slice(12)}`
}

const operations: ReadonlyArray<Operation> = [
  plain(
    "start",
    Effect.suspend(() => SagaManager.execute(PlaceOrder, { context: { order: randomUUID() } }))
  ),
  {
    name: "resume",
    prepare: () => Effect.map(start(Approve), (uuid) => SagaManager.resume(new SagaResponse({ uuid, content: 1 })))
  },
  {
    name: "load",
    prepare: (schema) =>
      Effect.map(
        SqlClient.SqlClient.use(
          (sql) => sql<{
            uuid: string
          }>`select uuid from ${sql(`${schema}.saga_execution`)} where uuid > ${someUuid()}::uuid
            and settled order by uuid limit 1`
        ),
        ([row]) => SagaManager.SagaManager.use(({ load }) => load(row!.uuid))
      )
  },
  plain("claim", claimOf("idle", 256)),
  {
    name: "takeover",
    prepare: (schema) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const t = sql(`${schema}.saga_execution`)
        yield* sql`update ${t} set owner = null, wake_at = ${BigInt(now + year)}
          where claimable and wake_at = 0 and owner = 'heir'`
        yield* sql`update ${t} set owner = 'gone', wake_at = 0 where uuid in (
          select uuid from ${t} where claimable and saga = 'Other' order by wake_at desc limit ${left})`
        return claimOf("heir", left)
      })
  },
  plain(
    "census",
    repository(({ census }) => census)
  ),
  found("all", {}),
  found("page 2", {}, { after: cursorOf(middle) }),
  found("the page before", {}, { before: cursorOf(middle) }),
  // With a thousand stored each filter finds as many, but those that find one.
  ...Object.values(filters).flatMap((given) => given.map((filter) => found(nameOf(filter), filter, { limit: 20 }))),
  inspected("count", ({ count }) => count()),
  inspected("waiting", ({ waiting }) => waiting),
  inspected("parked", ({ parked }) => parked),
  inspected("overdue", ({ overdue }) => overdue("1 minute")),
  inspected("processes", ({ processes }) => processes),
  inspected("load", ({ load }) => load("key 777"))
]

/** The `next` of a page. */
function cursorOf(createdAt: number): string {
  return Buffer.from(`${createdAt} ffffffff-ffff-4fff-bfff-ffffffffffff`).toString("base64url")
}

// ---- measuring -------------------------------------------------------------------------------------------------

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

const rounds = 40

interface Store {
  readonly schema: string
  readonly services: Context.Context<Services>
}

const timeOf = ({ prepare }: Operation, { schema, services }: Store) =>
  Effect.gen(function* () {
    const work = yield* prepare(schema)
    const begun = performance.now()
    yield* work
    return performance.now() - begun
  }).pipe(Effect.provide(services))

const measure = Effect.fnUntraced(function* (operation: Operation, large: Store, small: Store) {
  const [ours, reference]: [Array<number>, Array<number>] = [[], []]
  for (let round = -5; round < rounds; round++) {
    const [one, other] = [yield* timeOf(operation, small), yield* timeOf(operation, large)]
    // The first ones make plans and fill caches.
    if (round < 0) continue
    reference.push(one)
    ours.push(other)
  }
  return {
    case: operation.name,
    inFlight: 1,
    ours: Number(median(ours).toFixed(3)),
    reference: `${few}`,
    referenceValue: Number(median(reference).toFixed(3)),
    ratio: Number((median(ours) / median(reference)).toFixed(3))
  }
})

const required = 20_000

const retention = ({ schema, services }: Store) =>
  Effect.gen(function* () {
    const { rate } = yield* removed(schema)
    return {
      case: "retention",
      inFlight: 1,
      ours: Math.round(rate),
      reference: "executions a second that are required",
      referenceValue: required,
      ratio: Number((rate / required).toFixed(3))
    }
  }).pipe(Effect.provide(services))

const benchmark = Effect.gen(function* () {
  const stores: Array<Store> = []
  for (const rows of [many, few]) {
    const schema = `bench_${Math.random().toString(36).slice(2, 10)}`
    yield* Effect.addFinalizer(() => drop(schema))
    const services = yield* Layer.build(layerOf(schema))
    yield* Effect.provide(fill(schema, rows), services)
    stores.push({ schema, services })
  }
  const [large, small] = stores as [Store, Store]
  const rows = []
  for (const operation of operations) rows.push(yield* measure(operation, large, small))
  rows.push(yield* retention(large))
  return { rows }
})

export const run = (): Promise<Report> => Effect.runPromise(Effect.scoped(benchmark))
