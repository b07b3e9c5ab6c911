/**
 * Which tests hold which of the 201 behaviours that the library must have (`conformance.json`). A test holds a behaviour
 * if its title has the id: read from the sources, so that a page can be made of it without running anything.
 */
import { readdirSync, readFileSync } from "node:fs"

interface Conformance {
  readonly areas: Readonly<
    Record<string, { readonly name: string; readonly behaviours: Readonly<Record<string, string>> }>
  >
}

export interface Test {
  readonly file: string
  readonly title: string
  readonly ids: ReadonlyArray<string>
}

const root = new URL("../", import.meta.url)
const read = (file: string) => readFileSync(new URL(file, root), "utf8")

export const { areas }: Conformance = JSON.parse(read("test/conformance.json"))

export const ids: ReadonlySet<string> = new Set(
  Object.values(areas).flatMap(({ behaviours }) => Object.keys(behaviours))
)

const id = new RegExp(`\\b(?:${Object.keys(areas).join("|")})-\\d{3}\\b`, "g")

/** A call at the start of a line whose first argument is a string. What is skipped or still to be written is no test. */
const call = /^ *(?:it|test|describe)(?:\.(?!skip|todo)\w+)*(?:\(.*\))??\(\s*(["'`])((?:\\.|(?!\1)[^\\])*)\1/gm

const sources = ["test", "src/testing"].flatMap((folder) =>
  readdirSync(new URL(folder, root), { encoding: "utf8", recursive: true })
    .map((file) => `${folder}/${file.replaceAll("\\", "/")}`)
    .filter((file) => file.endsWith(".test.ts") || file.endsWith("Suite.ts"))
    .sort()
)

export const tests: ReadonlyArray<Test> = sources.flatMap((file) =>
  Array.from(read(file).matchAll(call), ([, , title = ""]) => ({
    file,
    title: title.replaceAll(id, "").replace(/^[\s,]+/, ""),
    ids: title.match(id) ?? []
  }))
)

const testsOf = (id: string) => tests.filter((test) => test.ids.includes(id))

/** Behaviours without a test. */
export const gaps = (): ReadonlyArray<string> => [...ids].filter((id) => testsOf(id).length === 0)

const cell = (text: string) =>
  text
    .replaceAll(/\$\{[^}]*\}/g, "…")
    .replaceAll("|", "\\|")
    .replaceAll("<", "&lt;")

const row = (id: string, title: string): string => {
  const found = testsOf(id).map(({ file, title }) => `${cell(title)} ([${file.split("/").at(-1)}](../${file}))`)
  return `| ${id} | ${cell(title)} | ${found.length === 0 ? "**none**" : found.join("<br>")} |`
}

/** The text of `docs/conformance.md`. */
export const page = (): string => {
  const held = ids.size - gaps().length
  return `# Conformance

A saga library must have these ${ids.size} behaviours. They come from the test suite of the Minos framework, and from running it. This
library decides some of them in another way: its context, for example, is read-only and typed. In these cases the test says
which behaviour holds instead. A test has the ids of its behaviours in its title. \`npm run docs\` makes this page from the
titles, and the build fails if a behaviour has no test.

${held} of them have a test.
${Object.entries(areas)
  .map(
    ([area, { behaviours, name }]) => `
## ${area}: ${name}

| Id | Behaviour | Tests |
|---|---|---|
${Object.entries(behaviours)
  .map(([id, title]) => row(id, title))
  .join("\n")}
`
  )
  .join("")}`
}
