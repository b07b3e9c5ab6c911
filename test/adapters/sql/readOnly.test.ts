/** A database that only reads for a while: a standby before it takes over, or a server that is switched over. */
import { randomUUID } from "node:crypto"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { isSqlError } from "effect/sql/SqlError"
import { ParticipantStore } from "effect-saga"
import { SqlParticipantStore } from "effect-saga/sql"
import { errorOf } from "../../../src/adapters/sql/ExecutionRows.ts"
import { schemaOf, server, url } from "../../fixtures/postgres.ts"

/** One connection, whose transactions may not write. */
const readOnly = PgClient.layer({
  url: Redacted.make(url ?? ""),
  maxConnections: 1,
  startupParameters: { default_transaction_read_only: "on" }
})

// Needs a server: the connections of a PGlite share one session.
describe.runIf(url !== undefined)("a database that only reads", () => {
  const schema = schemaOf("readonly")
  const live = SqlParticipantStore.layer({ schema }).pipe(Layer.provideMerge(server(schema)))

  it.live("C8 a handler that may not write for now is answered later, and nothing of it is recorded", () =>
    Effect.gen(function* () {
      const elsewhere = Context.get(yield* Layer.build(readOnly), SqlClient.SqlClient)
      const { unit } = yield* ParticipantStore.ParticipantStore
      const writes = elsewhere`create table ${elsewhere(`${schema}.never`)} (n int)`

      const error = yield* Effect.flip(writes)
      assert.isTrue(isSqlError(error))
      // A write of an execution is tried again: it is not the execution that makes no sense.
      assert.deepInclude(errorOf("store", error), {
        reason: "unavailable",
        cause: { code: "25006", kind: "UnknownError" }
      })

      const scope = { service: "bank", transactions: [randomUUID()], messages: [] }
      const failed = yield* Effect.flip(unit(scope, ({ attempt }) => Effect.orDie(attempt(writes))))
      assert.deepInclude(failed, { _tag: "ParticipantStoreError", reason: "unavailable", operation: "unit" })
    }).pipe(Effect.scoped, Effect.provide(live))
  )
})
