/** Values of callbacks: what one does to its context is seen by no other (F26), and a result that cannot be stored is undone (F27). */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import { defaults } from "../../../src/execution/rules/RetrySchedule.ts"
import { advance } from "../../../src/execution/rules/SagaDecision.ts"
import type { SagaEvent } from "../../../src/execution/rules/SagaEvent.ts"
import { evolve } from "../../../src/execution/rules/SagaEvolution.ts"
import { Saga, SagaExecution, SagaManager } from "../../../src/index.ts"
import { compensate } from "../../../src/orchestrator/steps/LocalStep.ts"
import { isMemory } from "../../fixtures/repository.ts"
import { manager } from "../../fixtures/travel.ts"

const day = (date: Date): string => date.toISOString().slice(0, 10)
const weekLater = (date: Date): Date => {
  date.setUTCDate(date.getUTCDate() + 7)
  return date
}
const when = new Date("2026-01-01T00:00:00Z")

describe("F26: what a callback does to its context is seen by no other", () => {
  it.effect(
    "a Date that a step changes is as before for the steps after it, for compensations, and for callers",
    () => {
      const seen: Array<string> = []
      const see = (what: string, date: Date) => Effect.sync(() => void seen.push(`${what} ${day(date)}`))
      const Inner = Saga.make("Inner", { context: { due: Schema.Date } }).pipe(
        Saga.local("move", { success: Schema.Date, execute: ({ due }) => Effect.sync(() => weekLater(due)) }),
        Saga.local("see", {
          execute: ({ due, move }) => Effect.andThen(see("due", due), see("moved", weekLater(move)))
        }),
        Saga.commit
      )
      const Trip = Saga.make("Trip", { context: { when: Schema.Date, nights: Schema.Int } }).pipe(
        Saga.local("return", {
          success: Schema.Date,
          execute: ({ when }) => Effect.sync(() => weekLater(when)),
          compensate: ({ when }) => see("undo", when)
        }),
        Saga.nested("inner", { saga: Inner, context: ({ when }) => ({ due: weekLater(when) }) }),
        Saga.local("use", {
          execute: ({ inner, nights, return: back, when }) =>
            Effect.andThen(
              see(`${nights} nights from`, when),
              Effect.andThen(see("to", weekLater(back)), see("inner", weekLater(inner.move)))
            )
        }),
        Saga.local("fail", {
          error: Schema.String,
          execute: ({ inner, return: back }) =>
            Effect.andThen(Effect.andThen(see("then", back), see("inner", inner.move)), Effect.fail("no"))
        }),
        Saga.commit
      )
      return Effect.gen(function* () {
        const execution = yield* SagaManager.run(Trip, { context: { when, nights: 3 }, raiseOnError: false })
        assert.deepStrictEqual(seen, [
          "due 2026-01-08",
          "moved 2026-01-22",
          "3 nights from 2026-01-01",
          "to 2026-01-15",
          "inner 2026-01-22",
          "then 2026-01-08",
          "inner 2026-01-15",
          "undo 2026-01-01"
        ])
        assert.strictEqual(day(when), "2026-01-01")
        if (execution.status !== "errored") return assert.fail(execution.status)
        const given = execution.context.when
        if (given !== undefined) weekLater(given)
        assert.strictEqual(day(execution.context.when ?? new Date(0)), "2026-01-01")
      }).pipe(Effect.provide(manager([Trip])))
    }
  )

  it.effect("lists and objects are the same for all, whatever a step does to those that it got or gave", () => {
    const mine = [1, 2]
    const seen: Array<string> = []
    const Lists = Saga.make("Lists", { context: { items: Schema.Array(Schema.Int), any: Schema.Unknown } }).pipe(
      Saga.local("given", { success: Schema.Unknown, execute: () => Effect.succeed({ mine }) }),
      Saga.local("flags", { success: Schema.Array(Schema.Boolean), execute: () => Effect.succeed([true]) }),
      Saga.local("change", {
        execute: (context) =>
          Effect.sync(() => {
            mine.push(3)
            for (const value of Object.values(context)) Reflect.set(Object(value), "0", "changed")
          })
      }),
      Saga.local("see", { execute: (context) => Effect.sync(() => void seen.push(JSON.stringify(context))) }),
      Saga.commit
    )
    const own = { a: [1] }
    const all = { items: [1], any: { a: [1] }, given: { mine: [1, 2] }, flags: [true] }
    return Effect.gen(function* () {
      const execution = yield* SagaManager.run(Lists, { context: { items: [1], any: own } })
      own.a.push(2)
      assert.deepStrictEqual(seen, [JSON.stringify(all)])
      assert.deepStrictEqual(SagaExecution.raw(execution).context, all)
    }).pipe(Effect.provide(manager([Lists])))
  })
})

describe("F27: a value in hand that cannot be stored", () => {
  it.effect("-0 is stored as 0, wherever a value can be", () => {
    const Zeros = Saga.make("Zeros", { context: { a: Schema.Number, b: Schema.Unknown } }).pipe(
      Saga.local("c", { success: Schema.Number, execute: () => Effect.succeed(-0) }),
      Saga.local("d", {
        success: Schema.Struct({ total: Schema.Finite }),
        execute: () => Effect.succeed({ total: -0 })
      }),
      Saga.local("e", { success: Schema.Unknown, execute: () => Effect.succeed([-0]) }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const execution = yield* SagaManager.run(Zeros, { context: { a: -0, b: { c: -0 } } })
      const zero = { a: 0, b: { c: 0 }, c: 0, d: { total: 0 }, e: [0] }
      assert.deepStrictEqual(execution.context, zero)
      assert.deepStrictEqual(SagaExecution.raw(execution).context, zero)
    }).pipe(Effect.provide(manager([Zeros])))
  })

  const results: Readonly<Record<string, unknown>> = {
    NaN: Number.NaN,
    "an invalid date": new Date(Number.NaN),
    "undefined inside": { a: undefined },
    "a bigint": 1n,
    "too many keys": Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`k${i}`, i])),
    "too large": "x".repeat(2 ** 20)
  }
  for (const [name, result] of Object.entries(results)) {
    it.effect(`a result fails its step, and is undone with the value: ${name}`, () => {
      const undone: Array<unknown> = []
      const Lost = Saga.make("Lost", { context: {} }).pipe(
        Saga.local("first", {
          execute: () => Effect.void,
          compensate: () => Effect.sync(() => void undone.push("first"))
        }),
        Saga.local("made", {
          success: Schema.Unknown,
          execute: () => Effect.succeed(result),
          compensate: ({ made }) => Effect.sync(() => void undone.push(made))
        }),
        Saga.commit
      )
      return Effect.gen(function* () {
        const execution = yield* SagaManager.run(Lost, { context: {}, raiseOnError: false })
        assert.strictEqual(execution.status, "errored")
        assert.isTrue(execution.alreadyRollback)
        assert.strictEqual(undone.length, 2)
        assert.isTrue(Object.is(undone[0], result))
        assert.strictEqual(undone[1], "first")
      }).pipe(Effect.provide(manager([Lost])))
    })
  }

  // Between two attempts an execution on a database belongs to nobody, and who takes it up has no value.
  if (isMemory)
    it.effect("an undo with the value in hand is tried again like any other", () => {
      const undone: Array<unknown> = []
      const Lost = Saga.make("Lost", { context: {} }).pipe(
        Saga.local("made", {
          success: Schema.Unknown,
          execute: () => Effect.succeed(1n),
          compensate: ({ made }) => Effect.suspend(() => (undone.push(made) < 3 ? Effect.die("away") : Effect.void)),
          retryCompensate: { times: 2, backoff: "1 second" }
        }),
        Saga.commit
      )
      return Effect.gen(function* () {
        const running = yield* Effect.forkChild(SagaManager.run(Lost, { context: {}, raiseOnError: false }))
        yield* TestClock.adjust("1 minute")
        const execution = yield* Fiber.join(running)
        assert.isTrue(execution.alreadyRollback)
        assert.deepStrictEqual(undone, [1n, 1n, 1n])
      }).pipe(Effect.provide(manager([Lost])))
    })

  for (const unknown of [true, false]) {
    const then = unknown ? "the compensation for an unknown effect runs" : "a person has to look"
    it.effect(`after a crash nobody has the value: ${then}`, () => {
      const undone: Array<string> = []
      const told = (what: string) => Effect.sync(() => void undone.push(what))
      const Lost = Saga.make("Lost", { context: {} }).pipe(
        Saga.local("made", {
          success: Schema.Unknown,
          execute: () => Effect.void,
          compensate: unknown ? { run: () => told("run"), unknown: () => told("unknown") } : () => told("run")
        }),
        Saga.commit
      )
      return Effect.gen(function* () {
        const failure = {
          _tag: "StepValueRejected",
          path: "0",
          step: "made",
          rule: "encode",
          issue: "$ is bigint"
        } as const
        const facts: ReadonlyArray<SagaEvent> = [
          { _tag: "ExecutionStarted", service: "own", autocommit: true, transactional: false, at: 0 },
          { _tag: "StepStarted", path: "0", name: "made", at: 0 },
          { _tag: "StepFailed", path: "0", status: "errored-on-execute", effect: "exists", failure, at: 0 }
        ]
        const { state: created } = yield* SagaExecution.fromDefinition(Lost)
        const moment = { definition: Lost, now: 0, since: 0, presentSince: 0, attemptSince: 0, schedule: defaults }
        const { decision, state } = advance(facts.reduce(evolve, created), moment)
        const [instruction] = decision.instructions
        if (instruction?._tag !== "Compensate" || instruction.step._tag !== "Local")
          return assert.fail(`${instruction?._tag}`)
        const scope = { ...moment, state, service: "own", clock: yield* Clock.Clock, fiberContext: undefined }
        const found = yield* compensate(scope, instruction, instruction.step, Effect.succeed)
        const after = advance(found.reduce(evolve, state), moment)
        assert.deepStrictEqual(undone, unknown ? ["unknown"] : [])
        assert.deepStrictEqual(after.state.parked, unknown ? [] : ["0"])
      })
    })
  }
})
