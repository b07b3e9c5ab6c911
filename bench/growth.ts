/** The cost of a step in a saga of 1,000 steps and in one of 10. */
import { Effect, Schema } from "effect"
import { Saga, SagaManager } from "effect-saga"
import { compare } from "./perUnit.ts"
import type { Report } from "./run.ts"

/** The type of a saga grows with its steps; a list that is made at run time has none. */
const sagaOf = (length: number): Saga.AnyCommitted => {
  let saga: any = Saga.make(`Steps${length}`, { context: {} })
  for (let i = 0; i < length; i++) {
    saga = saga.pipe(
      Saga.local(`step${i}` as never, { success: Schema.Int, execute: () => Effect.succeed(i) } as never)
    )
  }
  return saga.pipe(Saga.commit)
}

const short = sagaOf(10)
const long = sagaOf(1_000)

const work = Effect.fnUntraced(function* (length: number, steps: number) {
  const { execute } = yield* SagaManager.SagaManager
  for (let done = 0; done < steps; done += length) yield* execute(length === 10 ? short : long, { context: {} })
})

export const run = (): Promise<Report> =>
  compare({ name: "steps", sagas: [short, long], work, parts: 20_000, rounds: 7 })
