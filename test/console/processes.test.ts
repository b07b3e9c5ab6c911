/**
 * Each command as a process of its own, through the dashboard of this process: what it prints is what it prints here, and its exit
 * code is for scripts. `bin.test.ts` has the commands on the folder of a database. By default some commands; `SAGA_PROCESSES=1` (CI)
 * runs all of them, which takes a second of a processor for each.
 */
import { execFile, spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, it } from "@effect/vitest"
import { Effect, Logger, Schedule } from "effect"
import { Inspector } from "effect-saga"
import { LocalDashboard } from "effect-saga/dashboard"
import * as Shop from "../fixtures/shop.ts"
import { doubt, World } from "./dashboard/served.ts"
import { printed } from "./printed.ts"

const program = ["--conditions=effect-saga:source", fileURLToPath(new URL("../../src/bin.ts", import.meta.url))]
const env = {
  ...process.env,
  SAGA_PG_URL: "",
  NO_COLOR: "1",
  NODE_COMPILE_CACHE: join(tmpdir(), "effect-saga-compiled")
}

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const effectSaga = (args: ReadonlyArray<string>) =>
  Effect.promise(() =>
    promisify(execFile)(process.execPath, [...program, ...args], { env }).then(
      ({ stderr, stdout }): Ended => ({ code: 0, stdout, stderr }),
      (error: Ended) => error
    )
  )

const live = (name: string, work: Effect.Effect<unknown, unknown, any>) =>
  it.live(
    name,
    () => work.pipe(Effect.scoped, Effect.provide([World, Logger.layer([])])) as Effect.Effect<unknown>,
    isLong ? 600_000 : 120_000
  )

const until = (key: string, isThere: (summary: Inspector.Inspected["summary"]) => boolean) =>
  Effect.repeat(
    Inspector.Inspector.use(({ load }) => load(key)),
    { until: ({ summary }) => isThere(summary), schedule: Schedule.spaced("10 millis"), times: 500 }
  )

const isLong = process.env.SAGA_PROCESSES === "1"

/** The first call of each of these commands. */
const some = <A extends readonly [ReadonlyArray<string>, ...Array<unknown>]>(
  all: ReadonlyArray<A>,
  ...names: ReadonlyArray<string>
) => names.map((name) => all.find(([[command]]) => command === name)!)

const transaction = "01890000-0000-7000-8000-0000000d0b72"

const orders = Effect.gen(function* () {
  for (const key of ["asks/1", "asks/2"]) yield* Shop.order(key, "Ghent", 5_000)
  for (const key of ["stuck/1", "stuck/2"]) yield* Shop.order(key, "Parked")
  yield* Shop.order("done", "Ghent")
  yield* Shop.order("free", "Ghent", 5_000)
  for (const key of ["asks/1", "asks/2"]) yield* until(key, ({ waitsFor }) => waitsFor === "signal approval")
  for (const key of ["stuck/1", "stuck/2"]) yield* until(key, ({ parked }) => parked)
  yield* until("done", ({ settled }) => settled)
  yield* doubt(transaction)
  Shop.shop.stockIsBack = true
})

const timeless = (text: string): string =>
  text
    .replaceAll(/\b\d+[smhd]\b/g, "T")
    .replaceAll(/ +/g, " ")
    .trim()

live(
  "a command prints as a process what it prints in a program, and ends with its exit code",
  Effect.gen(function* () {
    yield* orders
    const folder = mkdtempSync(join(tmpdir(), "console-"))
    yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
    const [config, file] = [join(folder, "none.config.mjs"), join(folder, "execution.json")]
    writeFileSync(config, "export default { sagas: [] }")
    const url = yield* LocalDashboard.serve({ sagas: Shop.sagas, may: ["act", "values"], actor: "ada" })
    const at = ["--url", url]
    const reading: ReadonlyArray<readonly [ReadonlyArray<string>, number]> = [
      [["list", ...at], 0],
      [["show", "done", ...at], 0],
      [["watch", "done", ...at], 0],
      [["stats", "--json", ...at], 0],
      [["attention", "--in-doubt-after", "0s", ...at], 3],
      [["processes", ...at], 0],
      [["commands", ...at], 0],
      [["dead-letters", ...at], 0],
      [["doubt", "list", ...at], 0],
      [["drift", "--config", config, ...at], 3],
      [["doctor", ...at], 0],
      [["export", "done", ...at], 0],
      [["export", "done", "--file", file, ...at], 0],
      [["diagram", "Nothing", "--config", config], 1],
      [["migrate", "--print-sql", "--tables", "dead-letters"], 0],
      [["migrate", ...at], 2],
      [["show", "nobody", ...at], 1]
    ]
    const compared = ([args, code]: (typeof reading)[number]) =>
      Effect.gen(function* () {
        const there = yield* effectSaga(args)
        const here = yield* printed(args)
        assert.strictEqual(there.code, code, `${args.join(" ")}: ${there.stderr}`)
        assert.strictEqual(here.code, code, args.join(" "))
        assert.strictEqual(timeless(there.stdout), timeless(here.out), args.join(" "))
        assert.strictEqual(timeless(there.stderr), timeless(here.err), args.join(" "))
        assert.notStrictEqual(there.stdout + there.stderr, "", args.join(" "))
      })
    yield* Effect.forEach(isLong ? reading : some(reading, "show", "watch", "migrate"), compared, {
      concurrency: 3,
      discard: true
    })
    const acting: ReadonlyArray<readonly [ReadonlyArray<string>, number, RegExp]> = [
      [["retry", "stuck/1", "--reason", "x"], 0, /^stuck\/1 {2}applied$/m],
      [["resolve", "stuck/2", "--reason", "x"], 0, /^stuck\/2 {2}applied$/m],
      [["cancel", "asks/1", "--reason", "x", "--json"], 0, /"applied": 1/],
      [
        ["answer", "asks/2", "--signal", "approval", "--payload", '{"approved":true,"by":"ada"}', "--reason", "x"],
        0,
        /^asks\/2 {2}applied$/m
      ],
      [["cancel", "done", "--reason", "x"], 1, /^done {2}refused: /m],
      [["cancel", "--key-prefix", "free", "--reason", "x"], 2, /say --yes/],
      [
        ["doubt", "decide", "payments", transaction, "reject", "--reason", "x", "--wait", "0s"],
        3,
        /accepted, not applied yet/
      ],
      [["replay", file], 0, /PlaceOrder [0-9a-f-]{36}\n\nPlaceOrder starts/]
    ]
    const acted = ([args, code, said]: (typeof acting)[number]) =>
      Effect.gen(function* () {
        const { code: ended, stderr, stdout } = yield* effectSaga(args[0] === "replay" ? args : [...args, ...at])
        assert.strictEqual(ended, code, `${args.join(" ")}: ${stdout}${stderr}`)
        assert.match(stdout + stderr, said)
      })
    yield* Effect.forEach(isLong ? acting : some(acting, "retry", "answer"), acted, { concurrency: 3, discard: true })
    if (isLong) assert.include(readFileSync(file, "utf8"), "book for Ghent")
  })
)

live(
  "dashboard prints an address for one person, serves it, and ends by Ctrl-C",
  Effect.gen(function* () {
    const url = yield* LocalDashboard.serve({ may: ["act"] })
    const child = spawn(process.execPath, [...program, "dashboard", "--url", url], { env })
    const address = yield* Effect.promise(
      () =>
        new Promise<string>((resolve, reject) => {
          child.stdout.on("data", (said) => resolve(String(said)))
          child.on("exit", reject)
        })
    )
    assert.match(address, /^Dashboard, read only: http:\/\/127\.0\.0\.1:\d+\/\?token=[\w-]{32}\n$/)
    const listed = yield* printed(["list", "--url", address.slice(address.indexOf("http")).trim()])
    assert.deepStrictEqual(listed, { code: 0, out: "No executions.", err: "" })
    const refused = yield* printed([
      "cancel",
      "x",
      "--reason",
      "x",
      "--url",
      address.slice(address.indexOf("http")).trim()
    ])
    assert.include(refused.out, "You may not act here, only look")
    const over = new Promise((resolve) => child.on("exit", (code, signal) => resolve(code ?? signal)))
    child.kill("SIGINT")
    assert.include([1, 130, "SIGINT"], yield* Effect.promise(() => over))
  })
)
