/** The statements that write executions, and the rows that they write. */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import type { Fragment } from "effect/sql/Statement"
import { codeOf, isRejected, notServed } from "./SqlErrors.ts"
import { isKey, type Statement, type TableNames, withFixedText } from "./SqlStatements.ts"
import { type Columns, changed, jsonOf, type SummaryRow, started, valuesOf } from "./SummaryRow.ts"

// ---- rows ------------------------------------------------------------------------------------------------------

/** A row of `saga_event`: all facts of one write, as JSON text. */
export interface EventRow {
  readonly uuid: string
  readonly revision: number
  /** Tells the write of one attempt from the same write of another process. */
  readonly writeId: string
  readonly facts: string
}

/** A row of `saga_name`: a uuid or `startKey` that a caller has given. It names one execution, for ever (SPEC C9). */
export interface NameRow {
  readonly name: string
  readonly uuid: string
  readonly startKey: string | null
  readonly saga: string
  readonly contextHash: string
}

/** The change that a write makes to the inbox of its execution. */
export interface InboxEffect {
  readonly uuid: string
  /** The write is refused while other rows wait. */
  readonly closes: boolean
  /** The write is refused while another living owner than this one is at work on the execution. */
  readonly takes: string | null
  /** The ids of rows that leave the inbox with the write. */
  readonly reads: ReadonlyArray<string>
}

/** The uuids of executions that were written, and of those that were not because inputs wait for them. */
export interface Written {
  readonly written: ReadonlySet<string>
  readonly unread: ReadonlySet<string>
}

/** The rows of one or more writes. */
export interface Writes {
  readonly events: ReadonlyArray<EventRow>
  readonly summaries: ReadonlyArray<SummaryRow>
  readonly names: ReadonlyArray<NameRow>
  readonly inbox: ReadonlyArray<InboxEffect>
}

/** A name as the database gives it. `outcome` is null while its execution is kept. */
export interface StoredName extends NameRow {
  readonly outcome: string | null
}

// ---- the statements --------------------------------------------------------------------------------------------

export interface WriteStatements {
  /**
   * Writes all rows, or none: fails with a unique violation, or with a check violation where inputs wait for an execution
   * that the write closes, or another owner is at work on one that it takes. For executions without names, whose
   * writes take nothing out of the inbox, bring no attributes and change no row of a queue.
   */
  readonly write: (writes: Pick<Writes, "events" | "summaries">) => Statement<void>
  /**
   * Writes the rows of each execution whose revision and names are free and that `inbox` allows to be written. An execution
   * that a write closes or takes and that is not in `inbox` makes the statement fail as in `write`.
   */
  readonly writeFree: (writes: Writes) => Statement<Written>
  /** The write ids that the database has at the given revisions. */
  readonly writeIds: (
    rows: ReadonlyArray<{ readonly uuid: string; readonly revision: number }>
  ) => Statement<ReadonlyArray<{ readonly uuid: string; readonly writeId: string }>>
  /** Says of executions that a caller of this process waits for them: what another process writes of them is announced. */
  readonly watch: (uuids: ReadonlyArray<string>) => Statement<void>
  /**
   * Sets the number of inputs that wait for executions to what it is, for writes that were refused because of it: rows that other
   * hands have removed are counted still. An input that comes meanwhile changes the number, which is then left as it is.
   */
  readonly recount: (uuids: ReadonlyArray<string>) => Statement<void>
  /** The names that are in use or used up. */
  readonly names: (names: ReadonlyArray<string>) => Statement<ReadonlyArray<StoredName>>
}

// ---- Postgres --------------------------------------------------------------------------------------------------

export const writing = (
  sql: SqlClient.SqlClient,
  { attribute, event, execution, inbox, instance, name, queued }: TableNames,
  channel: string
): WriteStatements => {
  const hasListeners = sql`(select count(*) > 1 from ${instance} where lease_until > now())`
  // A removed execution gets no summary again. The offset keeps the planner from hashing the whole table instead.
  const isThere = sql`(h.revision = 1 or exists (select from ${execution} x where x.uuid = h.uuid offset 0))`
  const changing = (row: Fragment, waiting: Fragment, left: Fragment) => sql`status = ${row}.status,
        direction = ${row}.direction, decision = ${row}.decision, commit_state = ${row}.commit_state,
        parked = ${row}.parked, failure_tag = ${row}.failure_tag, failure_path = ${row}.failure_path,
        revision = ${row}.revision, settled = ${row}.settled, claimable = ${row}.claimable or ${waiting} > 0,
        owner = ${row}.owner, wake_at = ${row}.wake_at, updated_at = ${row}.updated_at, step = ${row}.step,
        step_path = ${row}.step_path, waits_for = ${row}.waits_for, waiting_since = ${row}.waiting_since,
        settled_at = ${row}.settled_at, trace = ${row}.trace, attributes = ${row}.attributes, inbox = ${left}`
  const excluded = sql`excluded`
  const isPresent = (owner: Fragment) =>
    sql`exists (select from ${instance} i where i.id = ${owner} and i.lease_until > clock_timestamp())`
  /** As for a claim: a server that stood still runs a write for which all leases are over, those of living owners too. */
  const isTaken = (head: Fragment, owner: Fragment) => sql`${head}.wake_at = 0 and ${head}.owner <> ${owner}
          and (${isPresent(sql`${head}.owner`)} or not ${isPresent(owner)})`
  // A row says by 0 that its write closes the execution, by 1 that it takes it, by 2 both. The check of the column refuses -1:
  // inputs wait, or another owner has it. The numbers are those of the row under its lock, so an input that comes at the
  // same moment is seen or comes after the write.
  const unless = (row: Fragment, takes: boolean) =>
    changing(
      row,
      sql`coalesce(x.inbox, 0)`,
      sql`case when ${row}.inbox <> 1 and x.inbox > 0 then -1
          ${takes ? sql`when ${row}.inbox > 0 and ${isTaken(sql`x`, sql`${row}.owner`)} then -1` : sql``}
          else x.inbox end`
    )

  /** The columns of events, in the order of the table. */
  const columnsOfEvents = (rows: ReadonlyArray<EventRow>): ReadonlyArray<unknown> => [
    rows.map(({ uuid }) => uuid),
    rows.map(({ revision }) => revision),
    rows.map(({ writeId }) => writeId),
    rows.map(({ facts }) => facts)
  ]
  const eventsOf = ([uuids, revisions, writeIds, facts]: ReadonlyArray<unknown>) =>
    sql`unnest(${uuids}::uuid[], ${revisions}::int[], ${writeIds}::text[], ${facts}::text[])
      as e (uuid, revision, write_id, facts)`
  const summariesOf = (rows: string) => sql`json_populate_recordset(null::${execution}, ${rows}::json) as h`

  const effectsOf = (effects: ReadonlyArray<InboxEffect>) =>
    sql`json_to_recordset(${JSON.stringify(effects)}::json) as f (uuid uuid, closes boolean, takes text, reads text[])`
  // The row is locked before it is read: an input comes before the lock, or after the write.
  const blockedOf = (effects: ReadonlyArray<InboxEffect>) =>
    effects.length === 0
      ? sql``
      : sql`, blocked as (
                select * from (
                  select h.uuid, f.closes and h.inbox > (
                      select count(*) from ${inbox} i where i.uuid = f.uuid and i.id = any(f.reads)
                    ) as unread, f.takes is not null and ${isTaken(sql`h`, sql`f.takes`)} as taken
                  from (
                    select * from ${effectsOf(effects)} order by uuid
                  ) f cross join lateral (
                    select x.uuid, coalesce(x.inbox, 0) as inbox, x.owner, x.wake_at from ${execution} x
                    where x.uuid = f.uuid for update
                  ) h
                ) b where unread or taken
              )`
  const goneOf = (effects: ReadonlyArray<InboxEffect>) =>
    effects.length === 0
      ? sql``
      : sql`, gone as (
                delete from ${inbox} i using ${effectsOf(effects)} join written w on w.uuid = f.uuid
                where ${isKey(sql, sql`i.uuid`, sql`f.uuid`)} and i.id = any(f.reads)
                returning i.uuid
              )`
  // As text of the database: numbers and letters have one form there, whoever has written them. None is ever taken away.
  const labelled = (summaries: ReadonlyArray<SummaryRow>) =>
    summaries.some(isLabelled)
      ? sql`, labelled as (
                insert into ${attribute} as a (uuid, name, value, created_at)
                select h.uuid, l.key, l.value::text, h.created_at
                from ${summariesOf(jsonOf(summaries.filter(isLabelled), started))} join changed c on c.uuid = h.uuid
                cross join lateral jsonb_each(h.attributes) l
                on conflict (uuid, name) do update set value = excluded.value where a.value <> excluded.value
              )`
      : sql``
  // After the head is written: an admission locks the head first too.
  const placed = (summaries: ReadonlyArray<SummaryRow>) => {
    const uuidsGone = summaries.flatMap(({ place, summary }) => (place === null ? [summary.uuid] : []))
    const rows = summaries.flatMap(({ place, summary }) => (place ? { ...place, kind: summary.fingerprint } : []))
    return sql`${
      rows.length === 0
        ? sql``
        : sql`, placed as (
                insert into ${queued} (uuid, queue, key, priority, since, place, kind)
                select p.uuid, p.queue, p.key, p.priority, p.since, p.status, p.kind
                from json_to_recordset(${JSON.stringify(rows)}::json)
                  as p (uuid uuid, queue text, key text, priority int, since bigint, status text, kind text)
                join changed c on c.uuid = p.uuid
                on conflict (uuid) do update set since = excluded.since, place = excluded.place, kind = excluded.kind
              )`
    }${
      uuidsGone.length === 0
        ? sql``
        : sql`, unplaced as (
                delete from ${queued} q using changed c
                where ${isKey(sql, sql`q.uuid`, sql`c.uuid`)} and c.uuid = any(${uuidsGone}::uuid[])
              )`
    }`
  }
  // The keys first: one that another start has taken at the same moment, perhaps in this statement, leaves its uuid free.
  const insertNames = sql`insert into ${name} (name, uuid, start_key, saga, context_hash)
                select name, uuid, "startKey", saga, "contextHash" from free`
  const left = sql`coalesce(x.inbox, 0) - (select count(*)::int from gone g where g.uuid = x.uuid)`

  // The statements of almost every write. A new summary needs no `on conflict`, by which the row is looked up first and logged twice:
  // the first event of a start that comes twice is refused. A later summary is an update, so a removed execution gets none again. The
  // events come first, as a removal locks the place of the next event before the row of the execution: a part of a statement that
  // nothing reads runs after it.
  const into = sql`insert into ${event} (uuid, revision, write_id, facts)`
  const added = (rows: Fragment) => {
    const names = sql.literal(Object.keys(started.types).join(", "))
    return sql`added as (insert into ${execution} (${names}) select ${names} from ${rows})`
  }
  const updated = (rows: Fragment, takes: boolean) => sql`changed as (
            update ${execution} x set ${unless(sql`h`, takes)} from ${rows} where ${isKey(sql, sql`x.uuid`, sql`h.uuid`)}
            returning case when (x.watched or x.uuid::text = any(${[]}::text[])) and ${hasListeners}
              then pg_notify(${channel}, x.uuid::text) end
          )`
  const listOf = ({ types }: Columns) => {
    const columns = Object.entries(types).map((column) => column.join(" "))
    return sql`json_to_recordset(${""}::json) as h (${sql.literal(columns.join(", "))})`
  }
  const events = sql`${into} select * from ${eventsOf([[], [], [], []])}`
  const writeEvents = withFixedText(sql, events)
  const writeNew = withFixedText(sql, sql`with ${added(listOf(started))} ${events}`)
  const writeLater = byTakes((takes) => withFixedText(sql, sql`with ${updated(listOf(changed), takes)} ${events}`))
  const writeBoth = byTakes((takes) =>
    withFixedText(sql, sql`with ${added(listOf(started))}, ${updated(listOf(changed), takes)} ${events}`)
  )
  const writeMany = (rows: ReadonlyArray<EventRow>, summaries: ReadonlyArray<SummaryRow>) => {
    const columns = columnsOfEvents(rows)
    if (summaries.length === 0) return writeEvents(columns)
    const news = summaries.filter(isNew)
    const others = summaries.filter((row) => !isNew(row))
    if (others.length === 0) return writeNew([jsonOf(news, started), ...columns])
    const values = [jsonOf(others, changed), announcedOf(others), channel, ...columns]
    return news.length === 0
      ? writeLater(isTaking(others))(values)
      : writeBoth(isTaking(others))([jsonOf(news, started), ...values])
  }

  // A row alone is no list: the server would spend more on a list than on the row.
  const oneOf = ({ types }: Columns) => {
    const columns = Object.entries(types).map(
      ([name, type]) => sql`${""}::${sql.literal(type)} as ${sql.literal(name)}`
    )
    return sql`(select ${sql.csv(columns)}) as h`
  }
  const event1 = sql`${into} values (${""}::uuid, ${""}::int, ${""}::text, ${""}::text)`
  const writeEvent1 = withFixedText(sql, event1)
  const writeNew1 = withFixedText(sql, sql`with ${added(oneOf(started))} ${event1}`)
  const writeLater1 = byTakes((takes) => withFixedText(sql, sql`with ${updated(oneOf(changed), takes)} ${event1}`))
  const writeOne = ({ facts, revision, uuid, writeId }: EventRow, summary: SummaryRow | undefined) => {
    const values = [uuid, revision, writeId, facts]
    if (summary === undefined) return writeEvent1(values)
    return isNew(summary)
      ? writeNew1([...valuesOf(summary, started), ...values])
      : writeLater1(summary.takes)([...valuesOf(summary, changed), announcedOf([summary]), channel, ...values])
  }

  return {
    write: ({ events, summaries }) => {
      const [row, ...rows] = events
      return Effect.asVoid(
        row !== undefined && rows.length === 0 ? writeOne(row, summaries[0]) : writeMany(events, summaries)
      )
    },
    writeFree: (writes) =>
      Effect.map(
        sql<{ readonly uuid: string; readonly unread: boolean }>`with given as (
                select * from json_to_recordset(${JSON.stringify(writes.names)}::json)
                  as g (name text, uuid uuid, "startKey" text, saga text, "contextHash" text)
              ) ${blockedOf(writes.inbox)}, free as (
                select name, uuid, "startKey", saga, "contextHash", name = 'key ' || "startKey" as "isKey" from given
                where uuid not in (
                  select g.uuid from given g where exists (select from ${name} n where n.name = g.name offset 0)
                )
              ), keyed as (
                ${insertNames} where "isKey" on conflict do nothing returning name, uuid
              ), named as (
                ${insertNames} where "isKey" is not true and ("startKey" is null or uuid in (select uuid from keyed))
                on conflict do nothing returning name, uuid
              ), refused as (
                select uuid from given
                where (name, uuid) not in (select name, uuid from keyed union all select name, uuid from named)
                ${hasEffects(writes) ? sql`union all select uuid from blocked` : sql``}
              ), written as (
                ${into} select * from ${eventsOf(columnsOfEvents(writes.events))}
                where uuid not in (select uuid from refused)
                on conflict do nothing returning uuid
              ) ${goneOf(writes.inbox)}, changed as (
                insert into ${execution} as x select * from ${summariesOf(jsonOf(writes.summaries, started))}
                where (uuid in (select uuid from written)) is true and ${isThere}
                on conflict (uuid) do update set ${
                  hasEffects(writes)
                    ? changing(excluded, left, sql`nullif(greatest(${left}, 0), 0)`)
                    : unless(excluded, isTaking(writes.summaries))
                }
                returning x.uuid, x.watched
              ) ${labelled(writes.summaries)} ${placed(writes.summaries)}
              select w.uuid, false as unread,
                case when (c.watched or w.uuid::text = any(${announcedOf(writes.summaries)}::text[])) and ${hasListeners}
                  then pg_notify(${channel}, w.uuid::text) end
              from written w left join changed c on c.uuid = w.uuid
              ${hasEffects(writes) ? sql`union all select uuid, true, null from blocked where unread` : sql``}`,
        (rows) => ({
          written: new Set(rows.flatMap(({ unread, uuid }) => (unread ? [] : [uuid]))),
          unread: new Set(rows.flatMap(({ unread, uuid }) => (unread ? [uuid] : [])))
        })
      ),
    watch: (uuids) =>
      Effect.asVoid(sql`update ${execution} h set watched = true from unnest(${uuids}::uuid[]) as k (uuid)
          where ${isKey(sql, sql`h.uuid`, sql`k.uuid`)} and h.watched is not true`),
    // An equality of the numbers would give the planner another join than that by the key.
    recount: (uuids) =>
      Effect.asVoid(sql`with k as materialized (
            select x.uuid, x.inbox, (select count(*)::int from ${inbox} i where i.uuid = x.uuid) as waiting
            from unnest(${uuids}::uuid[]) as u (uuid)
            cross join lateral (select uuid, inbox from ${execution} y where y.uuid = u.uuid limit 1) x
          )
          update ${execution} h set inbox = nullif(k.waiting, 0) from k
          where ${isKey(sql, sql`h.uuid`, sql`k.uuid`)} and (h.inbox <> k.inbox) is false and k.inbox <> k.waiting`),
    writeIds: (places) => sql`select e.uuid, e.write_id as "writeId"
          from unnest(${places.map(({ uuid }) => uuid)}::uuid[], ${places.map(({ revision }) => revision)}::int[])
            as k (uuid, revision)
          cross join lateral (
            select uuid, write_id from ${event} e where e.uuid = k.uuid and e.revision = k.revision limit 1
          ) e`,
    names: (
      names
    ) => sql`select n.name, n.uuid, n.start_key as "startKey", n.saga, n.context_hash as "contextHash", n.outcome
          from unnest(${names}::text[]) as k (name)
          cross join lateral (select * from ${name} x where x.name = k.name limit 1) n`
  }
}

const hasEffects = ({ inbox }: Writes): boolean => inbox.length > 0

/** One of the rows is the reason that none of them is written: its data, or its bucket is not served by this database. */
export const isOfOneRow = (error: SqlError): boolean => isRejected(error) || codeOf(error) === notServed

/** The write brings attributes by which its execution is found. */
export const isLabelled = ({ labels }: SummaryRow): boolean => labels

/** The write has to do with the place of its execution in a queue. */
export const isPlaced = ({ place }: SummaryRow): boolean => place !== undefined

const isTaking = (summaries: ReadonlyArray<SummaryRow>): boolean => summaries.some(({ takes }) => takes)

const announcedOf = (summaries: ReadonlyArray<SummaryRow>) =>
  summaries.flatMap(({ announced, summary }) => (announced ? [summary.uuid] : []))

const isNew = ({ summary }: SummaryRow): boolean => summary.revision === 1

/** One of two statements: that of writes of which one takes its execution, and that of others. */
const byTakes = <A>(make: (takes: boolean) => A): ((takes: boolean) => A) => {
  const [plain, taking] = [make(false), make(true)]
  return (takes) => (takes ? taking : plain)
}
