/** An expense that somebody has to approve: a reminder after a day, and the end after two. */
import { Context, Effect, Schema } from "effect"
import { Saga, Signal } from "effect-saga"

/** Both sides import it: the saga that waits, and the page with the two buttons. */
export const Approval = Signal.make("approval", {
  payload: Schema.Struct({ approved: Schema.Boolean, by: Schema.String })
})

export class Declined extends Schema.TaggedError<Declined>()("Declined", { by: Schema.String }) {}

/** A service of yours. */
export class Office extends Context.Service<
  Office,
  {
    readonly setAside: (amount: number) => Effect.Effect<number>
    readonly free: (amount: number) => Effect.Effect<void>
    readonly remind: (amount: number) => Effect.Effect<void>
  }
>()("approval/Office") {}

export const Expense = Saga.make("Expense", { context: { amount: Schema.Int } }).pipe(
  Saga.local("budget", {
    success: Schema.Int,
    execute: ({ amount }) => Office.use((office) => office.setAside(amount)),
    compensate: ({ budget }) => Office.use((office) => office.free(budget))
  }),
  Saga.waitFor("answer", {
    signal: Approval,
    timeout: "1 day",
    onTimeout: { success: Schema.Literal("nobody"), value: () => "nobody" }
  }),
  Saga.conditional("late", [
    Saga.ifThen(
      ({ answer }) => answer === "nobody",
      (late) =>
        late.pipe(
          Saga.local("reminder", { execute: ({ amount }) => Office.use((office) => office.remind(amount)) }),
          // Without an answer in this time the step fails, and the budget is free again.
          Saga.waitFor("lateAnswer", { signal: Approval, timeout: "1 day" })
        )
    )
  ]),
  Saga.local("payment", {
    success: Schema.String,
    error: Declined,
    execute: ({ amount, answer, lateAnswer }) => {
      const given = answer === "nobody" ? lateAnswer : answer
      return given?.approved === true
        ? Effect.succeed(`${amount} paid, approved by ${given.by}`)
        : Effect.fail(new Declined({ by: given?.by ?? "nobody" }))
    }
  }),
  Saga.commit
)
