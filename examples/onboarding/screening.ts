/**
 * The screening service: may the bank have this customer? The answer takes twenty minutes, so the command only writes down what is
 * to be done. When it is done, the service tells the bank over HTTP, as often as it needs to.
 */
import { Clock, Duration, Effect, Layer, Schedule } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { SqlClient } from "effect/sql"
import { Participant } from "effect-saga"
import { Screening } from "./contracts.ts"
import { minutes } from "./times.ts"

/** Customers that no bank may have. */
const list = ["Mallory"]
const passes = (name: string) => !list.some((one) => name.includes(one))

export const tables = SqlClient.SqlClient.use(
  (sql) => sql`create table if not exists screening
    (customer text primary key, name text not null, due_at bigint not null, told bool not null default false)`
)

/** What a handler writes is in one transaction with the record of its message: it counts once, however often that comes. */
const handlers = Participant.layer(Screening, {
  Begin: Effect.fnUntraced(function* ({ customer, name }) {
    const sql = yield* SqlClient.SqlClient
    const due_at = (yield* Clock.currentTimeMillis) + Duration.toMillis(minutes(20))
    yield* sql`insert into screening ${sql.insert({ customer, name, due_at })}`
  }, Effect.orDie),
  Drop: Effect.fnUntraced(function* ({ customer }) {
    const sql = yield* SqlClient.SqlClient
    yield* sql`delete from screening where customer = ${customer}`
  }, Effect.orDie),
  Look: ({ name }) => Effect.succeed({ passed: passes(name) })
})

const tell = Effect.fnUntraced(function* (bank: string, customer: string, name: string) {
  const passed = passes(name)
  const client = yield* HttpClient.HttpClient
  const { status } = yield* HttpClientRequest.post(`${bank}/customers/${encodeURIComponent(customer)}/check`).pipe(
    HttpClientRequest.bodyJsonUnsafe({ passed, remark: passed ? "nothing is known" : "on a list" }),
    client.execute,
    Effect.timeout("5 seconds")
  )
  // 404, 409 and 410: nobody waits for it any more. Whatever else the bank says, it is told again.
  return status < 300 || [404, 409, 410].includes(status)
})

/** Tells the bank what is due. After a crash it may tell something twice, and the second time changes nothing. */
const report = Effect.fnUntraced(function* (bank: string) {
  const sql = yield* SqlClient.SqlClient
  const now = yield* Clock.currentTimeMillis
  const due = yield* sql<{ customer: string; name: string }>`select customer, name from screening
    where not told and due_at <= ${now} order by due_at limit 100`
  yield* Effect.forEach(
    due,
    ({ customer, name }) =>
      Effect.gen(function* () {
        if (yield* tell(bank, customer, name)) yield* sql`update screening set told = true where customer = ${customer}`
      }),
    { concurrency: 10, discard: true }
  )
})

/** `bank` is the address of its routes. */
export const layer = (bank: string) =>
  Layer.merge(
    handlers,
    Layer.effectDiscard(
      report(bank).pipe(
        // The bank or the database is away: later.
        Effect.catchCause((cause) => Effect.logDebug("the result of a check has to wait", cause)),
        Effect.repeat(Schedule.spaced("200 millis")),
        Effect.forkScoped
      )
    )
  )
