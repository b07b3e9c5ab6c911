/** The programs that people copy run, and print what is said of them. */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { programs, run, timeout } from "./examples.ts"

// Side by side: some of them wait.
describe("examples", { concurrent: true, timeout }, () => {
  for (const program of programs) {
    it(`${program}.ts prints ${program}.out`, async () => {
      const expected = readFileSync(new URL(`../${program}.out`, import.meta.url), "utf8")
      assert.strictEqual(await run(program), expected)
    })
  }
})
