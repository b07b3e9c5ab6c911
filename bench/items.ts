/**
 * The cost of an item in a list of 1,000 and in one of 10. Four items are under way at a time; each has two local steps, and the value
 * of an item is a text of the initial context.
 */
import { Effect, Schema } from "effect"
import { Saga, SagaManager } from "effect-saga"
import { compare } from "./perUnit.ts"
import type { Report } from "./run.ts"

const List = Saga.make("List", { context: { values: Schema.Array(Schema.String) } }).pipe(
  Saga.forEach("each", {
    items: ({ values }) => values,
    item: Schema.String,
    as: "value",
    concurrency: 4,
    steps: (each) =>
      each.pipe(
        Saga.local("first", { success: Schema.Int, execute: ({ value }) => Effect.succeed(value.length) }),
        Saga.local("second", { success: Schema.Int, execute: ({ first }) => Effect.succeed(first + 1) })
      )
  }),
  Saga.commit
)

const valuesOf = (length: number) => Array.from({ length }, (_, i) => `value ${i}`)

const work = Effect.fnUntraced(function* (length: number, items: number) {
  const context = { values: valuesOf(length) }
  for (let done = 0; done < items; done += length) yield* SagaManager.execute(List, { context })
})

export const run = (): Promise<Report> => compare({ name: "items", sagas: [List], work, parts: 10_000, rounds: 5 })
