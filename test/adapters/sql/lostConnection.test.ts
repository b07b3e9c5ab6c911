/** A connection that is lost while something is written: it may have happened or not, and only the database knows (SPEC A1). */

import { connect } from "node:net"
import { Duplex } from "node:stream"
import { PgClient } from "@effect/sql-pg"
import { assert, layer as withLayer } from "@effect/vitest"
import { Effect, Layer, Redacted, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, Saga, SagaConfig, SagaManager, TransactionCommitter } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import * as PgliteServer from "../../../src/adapters/pglite/PgliteServer.ts"
import * as Pglite from "../../fixtures/pglite.ts"
import { schemaOf, server, url } from "../../fixtures/postgres.ts"

/** Where the next connection is lost: at what is said in it, before it has gone out or before the answer has come. */
interface Cut {
  readonly at: string
  readonly lost: "request" | "answer"
}

const line: { cut: Cut | undefined } = { cut: undefined }

class Connection extends Duplex {
  private readonly inner: Duplex
  private isDeaf = false

  constructor(inner: Duplex) {
    super({ allowHalfOpen: false })
    this.inner = inner
    inner.on("data", (chunk: Buffer) => {
      if (!this.isDeaf) this.push(chunk)
      // The statement has happened when the database is ready for the next one.
      else if (chunk.at(-6) === "Z".charCodeAt(0)) this.lose()
    })
    inner.on("error", (error) => this.destroy(error))
    inner.on("close", () => this.destroy())
    inner.on("connect", () => this.emit("connect"))
  }

  private lose(): void {
    this.destroy(new Error("The connection is lost"))
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const { cut } = line
    if (cut !== undefined && chunk.includes(cut.at)) {
      line.cut = undefined
      if (cut.lost === "request") {
        this.lose()
        return done()
      }
      this.isDeaf = true
    }
    this.inner.write(chunk, () => done())
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.inner.destroy()
    done(error)
  }
}

const pglite = Layer.unwrap(
  Effect.map(Pglite.open, (database) => {
    const { connect } = PgliteServer.make({
      execute: (batch) => database.execProtocolRawSync(batch),
      lockTimeoutMillis: 30_000
    })
    return PgClient.layer({
      stream: () => new Connection(connect()),
      username: "postgres",
      database: "postgres",
      maxConnections: 4,
      prepare: false
    })
  })
)

const postgres = (schema: string) => {
  const { hostname, password, pathname, port, username } = new URL(url ?? "postgres://postgres@127.0.0.1:5432/test")
  const lossy = PgClient.layer({
    stream: () => new Connection(connect({ host: hostname, port: Number(port) || 5432, noDelay: true })),
    username: decodeURIComponent(username),
    password: Redacted.make(decodeURIComponent(password)),
    database: pathname.slice(1),
    maxConnections: 4,
    prepare: false
  })
  // The other client drops the schema in the end.
  return Layer.provideMerge(Layer.fresh(lossy), server(schema, 1))
}

const schema = schemaOf("connection")
const databases: ReadonlyArray<{
  readonly name: string
  readonly layer: Layer.Layer<PgClient.PgClient | SqlClient.SqlClient, unknown>
}> = [{ name: "PGlite", layer: pglite }, ...(url === undefined ? [] : [{ name: "Postgres", layer: postgres(schema) }])]

for (const { layer, name } of databases) {
  const table = `${schema}.effect`
  const insert = (step: string) =>
    SqlClient.SqlClient.use((sql) => sql`insert into ${sql(table)} (step) values (${step})`).pipe(
      Effect.asVoid,
      Effect.orDie
    )
  const effects = SqlClient.SqlClient.use((sql) =>
    Effect.map(sql<{ step: string }>`delete from ${sql(table)} returning step`, (rows) => rows.map(({ step }) => step))
  )
  let outside = 0
  const Order = Saga.make("Order", { context: {} }).pipe(
    Saga.local("external", { success: Schema.Int, execute: () => Effect.sync(() => ++outside) }),
    Saga.local("transactional", { transactional: true, execute: () => insert("by the step") }),
    Saga.local("last", { execute: () => Effect.void }),
    Saga.commit
  )
  const managed = SagaManager.layer([Order]).pipe(
    Layer.provide([SagaConfig.layer({ service: "orders" }), Broker.layerMemory, TransactionCommitter.layerNone])
  )
  const prepared = Layer.effectDiscard(
    SqlClient.SqlClient.use((sql) => sql`create table ${sql(table)} (step text not null)`)
  )
  const all = managed.pipe(
    Layer.provideMerge(prepared),
    Layer.provideMerge(SqlSagaExecutionRepository.layer({ schema })),
    Layer.provideMerge(layer)
  )

  withLayer(all, { timeout: "2 minutes", excludeTestServices: true })(`a connection that is lost: ${name}`, (it) => {
    for (const lost of ["request", "answer"] as const) {
      for (const [what, at] of [
        ["the first write", "ExecutionCreated"],
        ["a write in the middle", '"name":"transactional"'],
        ["the effect of a transactional step", "by the step"],
        ["the record of a transactional step", '"name":"last"'],
        ["the commit of a transactional step", "COMMIT"],
        ["the last write", "ExecutionFinished"]
      ] as const) {
        it.effect(`A1 everything has happened once when the connection is lost with the ${lost} of ${what}`, () =>
          Effect.gen(function* () {
            outside = 0
            line.cut = { at, lost }
            const execution = yield* SagaManager.run(Order, { context: {} })
            assert.isUndefined(line.cut, "nothing was lost")
            assert.strictEqual(outside, 1)
            assert.deepStrictEqual(yield* effects, ["by the step"])
            const { events, revision } = yield* SagaManager.SagaManager.use((manager) => manager.load(execution.uuid))
            assert.strictEqual(revision, 4)
            const tags = events.map((event) => `${event._tag} ${"path" in event ? event.path : ""}`)
            assert.strictEqual(new Set(tags).size, tags.length)
          })
        )
      }
    }
  })
}
