/** C18: behind a pivot a step that was refused is asked again with another message. Each of them is a command of its own. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { makeBench, type Op, uuid } from "./byHand.ts"

const alone = { alone: true }
const id = (op: Op, attempt: number | string) => `${uuid}:0:${op}:${attempt}`
const message = (op: "execute" | "probe" | "failure", attempt: number | string) =>
  ({ op, changes: { id: id(op, attempt) } }) as const

describe("a command that is sent again with the next number", () => {
  it.effect("C18 runs although the one before was refused for good, and once", () =>
    Effect.gen(function* () {
      const bench = yield* makeBench()
      // The first one never came, and never will: it was probed.
      yield* bench.deliver({ op: "probe" }, alone)
      assert.strictEqual((yield* bench.deliver({ op: "execute" }, alone)).status, 500)
      for (let copy = 0; copy < 2; copy++)
        assert.strictEqual((yield* bench.deliver(message("execute", 2), alone)).status, 200)
      assert.deepStrictEqual([...bench.effects], [[id("execute", 2), 1]])
    })
  )

  it.effect("C18 is probed under its own number: the others say nothing about it", () =>
    Effect.gen(function* () {
      const bench = yield* makeBench()
      yield* bench.deliver({ op: "execute" }, alone)
      assert.strictEqual((yield* bench.deliver({ op: "probe" }, alone)).status, 200)
      assert.strictEqual((yield* bench.deliver(message("probe", 2), alone)).status, 404)
      assert.strictEqual((yield* bench.deliver(message("execute", 2), alone)).status, 500)
      assert.strictEqual((yield* bench.deliver(message("execute", 3), alone)).status, 200)
      assert.strictEqual((yield* bench.deliver(message("probe", 3), alone)).status, 200)
    })
  )

  it.effect("C3 has a number from 2 without a zero in front, and a compensation has none", () =>
    Effect.gen(function* () {
      const bench = yield* makeBench()
      const wrong = [message("execute", 1), message("execute", "02"), message("execute", "x"), message("failure", 2)]
      for (const one of wrong)
        assert.deepInclude(yield* bench.deliver(one, alone), { _tag: "putAway", fault: "MessageMalformed" })
      assert.strictEqual(bench.effects.size, 0)
    })
  )
})
