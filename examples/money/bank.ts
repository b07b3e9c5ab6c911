/** A bank: its commands for transfers, and its tables. A withdrawal counts at once; a deposit is a hold until the commit. */
import { Effect, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Participant, SagaTransaction } from "effect-saga"

export class Overdrawn extends Schema.TaggedError<Overdrawn>()("Overdrawn", { account: Schema.String }) {}

const entry = { account: Schema.String, cents: Schema.Int }

export const make = <const Name extends string>(name: Name) =>
  Participant.make(name, {
    Withdraw: { payload: entry, success: Schema.String, error: Overdrawn },
    PayBack: { payload: { id: Schema.String } },
    Deposit: { payload: entry, effect: "staged" }
  })

export type Bank = ReturnType<typeof make<string>>

export const tables = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table if not exists account (name text primary key, cents int not null check (cents >= 0))`
  yield* sql`create table if not exists withdrawal
    (id text primary key, account text not null, cents int not null, paid_back boolean not null)`
  yield* sql`create table if not exists hold (id text primary key, transfer text not null, account text not null, cents int not null)`
})

/** Queries join the transaction that records the message: each message takes effect once, or not at all. */
export const layer = (bank: Bank) =>
  Participant.layer(
    bank,
    {
      Withdraw: Effect.fnUntraced(
        function* ({ account, cents }) {
          const sql = yield* SqlClient.SqlClient
          const { idempotencyKey: id } = yield* SagaTransaction
          const paid = yield* sql`update account set cents = cents - ${cents}
            where name = ${account} and cents >= ${cents} returning name`
          if (paid.length === 0) return yield* new Overdrawn({ account })
          yield* sql`insert into withdrawal ${sql.insert({ id, account, cents, paid_back: false })}`
          return id
        },
        Effect.catchTag("SqlError", Effect.die)
      ),
      PayBack: Effect.fnUntraced(function* ({ id }) {
        const sql = yield* SqlClient.SqlClient
        yield* sql`with w as (update withdrawal set paid_back = true where id = ${id} returning account, cents)
          update account set cents = account.cents + w.cents from w where account.name = w.account`
      }, Effect.orDie),
      Deposit: Effect.fnUntraced(function* ({ account, cents }) {
        const sql = yield* SqlClient.SqlClient
        const { idempotencyKey: id, uuid: transfer } = yield* SagaTransaction
        yield* sql`insert into hold ${sql.insert({ id, transfer, account, cents })}`
      }, Effect.orDie)
    },
    {
      /** The vote: after a yes, the commit must work. */
      reserve: Effect.fnUntraced(
        function* ({ uuid }) {
          const sql = yield* SqlClient.SqlClient
          const closed = yield* sql`select 1 from hold where transfer = ${uuid}
            and account not in (select name from account)`
          if (closed.length > 0) return yield* Effect.fail("no such account")
        },
        Effect.catchTag("SqlError", Effect.die)
      ),
      commit: Effect.fnUntraced(function* ({ uuid }) {
        const sql = yield* SqlClient.SqlClient
        yield* sql`with h as (delete from hold where transfer = ${uuid} returning account, cents)
          update account set cents = account.cents + h.cents from h where account.name = h.account`
      }, Effect.orDie),
      reject: Effect.fnUntraced(function* ({ uuid }) {
        const sql = yield* SqlClient.SqlClient
        yield* sql`delete from hold where transfer = ${uuid}`
      }, Effect.orDie)
    }
  )

/** The money of customers, and the money that is held for open transfers. */
export const books = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ readonly cents: number; readonly held: number }>`select
    (select coalesce(sum(cents), 0)::int from account) as cents, (select coalesce(sum(cents), 0)::int from hold) as held`
  return row!
})

export const balance = (account: string) =>
  SqlClient.SqlClient.use((sql) => sql<{ readonly cents: number }>`select cents from account where name = ${account}`)
