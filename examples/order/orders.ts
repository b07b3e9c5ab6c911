/** The shop's own side: stock, reservations and confirmed orders, in tables of its own. */
import { Effect, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { type Order, OutOfStock } from "./contracts.ts"

/** The opening stock of each article. An article that is not listed is out of stock. */
const opening = { book: 100_000, lamp: 100_000, chair: 100_000, table: 100_000, piano: 0, unicorn: 0 }

export const tables = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table if not exists stock
    (article text primary key, opening int not null, pieces int not null check (pieces >= 0))`
  yield* sql`create table if not exists reservation
    (id text primary key, article text not null, quantity int not null, amount int not null, confirmed bool not null)`
  for (const [article, pieces] of Object.entries(opening)) {
    yield* sql`insert into stock ${sql.insert({ article, opening: pieces, pieces })} on conflict do nothing`
  }
})

/** One database transaction with the record of the step: both are written, or neither. */
export const reserve = Effect.fnUntraced(
  function* ({ amount, article, orderId, quantity }: Order) {
    const sql = yield* SqlClient.SqlClient
    const taken = yield* sql`update stock set pieces = pieces - ${quantity}
    where article = ${article} and pieces >= ${quantity} returning article`
    if (taken.length === 0) return yield* new OutOfStock({ article })
    yield* sql`insert into reservation ${sql.insert({ id: orderId, article, quantity, amount, confirmed: false })}`
    return orderId
  },
  Effect.catchTag("SqlError", Effect.die)
)

export const release = Effect.fnUntraced(function* (id: string) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`with given_back as (delete from reservation where id = ${id} returning article, quantity)
    update stock set pieces = pieces + quantity from given_back where stock.article = given_back.article`
}, Effect.orDie)

export const confirm = Effect.fnUntraced(function* ({ reservation }: { readonly reservation: string }) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`update reservation set confirmed = true where id = ${reservation}`
  return `confirmed ${reservation}`
}, Effect.orDie)

export const Books = Schema.Struct({
  /** The money of confirmed orders, and their number. */
  sold: Schema.Int,
  orders: Schema.Int,
  /** Reservations that are neither confirmed nor released. */
  pending: Schema.Int,
  /** For every article: opening stock = stock left + stock sold. */
  stockAddsUp: Schema.Boolean
})
export type Books = typeof Books.Type

/** The books, from the tables and not from the sagas. */
export const books = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<Books>`select
    (select coalesce(sum(amount), 0)::float8 from reservation where confirmed) as sold,
    (select count(*)::int from reservation where confirmed) as orders,
    (select count(*)::int from reservation where not confirmed) as pending,
    (select bool_and(opening = pieces + coalesce(taken, 0)) from stock left join
      (select article, sum(quantity) as taken from reservation group by article) r using (article)) as "stockAddsUp"`
  return row!
})
