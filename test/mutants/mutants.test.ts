/** The rules that `npm run mutants` takes out are still where it looks for them. */
import { existsSync, readFileSync } from "node:fs"
import { assert, it } from "@effect/vitest"
import { mutants } from "./all.ts"
import { applied } from "./Mutant.ts"

const root = new URL("../../", import.meta.url)

it("every mutant quotes code that occurs once, and names tests that should fail for it", () => {
  const wrong = mutants.flatMap((mutant) => {
    const { file, rule, tests, what } = mutant
    const isThere = applied(mutant, readFileSync(new URL(file, root), "utf8")) !== undefined
    const isTested = tests.length > 0 && tests.every((test) => existsSync(new URL(test, root)))
    return isThere && isTested ? [] : [`${rule}: ${what} (${isThere ? "tests" : file})`]
  })
  assert.deepStrictEqual(wrong, [])
})

it("no two mutants have the same description", () => {
  const said = mutants.map(({ rule, what }) => `${rule} ${what}`)
  assert.deepStrictEqual([...new Set(said)], said)
})
