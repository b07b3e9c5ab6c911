/**
 * A person says yes or no: after four hours without an answer the branch gets a reminder, and after eight the answer is no.
 * As a saga of its own it can be a step of other sagas too.
 */
import { Effect, Schema } from "effect"
import { Saga } from "effect-saga"
import { Approval, Mail } from "./contracts.ts"
import { hours } from "./times.ts"

export class Declined extends Schema.TaggedError<Declined>()("Declined", { by: Schema.String }) {}

export const AskBranch = Saga.make("AskBranch", {
  context: { name: Schema.String, branch: Schema.String }
}).pipe(
  Saga.waitFor("answer", {
    signal: Approval,
    timeout: hours(4),
    onTimeout: { success: Schema.Literal("nobody"), value: () => "nobody" }
  }),
  Saga.conditional("late", [
    Saga.ifThen(
      ({ answer }) => answer === "nobody",
      (late) =>
        late.pipe(
          Saga.remote("reminder", {
            execute: {
              command: Mail.commands.Send,
              payload: ({ branch, name }) => ({ to: `branch ${branch}`, text: `${name} waits for your answer` })
            },
            timeout: hours(24)
          }),
          // Without an answer in this time the step fails, and what was done before is undone.
          Saga.waitFor("lateAnswer", { signal: Approval, timeout: hours(4) })
        )
    )
  ]),
  Saga.local("consent", {
    success: Schema.Struct({ by: Schema.String }),
    error: Declined,
    execute: ({ answer, lateAnswer }) => {
      const given = answer === "nobody" ? lateAnswer : answer
      return given?.approved === true
        ? Effect.succeed({ by: given.by })
        : Effect.fail(new Declined({ by: given?.by ?? "nobody" }))
    }
  }),
  Saga.commit
)
