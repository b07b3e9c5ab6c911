/**
 * F3: what SIGTERM does to a real process (SPEC C7). Steps and handlers that are under way may end within `shutdownGrace`, and
 * nothing begins; closing takes no longer than that, whatever the broker and the database do.
 */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import * as Mosquitto from "../fixtures/mosquitto.ts"
import * as Mqtt from "../fixtures/mqtt.ts"
import { schemaOf, url } from "../fixtures/postgres.ts"
import * as Program from "./Program.ts"
import type { Order } from "./stop.program.ts"

const program = new URL("./stop.program.ts", import.meta.url)

const dropped = (schema: string) =>
  Effect.orDie(
    Effect.provide(
      SqlClient.SqlClient.use((sql) => sql`drop schema if exists ${sql(schema)} cascade`),
      PgClient.layer({ url: Redacted.make(url ?? "") })
    )
  )

/** The lines that the program itself has printed. An entry of its log may have several lines. */
const said = (lines: ReadonlyArray<string>) => lines.filter((line) => /^(charged|interrupted|closed)\b/.test(line))

/** What a process takes besides, on a busy machine, in milliseconds. */
const slack = 5_000

/** A schema of its own. Starts programs on it. */
const world = Effect.gen(function* () {
  const schema = schemaOf("stop")
  yield* Effect.addFinalizer(() => dropped(schema))
  return (order: Partial<Order>) => {
    const all: Order = { database: url ?? "", schema, programs: "orders", grace: 10_000, takes: 300, ...order }
    return Program.start(program, JSON.stringify(all))
  }
})

/** Stops a program in good order. Gives all that it has printed since, and how long it took. */
const stopped = Effect.fnUntraced(function* ({ ended, lines, signal }: Program.Program) {
  const before = performance.now()
  yield* signal("SIGTERM")
  yield* ended
  const took = performance.now() - before
  return { said: said(yield* Queue.clear(lines)), took }
})

/** A step and a handler have begun. Gives what was said by then: one may end before the other begins. */
const bothBegun = Effect.fnUntraced(function* ({ lines }: Program.Program) {
  const missing = new Set(["begun step", "begun handler"])
  const others: Array<string> = []
  while (missing.size > 0) {
    const line = yield* Queue.take(lines)
    const begun = [...missing].find((start) => line.startsWith(start))
    if (begun === undefined) others.push(line)
    else missing.delete(begun)
  }
  return said(others)
})

/** On a database behind a line of its own. */
const behind = Effect.gen(function* () {
  const target = new URL(url ?? "")
  const line = yield* Mqtt.line(Number(target.port || 5432))
  target.port = `${line.port}`
  return { ...line, database: target.href }
})

describe.skipIf(url === undefined)("SIGTERM", () => {
  it.live("F3 a step that ends within the grace ran once, and the next process goes on after it", () =>
    Effect.gen(function* () {
      const start = yield* world
      const first = yield* start({ sagas: ["Pay"] })
      yield* Program.printed(first, "begun step")
      assert.deepStrictEqual((yield* stopped(first)).said, ["charged step", "closed"])
      const second = yield* start({ sagas: ["Pay"] })
      yield* Program.printed(second, "up")
      assert.strictEqual(yield* Queue.take(second.lines), "receipt")
      assert.strictEqual(yield* Queue.take(second.lines), "Pay finished []")
    }).pipe(Effect.scoped)
  )

  it.live("F3 a step that is longer than the grace is interrupted, and runs again in the next process", () =>
    Effect.gen(function* () {
      const start = yield* world
      const first = yield* start({ sagas: ["Pay"], grace: 500, takes: 100_000 })
      yield* Program.printed(first, "begun step")
      const { said, took } = yield* stopped(first)
      assert.deepStrictEqual(said, ["interrupted step", "closed"])
      assert.isBelow(took, 500 + slack)
      const second = yield* start({ sagas: ["Pay"] })
      yield* Program.printed(second, "begun step")
      yield* Program.printed(second, "Pay finished []")
    }).pipe(Effect.scoped)
  )

  it.live("F3 a step that cannot be interrupted is left after the grace", () =>
    Effect.gen(function* () {
      const start = yield* world
      const first = yield* start({ sagas: ["PayUninterruptible"], grace: 500, takes: 100_000 })
      yield* Program.printed(first, "begun step")
      const { said, took } = yield* stopped(first)
      assert.deepStrictEqual(said, ["closed"])
      assert.isBelow(took, 500 + slack)
    }).pipe(Effect.scoped)
  )

  it.live("F3 a process whose database refuses connections when it stops takes the grace at most", () =>
    Effect.gen(function* () {
      const start = yield* world
      const line = yield* behind
      const first = yield* start({ sagas: ["Pay"], database: line.database, grace: 2_000 })
      yield* Program.printed(first, "begun step")
      yield* line.close
      const { said, took } = yield* stopped(first)
      assert.deepStrictEqual(said, ["charged step", "closed"])
      assert.isBelow(took, 2_000 + slack)
    }).pipe(Effect.scoped)
  )

  it.live("F3 a process whose database stands still when it stops takes the grace at most", () =>
    Effect.gen(function* () {
      const start = yield* world
      const line = yield* behind
      const first = yield* start({ sagas: ["Pay"], database: line.database, grace: 2_000 })
      yield* Program.printed(first, "begun step")
      yield* line.freeze
      const { said, took } = yield* stopped(first)
      assert.deepStrictEqual(said, ["charged step", "closed"])
      assert.isBelow(took, 2_000 + slack)
    }).pipe(Effect.scoped)
  )

  for (const programs of ["side by side", "one on the other"] as const) {
    it.live(`F3 a process that runs both programs takes the grace once (${programs})`, () =>
      Effect.gen(function* () {
        const start = yield* world
        const first = yield* start({ programs, sagas: ["Pay", "PayBank"], grace: 4_000, takes: 100_000 })
        yield* bothBegun(first)
        const { said, took } = yield* stopped(first)
        assert.deepStrictEqual(said.toSorted(), ["closed", "interrupted handler", "interrupted step"])
        assert.isBelow(took, 4_000 + slack / 2)
      }).pipe(Effect.scoped)
    )
  }

  describe.skipIf(Mosquitto.binary === undefined)("with a broker", () => {
    it.live("F3 a handler that ends within the grace answers, and its message is acknowledged", () =>
      Effect.gen(function* () {
        const start = yield* world
        const { url: broker } = yield* Mosquitto.started()
        const bank = yield* start({ programs: "bank", broker, clientId: "bank-1" })
        const orders = yield* start({ sagas: ["PayBank"], broker })
        yield* Program.printed(bank, "begun handler")
        assert.deepStrictEqual((yield* stopped(bank)).said, ["charged handler", "closed"])
        yield* Program.printed(orders, "PayBank finished []")
        // A message that the broker gives out again runs a handler where nothing of it is recorded.
        const elsewhere = yield* world
        const again = yield* elsewhere({ programs: "bank", broker, clientId: "bank-1" })
        yield* Program.printed(again, "up")
        yield* Effect.sleep("1 second")
        assert.deepStrictEqual((yield* stopped(again)).said, ["closed"])
      }).pipe(Effect.scoped)
    )

    for (const still of ["broker", "broker, with its database,"] as const) {
      it.live(`F3 a process whose ${still} stands still when it stops takes the grace at most`, () =>
        Effect.gen(function* () {
          const start = yield* world
          const line = yield* behind
          const broker = yield* Mosquitto.started()
          const programs = "side by side"
          const first = yield* start({
            programs,
            sagas: ["Pay", "PayBank"],
            broker: broker.url,
            database: line.database,
            grace: 2_000,
            takes: 600
          })
          const before = yield* bothBegun(first)
          yield* broker.freeze
          if (still !== "broker") yield* line.freeze
          const after = yield* stopped(first)
          assert.deepStrictEqual([...before, ...after.said].toSorted(), ["charged handler", "charged step", "closed"])
          assert.isBelow(after.took, 2_000 + slack)
        }).pipe(Effect.scoped)
      )
    }
  })
})
