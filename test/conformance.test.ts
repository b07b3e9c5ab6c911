/** Every behaviour is held by a test, and people can see by which. */
import { readFileSync } from "node:fs"
import { assert, it } from "@effect/vitest"
import { gaps, ids, page, tests } from "./conformance.ts"

it("has a test for every behaviour", () => {
  assert.deepStrictEqual(gaps(), [])
})

it("names only behaviours that exist", () => {
  const unknown = tests.flatMap(({ file, ids: named }) =>
    named.filter((id) => !ids.has(id)).map((id) => `${file}: ${id}`)
  )
  assert.deepStrictEqual(unknown, [])
})

it("docs/conformance.md says what there is (npm run docs)", () => {
  assert.strictEqual(readFileSync(new URL("../docs/conformance.md", import.meta.url), "utf8"), page())
})
