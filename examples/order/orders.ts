/** The shop's own side: stock, reservations and confirmed orders, in tables of its own. */
import { Effect, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { type Order, OutOfStock } from "./contracts.ts"

/** Pieces of each article at first. What is not listed is out of stock. */
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

/** In one database transaction with the record of the step: either both are there or neither. */
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
  /** Money of confirmed orders, and how many there are. */
  sold: Schema.Int,
  orders: Schema.Int,
  /** Reservations that nobody has confirmed or released. */
  pending: Schema.Int,
  /** Opening stock = what is left + what is sold, for every article. */
  stockAddsUp: Schema.Boolean
})
export type Books = typeof Books.Type

/** Read from the tables, not from the sagas. */
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
