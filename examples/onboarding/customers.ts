/** The bank's own book of customers: a service of yours, with a table for life and memory for tests. */
import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"

export interface Customer {
  readonly customer: string
  readonly name: string
  readonly iban: string
}

export class Customers extends Context.Service<
  Customers,
  {
    /** A step may run twice (after a crash), and the second time changes nothing. */
    readonly enter: (customer: Customer) => Effect.Effect<void>
    readonly strike: (customer: string) => Effect.Effect<void>
    readonly all: Effect.Effect<ReadonlyArray<Customer>>
  }
>()("onboarding/Customers") {}

export const layerMemory = Layer.sync(Customers, () => {
  const book = new Map<string, Customer>()
  return {
    enter: (it) => Effect.sync(() => void book.set(it.customer, it)),
    strike: (customer) => Effect.sync(() => void book.delete(customer)),
    all: Effect.sync(() => [...book.values()])
  }
})

export const layer = Layer.effect(
  Customers,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`create table if not exists customer (customer text primary key, name text not null, iban text not null)`
    return {
      // A compensation has no errors, and an error of the database is a defect: it is tried again.
      enter: (it) =>
        sql`insert into customer ${sql.insert({ ...it })} on conflict do nothing`.pipe(Effect.asVoid, Effect.orDie),
      strike: (customer) => sql`delete from customer where customer = ${customer}`.pipe(Effect.asVoid, Effect.orDie),
      all: Effect.orDie(sql<Customer>`select customer, name, iban from customer order by customer`)
    }
  })
)
