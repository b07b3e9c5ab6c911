/** Units of work on a database: what a handler writes and what is recorded of it are one (SPEC W3, I4). */
import { randomUUID } from "node:crypto"
import { PgClient } from "@effect/sql-pg"
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Redacted, Ref } from "effect"
import { SqlClient, Statement } from "effect/sql"
import { ConnectionError, isSqlError, SqlError } from "effect/sql/SqlError"
import { ParticipantStore } from "effect-saga"
import { FaultPoint } from "effect-saga/internals"
import { SqlDeadLetters, SqlParticipantStore } from "effect-saga/sql"
import { databases, url } from "../../fixtures/postgres.ts"

const store = ParticipantStore.ParticipantStore

const makePlace = () => {
  const uuid = randomUUID()
  const id = `${uuid}:0:execute`
  const scope: ParticipantStore.Scope = { service: "bank", transactions: [uuid], messages: [id] }
  return { uuid, id, scope, alone: { ...scope, transactions: [] } }
}

const records = (
  { id, uuid }: { readonly id: string; readonly uuid: string },
  { alone = false, reply = "{}" } = {}
): ParticipantStore.Records => ({
  transactions: alone
    ? []
    : [{ uuid, coordinator: "orders", status: "pending", notAfter: 1_000, heuristic: false, updatedAt: 10 }],
  barriers: [
    {
      id,
      transaction: alone ? undefined : uuid,
      coordinator: "orders",
      request: "0".repeat(64),
      status: 200,
      reply,
      effect: "immediate",
      open: true,
      accepted: undefined,
      keepUntil: 1_000,
      createdAt: 10
    }
  ]
})

/** A store of its own, as another process has it. */
const open = <E, R>(layer: Layer.Layer<ParticipantStore.ParticipantStore, E, R>) =>
  Effect.map(Layer.build(Layer.fresh(layer)), Context.get(store))

/** The first words of the statements of some work, in the order in which they are sent, without those that begin and end it. */
const telling = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const said: Array<string> = []
    const listen: Statement.Transformer = (statement) =>
      Effect.sync(() => {
        said.push(statement.compile()[0].trim().split(/\s/)[0] ?? "")
        return statement
      })
    yield* Effect.provideService(work, Statement.CurrentTransformer, listen)
    return said
  })

/** The replies that are recorded of the messages of the scope. */
const replies = (scope: ParticipantStore.Scope) =>
  store.use((store) =>
    store.unit(scope, ({ barriers }) => Effect.succeed(Array.from(barriers.values(), ({ reply }) => reply)))
  )

for (const { layer, name, schema } of databases("unit")) {
  const isServer = name === "Postgres"
  const account = `${schema}.account`
  /** The effect of a handler: moves money, in a table of its own. */
  const add = (owner: string, cents: number) =>
    SqlClient.SqlClient.use(
      (sql) => sql`insert into ${sql(account)} (owner, cents) values (${owner}, ${cents})
        on conflict (owner) do update set cents = account.cents + excluded.cents`
    ).pipe(Effect.asVoid)
  const cents = (owner: string) =>
    SqlClient.SqlClient.use((sql) =>
      Effect.map(
        sql<{ cents: number }>`select cents from ${sql(account)} where owner = ${owner}`,
        ([row]) => row?.cents ?? 0
      )
    )
  const table = Layer.effectDiscard(
    SqlClient.SqlClient.use(
      (sql) => sql`create table ${sql(account)} (owner text primary key, cents int not null check (cents < 1000),
        unique (owner, cents) deferrable initially deferred)`
    )
  )
  const participants = SqlParticipantStore.layer({ schema })
  const live = Layer.provideMerge(Layer.provideMerge(table, participants), layer)

  withLayer(live, { timeout: "2 minutes", excludeTestServices: true })(`a unit of work: ${name}`, (it) => {
    it.effect("W3 the rows of a handler are kept together with its record", () =>
      Effect.gen(function* () {
        const place = makePlace()
        const { unit } = yield* store
        for (const scope of [place.scope, makePlace().alone]) {
          const [id = ""] = scope.messages
          const saved = records({ id, uuid: place.uuid }, { alone: scope.transactions.length === 0 })
          yield* unit(scope, ({ attempt, save }) => Effect.andThen(attempt(add(id, 5)), save(saved)))
          assert.deepStrictEqual(yield* replies(scope), ["{}"])
          assert.strictEqual(yield* cents(id), 5)
        }
      })
    )

    it.effect("W3 the rows of a handler are rolled back when its unit fails, dies or is interrupted", () =>
      Effect.gen(function* () {
        const { unit } = yield* store
        for (const end of [Effect.fail("no"), Effect.die("dead"), Effect.never]) {
          const place = makePlace()
          const written = yield* Deferred.make<void>()
          const fiber = yield* Effect.forkChild(
            unit(place.scope, ({ attempt, save }) =>
              attempt(add(place.id, 5)).pipe(
                Effect.andThen(save(records(place))),
                Effect.andThen(Deferred.succeed(written, undefined)),
                Effect.andThen(end)
              )
            )
          )
          yield* Deferred.await(written)
          if (end === Effect.never) yield* Fiber.interrupt(fiber)
          else assert.isTrue(Exit.isFailure(yield* Fiber.await(fiber)))
          assert.deepStrictEqual([yield* cents(place.id), yield* replies(place.scope)], [0, []])
        }
      })
    )

    it.effect(
      "the rows of an attempt that fails, dies or interrupts itself are rolled back, and the rest is kept",
      () =>
        Effect.gen(function* () {
          const { unit } = yield* store
          for (const end of [Effect.fail("declined"), Effect.die("dead"), Effect.interrupt]) {
            const place = makePlace()
            yield* unit(place.scope, ({ attempt, save }) =>
              Effect.gen(function* () {
                yield* attempt(add(place.id, 1))
                const exit = yield* Effect.exit(attempt(Effect.andThen(add(place.id, 10), end)))
                assert.isTrue(Exit.isFailure(exit))
                yield* attempt(add(place.id, 100))
                yield* save(records(place))
              })
            )
            assert.deepStrictEqual([yield* cents(place.id), yield* replies(place.scope)], [101, ["{}"]])
          }
        })
    )

    it.effect("a constraint that a handler breaks is a failure of the handler", () =>
      Effect.gen(function* () {
        const place = makePlace()
        const { unit } = yield* store
        const error = yield* unit(place.scope, ({ attempt, save }) =>
          Effect.gen(function* () {
            const error = yield* Effect.flip(attempt(Effect.andThen(add(place.id, 1), add(place.id, 999))))
            yield* save(records(place))
            return error
          })
        )
        assert.isTrue(isSqlError(error))
        assert.deepStrictEqual([yield* cents(place.id), yield* replies(place.scope)], [0, ["{}"]])
      })
    )

    it.effect(
      "an attempt that ignores a failed statement is not kept, but in a nested transaction a statement may fail",
      () =>
        Effect.gen(function* () {
          const { unit } = yield* store
          const sql = yield* SqlClient.SqlClient
          const [ignoring, minding] = [makePlace(), makePlace()]
          const refused = (id: string) => Effect.andThen(add(id, 1), add(id, 999))
          const exit = yield* unit(ignoring.scope, ({ attempt, save }) =>
            Effect.tap(Effect.exit(attempt(Effect.ignore(refused(ignoring.id)))), save(records(ignoring)))
          )
          assert.isTrue(Exit.hasDies(exit))
          assert.deepStrictEqual([yield* cents(ignoring.id), yield* replies(ignoring.scope)], [0, ["{}"]])
          yield* unit(minding.scope, ({ attempt, save }) =>
            attempt(Effect.andThen(add(minding.id, 7), Effect.ignore(sql.withTransaction(refused(minding.id))))).pipe(
              Effect.andThen(save(records(minding)))
            )
          )
          assert.deepStrictEqual([yield* cents(minding.id), yield* replies(minding.scope)], [7, ["{}"]])
        })
    )

    it.effect("a constraint that fails at the commit makes the unit rejected", () =>
      Effect.gen(function* () {
        const place = makePlace()
        const { unit } = yield* store
        const sql = yield* SqlClient.SqlClient
        yield* sql`create table ${sql(`${schema}.late`)} (n int unique deferrable initially deferred)`
        const late = sql`insert into ${sql(`${schema}.late`)} values (1), (1)`
        const error = yield* Effect.flip(
          unit(place.scope, ({ attempt, save }) => Effect.andThen(attempt(late), save(records(place))))
        )
        assert.deepInclude(error, { _tag: "ParticipantStoreError", reason: "rejected", operation: "unit" })
        assert.deepStrictEqual(yield* replies(place.scope), [])
      })
    )

    it.effect(
      "C6, I4 without a transaction, one of several copies that run at once is kept, and all give the same answer",
      () =>
        Effect.gen(function* () {
          const place = makePlace()
          // Stores of several processes: they know nothing of each other.
          const stores = yield* Effect.forEach([1, 2, 3, 4, 5, 6], () => open(participants))
          const several = yield* Deferred.make<void>()
          if (!isServer) yield* Deferred.succeed(several, undefined)
          let ran = 0
          const said = yield* Effect.forEach(
            stores,
            ({ unit }) =>
              unit(place.alone, ({ attempt, barriers, save }) => {
                const known = barriers.get(place.id)
                if (known !== undefined) return Effect.succeed(known.reply)
                const reply = `{"n":${++ran}}`
                return attempt(add(`${place.id} ${ran}`, 1)).pipe(
                  Effect.andThen(Effect.suspend(() => (ran > 1 ? Deferred.succeed(several, undefined) : Effect.void))),
                  Effect.andThen(Deferred.await(several)),
                  Effect.andThen(save(records(place, { alone: true, reply }))),
                  Effect.as(reply)
                )
              }),
            { concurrency: "unbounded" }
          )
          assert.strictEqual(new Set(said).size, 1)
          assert.deepStrictEqual(yield* replies(place.alone), [said[0]])
          const did = yield* Effect.forEach(
            Array.from({ length: ran }, (_, i) => i + 1),
            (n) => cents(`${place.id} ${n}`)
          )
          assert.strictEqual(
            did.reduce((sum, cents) => sum + cents),
            1
          )
          if (isServer) assert.isAbove(ran, 1)
        }).pipe(Effect.scoped)
    )

    it.effect(
      "A1 a commit whose answer is lost is not repeated blindly: the caller is told that the outcome is unknown",
      () =>
        Effect.gen(function* () {
          const place = makePlace()
          const client = yield* SqlClient.SqlClient
          const lost = new SqlError({ reason: new ConnectionError({ cause: new Error("gone") }) })
          let isDeaf = false
          let commits = 0
          // Everything is committed, and nobody hears of it.
          const deaf: SqlClient.SqlClient = Object.assign(
            (...args: Parameters<typeof client>) => client(...args),
            client,
            {
              withoutTransforms: () => deaf,
              withTransaction: <A, E, R>(work: Effect.Effect<A, E, R>) =>
                Effect.tap(client.withTransaction(work), () => {
                  if (!isDeaf) return Effect.void
                  commits++
                  return Effect.fail(lost)
                })
            }
          )
          let ran = 0
          const { unit } = yield* open(Layer.provide(participants, Layer.succeed(SqlClient.SqlClient, deaf)))
          isDeaf = true
          const once = unit(place.scope, ({ attempt, barriers, save }) =>
            barriers.has(place.id)
              ? Effect.succeed("known")
              : attempt(
                  Effect.andThen(
                    Effect.sync(() => ran++),
                    add(place.id, 1)
                  )
                ).pipe(Effect.andThen(save(records(place))))
          )
          const errors = [yield* Effect.flip(once), yield* Effect.flip(once)]
          assert.deepStrictEqual(
            errors.map(({ reason }) => reason),
            ["unavailable", "unavailable"]
          )
          assert.deepStrictEqual([commits, ran, yield* cents(place.id), yield* replies(place.scope)], [2, 1, 1, ["{}"]])
        }).pipe(Effect.scoped)
    )

    it.effect("C15 a process that stops before the commit leaves nothing, and after the commit everything", () =>
      Effect.gen(function* () {
        const { unit } = yield* store
        for (const [stop, kept] of [
          ["store.before", 0],
          ["store.after", 1]
        ] as const) {
          const place = makePlace()
          const story: Array<string> = []
          const stopped = yield* Deferred.make<void>()
          const work = unit(place.scope, ({ attempt, save }) =>
            attempt(add(place.id, 1)).pipe(
              Effect.andThen(Effect.sync(() => story.push("handled"))),
              Effect.andThen(save(records(place)))
            )
          )
          const fiber = yield* Effect.forkChild(
            Effect.provideService(work, FaultPoint, (name) => {
              story.push(name)
              return name === stop ? Effect.andThen(Deferred.succeed(stopped, undefined), Effect.never) : Effect.void
            })
          )
          yield* Deferred.await(stopped)
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(story, ["handled", "store.before", "store.after"].slice(0, 2 + kept))
          assert.deepStrictEqual([yield* cents(place.id), (yield* replies(place.scope)).length], [kept, kept])
        }
      })
    )

    it.effect("a unit begins again when an attempt fails as unavailable", () =>
      Effect.gen(function* () {
        const { unit } = yield* store
        const later = new ParticipantStore.ParticipantStoreError({ reason: "unavailable", operation: "unit" })
        for (const how of ["attempt", "run"] as const) {
          const place = makePlace()
          let ran = 0
          const work = Effect.andThen(
            add(place.id, 1),
            Effect.suspend(() => (ran++ === 0 ? Effect.fail(later) : Effect.void))
          )
          // A handler that ignores the error breaks the contract: the unit is rolled back all the same.
          yield* unit(place.scope, (unit) => Effect.andThen(Effect.ignore(unit[how](work)), unit.save(records(place))))
          assert.deepStrictEqual([ran, yield* cents(place.id), yield* replies(place.scope)], [2, 1, ["{}"]], how)
        }
        const declined = new ParticipantStore.ParticipantStoreError({ reason: "rejected", operation: "unit" })
        const error = yield* Effect.flip(unit(makePlace().scope, ({ attempt }) => attempt(Effect.fail(declined))))
        assert.strictEqual(error, declined)
      })
    )

    it.effect("a unit inside a transaction is part of that transaction", () =>
      Effect.gen(function* () {
        const [kept, undone, inner] = [makePlace(), makePlace(), makePlace()]
        const sql = yield* SqlClient.SqlClient
        const { unit } = yield* store
        const one = (place: ReturnType<typeof makePlace>) =>
          unit(place.scope, ({ attempt, save }) => Effect.andThen(attempt(add(place.id, 1)), save(records(place))))
        yield* sql.withTransaction(one(kept))
        yield* Effect.flip(sql.withTransaction(Effect.andThen(one(undone), Effect.fail("no"))))
        // A handler that calls a service which keeps a record of its own, and then fails.
        yield* unit(makePlace().scope, ({ attempt }) =>
          Effect.ignore(attempt(Effect.andThen(one(inner), Effect.fail("no"))))
        )
        for (const [place, times] of [
          [kept, 1],
          [undone, 0],
          [inner, 0]
        ] as const)
          assert.deepStrictEqual([yield* cents(place.id), (yield* replies(place.scope)).length], [times, times])
      })
    )

    it.effect("a unit stores no record of a transaction that is in its scope and was not saved", () =>
      Effect.gen(function* () {
        const place = makePlace()
        const { unit } = yield* store
        const sql = yield* SqlClient.SqlClient
        yield* unit(place.scope, () => Effect.void)
        yield* unit(place.scope, ({ save }) => save({ barriers: records(place).barriers }))
        const rows = yield* sql`select uuid from ${sql(`${schema}.saga_transaction`)} where uuid = ${place.uuid}`
        assert.deepStrictEqual([rows, yield* replies(place.scope)], [[], ["{}"]])
      })
    )

    it.effect("C14 the purge removes a transaction with its barriers, row by row", () =>
      Effect.gen(function* () {
        const service = `service-${randomUUID()}`
        const { purge, unit } = yield* store
        const sql = yield* SqlClient.SqlClient
        for (let i = 0; i < 3; i++) {
          const { id, uuid } = makePlace()
          const { barriers, transactions } = records({ id, uuid })
          yield* unit({ service, transactions: [uuid], messages: [id] }, ({ save }) =>
            save({ barriers, transactions: transactions.map((it) => ({ ...it, status: "committed" as const })) })
          )
        }
        const count = Effect.map(
          sql<{
            n: number
          }>`select count(*)::int as n from ${sql(`${schema}.saga_barrier`)} where service = ${service}`,
          ([row]) => row?.n
        )
        assert.strictEqual(yield* purge({ service, before: 2_000, alone: 0, limit: 2 }), 2)
        assert.strictEqual(yield* count, 1)
        assert.strictEqual(yield* purge({ service, before: 2_000, alone: 0, limit: 2 }), 1)
        assert.strictEqual(yield* count, 0)
      })
    )

    it.effect("a message takes a constant number of statements", () =>
      Effect.gen(function* () {
        const { unit } = yield* store
        const execute = (
          { id }: { readonly id: string },
          scope: ParticipantStore.Scope,
          saved: ParticipantStore.Records
        ) => unit(scope, ({ attempt, save }) => Effect.andThen(attempt(add(id, 1)), save(saved)))
        const [one, other] = [makePlace(), makePlace()]
        const handled = ["savepoint", "insert", "release"]
        assert.deepStrictEqual(yield* telling(execute(one, one.scope, records(one))), [
          "with",
          "insert",
          "select",
          ...handled,
          "with"
        ])
        assert.deepStrictEqual(yield* telling(execute(other, other.alone, records(other, { alone: true }))), [
          "select",
          ...handled,
          "insert"
        ])
        // As a participant does it: by hand it is a look, the effect and the record too.
        const run = (scope: ParticipantStore.Scope, id: string, saved: ParticipantStore.Records) =>
          unit(scope, ({ run, save }) => Effect.andThen(run(add(id, 1)), save(saved)))
        const [third, fourth] = [makePlace(), makePlace()]
        const opening = { ...third.scope, opens: records(third).transactions[0]! }
        assert.deepStrictEqual(yield* telling(run(opening, third.id, records(third))), ["insert", "insert", "insert"])
        assert.deepStrictEqual(yield* telling(run(fourth.alone, fourth.id, records(fourth, { alone: true }))), [
          "select",
          "insert",
          "insert"
        ])
        // A copy that comes later, or a vote: the transaction is there, and nobody else is at work on it.
        assert.deepStrictEqual(yield* telling(unit(one.scope, () => Effect.void)), ["with"])
        assert.deepStrictEqual(yield* telling(unit(other.alone, () => Effect.void)), ["select"])
      })
    )

    it.effect("a new transaction is written once, as its unit has saved it, or not at all", () =>
      Effect.gen(function* () {
        const { unit } = yield* store
        const find = ({ scope }: { readonly scope: ParticipantStore.Scope }) =>
          unit(scope, ({ transactions }) => Effect.succeed([...transactions.values()]))
        const opening = (place: ReturnType<typeof makePlace>) => {
          const [opens] = records(place).transactions
          return { opens: opens!, scope: { ...place.scope, opens: opens! } }
        }
        const [same, other, dropped] = [makePlace(), makePlace(), makePlace()]
        yield* unit(opening(same).scope, ({ save }) => save(records(same)))
        const ended = { ...opening(other).opens, status: "rejected" as const, notAfter: 7 }
        yield* unit(opening(other).scope, ({ save }) => save({ transactions: [ended] }))
        yield* unit(opening(dropped).scope, () => Effect.void)
        assert.deepStrictEqual(yield* find(same), [opening(same).opens])
        assert.deepStrictEqual(yield* find(other), [ended])
        assert.deepStrictEqual(yield* find(dropped), [])
        // It is there already: it is read, and not opened again.
        const seen = yield* unit(opening(other).scope, ({ transactions }) => Effect.succeed([...transactions.values()]))
        assert.deepStrictEqual(seen, [ended])
      })
    )

    it.effect(
      "C6 a record that a new transaction has not been expected to have is found when the unit runs again",
      () =>
        Effect.gen(function* () {
          const { unit } = yield* store
          const place = makePlace()
          yield* unit(place.alone, ({ save }) => save(records(place, { alone: true, reply: "first" })))
          const scope = { ...place.scope, opens: records(place).transactions[0]! }
          const seen: Array<string | undefined> = []
          yield* unit(scope, ({ barriers, run, save }) => {
            const known = barriers.get(place.id)
            seen.push(known?.reply)
            return known === undefined ? Effect.andThen(run(add(place.id, 1)), save(records(place))) : Effect.void
          })
          assert.deepStrictEqual(seen, [undefined, "first"])
          assert.deepStrictEqual([yield* cents(place.id), yield* replies(place.scope)], [0, ["first"]])
        })
    )

    it.effect("a handler that ignores a failed statement, without a savepoint, breaks its unit", () =>
      Effect.gen(function* () {
        const { unit } = yield* store
        const sql = yield* SqlClient.SqlClient
        const place = makePlace()
        const error = yield* Effect.flip(
          unit(place.scope, ({ run, save }) =>
            Effect.andThen(
              run(Effect.andThen(add(place.id, 1), Effect.ignore(sql`select * from no_such_table`))),
              save(records(place))
            )
          )
        )
        assert.deepInclude(error, { _tag: "ParticipantStoreError", reason: "broken", operation: "unit" })
        assert.deepStrictEqual([yield* cents(place.id), yield* replies(place.scope)], [0, []])
      })
    )

    if (isServer) {
      it.effect("F9 a unit reads as many entries of indexes among many records as among none", () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const own = `${schema}_entries`
          // One connection, on tables without statistics: its plans are made when they are empty, and kept.
          const entries = Effect.gen(function* () {
            const { unit } = yield* store
            const sql = yield* SqlClient.SqlClient
            for (const table of ["saga_barrier", "saga_transaction"])
              yield* sql`alter table ${sql(`${own}.${table}`)} set (autovacuum_enabled = off)`
            const read = Effect.gen(function* () {
              yield* sql`select pg_stat_force_next_flush()`.unprepared
              const [row] = yield* sql<{ entries: number }>`select sum(idx_tup_read)::int as entries
                from pg_stat_user_indexes where schemaname = ${own} and relname <> 'saga_participant_migration'`
                .unprepared
              return row!.entries
            })
            const rounds: Array<number> = []
            for (let round = 0; round < 8; round++) {
              const before = yield* read
              for (let i = 0; i < 20; i++) {
                const place = makePlace()
                const opens = records(place).transactions[0]!
                const step = (id: string) => ({ ...place, id, scope: { ...place.scope, opens, messages: [id] } })
                // The first command of a saga, the second one, a copy of it, and one without a transaction.
                for (const it of [step(place.id), step(`${place.uuid}:1:execute`), step(`${place.uuid}:1:execute`)])
                  yield* unit(it.scope, ({ barriers, save }) => (barriers.has(it.id) ? Effect.void : save(records(it))))
                const alone = { ...makePlace(), id: `${place.uuid}:2:execute` }
                yield* unit({ ...alone.alone, messages: [alone.id] }, ({ save }) =>
                  save(records(alone, { alone: true }))
                )
              }
              rounds.push((yield* read) - before)
            }
            return rounds
          })
          const pool = PgClient.layer({ url: Redacted.make(url ?? ""), maxConnections: 1 })
          const rounds = yield* Effect.provide(
            entries,
            Layer.provideMerge(Layer.fresh(SqlParticipantStore.layer({ schema: own })), pool)
          )
          yield* sql`drop schema ${sql(own)} cascade`
          assert.isAbove(rounds[0]!, 0)
          assert.isAtMost(rounds.at(-1)!, rounds[1]!, `entries read by 80 units, in turn: ${rounds.join(", ")}`)
        })
      )
    }

    it.effect("a unit does not hold its transaction for longer than its limit", () =>
      Effect.gen(function* () {
        const place = makePlace()
        const { unit } = yield* open(SqlParticipantStore.layer({ schema, timeout: "100 millis" }))
        const error = yield* Effect.flip(
          unit(place.scope, ({ attempt, save }) =>
            Effect.andThen(save(records(place)), attempt(Effect.andThen(add(place.id, 1), Effect.never)))
          )
        )
        assert.deepInclude(error, { reason: "timeout", cause: { kind: "UnitTimeout" } })
        assert.deepStrictEqual([yield* cents(place.id), yield* replies(place.scope)], [0, []])
      }).pipe(Effect.scoped)
    )

    it.effect("the participant store makes its tables once, and refuses a schema or prefix that is no plain name", () =>
      Effect.gen(function* () {
        const options = { schema: `${schema}_new`, prefix: "money_" }
        const all = [
          SqlParticipantStore.layer(options),
          SqlDeadLetters.layer(options),
          SqlParticipantStore.layer(options)
        ]
        yield* Effect.forEach(all, (one) => Layer.build(Layer.fresh(one)), { concurrency: "unbounded" })
        const sql = yield* SqlClient.SqlClient
        const tables = yield* sql<{ name: string }>`select table_name as name from information_schema.tables
          where table_schema = ${options.schema} and table_name like 'money_saga_%' order by table_name`
        yield* sql`drop schema ${sql(options.schema)} cascade`
        assert.deepStrictEqual(
          tables.map(({ name }) => name.slice("money_saga_".length)),
          ["barrier", "dead_letter", "dead_letter_migration", "doubt", "participant_migration", "transaction"]
        )
        for (const wrong of [{ schema: "Bad" }, { prefix: "a;b" }])
          assert.strictEqual((yield* Effect.flip(open(SqlParticipantStore.layer(wrong))))._tag, "InvalidSetting")
      }).pipe(Effect.scoped)
    )

    it.effect("C11, C12 a record that cannot be read is corrupt, and one that the database refuses is rejected", () =>
      Effect.gen(function* () {
        const place = makePlace()
        const { find, unit } = yield* store
        const sql = yield* SqlClient.SqlClient
        yield* unit(place.scope, ({ save }) => save(records(place, { reply: "secret" })))
        yield* sql`update ${sql(`${schema}.saga_barrier`)} set effect = 'other' where id = ${place.id}`
        const unreadable = yield* Effect.flip(replies(place.scope))
        yield* sql`update ${sql(`${schema}.saga_barrier`)} set effect = 'none' where id = ${place.id}`
        yield* sql`update ${sql(`${schema}.saga_transaction`)} set not_after = 9007199254740993 where uuid = ${place.uuid}`
        const found = yield* find({ service: "bank", status: "pending", before: 1e15, limit: 100 })
        assert.notInclude(
          found.map(({ uuid }) => uuid),
          place.uuid
        )
        yield* sql`delete from ${sql(`${schema}.saga_transaction`)} where uuid = ${place.uuid}`
        const strange = yield* Effect.flip(replies({ ...place.alone, messages: ["secret\0"] }))
        const errors = [unreadable, strange]
        assert.deepStrictEqual(
          errors.map(({ operation, reason }) => [operation, reason]),
          [
            ["unit", "corrupt"],
            ["unit", "rejected"]
          ]
        )
        assert.notInclude(JSON.stringify(errors), "secret")
      })
    )

    if (isServer) {
      it.effect("C8 a unit begins again when the connection is cut before the commit", () =>
        Effect.gen(function* () {
          const place = makePlace()
          const { unit } = yield* store
          const sql = yield* SqlClient.SqlClient
          let cut = 0
          const backend = yield* Ref.make(0)
          const work = unit(place.scope, ({ attempt, save }) =>
            sql<{ pid: number }>`select pg_backend_pid() as pid`.pipe(
              Effect.flatMap(([row]) => Ref.set(backend, row?.pid ?? 0)),
              Effect.andThen(attempt(add(place.id, 1))),
              Effect.andThen(save(records(place)))
            )
          )
          const other = yield* Effect.context<SqlClient.SqlClient>()
          yield* Effect.provideService(work, FaultPoint, (name) =>
            name === "store.before" && cut++ === 0
              ? Ref.get(backend).pipe(
                  Effect.flatMap((pid) => sql`select pg_terminate_backend(${pid}, 10000)`),
                  Effect.provideContext(other),
                  Effect.updateContext(Context.omit(sql.transactionService)),
                  Effect.orDie,
                  Effect.asVoid
                )
              : Effect.void
          )
          assert.strictEqual(cut, 2)
          assert.deepStrictEqual([yield* cents(place.id), yield* replies(place.scope)], [1, ["{}"]])
        })
      )

      it.effect("C8 a unit begins again when the database ends it to resolve a deadlock", () =>
        Effect.gen(function* () {
          const places = [makePlace(), makePlace()]
          const [a, b] = [randomUUID(), randomUUID()]
          yield* Effect.andThen(add(a, 0), add(b, 0))
          const { unit } = yield* store
          const both = yield* Deferred.make<void>()
          let ran = 0
          const work = (place: ReturnType<typeof makePlace>, first: string, then: string) =>
            unit(place.scope, ({ attempt, save }) =>
              attempt(
                Effect.gen(function* () {
                  yield* add(first, 1)
                  if (++ran === 2) yield* Deferred.succeed(both, undefined)
                  yield* Deferred.await(both)
                  yield* add(then, 1)
                })
              ).pipe(Effect.andThen(save(records(place))))
            )
          yield* Effect.all([work(places[0]!, a, b), work(places[1]!, b, a)], { concurrency: 2 })
          assert.strictEqual(ran, 3)
          assert.deepStrictEqual([yield* cents(a), yield* cents(b)], [2, 2])
          for (const { scope } of places) assert.deepStrictEqual(yield* replies(scope), ["{}"])
        })
      )

      it.effect("a unit works also with serializable transactions", () =>
        Effect.gen(function* () {
          const place = makePlace()
          const { unit } = yield* store
          const one = (scope: ParticipantStore.Scope) =>
            unit(scope, ({ attempt, barriers, save }) =>
              barriers.has(place.id)
                ? Effect.void
                : Effect.andThen(attempt(add(place.id, 1)), save(records(place, { alone: scope === place.alone })))
            ).pipe(Effect.provideService(SqlClient.BeginTransaction, "begin isolation level serializable"))
          for (const scope of [place.alone, place.scope])
            yield* Effect.all(
              Array.from({ length: 5 }, () => one(scope)),
              { concurrency: "unbounded" }
            )
          assert.deepStrictEqual([yield* cents(place.id), yield* replies(place.scope)], [1, ["{}"]])
        })
      )
    }
  })
}
