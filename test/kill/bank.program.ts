/**
 * A participant that is killed, from outside or by itself at a fault point. What its handlers do is a row in the database of
 * its records; its coordinator, in the same process, follows a plan, notes every answer, and after a start says again all
 * that it has said before.
 */
import process from "node:process"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted, Schedule, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, Participant, SagaTransaction } from "../../src/index.ts"
import { Envelope, FaultPoint } from "../../src/internals.ts"
import { PgliteClient } from "../../src/pglite.ts"
import { SqlParticipantStore } from "../../src/sql.ts"
import type { Order } from "./suffer.ts"

const order: Order = JSON.parse(process.argv[2] ?? "")

const table = (name: string) => SqlClient.SqlClient.use((sql) => Effect.succeed(sql(`${order.schema}.${name}`)))

// ---- the participant -------------------------------------------------------------------------------------------

const Bank = Participant.make("bank", {
  Charge: { payload: {}, success: Schema.String },
  Hold: { payload: {}, success: Schema.String, effect: "staged" },
  Refund: { payload: {} }
})

/** Time in which the process can be killed while its transaction is open. */
const pause = Effect.suspend(() => Effect.sleep(Math.random() * 10))

const did = (what: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { idempotencyKey, uuid } = yield* SagaTransaction
    yield* sql`insert into ${yield* table("effect")} (uuid, what, key) values (${uuid}, ${what}, ${idempotencyKey})`
    yield* pause
  }).pipe(Effect.orDie)

const given = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { uuid } = yield* SagaTransaction
  yield* sql`with given as (delete from ${yield* table("hold")} where uuid = ${uuid} returning key)
    insert into ${yield* table("effect")} (uuid, what, key) select ${uuid}, 'given', key from given`
  yield* pause
}).pipe(Effect.orDie)

const held = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { idempotencyKey, uuid } = yield* SagaTransaction
  yield* sql`insert into ${yield* table("hold")} (uuid, key) values (${uuid}, ${idempotencyKey})`
  yield* pause
}).pipe(Effect.orDie)

const dropped = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { uuid } = yield* SagaTransaction
  yield* sql`delete from ${yield* table("hold")} where uuid = ${uuid}`
}).pipe(Effect.orDie)

const Handlers = Participant.layer(
  Bank,
  { Charge: () => Effect.as(did("charged"), "c"), Hold: () => Effect.as(held, "h"), Refund: () => did("refunded") },
  { commit: () => given, reject: () => dropped }
)

// ---- the coordinator -------------------------------------------------------------------------------------------

interface Message {
  readonly op: "execute" | "failure" | "reserve" | "commit" | "reject"
  readonly path?: string
  readonly command?: string
}

const executes: ReadonlyArray<Message> = [
  { op: "execute", path: "0", command: "Charge" },
  { op: "execute", path: "1", command: "Hold" }
]

/** Of three executions two are committed. */
const planOf = (n: number): ReadonlyArray<Message> =>
  n % 3 > 0
    ? [...executes, { op: "reserve" }, { op: "commit" }]
    : [...executes, { op: "reject" }, { op: "failure", path: "0", command: "Refund" }]

const messageOf = (uuid: string, { command, op, path }: Message): Broker.Message & { readonly id: string } => {
  const id = Envelope.messageId(uuid, path ?? "bank", op)
  const envelope: Envelope.Envelope = {
    v: 1,
    id,
    op,
    saga: uuid,
    ...(path !== undefined && { path }),
    service: "bank",
    coordinator: "orders",
    ...(op === "reserve" ? { content: ["0", "1"] } : path !== undefined && { content: {} }),
    relatedServices: [],
    transactions: [uuid],
    // The same in every copy, and after all of this.
    notAfter: 4_102_444_800_000
  }
  return { ...Broker.toMessage(envelope, command), id }
}

const said = new Set<string>()

const listen = Broker.Broker.use((broker) =>
  broker.subscribe({ service: "orders", kinds: ["reply"] }).pipe(
    Stream.runForEach(({ acknowledge, body }) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const { inReplyTo = "", status }: Envelope.Envelope = JSON.parse(body)
        yield* sql`insert into ${yield* table("said")} (id, status, body) values (${inReplyTo}, ${status ?? 0}, ${body})
          on conflict do nothing`
        said.add(inReplyTo)
        yield* acknowledge
      })
    )
  )
)

const play = (n: number, uuid: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const broker = yield* Broker.Broker
    for (const message of planOf(n)) {
      const { id, ...asked } = messageOf(uuid, message)
      yield* broker.publish(asked)
      yield* Effect.sleep("5 millis").pipe(
        Effect.repeat({ until: () => said.has(id) }),
        Effect.timeout("5 seconds"),
        Effect.tapError(() => broker.publish(asked)),
        Effect.retry({ schedule: Schedule.forever })
      )
    }
    yield* sql`update ${yield* table("execution")} set over = true where n = ${n}`
  })

const open = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return yield* sql<{ n: number; uuid: string }>`
    select n, uuid from ${yield* table("execution")} where not over order by n`
})

const next = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ n: number; uuid: string }>`insert into ${yield* table("execution")} default values
    returning n, uuid::text as uuid`
  if (row !== undefined) yield* play(row.n, row.uuid)
})

// ---- the process -----------------------------------------------------------------------------------------------

const database =
  "url" in order.database
    ? PgClient.layer({ url: Redacted.make(order.database.url), maxConnections: 8, connectTimeout: "30 seconds" })
    : PgliteClient.layer(order.database)

let left = order.fault?.nth ?? 0
const Faults = Layer.succeed(FaultPoint, (name) =>
  Effect.sync(() => {
    if (name === order.fault?.name && --left === 0) process.kill(process.pid, "SIGKILL")
  })
)

const Found = Layer.effectDiscard(
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`create table if not exists ${yield* table("effect")} (uuid text not null, what text not null, key text not null)`
    yield* sql`create table if not exists ${yield* table("hold")} (uuid text not null, key text not null)`
    yield* sql`create table if not exists ${yield* table("said")}
      (id text not null, status int not null, body text not null, primary key (id, body))`
    yield* sql`create table if not exists ${yield* table("execution")}
      (n serial primary key, uuid uuid not null default gen_random_uuid(), over boolean not null default false)`
    console.log(`found ${(yield* open).length}`)
  })
)

const Live = Handlers.pipe(
  Layer.provide(Faults),
  Layer.provide(Found),
  Layer.provideMerge(SqlParticipantStore.layer({ schema: order.schema })),
  Layer.provideMerge(Layer.merge(database, Broker.layerMemory))
)

await Effect.gen(function* () {
  yield* Effect.forkChild(listen)
  const found = yield* open
  const rest = Effect.forEach(found, ({ n, uuid }) => play(n, uuid), { concurrency: "unbounded", discard: true })
  if (order.finish) {
    yield* rest
    console.log("settled")
  } else {
    yield* Effect.forkChild(rest)
    console.log("up")
    const lanes = Array.from({ length: Math.max(1, order.inFlight - found.length) }, () => Effect.forever(next))
    yield* Effect.all(lanes, { concurrency: "unbounded" })
  }
}).pipe(Effect.provide(Live), Effect.runPromise)
