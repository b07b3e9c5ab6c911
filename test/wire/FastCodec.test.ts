/** The fast codec gives the same answers as the schema and the rules of JSON, for schemas with and without one. */
import { isDeepStrictEqual } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema } from "effect"
import * as JsonCodec from "../../src/wire/JsonCodec.ts"
import { check } from "../../src/wire/JsonLimits.ts"
import { below, type Chance, forSeeds, happens, pick } from "../execution/rules/chance.ts"

// ---- what is compared ------------------------------------------------------------------------------------------

type Said = { readonly value: unknown } | "refused"

/** The result of the schema itself; for an encoded value the JSON limits, too. */
const bySchema = (exit: Exit.Exit<unknown, unknown>, isEncoding: boolean): Said => {
  if (Exit.isFailure(exit)) return "refused"
  if (!isEncoding) return { value: exit.value }
  return isJson(exit.value) ? { value: asText(exit.value) } : "refused"
}

const hasNegativeZero = (value: unknown): boolean => {
  if (typeof value !== "object" || value === null) return Object.is(value, -0)
  try {
    return isJson(value) && Object.values(value).some(hasNegativeZero)
  } catch {
    return false
  }
}

/** What a reader of the text gets: -0 is 0 (F27), and no object has a prototype of its own. */
const asText = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

/** A value that cannot be read has no result. */
const isJson = (value: unknown): boolean => {
  try {
    return typeof check(value) === "number"
  } catch {
    return false
  }
}

const said = (outcome: unknown): Said => (JsonCodec.isCodecIssue(outcome) ? "refused" : { value: outcome })

const isSame = (one: Said, other: Said): boolean => {
  if (one === "refused" || other === "refused") return one === other
  // The second says that the order of the keys is the same, too.
  return isDeepStrictEqual(one.value, other.value) && isDeepStrictEqual(textOf(one.value), textOf(other.value))
}

const textOf = (value: unknown): unknown => {
  try {
    return JSON.stringify(value)
  } catch {
    return "none"
  }
}

/** Fails where the short way says anything else than the long one. */
const compare = (schema: Schema.Codec<any>, value: unknown, what: string): void => {
  const json = Schema.toCodecJson(schema)
  const encoded = said(JsonCodec.encode(schema, value))
  const decoded = said(JsonCodec.decode(schema, value))
  assert.isTrue(isSame(encoded, bySchema(Schema.encodeUnknownExit(json)(value), true)), `encoding ${what}`)
  // No text has -0: it is 0 for a reader of the text (F27). And only the elements of an array are in it.
  if (hasNegativeZero(value)) return
  const inputs = isJson(value) ? [value, asText(value)] : [value]
  const decodings = inputs.map((input) => bySchema(Schema.decodeUnknownExit(json)(input), false))
  assert.isTrue(
    decodings.some((decoding) => isSame(decoded, decoding)),
    `decoding ${what}`
  )
}

// ---- by hand ---------------------------------------------------------------------------------------------------

class Money extends Schema.Class<Money>("Money")({ amount: Schema.Int }) {}

interface Tree {
  readonly inner: ReadonlyArray<Tree>
}
const Tree: Schema.Codec<Tree> = Schema.Struct({ inner: Schema.Array(Schema.suspend(() => Tree)) })

const isA = Schema.makeFilter((value: unknown) => value === "a")

const schemas: Readonly<Record<string, Schema.Codec<any>>> = {
  text: Schema.String,
  pattern: Schema.String.check(Schema.isPattern(/^[a-c]+$/)),
  "two patterns": Schema.String.check(Schema.isPattern(/a/), Schema.isPattern(/b$/i)),
  "pattern with g": Schema.String.check(Schema.isPattern(/[ab]/g)),
  "pattern with y": Schema.String.check(Schema.isPattern(/a/y)),
  "pattern with u": Schema.String.check(Schema.isPattern(/^.$/u)),
  "pattern and length": Schema.String.check(Schema.isPattern(/a/), Schema.isMaxLength(2)),
  "upper case": Schema.String.check(Schema.isUppercased()),
  brand: Schema.String.pipe(Schema.brand("Brand")),
  trimmed: Schema.Trim,
  template: Schema.TemplateLiteral(["a", Schema.Int]),
  yesOrNo: Schema.Boolean,
  number: Schema.Number,
  finite: Schema.Finite,
  int: Schema.Int,
  "finite int": Schema.Finite.check(Schema.isInt()),
  int32: Schema.Number.check(Schema.isInt32()),
  positive: Schema.Int.check(Schema.isGreaterThan(0)),
  "number as text": Schema.NumberFromString,
  bigint: Schema.BigInt,
  date: Schema.Date,
  nothing: Schema.Null,
  "literal text": Schema.Literal("a"),
  "literal 0": Schema.Literal(0),
  "literal -0": Schema.Literal(-0),
  "literal 1": Schema.Literal(1),
  "literal true": Schema.Literal(true),
  "literal 1n": Schema.Literal(1n),
  "literal that is checked": Schema.Literal("a").check(Schema.makeFilter(() => false)),
  literals: Schema.Literals(["a", "b", 1, false]),
  "literals with 0": Schema.Literals(["a", 0]),
  "literals with 1n": Schema.Literals(["a", 1n]),
  "literals that are checked": Schema.Literals(["a", "b"]).check(isA),
  "no literals": Schema.Literals([]),
  "null or text": Schema.NullOr(Schema.String),
  "text or number": Schema.Union([Schema.String, Schema.Int]),
  enum: Schema.Enum({ A: "a", B: 1 }),
  array: Schema.Array(Schema.String),
  "array of arrays": Schema.Array(Schema.Array(Schema.Int)),
  "array with one": Schema.NonEmptyArray(Schema.String),
  "short array": Schema.Array(Schema.String).check(Schema.isMaxLength(1)),
  "mutable array": Schema.mutable(Schema.Array(Schema.String)),
  tuple: Schema.Tuple([Schema.String, Schema.Int]),
  "tuple and rest": Schema.TupleWithRest(Schema.Tuple([Schema.String]), [Schema.Int]),
  "array of what may be undefined": Schema.Array(Schema.UndefinedOr(Schema.Int)),
  record: Schema.Record(Schema.String, Schema.Int),
  "record of records": Schema.Record(Schema.String, Schema.Record(Schema.String, Schema.String)),
  "record of some keys": Schema.Record(Schema.String.check(Schema.isPattern(/^[ab]$/)), Schema.Int),
  "record of two keys": Schema.Record(Schema.Literals(["a", "b"]), Schema.Int),
  "record that is checked": Schema.Record(Schema.String, Schema.Int).check(Schema.makeFilter(({ a }) => a === 1)),
  struct: Schema.Struct({ id: Schema.String, count: Schema.Int, paid: Schema.Boolean }),
  empty: Schema.Struct({}),
  sized: Schema.Struct({ length: Schema.Int }),
  optional: Schema.Struct({ id: Schema.String, count: Schema.optionalKey(Schema.Int) }),
  "optional or undefined": Schema.Struct({ id: Schema.String, count: Schema.optional(Schema.Int) }),
  "all optional": Schema.Struct({ id: Schema.optionalKey(Schema.String), toString: Schema.optionalKey(Schema.String) }),
  "mutable field": Schema.Struct({ id: Schema.mutableKey(Schema.String) }),
  "number as field": Schema.Struct({ 2: Schema.Int, 1: Schema.Int, id: Schema.String }),
  "what may be undefined": Schema.Struct({ id: Schema.String, count: Schema.UndefinedOr(Schema.Int) }),
  "struct that is checked": Schema.Struct({ id: Schema.String, count: Schema.Int }).check(
    Schema.makeFilter(({ count, id }) => id.length === count)
  ),
  nested: Schema.Struct({ id: Schema.String, inner: Schema.optionalKey(Schema.Struct({ id: Schema.String })) }),
  "struct and rest": Schema.StructWithRest(Schema.Struct({ id: Schema.String }), [
    Schema.Record(Schema.String, Schema.Json)
  ]),
  renamed: Schema.Struct({ id: Schema.String }).pipe(Schema.encodeKeys({ id: "name" })),
  "default when it is made": Schema.Struct({
    id: Schema.String.pipe(Schema.withConstructorDefault(Effect.succeed("a")))
  }),
  "default when it is read": Schema.Struct({
    id: Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed("a")))
  }),
  transformed: Schema.Struct({ id: Schema.String, count: Schema.NumberFromString }),
  "hostile field": Schema.Struct({ constructor: Schema.String, id: Schema.String }),
  "hostile optional field": Schema.Struct({ prototype: Schema.optionalKey(Schema.String), id: Schema.String }),
  money: Money,
  "list of money": Schema.Array(Money),
  tree: Tree,
  json: Schema.Json,
  "checked json": Schema.Json.check(isA),
  "list of json": Schema.Array(Schema.Json),
  "record of json": Schema.Record(Schema.String, Schema.Json),
  "json in a struct": Schema.Struct({ id: Schema.String, content: Schema.optionalKey(Schema.Json) }),
  "array, turned round": Schema.flip(Schema.Array(Schema.String).check(Schema.isMinLength(1))),
  "record, turned round": Schema.flip(
    Schema.Record(Schema.String, Schema.Int).check(Schema.makeFilter(({ a }) => a === 1))
  ),
  "struct, turned round": Schema.flip(
    Schema.Struct({ id: Schema.String }).check(Schema.makeFilter(({ id }) => id === "a"))
  ),
  "literals, turned round": Schema.flip(Schema.Literals(["a", "b"]).check(isA)),
  "json, turned round": Schema.flip(Schema.Json.check(isA)),
  "number as text, turned round": Schema.flip(Schema.NumberFromString)
}

/** A list in a list, and so on. */
const deep = (depth: number): unknown => {
  let value: unknown = "a"
  for (let i = 0; i < depth; i++) value = [value]
  return value
}

const deepRecord = (depth: number): unknown => {
  let value: unknown = "a"
  for (let i = 0; i < depth; i++) value = { a: value }
  return value
}

const throwing = (at: object, key: string | number): object =>
  Object.defineProperty(at, key, {
    enumerable: true,
    get: () => {
      throw new Error("it cannot be read")
    }
  })

const cycle: Record<string, unknown> = { id: "a" }
cycle.a = cycle

class Order {
  readonly id = "a"
  readonly count = 1
  readonly paid = true
}

class Texts extends Array<string> {}

const hidden = (value: object): object => Object.defineProperty(value, "hidden", { value: 1, enumerable: false })

const values: Readonly<Record<string, unknown>> = {
  a: "a",
  ab: "ab",
  aB: "aB",
  a1: "a1",
  d: "d",
  "no text": "",
  "text with a space": " a",
  "an astral character": "\u{1f600}",
  "half a character": "\ud83d",
  true: true,
  false: false,
  null: null,
  undefined: undefined,
  0: 0,
  "-0": -0,
  1: 1,
  "-7": -7,
  "1.5": 1.5,
  "2^31": 2 ** 31,
  "2^53": 2 ** 53,
  NaN: Number.NaN,
  infinity: Number.POSITIVE_INFINITY,
  "1 as text": "1",
  "1n": 1n,
  "a function": () => 1,
  "a symbol": Symbol.iterator,
  "a date": new Date(0),
  "a date as text": new Date(0).toISOString(),
  "no elements": [],
  "an array": ["a"],
  "two texts": ["a", "b"],
  "a text and a number": ["a", 1],
  "numbers in arrays": [[1], [], [2, 3]],
  "-0 in an array": [[-0]],
  // biome-ignore lint/suspicious/noSparseArray: it is one
  "a sparse array": ["a", , "b"],
  "an array of undefined": [undefined],
  "an array with a field": Object.assign(["a"], { id: "a" }),
  "an array of a class": Texts.from(["a"]),
  "an array that throws": throwing([], 0),
  "no fields": {},
  "an order": { id: "a", count: 1, paid: true },
  "an order in another order, with more": { paid: true, more: "ignored", count: 1, id: "a" },
  "an order with a hostile key": JSON.parse('{ "id": "a", "count": 1, "paid": true, "__proto__": { "id": "b" } }'),
  "an order with -0": { id: "a", count: -0, paid: true },
  "an order with half a count": { id: "a", count: 1.5, paid: true },
  "an order with a count as text": { id: "a", count: "1", paid: true },
  "an order of a class": new Order(),
  "an order that inherits": Object.create({ id: "inherited", count: 1, paid: false }),
  "an order without a prototype": Object.assign(Object.create(null), { id: "a", count: 1, paid: true }),
  "an order that throws": throwing({ count: 1, paid: true }, "id"),
  "an order with a symbol": { id: "a", count: 1, paid: true, [Symbol.iterator]: 1 },
  "id and count": { id: "a", count: 1 },
  "id and another count": { id: "aa", count: 1 },
  "id and undefined": { id: "a", count: undefined },
  id: { id: "a" },
  "id b": { id: "b" },
  "id undefined": { id: undefined },
  name: { name: "a" },
  "1, 2 and id": { id: "a", 1: 1, 2: 2 },
  "a number": { a: 1 },
  "two numbers": { b: 2, a: 1 },
  "numbers and one that is hidden": hidden({ a: 1 }),
  "numbers and a symbol": { a: 1, [Symbol.iterator]: 2 },
  "numbers that are inherited": Object.create({ a: 1 }),
  "numbers without a prototype": Object.assign(Object.create(null), { a: 1 }),
  "numbers that throw": throwing({ a: 1 }, "b"),
  "a hostile number": JSON.parse('{ "a": 1, "__proto__": 2 }'),
  "another hostile number": { a: 1, constructor: 2 },
  "a number for a prototype": { a: 1, prototype: 2 },
  "1,000 numbers": Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`k${i}`, i])),
  "1,001 numbers": Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`k${i}`, i])),
  "numbers that are indices": { 10: 1, 9: 2, b: 3, a: 4 },
  "a map": new Map([["a", 1]]),
  "texts in records": { a: { b: "c" }, d: {} },
  "a record that throws inside": { a: throwing({}, "b") },
  "an inner one": { id: "a", inner: { id: "b" } },
  "an inner one that throws": { id: "a", inner: throwing({}, "id") },
  "an inner one that is undefined": { id: "a", inner: undefined },
  "an inner one that is none": { id: "a", inner: ["b"] },
  length: { length: 2 },
  "toString as text": { toString: "a" },
  "hostile fields": { constructor: "c", prototype: "p", id: "a" },
  "an amount": { amount: 5 },
  money: new Money({ amount: 5 }),
  "a list of money": [new Money({ amount: 5 })],
  "a list of amounts": [{ amount: 5 }],
  "a tree": { inner: [{ inner: [] }] },
  "a cycle": cycle,
  "a cycle inside": { id: "a", content: cycle },
  "json that throws": { id: "a", content: throwing({}, "a") },
  "json with undefined": { id: "a", content: { a: undefined } },
  "json with a class": { id: "a", content: [new Order()] },
  "json with a hostile key": { id: "a", content: JSON.parse('[{ "__proto__": 1 }]') },
  "json with -0": { id: "a", content: [-0] },
  "json that is undefined": { id: "a", content: undefined },
  ...Object.fromEntries(
    [29, 30, 31, 32, 33, 34].flatMap((depth) => [
      [`lists in lists, ${depth}`, deep(depth)],
      [`records in records, ${depth}`, deepRecord(depth)],
      [`a content with lists in lists, ${depth}`, { id: "a", content: deep(depth) }],
      [`a content with records in records, ${depth}`, { id: "a", content: deepRecord(depth) }]
    ])
  )
}

/** Nested in itself, and in lists in turn: at some depth it is deeper than JSON may be. */
const nestedIn = (depth: number, inner: Schema.Codec<any>, wrap: (inner: Schema.Codec<any>) => Schema.Codec<any>) => {
  let schema = inner
  for (let i = 0; i < depth; i++) schema = wrap(schema)
  return schema
}

describe("a value is encoded and decoded as its schema says", () => {
  for (const [name, schema] of Object.entries(schemas))
    it(name, () => {
      for (const [what, value] of Object.entries(values)) {
        compare(schema, value, what)
        // A codec keeps no state of earlier values.
        compare(schema, value, `${what} again`)
      }
    })

  it("a value is encoded and decoded the same way at the greatest depth of JSON, and beyond", () => {
    for (const depth of [30, 31, 32, 33]) {
      for (const [name, leaf] of Object.entries({ json: Schema.Json, text: Schema.String, int: Schema.Int })) {
        const lists = nestedIn(depth, leaf, (inner) => Schema.Array(inner))
        const records = nestedIn(depth, leaf, (inner) => Schema.Record(Schema.String, inner))
        const structs = nestedIn(depth, leaf, (inner) => Schema.Struct({ a: Schema.optionalKey(inner) }))
        for (const more of [-1, 0, 1, 2, 3]) {
          const what = `${depth} levels of ${name}, and ${more} more`
          compare(lists, deep(depth + more), `lists, ${what}`)
          compare(records, deepRecord(depth + more), `records, ${what}`)
          compare(structs, deepRecord(depth + more), `structs, ${what}`)
        }
      }
    }
  })
})

// ---- by chance -------------------------------------------------------------------------------------------------

/** A schema, and values that fit it. */
interface Drawn {
  readonly schema: Schema.Codec<any>
  readonly fitting: (chance: Chance) => unknown
}

const names = ["a", "b", "id", "count", "toString", "10", "2"] as const
const texts = ["", "a", "b", "abc", "1", "\u0000", "é"]
const numbers = [0, 1, -1, 42, 2 ** 40]

const leaves: ReadonlyArray<Drawn> = [
  { schema: Schema.String, fitting: (chance) => pick(chance, texts) },
  { schema: Schema.String.check(Schema.isPattern(/^[ab]/)), fitting: (chance) => pick(chance, ["a", "b", "abc"]) },
  { schema: Schema.String.check(Schema.isPattern(/a/g)), fitting: (chance) => pick(chance, ["a", "abc"]) },
  { schema: Schema.Boolean, fitting: (chance) => happens(chance, 0.5) },
  { schema: Schema.Int, fitting: (chance) => pick(chance, numbers) },
  { schema: Schema.Finite, fitting: (chance) => pick(chance, [...numbers, 0.5]) },
  { schema: Schema.Literals(["a", 1, true]), fitting: (chance) => pick(chance, ["a", 1, true]) },
  { schema: Schema.Literals([0, 1]), fitting: (chance) => pick(chance, [0, 1]) },
  { schema: Schema.NullOr(Schema.Int), fitting: (chance) => pick(chance, [null, ...numbers]) },
  { schema: Schema.NumberFromString, fitting: (chance) => pick(chance, numbers) },
  { schema: Money, fitting: (chance) => new Money({ amount: pick(chance, numbers) }) },
  { schema: Schema.Json, fitting: (chance) => pick(chance, [null, 1, "a", [], [{ a: [1] }], { b: {}, a: [null] }]) }
]

const drawn = (chance: Chance, depth: number): Drawn => {
  if (depth === 0 || happens(chance, 0.3)) return pick(chance, leaves)
  const inner = drawn(chance, depth - 1)
  switch (below(chance, 4)) {
    case 0:
      return {
        schema: Schema.Array(inner.schema),
        fitting: (chance) => Array.from({ length: below(chance, 4) }, () => inner.fitting(chance))
      }
    case 1:
      return {
        schema: Schema.Record(Schema.String, inner.schema),
        fitting: (chance) =>
          Object.fromEntries(
            Array.from({ length: below(chance, 4) }, () => [pick(chance, names), inner.fitting(chance)])
          )
      }
    default: {
      const fields = names
        .filter(() => happens(chance, 0.5))
        .map((name) => ({ name, isOptional: happens(chance, 0.4), drawn: drawn(chance, depth - 1) }))
      return {
        schema: Schema.Struct(
          Object.fromEntries(
            fields.map(({ drawn, isOptional, name }) => [
              name,
              isOptional ? Schema.optionalKey(drawn.schema) : drawn.schema
            ])
          )
        ),
        fitting: (chance) =>
          Object.fromEntries(
            fields
              .filter(({ isOptional }) => !isOptional || happens(chance, 0.5))
              .map(({ drawn, name }) => [name, drawn.fitting(chance)])
          )
      }
    }
  }
}

const strange = [undefined, null, -0, Number.NaN, 0.5, "x", 1n, [], {}, new Order(), new Date(0), Symbol.iterator]

/** The same with something somewhere that is not as it was. */
const spoilt = (chance: Chance, value: unknown): unknown => {
  if (typeof value !== "object" || value === null || happens(chance, 0.2)) return pick(chance, strange)
  const copy: Record<string, unknown> | Array<unknown> = Array.isArray(value) ? [...value] : { ...value }
  const keys = Object.keys(copy)
  const key = keys.length === 0 ? "a" : pick(chance, keys)
  switch (below(chance, 8)) {
    case 0:
      Reflect.deleteProperty(copy, key)
      return copy
    case 1:
      return throwing(copy, key)
    case 2:
      return hidden(copy)
    case 3:
      return Object.defineProperty(copy, pick(chance, ["__proto__", "constructor", "prototype"]), {
        value: pick(chance, strange),
        enumerable: true
      })
    case 4:
      return Array.isArray(copy) ? copy : Object.create(copy)
    case 5:
      return Reflect.set(copy, "more", pick(chance, strange)) && copy
    default:
      Reflect.set(copy, key, spoilt(chance, Reflect.get(copy, key)))
      return copy
  }
}

it("any value is encoded and decoded as any schema says", () => {
  forSeeds(400, (seed) => {
    const chance: Chance = { state: seed }
    const { fitting, schema } = drawn(chance, 4)
    for (let i = 0; i < 25; i++) {
      const value = fitting(chance)
      compare(schema, value, `value ${i}`)
      compare(schema, spoilt(chance, value), `spoilt value ${i}`)
    }
  })
})
