/** Whether work that an error of the database has stopped is tried again. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import { isPassing, rolledBackBy } from "../../../src/adapters/sql/SqlErrors.ts"
import { clientOf } from "../../fixtures/noEntry.ts"

/** The error of a statement that has got no connection. */
const refusedWith = (code: string) =>
  Effect.flatMap(clientOf(code), (client) =>
    Effect.flip(
      Effect.provide(
        SqlClient.SqlClient.use((sql) => sql`select 1`),
        client
      )
    )
  )

describe("a database that lets nobody in", () => {
  for (const [code, why] of [
    ["57P03", "it starts up"],
    ["53300", "it is full"],
    ["55000", "it accepts no connections"]
  ] as const)
    it.live(`is away where ${why} (${code})`, () =>
      Effect.gen(function* () {
        const error = yield* refusedWith(code)
        assert.deepStrictEqual([isPassing(error), rolledBackBy(Cause.fail(error))], [true, "away"])
      }).pipe(Effect.scoped)
    )

  it.live("is not away where it does not let this role in", () =>
    Effect.gen(function* () {
      for (const code of ["3D000", "28P01"]) {
        const error = yield* refusedWith(code)
        assert.deepStrictEqual([isPassing(error), rolledBackBy(Cause.fail(error))], [false, undefined], code)
      }
    }).pipe(Effect.scoped)
  )

  it("is not away where a statement of the application fails with the same code", () => {
    const cause = Object.assign(new Error("the order is closed"), { code: "55000" })
    const error = new SqlError({ reason: new UnknownError({ cause, operation: "execute" }) })
    assert.deepStrictEqual([isPassing(error), rolledBackBy(Cause.fail(error))], [false, undefined])
  })
})
