/** Errors of the storage, as a person reads them on the command line. */
import { assert, it } from "@effect/vitest"
import { Inspector } from "effect-saga"
import { textOf } from "../../src/console/Failures.ts"

const because = (code: string | undefined, databases?: ReadonlyArray<string>) =>
  textOf(
    new Inspector.InspectorError({
      reason: "unavailable",
      operation: "find",
      ...(databases !== undefined && { databases }),
      ...(code !== undefined && { cause: { code, kind: "UnknownError" } })
    })
  )

it("tells a database that refuses the role from one that does not answer", () => {
  assert.strictEqual(because("42501"), "The database refuses this: 42501: the role lacks a right there (find)")
  assert.strictEqual(
    because("42501", ["south"]),
    "The database south refuses this: 42501: the role lacks a right there (find)"
  )
  assert.strictEqual(
    because("ECONNREFUSED", ["south"]),
    "The database south does not answer (find, ECONNREFUSED: nobody listens at this address)"
  )
  assert.strictEqual(because(undefined), "The database does not answer (find)")
  assert.include(because(undefined, []), "no database serves the bucket")
})
