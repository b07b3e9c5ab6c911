/** A command of a saga that runs inside another one: it belongs to the transactions of both, each with its coordinator. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { type Bench, makeBench, maxSkew, notAfter, uuid } from "./byHand.ts"

const outer = "01890000-0000-7000-8000-00000000000a"
const both = { transactions: [outer, uuid] }
const ofOuter = { saga: outer, coordinator: "travel", transactions: [outer] }

/** Both statuses: that of the outer transaction first. */
const statuses = ({ status }: Bench) => Effect.all([status(outer), status(uuid)])

describe("a command of an inner saga", () => {
  it.effect("a command of an inner saga opens both transactions, and each is decided by its own coordinator", () =>
    Effect.gen(function* () {
      const bench = yield* makeBench()
      assert.strictEqual((yield* bench.deliver({ op: "execute", command: "Stage", changes: both })).status, 200)
      assert.deepStrictEqual(yield* statuses(bench), ["pending", "pending"])
      assert.strictEqual((yield* bench.deliver({ op: "reserve", changes: both })).status, 200)
      assert.strictEqual((yield* bench.deliver({ op: "commit", changes: both })).status, 200)
      assert.deepStrictEqual(yield* statuses(bench), ["pending", "committed"])
      assert.strictEqual((yield* bench.deliver({ op: "reserve", paths: [], changes: ofOuter })).status, 200)
      const foreign = yield* bench.deliver({ op: "commit", changes: { ...ofOuter, coordinator: "orders" } })
      assert.deepInclude(foreign, { _tag: "putAway", fault: "SenderMismatch" })
      assert.strictEqual((yield* bench.deliver({ op: "commit", changes: ofOuter })).status, 200)
      assert.deepStrictEqual(yield* statuses(bench), ["committed", "committed"])
      assert.deepStrictEqual([...bench.visible], [`${uuid}:0:execute`])
    })
  )

  it.effect(
    "C12 a command of an inner saga leaves the outer transaction to the coordinator that first sends a message of it",
    () =>
      Effect.gen(function* () {
        const bench = yield* makeBench()
        yield* bench.deliver({ op: "execute", changes: both })
        yield* bench.deliver({ op: "execute", path: "9", changes: ofOuter })
        const foreign = yield* bench.deliver({ op: "reject", changes: { ...ofOuter, coordinator: "orders" } })
        assert.deepInclude(foreign, { _tag: "putAway", fault: "SenderMismatch" })
        assert.deepStrictEqual(yield* statuses(bench), ["pending", "pending"])
      })
  )

  it.effect("a command of an inner saga that is compensated ends its own transaction, not the one around it", () =>
    Effect.gen(function* () {
      const bench = yield* makeBench()
      yield* bench.deliver({ op: "execute", changes: both })
      assert.strictEqual((yield* bench.deliver({ op: "failure", changes: both })).status, 200)
      assert.deepStrictEqual(yield* statuses(bench), ["pending", "rejected"])
      assert.strictEqual(bench.compensated.size, 1)
    })
  )

  it.effect(
    "a command of an inner saga runs nothing once the transaction around it is over or has promised its outcome",
    () =>
      Effect.gen(function* () {
        for (const end of ["reject", "reserve"] as const) {
          const bench = yield* makeBench()
          yield* bench.deliver({ op: "execute", path: "9", changes: ofOuter })
          yield* bench.deliver({ op: end, paths: ["9"], changes: ofOuter })
          const refused = yield* bench.deliver({ op: "execute", changes: both })
          assert.deepStrictEqual([refused.status, bench.effects.size], [500, 1])
          assert.strictEqual(yield* bench.status(), "rejected")
        }
      })
  )

  it.effect(
    "a command of an inner saga without a transaction of its own joins the one around it, is compensated by its record, and cannot stage",
    () =>
      Effect.gen(function* () {
        const changes = { transactions: [outer] }
        const bench = yield* makeBench()
        assert.strictEqual((yield* bench.deliver({ op: "execute", changes })).status, 200)
        assert.deepStrictEqual(yield* statuses(bench), ["pending", "none"])
        assert.strictEqual((yield* bench.deliver({ op: "execute", path: "1", command: "Stage", changes })).status, 500)
        assert.strictEqual((yield* bench.deliver({ op: "probe", changes })).status, 200)
        assert.strictEqual((yield* bench.deliver({ op: "failure", changes })).status, 200)
        assert.deepStrictEqual([yield* statuses(bench), bench.compensated.size], [["pending", "none"], 1])
        // And it is forgotten with it.
        yield* bench.deliver({ op: "reject", changes: ofOuter })
        yield* TestClock.setTime(notAfter + maxSkew + 1)
        yield* bench.purge
        const { barriers } = yield* bench.store.unit(
          { service: "bank", transactions: [], messages: [`${uuid}:0:execute`] },
          Effect.succeed
        )
        assert.strictEqual(barriers.size, 0)
      })
  )
})
