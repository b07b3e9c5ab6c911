/** The payments service: charges and refunds, in a table of its own. */
import { Effect, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Participant } from "effect-saga"
import { CardDeclined, Payments } from "./contracts.ts"

export const tables = SqlClient.SqlClient.use(
  (sql) => sql`create table if not exists payment
    (id text primary key, order_id text not null unique, amount int not null, refunded bool not null)`
)

/** Queries of a handler join the transaction that records its message: each message takes effect once. */
export const layer = Participant.layer(Payments, {
  Charge: Effect.fnUntraced(
    function* ({ amount, card, orderId }) {
      if (card.startsWith("9")) return yield* new CardDeclined({ reason: "stolen" })
      if (amount > 500_000) return yield* new CardDeclined({ reason: "over the limit" })
      const sql = yield* SqlClient.SqlClient
      const paymentId = `payment-${orderId}`
      yield* sql`insert into payment ${sql.insert({ id: paymentId, order_id: orderId, amount, refunded: false })}`
      return { paymentId }
    },
    Effect.catchTag("SqlError", Effect.die)
  ),
  Refund: Effect.fnUntraced(function* ({ paymentId }) {
    const sql = yield* SqlClient.SqlClient
    yield* sql`update payment set refunded = true where id = ${paymentId}`
  }, Effect.orDie)
})

export const Books = Schema.Struct({ received: Schema.Int, payments: Schema.Int, refunds: Schema.Int })
export type Books = typeof Books.Type

export const books = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<Books>`select
    coalesce(sum(amount) filter (where not refunded), 0)::float8 as received,
    count(*) filter (where not refunded)::int as payments, count(*) filter (where refunded)::int as refunds from payment`
  return row!
})
