/** The values of items: what a callback sees and may change, what cannot be stored, how much fits; and items on databases. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { Broker, Saga, SagaConfig, SagaError, SagaExecution, SagaManager, TransactionCommitter } from "effect-saga"
import { SqlParticipantStore, SqlSagaExecutionRepository } from "effect-saga/sql"
import { SagaTest } from "effect-saga/testing"
import * as Pglite from "../fixtures/pglite.ts"
import { databases } from "../fixtures/postgres.ts"

const Line = Schema.Struct({ sku: Schema.String, by: Schema.Date })
const lines = (...skus: ReadonlyArray<string>) => skus.map((sku) => ({ sku, by: new Date(5) }))

/** The error of the step of a run that has failed. */
const causeOf = (execution: { readonly status: string }) => {
  const { cause } = execution as { readonly cause?: unknown } // an errored one has it
  assert.instanceOf(cause, SagaError.SagaFailedExecutionStep)
  return (cause as InstanceType<typeof SagaError.SagaFailedExecutionStep>).cause // just asserted
}

describe("the context of an item", () => {
  it.effect(
    "has the context around it, the item and its own results; what a callback changes no other one sees (F26)",
    () =>
      Effect.gen(function* () {
        const seen: Array<unknown> = []
        const saga = Saga.make("List", { context: { lines: Schema.Array(Line), city: Schema.String } }).pipe(
          Saga.local("day", { success: Schema.Date, execute: () => Effect.succeed(new Date(1)) }),
          Saga.forEach("each", {
            items: (context) => context.lines,
            item: Line,
            as: "line",
            steps: (each) =>
              each.pipe(
                Saga.local("first", {
                  success: Schema.Date,
                  execute: (context) =>
                    Effect.sync(() => {
                      seen.push([Object.keys(context).sort(), context.lines.length, context.line.by.getTime()])
                      // In plain JavaScript a Date may be changed.
                      context.line.by.setTime(77)
                      context.lines[0]?.by.setTime(77)
                      context.day.setTime(77)
                      return new Date(9)
                    })
                }),
                Saga.local("second", {
                  success: Schema.String,
                  execute: ({ city, day, first, line, lines }) => {
                    const times = [day, first, line.by, lines[0]?.by ?? new Date(Number.NaN)].map((date) =>
                      date.getTime()
                    )
                    first.setTime(77)
                    return Effect.succeed(`${city} ${line.sku} ${times}`)
                  }
                })
              )
          }),
          Saga.local("after", {
            success: Schema.String,
            execute: ({ each }) => {
              const times = each.map(({ first }) => first.getTime())
              each[0]?.first.setTime(77)
              return Effect.succeed(`${times}`)
            }
          }),
          Saga.local("last", {
            success: Schema.Date,
            execute: ({ each }) => Effect.succeed(each[0]?.first ?? new Date(0))
          }),
          Saga.commit
        )
        const { execution, story } = yield* SagaTest.run(saga, { context: { lines: lines("a", "b"), city: "Ghent" } })
        if (execution.status !== "finished") assert.fail(story.join("\n"))
        const names = ["city", "day", "line", "lines"]
        assert.deepStrictEqual(seen, [
          [names, 2, 5],
          [names, 2, 5]
        ])
        assert.deepStrictEqual(
          execution.context.each.map(({ second }) => second),
          ["Ghent a 1,9,5,5", "Ghent b 1,9,5,5"]
        )
        assert.strictEqual(execution.context.after, "9,9")
        assert.deepStrictEqual(execution.context.last, new Date(9))
        const read = yield* SagaExecution.fromRaw(JSON.parse(JSON.stringify(SagaExecution.raw(execution as any))), saga)
        assert.deepEqual(read.context, execution.context as unknown)
      })
  )
})

describe("a list that cannot be gone through", () => {
  const of = (items: () => any) =>
    Saga.make("List", { context: {} }).pipe(
      Saga.forEach("each", {
        items,
        item: Schema.String,
        as: "one",
        steps: Saga.local("done", { success: Schema.String, execute: ({ one }) => Effect.succeed(one) })
      }),
      Saga.commit
    )
  const failed = (items: () => any) =>
    Effect.map(SagaTest.run(of(items), { context: {} }), ({ execution, outline }) => {
      assert.deepStrictEqual(outline, ["started", "each failed", "errored"])
      return causeOf(execution)
    })

  it.effect(
    "fails its step, and no item runs: no array, an item that does not fit, a function that throws, too much",
    () =>
      Effect.gen(function* () {
        const issueOf = (cause: unknown) => (cause as { readonly issue?: string }).issue // one of the library's errors
        assert.strictEqual(issueOf(yield* failed(() => "abc")), "the items are no array")
        assert.match(issueOf(yield* failed(() => ["a", 1])) ?? "", /^item 1: /)
        const broken = yield* failed(() => {
          throw new Error("broken")
        })
        assert.instanceOf(broken, Error)
        assert.propertyVal(broken, "message", "broken")
        const large = yield* failed(() => ["x".repeat(600_000), "x".repeat(600_000)])
        assert.instanceOf(large, SagaError.SagaContextTooLarge)
      })
  )

  it.effect("the results of all items together may fill the context, and no more (C11)", () =>
    Effect.gen(function* () {
      for (const concurrency of [1, 4]) {
        const held = new Set<string>()
        const saga = Saga.make("Large", { context: { size: Schema.Int } }).pipe(
          Saga.forEach("each", {
            items: () => ["a", "b", "c", "d"],
            item: Schema.String,
            as: "one",
            concurrency,
            steps: Saga.local("text", {
              success: Schema.String,
              execute: ({ one, size }) => Effect.sync(() => held.add(one) && "x".repeat(size)),
              compensate: {
                run: ({ one }) => Effect.sync(() => void held.delete(one)),
                unknown: ({ one }) => Effect.sync(() => void held.delete(one))
              }
            })
          }),
          Saga.commit
        )
        const fits = yield* SagaTest.run(saga, { context: { size: 250_000 } })
        assert.strictEqual(fits.execution.status, "finished")
        held.clear()
        const large = yield* SagaTest.run(saga, { context: { size: 300_000 } })
        assert.instanceOf(causeOf(large.execution), SagaError.SagaContextTooLarge)
        assert.deepStrictEqual([...held], [])
      }
    })
  )

  it.effect(
    "the lists of an execution may have 10,000 items together (C11)",
    () =>
      Effect.gen(function* () {
        const saga = Saga.make("Lists", { context: {} }).pipe(
          Saga.forEach("outer", {
            items: () => Array.from({ length: 10 }, (_, i) => `${i}`),
            item: Schema.String,
            as: "row",
            steps: Saga.forEach("inner", {
              items: ({ row }) => Array.from({ length: row === "9" ? 991 : 1_000 }, () => row),
              item: Schema.String,
              as: "cell",
              concurrency: 100,
              steps: Saga.sleep("nap", 1)
            })
          }),
          Saga.commit
        )
        const { execution } = yield* SagaTest.run(saga, { context: {} })
        assert.deepStrictEqual(
          causeOf(execution),
          new SagaError.SagaTooManyItems({ path: "0/i9/0", step: "inner", issue: "10001 of 10000 in one execution" })
        )
      }),
    { timeout: 60_000 }
  )
})

describe("items on a database", () => {
  const saga = Saga.make("Stored", { context: { lines: Schema.Array(Line), last: Schema.Boolean } }).pipe(
    Saga.forEach("each", {
      items: (context) => context.lines,
      item: Line,
      as: "line",
      concurrency: 2,
      steps: (each) =>
        each.pipe(
          Saga.local("first", {
            success: Schema.Date,
            execute: ({ line }) => Effect.succeed(line.by),
            compensate: () => Effect.void
          }),
          Saga.sleep("nap", 10)
        )
    }),
    Saga.local("sum", {
      success: Schema.Int,
      error: Schema.String,
      execute: ({ each, last }) => (last ? Effect.succeed(each.length) : Effect.fail("no"))
    }),
    Saga.commit
  )

  it.live(
    "are stored and read back, forward and on the way back, whatever crashes: PGlite",
    () =>
      Effect.gen(function* () {
        for (const last of [true, false]) {
          const runs = yield* SagaTest.crashPoints(saga, {
            context: { lines: lines("a", "b", "c"), last },
            shared: Layer.provideMerge(
              Layer.merge(SqlSagaExecutionRepository.layer(), SqlParticipantStore.layer()),
              Pglite.layer()
            ),
            layer: Layer.empty,
            only: "store.after"
          })
          assert.isAbove(runs.length, 6)
          for (const { crash, execution } of runs) {
            assert.strictEqual(execution.status, last ? "finished" : "errored", crash)
            assert.deepStrictEqual(execution.parked, [], crash)
            assert.deepStrictEqual(skusOf(execution), ["a", "b", "c"], crash)
            if (last) assert.propertyVal(execution.context as object, "sum", 3)
          }
        }
      }),
    300_000
  )

  for (const { layer, name, schema } of databases("items")) {
    it.live(
      `a list of 100 is stored and read back, forward and on the way back: ${name}`,
      () =>
        Effect.gen(function* () {
          const skus = Array.from({ length: 100 }, (_, i) => `${i}`)
          const manager = yield* SagaManager.SagaManager
          for (const last of [true, false]) {
            const context = { lines: lines(...skus), last }
            const { status, uuid } = yield* SagaManager.run(saga, { context, raiseOnError: false })
            assert.strictEqual(status, last ? "finished" : "errored")
            const stored = yield* manager.load(uuid)
            assert.deepStrictEqual([stored.status, stored.parked], [status, []])
            assert.deepStrictEqual(skusOf(stored), skus)
            if (last) assert.propertyVal(stored.context as object, "sum", 100)
          }
        }).pipe(
          Effect.provide(
            SagaManager.layer([saga]).pipe(
              Layer.provide([
                SqlSagaExecutionRepository.layer({ schema }),
                SagaConfig.layer({ service: "items" }),
                Broker.layerMemory,
                TransactionCommitter.layerNone
              ]),
              Layer.provide(layer)
            )
          )
        ),
      120_000
    )
  }
})

/** The items of the list that have begun, in their order. */
const skusOf = ({ executedSteps: [each] }: Pick<SagaExecution.SagaExecution, "executedSteps">) =>
  each?.inner.map(({ context }) => (context.line as { readonly sku?: string }).sku) // an item of the list
