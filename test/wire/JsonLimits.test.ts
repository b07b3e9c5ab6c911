/** The limits of JSON, and the messages of refusals: places, never values (SPEC C11, C12). */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as JsonCodec from "../../src/wire/JsonCodec.ts"
import { check, checkedCopyOf, copyOf, JsonIssue, limits } from "../../src/wire/JsonLimits.ts"
import * as Chance from "../execution/rules/chance.ts"

const issue = (value: unknown): string => {
  const checked = check(value)
  return typeof checked === "number" ? "none" : checked.message
}

const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)])

describe("check", () => {
  it("the check measures the JSON text", () => {
    for (const value of [
      null,
      true,
      false,
      0,
      -1.5,
      1e21,
      "",
      "text",
      [],
      [1, "a", null],
      {},
      { a: 1, b: [{ c: "x" }], d: {} },
      Object.assign(Object.create(null), { a: 1 })
    ])
      assert.strictEqual(check(value), JSON.stringify(value).length, JSON.stringify(value))
  })

  it("the check measures any JSON without escapes, and accepts every result of JSON.parse", () => {
    Chance.forSeeds(200, (seed) => {
      const chance = Chance.at(seed, "json")
      const make = (depth: number): unknown =>
        Chance.pick<() => unknown>(chance, [
          () => null,
          () => Chance.happens(chance, 0.5),
          () => Chance.below(chance, 1_000) / 8,
          () => "x".repeat(Chance.below(chance, 9)),
          ...(depth > 0
            ? [
                () => Array.from({ length: Chance.below(chance, 4) }, () => make(depth - 1)),
                () =>
                  Object.fromEntries(
                    Array.from({ length: Chance.below(chance, 4) }, (_, i) => [`k${i}`, make(depth - 1)])
                  )
              ]
            : [])
        ])()
      const value = make(5)
      assert.strictEqual(check(value), JSON.stringify(value).length)
      assert.strictEqual(check(JSON.parse(JSON.stringify(value))), JSON.stringify(value).length)
    })
  })

  it("a copy is refused where a getter gives something else when it is read again", () => {
    let reads = 0
    const value = {
      get amount() {
        return ++reads === 1 ? 1 : Number.NaN
      }
    }
    const copy = checkedCopyOf(value)
    assert.instanceOf(copy, JsonIssue)
    assert.strictEqual(reads, 2)
  })

  it("F40: the check counts bytes, not UTF-16 units", () => {
    for (const text of ["é", "€", "😀", "a😀é€", "\ud83d", "\ude00\ud83d", "x".repeat(100)]) {
      const bytes = new TextEncoder().encode(text).length
      assert.strictEqual(check(text), bytes + 2, JSON.stringify(text))
      assert.strictEqual(check({ [text]: [text] }), 2 * (bytes + 2) + 5, JSON.stringify(text))
    }
  })

  it("a copy shares nothing with the value, and its -0 is 0 (F27)", () => {
    const value = { a: [1, { b: -0 }], c: null, d: "x" }
    const copy = copyOf(value)
    assert.deepStrictEqual(copy, { a: [1, { b: 0 }], c: null, d: "x" })
    value.a.push(2)
    assert.deepStrictEqual(copy, { a: [1, { b: 0 }], c: null, d: "x" })
  })

  it("the check refuses values that JSON would change silently, and says where", () => {
    assert.strictEqual(issue(Number.NaN), "$ is NaN")
    assert.strictEqual(issue({ a: [1, Number.POSITIVE_INFINITY] }), "$.a[1] is Infinity")
    assert.strictEqual(issue([-0]), "none")
    const kept = check([-0], { ...limits, isKept: true })
    assert.strictEqual(typeof kept === "number" ? "none" : kept.message, "$[0] is -0")
    assert.strictEqual(issue({ a: { b: undefined } }), "$.a.b is undefined")
    assert.strictEqual(issue(undefined), "$ is undefined")
    assert.strictEqual(issue([1n]), "$[0] is bigint")
    assert.strictEqual(issue({ f: () => 1 }), "$.f is function")
    assert.strictEqual(issue([Symbol("s")]), "$[0] is symbol")
    assert.strictEqual(issue(new Date(0)), "$ is not a plain object")
    assert.strictEqual(issue({ m: new Map() }), "$.m is not a plain object")
    assert.strictEqual(issue({ e: new Error("no") }), "$.e is not a plain object")
    // biome-ignore lint/suspicious/noSparseArray: that is what is refused
    assert.strictEqual(issue([1, , 3]), "$[1] is undefined")
  })

  it("the check refuses a cycle by its depth", () => {
    const cycle: Record<string, unknown> = {}
    cycle.self = cycle
    assert.include(issue(cycle), "is nested deeper than 32")
  })

  it("the check accepts 32 levels and 1,000 keys, and no more", () => {
    assert.strictEqual(limits.maxDepth, 32)
    assert.strictEqual(issue(nested(32)), "none")
    assert.include(issue(nested(33)), "is nested deeper than 32")
    const keys = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, 1]))
    assert.strictEqual(issue(keys(1_000)), "none")
    assert.strictEqual(issue({ a: keys(1_001) }), "$.a has more than 1000 keys")
    assert.strictEqual(issue(Array.from({ length: 2_000 }, () => 1)), "none")
  })

  it("the check takes other limits", () => {
    const checked = check([[1]], { maxDepth: 1, maxKeys: 1 })
    assert.strictEqual((checked as JsonIssue).message, "$[0] is nested deeper than 1")
    assert.strictEqual((check({ a: 1, b: 2 }, { maxDepth: 1, maxKeys: 1 }) as JsonIssue).reason, "has more than 1 keys")
  })

  it("the check refuses keys that could change a prototype when they are merged", () => {
    for (const text of ['{"__proto__":{"admin":true}}', '{"prototype":1}', '{"constructor":1}']) {
      assert.strictEqual(issue(JSON.parse(text)), "$ has a key that is not allowed")
      assert.strictEqual(issue([{ a: JSON.parse(text) }]), "$[0].a has a key that is not allowed")
    }
    assert.strictEqual(issue({ toString: 1 }), "none")
  })

  it("the error of the check never shows the value", () => {
    for (const value of [{ password: 1n }, ["secret", Number.NaN], { a: new Date(0) }])
      assert.notMatch(issue(value), /secret|1970/)
  })
})

describe("an encoding", () => {
  const Card = Schema.Struct({ number: Schema.String, limit: Schema.Int })

  it("an encoded value goes through the schema and back, also where the value is not JSON", () => {
    const Times = Schema.Struct({ at: Schema.Date, ids: Schema.ReadonlySet(Schema.String) })
    const value = { at: new Date(5), ids: new Set(["a"]) }
    const encoded = JsonCodec.encode(Times, value)
    assert.deepStrictEqual(JSON.parse(JSON.stringify(encoded)), encoded)
    assert.deepStrictEqual(JsonCodec.decode(Times, encoded as never), value)
  })

  it("a value without content is encoded as nothing", () => {
    assert.strictEqual(JsonCodec.encode(Schema.Void, undefined), undefined)
    assert.strictEqual(JsonCodec.decode(Schema.Void, undefined), undefined)
    // An answer of which nothing is known may have no content.
    assert.strictEqual(JsonCodec.encode(Schema.Unknown, undefined), undefined)
    assert.strictEqual(JsonCodec.decode(Schema.Unknown, undefined), undefined)
  })

  it("an encoded value is refused with the place and without the value", () => {
    const refused = JsonCodec.encode(Card, { number: "4111 1111", limit: "many" })
    assert.strictEqual(JsonCodec.isCodecIssue(refused), true)
    assert.deepInclude(refused, { message: "$.limit: not a number" })
    const unread = JsonCodec.decode(Card, { number: 4111, limit: 1 })
    assert.deepInclude(unread, { message: "$.number: not a string" })
    const missing = JsonCodec.decode(Schema.Union([Card, Schema.Struct({ iban: Schema.String })]), {
      number: "4111 1111"
    })
    assert.strictEqual(JsonCodec.isCodecIssue(missing), true)
    for (const each of [refused, unread, missing]) assert.notMatch(JSON.stringify(each), /4111/)
  })

  it("an encoded value that is not JSON is refused, although its schema accepts it", () => {
    assert.deepInclude(JsonCodec.encode(Schema.Any, { at: 1n }), { message: "$.at is bigint" })
    assert.deepInclude(JsonCodec.encode(Schema.Any, [Number.NaN]), { message: "$[0] is NaN" })
  })

  it("a schema that dies is reported as an encode error", () => {
    const broken = Schema.String.pipe(
      Schema.check(
        Schema.makeFilter(() => {
          throw new Error("secret")
        })
      )
    )
    const refused = JsonCodec.encode(broken, "x")
    assert.deepInclude(refused, { message: "$: the schema died" })
  })

  it.effect("an encode error names every place of an issue", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Schema.decodeUnknownEffect(Card, { errors: "all" })({ number: 1, limit: 0.5 }))
      assert.strictEqual(JsonCodec.placesOf(error), "$.number: not a string, $.limit: not an integer")
    })
  )
})
