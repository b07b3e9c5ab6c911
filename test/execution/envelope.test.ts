/** Messages: ids that are derived, answers that go the other way, and what is no envelope (SPEC C3, C11). */
import { assert, describe, it } from "@effect/vitest"
import { Exit, Schema } from "effect"
import { Envelope, messageId, Name, parseMessageId, reply } from "../../src/execution/Envelope.ts"

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
  it("follows from execution, path and operation alone: a resend has the same one", () => {
    assert.strictEqual(messageId(uuid, "2/if1/0", "execute"), `${uuid}:2/if1/0:execute`)
    assert.strictEqual(messageId(uuid, "2/if1/0", "execute"), execute.id)
    const ids = ["0", "1", "1/n/0"].flatMap((path) =>
      (["execute", "failure", "probe"] as const).map((op) => messageId(uuid, path, op))
    )
    assert.strictEqual(new Set(ids).size, 9)
  })

  it("can be taken apart again", () => {
    assert.deepStrictEqual(parseMessageId(execute.id), { uuid, scope: "2/if1/0", op: "execute" })
    assert.deepStrictEqual(parseMessageId(messageId(uuid, "payments", "reserve")), {
      uuid,
      scope: "payments",
      op: "reserve"
    })
    for (const text of ["", "a", "a:b", "a:b:c:d"]) assert.strictEqual(parseMessageId(text), undefined, text)
  })
})

describe("a reply", () => {
  const answer = reply(execute, { status: 200, content: "p-1", relatedServices: ["ledger"] })

  it("belongs to its request: same execution, path, services, user, headers, lifetime and trace", () => {
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

  it("is the same for the same request: it may be sent again", () => {
    assert.deepStrictEqual(reply(execute, { status: 200, content: "p-1", relatedServices: ["ledger"] }), answer)
  })

  it("leaves out what the request has not", () => {
    const { headers: _, path: __, trace: ___, user: ____, ...bare } = execute
    const short = reply(bare, { status: 404, relatedServices: [] })
    for (const key of ["headers", "path", "trace", "user", "content"]) assert.notProperty(short, key)
    assert.strictEqual(isEnvelope(short), true)
  })

  it("keeps a content that is null", () => {
    assert.propertyVal(reply(execute, { status: 200, content: null, relatedServices: [] }), "content", null)
  })
})

describe("an envelope", () => {
  it("goes through JSON text unchanged", () => {
    for (const envelope of [execute, reply(execute, { status: 500, relatedServices: [] })]) {
      const read = decode(JSON.parse(JSON.stringify(envelope)))
      assert.deepStrictEqual(Exit.isSuccess(read) && read.value, envelope)
    }
  })

  it("is refused with an unknown version, operation or status, a bad uuid or name, or a field too few", () => {
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

  it("names services as topics can: a letter first, 64 characters at most", () => {
    const isName = Schema.is(Name)
    for (const name of ["a", "Payments", "a.b_c-d", `a${"x".repeat(63)}`]) assert.strictEqual(isName(name), true, name)
    for (const name of ["", "1a", "-a", "a/b", "a b", "a+", "#", "é", `a${"x".repeat(64)}`, "a\n"])
      assert.strictEqual(isName(name), false, name)
  })
})
