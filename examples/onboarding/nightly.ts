/**
 * Every night the bank has its customers looked at again, four at a time, as the list of the screening service grows. The head office
 * gets a letter. A saga has at most 1,000 items, so of more customers each night has the next part.
 */
import { Effect, Schema } from "effect"
import { Saga, SagaSchedule } from "effect-saga"
import { Mail, Screening } from "./contracts.ts"
import { Customers } from "./customers.ts"
import { Nights } from "./queues.ts"

const Known = Schema.Struct({ customer: Schema.String, name: Schema.String })

const most = 1_000
const day = 86_400_000

/** The part of a night: after as many nights as there are parts each customer was looked at once. */
export const partOf = <A>(all: ReadonlyArray<A>, night: Date): ReadonlyArray<A> => {
  const parts = Math.max(1, Math.ceil(all.length / most))
  const part = Math.floor(night.getTime() / day) % parts
  return all.slice(part * most, (part + 1) * most)
}

export const LookAgain = Saga.make("LookAgain", { context: { night: Schema.Date } }).pipe(
  Saga.local("book", {
    success: Schema.Struct({ count: Schema.Int, part: Schema.Array(Known) }),
    execute: ({ night }) =>
      Customers.use(({ all }) => Effect.map(all, (known) => ({ count: known.length, part: partOf(known, night) })))
  }),
  Saga.forEach("looks", {
    items: ({ book }) => book.part,
    item: Known,
    as: "known",
    concurrency: 4,
    steps: (each) =>
      each.pipe(
        Saga.remote("look", {
          execute: { command: Screening.commands.Look, payload: ({ known: { name } }) => ({ name }) },
          timeout: "1 hour"
        })
      )
  }),
  Saga.remote("report", {
    execute: {
      command: Mail.commands.Send,
      payload: ({ book: { count, part }, looks, night }) => {
        const bad = part.filter((_, i) => looks[i]?.look.passed === false).map(({ name }) => name)
        const of = part.length === count ? "" : ` of ${count}`
        const text = bad.length === 0 ? "nothing is wrong" : `look at ${bad.join(", ")}`
        return {
          to: "the head office",
          text: `Night of ${night.toISOString().slice(0, 10)}: ${part.length}${of} customers, ${text}`
        }
      }
    },
    timeout: "1 day"
  }),
  Saga.commit
)

/** Every process of the bank has this layer, and each night is started once. */
export const layer = SagaSchedule.layer(LookAgain, {
  cron: "0 2 * * *",
  zone: "Europe/Brussels",
  queue: Nights,
  context: ({ tick }) => ({ night: tick })
})
