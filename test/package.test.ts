/** The promises of the package to its users: entry points, dependencies, links of its pages. */
import { execFileSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, it } from "@effect/vitest"
import { linksOf } from "./docs.ts"

const root = new URL("../", import.meta.url)
const json = (file: string) => JSON.parse(readFileSync(new URL(file, root), "utf8"))
const { "./package.json": _, ...exports } = json("package.json").exports
const entries: ReadonlyArray<[string, Record<string, string>]> = Object.entries(exports)

it("builds every entry point from a source of the same name, which npm and Deno both find", () => {
  for (const [name, { "effect-saga:source": source = "", ...built }] of entries) {
    const path = source.replace(/^\.\/src\/(.+)\.ts$/, "$1")
    assert.deepStrictEqual(built, { types: `./dist/${path}.d.ts`, default: `./dist/${path}.js` }, name)
    assert.isTrue(existsSync(new URL(source, root)), source)
  }
  const deno = Object.fromEntries(
    entries.map(([name, to]) => [`effect-saga${name.slice(1)}`, to["effect-saga:source"]])
  )
  assert.deepStrictEqual(json("deno.json").imports, deno)
  const published = Object.fromEntries(entries.map(([name, to]) => [name, to["effect-saga:source"]]))
  assert.deepStrictEqual(json("deno.json").exports, published)
  assert.strictEqual(json("deno.json").version, json("package.json").version)
})

it("asks an application for effect and nothing else", () => {
  const { dependencies = {}, peerDependencies, peerDependenciesMeta } = json("package.json")
  const hard = Object.keys(peerDependencies).filter((name) => !peerDependenciesMeta[name]?.optional)
  assert.deepStrictEqual([...Object.keys(dependencies), ...hard], ["effect"])
})

/** The packages that a module loads, itself and through the modules of `src/` that it imports. Types load nothing. */
const packagesOf = (source: string, seen: Set<string> = new Set()): Set<string> => {
  const found = new Set<string>()
  if (seen.has(source)) return found
  seen.add(source)
  const url = new URL(source, root)
  const clause = /^(?:(?:import|export) (?:\{[^}]*\}|\*(?: as \w+)?|\w+) from|import) "([^"]+)"$/gm
  for (const [, to = ""] of readFileSync(url, "utf8").matchAll(clause)) {
    const [name = "", inner = ""] = to.split("/")
    if (to.startsWith(".")) for (const each of packagesOf(new URL(to, url).href, seen)) found.add(each)
    else if (!to.startsWith("node:")) found.add(name.startsWith("@") ? `${name}/${inner}` : name)
  }
  return found
}

it("F41: loads no test runner with `effect-saga/testing`, and no optional package with the core", () => {
  const loaded = Object.fromEntries(
    entries.map(([name, to]) => [name, [...packagesOf(to["effect-saga:source"] ?? "")].sort()])
  )
  assert.deepInclude(loaded, {
    ".": ["effect"],
    "./testing": ["effect"],
    "./testing/suites": ["@effect/vitest", "effect"]
  })
})

it("F41: README names the packages that each entry point loads", () => {
  const rows = readFileSync(new URL("README.md", root), "utf8").matchAll(
    /^\| `effect-saga([\w/]*)` \| .+ \| (.+) \|$/gm
  )
  const said = Object.fromEntries(
    Array.from(rows, ([, entry = "", install = ""]) => [
      `.${entry}`,
      Array.from(install.matchAll(/`([^`]+)`/g), ([, name = ""]) => name).filter((name) => name !== "effect")
    ])
  )
  const { peerDependencies } = json("package.json")
  for (const [name, to] of entries) {
    assert.property(said, name)
    const loaded = packagesOf(to["effect-saga:source"] ?? "")
    assert.includeMembers([...said[name]!, "effect"], [...loaded], name)
    assert.includeMembers(Object.keys(peerDependencies), said[name]!, name)
  }
  assert.lengthOf(Object.keys(said), entries.length)
})

it("F41: packs every file that a packed page links to; other files are linked by their address", () => {
  const pack = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: fileURLToPath(root) })
  const packed: ReadonlyArray<string> = JSON.parse(String(pack))[0].files.map(({ path }: { path: string }) => path)
  const present = (to: string) => packed.some((file) => file === to || file.startsWith(`${to.replace(/\/$/, "")}/`))
  const pages = packed.filter((file) => file.endsWith(".md"))
  const dead = pages.flatMap((page) =>
    linksOf(page, true).flatMap((to) => (present(to) ? [] : [`${page} links to ${to}`]))
  )
  assert.include(pages, "README.md")
  assert.deepStrictEqual(dead, [])
})

it("needs no internals in any example", () => {
  const wrong = readdirSync(new URL("examples", root), { encoding: "utf8", recursive: true })
    .filter((file) => file.endsWith(".ts"))
    .filter((file) =>
      /effect-saga\/internals|\.\.\/src\//.test(readFileSync(new URL(`examples/${file}`, root), "utf8"))
    )
  assert.deepStrictEqual(wrong, [])
})
