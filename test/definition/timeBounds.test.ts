/** How long an execution may still turn back, by its steps (SPEC C16), and the deadline of a run (C18). */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Duration, Effect, Schema } from "effect"
import * as Deadline from "../../src/definition/Deadline.ts"
import * as Participant from "../../src/definition/ParticipantContract.ts"
import * as Saga from "../../src/definition/Saga.ts"
import * as SagaPath from "../../src/definition/SagaPath.ts"
import type { Definition } from "../../src/definition/SagaStep.ts"
import * as Signal from "../../src/definition/Signal.ts"
import * as TimeBounds from "../../src/definition/TimeBounds.ts"
import { Payments } from "./order.ts"

const Approval = Signal.make("approval", { payload: Schema.Void })

/** The combinators as plain JavaScript sees them. */
const js: { readonly [K in keyof typeof Saga]: any } = Saga // untyped is the point
const committed = (...steps: ReadonlyArray<unknown>): Definition =>
  js.commit((Saga.make("S", { context: {} }).pipe as any)(...steps)) // as above

const local = (name: string, timeout?: number) =>
  js.local(name, { execute: () => Effect.void, ...(timeout !== undefined && { timeout }) })
const remote = (name: string, timeout?: number) =>
  js.remote(name, {
    execute: { command: Payments.commands.Refund, payload: () => ({ paymentId: "" }) },
    ...(timeout !== undefined && { timeout })
  })
const sleep = (name: string, time: number) => js.sleep(name, time)
const ask = (name: string) => js.waitFor(name, { signal: Approval })

/** The bound of each step, where a reply is awaited for 7 ms. */
const bounds = (saga: Definition) =>
  Object.fromEntries(SagaPath.steps(saga).map(({ path }) => [path, TimeBounds.from(saga, path, 7)]))

describe("the time that an execution has left (C16)", () => {
  it("is the sum of the bounds from the step on; a local step without one counts as nothing", () => {
    const saga = committed(remote("a", 100), local("b"), sleep("c", 1_000), local("d", 20), remote("e"))
    assert.deepStrictEqual(bounds(saga), { 0: 1_127, 1: 1_027, 2: 1_027, 3: 27, 4: 7 })
  })

  it("has no end where a step at or after it waits without a limit", () => {
    const saga = committed(remote("a", 100), ask("b"), remote("c", 5))
    assert.deepStrictEqual(bounds(saga), { 0: Number.POSITIVE_INFINITY, 1: Number.POSITIVE_INFINITY, 2: 5 })
  })

  it("of a command that answers later is that of its step, and has no end without one (C19)", () => {
    const Lab = Participant.make("lab", { Examine: { payload: {}, answer: "later" } })
    const later = (timeout?: number) =>
      js.remote("later", {
        execute: { command: Lab.commands.Examine, payload: () => ({}) },
        ...(timeout !== undefined && { timeout })
      })
    assert.deepStrictEqual(bounds(committed(later(100))), { 0: 100 })
    assert.deepStrictEqual(bounds(committed(later())), { 0: Number.POSITIVE_INFINITY })
  })

  it("ends at the pivot: what stands behind it is not undone (C18)", () => {
    const saga = committed(remote("a", 100), sleep("b", 10), js.pivot, ask("c"), remote("d", 5))
    assert.deepStrictEqual(bounds(saga), { 0: 110, 1: 10, 2: 0, 3: 0, 4: 0 })
  })

  it("of alternatives has that of the longest, and inside of one only its own and what follows", () => {
    const saga = committed(
      js.conditional("way", [
        js.ifThen(
          () => true,
          (branch: any) => branch.pipe(remote("a", 10), sleep("b", 50))
        ),
        js.elseThen(remote("c", 100))
      ]),
      js.nested("inner", { saga: committed(remote("d", 1), remote("e", 2)), context: () => ({}) }),
      sleep("f", 1_000)
    )
    assert.deepStrictEqual(bounds(saga), {
      0: 1_103,
      "0/if0/0": 1_063,
      "0/if0/1": 1_053,
      "0/else/0": 1_103,
      1: 1_003,
      "1/n/0": 1_003,
      "1/n/1": 1_002,
      2: 1_000
    })
  })

  it("of a branch is no less than that of the others, at any depth", () => {
    const saga = committed(
      js.parallel("both", {
        a: (branch: any) => branch.pipe(remote("a", 1), js.conditional("way", [js.ifThen(() => true, remote("b", 2))])),
        c: sleep("c", 100)
      }),
      sleep("d", 1_000)
    )
    assert.deepStrictEqual(bounds(saga), {
      0: 1_100,
      "0/b0/0": 1_100,
      "0/b0/1": 1_100,
      "0/b0/1/if0/0": 1_100,
      "0/b1/0": 1_100,
      1: 1_000
    })
  })

  it("ends with the point of no return", () => {
    const saga = committed(remote("a", 10), sleep("b", 100), js.pivot, ask("c"), remote("d"))
    assert.deepStrictEqual(bounds(saga), { 0: 110, 1: 100, 2: 0, 3: 0, 4: 0 })
  })

  it("is asked for with the wait for replies of each program, and is nothing at a path that is none", () => {
    const saga = committed(remote("a"), remote("b"))
    assert.strictEqual(TimeBounds.from(saga, "0", 7), 14)
    assert.strictEqual(TimeBounds.from(saga, "0", 8), 16)
    assert.strictEqual(TimeBounds.from(saga, "9", 9), 0)
    assert.strictEqual(TimeBounds.from(saga, "9", 9), 0)
  })
})

describe("the deadline of a run (C18)", () => {
  const year = 365 * 24 * 3_600_000

  it("is a duration from now, or a point in time, in whole milliseconds", () => {
    for (const [given, time] of [
      ["2 seconds", 2_100],
      [1.5, 102],
      [Duration.minutes(1), 60_100],
      [{ hours: 1 }, 3_600_100],
      [10 * year, 100 + 10 * year],
      [new Date(5_000), 5_000],
      [DateTime.makeUnsafe(7_000), 7_000],
      [new Date(10 * year + 100), 10 * year + 100],
      // The execution is over at once then.
      [new Date(-5), -5]
    ] as const)
      assert.strictEqual(Deadline.at(given, 100), time)
  })

  it("is no other value", () => {
    const duration = "is no duration longer than zero, of at most 3,650 days"
    for (const [given, issue] of [
      [0, duration],
      [-1, duration],
      [Number.NaN, duration],
      [Number.POSITIVE_INFINITY, duration],
      ["soon", duration],
      ["3651 days", duration],
      [null, duration],
      [{}, duration],
      [true, duration],
      [() => 1, duration],
      ["2027-01-01T00:00:00Z", duration],
      [new Date("soon"), "is no time"],
      [new Date(10 * year + 101), "is more than 3,650 days ahead"],
      [DateTime.makeUnsafe(10 * year + 101), "is more than 3,650 days ahead"]
    ] as const)
      assert.strictEqual(Deadline.at(given as Deadline.Deadline, 100), issue, String(given)) // cast: as plain JavaScript
  })
})
