/** Postgres in the process: what several connections to one session see, and what a folder keeps. */
import { Buffer } from "node:buffer"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Duplex } from "node:stream"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Queue } from "effect"
import { SqlClient } from "effect/sql"
import * as PgliteServer from "../../../src/adapters/pglite/PgliteServer.ts"
import * as Wire from "../../../src/adapters/pglite/wire.ts"
import { PgliteClient } from "../../../src/pglite.ts"
import * as Pglite from "../../fixtures/pglite.ts"
import * as Program from "../../kill/Program.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => join(mkdtempSync(join(tmpdir(), "effect-saga-")), "data")),
  (it) => Effect.sync(() => rmSync(join(it, ".."), { recursive: true, force: true }))
)

/** Opens the folder for as long as the use takes. */
const using = <A, E>(folder: string, use: Effect.Effect<A, E, SqlClient.SqlClient>) =>
  Effect.provide(use, Layer.fresh(PgliteClient.layer({ folder })))

const table = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const name = `t_${Math.random().toString(36).slice(2)}`
  yield* sql`create table ${sql(name)} (k text primary key, n int8 not null)`
  return sql(name)
})

layer(PgliteClient.layer({ maxConnections: 5 }), { excludeTestServices: true })("many callers", (it) => {
  it.effect("each statement gets its own answer, and transactions get the session one at a time", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const t = yield* table
      yield* sql`insert into ${t} values ('sum', 0)`
      const numbers = Array.from({ length: 100 }, (_, i) => i)
      const add = (i: number) =>
        sql.withTransaction(
          Effect.gen(function* () {
            const [row] = yield* sql<{ n: bigint }>`select n from ${t} where k = 'sum'`
            yield* sql`update ${t} set n = ${(row?.n ?? 0n) + BigInt(i)} where k = 'sum'`
          })
        )
      const echo = (i: number) =>
        Effect.map(sql<{ i: number }>`select ${i}::int4 as i`, ([row]) => assert.strictEqual(row?.i, i))
      yield* Effect.forEach(numbers, (i) => (i % 2 === 0 ? add(i) : echo(i)), { concurrency: 20 })
      const [row] = yield* sql<{ n: bigint }>`select n from ${t}`
      assert.strictEqual(row?.n, 2450n)
    })
  )
})

layer(PgliteClient.layer({ lockTimeout: "200 millis", maxConnections: 5 }), { excludeTestServices: true })(
  "several connections",
  (it) => {
    /** A transaction that is open until the scope closes. */
    const holding = Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const open = yield* Deferred.make<void>()
      const end = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkScoped(
        sql.withTransaction(
          Effect.andThen(sql`select 1`, Effect.andThen(Deferred.succeed(open, undefined), Deferred.await(end)))
        )
      )
      yield* Deferred.await(open)
      return Effect.andThen(Deferred.succeed(end, undefined), Fiber.join(fiber))
    })

    it.effect("a caller that fails or is interrupted has its transaction rolled back, and no other one", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const t = yield* table
        const insert = (k: string) => sql`insert into ${t} values (${k}, 1)`
        const gate = yield* Deferred.make<void>()
        const interrupted = yield* Effect.forkChild(
          sql.withTransaction(
            Effect.andThen(insert("a"), Effect.andThen(Deferred.succeed(gate, undefined), Effect.never))
          )
        )
        yield* Deferred.await(gate)
        yield* Fiber.interrupt(interrupted)
        yield* Effect.exit(sql.withTransaction(Effect.andThen(insert("b"), Effect.fail("no"))))
        yield* sql.withTransaction(
          Effect.andThen(insert("c"), Effect.exit(sql.withTransaction(Effect.andThen(insert("d"), Effect.die("no")))))
        )
        assert.deepStrictEqual(yield* sql`select k from ${t} order by k`, [{ k: "c" }])
      })
    )

    it.effect("errors are those of a Postgres server", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const t = yield* table
        yield* sql`insert into ${t} values ('a', 1)`
        const twice = yield* Effect.flip(sql`insert into ${t} values ('a', 1)`)
        assert.strictEqual(twice.reason._tag, "UniqueViolation")
        const wrong = yield* Effect.flip(sql`select nothing from ${t}`)
        assert.strictEqual(wrong.reason._tag, "SqlSyntaxError")
      })
    )

    it.effect("a statement waits for a transaction of others no longer than its limit", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const end = yield* holding
        const error = yield* Effect.flip(sql`select 2`)
        assert.strictEqual(error.reason._tag, "LockTimeoutError")
        assert.isTrue(error.isRetryable)
        const inTransaction = yield* Effect.flip(sql.withTransaction(sql`select 3`))
        assert.strictEqual(inTransaction.reason._tag, "LockTimeoutError")
        yield* end
        assert.deepStrictEqual(yield* sql`select 4 as n`, [{ n: 4 }])
      })
    )

    it.effect("a waiting statement can be cancelled", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const t = yield* table
        const end = yield* holding
        const waiting = yield* Effect.forkChild(sql`insert into ${t} values ('a', 1)`)
        yield* Effect.sleep("20 millis")
        yield* Fiber.interrupt(waiting)
        yield* end
        assert.deepStrictEqual(yield* sql`select k from ${t}`, [])
      })
    )

    it.effect("LISTEN goes on when another connection closes", () =>
      Effect.gen(function* () {
        const pg = yield* PgClient.PgClient
        const queue = yield* pg.listen("news")
        yield* Effect.scoped(pg.listen("news"))
        yield* pg.withTransaction(pg`select pg_notify('news', 'one')`)
        assert.strictEqual((yield* Queue.take(queue)).payload, "one")
      })
    )
  }
)

it.live("a connection that ends leaves nothing in the shared session", () =>
  Effect.gen(function* () {
    const database = yield* Pglite.open
    const { connect } = PgliteServer.make({
      execute: (batch) => database.execProtocolRawSync(batch),
      lockTimeoutMillis: 1000
    })
    const gone = connect()
    yield* ask(gone, startup)
    yield* ask(gone, Buffer.concat([parse("effect_1", "select 1"), Wire.sync]))
    yield* ask(gone, Wire.query("begin; create table t (n int8)"))
    assert.isTrue(database.isInTransaction())
    const next = connect()
    yield* ask(next, startup)
    const waiting = yield* Effect.forkChild(ask(next, Wire.query("create table t (n int8)")))
    yield* Effect.yieldNow
    gone.destroy()
    assert.include((yield* Fiber.join(waiting)).toString(), "CREATE TABLE")
    const { rows } = yield* Effect.promise(() => database.query("select name from pg_prepared_statements"))
    assert.deepStrictEqual(rows, [])
  }).pipe(Effect.scoped)
)

it.live("a closed connection is cleaned up only after the open transaction ends", () =>
  Effect.gen(function* () {
    const said: Array<string> = []
    // As a database answers: the last byte tells whether a transaction is open.
    const { close, connect } = PgliteServer.make({
      execute: (batch) => {
        const text = Buffer.from(batch).toString()
        said.push(text.includes("begin") ? "begin" : text.includes("effect_1") ? "effect_1" : "end")
        return text.includes("begin") ? Buffer.from([0x5a, 0, 0, 0, 5, 0x54]) : Wire.ready
      },
      lockTimeoutMillis: 20
    })
    const [gone, owner, late] = [connect(), connect(), connect()]
    for (const connection of [gone, owner, late]) yield* ask(connection, startup)
    yield* ask(gone, Buffer.concat([parse("effect_1", "select 1"), Wire.sync]))
    yield* ask(owner, Wire.query("begin"))
    gone.destroy()
    // This one began to wait later, and its time is over.
    assert.include((yield* ask(late, Wire.query("select 2"))).toString(), "55P03")
    yield* ask(owner, Wire.query("end"))
    close()
    assert.deepStrictEqual(said, ["effect_1", "begin", "end", "effect_1"])
  })
)

it.live("the database does not keep its process alive, whatever is under way", () =>
  Effect.gen(function* () {
    const program = yield* Program.start(new URL("./end.program.ts", import.meta.url))
    assert.strictEqual(yield* program.ended, 0)
    assert.deepStrictEqual(yield* Queue.takeAll(program.lines), ["closed"])
  }).pipe(Effect.scoped)
)

const startup = Buffer.from([0, 0, 0, 9, 0, 3, 0, 0, 0])

const ask = (connection: Duplex, bytes: Uint8Array) =>
  Effect.callback<Buffer>((resume) => {
    connection.once("data", (answer: Buffer) => resume(Effect.succeed(answer)))
    connection.write(bytes)
  })

const parse = (name: string, sql: string) => {
  const body = Buffer.concat([Buffer.from(`${name}\0${sql}\0`), Buffer.alloc(2)])
  const head = Buffer.from("P\0\0\0\0")
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

describe("a folder", () => {
  const count = Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`create table if not exists t (n int8)`
    yield* sql`insert into t values (1)`
    return (yield* sql`select n from t`).length
  })

  it.live("the folder of a database keeps committed data, and voids the leases of the process before", () =>
    Effect.gen(function* () {
      const data = yield* folder
      assert.strictEqual(yield* using(data, count), 1)
      const lease = SqlClient.SqlClient.use((sql) =>
        sql`create table acme_saga_instance (id text, lease_until timestamptz not null)`.pipe(
          Effect.andThen(sql`insert into acme_saga_instance values ('a', now() + interval '1 hour')`)
        )
      )
      yield* using(data, lease)
      assert.strictEqual(yield* using(data, count), 2)
      const over = SqlClient.SqlClient.use((sql) => sql`select lease_until < now() as over from acme_saga_instance`)
      assert.deepStrictEqual(yield* using(data, over), [{ over: true }])
      assert.deepStrictEqual(readdirSync(join(data, "..")), ["data"])
    }).pipe(Effect.scoped)
  )

  it.live("the folder of a database belongs to one process at a time", () =>
    Effect.gen(function* () {
      const data = yield* folder
      yield* Pglite.makeFolder(data)
      const error = yield* using(data, Effect.flip(using(data, count)))
      assert.instanceOf(error, PgliteClient.PgliteFolderLocked)
      assert.strictEqual(yield* using(data, count), 1)
    }).pipe(Effect.scoped)
  )

  it.live("a folder that holds other files, or cannot be made, is refused", () =>
    Effect.gen(function* () {
      const data = yield* folder
      mkdirSync(data)
      writeFileSync(join(data, "letter.txt"), "dear")
      for (const wrong of [data, join(data, "letter.txt")]) {
        const error = yield* Effect.flip(using(wrong, count))
        assert.instanceOf(error, PgliteClient.PgliteUnavailable)
        assert.strictEqual(error.reason, "folder")
      }
      assert.deepStrictEqual(readdirSync(data), ["letter.txt"])
      assert.isFalse(existsSync(`${data}.lock`))
    }).pipe(Effect.scoped)
  )

  it.live(
    "after a kill the folder has every acknowledged commit, also if the kill came while the folder was made",
    () =>
      Effect.gen(function* () {
        const data = yield* folder
        const program = new URL("./write.program.ts", import.meta.url)
        const made = yield* Program.start(program, data)
        yield* Effect.repeat(Effect.sleep("20 millis"), {
          until: () => existsSync(`${data}.new`) || existsSync(data)
        })
        yield* made.kill
        assert.strictEqual(yield* made.ended, "SIGKILL")
        let last = 0
        for (let round = 0; round < 3; round++) {
          const writer = yield* Program.start(program, data)
          last = Number(yield* Program.printed(writer, ""))
          if (round === 0) assert.instanceOf(yield* Effect.flip(using(data, count)), PgliteClient.PgliteFolderLocked)
          yield* Effect.sleep("50 millis")
          yield* writer.kill
          yield* writer.ended
          // Perhaps nothing more, on a slow machine.
          const said = yield* Queue.clear(writer.lines)
          last = Number(said.at(-1) ?? last)
        }
        const pairs = yield* using(
          data,
          SqlClient.SqlClient.use(
            (sql) => sql<{ pair: bigint; n: bigint }>`select pair, count(*) as n from row group by pair order by pair`
          )
        )
        assert.isAtLeast(pairs.length, last)
        assert.deepStrictEqual(
          pairs.map(({ n, pair }) => [pair, n]),
          pairs.map((_, i) => [BigInt(i + 1), 2n])
        )
      }).pipe(Effect.scoped),
    120_000
  )
})
