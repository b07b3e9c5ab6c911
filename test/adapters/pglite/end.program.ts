/** Closes a PGlite while a transaction is open and others wait for it: nothing may keep the process alive after that. */
import { Deferred, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { PgliteClient } from "../../../src/pglite.ts"

await Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const open = yield* Deferred.make<void>()
  const forEver = Effect.andThen(Deferred.succeed(open, undefined), Effect.never)
  yield* Effect.forkScoped(sql.withTransaction(Effect.andThen(sql`select 1`, forEver)))
  yield* Deferred.await(open)
  for (let i = 0; i < 5; i++) yield* Effect.forkScoped(sql`select ${i}::int4`, { startImmediately: true })
  // A statement waits once it has a connection, which takes a few turns.
  yield* Effect.sleep("50 millis")
}).pipe(Effect.scoped, Effect.provide(PgliteClient.layer({ lockTimeout: "1 hour" })), Effect.runPromise)

console.log("closed")
