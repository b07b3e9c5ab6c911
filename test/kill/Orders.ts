/**
 * The order that the programs of these tests run: local, remote, transactional and parallel steps, and a last one that fails
 * for some. What a step does is the program's.
 */
import { Effect, Schema } from "effect"
import type { SqlClient } from "effect/sql"
import { Participant, Saga } from "effect-saga"

export interface Work {
  readonly step: string
  readonly op: "execute" | "failure"
  /** The work is done in one database transaction with its record. */
  readonly isTransactional: boolean
}

class NoCourier extends Schema.TaggedError<NoCourier>()("NoCourier", {}) {}

type Perform = (work: Work) => Effect.Effect<void, never, SqlClient.SqlClient>

const Payments = Participant.make("payments", {
  Charge: { payload: { n: Schema.Int }, success: Schema.Struct({ paymentId: Schema.String }) },
  Refund: { payload: { paymentId: Schema.String } }
})

/** What other sagas of a program are made with. */
export interface Kit {
  readonly perform: Perform
  readonly Payments: typeof Payments
}

/** `label`: what a later release adds behind a step. It changes no fingerprint, so a former release takes the saga for its own. */
export const make = (perform: Perform, label: <S>(saga: S) => S = (saga) => saga) => {
  const local = (step: string, isTransactional = false) => ({
    success: Schema.String,
    execute: () => Effect.as(perform({ step, op: "execute", isTransactional }), step),
    compensate: () => perform({ step, op: "failure", isTransactional })
  })

  const order = <const Name extends string>(name: Name) =>
    Saga.make(name, { context: { n: Schema.Int, courier: Schema.Boolean } }).pipe(
      // A reply comes while the same execution is at work, in this process or in another one.
      Saga.parallel("goods", {
        shelf: Saga.local("stock", local("stock")),
        money: Saga.remote("payment", {
          execute: { command: Payments.commands.Charge, payload: ({ n }) => ({ n }) },
          compensate: { command: Payments.commands.Refund, payload: ({ payment }) => payment },
          timeout: "1 hour"
        })
      }),
      Saga.local("ledger", { ...local("ledger", true), transactional: true }),
      label,
      Saga.parallel("papers", {
        bill: Saga.local("invoice", local("invoice")),
        post: Saga.local("label", { ...local("label", true), transactional: true })
      }),
      Saga.local("parcel", {
        success: Schema.String,
        error: NoCourier,
        execute: ({ courier }) => (courier ? local("parcel").execute() : Effect.fail(new NoCourier()))
      }),
      Saga.commit
    )

  const payment = (op: Work["op"]) => perform({ step: "payment", op, isTransactional: true })
  const PaymentsLive = Participant.layer(Payments, {
    Charge: ({ n }) => Effect.as(payment("execute"), { paymentId: `p-${n}` }),
    Refund: () => payment("failure")
  })

  /** The second one is the same under another name: a program may know only the first. */
  const kit: Kit = { perform, Payments }
  return { PlaceOrder: order("PlaceOrder"), PlaceLater: order("PlaceLater"), PaymentsLive, kit }
}
