/** A nightly batch: a statement for each customer. One that cannot be sent stops no other, and is in the result. */
import { Context, Effect, Schema } from "effect"
import { Saga } from "effect-saga"

export class NoAddress extends Schema.TaggedError<NoAddress>()("NoAddress", {}) {}

/** A service of yours. */
export class Statements extends Context.Service<
  Statements,
  {
    /** The customers that are due on a day, up to 1,000. The rest is for the next execution. */
    readonly due: (day: string) => Effect.Effect<ReadonlyArray<string>>
    readonly send: (customer: string) => Effect.Effect<void, NoAddress>
    readonly report: (day: string, failed: ReadonlyArray<string>) => Effect.Effect<void>
  }
>()("batch/Statements") {}

const Sent = Schema.Struct({ customer: Schema.String, outcome: Schema.Literals(["sent", "no address"]) })

export const SendStatements = Saga.make("SendStatements", { context: { day: Schema.String } }).pipe(
  // The list is made once and stored: the same customers after a crash, whoever has become one since.
  Saga.local("customers", {
    success: Schema.Array(Schema.String),
    execute: ({ day }) => Statements.use((statements) => statements.due(day))
  }),
  Saga.forEach("statements", {
    items: ({ customers }) => customers,
    item: Schema.String,
    as: "customer",
    concurrency: 10,
    steps: Saga.local("sent", {
      success: Sent,
      // A failure that is caught is a result: the other customers get their statements.
      execute: ({ customer }) =>
        Statements.use((statements) => statements.send(customer)).pipe(
          Effect.as({ customer, outcome: "sent" } as const),
          Effect.catchTag("NoAddress", () => Effect.succeed({ customer, outcome: "no address" } as const))
        )
    })
  }),
  Saga.local("report", {
    execute: ({ day, statements }) => {
      const failed = statements.filter(({ sent }) => sent.outcome !== "sent").map(({ sent }) => sent.customer)
      return Statements.use((service) => service.report(day, failed))
    }
  }),
  Saga.commit
)
