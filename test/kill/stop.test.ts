/**
 * F3: what SIGTERM does to a real process (SPEC C7). Steps and handlers that are under way may end within `shutdownGrace`, and
 * nothing begins; then the process ends, whatever the broker and the database do. Nothing is measured here, as a busy machine
 * is slow: a step that is cut off would take much longer than the grace, and what stands still does so until the end of the test.
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
const said = (lines: ReadonlyArray<string>) =>
  lines.filter((line) => /^(charged|interrupted|later|closed)\b/.test(line))

/** A schema of its own. Starts programs on it. */
const world = Effect.gen(function* () {
  const schema = schemaOf("stop")
  yield* Effect.addFinalizer(() => dropped(schema))
  return (order: Partial<Order>) => {
    const all: Order = { database: url ?? "", schema, programs: "orders", grace: 10_000, takes: 300, ...order }
    return Program.start(program, JSON.stringify(all))
  }
})

/** Stops a program in good order. Gives what it has said since. */
const stopped = Effect.fnUntraced(function* ({ ended, lines, signal }: Program.Program) {
  yield* signal("SIGTERM")
  yield* ended
  return said(yield* Queue.clear(lines))
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

// Side by side: they mostly wait.
describe.skipIf(url === undefined)("SIGTERM", { concurrent: true }, () => {
  it.live("F3 a step that ends within the grace ran once, and the next process goes on after it", () =>
    Effect.gen(function* () {
      const start = yield* world
      const first = yield* start({ sagas: ["Pay"], awaitsStop: true })
      yield* Program.printed(first, "begun step")
      assert.deepStrictEqual(yield* stopped(first), ["charged step", "closed"])
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
      assert.deepStrictEqual(yield* stopped(first), ["interrupted step", "closed"])
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
      assert.deepStrictEqual(yield* stopped(first), ["closed"])
    }).pipe(Effect.scoped)
  )

  it.live("F3 a process ends whose database refuses connections when it stops", () =>
    Effect.gen(function* () {
      const start = yield* world
      const line = yield* behind
      const first = yield* start({ sagas: ["Pay"], database: line.database, grace: 2_000 })
      yield* Program.printed(first, "begun step")
      yield* line.close
      assert.deepStrictEqual(yield* stopped(first), ["charged step", "closed"])
    }).pipe(Effect.scoped)
  )

  it.live("F3 a process ends whose database stands still when it stops", () =>
    Effect.gen(function* () {
      const start = yield* world
      const line = yield* behind
      const first = yield* start({ sagas: ["Pay"], database: line.database, grace: 2_000 })
      yield* Program.printed(first, "begun step")
      yield* line.freeze
      assert.deepStrictEqual(yield* stopped(first), ["charged step", "closed"])
    }).pipe(Effect.scoped)
  )

  for (const programs of ["side by side", "one on the other"] as const) {
    it.live(`F3 a process that runs both programs takes the grace once (${programs})`, () =>
      Effect.gen(function* () {
        const start = yield* world
        const first = yield* start({ programs, sagas: ["Pay", "PayBank"], grace: 4_000, takes: 100_000 })
        yield* bothBegun(first)
        const said = yield* stopped(first)
        // A second grace would come to its end long after "later".
        assert.deepStrictEqual(said.slice(0, 2).toSorted(), ["interrupted handler", "interrupted step"])
        assert.strictEqual(said.at(-1), "closed")
      }).pipe(Effect.scoped)
    )
  }

  describe.skipIf(Mosquitto.binary === undefined)("with a broker", () => {
    it.live("F3 a handler that ends within the grace answers, and its message is acknowledged", () =>
      Effect.gen(function* () {
        const start = yield* world
        const { url: broker } = yield* Mosquitto.started()
        const bank = yield* start({ programs: "bank", broker, clientId: "bank-1" })
        yield* Program.printed(bank, "up")
        // A second request would be a message of its own at the broker.
        const orders = yield* start({ sagas: ["PayBank"], broker, resendAfter: 600_000 })
        yield* Program.printed(bank, "begun handler")
        assert.deepStrictEqual(yield* stopped(bank), ["charged handler", "closed"])
        yield* Program.printed(orders, "PayBank finished []")
        // A message that the broker gives out again runs a handler where nothing of it is recorded.
        const elsewhere = yield* world
        const again = yield* elsewhere({ programs: "bank", broker, clientId: "bank-1" })
        yield* Program.printed(again, "up")
        yield* Effect.sleep("1 second")
        assert.deepStrictEqual(yield* stopped(again), ["closed"])
      }).pipe(Effect.scoped)
    )

    for (const still of ["broker", "broker, with its database,"] as const) {
      it.live(`F3 a process ends whose ${still} stands still when it stops`, () =>
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
          assert.deepStrictEqual([...before, ...after].toSorted(), ["charged handler", "charged step", "closed"])
        }).pipe(Effect.scoped)
      )
    }
  })
})
