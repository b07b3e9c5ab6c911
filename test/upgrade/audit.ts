/**
 * What the audit of orders does not know: items, starts and ticks of this release, and what a former release has claimed that it
 * cannot read.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import * as Later from "../living/Later.ts"

/** Facts that no former release knows. */
const facts = ["QueueEntered", "PlaceTaken", "PlaceLeft", "PlaceWanted", "AttributesChanged"]

const hasNewFact = (schema: string, uuid: string) =>
  `exists (select from ${schema}.saga_event e where e.uuid = ${uuid}
    and e.facts like any(array[${facts.map((name) => `'%"${name}"%'`).join(", ")}]))`

/**
 * Notes each claim, with the release that has made it (the name of its connections), and whether that release can read what is stored
 * then.
 */
export const watch = Effect.fnUntraced(function* (schema: string) {
  const sql = yield* SqlClient.SqlClient
  yield* sql.unsafe(`
    create table ${schema}.claim (uuid uuid not null, owner text not null, release text not null, is_readable bool not null)`)
  yield* sql.unsafe(`
    create function ${schema}.note_claim() returns trigger language plpgsql as $$ begin
      insert into ${schema}.claim values
        (new.uuid, new.owner, current_setting('application_name'), not ${hasNewFact(schema, "new.uuid")});
      return null;
    end $$`)
  yield* sql.unsafe(`
    create trigger note_claim after update on ${schema}.saga_execution for each row
    when (new.owner is not null and new.owner is distinct from old.owner) execute function ${schema}.note_claim()`)
})

export interface Audit {
  /** Settled executions of the sagas that a former release does not have, and those that were in the queue. */
  readonly batches: number
  readonly notices: number
  readonly ticks: number
  readonly queued: number
  /** Executions that steps have given an attribute, and that are found by it. */
  readonly labelled: number
  /** Executions that a former release has claimed, and given back because it cannot read them. */
  readonly givenBack: number
  readonly wrong: ReadonlyArray<string>
}

/** `isOnce`: processes of the former release remember what they cannot read. */
export const audit = Effect.fnUntraced(function* (schema: string, isOnce: boolean) {
  const sql = yield* SqlClient.SqlClient
  const t = (name: string) => sql(`${schema}.${name}`)
  const wrong: Array<string> = []
  const executions = yield* sql<{ uuid: string; saga: string; status: string; start_key: string | null }>`
    select uuid::text as uuid, saga, status, start_key from ${t("saga_execution")}`
  const effects = yield* sql<{ uuid: string; what: string; keys: number; times: number }>`
    select uuid, op || ' of ' || step as what, count(distinct key)::int as keys, count(*)::int as times
    from ${t("effect")} group by 1, 2`
  const byExecution = Map.groupBy(effects, ({ uuid }) => uuid)
  const of = (name: string) => executions.filter(({ saga }) => saga === name)
  const notices = Map.groupBy(of("Notice"), ({ start_key }) => start_key?.split(":")[0] ?? "")

  for (const { status, uuid } of of("Batch")) {
    const says = (what: string) => wrong.push(`${uuid} (Batch, ${status}): ${what}`)
    const isDone = status === "finished"
    const rows = byExecution.get(uuid) ?? []
    for (const [what, times] of [
      ["execute of pack", Later.lines],
      ["execute of payment", Later.lines],
      ["failure of pack", isDone ? 0 : Later.lines],
      ["failure of payment", isDone ? 0 : Later.lines]
    ] as const) {
      const row = rows.find((it) => it.what === what) ?? { keys: 0, times: 0 }
      if (row.keys !== times || row.times !== times) says(`${what}: ${row.times} times under ${row.keys} keys`)
    }
    const started = notices.get(uuid) ?? []
    if (started.length !== 1) says(`has started ${started.length} notices`)
    const isUndone = rows.some(({ what }) => what === "failure of notice")
    for (const notice of started) {
      const isNoticed = notice.status === "finished"
      // An undone batch has cancelled its notice, or has taken back what that has done.
      if (isDone ? !isNoticed : isNoticed !== isUndone) says(`its notice is ${notice.status}`)
    }
  }
  for (const { status, uuid } of of("Notice"))
    if (status === "finished" && byExecution.get(uuid)?.[0]?.times !== 1) wrong.push(`${uuid} (Notice): no notice`)

  const ticks = effects.filter(({ what }) => what.startsWith("execute of tick "))
  for (const [what, all] of Map.groupBy(ticks, ({ what }) => what))
    if (all.length !== 1 || all[0]?.times !== 1) wrong.push(`${what} was made by ${all.length} executions`)
  if (ticks.length !== of("Tick").length) wrong.push(`${of("Tick").length} ticks, of which ${ticks.length} ran`)

  const [places] = yield* sql<{ n: number }>`select count(*)::int as n from ${t("saga_queued")}`
  if (places?.n !== 0) wrong.push(`${places?.n} places are left in the queue`)
  const [queued] = yield* sql<{ n: number }>`select count(*)::int as n from ${t("saga_execution")} h
    where ${sql.literal(hasNewFact(schema, "h.uuid"))}`
  const claims = yield* sql<{ uuid: string; owner: string; times: number }>`
    select uuid::text as uuid, owner, count(*)::int as times from ${t("claim")}
    where release = 'former' and not is_readable group by 1, 2`
  for (const { owner, times, uuid } of claims)
    if (isOnce && times > 1) wrong.push(`${uuid} was claimed ${times} times by ${owner}, which cannot read it`)

  const labels = yield* sql<{ uuid: string; isFound: boolean; isShown: boolean }>`
    select h.uuid::text as uuid, exists (select from ${t("saga_attribute")} a where a.uuid = h.uuid and a.name = 'ledger') as "isFound",
      coalesce(h.attributes ? 'ledger', false) as "isShown"
    from ${t("saga_execution")} h where exists (
      select from ${t("saga_event")} e where e.uuid = h.uuid and e.facts like '%"AttributesChanged"%')`
  for (const { isFound, isShown, uuid } of labels)
    if (!isFound || !isShown) wrong.push(`${uuid} is not found by the attribute of its step`)

  const report: Audit = {
    labelled: labels.length,
    batches: of("Batch").length,
    notices: of("Notice").length,
    ticks: ticks.length,
    queued: queued?.n ?? 0,
    givenBack: new Set(claims.map(({ uuid }) => uuid)).size,
    wrong
  }
  return report
})
