/** The page that the package has is the one of its sources. */
import { readFileSync } from "node:fs"
import { assert, it } from "@effect/vitest"
import { pageFiles } from "../../../scripts/page.ts"

it("the page is made of its sources: `npm run page` changes nothing", () => {
  const made = readFileSync(new URL("../../../src/console/dashboard/PageFiles.ts", import.meta.url), "utf8")
  assert.isTrue(made === pageFiles(), "npm run page")
})

it("the page reads no markup from data, and writes no style into markup", () => {
  const text = pageFiles()
  for (const forbidden of ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"])
    assert.notInclude(text, forbidden)
  assert.notMatch(text, /style=\\?"|<script>|onerror=/)
})
