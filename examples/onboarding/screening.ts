/**
 * The screening service: may the bank have this customer? The answer takes twenty minutes, so the command only writes down what is
 * to be done. A loop answers when it is done: nothing but a row of a table waits meanwhile, and the process may be stopped.
 */
import { Clock, Duration, Effect, Layer, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { Participant } from "effect-saga"
import { NotAcceptable, Screening } from "./contracts.ts"
import { minutes } from "./times.ts"

/** Customers that no bank may have. */
const list = ["Mallory"]
const passes = (name: string) => !list.some((one) => name.includes(one))

/** The answer is given under the id of the message, so that is stored with the work. */
export const tables = SqlClient.SqlClient.use(
  (sql) => sql`create table if not exists screening
    (message_id text primary key, customer text not null, name text not null, due_at bigint not null,
    passed bool not null default false)`
)

const remove = Effect.fnUntraced(function* ({ customer }: { readonly customer: string }) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`delete from screening where customer = ${customer}`
}, Effect.orDie)

/** A handler's rows and the record of its message are one transaction: they count once, however often the message comes. */
const handlers = Participant.layer(Screening, {
  Check: {
    accept: Effect.fnUntraced(function* ({ customer, name }, messageId) {
      const sql = yield* SqlClient.SqlClient
      const due_at = (yield* Clock.currentTimeMillis) + Duration.toMillis(minutes(20))
      yield* sql`insert into screening ${sql.insert({ message_id: messageId, customer, name, due_at })}`
    }, Effect.orDie),
    // After a no, and where the bank does not wait any more.
    cancelled: remove
  },
  // After a yes, where something else has failed.
  Drop: remove,
  Look: ({ name }) => Effect.succeed({ passed: passes(name) })
})

/** The result of a check. What it writes is in one transaction with the record of the answer. */
const result = Effect.fnUntraced(
  function* (messageId: string, name: string) {
    if (!passes(name)) return yield* new NotAcceptable({ remark: "on a list" })
    const sql = yield* SqlClient.SqlClient
    yield* sql`update screening set passed = true where message_id = ${messageId}`
  },
  // A failure of the database is no answer: the loop comes again.
  Effect.catchTag("SqlError", Effect.die)
)

/** Answers what is due. Where two processes do this at the same time, or one does it again, the first answer counts. */
const answerDue = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const now = yield* Clock.currentTimeMillis
  const due = yield* sql<{ messageId: string; name: string }>`select message_id as "messageId", name from screening
    where not passed and due_at <= ${now} order by due_at limit 100`
  yield* Effect.forEach(
    due,
    ({ messageId, name }) =>
      Participant.answer(Screening.commands.Check, messageId, result(messageId, name)).pipe(
        // The bank has just turned back, and `cancelled` has removed the row.
        Effect.catchTag("ParticipantAnswerTooLate", () => Effect.void)
      ),
    { concurrency: 10, discard: true }
  )
})

const answers = answerDue.pipe(
  // The database is away: later.
  Effect.catchCause((cause) => Effect.logDebug("the answer to a check has to wait", cause)),
  Effect.repeat(Schedule.spaced("200 millis")),
  Effect.forkScoped
)

export const layer = Layer.effectDiscard(answers).pipe(Layer.provide(handlers))
