/**
 * Code on the pages is copied from files that are compiled and run. A comment above a block says from where:
 *
 *     <!-- examples/order/main.ts -->               the whole file
 *     <!-- src/execution/rules/SagaDecision.ts advance --> one declaration of it, with its comment
 *
 * Commands for a shell (`sh`) need no file: they install the package or run one of its scripts.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path/posix"
import { numbered } from "./walks.ts"

const root = new URL("../", import.meta.url)
const read = (file: string) => readFileSync(new URL(file, root), "utf8")

/** All pages, by their path. */
export const pages: ReadonlyArray<string> = [
  ...readdirSync(root).filter((file) => file.endsWith(".md")),
  ...readdirSync(new URL("docs", root), { encoding: "utf8", recursive: true })
    .filter((file) => file.endsWith(".md"))
    .map((file) => `docs/${file.replaceAll("\\", "/")}`)
    .sort()
]

const block = /^(?:<!-- (\S+)(?: (\w+))? -->\n)?```(\w*)\n([\s\S]*?)^```$/gm

/** The page as it should be. */
export const render = (page: string): string =>
  numbered(read(page)).replaceAll(block, (text: string, file?: string, name?: string) => {
    if (file === undefined) return text
    const marker = `<!-- ${file}${name === undefined ? "" : ` ${name}`} -->`
    return `${marker}\n\`\`\`${languageOf(file)}\n${sourceOf(file, name)}\`\`\``
  })

const languageOf = (file: string): string => (file.endsWith(".out") ? "text" : (file.split(".").at(-1) ?? ""))

/** A file, or a declaration of it. Code in the sources is formatted, so a declaration ends where its indentation does. */
const sourceOf = (file: string, name: string | undefined): string => {
  const text = read(file)
  if (name === undefined) return text
  const lines = text.split("\n")
  const start = lines.findIndex((line) =>
    new RegExp(`^(?:export )?(?:const|type|interface|class) ${name}\\b`).test(line)
  )
  if (start === -1) throw new Error(`${file} declares no ${name}`)
  const rest = lines.slice(start + 1)
  const after = rest.findIndex((line) => /^[^\s)\]}]/.test(line))
  const end = start + 1 + (after === -1 ? rest.length : after)
  const comment = lines.slice(0, start).findLastIndex((line) => !/^ ?\*|^\/\*\*/.test(line)) + 1
  return `${lines.slice(comment, end).join("\n").trimEnd()}\n`
}

const { homepage, name, peerDependencies, peerDependenciesMeta, scripts } = JSON.parse(read("package.json"))
const peers = Object.keys(peerDependencies).filter((peer) => !peerDependenciesMeta[peer]?.optional)

/** The order example with flags that it has. */
const isStart = (line: string): boolean => {
  const [, flags] = /^npm start --((?: --?[\w.]+| [\w:/.@]+)+)$/.exec(line) ?? []
  const known = Array.from(read("examples/order/cli.ts").matchAll(/Flag\.\w+\("(\w+)"\)/g), ([, flag]) => `--${flag}`)
  return flags?.split(" ").every((word) => !word.startsWith("--") || known.includes(word)) ?? false
}

/** A benchmark that there is. */
const isBench = (line: string): boolean => {
  const [, bench] = /^npm run bench -- (\w+)$/.exec(line) ?? []
  return bench !== undefined && existsSync(new URL(`bench/${bench}.ts`, root))
}

const isCommand = (line: string): boolean =>
  line === `npm install ${[...peers, name].join(" ")}` ||
  /^npm (?:ci|ci && npm start|cit|start|test)$|^(?:node|bun|deno run -A) main\.ts$/.test(line) ||
  isStart(line) ||
  isBench(line) ||
  (line.startsWith("npm run ") && line.slice("npm run ".length) in scripts)

const withoutSpace = (text: string): string => text.replaceAll(/\s/g, "")

const isVouchedFor = (language: string, text: string): boolean =>
  (language === "sh" && text.trimEnd().split("\n").every(isCommand)) ||
  (language === "json" && withoutSpace(read("package.json")).includes(withoutSpace(text)))

/** Blocks that nothing vouches for, and links that lead nowhere. */
export const faults = (page: string): ReadonlyArray<string> => {
  const text = read(page)
  const blocks = Array.from(text.matchAll(block))
    .filter(([, file, , language = "", content = ""]) => file === undefined && !isVouchedFor(language, content))
    .map(([content]) => `${page}: a block without a file: ${content}`)
  const broken = linksOf(page)
    .filter((to) => !existsSync(new URL(to, root)))
    .map((to) => `${page}: a link to nothing: ${to}`)
  return [...blocks, ...broken]
}

/** Where a page that is in the package links to a file that is not: an address, instead of a path. */
const repository = `${homepage.split("#")[0]}/blob/main/`

/** The files of this repository that a page links to, from the root; with `local`, only those it names by a path. */
export const linksOf = (page: string, local = false): ReadonlyArray<string> =>
  Array.from(read(page).matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g), ([, to = ""]) => to).flatMap((to) => {
    if (to.startsWith(repository)) return local ? [] : [to.slice(repository.length)]
    if (/^\w+:/.test(to)) return []
    return [join(dirname(page), to)]
  })

/** Files that some page shows. */
export const shown = (): ReadonlySet<string> =>
  new Set(pages.flatMap((page) => Array.from(read(page).matchAll(block), ([, file = ""]) => file)))
