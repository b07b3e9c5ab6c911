/**
 * Opens a customer: a check that takes minutes, a document of each owner, a yes of the branch, an account; then, behind the point of no return, a card and
 * a letter. If anything before the pivot fails, all that was done is undone.
 */
import { Schema } from "effect"
import { Saga } from "effect-saga"
import { AskBranch } from "./approval.ts"
import { Accounts, Application, Archive, Cards, Document, Mail, maxOwners, Screening } from "./contracts.ts"
import { Customers } from "./customers.ts"
import { hours } from "./times.ts"

/** The name of an execution, by which a second click finds the first one. All sagas of a database share these names. */
export const keyOf = (customer: string) => `OpenCustomer ${customer}`

export const OpenCustomer = Saga.make("OpenCustomer", {
  context: { customer: Schema.String, ...Application.fields },
  deadline: hours(24 * 30),
  // People search by these. Lists show them, so they hold no secrets.
  attributes: ({ branch, customer, name }) => ({ branch, customer, name })
}).pipe(
  // The answer takes minutes. A no is an error of the command, and leaves nothing behind. `compensate` undoes a check that was passed;
  // where it is still open, the service is asked about it, and cancels it.
  Saga.remote("check", {
    execute: { command: Screening.commands.Check, payload: ({ customer, name }) => ({ customer, name }) },
    compensate: { command: Screening.commands.Drop, payload: ({ customer }) => ({ customer }) },
    timeout: hours(24 * 7)
  }),
  // All owners are asked at the same time. What one of them shows may come early: it is kept.
  Saga.forEach("documents", {
    items: ({ owners }) => owners,
    item: Schema.String,
    as: "owner",
    concurrency: maxOwners,
    steps: (each) =>
      each.pipe(
        Saga.remote("folder", {
          execute: { command: Archive.commands.Open, payload: ({ customer, owner }) => ({ customer, owner }) },
          compensate: { command: Archive.commands.Discard, payload: ({ folder }) => folder },
          // How long the service may be away.
          timeout: hours(24)
        }),
        Saga.waitFor("document", { signal: Document, key: ({ owner }) => owner, timeout: hours(24 * 7) })
      )
  }),
  Saga.nested("approval", { saga: AskBranch, context: ({ branch, name }) => ({ branch, name }) }),
  Saga.remote("account", {
    execute: { command: Accounts.commands.Open, payload: ({ branch, customer }) => ({ branch, customer }) },
    compensate: { command: Accounts.commands.Close, payload: ({ account }) => account },
    timeout: hours(24)
  }),
  Saga.attributes(({ account: { iban } }) => ({ iban })),
  Saga.local("entry", {
    execute: ({ account: { iban }, customer, name }) =>
      Customers.use((customers) => customers.enter({ customer, name, iban })),
    compensate: ({ customer }) => Customers.use((customers) => customers.strike(customer))
  }),
  // A card that is printed and a letter that is sent do not come back. From here on nothing is undone: what fails is tried again.
  Saga.pivot,
  Saga.remote("card", {
    execute: {
      command: Cards.commands.Print,
      payload: ({ account: { iban }, customer, name }) => ({ customer, name, iban })
    }
  }),
  Saga.remote("welcome", {
    execute: {
      command: Mail.commands.Send,
      payload: ({ account: { iban }, card: { card }, email, name }) => ({
        to: email,
        text: `Welcome, ${name}. Your account is ${iban}, and ${card} is on its way`
      })
    }
  }),
  Saga.commit
)
