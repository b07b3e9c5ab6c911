/** Pages show files as they are. `npm run docs` brings them up to date. */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { faults, pages, render, shown } from "./docs.ts"
import { programs } from "./examples.ts"

describe("pages", () => {
  for (const page of pages) {
    it(`${page} shows files as they are (npm run docs), and no code but theirs`, () => {
      assert.deepStrictEqual(faults(page), [])
      assert.strictEqual(readFileSync(new URL(`../${page}`, import.meta.url), "utf8"), render(page))
    })
  }

  it("the pages show every program with its output", () => {
    const missing = programs.flatMap((program) =>
      [`${program}.ts`, `${program}.out`].filter((file) => !shown().has(file))
    )
    assert.deepStrictEqual(missing, [])
  })

  it("operations.md names every setting of an orchestrator and of a participant", () => {
    const read = (file: string) => readFileSync(new URL(`../${file}`, import.meta.url), "utf8")
    const settings = ["src/orchestrator/SagaConfig.ts", "src/participant/ParticipantConfig.ts"].flatMap((file) => {
      const [, options = ""] = /^export interface \w+ConfigOptions \{\n([\s\S]*?)^\}/m.exec(read(file)) ?? []
      const config = file.replace(/.*\/(\w+)\.ts/, "$1")
      return Array.from(options.matchAll(/^ {2}readonly (\w+)/gm), ([, name]) => `| \`${config}\` | \`${name}\` |`)
    })
    assert.deepStrictEqual(
      settings.filter((setting) => !read("docs/operations.md").includes(setting)),
      []
    )
    assert.isAbove(settings.length, 15)
  })
})
