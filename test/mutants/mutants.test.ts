/** The rules that `npm run mutants` takes out are still where it looks for them. */
import { existsSync, readFileSync } from "node:fs"
import { assert, it } from "@effect/vitest"
import { mutants } from "./all.ts"
import { applied } from "./Mutant.ts"

const root = new URL("../../", import.meta.url)

it("every rule that can be taken out is in the code once, and has tests that should miss it", () => {
  const wrong = mutants.flatMap((mutant) => {
    const { file, rule, tests, what } = mutant
    const isThere = applied(mutant, readFileSync(new URL(file, root), "utf8")) !== undefined
    const isTested = tests.length > 0 && tests.every((test) => existsSync(new URL(test, root)))
    return isThere && isTested ? [] : [`${rule}: ${what} (${isThere ? "tests" : file})`]
  })
  assert.deepStrictEqual(wrong, [])
})

it("says of each rule only once what is wrong without it", () => {
  const said = mutants.map(({ rule, what }) => `${rule} ${what}`)
  assert.deepStrictEqual([...new Set(said)], said)
})
