/** The accounts service. An account that was opened and is not wanted is closed: the row stays, as banks keep everything. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { Participant } from "effect-saga"
import { Accounts, BranchClosed } from "./contracts.ts"

/** Branches that open no accounts any more. */
const closed = ["Atlantis"]

export const tables = SqlClient.SqlClient.use(
  (sql) => sql`create table if not exists account
    (n int generated always as identity primary key, customer text not null, closed bool not null default false)`
)

const ibanOf = (n: number) =>
  `BE00 ${String(n)
    .padStart(12, "0")
    .replaceAll(/(....)(?!$)/g, "$1 ")}`
const numberOf = (iban: string) => Number(iban.slice(5).replaceAll(" ", ""))

export const layer = Participant.layer(Accounts, {
  Open: Effect.fnUntraced(
    function* ({ branch, customer }) {
      if (closed.includes(branch)) return yield* new BranchClosed({ branch })
      const sql = yield* SqlClient.SqlClient
      const [row] = yield* sql<{ n: number }>`insert into account ${sql.insert({ customer })} returning n`
      return { iban: ibanOf(row?.n ?? 0) }
    },
    // A failure of the database is no answer: the message is handled again.
    Effect.catchTag("SqlError", Effect.die)
  ),
  Close: Effect.fnUntraced(function* ({ iban }) {
    const sql = yield* SqlClient.SqlClient
    yield* sql`update account set closed = true where n = ${numberOf(iban)}`
  }, Effect.orDie)
})
