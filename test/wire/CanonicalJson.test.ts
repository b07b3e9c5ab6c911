/** RFC 8785: the examples of the RFC, written by hand, and what holds for any JSON. */
import { assert, describe, it } from "@effect/vitest"
import { formerly, sha256, stringify } from "../../src/wire/CanonicalJson.ts"
import type { Json } from "../../src/wire/JsonLimits.ts"
import { below, type Chance, forSeeds, pick } from "../execution/rules/chance.ts"

describe("C16 canonical JSON", () => {
  it("has the text of section 3.2.2: values", () => {
    const given: Json = JSON.parse(String.raw`{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }`)
    assert.strictEqual(
      stringify(given),
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`
    )
    // The bytes of section 3.2.4.
    const bytes =
      "7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a5b3333333333333333332e333333333333332c31652b33302c342e352c302e3030322c31652d32375d2c22737472696e67223a22e282ac245c75303030665c6e4127425c225c5c5c5c5c222f227d"
    assert.strictEqual(Buffer.from(stringify(given)).toString("hex"), bytes)
  })

  it("has the order of section 3.2.3: by UTF-16 units, not by characters, numbers or languages", () => {
    const given = JSON.parse(String.raw`{
      "\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
      "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"
    }`)
    assert.deepStrictEqual(
      Object.values(
        JSON.parse(
          `[${stringify(given)
            .slice(1, -1)
            .replaceAll(/"[^"]*":/gu, "")}]`
        )
      ),
      [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh"
      ]
    )
    assert.strictEqual(
      stringify({ b: 0, 10: 0, "": 0, 9: 0, "-1": 0, a: 0, B: 0 }),
      '{"":0,"-1":0,"10":0,"9":0,"B":0,"a":0,"b":0}'
    )
  })

  it("has the numbers of appendix B", () => {
    const double = (hex: string) => Buffer.from(hex, "hex").readDoubleBE()
    for (const [hex, text] of [
      ["0000000000000000", "0"],
      ["8000000000000000", "0"],
      ["0000000000000001", "5e-324"],
      ["8000000000000001", "-5e-324"],
      ["7fefffffffffffff", "1.7976931348623157e+308"],
      ["ffefffffffffffff", "-1.7976931348623157e+308"],
      ["4340000000000000", "9007199254740992"],
      ["c340000000000000", "-9007199254740992"],
      ["4430000000000000", "295147905179352830000"],
      ["44b52d02c7e14af5", "9.999999999999997e+22"],
      ["44b52d02c7e14af6", "1e+23"],
      ["44b52d02c7e14af7", "1.0000000000000001e+23"],
      ["444b1ae4d6e2ef4e", "999999999999999700000"],
      ["444b1ae4d6e2ef4f", "999999999999999900000"],
      ["444b1ae4d6e2ef50", "1e+21"],
      ["3eb0c6f7a0b5ed8c", "9.999999999999997e-7"],
      ["3eb0c6f7a0b5ed8d", "0.000001"],
      ["41b3de4355555553", "333333333.3333332"],
      ["41b3de4355555554", "333333333.33333325"],
      ["41b3de4355555555", "333333333.3333333"],
      ["41b3de4355555556", "333333333.3333334"],
      ["41b3de4355555557", "333333333.33333343"],
      ["becbf647612f3696", "-0.0000033333333333333333"],
      ["43143ff3c1cb0959", "1424953923781206.2"]
    ] as const)
      assert.strictEqual(stringify(double(hex)), text, hex)
  })

  it("has one text and one hash for equal values, and says the same", () => {
    forSeeds(300, (seed) => {
      const value = anyJson({ state: seed })
      const turned = reversed(value)
      assert.deepStrictEqual(JSON.parse(stringify(value)), value)
      assert.strictEqual(stringify(turned), stringify(value))
      assert.strictEqual(sha256(turned), sha256(value))
    })
    assert.strictEqual(stringify({ b: undefined, a: [undefined, { c: undefined }] }), '{"a":[null,{}]}')
    // The RFC has no text for it, and it may be stored.
    assert.strictEqual(stringify("\ud83d"), String.raw`"\ud83d"`)
  })

  it("has the text of release 0.1.0 unless a key is an index", () => {
    for (const value of [null, "a", [1, { b: 1, a: 2 }], { é: 0, "-1": 0, "01": 0, "1.5": 0 }])
      assert.strictEqual(formerly(value), stringify(value))
    assert.strictEqual(formerly({ 10: 0, a: 0, 9: 0 }), '{"9":0,"10":0,"a":0}')
    assert.strictEqual(stringify({ 10: 0, a: 0, 9: 0 }), '{"10":0,"9":0,"a":0}')
  })
})

const keys = ["b", "a", "10", "9", "0", "-1", "toString", "é", "", "A", "\u{1f600}", "\ufb33"]

const anyJson = (chance: Chance, depth = 3): Json => {
  const kind = below(chance, depth === 0 ? 1 : 3)
  if (kind === 0) return pick(chance, [null, true, 0, -1.5, 1e21, "", "a\n\u2028", "\ud83d"])
  const items = Array.from({ length: below(chance, 5) }, () => anyJson(chance, depth - 1))
  return kind === 1 ? items : Object.fromEntries(items.map((item) => [pick(chance, keys), item]))
}

const reversed = (value: Json): Json => {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map(reversed)
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, item]) => [key, reversed(item)])
  )
}
