/** The statements that say which instance has which execution, and that keep inputs for it. */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import type { Fragment } from "effect/sql/Statement"
import type { GiveBackRequest, Held } from "../../ports/Leases.ts"
import * as SagaInbox from "../../ports/SagaInbox.ts"
import type { Outlook } from "./ClaimOutlook.ts"
import { isKey, type Statement, type TableNames, uuidsOf, whole } from "./SqlStatements.ts"

/** A row of `saga_inbox`. The input is JSON text. */
export interface InboxRow {
  readonly uuid: string
  readonly id: string
  readonly input: string
  readonly actor: string | null
  readonly reason: string | null
  readonly at: bigint | number
}

export interface ClaimQuery {
  readonly owner: string
  readonly limit: number
  readonly dueBy: number
  readonly fingerprints: ReadonlyArray<string> | undefined
  /** Executions that name the owner are given too, except those listed with their stored revision. Undefined: none are. */
  readonly holds: ReadonlyArray<Held> | undefined
  /** Executions that are not given. */
  readonly except: ReadonlyArray<string>
  /** Only executions of these buckets; others that name the owner, and are not in `holds`, are given back. Undefined: any. */
  readonly buckets: ReadonlyArray<number> | undefined
  /** Executions that name another owner than these are not given, though its lease be over. Undefined: they are. */
  readonly sparing: ReadonlyArray<string> | undefined
}

/** An execution that a claim has given. `dueAt`: when it was due; null where an owner had it. */
export interface ClaimedRow {
  readonly uuid: string
  readonly dueAt: bigint | number | null
  /** Of its head: the facts may be newer, but not what changes who has it. */
  readonly revision: number
}

/** An execution that the owner does not have, and who has it. */
export interface LostRow {
  readonly uuid: string
  readonly owner: string | null
}

/** The answer to the sender of an input. `full`: the most rows wait for the execution. Undefined: there is no such execution. */
export type Submitted = SagaInbox.Submitted | "stored-of-nobody" | "full" | undefined

export interface OwnershipStatements {
  /**
   * Renews the lease of an owner by the clock of the database. Tells whether the lease was over; then it is not renewed. A
   * first lease is given only with `begins`. `now`: the time of the database, in milliseconds since the epoch. With `looks` it says
   * besides what a claim would find. Where it does not say so, every claim is sent.
   */
  readonly renew: (
    owner: string,
    leaseMillis: number,
    begins: boolean,
    looks?: boolean
  ) => Statement<Outlook & { readonly lapsed: boolean; readonly now: number }>
  /**
   * Gives the owner those of the executions that name its former name, and ends the lease of that name. Gives the others. `remains`: more
   * executions follow, so the lease of the former name stays.
   */
  readonly adopt: (
    owner: string,
    former: string,
    uuids: ReadonlyArray<string>,
    remains?: boolean
  ) => Statement<ReadonlyArray<LostRow>>
  /**
   * Gives the owner up to `limit` executions that are due at `dueBy` and that no other living owner has. `nextAt`: when the first
   * one is due after that, in milliseconds since the epoch; `Infinity` where there is none. `hasQueues`: whether a queue was ever
   * declared; absent: perhaps.
   */
  readonly claim: (
    query: ClaimQuery
  ) => Statement<{ readonly rows: ReadonlyArray<ClaimedRow>; readonly nextAt: number; readonly hasQueues?: boolean }>
  /** Takes the owner off executions, so that another owner may claim them at once. */
  readonly disown: (owner: string, uuids: ReadonlyArray<string>) => Statement<void>
  /**
   * Gives the execution to the owner, unless another living owner works on it. `sparing`: unless any owner works on it that
   * is none of these. Gives the owner it has then; undefined where there is no such execution.
   */
  readonly take: (
    uuid: string,
    owner: string,
    wakeAt: number,
    sparing: ReadonlyArray<string> | undefined
  ) => Statement<string | undefined>
  /** The executions among these that another owner has. */
  readonly lost: (owner: string, uuids: ReadonlyArray<string>) => Statement<ReadonlyArray<LostRow>>
  /**
   * Takes the owner from executions that it has at these revisions and for which no inputs wait. Gives their uuids, and
   * those of executions that are not there. A `wakeAt` that is infinite: they wait for no time.
   */
  readonly giveBack: (requests: ReadonlyArray<GiveBackRequest>) => Statement<ReadonlyArray<string>>
  /**
   * Adds an input, and makes its execution due at the time of the input unless an owner works on it. `signal`: only if the
   * execution has not ended or turned back, and its head names this signal.
   */
  readonly submit: (row: InboxRow, signal: string | null) => Statement<Submitted>
  /**
   * Makes executions due whose inputs would be left behind: a process of the release before the inbox says when an execution is
   * due, or that it never is, without a look at its inputs. At most a thousand inputs are looked at.
   */
  readonly remind: (now: number) => Statement<void>
  /**
   * The inputs that wait for these executions, in the order in which they are judged. With `maxBytes` only whole inboxes of
   * some of them, those that have waited longest, until they have as many bytes.
   */
  readonly inbox: (uuids: ReadonlyArray<string>, maxBytes?: number) => Statement<ReadonlyArray<InboxRow>>
  /** Ends the lease of an owner. With `buckets`: takes the owner off what it is at work on there, and leaves its lease. */
  readonly release: (owner: string, buckets?: ReadonlyArray<number>) => Statement<void>
  /** Removes owners whose lease was over a day ago. */
  readonly forget: Statement<void>
}

// ---- Postgres --------------------------------------------------------------------------------------------------

export const owning = (sql: SqlClient.SqlClient, tables: TableNames, channel: string): OwnershipStatements => ({
  ...leasing(sql, tables),
  ...claiming(sql, tables),
  ...inboxOf(sql, tables, channel)
})

const leasing = (
  sql: SqlClient.SqlClient,
  { execution, instance, queue }: TableNames
): Pick<OwnershipStatements, "renew" | "adopt" | "forget"> => ({
  // With `looks` it reads the first entry of an index, without a lock: a renewal must not wait for writers.
  renew: (owner, leaseMillis, begins, looks = false) =>
    Effect.map(
      sql<Outlook & { readonly lapsed: boolean; readonly now: number }>`with before as (
                select lease_until <= clock_timestamp() as lapsed from ${instance} where id = ${owner}
              ), renewed as (
                insert into ${instance} as i (id, epoch, lease_until)
                select ${owner}, 1, clock_timestamp() + ${leaseMillis}::float8 * interval '1 millisecond'
                where ${begins} or exists (select from before)
                on conflict (id) do update set lease_until = excluded.lease_until,
                  epoch = i.epoch + (i.lease_until <= clock_timestamp())::int
                where i.lease_until > clock_timestamp()
                returning i.id
              )
              select coalesce((select lapsed from before), false) or not exists (select from renewed) as lapsed,
                (extract(epoch from clock_timestamp()) * 1000)::float8 as now
              ${
                looks
                  ? sql`, coalesce((
                select h.wake_at from ${execution} h where h.claimable and h.wake_at is not null order by h.wake_at limit 1
              )::float8, 'Infinity') as "firstAt", exists (select from ${queue}) as "hasQueues"`
                  : sql``
              }`,
      ([row]) => row!
    ),
  adopt: (owner, former, uuids, remains = false) =>
    sql<LostRow>`with adopted as (
                update ${execution} h set owner = ${owner} from unnest(${uuids}::uuid[]) as k (uuid)
                where ${isKey(sql, sql`h.uuid`, sql`k.uuid`)} and h.owner = ${former} returning h.uuid
              ) ${remains ? sql`` : sql`, ended as (delete from ${instance} where id = ${former})`}
              select h.uuid, h.owner from unnest(${uuids}::uuid[]) as k (uuid)
              cross join lateral (
                select uuid, owner from ${execution} x where x.uuid = k.uuid and x.owner is distinct from ${owner} limit 1
              ) h
              where h.uuid not in (select uuid from adopted)`,
  forget: Effect.asVoid(sql`delete from ${instance} where lease_until < clock_timestamp() - interval '1 day'`)
})

const claiming = (
  sql: SqlClient.SqlClient,
  { event, execution, instance, queue }: TableNames
): Pick<OwnershipStatements, "claim" | "disown" | "take" | "lost" | "giveBack" | "release"> => {
  /**
   * The owner has its lease. A server that stood still runs what was sent before: by its clock all leases are over then, those of
   * living owners too.
   */
  const isPresent = (owner: string) =>
    sql`exists (select from ${instance} m where m.id = ${owner} and m.lease_until > clock_timestamp())`
  /** The listed executions that were not written since. */
  const current = (holds: ReadonlyArray<Held>) =>
    sql`select k.uuid from unnest(${holds.map(({ uuid }) => uuid)}::uuid[],
          ${holds.map(({ revision }) => revision)}::int[]) as k (uuid, revision)
        where not exists (select from ${event} e where e.uuid = k.uuid and e.revision = k.revision + 1 offset 0)`
  /** As `bucketOf` says. The planner takes a bare comparison for so rare that it would read the whole table instead of the index. */
  const isIn = (buckets: ReadonlyArray<number>) =>
    sql`coalesce(get_byte(uuid_send(h.uuid), 15) = any(${buckets}::int[]), false)`
  /** The first of those that an owner is at work on, without waiting for one that is being written. */
  const atWork = (owner: string, condition: Fragment) => sql`materialized (
                select h.uuid from ${execution} h where h.claimable and h.wake_at <= 0 and coalesce(h.owner = ${owner}, false) and ${condition}
                order by h.wake_at limit ${maxDisowned} for update of h skip locked
              )`
  const disowned = (found: Fragment) =>
    sql`update ${execution} h set owner = null from ${found} f where ${isKey(sql, sql`h.uuid`, sql`f.uuid`)}`
  return {
    release: (owner, left) =>
      Effect.asVoid(
        left === undefined
          ? sql`delete from ${instance} where id = ${owner}`
          : sql`with at_work as ${atWork(owner, isIn(left))} ${disowned(sql`at_work`)}`
      ),
    claim: ({ buckets, dueBy, except, fingerprints, holds, limit, owner, sparing }) => {
      const isOurs = buckets && isIn(buckets)
      return Effect.map(
        sql<
          ClaimedRow | { readonly uuid: null; readonly dueAt: bigint | number | null; readonly revision: 0 | null }
        >`with due as (
                select h.uuid, case when h.owner is null and h.wake_at > 0 then h.wake_at end as due_at from ${execution} h
                where h.claimable and h.wake_at <= ${whole(dueBy)}
                  ${holds === undefined ? sql`and h.owner is distinct from ${owner}` : sql`and h.uuid not in (${current(holds)})`}
                  ${fingerprints === undefined ? sql`` : sql`and h.fingerprint = any(${fingerprints}::text[])`}
                  ${isOurs === undefined ? sql`` : sql`and ${isOurs}`}
                  ${except.length === 0 ? sql`` : sql`and h.uuid <> all(${except}::uuid[])`}
                  ${sparing === undefined ? sql`` : sql`and (h.owner is null or h.owner = any(${sparing}::text[]))`}
                  and not exists (
                    select from ${instance} i
                    where i.id = h.owner and i.id <> ${owner} and i.lease_until > clock_timestamp()
                  )
                  and (h.owner is null or h.owner = ${owner} or ${isPresent(owner)})
                order by h.wake_at limit ${limit} for update of h skip locked
              ), given as (
                update ${execution} h set owner = ${owner}, wake_at = 0 from due
                where ${isKey(sql, sql`h.uuid`, sql`due.uuid`)}
                returning h.uuid, due.due_at, h.revision
              )
              ${
                isOurs === undefined
                  ? sql``
                  : sql`, strange as ${atWork(owner, sql`not ${isOurs} and coalesce(h.uuid <> all(${(holds ?? []).map(({ uuid }) => uuid)}::uuid[]), true)`)},
              given_back as (${disowned(sql`strange`)})`
              }
              select uuid, due_at as "dueAt", revision from given union all (
                select null, h.wake_at, null from ${execution} h where h.claimable and h.wake_at > ${whole(dueBy)}
                ${isOurs === undefined ? sql`` : sql`and ${isOurs}`} order by h.wake_at limit 1
              ) union all (select null, null, 0 from ${queue} q order by q.name limit 1)`,
        (found) => ({
          rows: found.flatMap((row) => (row.uuid === null ? [] : [row])),
          nextAt: Number(
            found.find(({ revision, uuid }) => uuid === null && revision === null)?.dueAt ?? Number.POSITIVE_INFINITY
          ),
          hasQueues: found.some(({ revision, uuid }) => uuid === null && revision === 0)
        })
      )
    },
    disown: (owner, uuids) =>
      Effect.asVoid(sql`update ${execution} h set owner = null from unnest(${uuids}::uuid[]) as k (uuid)
              where ${isKey(sql, sql`h.uuid`, sql`k.uuid`)} and h.owner = ${owner}`),
    take: (uuid, owner, wakeAt, sparing) =>
      Effect.map(
        // The row is locked before it is read: of two that come at once the second sees the owner that the first has made.
        sql<{ readonly owner: string }>`with seen as (
                  select uuid, owner, wake_at from ${execution} where uuid = ${uuid}::uuid for update
                ), taken as (
                  update ${execution} h set owner = ${owner}, wake_at = ${whole(wakeAt)} from seen
                  where h.uuid = ${uuid}::uuid and not (seen.wake_at is not distinct from 0 and coalesce(seen.owner <> ${owner}, false) and (exists (
                    select from ${instance} i where i.id = seen.owner and i.lease_until > clock_timestamp()
                  ) or not ${isPresent(owner)} ${sparing === undefined ? sql`` : sql`or seen.owner <> all(${sparing}::text[])`}))
                  returning h.owner
                )
                select coalesce(taken.owner, seen.owner) as owner from seen left join taken on true`,
        ([row]) => row?.owner
      ),
    lost: (owner, uuids) =>
      sql<LostRow>`select h.uuid, h.owner from unnest(${uuids}::uuid[]) as k (uuid)
                cross join lateral (
                  select uuid, owner from ${execution} x where x.uuid = k.uuid and x.owner <> ${owner} limit 1
                ) h`,
    giveBack: (requests) =>
      // The revision is that of the facts: a write that changes nothing in the summary leaves it as it is.
      uuidsOf(sql<{ readonly uuid: string }>`with unwritten as materialized (
                select * from json_to_recordset(${JSON.stringify(requests.map(givenBack))}::json)
                  as g (uuid uuid, owner text, revision int, wake_at bigint)
                where not exists (select from ${event} e where e.uuid = g.uuid and e.revision = g.revision + 1 offset 0)
              ), given as (
                update ${execution} h set owner = null, wake_at = g.wake_at from unwritten g
                where ${isKey(sql, sql`h.uuid`, sql`g.uuid`)} and h.owner = any(array[g.owner]) and (h.inbox > 0) is not true
                returning h.uuid
              )
              select uuid from given union all
              select g.uuid from unnest(${requests.map(({ uuid }) => uuid)}::uuid[]) as g (uuid)
              where not exists (select from ${execution} h where h.uuid = g.uuid offset 0)`)
  }
}

const givenBack = ({ owner, revision, uuid, wakeAt }: GiveBackRequest) => ({
  uuid,
  owner,
  revision,
  wake_at: Number.isFinite(wakeAt) ? Math.ceil(wakeAt) : null
})

/** Executions that one statement takes an owner off. The next claim does so with the others. */
const maxDisowned = 10_000

/** Before the uuid in a notification of an input. A notification of a change is the uuid alone. */
export const ofInput = "input "

/** Inputs that one statement looks at. */
const maxReminded = 1_000

const inboxOf = (
  sql: SqlClient.SqlClient,
  { execution, inbox }: TableNames,
  channel: string
): Pick<OwnershipStatements, "submit" | "inbox" | "remind"> => ({
  // The limit is a parameter: the planner does not expect that many rows of a table that is nearly empty.
  remind: (now) =>
    Effect.asVoid(sql`with waiting as materialized (select uuid from ${inbox} order by uuid limit ${maxReminded})
              update ${execution} h set claimable = true, wake_at = least(h.wake_at, ${whole(now)}) from waiting w
              where ${isKey(sql, sql`h.uuid`, sql`w.uuid`)} and (h.inbox > 0) is true and not h.settled
                and (not h.claimable or h.wake_at is null or h.wake_at > ${whole(now)})`),
  submit: ({ actor, at, id, input, reason, uuid }, signal) =>
    Effect.map(
      sql<{
        readonly settled: boolean
        readonly refused: SagaInbox.SignalRefused | null
        readonly added: boolean
        readonly known: boolean
        readonly full: boolean
        readonly of_nobody: boolean
      }>`with head as (
                select uuid, settled, owner is null as of_nobody, coalesce(inbox, 0) >= ${SagaInbox.maxRows} as full,
                  case when ${signal}::text is null then null
                    when status in ('finished', 'errored') then 'ended'
                    when direction = 'backward' then 'going-back'
                    when (${signal}::text = any(signals)) is not true then 'unknown-signal' end as refused
                from ${execution} where uuid = ${uuid}::uuid for update
              ), known as (
                select from ${inbox} where uuid = ${uuid}::uuid and id = ${id}
              ), added as (
                insert into ${inbox} (uuid, id, input, actor, reason, at)
                select uuid, ${id}, ${input}, ${actor}, ${reason}, ${whole(Number(at))} from head
                where not settled and head.refused is null and not head.full
                on conflict do nothing returning id
              ), due as (
                update ${execution} h set inbox = coalesce(h.inbox, 0) + 1, claimable = true, watched = true,
                  wake_at = case when h.wake_at = 0 then 0 else least(h.wake_at, ${whole(Number(at))}) end
                where h.uuid = ${uuid}::uuid and exists (select from added)
              )
              select head.settled, head.refused, exists (select from added) as added,
                exists (select from known) as known, head.full,
                head.of_nobody,
                case when exists (select from added) then pg_notify(${channel}, ${ofInput} || head.uuid::text) end,
                case when head.of_nobody and exists (select from added) then pg_notify(${channel}, ${ofInput + SagaInbox.ofNobody}) end
                from head`,
      ([row]) => {
        if (row === undefined) return undefined
        if (row.added) return row.of_nobody ? "stored-of-nobody" : "stored"
        if (row.known) return "known"
        return row.refused ?? (row.settled ? "settled" : row.full ? "full" : "known")
      }
    ),
  inbox: (uuids, maxBytes) => {
    const asked = sql`unnest(${uuids}::uuid[]) as k (uuid)`
    const rows = sql`cross join lateral (select * from ${inbox} x where x.uuid = k.uuid offset 0) i`
    const chosen =
      maxBytes === undefined
        ? asked
        : sql`(select uuid from (
                  select uuid, sum(bytes) over (order by first, uuid) - bytes as before from (
                    select k.uuid, min(i.at) as first, sum(octet_length(i.input)) as bytes from ${asked} ${rows} group by k.uuid
                  ) each_inbox
                ) in_turn where before < ${maxBytes}) k`
    return sql`select i.uuid, i.id, i.input, i.actor, i.reason, i.at from ${chosen} ${rows} order by i.at, i.id`
  }
})
