/**
 * Writes the page of the dashboard, whose sources are in `dashboard/`, into a module of the package: `npm run page`. Types are taken out
 * of the sources and nothing else is changed, so a browser shows them as they were written. `--check` says whether it is current.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { stripTypeScriptTypes } from "node:module"

const folder = new URL("../dashboard/", import.meta.url)
const target = new URL("../src/console/dashboard/PageFiles.ts", import.meta.url)

const types: Readonly<Record<string, string>> = {
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
  svg: "image/svg+xml",
  ts: "text/javascript; charset=utf-8"
}

/** A module without its types, and with the names under which the browser asks for the others. */
const plain = (text: string): string =>
  stripTypeScriptTypes(text, { mode: "strip" })
    .replaceAll(/ from "\.\/(\w+)\.ts"/g, ' from "./$1.js"')
    .replaceAll(/[ ;]+$/gm, "")
    .replaceAll(/\n{3,}/g, "\n\n")
    .trim()
    .concat("\n")

/** The module with the files of the page. */
export const pageFiles = (): string => {
  const names = readdirSync(folder).filter((name) => name !== "tsconfig.json" && name.split(".").at(-1)! in types)
  const files = names.sort().map((name) => {
    const text = readFileSync(new URL(name, folder), "utf8")
    const isModule = name.endsWith(".ts")
    const shown = {
      name: isModule ? name.replace(/ts$/, "js") : name,
      type: types[name.split(".").at(-1)!],
      text: isModule ? plain(text) : text
    }
    return `  {\n    name: ${JSON.stringify(shown.name)},\n    type: ${JSON.stringify(shown.type)},\n    text: ${JSON.stringify(shown.text)}\n  }`
  })
  return `/** The files of the page, made of \`dashboard/\` by \`npm run page\`. Text in a module is found wherever the package is: also in a bundle. */
export interface PageFile {
  readonly name: string
  readonly type: string
  readonly text: string
}

export const files: ReadonlyArray<PageFile> = [
${files.join(",\n")}
]
`
}

if (import.meta.main) {
  const made = pageFiles()
  if (!process.argv.includes("--check")) writeFileSync(target, made)
  else if (readFileSync(target, "utf8") !== made) {
    console.error("The page has changed: npm run page")
    process.exitCode = 1
  }
}
