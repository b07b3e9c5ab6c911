/** Texts for messages: one line, whatever stands in a value. */
import { assert, it } from "@effect/vitest"
import { describe, json, line, oneLine } from "../../src/wire/OneLine.ts"

it("F29: a value in a message is one line without control characters, half surrogates or turned text", () => {
  const cases: ReadonlyArray<readonly [unknown, string]> = [
    ["plain, ünïcode 🙂", "plain, ünïcode 🙂"],
    ["one\r\ntwo\tthree\u2028four\u0085five", "one two three four\uFFFDfive"],
    ["\u0000\u001B[31m", "\uFFFD\uFFFD[31m"],
    ["half \uD800 of it", "half \uFFFD of it"],
    ["gnp.\u202Eexe", "gnp.\uFFFDexe"],
    [undefined, "undefined"],
    [7, "7"]
  ]
  for (const [value, text] of cases) assert.strictEqual(oneLine(value), text)
  assert.strictEqual(line`a ${"b\nc"} d ${1}`, "a b c d 1")
})

it("F29: a long value is cut in a message", () => {
  assert.strictEqual(oneLine("x".repeat(1_000)).length, 1_000)
  assert.strictEqual(oneLine("x".repeat(1_000_000)), `${"x".repeat(1_000)}…`)
})

it("F29: of an error a message says the tag, else the name, and the message, and no other field", () => {
  const cases: ReadonlyArray<readonly [unknown, string]> = [
    [{ _tag: "NoCourier", message: "too\nfar", city: "secret" }, "NoCourier: too far"],
    [{ _tag: "NoCourier", city: "secret" }, "NoCourier"],
    [new TypeError("no"), "TypeError: no"],
    [Object.assign(new Error("no"), { _tag: "Bad", secret: 1 }), "Bad: no"],
    [{ city: "secret" }, "an object without a tag"],
    [{ message: 7 }, "an object without a tag"],
    ["a text", "a text"],
    [undefined, "undefined"],
    [null, "null"]
  ]
  for (const [error, text] of cases) assert.strictEqual(describe(error), text)
})

it("F29: the JSON of an error has its plain fields, and summaries of the errors inside it", () => {
  const inner = Object.assign(new Error("inner"), { secret: 1 })
  const error = Object.assign(new Error("outer"), {
    _tag: "Outer",
    path: "0",
    cause: inner,
    later: [inner, { secret: 1 }, "text"],
    parked: ["1"],
    execution: { secret: 1 },
    other: inner
  })
  assert.deepStrictEqual(json(error), {
    _tag: "Outer",
    path: "0",
    cause: { tag: "Error", message: "inner" },
    later: [{ tag: "Error", message: "inner" }, { tag: "an object without a tag", message: "" }, "text"],
    parked: ["1"],
    other: { tag: "Error", message: "inner" },
    message: "outer"
  })
})
