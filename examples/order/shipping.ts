/** The shipping service: parcels that leave, by courier or by post, in a table of its own. */
import { Effect, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Participant } from "effect-saga"
import { NoCourier, Shipping } from "./contracts.ts"

/** No courier goes to these cities; the post goes everywhere. */
const islands = ["Atlantis", "Avalon", "Utopia"]

export const tables = SqlClient.SqlClient.use(
  (sql) => sql`create table if not exists parcel
    (id text primary key, order_id text not null unique, city text not null, express bool not null)`
)

const send = Effect.fnUntraced(function* (id: string, orderId: string, city: string, express: boolean) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`insert into parcel ${sql.insert({ id, order_id: orderId, city, express })}`
}, Effect.orDie)

const keep = Effect.fnUntraced(function* (id: string) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`delete from parcel where id = ${id}`
}, Effect.orDie)

export const layer = Participant.layer(Shipping, {
  BookCourier: ({ city, orderId }) =>
    islands.includes(city)
      ? Effect.fail(new NoCourier({ city }))
      : Effect.as(send(`courier-${orderId}`, orderId, city, true), { courierId: `courier-${orderId}` }),
  CancelCourier: ({ courierId }) => keep(courierId),
  PrintLabel: ({ city, orderId }) =>
    Effect.as(send(`label-${orderId}`, orderId, city, false), { labelId: `label-${orderId}` }),
  VoidLabel: ({ labelId }) => keep(labelId)
})

export const Books = Schema.Struct({ parcels: Schema.Int })
export type Books = typeof Books.Type

export const books = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<Books>`select count(*)::int as parcels from parcel`
  return row!
})
