/** A service with its own tables: the writes of a handler and the record of its message are one transaction. */
import { Console, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import {
  Broker,
  Participant,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { PgliteClient } from "effect-saga/pglite"
import { SqlDeadLetters, SqlParticipantStore } from "effect-saga/sql"

class SoldOut extends Schema.TaggedError<SoldOut>()("SoldOut", {}) {}
class NoMoney extends Schema.TaggedError<NoMoney>()("NoMoney", {}) {}

const Theatre = Participant.make("theatre", {
  Take: { payload: { guest: Schema.String }, success: Schema.Int, error: SoldOut },
  GiveBack: { payload: { seat: Schema.Int } }
})

const guests = SqlClient.SqlClient.use((sql) => sql<{ guest: string }>`select guest from seat order by n`)

const TheatreLive = Participant.layer(Theatre, {
  Take: ({ guest }) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* Console.log(`  ${guest} takes a seat`)
      const rows = yield* sql<{ n: number }>`insert into seat (guest) values (${guest}) returning n`
      // There are two seats. The failure rolls the new row back; the answer with its reason is kept.
      if ((yield* guests).length > 2) return yield* new SoldOut()
      return rows[0]?.n ?? 0
      // A database error is no answer: the unit of work is rolled back, and after a deadlock the message is handled again.
    }).pipe(Effect.catchTag("SqlError", Effect.die)),
  GiveBack: ({ seat }) =>
    SqlClient.SqlClient.use((sql) => sql`delete from seat where n = ${seat}`).pipe(Effect.asVoid, Effect.orDie)
})

const Evening = Saga.make("Evening", { context: { guest: Schema.String, cents: Schema.Int } }).pipe(
  Saga.remote("seat", {
    execute: { command: Theatre.commands.Take, payload: ({ guest }) => ({ guest }) },
    compensate: { command: Theatre.commands.GiveBack, payload: ({ seat }) => ({ seat }) }
  }),
  Saga.local("payment", {
    error: NoMoney,
    execute: ({ cents }) => (cents < 1000 ? Effect.fail(new NoMoney()) : Effect.void)
  }),
  Saga.commit
)

/** A broker that sends every message twice. */
const Twice = Layer.effect(
  Broker.Broker,
  Broker.Broker.useSync((wire) => ({ ...wire, publish: (it) => Effect.repeat(wire.publish(it), { times: 1 }) }))
).pipe(Layer.provide(Broker.layerMemory))

const Seats = Layer.effectDiscard(
  SqlClient.SqlClient.use((sql) => sql`create table seat (n int generated always as identity, guest text not null)`)
)

/** The records are in the database of the handlers. On a server this is `PgClient.layer({ url })` of `@effect/sql-pg`. */
const Records = Layer.mergeAll(SqlParticipantStore.layer(), SqlDeadLetters.layer(), Seats)

const Live = Layer.merge(SagaManager.layer([Evening]), TheatreLive).pipe(
  Layer.provide([SagaConfig.layer({ service: "evenings" }), TransactionCommitter.layerNone]),
  Layer.provide([SagaExecutionRepository.layerMemoryWith({ keep: 10 }), Twice]),
  Layer.provide(Records),
  Layer.provideMerge(PgliteClient.layer())
)

const go = (guest: string, cents: number) =>
  SagaManager.execute(Evening, { context: { guest, cents } }).pipe(
    Effect.flatMap(({ seat }) => Console.log(`${guest} has seat ${seat}`)),
    Effect.catchTags({
      SoldOut: () => Console.log(`${guest} goes home: sold out`),
      NoMoney: () => Console.log(`${guest} goes home: no money`)
    })
  )

const program = Effect.gen(function* () {
  yield* go("Ada", 2000)
  yield* go("Ben", 500)
  yield* go("Cleo", 2000)
  yield* go("Dan", 2000)
  yield* Console.log(`seated: ${(yield* guests).map(({ guest }) => guest).join(", ")}`)
})

Effect.runPromise(Effect.provide(program, Live))
