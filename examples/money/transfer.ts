/** A transfer between two banks. */
import { Schema } from "effect"
import { Saga } from "effect-saga"
import * as Bank from "./bank.ts"

export const North = Bank.make("north")
export const South = Bank.make("south")

export const Transfer = Saga.make("Transfer", {
  context: { from: Schema.String, to: Schema.String, cents: Schema.Int }
}).pipe(
  Saga.remote("withdrawal", {
    execute: { command: North.commands.Withdraw, payload: ({ cents, from }) => ({ account: from, cents }) },
    compensate: { command: North.commands.PayBack, payload: ({ withdrawal }) => ({ id: withdrawal }) }
  }),
  // No compensation: the hook `reject` deletes a hold that is not committed.
  Saga.remote("deposit", {
    execute: { command: South.commands.Deposit, payload: ({ cents, to }) => ({ account: to, cents }) }
  }),
  Saga.commit
)
