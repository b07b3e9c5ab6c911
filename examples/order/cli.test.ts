/** The program as people start it: its output, its exit code, and that neither a crash nor Ctrl-C changes an outcome. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { constants, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Option, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { EmbeddedBroker } from "effect-saga/aedes"
import { PgliteClient } from "effect-saga/pglite"
import * as Check from "./check.ts"
import { Order } from "./contracts.ts"
import { expected } from "./expected.ts"
import * as Places from "./places.ts"
import type { Summary } from "./summary.ts"

const cli = fileURLToPath(new URL("cli.ts", import.meta.url))
const flags = "deno" in process.versions ? ["run", "-A", "--quiet"] : ["--conditions=effect-saga:source"]
const timeout = 180_000

const folder = mkdtempSync(join(tmpdir(), "order-example-"))
const file = (name: string) => join(folder, name)

const all = readFileSync(new URL("orders.ndjson", import.meta.url), "utf8")
  .trimEnd()
  .split("\n")
const decode = Schema.decodeSync(Schema.fromJsonString(Order))

/** Enough orders for a test, of every kind. */
const lines = all.slice(0, 30)
const outcomes = Object.fromEntries(
  lines
    .map((line) => decode(line))
    .map((order) => [order.orderId, expected(order) === "committed" ? "committed" : "undone"])
)

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** `watch` sees the output of the program while it runs. */
const run = (args: ReadonlyArray<string>, watch = (_said: string, _child: ChildProcess) => {}): Promise<Ended> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [...flags, cli, ...args], { stdio: ["ignore", "pipe", "pipe"] })
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
const killing = (times: Readonly<Partial<Record<Places.Service, number>>>) => {
  const lives: Partial<Record<Places.Service, number>> = {}
  const watch = (said: string, program: ChildProcess) => {
    for (const service of Places.Service.literals) {
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
const data = (name: string): string => {
  cpSync(file("empty"), file(name), { recursive: true })
  return file(name)
}

beforeAll(async () => {
  mkdirSync(file("empty"))
  writeFileSync(file("orders.ndjson"), lines.join("\n"))
  await Effect.runPromise(Places.prepare({ data: file("empty"), mqtt: "", protocol: 4 }))
}, timeout)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

it("has orders of every kind", () => {
  const kinds = (some: ReadonlyArray<string>) => [...new Set(some.map((line) => expected(decode(line))))].sort()
  assert.strictEqual(new Set(all.map((line) => decode(line).orderId)).size, 300)
  assert.deepStrictEqual(kinds(all), ["CardDeclined", "NoCourier", "OutOfStock", "committed"])
  assert.deepStrictEqual(kinds(lines), kinds(all))
})

// The runs of the program go side by side, as they wait for processes.
describe("npm start", { concurrent: true }, () => {
  it(
    "gives each order the outcome it has without crashes when the orchestrator is killed twice",
    async () => {
      const ended = await run(["--orders", file("orders.ndjson"), "--data", data("crash"), "--crash", "2", "--json"])
      assert.strictEqual(ended.code, 0, ended.stderr)
      const { seconds, ...summary }: Summary = JSON.parse(ended.stdout)
      const count = (outcome: string) => Object.values(outcomes).filter((it) => it === outcome).length
      assert.deepStrictEqual(summary, {
        orders: 30,
        committed: count("committed"),
        undone: count("undone"),
        parked: 0,
        conserved: true,
        crashes: 2,
        outcomes
      })
      assert.isAbove(seconds, 0)

      // The same folder again: all orders are done already, and an extra payment makes the books not add up.
      await Effect.runPromise(
        SqlClient.SqlClient.use(
          (sql) => sql`insert into payment values ('payment-of-nobody', 'nobody', 1990, false)`
        ).pipe(Effect.provide(PgliteClient.layer({ folder: join(file("crash"), "payments") })))
      )
      const again = await run(["--orders", file("orders.ndjson"), "--data", file("crash"), "--json"])
      assert.strictEqual(again.code, 1, again.stderr)
      const { conserved, ...rest }: Summary = JSON.parse(again.stdout)
      assert.isFalse(conserved)
      assert.deepStrictEqual(rest.outcomes, outcomes)

      // Another order with a known id.
      writeFileSync(file("other.ndjson"), lines[0]?.replace(/"quantity":\d+/, '"quantity":99') ?? "")
      const other = await run(["--orders", file("other.ndjson"), "--data", file("crash"), "--json"])
      assert.deepStrictEqual([other.code, other.stdout], [1, ""])
      assert.include(other.stderr, "Another order-0001 was placed before, with other values: ")
    },
    2 * timeout
  )

  it(
    "stops at Ctrl-C with all its processes; the same command goes on, also when they are killed before they are up",
    async () => {
      const args = ["--orders", file("orders.ndjson"), "--data", data("stop"), "--processes"]
      let interrupted = false
      const stopped = await run(args, (said, child) => {
        if (interrupted || !/ [1-9]\d*\/30 /.test(said)) return
        interrupted = true
        child.kill("SIGINT")
      })
      assert.strictEqual(stopped.code, 130, stopped.stderr)
      assert.match(stopped.stderr, /Stopped after \d+ of 30 orders\. The same command goes on from there\.\n$/)
      assert.strictEqual(stopped.stdout, "")
      // A process that has a database has a lock.
      assert.deepStrictEqual(
        readdirSync(file("stop")).filter((name) => name.endsWith(".lock")),
        []
      )

      const once = { payments: 1, shipping: 1, orders: 1 }
      const { lives, watch } = killing(once)
      const ended = await run(args, watch)
      assert.strictEqual(ended.code, 0, ended.stderr)
      assert.deepStrictEqual(lives, once)
      const { stdout } = ended
      assert.match(stdout, /^30 orders, [1-9]\d* of them in an earlier run, the others in /)
      assert.match(stdout, /Money, goods and parcels add up\./)
      assert.match(stdout, /\nHow order-\d+ was undone\n {2}PlaceOrder starts\n/)
      assert.match(readFileSync(join(file("stop"), "PlaceOrder.mmd"), "utf8"), /^flowchart TD\n/)
    },
    2 * timeout
  )
})

const { SAGA_TEST_MQTT_URL: mqtt, SAGA_TEST_PG_URL: pg } = process.env

/** A database of its own on the server for the schemas of the services, and a namespace of its own at the broker. */
const withPlaces = (use: (url: string, namespace: string) => Promise<void>) => {
  const name = `order_example_${Math.random().toString(36).slice(2, 10)}`
  const url = new URL(pg ?? "")
  url.pathname = name
  const server = Places.server(pg ?? "")
  const admin = (run: (sql: SqlClient.SqlClient) => Effect.Effect<unknown, unknown>) =>
    Effect.orDie(Effect.provide(SqlClient.SqlClient.use(run), server))
  return Effect.runPromise(
    Effect.acquireUseRelease(
      admin((sql) => sql`create database ${sql(name)}`),
      () => Effect.promise(() => use(url.href, name)),
      () => admin((sql) => sql`drop database ${sql(name)} with (force)`)
    )
  )
}

describe.skipIf(pg === undefined || mqtt === undefined)("npm start on servers", { concurrent: true }, () => {
  it(
    "gives each order the same outcome in three processes that are killed, and finds all settled afterwards",
    { timeout: 3 * timeout },
    () =>
      withPlaces(async (url, namespace) => {
        const servers = ["--pg", url, "--mqtt", mqtt ?? "", "--namespace", namespace]
        const args = ["--orders", file("orders.ndjson"), "--data", file("servers"), ...servers]
        const twice = { payments: 2, shipping: 2 }
        const { lives, watch } = killing(twice)
        const first = await run([...args, "--processes", "--crash", "1", "--json"], watch)
        assert.strictEqual(first.code, 0, first.stderr)
        const summary: Summary = JSON.parse(first.stdout)
        assert.deepStrictEqual(summary.outcomes, outcomes)
        assert.deepStrictEqual([summary.crashes, lives], [1, twice])
        const second = await run(args)
        assert.strictEqual(second.code, 0, second.stderr)
        assert.match(second.stdout, /^30 orders, 30 of them in an earlier run/)
      })
  )
})

describe("what cannot work is said in one line, before anything is started", () => {
  for (const [what, code, args, says] of [
    ["a file that is not there", 1, ["--orders", "nothing"], /^The file nothing cannot be read: .*--orders FILE\n$/],
    ["a flag that there is not", 2, ["--nope"], /^.*--nope.*\n$/],
    ["too many crashes", 2, ["--crash", "101"], /^.*--crash.*from 0 to 100.*\n$/],
    ["a namespace that is no name", 2, ["--namespace", "a/b"], /^.*--namespace.*letters.*\n$/]
  ] as const) {
    it(`${what} (exit code ${code})`, { timeout }, async () => {
      const ended = await run([...args, "--json"])
      assert.match(ended.stderr, says)
      assert.deepStrictEqual([ended.code, ended.stdout], [code, ""])
    })
  }

  const refuses = (what: string, given: () => Partial<Check.Given>, says: RegExp) =>
    it.live(what, () =>
      Effect.gen(function* () {
        const orders = file("orders.ndjson")
        const data = Option.some(file("none"))
        const none = { pg: Option.none(), mqtt: Option.none(), namespace: Option.none(), port: 0 }
        const error = yield* Effect.flip(Check.ready({ orders, data, ...none, ...given() }))
        assert.match(error.message, says)
        assert.notInclude(error.message, "\n")
        assert.isFalse(existsSync(join(file("none"), "orders")))
      }).pipe(Effect.scoped)
    )
  const written = (name: string, text: string) => () => {
    writeFileSync(file(name), text)
    return { orders: file(name) }
  }
  const lacking = lines[1]?.replace(/"amount":\d+/, '"amount":-1')

  refuses("an empty file", written("a", "\n"), /^There is no order in .*: /)
  refuses("a line that is no JSON", written("b", `${lines[0]}\nfoo`), /^Line 2 of .* is no order \(.*JSON.*\): /)
  refuses("a line with a wrong amount", written("c", `${lines[0]}\n\n${lacking}`), /^Line 3 of .*\(.*amount.*\): /)
  refuses("an order that is there twice", written("d", `${lines[0]}\n${lines[0]}`), /order-0001 is there twice/)
  refuses(
    "a folder that cannot be written",
    () => ({ data: Option.some(join(file("orders.ndjson"), "data")) }),
    /^The folder .* cannot be written \(ENOTDIR\): .*--data FOLDER/
  )
  refuses("a Postgres address that is none", () => ({ pg: Option.some("foo") }), /^--pg foo is no address: /)
  refuses(
    "a Postgres server that does not answer, whose password is not repeated",
    () => ({ pg: Option.some("postgres://me:secret@127.0.0.1:1/db") }),
    /^Postgres at postgres:\/\/127\.0\.0\.1:1 cannot be used \((?!.*secret)/
  )
  refuses(
    "an MQTT address that is none",
    () => ({ mqtt: Option.some("http://x") }),
    /^--mqtt http:\/\/x is no address: /
  )
  refuses(
    "an MQTT broker that does not answer",
    () => ({ mqtt: Option.some("mqtt://127.0.0.1:1") }),
    /^The MQTT broker at mqtt:\/\/127\.0\.0\.1:1 cannot be used \(ECONNREFUSED\): /
  )
  it.live("a port that somebody has", () =>
    Effect.gen(function* () {
      const { port } = yield* EmbeddedBroker.make()
      const given = { orders: file("orders.ndjson"), data: Option.some(file("none")), port }
      const none = { pg: Option.none(), mqtt: Option.none(), namespace: Option.none() }
      const error = yield* Effect.flip(Check.ready({ ...given, ...none }))
      assert.match(error.message, /^The port \d+ cannot be used \(EADDRINUSE\): .*--port N/)
    }).pipe(Effect.scoped)
  )
})
