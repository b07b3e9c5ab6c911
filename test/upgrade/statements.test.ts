/**
 * The statements of a participant of a former release on the tables of this one. A migration has dropped an index that they used:
 * each still finds its rows by another one, whatever the planner knows of the tables.
 */
import process from "node:process"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient, Statement } from "effect/sql"
import * as SqlConnections from "../../src/adapters/sql/SqlConnections.ts"
import * as SqlTables from "../../src/adapters/sql/SqlTables.ts"
import { schemaOf, server, url } from "../fixtures/postgres.ts"
import * as Former from "./former.ts"

type Run = Effect.Effect<unknown, unknown>

/** The parts of its statements that these tests call. */
interface Statements {
  readonly lock: (scope: object) => Run
  readonly read: (scope: object) => Run
  readonly write: (service: string, what: object) => Run
  readonly find: (query: object) => Run
  readonly purge: (request: object) => Run
  readonly purgeBarriers: (service: string, transactions: ReadonlyArray<string>) => Run
  readonly purgeAlone: (request: object) => Run
}

interface Node {
  readonly "Node Type": string
  readonly "Relation Name"?: string
  readonly "Shared Hit Blocks"?: number
  readonly "Shared Read Blocks"?: number
  readonly Plans?: ReadonlyArray<Node>
}

const service = "payments"
const far = 9_000_000_000_000
const uuidOf = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`

const runsOf = (statements: Statements): ReadonlyArray<Run> => {
  const transactions = [uuidOf(1), uuidOf(2)]
  const purge = { service, before: 10, alone: 10, limit: 20 }
  const transaction = { coordinator: "orders", status: "pending", notAfter: 1, heuristic: false, updatedAt: 1 }
  return [
    statements.lock({ service, transactions, messages: [] }),
    statements.read({ service, transactions, messages: ["m1"] }),
    statements.write(service, {
      transactions: transactions.map((uuid) => ({ ...transaction, uuid })),
      barriers: [],
      known: [],
      unused: [uuidOf(3)]
    }),
    ...["pending", "reserved"].flatMap((status) => [
      statements.find({ service, status, before: far, limit: 20 }),
      statements.find({ service, status, before: far, limit: 20, after: uuidOf(10) })
    ]),
    statements.purge(purge),
    statements.purgeBarriers(service, transactions),
    statements.purgeAlone(purge)
  ]
}

const scansOf = (node: Node): ReadonlyArray<string> => [
  ...(node["Node Type"] === "Seq Scan" ? [node["Relation Name"] ?? ""] : []),
  ...(node.Plans ?? []).flatMap(scansOf)
]

/** A part that writes and that no other part reads is not counted in the whole. */
const pagesOf = (node: Node): number =>
  Math.max(
    (node["Shared Hit Blocks"] ?? 0) + (node["Shared Read Blocks"] ?? 0),
    (node.Plans ?? []).reduce((sum, part) => sum + pagesOf(part), 0)
  )

/** Another index than that of what waits would lead through thousands of transactions that are over. */
const mostPages = 300

/** The tables that a statement reads from end to end, and the pages that it touches. What it writes is rolled back. */
const looked = Effect.fnUntraced(function* (run: Run) {
  const sql = yield* SqlClient.SqlClient
  const recorded: Array<readonly [string, ReadonlyArray<unknown>]> = []
  const transformer: Statement.Transformer = (self) =>
    Effect.sync(() => {
      recorded.push(self.compile())
      return self
    })
  const undone = Effect.fnUntraced(function* <A, E, R>(work: Effect.Effect<A, E, R>) {
    const done: Array<A> = []
    const whole = Effect.andThen(
      Effect.tap(work, (value) => Effect.sync(() => done.push(value))),
      Effect.fail("undone")
    )
    assert.strictEqual(yield* Effect.flip(sql.withTransaction(whole)), "undone")
    return done[0]!
  })
  yield* undone(Effect.provideService(run, Statement.CurrentTransformer, transformer))
  assert.strictEqual(recorded.length, 1)
  const [text, values] = recorded[0]!
  const [row] = yield* undone(
    sql.unsafe<{ "QUERY PLAN": ReadonlyArray<{ Plan: Node }> }>(
      `explain (analyze, buffers, format json) ${text}`,
      values
    )
  )
  const { Plan } = row!["QUERY PLAN"][0]!
  return { text, tables: scansOf(Plan), pages: pagesOf(Plan) }
})

/** Of the release with all tables the statements take other arguments. */
const last = Former.releases.findLast(({ isWhole }) => isWhole !== true)!

describe.skipIf(url === undefined || (!Former.isThere(last) && process.env.CI === undefined))(
  "statements of a former release",
  () => {
    const name = schemaOf("former")
    it.effect(
      "a participant of the release before finds its rows by an index",
      () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const options = { module: "SqlParticipantStore", list: "saga_participant_migration" }
          const tables = yield* SqlTables.setUp({ schema: name }, yield* SqlConnections.make(options.module, {}), {
            ...options,
            migrations: SqlTables.participants
          })
          const { postgres } = yield* Effect.promise(() =>
            Former.load<{ readonly postgres: (client: SqlClient.SqlClient, tables: SqlTables.Tables) => Statements }>(
              last,
              "adapters/sql/ParticipantStatements.js"
            )
          )
          const runs = runsOf(postgres(sql, tables))
          const check = (when: string) =>
            Effect.forEach(runs, (run) =>
              Effect.map(looked(run), ({ pages, tables, text }) => {
                assert.deepStrictEqual(tables, [], `${when}: ${text}`)
                assert.isAtMost(pages, mostPages, `${when}: ${text}`)
              })
            )
          const transactions = sql(tables.of("saga_transaction"))
          yield* check("on empty tables")
          yield* sql`insert into ${transactions}
            select ${service}, gen_random_uuid(), 'orders',
              case when n % 500 = 0 then 'pending' when n % 500 = 1 then 'reserved' else 'committed' end, n, false, n
            from generate_series(1, 20000) n`
          yield* check("without statistics")
          yield* sql`analyze ${transactions}`
          yield* check("with statistics")
        }).pipe(Effect.provide(server(name)), Effect.scoped),
      600_000
    )
  }
)
