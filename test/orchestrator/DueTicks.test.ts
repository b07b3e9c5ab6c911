/** Which ticks of a schedule are due. */
import { assert, describe, it } from "@effect/vitest"
import { Cron } from "effect"
import { dueTicks, inTime } from "../../src/orchestrator/DueTicks.ts"

const at = (text: string) => new Date(text).getTime()
const texts = (times: ReadonlyArray<number>) => times.map((time) => new Date(time).toISOString().slice(0, 16))

const nightly = Cron.parseUnsafe("0 2 * * *", "UTC")

describe("dueTicks", () => {
  it("a tick is due at its time, and once", () => {
    const last = at("2026-03-01T02:00:00Z")
    assert.deepStrictEqual(dueTicks(nightly, last, at("2026-03-02T01:59:59.999Z"), 1).due, [])
    assert.deepStrictEqual(texts(dueTicks(nightly, last, at("2026-03-02T02:00:00Z"), 1).due), ["2026-03-02T02:00"])
    assert.deepStrictEqual(dueTicks(nightly, at("2026-03-02T02:00:00Z"), at("2026-03-02T02:00:00.001Z"), 1).due, [])
  })

  it("of missed ticks the newest are made, oldest first, as many as catchUp says; the others are left out", () => {
    const last = at("2026-03-01T02:00:00Z")
    const now = at("2026-03-08T12:00:00Z")
    assert.deepStrictEqual(texts(dueTicks(nightly, last, now, 2).due), ["2026-03-07T02:00", "2026-03-08T02:00"])
    assert.strictEqual(dueTicks(nightly, last, now, 2).leftOut, at("2026-03-06T02:00:00Z"))
    assert.deepStrictEqual(dueTicks(nightly, last, now, 0), { due: [], leftOut: at("2026-03-08T02:00:00Z") })
    assert.strictEqual(dueTicks(nightly, last, now, 7).due.length, 7)
    assert.isUndefined(dueTicks(nightly, last, now, 7).leftOut)
  })

  it("what is late by a minute is in time, and not counted as missed", () => {
    const each = Cron.parseUnsafe("* * * * * *", "UTC")
    const now = at("2026-03-01T00:10:00Z")
    const { due, leftOut } = dueTicks(each, now - 100_000, now, 0)
    assert.strictEqual(due.length, inTime / 1_000 + 1)
    assert.strictEqual(due[0], now - inTime)
    assert.strictEqual(leftOut, now - inTime - 1_000)
  })

  it("after years of absence only what is made is looked at", () => {
    const each = Cron.parseUnsafe("* * * * * *", "UTC")
    const { due } = dueTicks(each, at("2016-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"), 3)
    assert.strictEqual(due.length, inTime / 1_000 + 1 + 3)
  })

  it("an hour that comes twice has its tick once, and one that is left out has it at its end", () => {
    const brussels = Cron.parseUnsafe("30 2 * * *", "Europe/Brussels")
    const autumn = dueTicks(brussels, at("2026-10-24T12:00:00Z"), at("2026-10-25T12:00:00Z"), 9)
    assert.deepStrictEqual(texts(autumn.due), ["2026-10-25T00:30"])
    const spring = dueTicks(brussels, at("2026-03-28T12:00:00Z"), at("2026-03-30T12:00:00Z"), 9)
    assert.deepStrictEqual(texts(spring.due), ["2026-03-29T01:30", "2026-03-30T00:30"])
  })

  it("a last tick in the future has nothing due", () => {
    assert.deepStrictEqual(dueTicks(nightly, at("2030-01-01T00:00:00Z"), at("2026-01-01T12:00:00Z"), 5), {
      due: [],
      leftOut: undefined
    })
  })
})
