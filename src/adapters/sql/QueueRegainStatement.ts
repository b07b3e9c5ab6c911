/**
 * The statement that gives executions the places again that they have left, as `SagaQueues.regain` does. It locks the queue and changes
 * `turn` as an admission does, so neither counts places that the other has just given.
 */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import type { WantedAgain } from "../../ports/SagaQueues.ts"
import { isKey, type Statement, type TableNames } from "./SqlStatements.ts"

export interface Regained {
  readonly given: ReadonlyArray<string>
  /** Another admission was under way, or has just been made: try again. */
  readonly contended: boolean
}

export const regainOf =
  (
    sql: SqlClient.SqlClient,
    { execution, queue: table, queued }: TableNames
  ): ((wanted: ReadonlyArray<WantedAgain>) => Statement<Regained>) =>
  (wanted) =>
    Effect.map(
      sql<{ readonly uuid: string | null }>`with asked as materialized (
          select w.*, row_number() over (partition by w.queue, w.key order by w.priority desc, w.since, w.uuid) as place
          from json_to_recordset(${JSON.stringify(wanted)}::json)
            as w (uuid uuid, queue text, key text, priority int, since bigint, fingerprint text, owner text,
              revision int)
        ), seen as materialized (
          select q.name, q.turn from (select distinct queue from asked) a
          cross join lateral (select x.name, x.turn from ${table} x where x.name = a.queue limit 1) q order by q.name
        ), locked as materialized (
          select q.*, q.turn = s.turn as stands from seen s
          cross join lateral (select x.* from ${table} x where x.name = s.name for update) q
        ), spoken as materialized (
          select l.name, k.key, count(*) as places from locked l cross join lateral (
            (select h.key from ${queued} h where h.queue = l.name and h.place = 'held' order by h.key limit greatest(l.concurrency, 0))
            union all
            (select w.key from ${queued} w where w.queue = l.name and w.place = 'again'
              order by w.kind, w.key limit greatest(l.concurrency, 0))
          ) k where l.stands group by l.name, k.key
        ), fits as materialized (
          select a.*, row_number() over (partition by a.queue order by a.place, a.priority desc, a.since, a.uuid) as turn,
            l.concurrency - coalesce((select sum(s.places) from spoken s where s.name = l.name), 0) as free
          from locked l join asked a on a.queue = l.name left join spoken s on s.name = l.name and s.key = a.key
          where l.stands and a.place <= coalesce(l.key_concurrency, l.concurrency) - coalesce(s.places, 0)
        ), heads as materialized (
          select f.* from (select * from fits where turn <= free order by uuid) f cross join lateral (
            select from ${execution} x where ${isKey(sql, sql`x.uuid`, sql`f.uuid`)} and x.revision = f.revision and coalesce(x.owner, f.owner) = f.owner
              and x.direction <> 'backward' and x.settled is not true for no key update skip locked
          ) h
        ), given as (
          insert into ${queued} as w (uuid, queue, key, priority, since, place, kind)
          select uuid, queue, key, priority, since, 'held', fingerprint from heads
          on conflict (uuid) do update set since = excluded.since where w.place = 'held'
          returning uuid, queue
        ), turned as (
          update ${table} q set turn = case when q.turn between 0 and 9e15 then q.turn + 1 else 1 end
          from (select distinct queue from given) g where ${isKey(sql, sql`q.name`, sql`g.queue`)}
        )
        select uuid from given union all select null from locked where not stands`,
      (rows) => ({
        given: rows.flatMap(({ uuid }) => uuid ?? []),
        contended: rows.some(({ uuid }) => uuid === null)
      })
    )
