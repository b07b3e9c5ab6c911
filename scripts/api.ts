/**
 * `npm run api` writes what each entry point exports to `api/`; `npm run api:check` fails if something else stands there.
 * API Extractor reads the declarations in `dist/`, so both commands build first.
 */
import { execFile } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { arrange } from "./apiReport.ts"

const extractor = "@microsoft/api-extractor@7.60.1"
const root = join(import.meta.dirname, "..")
const reports = join(root, "api")
// Inside of the project, where API Extractor looks for its package.json. Emptied at the end, because `dist` is packed.
const work = join(root, "dist/.api")

const { "./package.json": _, ...exports }: Record<string, { readonly types: string }> = JSON.parse(
  readFileSync(join(root, "package.json"), "utf8")
).exports

/** The core is `index`, and `effect-saga/testing/suites` is `testing-suites`. */
const nameOf = (entry: string): string => (entry === "." ? "index" : entry.slice("./".length).replaceAll("/", "-"))

const unsaid = { logLevel: "none", addToApiReportFile: false }

const configOf = (name: string, declarations: string) => ({
  newlineKind: "lf",
  projectFolder: root,
  mainEntryPointFilePath: join(root, declarations),
  compiler: {
    overrideTsconfig: {
      compilerOptions: {
        target: "es2023",
        lib: ["es2024", "esnext.disposable"],
        module: "nodenext",
        moduleResolution: "nodenext",
        types: ["node"],
        strict: true,
        exactOptionalPropertyTypes: true,
        skipLibCheck: true
      },
      files: [join(root, declarations)]
    }
  },
  apiReport: {
    enabled: true,
    reportFileName: `${name}.api.md`,
    reportFolder: work,
    reportTempFolder: join(work, "temp"),
    // The fields of an error or a service are those of its base class, which no entry point exports by name.
    includeForgottenExports: true
  },
  docModel: { enabled: false },
  dtsRollup: { enabled: false },
  tsdocMetadata: { enabled: false },
  messages: {
    compilerMessageReporting: { default: { logLevel: "error" } },
    extractorMessageReporting: {
      default: { logLevel: "none" },
      "ae-forgotten-export": unsaid,
      "ae-incompatible-release-tags": unsaid,
      "ae-internal-missing-underscore": unsaid,
      "ae-internal-mixed-release-tag": unsaid,
      "ae-unresolved-inheritdoc-base": unsaid,
      "ae-unresolved-inheritdoc-reference": unsaid
    },
    tsdocMessageReporting: { default: { logLevel: "none" } }
  }
})

/** The report of one entry point, as API Extractor writes it. */
const extract = async (name: string, declarations: string): Promise<string> => {
  const config = join(work, `${name}.json`)
  const report = join(work, `${name}.api.md`)
  writeFileSync(config, JSON.stringify(configOf(name, declarations)))
  const npm = ["exec", "--silent", "--yes", "--prefer-offline", `--package=${extractor}`, "--"]
  await promisify(execFile)("npm", [...npm, "api-extractor", "run", "--local", "--config", config], { cwd: root })
  return readFileSync(report, "utf8")
}

const report = async (): Promise<ReadonlyMap<string, string>> => {
  rmSync(work, { force: true, recursive: true })
  mkdirSync(join(work, "temp"), { recursive: true })
  const extracted: Array<{ readonly entry: string; readonly raw: string; readonly declarations: string }> = []
  const waiting = Object.entries(exports)
  // Each extraction reads the whole program: more than two at a time only take memory.
  const extractAll = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [entry, { types }] = next
      const raw = await extract(nameOf(entry), types)
      extracted.push({ entry, raw, declarations: readFileSync(join(root, types), "utf8") })
    }
  }
  await Promise.all([extractAll(), extractAll()])
  rmSync(work, { force: true, recursive: true })
  const order = Object.keys(exports)
  extracted.sort((a, b) => order.indexOf(a.entry) - order.indexOf(b.entry))
  const made = new Map<string, string>()
  // The core is the first entry point.
  for (const { declarations, entry, raw } of extracted)
    made.set(
      `${nameOf(entry)}.api.md`,
      arrange(join("effect-saga", entry), raw, declarations, made.get("index.api.md"))
    )
  return made
}

const made = await report()
mkdirSync(reports, { recursive: true })
const kept = new Map(readdirSync(reports).map((file) => [file, readFileSync(join(reports, file), "utf8")]))
const changed = [...new Set([...made.keys(), ...kept.keys()])].filter((file) => made.get(file) !== kept.get(file))

if (!process.argv.includes("--check")) {
  for (const file of kept.keys()) if (!made.has(file)) rmSync(join(reports, file))
  for (const [file, text] of made) writeFileSync(join(reports, file), text)
  console.log(`api/: ${made.size} entry points, ${changed.length} changed`)
} else if (changed.length > 0) {
  for (const file of changed) {
    const lines = (text = "") => new Set(text.split("\n"))
    const [before, now] = [lines(kept.get(file)), lines(made.get(file))]
    console.error(`api/${file}`)
    for (const line of before) if (!now.has(line)) console.error(`  - ${line}`)
    for (const line of now) if (!before.has(line)) console.error(`  + ${line}`)
  }
  console.error(
    "\nThe entry points export something else than api/ says. If that is meant: `npm run api`, commit what it writes,\n" +
      "and say in CHANGELOG.md what changes for users. If not: do not export it."
  )
  process.exitCode = 1
}
