/** What was refused, on Postgres: every process and every restart adds to one list. */
import { Effect, Layer, Schema } from "effect"
import { type Migrator, SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import * as Port from "../../ports/DeadLetters.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import { again, causeOf, isRolledBack } from "./SqlErrors.ts"
import * as SqlTables from "./SqlTables.ts"

export { InvalidTableName } from "./SqlTables.ts"

export interface Options extends SqlTables.TableOptions {
  /** The last so many are kept. Default 10,000. */
  readonly keep?: number
}

const decode = Schema.decodeUnknownEffect(Schema.Array(Port.DeadLetter))

/** Postgres has no text with this character, and a sender may send anything. */
const storable = (text: string): string => text.replaceAll("\0", "\ufffd")

const make = (client: SqlClient.SqlClient, tables: SqlTables.Tables, { keep = 10_000 }: Options): Port.Service => {
  const sql = client.withoutTransforms()
  const table = sql(tables.of("saga_dead_letter"))

  const call = <A>(operation: Port.DeadLettersError["operation"], run: Effect.Effect<A, SqlError>) =>
    Effect.mapError(
      Effect.retry(run, { while: isRolledBack, schedule: again }),
      (error) => new Port.DeadLettersError({ operation, cause: causeOf(error) })
    )

  return {
    record: ({ reason, receivedAt, sender, sha256, size, topic }) =>
      Effect.asVoid(
        call(
          "record",
          sql`with kept as (
              insert into ${table} (received_at, topic, sender, reason, size, sha256)
              values (${SqlTables.whole(receivedAt)}, ${storable(topic)}, ${storable(sender)}, ${storable(reason)},
                ${SqlTables.whole(size)}, ${sha256})
              returning id
            )
            delete from ${table} where id <= (select id from kept) - ${keep}::bigint`
        )
      ),
    list: ({ limit = 100 } = {}) =>
      call(
        "list",
        sql<{ readonly row: unknown }>`select json_build_object('receivedAt', received_at, 'topic', topic,
            'sender', sender, 'reason', reason, 'size', size, 'sha256', sha256) as row
          from ${table} order by id desc limit ${Math.max(0, Math.min(limit, keep))}`
      ).pipe(
        Effect.flatMap((rows) => decode(rows.map(({ row }) => row))),
        Effect.catchTag("SchemaError", (error) =>
          Effect.fail(new Port.DeadLettersError({ operation: "list", cause: { issue: JsonCodec.placesOf(error) } }))
        )
      )
  }
}

/** Keeps the list on the Postgres of an `SqlClient`, in a table that it makes, for every participant and manager around. */
export const layer = (
  options: Options = {}
): Layer.Layer<never, SqlTables.InvalidTableName | Migrator.MigrationError | SqlError, SqlClient.SqlClient> =>
  Layer.effect(
    Port.DeadLetters,
    Effect.gen(function* () {
      const tables = yield* SqlTables.make(options)
      yield* SqlTables.migrate(tables, "saga_dead_letter_migration", SqlTables.deadLetters(tables))
      return make(yield* SqlClient.SqlClient, tables, options)
    })
  )
