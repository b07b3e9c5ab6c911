/** `docs/architecture.md` leads through the code: every function that it names is declared in the file beside it. */
import { existsSync, readFileSync } from "node:fs"
import { assert, it } from "@effect/vitest"
import { declares, numbered, places } from "./walks.ts"

const root = new URL("../", import.meta.url)
const read = (file: string) => readFileSync(new URL(file, root), "utf8")
const page = read("docs/architecture.md")

it("docs/architecture.md names functions that are declared in the files beside them", () => {
  const missing = places(page).flatMap(({ file, names }) =>
    names
      .filter((name) => !existsSync(new URL(file, root)) || !declares(read(file), name))
      .map((name) => `${file} declares no ${name}`)
  )
  assert.deepStrictEqual(missing, [])
  assert.isAbove(places(page).length, 80)
})

it("docs/architecture.md says how many files each walk leads through (npm run docs)", () => {
  assert.strictEqual(page, numbered(page))
  assert.lengthOf(page.match(/leads through \d+ files/g) ?? [], 3)
})

it("control goes from `run` to a handler and back through at most 12 files", () => {
  const [, files] = page.match(/way of control leads through (\d+) files/) ?? []
  assert.isAtMost(Number(files), 12)
})

it("a walk counts each file once, and tells new files from those of the walk before", () => {
  const row = (at: string, file: string) => `| ${at}| [${file}.ts](../src/${file}.ts) | \`f\` |\n`
  const first = (count: string, ...numbers: ReadonlyArray<string>) =>
    `## One\nleads through ${count} files\n${["a", "b", "a"].map((file, i) => row(numbers[i] ?? "", file)).join("")}`
  const second = (count: string, added: string, at: string) =>
    `## Two\nleads through ${count} files; ${added} of them are not in the walk above\n${row(at, "b")}`
  assert.strictEqual(
    numbered(first("9", "7 ", "", "1 ") + second("9", "9", "5 ")),
    first("2", "1 ", "2 ", "") + second("1", "0", "1 ")
  )
})

it("a function counts as declared where it is defined, not where it is called", () => {
  assert.isTrue(declares("export const plan = (", "plan"))
  assert.isTrue(declares("  private launch<A>(", "launch"))
  assert.isTrue(declares("    readonly store: (", "store"))
  assert.isFalse(declares("import { plan } from", "plan"))
  assert.isFalse(declares("// const plan", "plan"))
  assert.isFalse(declares("  return plan(self)", "plan"))
})
