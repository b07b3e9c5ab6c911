/** A night of the bank, in virtual time: each customer is looked at once, and the head office gets one letter. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SagaTest } from "effect-saga/testing"
import * as Customers from "./customers.ts"
import { LookAgain, partOf } from "./nightly.ts"

const book = (...names: ReadonlyArray<string>) =>
  Layer.effectDiscard(
    Customers.Customers.use(({ enter }) =>
      Effect.forEach(names, (name, i) => enter({ customer: `c-${i}`, name, iban: "BE01" }))
    )
  ).pipe(Layer.provideMerge(Customers.layerMemory))

const night = (...names: ReadonlyArray<string>) =>
  SagaTest.given(LookAgain, { context: { night: new Date("2026-11-29T01:00:00Z") }, layer: book(...names) }).when({
    replies: { looks: { look: ({ name }) => ({ passed: name !== "Mallory" }) }, report: undefined }
  })

const letterOf = (commands: ReadonlyArray<{ readonly command: string; readonly payload: unknown }>) =>
  commands.find(({ command }) => command === "Send")?.payload

describe("a night", () => {
  it.effect("has one look for each customer, and a letter that names who is on the list now", () =>
    Effect.gen(function* () {
      const { commands } = yield* night("Ada", "Mallory", "Cleo").expect({ status: "finished" })
      assert.lengthOf(commands, 4)
      assert.deepStrictEqual(letterOf(commands), {
        to: "the head office",
        text: "Night of 2026-11-29: 3 customers, look at Mallory"
      })
    })
  )

  it.effect("without customers has a letter too", () =>
    Effect.gen(function* () {
      const { commands } = yield* night().expect({ status: "finished" })
      assert.deepStrictEqual(letterOf(commands), {
        to: "the head office",
        text: "Night of 2026-11-29: 0 customers, nothing is wrong"
      })
    })
  )

  it.effect("never has more than four looks at a time", () =>
    Effect.gen(function* () {
      const names = Array.from({ length: 10 }, (_, i) => `customer ${i}`)
      const slow = night(...names).when({
        replies: { looks: { look: () => SagaTest.late("10 minutes", { passed: true }) } }
      })
      yield* slow.expect({ status: "finished", took: "30 minutes" })
    })
  )

  it("has a part of a book that is too large for one night; the nights together have all of it, once", () => {
    const all = Array.from({ length: 2_001 }, (_, i) => i)
    const nights = [28, 29, 30].map((day) => partOf(all, new Date(Date.UTC(2026, 10, day, 1))))
    assert.deepStrictEqual(
      nights.flat().toSorted((a, b) => a - b),
      all
    )
    assert.deepStrictEqual(partOf([], new Date(0)), [])
  })
})
