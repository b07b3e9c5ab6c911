/** The page of errors has each error that the package exports, and no other. */
import { readFileSync } from "node:fs"
import { assert, it } from "@effect/vitest"
import * as library from "effect-saga"
import * as aedes from "effect-saga/aedes"
import * as dashboard from "effect-saga/dashboard"
import * as http from "effect-saga/http"
import * as internals from "effect-saga/internals"
import * as mqtt from "effect-saga/mqtt"
import * as pglite from "effect-saga/pglite"
import * as sql from "effect-saga/sql"
import * as testing from "effect-saga/testing"

/** Tags of the classes of errors in an entry point and in its modules. */
const errorsOf = (entry: object): ReadonlyArray<string> =>
  Object.values(entry)
    .flatMap(
      (module): ReadonlyArray<unknown> =>
        typeof module === "object" && module !== null ? Object.values(module) : [module]
    )
    .flatMap((member) =>
      typeof member === "function" && member.prototype instanceof Error
        ? [(member as unknown as { readonly identifier: string }).identifier] // cast: a class of `Schema`
        : []
    )

it("F30 docs/errors.md names every error of every entry point, and no other", () => {
  const exported = new Set([library, http, internals, sql, mqtt, pglite, aedes, dashboard, testing].flatMap(errorsOf))
  const page = readFileSync(new URL("../docs/errors.md", import.meta.url), "utf8")
  const rows = Array.from(page.matchAll(/^\| `(\w+)` \| (.+) \| (.+) \|$/gm), ([, tag]) => tag!)
  assert.deepStrictEqual(rows.toSorted(), [...exported].toSorted())
  assert.isAbove(rows.length, 60)
})
