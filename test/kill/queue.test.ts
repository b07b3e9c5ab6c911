/** A queue whose processes are killed: no limit is exceeded at any moment, and every execution ends. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { schemaOf, server, url } from "../fixtures/postgres.ts"
import * as Program from "./Program.ts"
import type { Order } from "./queue.program.ts"
import { audit } from "./queue.ts"

const program = new URL("./queue.program.ts", import.meta.url)
const [concurrency, ofKey, keys] = [6, 2, 5]
const executions = 120

describe("a queue whose processes are killed", () => {
  it("an audit counts what overlaps, and what a kill has cut off until it has ended elsewhere", () => {
    const folder = mkdtempSync(join(tmpdir(), "queue-"))
    writeFileSync(join(folder, "1.ledger"), "0 two begin 1000001\n5 two begin 1000002\n5 two end 1000004\n1 two beg")
    writeFileSync(
      join(folder, "2.ledger"),
      "1 two begin 1000003\n1 two end 1000005\n0 two begin 1000006\n0 two end 1000007\n"
    )
    const seen = audit(folder, keys)
    rmSync(folder, { recursive: true })
    assert.deepStrictEqual(seen, { most: 3, mostOfKey: 2, done: 3, millis: 0.000006 })
  })

  if (url !== undefined)
    it.live(
      "C13 limits hold through kills, takeovers and waits, and everything ends",
      () =>
        Effect.gen(function* () {
          const schema = schemaOf("queue_kill")
          const folder = mkdtempSync(join(tmpdir(), "queue-"))
          yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
          yield* Effect.addFinalizer(() =>
            Effect.ignore(
              Effect.provide(
                SqlClient.SqlClient.use((sql) => sql`select 1`),
                server(schema)
              )
            )
          )
          const order: Order = {
            ...{ url: url!, schema, folder, keys },
            ...{ pace: 30, pause: 100 },
            limits: { concurrency, perKey: { concurrency: ofKey } }
          }
          const start = Effect.gen(function* () {
            const one = yield* Program.start(program, JSON.stringify(order))
            yield* Program.printed(one, "ready")
            return one
          })
          let victim = yield* start
          const other = yield* start
          yield* victim.say(`start 0 ${executions / 2}`)
          yield* other.say(`start ${executions / 2} ${executions}`)
          yield* Program.printed(victim, "started")
          yield* Program.printed(other, "started")
          for (let kill = 0; kill < 2; kill++) {
            yield* Effect.sleep("600 millis")
            yield* victim.kill
            victim = yield* start
          }
          while (audit(folder, keys).done < executions) yield* Effect.sleep("200 millis")
          const { done, most, mostOfKey } = audit(folder, keys)
          assert.strictEqual(done, executions)
          assert.isAtMost(most, concurrency)
          assert.isAtMost(mostOfKey, ofKey)
          assert.isAbove(most, 1)
        }).pipe(Effect.scoped),
      120_000
    )
})
