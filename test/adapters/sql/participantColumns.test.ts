/**
 * C20, I29: each column of the tables of participants and of dead letters with hostile values. A row that other hands have changed
 * concerns its own transaction or message: the others are handled, looked after and listed, and no loop ends.
 */
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Logger, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, DeadLetters, Participant, ParticipantConfig, ParticipantStore } from "effect-saga"
import type { Envelope } from "effect-saga/internals"
import { SqlDeadLetters, SqlParticipantStore } from "effect-saga/sql"
import { counting, outcomes } from "../../fixtures/manager.ts"
import { databases } from "../../fixtures/postgres.ts"
import { until } from "../../fixtures/release.ts"
import { envelopeOf, type Op } from "../../participant/byHand.ts"
import { another, flags, missing, texts, times } from "./hostileColumns.ts"

const Bank = Participant.make("bank", {
  Charge: { payload: {}, success: Schema.String },
  Refund: { payload: {} }
})

type Values = ReadonlyArray<readonly [name: string, value: string]>
const statuses: Values = [
  ["0", "0"],
  ["-1", "-1"],
  ["the largest", "32767"],
  ["accepted", "202"]
]
const columns: Readonly<Record<string, Readonly<Record<string, Values>>>> = {
  saga_transaction: {
    service: texts,
    uuid: another,
    coordinator: [missing, ...texts],
    status: texts,
    not_after: times,
    heuristic: flags,
    updated_at: times
  },
  saga_barrier: {
    service: texts,
    id: [["another", "gen_random_uuid()::text"]],
    transaction_uuid: [missing, ...another],
    coordinator: texts,
    request: [missing, ...texts],
    status: statuses,
    reply: [missing, ...texts],
    accepted: [missing, ...texts],
    effect: texts,
    open: flags,
    not_after: times,
    created_at: times
  },
  saga_doubt: {
    service: texts,
    uuid: another,
    decision: texts,
    actor: texts,
    reason: texts,
    at: times,
    outcome: texts
  },
  saga_dead_letter: {
    received_at: times,
    topic: texts,
    sender: texts,
    reason: texts,
    size: times,
    sha256: texts
  }
}
const cases = (table: string) =>
  Object.entries(columns[table] ?? {}).flatMap(([column, values]) =>
    values.map(([name, value]) => ({ column, name, value, what: `${table}.${column}: ${name}` }))
  )

const known = /^(applied|duplicate|stale|failed|[A-Z]\w+)$/
const hours = 3_600_000
let last = 0
const fresh = (): string => `01890000-0000-7000-8000-${String(++last).padStart(12, "0")}`

for (const { layer, name: database, schema } of databases("participants")) {
  const live = Layer.provideMerge(
    Layer.merge(SqlParticipantStore.layer({ schema }), SqlDeadLetters.layer({ schema })),
    layer
  )
  withLayer(live, { timeout: "4 minutes", excludeTestServices: true })(`hostile columns: ${database}`, (it) => {
    const sql = Effect.map(SqlClient.SqlClient, (client) => (statement: string) => client.unsafe<any>(statement))

    /** A bank, and what it says. The questions that it asks come to `asked`. */
    const bank = Effect.gen(function* () {
      const broker = Context.get(yield* Layer.build(Layer.fresh(Broker.layerMemory)), Broker.Broker)
      const logged: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        if (logLevel === "Error" || logLevel === "Warn") logged.push(String([message].flat()[0]))
      })
      const rejected: Array<string> = []
      const asked = new Set<string>()
      yield* broker.subscribe({ service: "orders", kinds: ["status"] }).pipe(
        Stream.runForEach(({ acknowledge, body }) => {
          asked.add((JSON.parse(body) as Envelope.Envelope).saga)
          return acknowledge
        }),
        Effect.forkScoped
      )
      const store = yield* ParticipantStore.ParticipantStore
      const letters = yield* DeadLetters.DeadLetters
      const start = Participant.layer(
        Bank,
        { Charge: () => Effect.succeed("c-1"), Refund: () => Effect.void },
        { reject: ({ uuid }) => Effect.sync(() => void rejected.push(uuid)) }
      ).pipe(
        Layer.provide([
          Layer.succeed(Broker.Broker, broker),
          Layer.succeed(ParticipantStore.ParticipantStore, store),
          Layer.succeed(DeadLetters.DeadLetters, letters),
          ParticipantConfig.layer({ inDoubtAfter: "1 second", pendingTtl: "1 hour" }),
          Logger.layer([logger])
        ]),
        Layer.fresh,
        Layer.build
      )
      const total = Effect.map(outcomes, (counts) => Object.values(counts).reduce((all, each) => all + each, 0))
      const outcomeOf = Effect.fnUntraced(function* (op: Op, saga: string) {
        const before = yield* outcomes
        const count = yield* total
        const envelope = envelopeOf({ op, changes: { saga, notAfter: Date.now() + hours } })
        const isTx = op === "reserve" || op === "commit" || op === "reject"
        const address = isTx
          ? ({ to: "bank", kind: "tx", from: "orders" } as const)
          : ({ to: "bank", kind: "command", from: "orders", name: op === "failure" ? "Refund" : "Charge" } as const)
        yield* broker.publish({ address, body: JSON.stringify(envelope) })
        yield* until(`${op} is handled`, total, (now) => now > count)
        const after = yield* outcomes
        return Object.keys(after).find((key) => after[key] !== before[key]) ?? ""
      })
      return { asked, letters, logged, outcomeOf, rejected, start }
    })

    it.effect("C20 every column of the tables of participants has its cases", () =>
      Effect.gen(function* () {
        const run = yield* sql
        const found = yield* run(`select table_name as table, column_name as column from information_schema.columns
          where table_schema = '${schema}' and table_name not like '%migration' and is_identity = 'NO'`)
        assert.deepStrictEqual(
          found.map(({ column, table }) => `${table}.${column}`).sort(),
          Object.entries(columns)
            .flatMap(([table, of]) => Object.keys(of).map((column) => `${table}.${column}`))
            .sort()
        )
      })
    )

    it.effect("C20, I19 a message whose record is hostile is answered or put away, and the others are handled", () =>
      counting(
        Effect.gen(function* () {
          const run = yield* sql
          const { letters, logged, outcomeOf, start } = yield* bank
          yield* start
          let putAway = 0
          for (const table of ["saga_transaction", "saga_barrier"])
            for (const { column, value, what } of cases(table)) {
              const uuid = fresh()
              assert.strictEqual(yield* outcomeOf("execute", uuid), "applied")
              const key = table === "saga_transaction" ? `uuid = '${uuid}'` : `id like '${uuid}%'`
              yield* run(`update ${schema}.${table} set "${column}" = ${value} where ${key}`)
              for (const op of ["execute", "failure", "reserve", "reject"] as const) {
                const outcome = yield* outcomeOf(op, uuid)
                assert.match(outcome, known, `${what}: ${op}`)
                assert.notStrictEqual(outcome, "Defect", `${what}: ${op}`)
                if (/^[A-Z]/.test(outcome)) putAway++
              }
            }
          assert.strictEqual(yield* outcomeOf("execute", fresh()), "applied")
          assert.strictEqual((yield* letters.list({ limit: 10_000 })).length, putAway)
          assert.isAbove(putAway, 10)
          // Also by those who look after them, if they come by.
          const said = new Set(logged.filter((line) => line !== "The record of a transaction cannot be read"))
          // A record that claims to be accepted is of a command that nothing can cancel.
          assert.deepStrictEqual([...said].sort(), ["A hook of a participant died", "A message was put away"])
          yield* run(`truncate ${schema}.saga_transaction, ${schema}.saga_barrier, ${schema}.saga_dead_letter`)
        })
      ).pipe(Effect.scoped)
    )

    it.effect("C20, C14 transactions with hostile rows do not keep the others from being looked after", () =>
      counting(
        Effect.gen(function* () {
          const run = yield* sql
          const { asked, logged, outcomeOf, rejected, start } = yield* bank
          const row = (uuid: string, status: string, age: number, notAfter = 0) =>
            run(`insert into ${schema}.saga_transaction (service, uuid, coordinator, status, not_after, heuristic, updated_at)
              values ('bank', '${uuid}', 'orders', '${status}', ${Date.now() + notAfter}, false, ${Date.now() - age})`)
          // More than a page of them, before and after those that can be read.
          const hostile = Effect.fnUntraced(function* (status: string) {
            for (const { column, value } of cases("saga_transaction")) {
              const uuid = fresh()
              yield* row(uuid, status, 2 * hours, hours)
              yield* run(`update ${schema}.saga_transaction set "${column}" = ${value} where uuid = '${uuid}'`)
            }
            for (let i = 0; i < 120; i++) {
              const uuid = fresh()
              yield* row(uuid, status, 2 * hours, hours)
              yield* run(`update ${schema}.saga_transaction set not_after = 9223372036854775807 where uuid = '${uuid}'`)
            }
          })
          yield* hostile("pending")
          yield* hostile("reserved")
          const [pending, reserved, over] = [fresh(), fresh(), fresh()]
          yield* row(pending, "pending", 2 * hours, hours)
          yield* row(reserved, "reserved", 2 * hours, hours)
          yield* row(over, "committed", 2_000 * hours, -2_000 * hours)
          yield* hostile("pending")
          yield* start
          yield* until(
            "it is rejected",
            Effect.sync(() => rejected.includes(pending)),
            (is) => is
          )
          yield* until(
            "it is asked about",
            Effect.sync(() => asked.has(reserved)),
            (is) => is
          )
          const isThere = run(`select from ${schema}.saga_transaction where uuid = '${over}'`)
          yield* until("what is over is removed", isThere, (rows) => rows.length === 0)
          assert.strictEqual(yield* outcomeOf("execute", fresh()), "applied")
          assert.deepStrictEqual([...new Set(logged)], ["The record of a transaction cannot be read"])
          yield* run(`truncate ${schema}.saga_transaction, ${schema}.saga_barrier`)
        })
      ).pipe(Effect.scoped)
    )

    it.effect("C20, C6 decisions of people in hostile rows do not keep the others from being carried out", () =>
      Effect.gen(function* () {
        const run = yield* sql
        const { doubts } = yield* ParticipantStore.ParticipantStore
        if (doubts === undefined) return assert.fail()
        const row = (uuid: string, at: number) =>
          run(`insert into ${schema}.saga_doubt (service, uuid, decision, actor, reason, at)
            values ('bank', '${uuid}', 'commit', 'ann', 'asked by telephone', ${at})`)
        const first = fresh()
        yield* row(first, 1)
        for (const { column, value } of cases("saga_doubt")) {
          const uuid = fresh()
          yield* row(uuid, 2)
          yield* run(`update ${schema}.saga_doubt set "${column}" = ${value} where uuid = '${uuid}'`)
          assert.isTrue(Exit.isSuccess(yield* Effect.exit(doubts.outcome("bank", uuid))))
        }
        const last = fresh()
        yield* row(last, 3)
        const open = yield* doubts.open("bank")
        assert.includeMembers(
          open.map(({ uuid }) => uuid),
          [first, last]
        )
        assert.isTrue(open.every(({ decision }) => decision === "commit" || decision === "reject"))
        yield* run(`truncate ${schema}.saga_doubt`)
      })
    )

    it.effect("C20, I19 a hostile row of a dead letter does not hide the others", () =>
      Effect.gen(function* () {
        const run = yield* sql
        const { list, record } = yield* DeadLetters.DeadLetters
        const letter = (size: number) => ({
          ...{ receivedAt: 1, topic: "saga/v1/bank/tx/orders", sender: "orders", reason: "MessageMalformed", size },
          sha256: "0".repeat(64)
        })
        yield* run(`truncate ${schema}.saga_dead_letter`)
        yield* record(letter(7))
        for (const { column, value } of cases("saga_dead_letter")) {
          yield* record(letter(1))
          yield* run(`update ${schema}.saga_dead_letter set "${column}" = ${value}
            where id = (select max(id) from ${schema}.saga_dead_letter)`)
        }
        yield* record(letter(8))
        const sizes = (yield* list({ limit: 10_000 })).map(({ size }) => size)
        assert.deepStrictEqual([sizes[0], sizes.at(-1)], [8, 7])
        assert.isTrue(Exit.isSuccess(yield* Effect.exit(list({ limit: 1 }))))
      }).pipe(Effect.provide(Logger.layer([])))
    )
  })
}
