/** A run that makes no progress says why, in one line. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as Progress from "./progress.ts"
import { Tally } from "./summary.ts"

/** The lines that the progress view writes while the test runs. */
const written = Effect.acquireRelease(
  Effect.sync(() => {
    const { write } = process.stderr
    const lines: Array<string> = []
    process.stderr.write = (text) => {
      lines.push(...String(text).trimEnd().split("\n"))
      return true
    }
    return { lines, write }
  }),
  ({ write }) =>
    Effect.sync(() => {
      process.stderr.write = write
    })
)

it.effect(
  "half a minute without an order that ends is said once in each half minute, with the last trouble in the log",
  () =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "order-progress-"))),
        (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
      )
      const log = join(folder, "log")
      const tally = new Tally()
      const { lines } = yield* written
      yield* Progress.make(3, tally, log)
      /** The notes that appear within so many seconds of virtual time. */
      const saidIn = (seconds: number) =>
        Effect.map(TestClock.adjust(`${seconds} seconds`), () => lines.splice(0).filter((line) => line.startsWith("·")))
      const end = (orderId: string) => tally.outcomes.set(orderId, "committed")

      assert.deepStrictEqual(yield* saidIn(29), [])
      assert.deepStrictEqual(yield* saidIn(1), [
        `· no order has ended for 30 s (0 of 3 are done): the log has no warning; it is ${log}`
      ])
      writeFileSync(
        log,
        [
          'timestamp=x level=WARN fiber=#1 message="An old one"',
          'timestamp=x level=WARN fiber=#1 message="No connection to the MQTT broker" reason="connect ECONNREFUSED"',
          "timestamp=x level=INFO fiber=#1 message=Fine"
        ].join("\n")
      )
      end("1")
      assert.deepStrictEqual(yield* saidIn(30), [])
      assert.deepStrictEqual(yield* saidIn(30), [
        '· no order has ended for 30 s (1 of 3 are done): WARN fiber=#1 message="No connection to the MQTT broker" reason="connect ECONNREFUSED"'
      ])
      end("2")
      end("3")
      assert.deepStrictEqual(yield* saidIn(120), [])
    })
)
