/** How long the statements that keep the lease may take (SPEC C20). */
import { assert, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { TestClock } from "effect/testing"
import * as LimitedStatements from "../../../src/adapters/sql/LimitedStatements.ts"
import type { SagaExecutionStatements } from "../../../src/adapters/sql/SagaExecutionStatements.ts"
import type { ReservedConnections, Run } from "../../../src/adapters/sql/SqlConnections.ts"
import { lost } from "../../../src/adapters/sql/SqlSession.ts"

const lease = 3_000

/** A database that answers after so many milliseconds, and what each renewal was given. */
const world = () => {
  const known = { takes: 20, limits: [] as Array<number> }
  const within: Run = (statement, limit = Number.POSITIVE_INFINITY) => {
    known.limits.push(limit)
    return known.takes <= limit
      ? Effect.andThen(TestClock.adjust(known.takes), statement)
      : Effect.andThen(TestClock.adjust(limit), Effect.fail(lost("StatementTimeout")))
  }
  const other: Run = (statement) => statement
  const answer: Effect.Effect<unknown, SqlError> = Effect.void
  const statements = { renew: () => answer, claim: () => answer } as unknown as SagaExecutionStatements["Service"]
  const connections = { lease: within, shared: other, long: other, statementMillis: 5_000 } as ReservedConnections
  return { known, limited: LimitedStatements.make(statements, connections) }
}

it.effect(
  "C20 a renewal of the lease has a fifth of it, and one that was cut off has twice as long when tried again",
  () =>
    Effect.gen(function* () {
      const { known, limited } = world()
      const renew = Effect.map(Effect.exit(limited.renew("a#1", lease, false)), Exit.isSuccess)
      assert.isTrue(yield* renew)
      // From now on the database is slow.
      known.takes = 1_000
      assert.deepStrictEqual([yield* renew, yield* renew], [false, true])
      // It stays slow: nothing is cut off any more.
      assert.deepStrictEqual([yield* renew, yield* renew], [true, true])
      known.takes = 20
      assert.deepStrictEqual([yield* renew, yield* renew], [true, true])
      assert.deepStrictEqual(known.limits, [600, 600, 1_200, 2_000, 2_000, 2_000, 600])
    })
)

it.effect("C20 no renewal has longer than a statement of the repository, however often it was cut off", () =>
  Effect.gen(function* () {
    const { known, limited } = world()
    known.takes = Number.POSITIVE_INFINITY
    for (let i = 0; i < 5; i++) yield* Effect.exit(limited.renew("a#1", lease, false))
    assert.deepStrictEqual(known.limits, [600, 1_200, 2_400, 4_800, 5_000])
  })
)

it.effect(
  "C20 what a claim reads has a third of the lease, however often it was cut off: no renewal comes meanwhile",
  () =>
    Effect.gen(function* () {
      const { known, limited } = world()
      yield* limited.renew("a#1", lease, false)
      known.takes = 1_500
      const request = { owner: "a#1", limit: 1 } as Parameters<typeof limited.claim>[0]
      for (let i = 0; i < 3; i++) yield* Effect.exit(limited.claim(request))
      assert.deepStrictEqual(known.limits, [600, 1_000, 1_000, 1_000])
    })
)
