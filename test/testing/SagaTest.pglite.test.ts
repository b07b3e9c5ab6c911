/** F14: every crash point of a saga on a database, which is made once. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Participant, Saga } from "effect-saga"
import { SqlParticipantStore, SqlSagaExecutionRepository } from "effect-saga/sql"
import { SagaTest } from "effect-saga/testing"
import * as Pglite from "../fixtures/pglite.ts"

const Payments = Participant.make("payments", {
  Charge: { payload: { amount: Schema.Int }, success: Schema.String },
  Refund: { payload: { id: Schema.String } }
})
const PaymentsLive = Participant.layer(Payments, {
  Charge: ({ amount }) => Effect.succeed(`payment of ${amount}`),
  Refund: () => Effect.void
})

const note = (text: string) =>
  Effect.orDie(SqlClient.SqlClient.use((sql) => sql`insert into ledger (entry) values (${text})`))

const Order = Saga.make("Order", { context: { amount: Schema.Int } }).pipe(
  Saga.local("number", { success: Schema.Int, execute: () => Effect.succeed(7) }),
  Saga.local("entry", {
    execute: ({ number }) => note(`order ${number}`),
    compensate: () => Effect.void,
    transactional: true
  }),
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: ({ amount }) => ({ amount }) },
    compensate: { command: Payments.commands.Refund, payload: ({ payment }) => ({ id: payment }) }
  }),
  Saga.local("label", { success: Schema.String, execute: ({ payment }) => Effect.succeed(`${payment} on it`) }),
  Saga.local("parcel", { execute: () => note("parcel"), transactional: true }),
  Saga.commit
)

it.live(
  "F14 crashPoints of five steps on PGlite: the database is made once, and keeps what all runs leave",
  () =>
    Effect.gen(function* () {
      const begun = performance.now()
      const ledger = Layer.effectDiscard(
        SqlClient.SqlClient.use((sql) =>
          Effect.andThen(sql`create table if not exists ledger (entry text not null)`, sql`truncate ledger`)
        )
      )
      const runs = yield* SagaTest.crashPoints(Order, {
        context: { amount: 5 },
        shared: Layer.provideMerge(
          Layer.merge(SqlSagaExecutionRepository.layer(), SqlParticipantStore.layer()),
          Pglite.layer()
        ),
        layer: Layer.merge(PaymentsLive, ledger),
        inspect: SqlClient.SqlClient.use((sql) =>
          Effect.map(Effect.orDie(sql<{ entry: string }>`select entry from ledger`), (rows) =>
            rows.map(({ entry }) => entry)
          )
        )
      })
      for (const { crash, execution, inspected } of runs) {
        assert.strictEqual(execution.status, "finished", crash)
        assert.deepStrictEqual(inspected, ["order 7", "parcel"], crash)
      }
      assert.isAbove(runs.length, 20)
      console.log(`crashPoints on PGlite: ${runs.length} runs in ${((performance.now() - begun) / 1_000).toFixed(1)} s`)
    }),
  300_000
)
