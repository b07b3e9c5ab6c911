/** How many executions a process claims at once. */
import { assert, it } from "@effect/vitest"
import { Clock, Effect, Result } from "effect"
import { TestClock } from "effect/testing"
import { SagaDefinitionDrift } from "../../src/definition/SagaRegistry.ts"
import { defaults } from "../../src/execution/rules/RetrySchedule.ts"
import { NextClaim } from "../../src/orchestrator/NextClaim.ts"
import * as Recovery from "../../src/orchestrator/Recovery.ts"
import { SagaExecutionRepositoryError } from "../../src/ports/SagaExecutionRepository.ts"
import * as Sample from "../../src/testing/SampleExecutions.ts"

it.effect("C7 a claim that is too large to be answered in time is made with fewer executions, until it works", () =>
  Effect.gen(function* () {
    const asked: Array<number> = []
    let left = 100
    const claim = ({ limit }: { readonly limit: number }) =>
      Effect.suspend(() => {
        asked.push(limit)
        if (limit > 40) {
          return Effect.fail(new SagaExecutionRepositoryError({ reason: "unavailable", operation: "claim" }))
        }
        const given = Math.min(limit, left)
        left -= given
        const executions = Array.from({ length: given }, () => Sample.started(Sample.created()))
        return Effect.succeed({ executions, lapsed: false, lost: [], inbox: [] })
      })
    const resumed: Array<string> = []
    yield* Recovery.run({
      service: "orders",
      membership: {
        owner: "a",
        claim,
        isAlive: () => true,
        isMine: () => true,
        take: () => Effect.succeed("a"),
        giveBack: () => Effect.succeed(true),
        wake: () => Effect.void
      },
      unreadable: {
        claimed: (execution) =>
          resumed.push(execution.uuid) > 0
            ? Result.fail(
                new SagaDefinitionDrift({
                  saga: execution.saga,
                  fingerprint: execution.state.creation.fingerprint,
                  known: []
                })
              )
            : Result.succeed(execution),
        corrupt: () => {},
        isFull: false,
        lookAgain: Effect.void,
        settle: () => Effect.succeed([]),
        uuids: []
      },
      active: {
        claimBegins: () => [],
        claimEnds: () => {},
        goAlone: () => {},
        lose: () => {},
        offer: () => {},
        resume: () => {},
        room: () => 1_000,
        whenRoom: () => {},
        isBusy: () => false,
        isIdle: () => true
      },
      resends: { send: () => Effect.succeed(true) },
      schedule: defaults,
      presence: { since: () => 0, attempt: (now) => now },
      fingerprints: [],
      interval: 1_000,
      next: new NextClaim(yield* Clock.Clock),
      clock: yield* Clock.Clock
    })
    yield* TestClock.adjust("10 seconds")
    assert.deepStrictEqual(asked.slice(0, 5), [256, 128, 64, 32, 64])
    assert.strictEqual(left, 0)
    assert.strictEqual(new Set(resumed).size, 100)
  }).pipe(Effect.scoped)
)
