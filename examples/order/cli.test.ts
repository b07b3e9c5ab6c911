/** The program as people start it: its output, its exit code, and that a crash changes no outcome. */
import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { SqlClient } from "effect/sql"
import { EmbeddedBroker } from "effect-saga/aedes"
import { PgliteClient } from "effect-saga/pglite"
import * as Check from "./check.ts"
import { expected } from "./expected.ts"
import { all, data, decode, file, lines, outcomes, prepare, run, timeout } from "./program.ts"
import type { Summary } from "./summary.ts"

prepare()

it("has orders of every kind", () => {
  const kinds = (some: ReadonlyArray<string>) => [...new Set(some.map((line) => expected(decode(line))))].sort()
  assert.strictEqual(new Set(all.map((line) => decode(line).orderId)).size, 300)
  assert.deepStrictEqual(kinds(all), ["CardDeclined", "NoCourier", "OutOfStock", "committed"])
  assert.deepStrictEqual(kinds(lines), kinds(all))
})

describe("npm start", () => {
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
        const none = {
          pg: Option.none(),
          mqtt: Option.none(),
          nats: Option.none(),
          http: false,
          namespace: Option.none(),
          port: 0
        }
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
  refuses(
    "a NATS address that is none",
    () => ({ nats: Option.some("mqtt://x") }),
    /^--nats mqtt:\/\/x is no address: /
  )
  refuses(
    "a NATS server that does not answer",
    () => ({ nats: Option.some("nats://me:secret@127.0.0.1:1") }),
    /^The NATS server at nats:\/\/127\.0\.0\.1:1 cannot be used \((?!.*secret)/
  )
  refuses(
    "two ways for the messages",
    () => ({ http: true, mqtt: Option.some("mqtt://127.0.0.1:1") }),
    /^--http and --mqtt are 2 ways for the messages: give one of them$/
  )
  refuses(
    "a namespace where there are no topics",
    () => ({ http: true, namespace: Option.some("shop") }),
    /^--namespace goes before topics, and --http has none: /
  )
  it.live("a port that somebody has", () =>
    Effect.gen(function* () {
      const { port } = yield* EmbeddedBroker.make()
      const given = { orders: file("orders.ndjson"), data: Option.some(file("none")), port }
      const none = {
        pg: Option.none(),
        mqtt: Option.none(),
        nats: Option.none(),
        http: false,
        namespace: Option.none()
      }
      const error = yield* Effect.flip(Check.ready({ ...given, ...none }))
      assert.match(error.message, /^The port \d+ cannot be used \(EADDRINUSE\): .*--port N/)
    }).pipe(Effect.scoped)
  )
})
