/** Each service of the program is killed, and the program stopped: no order has another outcome. On every transport. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import * as Nats from "../../test/fixtures/nats.ts"
import * as Places from "./places.ts"
import { data, file, killing, outcomes, prepare, run, timeout } from "./program.ts"
import type { Summary } from "./summary.ts"

prepare()

// The runs of the program go side by side, as they wait for processes.
describe("npm start", { concurrent: true }, () => {
  it(
    "gives each order its outcome over HTTP, without a broker, when every service is killed",
    async () => {
      const once = { payments: 1, shipping: 1 }
      const { lives, watch } = killing(once)
      const args = ["--orders", file("orders.ndjson"), "--data", data("http"), "--http", "--processes", "--crash", "1"]
      const ended = await run([...args, "--json"], watch)
      assert.strictEqual(ended.code, 0, ended.stderr)
      const summary: Summary = JSON.parse(ended.stdout)
      assert.deepStrictEqual([summary.outcomes, summary.crashes, lives], [outcomes, 1, once])
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

describe.skipIf(pg === undefined || Nats.binary === undefined)("npm start on a NATS server", () => {
  it("gives each order the same outcome when the orchestrator is killed", { timeout: 3 * timeout }, () =>
    withPlaces((url) =>
      Effect.runPromise(
        Effect.scoped(
          Effect.gen(function* () {
            const server = yield* Nats.started()
            const servers = ["--pg", url, "--nats", server.url, "--namespace", "shop"]
            const args = ["--orders", file("orders.ndjson"), "--data", file("nats"), ...servers]
            const { code, stderr, stdout } = yield* Effect.promise(() => run([...args, "--crash", "1", "--json"]))
            assert.strictEqual(code, 0, stderr)
            const summary: Summary = JSON.parse(stdout)
            assert.deepStrictEqual([summary.outcomes, summary.crashes], [outcomes, 1])
          })
        )
      )
    )
  )
})
