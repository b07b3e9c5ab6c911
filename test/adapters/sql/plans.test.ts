/**
 * F9: every statement of executions, participants and dead letters finds its rows by an index. A connection keeps the plan of
 * a statement, so the plan that is made while the tables are empty and without statistics has to be as good as any other.
 */
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { SqlClient, Statement } from "effect/sql"
import { DeadLetters } from "effect-saga"
import { type SagaExecutionStatements, SqlDeadLetters } from "effect-saga/sql"
import { type DoubtStatements, doubting } from "../../../src/adapters/sql/DoubtStatements.ts"
import { type InspectStatements, inspecting } from "../../../src/adapters/sql/InspectStatements.ts"
import * as Participants from "../../../src/adapters/sql/ParticipantStatements.ts"
import * as Executions from "../../../src/adapters/sql/SagaExecutionStatements.ts"
import * as SqlConnections from "../../../src/adapters/sql/SqlConnections.ts"
import * as SqlTables from "../../../src/adapters/sql/SqlTables.ts"
import * as ExecutionSummary from "../../../src/ports/ExecutionSummary.ts"
import * as Sample from "../../../src/testing/SampleExecutions.ts"
import * as Uuid from "../../../src/wire/Uuid.ts"
import { databases, schemaOf } from "../../fixtures/postgres.ts"

type Statements = SagaExecutionStatements.SagaExecutionStatements["Service"]
type Run = Effect.Effect<unknown, unknown>

/** Some of the stored rows, to ask for. */
interface Stored {
  readonly running: ReadonlyArray<string>
  readonly paused: ReadonlyArray<string>
  readonly settled: ReadonlyArray<string>
}

const far = 9_000_000_000_000

// ---- the statements --------------------------------------------------------------------------------------------

const summary = (uuid: string, revision: number): Executions.SummaryRow => ({
  summary: { ...ExecutionSummary.of(Sample.started(Sample.created({ uuid }))), revision },
  claimable: true,
  owner: "a",
  wakeAt: 0,
  announced: revision > 1,
  closes: false,
  takes: false,
  signals: revision === 1 ? ["approval"] : undefined,
  labels: false,
  place: undefined
})

const event = (uuid: string, revision: number): Executions.EventRow => ({ uuid, revision, writeId: "w", facts: "[]" })

const name = (uuid: string): Executions.NameRow => ({
  name: `uuid ${uuid}`,
  uuid,
  startKey: null,
  saga: "Order",
  contextHash: "h"
})

const limits = { concurrency: 5_000, maxQueued: 1_000 }

const fresh = () => Array.from({ length: 20 }, () => Uuid.v7(Sample.time))

/** Every filter of `find` alone, and the usual pairs. One that is missing is an error of types. */
const filters: {
  readonly [Name in keyof Required<ExecutionSummary.Filter>]: ReadonlyArray<ExecutionSummary.Filter>
} = {
  saga: [
    { saga: "Saga 1" },
    { saga: "no such saga" },
    { saga: "Saga 1", status: "paused" },
    { saga: "Saga 1", settled: false },
    { saga: "Saga 1", createdBefore: 500, createdAfter: 400 }
  ],
  status: [{ status: "paused" }, { status: "created" }, { status: "running", undoing: false }],
  settled: [{ settled: true }, { settled: false }],
  parked: [{ parked: true }, { parked: false }, { parked: true, saga: "Saga 2" }],
  user: [{ user: "user 7" }, { user: "user 7", saga: "Saga 1", status: "paused" }],
  startKey: [{ startKey: "key 7" }],
  attributes: [
    { attributes: { customer: 7 } },
    { attributes: { customer: 7, branch: "b" }, saga: "Saga 1", status: "paused" }
  ],
  createdBefore: [{ createdBefore: 500 }],
  createdAfter: [{ createdAfter: 900 }],
  undoing: [{ undoing: true }, { undoing: true, saga: "Saga 2" }, { undoing: true, createdAfter: 900 }],
  waitsFor: [
    { waitsFor: "payments/Charge" },
    { waitsFor: "payments" },
    { waitsFor: "payments", saga: "Saga 2", step: "payment" },
    { waitsFor: "signal approval" },
    { waitsFor: "signal approval", attributes: { customer: 0 } }
  ],
  failure: [
    { failure: "NoCourier" },
    { failure: "NoCourier", saga: "Saga 3", parked: true, step: "payment" },
    { failure: "no such failure" }
  ],
  // Alone it reads all that are not settled, as its docstring says.
  step: [
    { step: "payment", parked: true },
    { step: "payment", waitsFor: "timer" }
  ],
  startKeyPrefix: [
    { startKeyPrefix: "key 7" },
    { startKeyPrefix: "key 77", saga: "Saga 1" },
    { startKeyPrefix: "no such key" }
  ]
}

/** One filter for each index. */
const ways: ReadonlyArray<ExecutionSummary.Filter> = [
  {},
  { user: "user 7" },
  { attributes: { customer: 7 } },
  { parked: true },
  { parked: true, saga: "Saga 2" },
  { undoing: true },
  { failure: "NoCourier" },
  { waitsFor: "payments" },
  { startKeyPrefix: "key 7" }
]

const pageAfter: ExecutionSummary.Position = {
  createdAt: 450,
  uuid: "00000000-0000-4000-8000-000000000000",
  startKey: "key 77"
}

const claim: Executions.ClaimQuery = {
  owner: "a",
  limit: 10,
  dueBy: 10,
  fingerprints: undefined,
  holds: undefined,
  except: [],
  buckets: undefined,
  sparing: undefined
}

/** Each statement in all its forms. A statement that is missing here is an error of types, and of the test. */
const executions: {
  readonly [S in keyof Statements]: (statement: Statements[S], stored: Stored) => ReadonlyArray<Run>
} = {
  write: (write, { running }) => {
    const next = { events: running.map((uuid) => event(uuid, 4)), summaries: running.map((uuid) => summary(uuid, 4)) }
    const uuids = fresh()
    return [
      write({ events: running.map((uuid) => event(uuid, 4)), summaries: [] }),
      write({ events: uuids.map((uuid) => event(uuid, 1)), summaries: uuids.map((uuid) => summary(uuid, 1)) }),
      write(next),
      write({ ...next, summaries: next.summaries.map((row) => ({ ...row, takes: true })) }),
      write({
        events: [...next.events, ...uuids.map((uuid) => event(uuid, 1))],
        summaries: [...next.summaries, ...uuids.map((uuid) => summary(uuid, 1))]
      }),
      // A row alone.
      write({ events: next.events.slice(0, 1), summaries: [] }),
      write({ events: next.events.slice(0, 1), summaries: next.summaries.slice(0, 1) }),
      write({
        events: next.events.slice(0, 1),
        summaries: next.summaries.slice(0, 1).map((row) => ({ ...row, takes: true }))
      }),
      write({ events: [event(uuids[0]!, 1)], summaries: [summary(uuids[0]!, 1)] })
    ]
  },
  writeFree: (writeFree, { paused, running }) => {
    const uuids = fresh()
    const started = { events: uuids.map((uuid) => event(uuid, 1)), summaries: uuids.map((uuid) => summary(uuid, 1)) }
    const inbox = (rows: ReadonlyArray<string>) =>
      rows.map((uuid) => ({ uuid, closes: true, takes: "a", reads: ["x1", "x2"] }))
    const next = (rows: ReadonlyArray<string>) => ({
      events: rows.map((uuid) => event(uuid, 4)),
      summaries: rows.map((uuid) => summary(uuid, 4))
    })
    const entering = fresh()
    const inQueue = entering.map((uuid): Executions.SummaryRow => {
      const place = { uuid, queue: "queue 1", key: "k", priority: 0, since: 1, status: "new" } as const
      return { ...summary(uuid, 1), place }
    })
    return [
      writeFree({ events: entering.map((uuid) => event(uuid, 1)), summaries: inQueue, names: [], inbox: [] }),
      writeFree({
        events: paused.map((uuid) => event(uuid, 4)),
        summaries: paused.map((uuid) => ({ ...summary(uuid, 4), place: null })),
        names: [],
        inbox: []
      }),
      writeFree({ ...started, names: uuids.map(name), inbox: [] }),
      writeFree({ ...next(running), names: [], inbox: [] }),
      writeFree({
        events: running.map((uuid) => event(uuid, 5)),
        summaries: running.map((uuid) => {
          const { summary: found, ...row } = summary(uuid, 5)
          return { ...row, summary: { ...found, attributes: { branch: "new", customer: 8 } }, labels: true }
        }),
        names: [],
        inbox: []
      }),
      writeFree({ ...next(paused), names: [], inbox: inbox(paused) })
    ]
  },
  lastTick: (lastTick) => [lastTick("nightly", Sample.time)],
  advance: (advance) => [advance("nightly", Sample.time)],
  putTickBack: (putBack) => [putBack("nightly", 1, 2)],
  declareQueue: (declare) => [declare("queue 1", limits), declare("queue 9", limits)],
  limitQueue: (limit) => [limit("queue 1", limits)],
  queues: (queues) => [queues],
  queueRoom: (room) => [room("queue 1")],
  wantedQueues: (wanted) => [wanted],
  admit: (admit) =>
    ["queue 1", "queue 2", "queue 3"].map((queue, i) =>
      admit({
        queue,
        most: 100,
        owner: "a",
        except: fresh(),
        fingerprints: i === 0 ? undefined : ["f0", "f1", "f2"],
        at: far
      })
    ),
  regain: (regain, { paused, running }) => {
    const wanted = { key: "k", priority: 0, since: 1, fingerprint: "f1", revision: 3, owner: "a" }
    return [
      regain(paused.map((uuid) => ({ ...wanted, uuid, queue: "queue 4" }))),
      regain(running.map((uuid, i) => ({ ...wanted, uuid, queue: `queue ${1 + (i % 3)}` })))
    ]
  },
  writeIds: (writeIds, { settled }) => [writeIds(settled.map((uuid) => ({ uuid, revision: 2 })))],
  names: (names, { settled }) => [names(settled.map((uuid) => `uuid ${uuid}`))],
  watch: (watch, { paused }) => [watch(paused)],
  recount: (recount, { paused }) => [recount(paused)],
  renew: (renew) => [renew("a", 60_000, true), renew("b", 60_000, false), renew("a", 60_000, true, true)],
  adopt: (adopt, { running }) => [adopt("a#2", "a", running)],
  claim: (claims, { paused, running }) => [
    claims(claim),
    claims({ ...claim, holds: [] }),
    claims({
      ...claim,
      fingerprints: ["f1", "f2"],
      holds: running.map((uuid) => ({ uuid, revision: 3 })),
      except: paused,
      sparing: ["a", "b"]
    }),
    claims({ ...claim, holds: running.map((uuid) => ({ uuid, revision: 3 })), buckets: [1, 2, 3] })
  ],
  disown: (disown, { running }) => [disown("gone", running)],
  take: (take, { paused }) => [take(paused[0]!, "a", 0, undefined), take(paused[0]!, "a", 0, ["a", "b"])],
  lost: (lost, { running }) => [lost("a", running)],
  giveBack: (giveBack, { running }) => [
    giveBack(running.map((uuid) => ({ uuid, owner: "gone", revision: 3, wakeAt: far })))
  ],
  submit: (submit, { paused }) => [
    submit({ uuid: paused[0]!, id: "z", input: "{}", actor: null, reason: null, at: Sample.time }, null),
    submit({ uuid: paused[0]!, id: "s", input: "{}", actor: null, reason: null, at: Sample.time }, "approval")
  ],
  remind: (remind) => [remind(far + 1)],
  inbox: (inbox, { paused }) => [inbox(paused), inbox(paused, 10_000)],
  release: (release) => [release("a"), release("a", [1, 2])],
  forget: (forget) => [forget],
  events: (events, { settled }) => [events(settled), events(settled.slice(0, 1))],
  ended: (ended, { settled }) => [ended(settled, true), ended(settled, false)],
  find: (find) => [
    find({}, undefined, 101),
    ...Object.values(filters)
      .flat()
      .flatMap((filter) => [find(filter, undefined, 101), find(filter, pageAfter, 101)]),
    // One of each way to the executions.
    ...ways.map((filter) => find(filter, pageAfter, 101, true))
  ],
  census: (census) => [census],
  remove: (remove, { paused, settled }) => [remove(settled[0]!), remove(paused[0]!)],
  purge: (purge) => [purge(300, Number.NEGATIVE_INFINITY, 20), purge(300, 200, 20)]
}

/** What an operator sees. */
const inspected: {
  readonly [S in keyof InspectStatements]: (statement: InspectStatements[S], stored: Stored) => ReadonlyArray<Run>
} = {
  count: (count) => [count("Saga 1")],
  undoing: (undoing) => [undoing(undefined), undoing("Saga 2")],
  waiting: (waiting) => [waiting],
  parked: (parked) => [parked],
  overdue: (overdue) => [overdue(far + 1), overdue(10)],
  processes: (processes) => [processes],
  head: (head, { paused }) => [head(paused[0]!)],
  named: (named) => [named("key 7")],
  inDoubt: (inDoubt) => [inDoubt(far)],
  commands: (commands) => [commands(far)],
  deadLetters: (deadLetters) => [deadLetters(100)]
}

/** What people decide about transactions in doubt. */
const doubted: {
  readonly [S in keyof DoubtStatements]: (statement: DoubtStatements[S], stored: Stored) => ReadonlyArray<Run>
} = {
  decide: (decide, { settled }) => [
    decide({ service, uuid: settled[0] ?? "", decision: "commit", actor: "a", reason: "r", at: 1 })
  ],
  open: (open) => [open(service)],
  close: (close, { settled }) => [close(service, settled[0] ?? "", "applied", far)],
  outcome: (outcome, { settled }) => [outcome(service, settled[0] ?? "")]
}

type Records = typeof Participants.ParticipantStatements.Service

const service = "payments"

const transaction = (uuid: string) => ({
  uuid,
  coordinator: "orders",
  status: "pending" as const,
  notAfter: far,
  heuristic: false,
  updatedAt: 1
})

const barrier = (id: string, transaction: string | undefined) => ({
  id,
  transaction,
  coordinator: "orders",
  request: "r",
  status: 200 as const,
  reply: "{}",
  effect: "immediate" as const,
  open: true,
  accepted: undefined,
  keepUntil: far,
  createdAt: 1
})

const purge = { service, before: 300, alone: 300, limit: 20 }

const participants: { readonly [S in keyof Records]: (statement: Records[S], stored: Stored) => ReadonlyArray<Run> } = {
  lock: (lock, { settled }) => [
    lock({ service, transactions: [...settled.slice(0, 2), ...fresh().slice(0, 2)], messages: [] }),
    lock({ service, transactions: settled.slice(0, 1), messages: [] })
  ],
  take: (take, { settled }) => [
    take({ service, transactions: settled.slice(0, 1), messages: settled.slice(0, 2) }),
    take({ service, transactions: settled.slice(0, 1), messages: [], ending: true })
  ],
  read: (read, { settled }) => [
    read({ service, transactions: settled.slice(0, 2), messages: settled.slice(0, 2) }),
    // It may end the transactions, and reads what is accepted in them.
    read({ service, transactions: settled.slice(0, 2), messages: settled.slice(0, 1), ending: true }),
    read({ service, transactions: [], messages: settled.slice(0, 2) }),
    read({ service, transactions: [], messages: settled.slice(0, 1) })
  ],
  write: (write, { settled }) => {
    const [known = "", unused = ""] = settled
    const [uuid = "", other = ""] = fresh()
    return [
      write(service, { transactions: [], barriers: [barrier(other, uuid)], known: [], unused: [] }),
      write(service, {
        transactions: [transaction(uuid), transaction(known)],
        barriers: [barrier(uuid, uuid), barrier(known, known)],
        known: [{ id: known, status: 200 }],
        unused: [unused]
      })
    ]
  },
  savepoint: () => [],
  release: () => [],
  rollBack: () => [],
  find: (find) =>
    (["pending", "reserved"] as const).flatMap((status) => [
      find({ service, status, before: far, limit: 20 }),
      find({
        service,
        status,
        before: far,
        after: { uuid: "80000000-0000-4000-8000-000000000000", updatedAt: 500 },
        limit: 20
      }),
      // None is old enough: what waits and is young costs nothing.
      find({ service, status, before: -1, limit: 20 })
    ]),
  purge: (purges) => [purges(purge)],
  purgeBarriers: (purges, { settled }) => [purges(service, settled)],
  purgeAlone: (purges) => [purges(purge)]
}

// ---- rows by SQL -----------------------------------------------------------------------------------------------

/** Times are the numbers of the rows, scaled to 1,000. */
const fill = (schema: string, rows: number) => {
  const at = `(n * 1000 / ${rows})`
  return [
    `insert into ${schema}.saga_execution (uuid, start_key, saga, fingerprint, status, direction, commit_state, user_name,
        parked, revision, settled, claimable, owner, wake_at, created_at, updated_at, settled_at, inbox,
        attributes, step, step_path, waits_for, waiting_since, failure_tag)
      select gen_random_uuid(), 'key ' || n, 'Saga ' || n % 4, 'f' || n % 4, s.status,
        case when n % 1000 = 0 then 'backward' else 'forward' end, 'none', 'user ' || n % 500,
        n % 1000 = 3, 3, s.settled, not s.settled, case when s.status = 'running' then 'gone' end,
        case s.status when 'running' then 0 when 'paused' then ${far} end, ${at}, ${at},
        case when s.settled and n % 100 <> 5 then ${at} end, case when s.status = 'paused' and n % 20 = 0 then 10 end,
        jsonb_build_object('customer', n % 500, 'branch', 'b'), case when not s.settled then 'payment' end,
        case when not s.settled then '1' end, case when s.status = 'paused' then case n % 3 when 0 then 'payments/Charge'
          when 1 then 'signal approval' else 'stock/Reserve' end end, case when s.status = 'paused' then ${at} end,
        case when n % 1000 = 3 then 'NoCourier' when n % 100 = 9 then 'StepRefused' end
      from generate_series(0, ${rows - 1}) as n cross join lateral (
        select case when n % 2000 = 7 then 'running' when n % 10 = 0 then 'paused' when n % 1000 = 3 then 'errored'
          else 'finished' end as status, n % 2000 <> 7 and n % 10 <> 0 and n % 1000 <> 3 as settled
      ) s`,
    `insert into ${schema}.saga_attribute (uuid, name, value, created_at)
      select h.uuid, a.key, a.value::text, h.created_at
      from ${schema}.saga_execution h cross join lateral jsonb_each(h.attributes) a`,
    `insert into ${schema}.saga_queue (name, concurrency, max_queued, declared, rate, rate_per, key_concurrency, key_rate, key_rate_per)
      select 'queue ' || n, 300, 1000, '{}', case n when 2 then 1000 end, 1000, case when n in (2, 3) then n end,
        case n when 2 then 5 end, 1000
      from generate_series(1, 4) as n`,
    `insert into ${schema}.saga_queued (uuid, queue, key, priority, since, place, kind)
      select uuid, 'queue ' || (n % 3 + 1), 'key ' || case n % 3 when 0 then 0 else n % 2000 end, n % 5, n,
        case when n % 1000 < 5 then 'held' when n % 1000 < 15 then 'again' else 'new' end, fingerprint
      from (select uuid, fingerprint, row_number() over () as n from ${schema}.saga_execution) h`,
    `insert into ${schema}.saga_queue_key (queue, key, tokens, tokens_at)
      select 'queue 2', 'key ' || n, 1, n from generate_series(1, 2000) as n`,
    `insert into ${schema}.saga_event (uuid, revision, write_id, facts)
      select uuid, r, 'w', '[]' from ${schema}.saga_execution, generate_series(1, 3) as r`,
    `insert into ${schema}.saga_name (name, uuid, saga, context_hash)
      select 'uuid ' || uuid, uuid, saga, 'h' from ${schema}.saga_execution`,
    `insert into ${schema}.saga_inbox (uuid, id, input, at)
      select uuid, 'x' || i, '{}', 0 from ${schema}.saga_execution, generate_series(1, 10) as i where inbox = 10`,
    `insert into ${schema}.saga_instance (id, epoch, lease_until)
      select case when n = 1 then 'a' else 'instance ' || n end, 1, now() + interval '1 hour' from generate_series(1, 3) as n`,
    `insert into ${schema}.saga_transaction (service, uuid, coordinator, status, not_after, heuristic, updated_at)
      select '${service}', uuid, 'orders', case when created_at % 100 = 1 then 'pending' when created_at % 100 = 2 then 'reserved'
        when created_at % 100 = 3 then 'rejected' else 'committed' end, created_at, false, created_at
      from ${schema}.saga_execution`,
    `insert into ${schema}.saga_barrier (service, id, transaction_uuid, coordinator, request, status, reply, effect, open,
        not_after, created_at)
      select '${service}', uuid::text || case when r = 1 then '' else ':' || r end, case when r = 2 then uuid end, 'orders', 'r', 200,
        '{}', 'immediate', false, created_at, created_at
      from ${schema}.saga_execution, generate_series(1, 2) as r`,
    `insert into ${schema}.saga_barrier (service, id, transaction_uuid, coordinator, request, status, reply, effect, open, accepted,
        not_after, created_at)
      select '${service}', uuid::text || ':3', case when created_at % 2 = 0 then uuid end, 'orders', 'r', 202, '{}', 'none', true, '{}',
        created_at, created_at
      from ${schema}.saga_execution where created_at % 100 in (4, 5)`,
    `insert into ${schema}.saga_doubt (service, uuid, decision, actor, reason, at, outcome)
      select '${service}', uuid, 'commit', 'a', 'r', created_at, case when created_at % 100 <> 2 then 'applied' end
      from ${schema}.saga_execution where created_at < 500`,
    `insert into ${schema}.saga_dead_letter (received_at, topic, sender, reason, size, sha256)
      select n, 't', 's', 'r', 1, 'h' from generate_series(1, 10000) as n`
  ]
}

const tables = [
  "saga_execution",
  "saga_event",
  "saga_name",
  "saga_inbox",
  "saga_queue",
  "saga_queue_key",
  "saga_queued",
  "saga_transaction",
  "saga_barrier",
  "saga_doubt",
  "saga_dead_letter"
]

// ---- plans -----------------------------------------------------------------------------------------------------

interface Node {
  readonly "Node Type": string
  readonly "Relation Name"?: string
  readonly "Total Cost": number
  readonly "Shared Hit Blocks"?: number
  readonly "Shared Read Blocks"?: number
  readonly Plans?: ReadonlyArray<Node>
}

const scanned = (node: Node): ReadonlyArray<string> => [
  // One row for each process, or for each queue: there a scan is as good as an index.
  ...(node["Node Type"] === "Seq Scan" && !["saga_instance", "saga_queue"].includes(node["Relation Name"] ?? "")
    ? [node["Relation Name"] ?? ""]
    : []),
  ...(node.Plans ?? []).flatMap(scanned)
]

/** A part that writes and that no other part reads is not counted in the whole. */
const pages = (node: Node): number =>
  Math.max(
    (node["Shared Hit Blocks"] ?? 0) + (node["Shared Read Blocks"] ?? 0),
    (node.Plans ?? []).reduce((sum, part) => sum + pages(part), 0)
  )

const element = (value: unknown): string =>
  value === null ? "null" : `"${String(value).replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`

/** A parameter as an argument of `execute`, whose types are those that the driver has said. */
const literal = (value: unknown): string => {
  if (value === null || value === undefined) return "null"
  const text = Array.isArray(value) ? `{${value.map(element).join(",")}}` : String(value)
  return `'${text.replaceAll("'", "''")}'`
}

/** A statement touches a few pages for each row that it reads, and for each index of a row that it writes. */
const mostPages = 4_000

/**
 * The newest of each group. Of a small table the planner expects a group to be hardly more than a page of the list, and may read all of
 * it; 4,796 pages were seen with 20,000 rows.
 */
const mostOfGroups = 5_500

/** It looks at a thousand inputs. */
const mostReminded = 10_000

/**
 * The worst queue: no key has a free place, so an admission looks at 500 keys of those that go on and 500 of those that begin. At each it
 * goes down an index for each of the three definitions, and once for the places that are taken: nine times about four pages. 38,000
 * were seen here, and 8 in a queue with free places.
 */
const mostAdmitted = 45_000

/** Each place of three full queues. 1,400 pages were seen, which are counted again in every part that uses them. */
const mostRegained = 10_000

/** It counts up to ten thousand rows of each kind and queue; 3,700 pages were seen. */
const mostListed = 6_000

/** A unit of work of a participant reads and writes two transactions and two answers. */
const mostInUnit = 60

/** A page of transactions, however many wait. */
const mostFound = 60

/** It counts up to 10,000 executions of a group, by their index; of rows that nobody has vacuumed it looks at each. */
const mostCounted = 60_000

const mostOf = (text: string): number => {
  if (text.includes("min(oldest)") || text.includes("min(wake_at)") || text.includes("min(created_at)"))
    return mostCounted
  if (text.includes("(with recursive g (")) return mostOfGroups
  if (text.startsWith("with waiting")) return mostReminded
  if (text.includes("row_to_json(t) as row, uuid")) return mostFound
  if (text.startsWith("with recursive seen")) return mostAdmitted
  if (text.startsWith("with asked as materialized")) return mostRegained
  if (text.startsWith("select q.name, q.declared")) return mostListed
  return /json_agg|saga_transaction" as t|with dropped/.test(text) ? mostInUnit : mostPages
}

interface Seen {
  readonly text: string
  /** The pages that it may touch. */
  readonly most: number
  /** Tables that are read from end to end. */
  readonly scanned: ReadonlyArray<string>
  /** Pages that the statement has touched. */
  readonly pages: number
  /** What the planner expects it to cost. */
  readonly cost: number
}

/** Runs statements, and looks at the plans that their connection keeps for them. What they write is rolled back. */
const plans = Effect.fn(function* (runs: ReadonlyArray<Run>) {
  const sql = yield* SqlClient.SqlClient
  const rolledBack = <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      let done: { readonly value: A } | undefined
      const undone = Effect.flatMap(work, (value) => {
        done = { value }
        return Effect.fail("rolled back" as const)
      })
      const reason = yield* Effect.flip(sql.withTransaction(undone))
      return done === undefined ? yield* Effect.fail(reason) : done.value
    })
  const seen: Array<Seen> = []
  for (const run of runs) {
    const recorded: Array<readonly [string, ReadonlyArray<unknown>]> = []
    const transformer: Statement.Transformer = (self) =>
      Effect.sync(() => {
        recorded.push(self.compile())
        return self
      })
    yield* rolledBack(Effect.provideService(run, Statement.CurrentTransformer, transformer))
    for (const [text, values] of recorded) {
      const prepared = yield* sql.unsafe<{ name: string }>(
        "select name from pg_prepared_statements where statement = $1",
        [text]
      ).unprepared
      assert.isAbove(prepared.length, 0, text)
      // Several where an empty array has another type than a full one.
      for (const { name } of prepared) {
        const call = `"${name}"${values.length === 0 ? "" : `(${values.map(literal).join(", ")})`}`
        const explain = sql.unsafe<Record<string, unknown>>(`explain (analyze, buffers, format json) execute ${call}`)
        const [row] = yield* rolledBack(explain.unprepared)
        const answer = Object.values(row!)[0]
        const [{ Plan }] = typeof answer === "string" ? JSON.parse(answer) : answer
        seen.push({
          text,
          most: mostOf(text),
          scanned: scanned(Plan),
          pages: pages(Plan),
          cost: Plan["Total Cost"]
        })
      }
    }
  }
  return seen
})

const pick = (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const of = (condition: string) =>
      Effect.map(
        sql.unsafe<{ uuid: string }>(
          `select uuid from ${schema}.saga_execution where ${condition} order by created_at limit 20`
        ).unprepared,
        (rows) => (rows.length === 0 ? fresh() : rows.map(({ uuid }) => uuid))
      )
    return {
      running: yield* of("status = 'running'"),
      paused: yield* of("status = 'paused' and inbox = 10"),
      settled: yield* of("settled")
    } satisfies Stored
  })

/** All tables, in the transaction of the context. */
const setUp = Effect.fnUntraced(function* (schema: string) {
  for (const [module, list, migrations] of [
    ["SqlSagaExecutionRepository", "saga_execution_migration", SqlTables.executions],
    ["SqlParticipantStore", "saga_participant_migration", SqlTables.participants]
  ] as const)
    yield* SqlTables.setUp({ schema }, yield* SqlConnections.make(module, {}), { module, list, migrations })
  return Context.get(yield* Layer.build(Layer.fresh(SqlDeadLetters.layer({ schema }))), DeadLetters.DeadLetters)
})

/** Every statement in every form, with the plan that it has now. */
const lookOf = (
  own: Statements,
  records: Records,
  seen: InspectStatements,
  doubts: DoubtStatements,
  letters: Context.Service.Shape<typeof DeadLetters.DeadLetters>,
  schema: string
) =>
  Effect.flatMap(pick(schema), (stored) =>
    plans([
      ...Object.entries(executions).flatMap(([key, of]) => of(own[key as keyof Statements] as never, stored)),
      ...Object.entries(participants).flatMap(([key, of]) => of(records[key as keyof Records] as never, stored)),
      ...Object.entries(inspected).flatMap(([key, of]) => of(seen[key as keyof InspectStatements] as never, stored)),
      ...Object.entries(doubted).flatMap(([key, of]) => of(doubts[key as keyof DoubtStatements] as never, stored)),
      letters.record({ receivedAt: 1, topic: "t", sender: "s", reason: "r", size: 1, sha256: "h" }),
      letters.list()
    ])
  )

const check = (when: string, seen: ReadonlyArray<Seen>) => {
  assert.isAbove(seen.length, 80)
  for (const { most, pages, scanned, text } of seen) {
    assert.deepStrictEqual(scanned, [], `${when}: ${text}`)
    assert.isAtMost(pages, most, `${when}: ${text}`)
  }
}

/** What the planner reckons for making a plan of a few tables. */
const planning = 20

/**
 * Postgres keeps a plan where it is not dearer than plans of their own for given parameters. Else it makes a plan each time, which may
 * take longer than the statement. Those that read a page may: of a limit that is a parameter the planner expects a tenth of all
 * rows, and they run once for many executions.
 */
const checkKept = (kept: ReadonlyArray<Seen>, own: ReadonlyArray<Seen>) => {
  assert.strictEqual(kept.length, own.length)
  const dear = kept.flatMap(({ cost, text }, i) => {
    const [before, other] = [own[i]!.cost, own[i]!.text]
    assert.strictEqual(text, other)
    return cost > before * 1.1 + planning && !/limit \$\d/.test(text)
      ? [`${Math.round(cost)} instead of ${Math.round(before)}: ${text}`]
      : []
  })
  assert.deepStrictEqual(dear, [])
}

for (const { layer, name } of databases("plans")) {
  const rows = name === "Postgres" ? 100_000 : 20_000
  withLayer(layer, { timeout: "5 minutes", excludeTestServices: true })(`plans: ${name}`, (it) => {
    it.effect("F9 every statement finds its rows by an index, whenever its plan is made", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const schema = schemaOf("plans")
        const names = { of: (table: string) => `${schema}.${table}`, space: schema, schema }
        const [mine, records] = [Executions.postgres(sql, names), Participants.postgres(sql, names)]
        const seen = inspecting(sql, names)
        assert.sameMembers(Object.keys(inspected), Object.keys(seen))
        assert.sameMembers(Object.keys(executions), Object.keys(mine))
        assert.sameMembers(Object.keys(participants), Object.keys(records))
        // One transaction, so that nobody else sees the tables: a server may get statistics of all tables at any time.
        const inside = Effect.gen(function* () {
          const look = lookOf(mine, records, seen, doubting(sql, names), yield* setUp(schema), schema)
          yield* sql`set local plan_cache_mode = force_generic_plan`
          check("on empty tables", yield* look)
          for (const statement of fill(schema, rows)) yield* sql.unsafe(statement).unprepared
          check("by the plan that was made on empty tables", yield* look)
          yield* sql`set local plan_cache_mode = force_custom_plan`
          check("without statistics", yield* look)
          for (const table of tables) yield* sql.unsafe(`analyze ${schema}.${table}`).unprepared
          const own = yield* look
          check("with statistics", own)
          yield* sql`set local plan_cache_mode = force_generic_plan`
          const kept = yield* look
          check("by the plan that is kept on full tables", kept)
          checkKept(kept, own)
          return yield* Effect.fail("rolled back" as const)
        })
        assert.strictEqual(yield* Effect.flip(sql.withTransaction(Effect.scoped(inside))), "rolled back")
      })
    )
  })
}
