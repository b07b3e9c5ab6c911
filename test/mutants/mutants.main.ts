/**
 * `npm run mutants` takes every rule of the specification that a change of the code can remove out of a copy of this tree,
 * one at a time, and runs the tests that should miss it. `npm run mutants -- W4 C6 probe` takes those of some rules, or with
 * some words; `--json` prints one line for each. Rules of connections need the Postgres that `SAGA_TEST_PG_URL` names. A rule
 * that no test misses makes the command fail, and so does one that cannot be taken out.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { mutants } from "./all.ts"
import { applied, type Mutant } from "./Mutant.ts"

/** The output of vitest's JSON reporter. */
interface Report {
  readonly testResults: ReadonlyArray<{
    readonly message: string
    readonly assertionResults: ReadonlyArray<{
      readonly status: string
      readonly fullName: string
      readonly failureMessages: ReadonlyArray<string>
    }>
  }>
}

/** `killed` by a test that failed. `broken`: it failed for another reason, or did not run. */
interface Outcome {
  readonly verdict: "killed" | "survived" | "broken"
  readonly by: string
}

const root = fileURLToPath(new URL("../../", import.meta.url))

/** How long a file of tests may take, in milliseconds. What never ends is no failed test. */
const patience = 5 * 60_000

const { positionals, values } = parseArgs({ allowPositionals: true, options: { json: { type: "boolean" } } })
const hasServer = process.env.SAGA_TEST_PG_URL !== undefined
const chosen = mutants.filter(
  ({ needsServer = false, rule, what }) =>
    (hasServer || !needsServer) &&
    (positionals.length === 0 || positionals.some((word) => rule === word || what.includes(word)))
)
if (chosen.length === 0) {
  console.error(`no such rule: ${positionals.join(" ")}`)
  process.exit(2)
}

const copy = mkdtempSync(join(tmpdir(), "effect-saga-mutants-"))

const run = async (tests: ReadonlyArray<string>): Promise<Outcome> => {
  const report = join(copy, "report.json")
  rmSync(report, { force: true })
  const vitest = ["node_modules/vitest/vitest.mjs", "run", "--bail=1", "--no-file-parallelism"]
  const child = spawn(process.execPath, [...vitest, "--reporter=json", `--outputFile=${report}`, ...tests], {
    cwd: copy,
    stdio: "ignore",
    env: { ...process.env, TRANSFERS: "60" },
    detached: true
  })
  // With its workers: in an endless loop they do not hear that vitest is gone.
  const stop = () => process.kill(-child.pid!, "SIGKILL")
  const timer = setTimeout(stop, patience * tests.length)
  process.on("exit", stop)
  const [status] = await once(child, "exit")
  process.off("exit", stop)
  clearTimeout(timer)
  const broken = (by: string): Outcome => ({ verdict: "broken", by: by.slice(0, 500) })
  if (!existsSync(report)) return broken("it did not end")
  const { testResults }: Report = JSON.parse(readFileSync(report, "utf8"))
  const failed = testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .find(({ status }) => status === "failed")
  if (failed === undefined) {
    if (status === 0) return { verdict: "survived", by: "" }
    return broken(testResults.map(({ message }) => message).find((message) => message !== "") ?? "it did not begin")
  }
  const [reason = ""] = failed.failureMessages
  const isAccident = /Test timed out|^(?:Reference|Syntax)Error/.test(reason)
  return isAccident ? broken(reason) : { verdict: "killed", by: failed.fullName.trim() }
}

const without = async (mutant: Mutant): Promise<Outcome> => {
  const path = join(copy, mutant.file)
  const text = readFileSync(path, "utf8")
  const changed = applied(mutant, text)
  if (changed === undefined) return { verdict: "broken", by: "the code that it changes is not there once" }
  writeFileSync(path, changed)
  try {
    return await run(mutant.tests)
  } finally {
    writeFileSync(path, text)
  }
}

const print = ({ rule, what }: Mutant, { by, verdict }: Outcome, seconds: number): void =>
  console.log(
    values.json
      ? JSON.stringify({ rule, what, verdict, by, seconds })
      : `${rule.padEnd(4)}${verdict.padEnd(9)}${`${seconds} s`.padStart(6)}  ${what}${by === "" ? "" : `\n${" ".repeat(21)}${by}`}`
  )

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130))
process.on("exit", () => rmSync(copy, { recursive: true, force: true }))

for (const part of ["src", "test", "docs", "examples", "package.json", "tsconfig.json", "vitest.config.ts"])
  cpSync(join(root, part), join(copy, part), { recursive: true })
symlinkSync(join(root, "node_modules"), join(copy, "node_modules"))

// A test that fails anyway would miss every rule.
const whole = await run([...new Set(chosen.flatMap(({ tests }) => tests))])
if (whole.verdict !== "survived") {
  console.error(`the code as it is: ${whole.by}`)
  process.exit(1)
}
let caught = 0
for (const mutant of chosen) {
  const start = performance.now()
  const outcome = await without(mutant)
  if (outcome.verdict === "killed") caught++
  print(mutant, outcome, Math.round((performance.now() - start) / 1_000))
}
if (!values.json) console.log(`\n${caught} of ${chosen.length} mutants are caught by a test`)
process.exitCode = caught === chosen.length ? 0 : 1
