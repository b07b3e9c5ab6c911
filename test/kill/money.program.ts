/**
 * One of three services that move money: the orchestrator of the transfers, or a bank. It works until it is killed, from
 * outside or by itself at a fault point. Each has a database of its own; messages go over MQTT.
 */
import process from "node:process"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { ParticipantConfig, SagaConfig, SagaManager, TransactionCommitter } from "effect-saga"
import { FaultPoint } from "effect-saga/internals"
import { MqttBroker } from "effect-saga/mqtt"
import { PgliteClient } from "effect-saga/pglite"
import { SqlParticipantStore, SqlSagaExecutionRepository } from "effect-saga/sql"
import * as Bank from "../../examples/money/bank.ts"
import { North, South, Transfer } from "../../examples/money/transfer.ts"

export interface Role {
  readonly role: "transfers" | "north" | "south"
  readonly mqtt: string
  /** A folder, or the address of a server. */
  readonly database: { readonly folder: string } | { readonly url: string }
  readonly inFlight: number
  /** Where it kills itself, the how manieth time it comes there. */
  readonly fault?: { readonly name: string; readonly nth: number }
}

export const accounts = 8
/** The first balance of each account of the north. */
export const opening = 100_000_000

/** One in seven asks for more than there is; one in five goes to nobody. */
export const contextOf = (n: number) => ({
  from: `account ${n % accounts}`,
  to: n % 5 === 0 ? "nobody" : `account ${n % accounts}`,
  cents: n % 7 === 0 ? opening * 2 : 1 + (n % 100)
})

const bankOf = ({ role }: Role) => {
  const contract = role === "north" ? North : South
  const open = Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* Bank.tables
    const cents = role === "north" ? opening : 0
    yield* Effect.forEach(
      Array.from({ length: accounts }, (_, i) => `account ${i}`),
      (name) => sql`insert into account ${sql.insert({ name, cents })} on conflict do nothing`
    )
  })
  return Layer.merge(Bank.layer(contract), Layer.effectDiscard(open)).pipe(
    Layer.provide(Layer.orDie(SqlParticipantStore.layer())),
    Layer.provide(Layer.orDie(ParticipantConfig.layer({ inDoubtAfter: "2 seconds" }))),
    Layer.provide(Layer.effectDiscard(open))
  )
}

const transfers = ({ inFlight }: Role) => {
  let n = 0
  // A key names each transfer: after a restart it is the same one.
  const one = Effect.suspend(() =>
    Effect.ignore(
      SagaManager.run(Transfer, {
        context: contextOf(++n),
        startKey: `transfer ${n}`,
        raiseOnError: false,
        returnExecution: false
      })
    )
  )
  const feed = Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql<{ readonly n: number }>`select count(*)::int as n from saga_execution`
    n = row?.n ?? 0
    yield* Effect.forEach(Array.from({ length: inFlight }), () => Effect.forever(one), {
      concurrency: "unbounded",
      discard: true
    })
  })
  const settled = Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    while (true) {
      const [row] = yield* sql<{ readonly n: number }>`select count(*)::int as n from saga_execution where not settled`
      if (row?.n === 0) break
      yield* Effect.sleep("100 millis")
    }
    console.log("settled")
  })
  const live = SagaManager.layer([Transfer]).pipe(
    Layer.provide(TransactionCommitter.layerTwoPhase),
    Layer.provideMerge(SqlSagaExecutionRepository.layer()),
    Layer.provide(
      SagaConfig.layer({
        service: "transfers",
        lease: "1500 millis",
        recoveryInterval: "500 millis",
        replyTimeout: "1 minute"
      })
    )
  )
  return { live, work: inFlight > 0 ? feed : settled }
}

const main = (role: Role) => {
  let left = role.fault?.nth ?? 0
  const faults = Layer.succeed(FaultPoint, (name) =>
    Effect.sync(() => {
      if (name === role.fault?.name && --left === 0) process.kill(process.pid, "SIGKILL")
    })
  )
  const database =
    "url" in role.database
      ? PgClient.layer({ url: Redacted.make(role.database.url), maxConnections: 6, connectTimeout: "30 seconds" })
      : PgliteClient.layer(role.database)
  const ports = Layer.mergeAll(MqttBroker.layer({ url: role.mqtt, protocol: 4, clientId: role.role }), faults).pipe(
    Layer.provideMerge(database)
  )
  const up = Effect.sync(() => console.log("up"))
  if (role.role !== "transfers") {
    return Effect.provide(Effect.andThen(up, Effect.never), Layer.provide(bankOf(role), ports))
  }
  const { live, work } = transfers(role)
  return Effect.provide(Effect.andThen(up, work), Layer.provideMerge(live, ports))
}

const given = process.argv[2]
if (given !== undefined && process.argv[1]?.includes("money.program")) {
  await Effect.runPromise(Effect.asVoid(main(JSON.parse(given)) as Effect.Effect<unknown, unknown>))
}
