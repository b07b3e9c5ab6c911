import { assert, describe, it } from "@effect/vitest"
import { Exit, Schema } from "effect"
import * as JsonCodec from "../../src/wire/JsonCodec.ts"
import { check } from "../../src/wire/JsonLimits.ts"

class Money extends Schema.Class<Money>("Money")({ amount: Schema.Int }) {}

/** Plain ones, and those that look like them and are not. */
const schemas = {
  text: Schema.String,
  shortText: Schema.String.check(Schema.isMaxLength(3)),
  yesOrNo: Schema.Boolean,
  number: Schema.Number,
  finite: Schema.Finite,
  int: Schema.Int,
  int32: Schema.Number.check(Schema.isInt32()),
  positive: Schema.Int.check(Schema.isGreaterThan(0)),
  numberAsText: Schema.NumberFromString,
  record: Schema.Struct({ id: Schema.String, count: Schema.Int, paid: Schema.Boolean }),
  empty: Schema.Struct({}),
  sized: Schema.Struct({ length: Schema.Int }),
  optional: Schema.Struct({ id: Schema.String, count: Schema.optionalKey(Schema.Int) }),
  maybe: Schema.Struct({ id: Schema.String, count: Schema.UndefinedOr(Schema.Int) }),
  checked: Schema.Struct({ id: Schema.String, count: Schema.Int }).check(
    Schema.makeFilter(({ id, count }) => id.length === count)
  ),
  nested: Schema.Struct({ id: Schema.String, inner: Schema.Struct({ id: Schema.String }) }),
  renamed: Schema.Struct({ id: Schema.String }).pipe(Schema.encodeKeys({ id: "name" })),
  dictionary: Schema.Record(Schema.String, Schema.Int),
  hostile: Schema.Struct({ constructor: Schema.String, id: Schema.String }),
  money: Money
}

const sparse = { id: "a", count: undefined }
const values: ReadonlyArray<unknown> = [
  ..."a long text,a,".split(","),
  ...[true, false, null, undefined, 0, -0, 1, -7, 1.5, 2 ** 31, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, 1n],
  ...[[], ["a"], {}, () => 1, Symbol.iterator, new Date(0)],
  { id: "a", count: 1, paid: true },
  { paid: true, count: 1, id: "a", more: "ignored" },
  { id: "a", count: -0, paid: true },
  { id: "a", count: 1.5, paid: true },
  { id: "a", count: "1", paid: true },
  { id: "a", count: 1 },
  { id: "aa", count: 1 },
  { id: "a" },
  { name: "a" },
  sparse,
  { id: "a", inner: { id: "b" } },
  { length: 2 },
  { constructor: "c", id: "a" },
  { amount: 5 },
  new Money({ amount: 5 }),
  Object.create({ id: "inherited", count: 1, paid: false }),
  Object.assign(Object.create(null), { id: "a", count: 1, paid: true })
]

/** The result of the schema itself, and then of the JSON limits. */
const bySchema = (
  run: (value: unknown) => Exit.Exit<unknown, unknown>,
  value: unknown,
  isEncoding: boolean
): unknown => {
  const exit = run(value)
  if (Exit.isFailure(exit)) return "refused"
  if (!isEncoding) return exit.value
  // What a reader of the text gets: -0 is 0 (F27).
  return typeof check(exit.value) === "number" ? JSON.parse(JSON.stringify(exit.value)) : "refused"
}

const refusedOr = (value: unknown): unknown => (JsonCodec.isCodecIssue(value) ? "refused" : value)

describe("a value", () => {
  for (const [name, schema] of Object.entries(schemas)) {
    it(`a value is encoded and decoded as its schema says (${name})`, () => {
      const codec: Schema.Codec<any> = Schema.toCodecJson(schema)
      for (const [i, value] of values.entries()) {
        const encoded = refusedOr(JsonCodec.encode(schema, value))
        assert.deepStrictEqual(encoded, bySchema(Schema.encodeUnknownExit(codec), value, true), `encoding value ${i}`)
        if (encoded === "refused") continue
        const decoded = refusedOr(JsonCodec.decode(schema, encoded as never))
        assert.deepStrictEqual(
          decoded,
          bySchema(Schema.decodeUnknownExit(codec), encoded, false),
          `decoding value ${i}`
        )
      }
    })
  }

  it("a value that is changed after its encoding does not change the encoded value", () => {
    const order = { id: "a", count: 1, paid: true }
    const encoded = JsonCodec.encode(schemas.record, order)
    order.id = "b"
    const decoded = JsonCodec.decode(schemas.record, encoded as never) as { id: string }
    decoded.id = "c"
    assert.deepStrictEqual(encoded, { id: "a", count: 1, paid: true })
  })

  it("a value that throws when it is read is refused", () => {
    const broken = {
      count: 1,
      paid: true,
      get id(): string {
        throw new Error("broken")
      }
    }
    for (const schema of [
      schemas.record,
      schemas.empty,
      Schema.Json,
      Schema.Unknown,
      Schema.Any,
      Schema.Array(Schema.Any)
    ])
      for (const value of [broken, [broken]])
        assert.isTrue(JsonCodec.isCodecIssue(JsonCodec.encode(schema, value)), JSON.stringify(schema.ast))
  })

  it("a union reads what was not stored, where one of its members does: another one may have written it", () => {
    const word = Schema.Literal("nobody")
    for (const member of [Schema.Void, Schema.Undefined, Schema.Unknown, Schema.Union([Schema.Int, Schema.Void])])
      for (const union of [Schema.Union([word, member]), Schema.Union([member, word])]) {
        assert.isUndefined(JsonCodec.decode(union as JsonCodec.Codec<unknown>, undefined))
        assert.strictEqual(JsonCodec.decode(union as JsonCodec.Codec<unknown>, "nobody"), "nobody")
      }
    assert.isTrue(JsonCodec.isCodecIssue(JsonCodec.decode(Schema.Union([word, Schema.Int]), undefined)))
  })

  it("F26 a value without fields of its own is JSON as it is stored: callbacks may share it, and no step copies the context", () => {
    assert.isTrue(JsonCodec.isJson(Schema.Struct({})))
    for (const schema of [Schema.Struct({ at: Schema.Date }), Schema.Date])
      assert.isFalse(JsonCodec.isJson(schema as JsonCodec.Codec<unknown>))
  })
})
