/** The mail service. Its letters go into a table, and to the screen. */
import { Console, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { Participant } from "effect-saga"
import { Mail } from "./contracts.ts"

export const tables = SqlClient.SqlClient.use(
  (sql) => sql`create table if not exists letter
    (n int generated always as identity primary key, recipient text not null, content text not null)`
)

export const layer = Participant.layer(Mail, {
  Send: Effect.fnUntraced(function* ({ text, to }) {
    const sql = yield* SqlClient.SqlClient
    yield* sql`insert into letter ${sql.insert({ recipient: to, content: text })}`
    yield* Console.log(`a letter to ${to}: ${text}`)
  }, Effect.orDie)
})
