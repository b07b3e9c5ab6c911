/** Commits rows to a PGlite in a folder, each in a transaction of two, and says each once it is committed. */
import process from "node:process"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { PgliteClient } from "../../../src/pglite.ts"

const [, , folder = ""] = process.argv

await Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table if not exists row (n int8 generated always as identity, pair int8)`
  const [{ pair: last } = { pair: 0n }] = yield* sql<{ pair: bigint }>`select coalesce(max(pair), 0) as pair from row`
  for (let pair = Number(last) + 1; ; pair++) {
    yield* sql.withTransaction(
      Effect.andThen(sql`insert into row (pair) values (${pair})`, sql`insert into row (pair) values (${pair})`)
    )
    console.log(pair)
  }
}).pipe(Effect.provide(PgliteClient.layer({ folder })), Effect.runPromise)
