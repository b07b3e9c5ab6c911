/** The cards service: prints cards. What is printed is printed. */
import { Console, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { Participant } from "effect-saga"
import { Cards } from "./contracts.ts"

export const tables = SqlClient.SqlClient.use(
  (sql) => sql`create table if not exists card
    (n int generated always as identity primary key, customer text not null unique, iban text not null)`
)

export const layer = Participant.layer(Cards, {
  Print: Effect.fnUntraced(function* ({ customer, iban, name }) {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql<{ n: number }>`insert into card ${sql.insert({ customer, iban })} returning n`
    yield* Console.log(`a card for ${name}, ${iban}`)
    return { card: `card ${row?.n}` }
  }, Effect.orDie)
})
