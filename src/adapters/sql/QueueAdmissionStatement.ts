/**
 * The statement that admits executions from a queue, as `QueueAdmission.admit` does. A key is found by one look into an index for each
 * definition that has executions there, from the key before: what else waits in the queue is not read, nor is what only other
 * processes know.
 */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import type { Fragment } from "effect/sql/Statement"
import type { ClaimedRow } from "./OwnershipStatements.ts"
import { isKey, type Statement, type TableNames, whole } from "./SqlStatements.ts"

export interface AdmitQuery {
  readonly queue: string
  readonly most: number
  /** The instance that becomes the owner of admitted executions without one. */
  readonly owner: string
  /** Executions that the owner does not get, though they are admitted: it cannot read them. */
  readonly except: ReadonlyArray<string>
  /** Only executions of these definitions. Undefined: of any. */
  readonly fingerprints: ReadonlyArray<string> | undefined
  /** When the executions are due, in milliseconds since the epoch. */
  readonly at: number
}

export interface Admitted {
  readonly count: number
  /** Those of them that are the owner's now. */
  readonly given: ReadonlyArray<Pick<ClaimedRow, "uuid" | "revision">>
  /** Another admission was under way, or has just been made: try again. */
  readonly contended: boolean
}

/** Keys that one statement looks at. If they have no free place, the next one goes on from there. */
const maxKeys = 500

/** Keys with all their tokens that one statement forgets. */
const maxForgotten = 100

export const admissionOf = (
  sql: SqlClient.SqlClient,
  { execution, inbox, queue: table, queueKey, queued }: TableNames
): ((query: AdmitQuery) => Statement<Admitted>) => {
  /** In a form that tells the planner that the partial index has these rows. */
  const isThere = (place: string, queue: string) => sql`w.queue = ${queue} and w.place = ${sql.literal(`'${place}'`)}`
  /**
   * The definitions of which there are such executions, found one after the other. Not `= any(…)`: of an unknown array the planner
   * expects ten times as many, takes a plan for any array to be dear, and makes a new one each time.
   */
  const kindsOf = (place: string, queue: string, fingerprints: ReadonlyArray<string> | undefined) => sql`(
              with recursive found as (
                select n.kind from ready r cross join lateral (
                  select w.kind from ${queued} w where ${isThere(place, queue)} order by w.kind limit 1
                ) n
                union all
                select n.kind from found f cross join lateral (
                  select w.kind from ${queued} w where ${isThere(place, queue)} and w.kind > f.kind order by w.kind limit 1
                ) n
              )
              select kind from found
              ${fingerprints === undefined ? sql`` : sql`where ${fingerprints}::text[] @> array[kind]`}
            )`
  /** The keys with such places, in turn after the cursor; `got`: those so far that may have a place. */
  const keysOf = (place: string, queue: string, free: Fragment, freeOf: Fragment, takenOf = sql``) => {
    /** The first one, whatever definition it is of. */
    const first = (
      condition: Fragment
    ) => sql`(select min(k.key) as key from ${sql(`${place}_kinds`)} c cross join lateral (
                    select w.key from ${queued} w where ${isThere(place, queue)} and w.kind = c.kind and ${condition}
                    order by w.key limit 1
                  ) k)`
    return sql`(
              select r.cursor as key, 0 as lap, 0 as pos, 0 as got, 0 as free from ready r
              union all
              select n.key, n.lap, s.pos + 1, s.got + (f.free > 0)::int, f.free from ${sql(`${place}_keys`)} s
              cross join lateral (select r.*, ${free} as most from ready r) r
              cross join lateral (
                select coalesce(f.key, g.key) as key, case when f.key is null then 1 else s.lap end as lap
                from ${first(sql`w.key > s.key and (s.lap = 0 or w.key <= r.cursor)`)} f cross join lateral (
                  select case when f.key is null and s.lap = 0 then ${first(sql`w.key <= r.cursor`)} end as key
                ) g where coalesce(f.key, g.key) is not null
              ) n
              cross join lateral (
                select greatest(least(r.most, ${freeOf}, r.key_concurrency - (
                  select count(*) from ${queued} h where h.queue = ${queue} and h.place = 'held' and h.key = n.key
                ) ${takenOf}), 0)::int as free
              ) f
              where s.pos < ${maxKeys} and s.got < r.most
            )`
  }
  /** The first of each key, then the second of each. */
  const picksOf = (place: string, queue: string, free: Fragment) => sql`(
              select p.uuid, s.key, p.rank, s.pos from ${sql(`${place}_keys`)} s
              cross join lateral (
                select w.uuid, row_number() over (order by w.priority desc, w.since, w.uuid) as rank from (
                  select x.* from ${sql(`${place}_kinds`)} c cross join lateral (
                    select w.* from ${queued} w where ${isThere(place, queue)} and w.kind = c.kind and w.key = s.key
                    order by w.priority desc, w.since, w.uuid limit s.free
                  ) x order by x.priority desc, x.since, x.uuid limit s.free
                ) w
              ) p where s.pos > 0
              order by p.rank, s.pos limit (select greatest(coalesce(max(most), 0), 0) from (select ${free} as most from ready r) m)
            )`
  return ({ at, except, fingerprints, most, owner, queue }) => {
    const left = sql`(r.free - (select count(*) from again_picks))::int`
    const freeOfNew = sql`least(${left}, r.in_rate)::int`
    const tokensOf = (key: Fragment) => sql`least(r.key_rate, coalesce((
                select k.tokens + greatest(r.now - k.tokens_at, 0) * r.key_rate / r.key_per from ${queueKey} k
                where k.queue = ${queue} and k.key = ${key}
              ), r.key_rate))`
    const takenOf = sql`- (select count(*) from again_picks a where a.key = n.key)`
    const inRate = sql`case when r.key_rate is null then r.most
                else floor(greatest(least(${tokensOf(sql`n.key`)}, 1e6), 0))::int end`
    const isKnown = fingerprints === undefined ? sql`true` : sql`x.fingerprint = any(${fingerprints}::text[])`
    return Effect.map(
      sql<{
        readonly count: number
        readonly ready: boolean
        readonly uuid: string | null
        readonly revision: number | null
      }>`with recursive seen as materialized (
                select turn from ${table} where name = ${queue}
              ), locked as materialized (
                select q.*, extract(epoch from clock_timestamp())::float8 * 1000 as now from ${table} q where q.name = ${queue}
                for update skip locked
              ), ready as materialized (
                select l.turn, l.cursor, l.rate, l.key_concurrency, l.key_rate, greatest(l.key_rate_per, 1) as key_per, l.now,
                  greatest(least(${most}::int, l.concurrency - (
                    select count(*) from ${queued} h where h.queue = ${queue} and h.place = 'held'
                  )), 0)::int as free, t.tokens, coalesce(floor(greatest(least(t.tokens, 1e6), 0)), 1e6)::int as in_rate
                from locked l cross join lateral (
                  select case when l.rate is not null then least(l.rate, coalesce(
                    l.tokens + greatest(l.now - l.tokens_at, 0) * l.rate / greatest(l.rate_per, 1), l.rate)) end as tokens
                ) t where l.turn = (select turn from seen)
              ), again_kinds as materialized ${kindsOf("again", queue, fingerprints)},
              new_kinds as materialized ${kindsOf("new", queue, fingerprints)},
              again_keys as ${keysOf("again", queue, sql`r.free`, sql`r.most`)},
              again_picks as materialized ${picksOf("again", queue, sql`r.free`)},
              new_keys as ${keysOf("new", queue, freeOfNew, inRate, takenOf)},
              new_picks as materialized ${picksOf("new", queue, freeOfNew)},
              heads as materialized (
                select h.uuid, p.turn, p.is_new, h.is_idle from (
                  select uuid, row_number() over (order by is_new, rank, pos) as turn, is_new from (
                    select *, false as is_new from again_picks union all select *, true from new_picks
                  ) u order by uuid
                ) p cross join lateral (
                  select x.uuid, x.owner is null and x.uuid <> all(${except}::uuid[]) as is_idle
                  from ${execution} x where x.uuid = p.uuid and ${isKnown} for update skip locked
                ) h
              ), given as (
                update ${queued} w set place = 'held' from heads h
                where ${isKey(sql, sql`w.uuid`, sql`h.uuid`)} and w.place <> 'held'
                returning w.uuid, w.key, w.since, h.turn, h.is_new, h.is_idle
              ), asked as (
                insert into ${inbox} (uuid, id, input, at)
                select g.uuid, 'place:' || g.since, '{"_tag":"Admit","since":' || g.since || '}', ${whole(at)}
                from given g on conflict do nothing returning uuid, at
              ), due as (
                update ${execution} h set inbox = coalesce(h.inbox, 0) + 1, claimable = true,
                  owner = case when a.is_idle then ${owner} else h.owner end,
                  wake_at = case when a.is_idle or h.wake_at = 0 then 0 else least(h.wake_at, a.at) end
                from (select asked.*, heads.is_idle from asked join heads using (uuid)) a
                where ${isKey(sql, sql`h.uuid`, sql`a.uuid`)}
                returning h.uuid, h.revision, a.is_idle
              ), spent as (
                insert into ${queueKey} as k (queue, key, tokens, tokens_at)
                select ${queue}, g.key, ${tokensOf(sql`g.key`)} - g.count, r.now
                from (select key, count(*) from given where is_new group by key order by key) g cross join ready r
                where r.key_rate is not null
                on conflict (queue, key) do update set tokens = excluded.tokens, tokens_at = excluded.tokens_at
              ), forgotten as (
                delete from ${queueKey} k using (
                  select k.queue, k.key from ready r cross join lateral (
                    select * from ${queueKey} x where x.queue = ${queue} and x.tokens_at <= r.now - r.key_per
                    order by x.queue, x.tokens_at limit ${sql.literal(String(maxForgotten))}
                  ) k where k.key not in (select key from given)
                ) f where k.queue = f.queue and ${isKey(sql, sql`k.key`, sql`f.key`)}
              ), turned as (
                update ${table} q set turn = case when q.turn between 0 and 9e15 then q.turn + 1 else 1 end, tokens_at = r.now,
                  tokens = r.tokens - (select count(*) from given where is_new),
                  cursor = coalesce(
                    (select g.key from given g order by g.turn desc limit 1),
                    (select key from new_keys where pos >= ${maxKeys}), (select key from again_keys where pos >= ${maxKeys}), q.cursor
                  )
                from ready r where q.name = ${queue} and (exists (select from given)
                  or exists (select from new_keys where pos >= ${maxKeys}) or exists (select from again_keys where pos >= ${maxKeys}))
              )
              select (select count(*)::int from given) as count, exists (select from ready) as ready, d.uuid, d.revision
              from (values (true)) as one (is_idle) left join due d using (is_idle)`,
      (rows) => ({
        count: rows[0]?.count ?? 0,
        given: rows.flatMap(({ revision, uuid }) => (uuid === null || revision === null ? [] : [{ uuid, revision }])),
        contended: rows[0]?.ready !== true
      })
    )
  }
}
