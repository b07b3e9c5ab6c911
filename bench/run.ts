/**
 * `npm run bench -- <name> [--json]` runs `bench/<name>.ts` and prints what it measured, and on what; as JSON one line
 * for each case. Benchmarks against a reference give `case, inFlight, ours, reference, referenceValue, ratio`.
 * A missed budget makes the command fail. A time never does: it belongs to the machine that took it.
 */
import { readdirSync, readFileSync } from "node:fs"
import { cpus } from "node:os"
import { basename } from "node:path"
import { parseArgs } from "node:util"

/** What the `run` of a benchmark gives back. */
export interface Report {
  readonly rows: ReadonlyArray<Readonly<Record<string, string | number>>>
  /** Missed budgets, a sentence each. */
  readonly failures?: ReadonlyArray<string>
}

export interface Benchmark {
  readonly run: () => Promise<Report>
}

const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith(".ts") && file !== basename(import.meta.filename))
  .map((file) => basename(file, ".ts"))
  .sort()

const { positionals, values } = parseArgs({ allowPositionals: true, options: { json: { type: "boolean" } } })
const name = positionals[0]

if (name === undefined || !names.includes(name)) {
  console.error(`usage: npm run bench -- <name> [--json]\nnames: ${names.join(", ")}`)
  process.exit(2)
}

const effect: { readonly version: string } = JSON.parse(
  readFileSync(new URL(import.meta.resolve("effect/package.json")), "utf8")
)
const machine = `${cpus().length} × ${cpus()[0]?.model}`
const on = { node: process.versions.node, effect: effect.version, machine }

const benchmark: Benchmark = await import(`./${name}.ts`)
const { failures = [], rows } = await benchmark.run()

if (values.json) {
  for (const row of rows) console.log(JSON.stringify({ bench: name, ...row }))
} else {
  console.log(`${name}: node ${on.node}, effect ${on.effect}, ${on.machine}`)
  console.table(rows)
}
for (const failure of failures) console.error(failure)
if (failures.length > 0) process.exitCode = 1
