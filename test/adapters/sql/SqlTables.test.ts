/** Where the tables are, and how they come there when many start at once. */
import { assert, describe, it, layer as withLayer } from "@effect/vitest"
import { type Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { SagaExecutionRepository } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import * as SqlConnections from "../../../src/adapters/sql/SqlConnections.ts"
import * as SqlMigrations from "../../../src/adapters/sql/SqlMigrations.ts"
import * as SqlTables from "../../../src/adapters/sql/SqlTables.ts"
import * as SampleExecutions from "../../../src/testing/SampleExecutions.ts"
import * as Pglite from "../../fixtures/pglite.ts"
import { databases, schemaOf, server } from "../../fixtures/postgres.ts"

const Repository = SagaExecutionRepository.SagaExecutionRepository

/** A repository of a process of its own: with its own connections, where the database has several. */
const another = (name: string, schema: string, prefix = "") => {
  const repository = SqlSagaExecutionRepository.layer({ schema, prefix })
  return Layer.fresh(name === "Postgres" ? Layer.provide(repository, server(schema, 6)) : repository)
}

const long = (letter: string) => letter.repeat(41)

it.effect("a role that may make no tables is said in the message of the error with which the layer ends", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`create role makes_nothing`
    yield* sql`set role makes_nothing`
    const error = yield* Effect.flip(Layer.build(SqlSagaExecutionRepository.layer({ schema: "of_its_own" })))
    assert.strictEqual(error._tag, "SqlError")
    assert.strictEqual(
      error.message,
      "The tables of SqlSagaExecutionRepository cannot be made or read: 42501: the role lacks a right there"
    )
    const inOwn = yield* Effect.flip(Layer.build(SqlSagaExecutionRepository.layer()))
    assert.strictEqual(
      inOwn.message,
      "The tables of SqlSagaExecutionRepository cannot be made or read: the role may make no tables there"
    )
  }).pipe(Effect.scoped, Effect.provide(Pglite.layer()))
)

describe("tables made by hand", () => {
  for (const part of Object.keys(SqlMigrations.parts) as ReadonlyArray<SqlMigrations.Part>)
    it.effect(`a role of processes may read and write every table of ${part}`, () =>
      Effect.gen(function* () {
        const texts = yield* SqlMigrations.statements({ schema: "s" }, part, "app")
        const namesIn = (pattern: RegExp) => texts.flatMap((text) => pattern.exec(text)?.[1] ?? [])
        const { list } = SqlMigrations.parts[part]
        const made = namesIn(/^create table (?:if not exists )?"s"."(\w+)"/).filter((it) => it !== list)
        const granted = namesIn(/^grant select, insert, update, delete on "s"."(\w+)" to "app"/)
        assert.isAtLeast(made.length, 1)
        assert.sameMembers(granted, made)
      })
    )
})

for (const { layer, name } of databases("tables")) {
  withLayer(layer, { timeout: "2 minutes", excludeTestServices: true })(`tables: ${name}`, (it) => {
    const stored = (context: Context.Context<SagaExecutionRepository.SagaExecutionRepository>) =>
      Effect.provide(
        Repository.use(({ store }) => store(SampleExecutions.started(SampleExecutions.created()))),
        Layer.succeedContext(context)
      )

    it.effect("the tables are made once when ten processes start at the same time on an empty database", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const schema = schemaOf("ten")
        const repositories = yield* Effect.all(
          Array.from({ length: 10 }, () => Layer.build(another(name, schema))),
          { concurrency: "unbounded" }
        )
        yield* Effect.forEach(repositories, stored, { concurrency: "unbounded" })
        assert.deepStrictEqual(
          yield* sql`select migration_id as id from ${sql(`${schema}.saga_execution_migration`)}`,
          [1, 2, 3, 4, 5, 6, 7, 8].map((id) => ({ id }))
        )
        const [row] = yield* sql`select count(*)::int as n from ${sql(`${schema}.saga_execution`)}`
        assert.deepStrictEqual(row, { n: 10 })
      })
    )

    for (const code of ["40P01", "55P03"])
      it.effect(`a migration that processes of the release before are in the way of is tried again (${code})`, () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const schema = schemaOf("contested")
          let tries = 0
          const made = Effect.gen(function* () {
            tries++
            yield* sql`create table ${sql(`${schema}.made`)} (id int)`
            if (tries < 3)
              yield* sql.unsafe(`do $$ begin raise exception 'in the way' using errcode = '${code}'; end $$`)
          })
          const module = "Contested"
          const list = "contested_migration"
          const connections = yield* SqlConnections.make(module, {})
          const migrations = () => ({ "0001_made": made })
          yield* SqlTables.setUp({ schema }, connections, { module, list, migrations })
          assert.strictEqual(tries, 3)
          assert.deepStrictEqual(yield* sql`select migration_id as id from ${sql(`${schema}.${list}`)}`, [{ id: 1 }])
          assert.deepStrictEqual(yield* sql`select * from ${sql(`${schema}.made`)}`, [])
        }).pipe(Effect.scoped)
      )

    it.effect("tables of several prefixes are made in one new schema at the same time, and stay separate", () =>
      Effect.gen(function* () {
        const schema = schemaOf("prefixes")
        const repositories = yield* Effect.all(
          ["a_", "b_", "c_", "d_"].map((prefix) => Layer.build(another(name, schema, prefix))),
          { concurrency: "unbounded" }
        )
        const [first, second] = repositories
        const { uuid } = yield* stored(first!)
        const found = Effect.provide(
          Effect.exit(Repository.use(({ load }) => load(uuid))),
          Layer.succeedContext(second!)
        )
        assert.strictEqual((yield* found)._tag, "Failure")
      })
    )

    it.effect("C11 the tables may have names of the greatest length, also for notifications between processes", () =>
      Effect.gen(function* () {
        const context = yield* Layer.build(another(name, long("s"), long("p")))
        yield* Effect.addFinalizer(() =>
          Effect.orDie(SqlClient.SqlClient.use((sql) => sql`drop schema if exists ${sql(long("s"))} cascade`))
        )
        yield* Effect.gen(function* () {
          const { claim, find, load, store } = yield* Repository
          for (const owner of ["a", "b"])
            yield* claim({ owner, limit: 0, now: SampleExecutions.time, leaseMillis: 60_000 })
          const first = yield* store(SampleExecutions.started(SampleExecutions.created()), { owner: "a" })
          const second = yield* store(SampleExecutions.paused(first), { owner: "a" })
          assert.strictEqual((yield* load(first.uuid)).revision, second.revision)
          assert.strictEqual((yield* find({})).items.length, 1)
        }).pipe(Effect.provide(Layer.succeedContext(context)))
      })
    )

    it.effect("C11 tables are refused if schema or prefix is no plain name", () =>
      Effect.gen(function* () {
        const open = (options: SqlSagaExecutionRepository.SqlSagaExecutionRepositoryOptions) =>
          Effect.flip(Layer.build(SqlSagaExecutionRepository.layer(options)))
        for (const value of ["Sagas", "a-b", "a b", 'a"; drop table x; --', "1a", "ä", "a.b", "a".repeat(42)]) {
          for (const option of ["schema", "prefix"] as const) {
            const error = yield* open({ [option]: value })
            if (error._tag !== "InvalidSetting") return assert.fail(error._tag)
            assert.strictEqual(error.setting, `SqlSagaExecutionRepository.${option}`)
            assert.include(error.issue, JSON.stringify(value))
          }
        }
        assert.strictEqual((yield* open({ schema: "" }))._tag, "InvalidSetting")
      })
    )
  })
}
