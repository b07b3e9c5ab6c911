/** Dead letters on every layer that keeps them. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { DeadLetters } from "effect-saga"
import { SqlDeadLetters } from "effect-saga/sql"
import { databases } from "../../fixtures/postgres.ts"

const letter = (n: number, changes: Partial<DeadLetters.DeadLetter> = {}): DeadLetters.DeadLetter => ({
  receivedAt: 4_102_444_800_000 + n,
  topic: "saga/v1/bank/command/orders/Charge",
  sender: "orders",
  reason: "MessageMalformed",
  size: n,
  sha256: "0".repeat(64),
  ...changes
})

const record = (...letters: ReadonlyArray<DeadLetters.DeadLetter>) =>
  Effect.flatMap(DeadLetters.DeadLetters, (kept) => Effect.forEach(letters, kept.record, { discard: true }))

const sizes = (options?: { readonly limit?: number }) =>
  Effect.flatMap(DeadLetters.DeadLetters, (kept) =>
    Effect.map(kept.list(options), (letters) => letters.map(({ size }) => size))
  )

const clear = (schema: string) => SqlClient.SqlClient.use((sql) => sql`truncate ${sql(`${schema}.saga_dead_letter`)}`)

for (const { layer, name, schema } of databases("letters")) {
  const live = Layer.provideMerge(SqlDeadLetters.layer({ schema, keep: 3 }), layer)

  withLayer(live, { timeout: "2 minutes", excludeTestServices: true })(`dead letters: ${name}`, (it) => {
    it.effect("C11 dead letters are listed as they were given, newest first", () =>
      Effect.gen(function* () {
        yield* clear(schema)
        const letters = [letter(0), letter(5_000_000_000, { sender: "ü\u{1f418}" })]
        yield* record(...letters)
        const kept = yield* DeadLetters.DeadLetters
        assert.deepStrictEqual(yield* kept.list(), letters.toReversed())
        assert.deepStrictEqual(yield* sizes({ limit: 1 }), [5_000_000_000])
        assert.deepStrictEqual(yield* sizes({ limit: -1 }), [])
        assert.deepStrictEqual(yield* sizes({ limit: Number.POSITIVE_INFINITY }), [5_000_000_000, 0])
      })
    )

    it.effect("I20 a bounded number of dead letters is kept, counted over all processes", () =>
      Effect.gen(function* () {
        yield* clear(schema)
        yield* record(letter(1), letter(2), letter(3))
        // Another process, which starts on the tables that are there.
        yield* record(letter(4), letter(5)).pipe(Effect.provide(Layer.fresh(SqlDeadLetters.layer({ schema, keep: 3 }))))
        assert.deepStrictEqual(yield* sizes(), [5, 4, 3])
      })
    )

    it.effect("I19 a dead letter is kept also if it has characters that a database cannot store", () =>
      Effect.gen(function* () {
        yield* clear(schema)
        yield* record(letter(1, { topic: "saga\0v1", sender: "\0", reason: "\ud800" }))
        const kept = yield* DeadLetters.DeadLetters
        const [found] = yield* kept.list()
        assert.deepStrictEqual([found?.topic, found?.sender, found?.reason], ["saga\ufffdv1", "\ufffd", "\ufffd"])
      })
    )

    it.effect("C12 an error of the dead letters contains nothing of the message", () =>
      Effect.gen(function* () {
        const kept = yield* DeadLetters.DeadLetters
        const table = `${schema}.saga_dead_letter`
        yield* SqlClient.SqlClient.use((sql) => sql`alter table ${sql(table)} rename to elsewhere`)
        const errors = [
          yield* Effect.flip(kept.record(letter(1, { topic: "secret" }))),
          yield* Effect.flip(kept.list())
        ]
        yield* SqlClient.SqlClient.use(
          (sql) => sql`alter table ${sql(`${schema}.elsewhere`)} rename to saga_dead_letter`
        )
        assert.deepStrictEqual(
          errors.map(({ operation }) => operation),
          ["record", "list"]
        )
        assert.notInclude(JSON.stringify(errors), "secret")
      })
    )

    it.effect("C11 dead letters refuse a schema or prefix that is no plain name", () =>
      Effect.gen(function* () {
        for (const options of [{ schema: "Bad" }, { prefix: "a;b" }]) {
          const error = yield* Effect.flip(Effect.scoped(Layer.build(SqlDeadLetters.layer(options))))
          assert.strictEqual(error._tag, "InvalidSetting")
        }
      })
    )
  })
}
