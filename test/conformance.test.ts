/** Every behaviour is held by a test, and people can see by which. */
import { readFileSync } from "node:fs"
import { assert, it } from "@effect/vitest"
import { gaps, ids, page, tests, waiting } from "./conformance.ts"

it("has a test for every behaviour that waits for nothing", () => {
  assert.deepStrictEqual(gaps(), [])
})

it("names only behaviours that exist", () => {
  const unknown = tests.flatMap(({ file, ids: named }) =>
    named.filter((id) => !ids.has(id)).map((id) => `${file}: ${id}`)
  )
  assert.deepStrictEqual(unknown, [])
  assert.deepStrictEqual(
    waiting.ids.filter((id) => !ids.has(id)),
    []
  )
})

it("docs/conformance.md says what there is (npm run docs)", () => {
  assert.strictEqual(readFileSync(new URL("../docs/conformance.md", import.meta.url), "utf8"), page())
})
