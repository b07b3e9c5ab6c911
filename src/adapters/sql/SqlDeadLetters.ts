/** Dead letters on Postgres: all processes add to one list, and the list survives restarts. */
import { Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import * as Port from "../../ports/DeadLetters.ts"
import * as Setting from "../../ports/Setting.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import * as SqlConnections from "./SqlConnections.ts"
import { again, causeOf, isRolledBack } from "./SqlErrors.ts"
import { isKey, whole } from "./SqlStatements.ts"
import * as SqlTables from "./SqlTables.ts"

export interface SqlDeadLettersOptions extends SqlTables.TableOptions, SqlConnections.ConnectionOptions {
  /** How many dead letters stay, the latest. A whole number from 1, default 10,000. */
  readonly keep?: number
}

const decode = Schema.decodeUnknownEffect(Port.DeadLetter)

/** A row that other hands have changed does not hide the others. */
const readable = ({ row }: { readonly row: unknown }): Effect.Effect<ReadonlyArray<Port.DeadLetter>> =>
  Effect.catch(
    Effect.map(decode(row), (letter) => [letter]),
    (error) => Effect.as(Effect.logWarning("A dead letter cannot be read", { issue: JsonCodec.placesOf(error) }), [])
  )

/** A text in Postgres cannot contain the character 0, and a sender may send it. */
const storable = (text: string): string => text.replaceAll("\0", "\ufffd")

/** How many a new one removes, at most: more than one are too many only after `keep` was made smaller. */
const dropped = 100

const make = (
  client: SqlClient.SqlClient,
  { long }: SqlConnections.SqlConnections,
  tables: SqlTables.Tables,
  keep: number
): Port.Service => {
  const sql = client.withoutTransforms()
  const table = sql(tables.of("saga_dead_letter"))

  const call = <A>(operation: Port.DeadLettersError["operation"], run: Effect.Effect<A, SqlError>) =>
    Effect.mapError(
      Effect.retry(long(run), { while: isRolledBack, schedule: again }),
      (error) => new Port.DeadLettersError({ operation, cause: causeOf(error) })
    )

  return {
    record: ({ reason, receivedAt, sender, sha256, size, topic }) =>
      Effect.asVoid(
        call(
          "record",
          sql`with kept as (
              insert into ${table} (received_at, topic, sender, reason, size, sha256)
              values (${whole(receivedAt)}, ${storable(topic)}, ${storable(sender)}, ${storable(reason)},
                ${whole(size)}, ${sha256})
              returning id
            )
            delete from ${table} t using (
              select id from ${table} where id <= (select id from kept) - ${keep}::bigint order by id limit ${dropped}
            ) old where ${isKey(sql, sql`t.id`, sql`old.id`)}`
        )
      ),
    list: ({ limit = 100 } = {}) =>
      call(
        "list",
        sql<{ readonly row: unknown }>`select json_build_object('receivedAt', received_at, 'topic', topic,
            'sender', sender, 'reason', reason, 'size', size, 'sha256', sha256) as row
          from ${table} order by id desc limit ${Math.max(0, Math.min(limit, keep))}`
      ).pipe(
        Effect.flatMap((rows) => Effect.forEach(rows, readable)),
        Effect.map((letters) => letters.flat())
      )
  }
}

/**
 * Keeps dead letters on the Postgres of an `SqlClient`, in a table that the layer makes. Provide it to managers and
 * participants; without it each process keeps its last 1,000 in memory.
 */
export const layer = (
  options: SqlDeadLettersOptions = {}
): Layer.Layer<never, SqlTables.SetUpError, SqlClient.SqlClient> =>
  Layer.effect(
    Port.DeadLetters,
    Effect.gen(function* () {
      yield* Setting.known("SqlDeadLetters", options, { ...SqlTables.options, keep: true })
      const keep = yield* Setting.wholeNumber(
        "SqlDeadLetters.keep",
        options.keep === undefined ? 10_000 : options.keep,
        { least: 1 }
      )
      const connections = yield* SqlConnections.make("SqlDeadLetters", options)
      const tables = yield* SqlTables.setUp(options, connections, {
        module: "SqlDeadLetters",
        list: "saga_dead_letter_migration",
        migrations: SqlTables.deadLetters
      })
      return make(yield* SqlClient.SqlClient, connections, tables, keep)
    })
  )
