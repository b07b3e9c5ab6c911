/** The program as people start it, for the tests: orders of every kind, and what becomes of each. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { constants, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, Schema } from "effect"
import { afterAll, beforeAll } from "vitest"
import { quick } from "../../test/fixtures/quick.ts"
import { Order } from "./contracts.ts"
import { expected } from "./expected.ts"
import * as Places from "./places.ts"
import { Service, Transport } from "./transports.ts"

const cli = fileURLToPath(new URL("cli.ts", import.meta.url))
const flags = "deno" in process.versions ? ["run", "-A", "--quiet"] : ["--conditions=effect-saga:source", ...quick]
export const timeout = 180_000

/** Of the file of tests that runs now: files share their modules. */
let folder = ""
export const file = (name: string) => join(folder, name)

export const all = readFileSync(new URL("orders.ndjson", import.meta.url), "utf8")
  .trimEnd()
  .split("\n")
export const decode = Schema.decodeSync(Schema.fromJsonString(Order))

/** Enough orders for a test, of every kind. */
export const lines = all.slice(0, 30)
export const outcomes = Object.fromEntries(
  lines
    .map((line) => decode(line))
    .map((order) => [order.orderId, expected(order) === "committed" ? "committed" : "undone"])
)

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** `watch` sees the output of the program while it runs. `isAsked`: the program waits for what `watch` says to it. */
export const run = (
  args: ReadonlyArray<string>,
  watch = (_said: string, _child: ChildProcess) => {},
  isAsked = false
): Promise<Ended> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [...flags, cli, ...args], { stdio: "pipe" })
    if (!isAsked) child.stdin.end()
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (chunk) => {
      stdout += chunk
    })
    child.stderr.on("data", (chunk) => {
      stderr += chunk
      watch(stderr, child)
    })
    // Deno ends by the operating system's signal itself, which a shell shows as the same number.
    child.on("close", (code, signal) =>
      resolve({ code: code ?? 128 + constants.signals[signal ?? "SIGKILL"], stdout, stderr })
    )
  })

/** Every process of the machine: its id, the id of its parent, and its command line. */
const processes = (): ReadonlyArray<readonly [id: number, parent: number, args: string]> =>
  existsSync("/proc/self/stat")
    ? readdirSync("/proc").flatMap((id) => {
        // The process may have ended meanwhile.
        try {
          const [, parent] = /.*\) . (\d+)/.exec(readFileSync(`/proc/${id}/stat`, "utf8")) ?? []
          return parent === undefined
            ? []
            : [[Number(id), Number(parent), readFileSync(`/proc/${id}/cmdline`, "utf8")] as const]
        } catch {
          return []
        }
      })
    : execFileSync("ps", ["-A", "-o", "pid=,ppid=,args="], { encoding: "utf8" })
        .split("\n")
        .map((line) => line.trim().split(/\s+/))
        .map(([id, parent, ...args]) => [Number(id), Number(parent), args.join(" ")] as const)

/** Kills a service of the program as soon as its process is there. */
const killNext = (program: ChildProcess, service: string): void => {
  const ours = processes().find(([, parent, args]) => parent === program.pid && args.includes(`"service":"${service}"`))
  if (ours !== undefined) process.kill(ours[0], "SIGKILL")
  else if (program.exitCode === null) setTimeout(() => killNext(program, service), 10)
}

/** Kills each service the given number of times, as soon as it is there; the orchestrator only once the others are. */
export const killing = (times: Readonly<Partial<Record<Service, number>>>) => {
  const lives: Partial<Record<Service, number>> = {}
  const watch = (said: string, program: ChildProcess) => {
    for (const service of Service.literals) {
      const killed = lives[service] ?? 0
      const isNext = killed === 0 && service !== "orders" ? /start, in/ : /has died/
      if (killed === (times[service] ?? 0) || !isNext.test(said)) continue
      lives[service] = killed + 1
      killNext(program, service)
    }
  }
  return { lives, watch }
}

/** Empty databases. */
export const data = (name: string): string => {
  cpSync(file("empty"), file(name), { recursive: true })
  return file(name)
}

/** Empty databases to copy, and the file of orders, until the tests of a file are over. */
export const prepare = (): void => {
  const own = mkdtempSync(join(tmpdir(), "order-example-"))
  folder = own
  beforeAll(async () => {
    mkdirSync(file("empty"))
    writeFileSync(file("orders.ndjson"), lines.join("\n"))
    await Effect.runPromise(
      Places.prepare({ data: file("empty"), transport: Transport.make({ _tag: "Nats", url: "" }) })
    )
  }, timeout)
  afterAll(() => rmSync(own, { recursive: true, force: true }))
}
