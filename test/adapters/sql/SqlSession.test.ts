/** What a caller and a person are told of a statement that runs into its time limit. */
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Logger } from "effect"
import type { SqlClient } from "effect/sql"
import { codeOf } from "../../../src/adapters/sql/SqlErrors.ts"
import * as SqlSession from "../../../src/adapters/sql/SqlSession.ts"

it.live(
  "F2 a statement without an answer fails with its name, and the log says which one it was, without its values",
  () => {
    const logged: Array<unknown> = []
    return Effect.gen(function* () {
      const silent = { execute: () => Effect.never, executeRaw: () => Effect.never }
      const client = { reserve: Effect.succeed(silent) } as unknown as SqlClient.SqlClient
      const source = new SqlSession.SessionSource(client, yield* Effect.context<never>())
      const sql = `select facts\n          from "saga_event" where uuid = any($1) ${"and true ".repeat(20)}`
      const used = SqlSession.use(source, 1_000, (session) => session.execute(sql, ["a value"], undefined))
      const error = yield* Effect.flip(Effect.provideService(used, SqlSession.StatementLimit, 20))
      assert.strictEqual(codeOf(error), "StatementTimeout")
      assert.strictEqual(logged.length, 1)
      assert.match(JSON.stringify(logged), /not answered in time.*select facts from/)
      assert.notInclude(JSON.stringify(logged), "a value")
      assert.isBelow(JSON.stringify(logged).length, 200)
    }).pipe(Effect.provide(Logger.layer([Logger.make(({ message }) => logged.push(message))])))
  }
)

it.live("F2 work that is interrupted goes on before its client has given up a silent connection", () =>
  Effect.gen(function* () {
    const order: Array<string> = []
    // The client asks the server to cancel the statement, and waits five seconds for that.
    const givingUp = Effect.andThen(
      Effect.sleep("5 seconds"),
      Effect.sync(() => order.push("the client gives up"))
    )
    const silent = { execute: () => Effect.uninterruptible(givingUp), executeRaw: () => Effect.never }
    const client = { reserve: Effect.succeed(silent) } as unknown as SqlClient.SqlClient
    const source = new SqlSession.SessionSource(client, yield* Effect.context<never>())
    const used = SqlSession.use(source, 1_000, (session) => session.execute("select 1", [], undefined))
    const working = yield* Effect.forkChild(used, { startImmediately: true })
    yield* Fiber.interrupt(working)
    assert.deepStrictEqual(order, [])
  })
)

it.live("F11 a statement has its time by the monotonic clock: the clock of the day may be set back meanwhile", () => {
  const now = Date.now
  return Effect.gen(function* () {
    const silent = { execute: () => Effect.never, executeRaw: () => Effect.never }
    const client = { reserve: Effect.succeed(silent) } as unknown as SqlClient.SqlClient
    const source = new SqlSession.SessionSource(client, yield* Effect.context<never>())
    const used = SqlSession.use(source, 1_000, (session) => session.execute("select 1", [], undefined))
    const limited = Effect.provideService(Effect.flip(used), SqlSession.StatementLimit, 50)
    const working = yield* Effect.forkChild(limited, { startImmediately: true })
    Date.now = () => now() - 3_600_000
    assert.strictEqual(codeOf(yield* Fiber.join(working)), "StatementTimeout")
  }).pipe(
    Effect.ensuring(
      Effect.sync(() => {
        Date.now = now
      })
    )
  )
})
