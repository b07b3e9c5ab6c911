/** Texts of callers: the same limits for every store. */
import { assert, it } from "@effect/vitest"
import { isPath } from "../../src/wire/Envelope.ts"
import { isStorable, issueOf } from "../../src/wire/Text.ts"

it("F39: a text is measured in bytes, and may have any character but NUL and halves of surrogates", () => {
  for (const text of ["", "order-17", "x".repeat(256), "é".repeat(128), "🙂".repeat(64), "\u0001\n", "__proto__"])
    assert.isUndefined(issueOf(text, 256), text)
  const wrong: ReadonlyArray<readonly [unknown, RegExp]> = [
    ["x".repeat(257), /more than 256 bytes/],
    ["é".repeat(129), /more than 256 bytes/],
    ["🙂".repeat(65), /more than 256 bytes/],
    ["x".repeat(1_000_000), /more than 256 bytes/],
    ["a\0", /NUL/],
    ["\ud83d", /half a surrogate/],
    ["\ude00\ud83d", /half a surrogate/],
    [7, /number, not a string/],
    [null, /null, not a string/],
    [undefined, /undefined, not a string/],
    [["x"], /object, not a string/]
  ]
  for (const [text, issue] of wrong) assert.match(String(issueOf(text, 256)), issue)
  assert.deepStrictEqual(["order", "a\0", "\ud83d", "🙂"].map(isStorable), [true, false, false, true])
})

it("F32: a path is an index, with a name and an index for each level", () => {
  const deepest = `999${"/abcdefgh9999/9999".repeat(32)}`
  for (const path of ["0", "9999", "2/if1/0", "2/else/0", "3/b0/0", "3/n/0", "3/n/0/b12/7/else/1", "1/i999/0", deepest])
    assert.isTrue(isPath(path), path)
  for (const path of [
    "",
    "-1",
    "../0",
    "01",
    "10000",
    "0/",
    "/0",
    "0/n",
    "0/N/0",
    "0/n/0 ",
    "0\n",
    "0/0/0",
    `${deepest}/n/0`,
    0
  ])
    assert.isFalse(isPath(path), String(path))
})
