/** When things are due: from stored facts alone, so that a restart agrees and resending writes nothing (SPEC C8). */
import { assert, describe, it } from "@effect/vitest"
import * as RetrySchedule from "../../../src/execution/rules/RetrySchedule.ts"
import * as Chance from "./chance.ts"

const second = 1_000
const minute = 60 * second

describe("the defaults", () => {
  it("the default retry schedule is the one of the specification", () => {
    assert.deepStrictEqual(RetrySchedule.defaults, {
      resend: { initial: second, factor: 2, max: 30 * second, later: { after: 5 * minute, max: 60 * minute } },
      resendDecision: { initial: second, factor: 2, max: 5 * minute },
      reserveTimeout: 30 * second,
      commitWait: 30 * second,
      replyTimeout: 5 * minute,
      acceptedResend: 5 * minute,
      maxMessageLifetime: 24 * 60 * minute,
      retryCompensate: { times: 10, backoff: { initial: second, factor: 2, max: 5 * minute } },
      retryForward: { times: 10, backoff: { initial: second, factor: 2, max: 5 * minute } }
    })
  })
})

describe("delay", () => {
  it("the delay doubles up to its maximum", () => {
    const waits = Array.from(
      { length: 8 },
      (_, i) => RetrySchedule.delay(i + 1, RetrySchedule.defaults.resend) / second
    )
    assert.deepStrictEqual(waits, [1, 2, 4, 8, 16, 30, 30, 30])
  })

  it("the delay may stay the same, or grow by fractions", () => {
    assert.strictEqual(RetrySchedule.delay(9, { initial: 50, factor: 1, max: minute }), 50)
    assert.strictEqual(RetrySchedule.delay(3, { initial: 100, factor: 1.5, max: minute }), 225)
    // Times are stored as whole milliseconds.
    assert.strictEqual(RetrySchedule.delay(5, { initial: 1_000, factor: 1.5, max: minute }), 5_063)
  })
})

const seeds = Array.from({ length: 40 }, (_, i) => `6f1c9a52-58aa-4d0c-9a5e-1a2b3c4d5e6f:${i}:execute`)
const backoffs: ReadonlyArray<RetrySchedule.Curve> = [
  RetrySchedule.defaults.resend,
  { initial: 7, factor: 1.3, max: 40, later: { after: 300, max: 900 } },
  { initial: 50, factor: 1, max: minute, later: { after: 300, max: 90 * minute } },
  { initial: 100, factor: 2, max: minute, later: { after: 300, max: 90 * minute } },
  { initial: 30 * minute, factor: 2, max: 10 * minute, later: { after: minute, max: 90 * minute } },
  RetrySchedule.defaults.retryCompensate.backoff,
  { initial: 7, factor: 1.3, max: 900 },
  { initial: 250, factor: 1, max: minute },
  { initial: 1, factor: 10, max: 1 }
]

describe("dueAt", () => {
  it("dueAt is the time of the event for no repetition, and grows in whole milliseconds for each repetition", () => {
    for (const backoff of backoffs) {
      for (const seed of seeds) {
        assert.strictEqual(RetrySchedule.dueAt(5_000, 0, backoff, seed), 5_000)
        let last = 5_000
        for (let k = 1; k <= 30; k++) {
          const due = RetrySchedule.dueAt(5_000, k, backoff, seed)
          assert.strictEqual(Number.isInteger(due), true)
          assert.isAbove(due, last)
          last = due
        }
      }
    }
  })

  it("a repetition is late by a tenth at most, and never early", () => {
    for (const seed of seeds) {
      let plain = 0
      for (let k = 1; k <= 12; k++) {
        plain += RetrySchedule.delay(k, RetrySchedule.defaults.resend)
        const wait = RetrySchedule.dueAt(0, k, RetrySchedule.defaults.resend, seed)
        assert.isAtLeast(wait, plain)
        assert.isAtMost(wait, plain * 1.1 + k)
      }
    }
  })

  it("dueAt is the same for the same message, and spread over different messages", () => {
    const due = (seed: string) => RetrySchedule.dueAt(0, 1, RetrySchedule.defaults.resend, seed)
    assert.strictEqual(due(seeds[0]!), due(seeds[0]!))
    assert.isAbove(new Set(seeds.map(due)).size, seeds.length / 2)
  })

  it("C8 F8: after five minutes a request is sent less and less often, at last once an hour", () => {
    const { resend } = RetrySchedule.defaults
    // A seed without jitter: the waits are those of the specification.
    const seed = Array.from({ length: 100_000 }, (_, i) => `${i}`).find(
      (seed) => RetrySchedule.dueAt(0, 1, resend, seed) === second
    )!
    const due = Array.from({ length: 24 }, (_, k) => RetrySchedule.dueAt(0, k, resend, seed) / second)
    const waits = due.slice(1).map((at, k) => at - due[k]!)
    assert.deepStrictEqual(waits.slice(0, 5), [1, 2, 4, 8, 16])
    const fast = waits.lastIndexOf(30)
    // The last wait of half a minute ends after five minutes, and no other one does.
    assert.isAtLeast(due[fast + 1]!, 300)
    assert.isBelow(due[fast]!, 300)
    assert.deepStrictEqual(waits.slice(fast), [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600])
  })

  it("dueAt of the millionth repetition is computed without a loop", () => {
    const seed = seeds[0]!
    const { resend } = RetrySchedule.defaults
    const step = RetrySchedule.dueAt(0, 1_000, resend, seed) - RetrySchedule.dueAt(0, 999, resend, seed)
    assert.strictEqual(
      RetrySchedule.dueAt(0, 1_000_000_000, resend, seed),
      RetrySchedule.dueAt(0, 1_000, resend, seed) + (1_000_000_000 - 1_000) * step
    )
  })
})

describe("around", () => {
  it("around gives the latest repetition that was due and the next one, as dueAt has them", () => {
    for (const backoff of backoffs) {
      for (const seed of seeds) {
        for (let k = 0; k <= 25; k++) {
          const due = RetrySchedule.dueAt(400, k, backoff, seed)
          const next = RetrySchedule.dueAt(400, k + 1, backoff, seed)
          // Due is due from its millisecond on: a timer that fires on time finds something to do.
          assert.deepStrictEqual(RetrySchedule.around(400, due, backoff, seed), { last: due, next })
          assert.deepStrictEqual(RetrySchedule.around(400, next - 1, backoff, seed), { last: due, next })
        }
      }
    }
  })

  it("around gives the time of the event where nothing was due yet, also for a clock that went back", () => {
    const seed = seeds[0]!
    const { next } = RetrySchedule.around(5_000, 5_000, RetrySchedule.defaults.resend, seed)
    assert.deepStrictEqual(RetrySchedule.around(5_000, 1_000, RetrySchedule.defaults.resend, seed), {
      last: 5_000,
      next
    })
    const fixed = { initial: 300, factor: 1, max: 300 }
    assert.strictEqual(RetrySchedule.around(5_000, 0, fixed, seed).last, 5_000)
  })

  it("the next repetition that around gives is in the future", () => {
    Chance.forSeeds(500, (n) => {
      const chance = Chance.at(n, "time")
      const backoff = {
        initial: (1 + Chance.below(chance, 2_000)) / 4,
        factor: 1 + Chance.below(chance, 12) / 4,
        max: Chance.below(chance, 60_000),
        ...(Chance.below(chance, 2) === 0 && {
          later: { after: 1 + Chance.below(chance, 600_000), max: 60_000 + Chance.below(chance, 3_600_000) }
        })
      }
      const now = Chance.below(chance, 10_000_000)
      const { last, next } = RetrySchedule.around(1_000, now, backoff, `${n}`)
      assert.isAbove(next, Math.max(now, 999))
      assert.isAtMost(last, Math.max(now, 1_000))
      assert.strictEqual(Number.isInteger(next), true)
    })
  })
})
