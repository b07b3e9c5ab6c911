/** Messages: their ids, replies, and the JSON that is refused (SPEC C3, C11). */
import { assert, describe, it } from "@effect/vitest"
import { Exit, Schema, Struct } from "effect"
import * as CanonicalJson from "../../src/wire/CanonicalJson.ts"
import {
  attemptOf,
  canonical,
  decode as decodeJson,
  Envelope,
  messageId,
  Name,
  parseMessageId,
  reply,
  stringify
} from "../../src/wire/Envelope.ts"
import * as JsonCodec from "../../src/wire/JsonCodec.ts"
import { check, type Json } from "../../src/wire/JsonLimits.ts"
import { below, type Chance, forSeeds, happens, pick } from "../execution/rules/chance.ts"

const uuid = "6f1c9a52-58aa-4d0c-9a5e-1a2b3c4d5e6f"

const execute: Envelope = {
  v: 1,
  id: messageId(uuid, "2/if1/0", "execute"),
  op: "execute",
  saga: uuid,
  path: "2/if1/0",
  service: "payments",
  coordinator: "orders",
  content: { amount: 5 },
  relatedServices: [],
  transactions: [uuid],
  user: "ann",
  headers: { tenant: "acme" },
  notAfter: 9_000,
  trace: "t"
}

const decode = Schema.decodeUnknownExit(Envelope)
const isEnvelope = (value: unknown): boolean => Exit.isSuccess(decode(value))

describe("the id of a message", () => {
  it("the id of a message follows from execution, path and operation alone: a resend has the same one", () => {
    assert.strictEqual(messageId(uuid, "2/if1/0", "execute"), `${uuid}:2/if1/0:execute`)
    assert.strictEqual(messageId(uuid, "2/if1/0", "execute"), execute.id)
    const ids = ["0", "1", "1/n/0"].flatMap((path) =>
      (["execute", "failure", "probe"] as const).map((op) => messageId(uuid, path, op))
    )
    assert.strictEqual(new Set(ids).size, 9)
  })

  it("the id of a message can be parsed again", () => {
    assert.deepStrictEqual(parseMessageId(execute.id), { uuid, scope: "2/if1/0", op: "execute", attempt: 1 })
    assert.deepStrictEqual(parseMessageId(messageId(uuid, "payments", "reserve")), {
      uuid,
      scope: "payments",
      op: "reserve",
      attempt: 1
    })
    assert.strictEqual(parseMessageId(messageId(uuid, "1", "execute", 12))?.attempt, 12)
    assert.deepStrictEqual(
      [attemptOf(messageId(uuid, "1", "probe")), attemptOf(messageId(uuid, "1", "probe", 3))],
      [1, 3]
    )
    for (const text of ["", "a", "a:b", "a:b:c:d", "a:b:c:1", "a:b:c:02", "a:b:c:-2", "a:b:c:2:2"])
      assert.strictEqual(parseMessageId(text), undefined, text)
  })
})

describe("a reply", () => {
  const answer = reply(execute, { status: 200, content: "p-1", relatedServices: ["ledger"] })

  it("a reply has the execution, path, services, user, headers, lifetime and trace of its request", () => {
    const { content: _, id, op: __, relatedServices: ___, ...same } = execute
    assert.deepStrictEqual(answer, {
      ...same,
      op: "reply",
      id: `${id}:reply`,
      inReplyTo: id,
      status: 200,
      content: "p-1",
      relatedServices: ["ledger"]
    })
  })

  it("a reply is the same for the same request, so it may be sent again", () => {
    assert.deepStrictEqual(reply(execute, { status: 200, content: "p-1", relatedServices: ["ledger"] }), answer)
  })

  it("a reply leaves out fields that the request does not have", () => {
    const { headers: _, path: __, trace: ___, user: ____, ...bare } = execute
    const short = reply(bare, { status: 404, relatedServices: [] })
    for (const key of ["headers", "path", "trace", "user", "content"]) assert.notProperty(short, key)
    assert.strictEqual(isEnvelope(short), true)
  })

  it("a reply keeps a content that is null", () => {
    assert.propertyVal(reply(execute, { status: 200, content: null, relatedServices: [] }), "content", null)
  })
})

describe("an envelope", () => {
  it("an envelope goes through JSON text unchanged", () => {
    for (const envelope of [execute, reply(execute, { status: 500, relatedServices: [] })]) {
      const read = decode(JSON.parse(JSON.stringify(envelope)))
      assert.deepStrictEqual(Exit.isSuccess(read) && read.value, envelope)
    }
  })

  it("an envelope is refused with an unknown version, operation or status, a bad uuid or name, or a field too few", () => {
    const wrong: ReadonlyArray<Record<string, unknown>> = [
      { v: 2 },
      { op: "explode" },
      { status: 201 },
      { saga: "no uuid" },
      { saga: uuid.toUpperCase() },
      { service: "pay/ments" },
      { coordinator: "" },
      { notAfter: 1.5 },
      { notAfter: undefined },
      { relatedServices: ["a b"] },
      { relatedServices: undefined },
      { transactions: ["x"] },
      { headers: { a: 1 } },
      { content: 1n }
    ]
    for (const change of wrong) assert.strictEqual(isEnvelope({ ...execute, ...change }), false, Object.keys(change)[0])
    assert.strictEqual(isEnvelope(execute), true)
    for (const value of [null, 1, "x", [], {}]) assert.strictEqual(isEnvelope(value), false)
  })

  it("an envelope has service names that a topic can have: a letter first, 64 characters at most", () => {
    const isName = Schema.is(Name)
    for (const name of ["a", "Payments", "a.b_c-d", `a${"x".repeat(63)}`]) assert.strictEqual(isName(name), true, name)
    for (const name of ["", "1a", "-a", "a/b", "a b", "a+", "#", "é", `a${"x".repeat(64)}`, "a\n"])
      assert.strictEqual(isName(name), false, name)
  })
})

// ---- the text --------------------------------------------------------------------------------------------------

const texts = ["", "a", 'a "quoted" text', "\u0000\u001f\\", "\u2028", "é", "\u{1f600}", "\ud83d"]
const keys = ["b", "a", "10", "9", "toString", "é", "", "A"]

const anyJson = (chance: Chance, depth = 3): Json => {
  switch (below(chance, depth === 0 ? 4 : 6)) {
    case 0:
      return null
    case 1:
      return happens(chance, 0.5)
    case 2:
      return pick(chance, [0, 1, -1.5, 1e21, 2 ** 53])
    case 3:
      return pick(chance, texts)
    case 4:
      return Array.from({ length: below(chance, 4) }, () => anyJson(chance, depth - 1))
    default:
      return Object.fromEntries(
        Array.from({ length: below(chance, 4) }, () => [pick(chance, keys), anyJson(chance, depth - 1)])
      )
  }
}

const shuffled = <A>(chance: Chance, items: ReadonlyArray<A>): ReadonlyArray<A> =>
  items
    .map((item) => ({ item, at: below(chance, 1_000) }))
    .sort((one, other) => one.at - other.at)
    .map(({ item }) => item)

/** Some of the fields that may be missing, in any order. */
const anyEnvelope = (chance: Chance): Envelope => {
  const { content: _, headers: __, trace: ___, user: ____, ...rest } = execute
  const more: Partial<Envelope> = {
    inReplyTo: execute.id,
    status: pick(chance, [200, 400, 404, 500] as const),
    content: anyJson(chance),
    user: pick(chance, texts),
    headers: Object.fromEntries(keys.filter(() => happens(chance, 0.5)).map((key) => [key, pick(chance, texts)])),
    trace: pick(chance, texts)
  }
  const all: Envelope = {
    ...rest,
    notAfter: pick(chance, [0, -1, 9_000, 2 ** 53 - 1]),
    ...(happens(chance, 0.5) && { keepUntil: pick(chance, [0, 9_000]) }),
    ...(happens(chance, 0.5) && { later: true as const }),
    ...(happens(chance, 0.5) && { recordedUntil: pick(chance, [0, 9_000]) }),
    relatedServices: ["b", "a", "payments"].filter(() => happens(chance, 0.5)),
    transactions: happens(chance, 0.5) ? [] : [uuid, uuid],
    ...more
  }
  const kept = Object.entries(all).filter(([key]) => !(key in more || key === "path") || happens(chance, 0.6))
  // Cast: it has all fields that must be there.
  return Object.fromEntries(shuffled(chance, kept)) as unknown as Envelope
}

describe("the text of an envelope", () => {
  it("the text of an envelope has the fields in the order of the schema, however the envelope was made", () => {
    const order: ReadonlyArray<string> = Struct.keys(Envelope.fields)
    forSeeds(300, (seed) => {
      const envelope = anyEnvelope({ state: seed })
      const read = JSON.parse(stringify(envelope))
      assert.deepStrictEqual(
        Object.keys(read),
        order.filter((field) => field in envelope)
      )
      assert.deepStrictEqual(read, envelope)
      assert.strictEqual(stringify(read), stringify(envelope))
    })
  })

  it("canonical JSON is defined for any JSON value", () => {
    forSeeds(300, (seed) => {
      const envelope = anyEnvelope({ state: seed })
      // Release 0.1.0 does not know these fields, and knows the message by this text.
      const { keepUntil: _, later: ___, recordedUntil: ____, ...known } = envelope
      assert.strictEqual(canonical(envelope), CanonicalJson.stringify(known))
      // It ends transactions by messages without a trace.
      const { trace: __, ...untraced } = known
      for (const op of ["reserve", "commit", "reject"] as const)
        assert.strictEqual(canonical({ ...envelope, op }), CanonicalJson.stringify({ ...untraced, op }))
      assert.strictEqual(canonical(JSON.parse(stringify(envelope))), canonical(envelope))
    })
  })

  it("the text of an envelope does not depend on whether a field is missing or not set", () => {
    const envelope = { ...execute, content: undefined, user: undefined } as unknown as Envelope // as a program may make it
    const { content: _, user: __, ...bare } = execute
    assert.strictEqual(stringify(envelope), stringify(bare))
    assert.strictEqual(canonical(envelope), canonical(bare))
    assert.strictEqual(canonical(envelope), CanonicalJson.stringify(bare))
  })
})

// ---- reading ---------------------------------------------------------------------------------------------------

/** The rules of JSON first, and then the schema. */
const bySchema = (json: unknown): unknown => {
  const checked = check(json)
  if (typeof checked !== "number") return checked.message
  const exit = decode(json)
  if (Exit.isSuccess(exit)) return exit.value
  const [reason] = exit.cause.reasons
  return reason?._tag === "Fail" ? JsonCodec.placesOf(reason.error) : "it died"
}

const said = (json: unknown): unknown => {
  const envelope = decodeJson(json)
  return JsonCodec.isCodecIssue(envelope) ? envelope.message : envelope
}

const nested = (depth: number): Json => (depth === 0 ? "a" : [nested(depth - 1)])
const hostile = JSON.parse('{ "__proto__": 1 }')
const manyKeys = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, "a"]))

/** Values for any field, and for one that nobody knows. */
const odd: ReadonlyArray<unknown> = [
  ...[null, true, 0, 1, -1, 1.5, 2 ** 53, 200, 201, "", "a", "a b", uuid, uuid.toUpperCase(), "execute"],
  ...[[], ["a"], ["a b"], [1], [uuid], {}, { a: "b" }, { a: 1 }],
  ...[hostile, [hostile], { a: hostile }, JSON.parse('{ "constructor": "a" }'), { prototype: "a" }],
  ...[manyKeys(1_000), manyKeys(1_001), [manyKeys(1_001)]],
  ...[29, 30, 31, 32, 33].map(nested)
]

describe("JSON that nobody has checked", () => {
  it("unchecked JSON is read as JSON limits and schema require, unknown fields too", () => {
    const fields = [...Struct.keys(Envelope.fields), "more", "toString", "constructor", "prototype"]
    for (const base of [execute, reply(execute, { status: 200, content: null, relatedServices: ["a"] })]) {
      assert.deepStrictEqual(said(base), base)
      for (const field of fields) {
        const { [field]: _, ...without }: Record<string, unknown> = { ...base }
        assert.deepStrictEqual(said(without), bySchema(without), `without ${field}`)
        for (const [i, value] of odd.entries()) {
          const json = { ...without, [field]: value }
          assert.deepStrictEqual(said(json), bySchema(json), `${field}: odd value ${i}`)
          // Beside a field that nobody knows.
          const more = { ...json, unknown: 1 }
          assert.deepStrictEqual(said(more), bySchema(more), `${field}: odd value ${i}, and more`)
        }
      }
    }
    for (const [i, value] of odd.entries()) assert.deepStrictEqual(said(value), bySchema(value), `odd value ${i}`)
  })

  it("unchecked JSON is refused with a key that may harm, whatever else it says", () => {
    for (const text of [`{ "__proto__": 1 }`, `{ "__proto__": { "v": 1 } }`, `{ "constructor": 1 }`]) {
      const json = Object.assign(JSON.parse(text), execute)
      assert.isString(said(json), text)
      assert.deepStrictEqual(said(json), bySchema(json), text)
    }
    // In the place of a field that may be missing: as many keys as it says.
    const { user: _, ...rest } = execute
    const json = Object.defineProperty({ ...rest }, "__proto__", { value: "ann", enumerable: true })
    assert.isString(said(json))
  })

  it("reading gives the envelope that was sent, for generated envelopes", () => {
    forSeeds(300, (seed) => {
      const envelope = anyEnvelope({ state: seed })
      const json = JSON.parse(stringify(envelope))
      assert.deepStrictEqual(said(json), envelope)
      assert.deepStrictEqual(said(json), bySchema(json))
    })
  })
})
