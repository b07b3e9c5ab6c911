/** `npm run onboarding` that is killed and can tell nobody: its two processes end with it, and free its ports and folders. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { assert, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { freePort } from "../fixtures/ownServer.ts"
import * as Program from "./Program.ts"

const program = fileURLToPath(new URL("../../examples/onboarding/start.ts", import.meta.url))

/** All processes of the machine that have not ended. One that has ended and whose parent has not heard of it is a `Z`. */
const processes = () =>
  execFileSync("ps", ["-A", "-o", "pid=,ppid=,stat="], { encoding: "utf8" })
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , state]) => state !== undefined && !state.startsWith("Z"))
    .map(([pid, parent]) => ({ pid: Number(pid), parent: Number(parent) }))

it.live(
  "C20 the example leaves no process behind when it is killed",
  () =>
    Effect.gen(function* () {
      const folder = mkdtempSync(join(tmpdir(), "onboarding-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
      const http = yield* freePort
      const mqtt = yield* freePort
      const start = yield* Program.startBy(
        "env",
        ...[`BANK_DATA=${folder}`, `BANK_PORT=${http}`, `BANK_MQTT_PORT=${mqtt}`],
        process.execPath,
        ...Program.options,
        program
      )
      const heard = new Set<string>()
      while (heard.size < 2) {
        const line = yield* Program.printed(start, "")
        for (const said of ["the bank answers", "the services are there"]) if (line.includes(said)) heard.add(said)
      }
      const children = processes()
        .filter(({ parent }) => parent === start.pid)
        .map(({ pid }) => pid)
      assert.lengthOf(children, 2)
      yield* start.kill
      const left = () => processes().filter(({ pid }) => children.includes(pid))
      yield* Effect.sync(left).pipe(
        Effect.repeat({ until: (some) => some.length === 0, schedule: Schedule.spaced("100 millis") }),
        Effect.timeout("30 seconds")
      )
    }).pipe(Effect.scoped),
  120_000
)
