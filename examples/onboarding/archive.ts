/** The archive: a folder for the documents of each owner of a customer. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { Participant } from "effect-saga"
import { Archive } from "./contracts.ts"

export const tables = SqlClient.SqlClient.use((sql) => sql`create table if not exists folder (folder text primary key)`)

export const layer = Participant.layer(Archive, {
  Open: Effect.fnUntraced(function* ({ customer, owner }) {
    const sql = yield* SqlClient.SqlClient
    const folder = `${customer}/${owner}`
    yield* sql`insert into folder ${sql.insert({ folder })}`
    return { folder }
  }, Effect.orDie),
  Discard: Effect.fnUntraced(function* ({ folder }) {
    const sql = yield* SqlClient.SqlClient
    yield* sql`delete from folder where folder = ${folder}`
  }, Effect.orDie)
})
