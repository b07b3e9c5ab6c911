/** Requests and responses as values. */
import { assert, describe, it } from "@effect/vitest"
import { Equal, Hash, Schema } from "effect"
import { SagaRequest, SagaResponse, SagaResponseError, SagaResponseStatus } from "../../src/definition/SagaMessage.ts"

describe("SagaRequest", () => {
  it("MSG-001 the target and the content are readable; without content there is none", () => {
    const request = SagaRequest.make("payments/charge", { amount: 1 })
    assert.strictEqual(request.target, "payments/charge")
    assert.deepStrictEqual(request.content, { amount: 1 })
    assert.isUndefined(SagaRequest.make("payments/charge").content)
    // @ts-expect-error Argument of type '"payments"' is not assignable to parameter of type '`${string}/${string}`'.
    SagaRequest.make("payments")
  })

  it("MSG-002 requests are equal only if target and content are", () => {
    const request = SagaRequest.make("payments/charge", { amount: 1 })
    assert.isTrue(Equal.equals(request, SagaRequest.make("payments/charge", { amount: 1 })))
    assert.isTrue(Equal.equals(request, { target: "payments/charge", content: { amount: 1 } }))
    assert.isFalse(Equal.equals(request, SagaRequest.make("payments/refund", { amount: 1 })))
    assert.isFalse(Equal.equals(request, SagaRequest.make("payments/charge", { amount: 2 })))
    assert.isFalse(Equal.equals(request, SagaRequest.make("payments/charge")))
  })
})

describe("SagaResponse", () => {
  const uuid = "0196b2a1-0000-7000-8000-000000000000"

  it("MSG-003 a response made from content is a success without related services; what is given is readable", () => {
    const plain = SagaResponse.make({ content: { id: 1 } })
    assert.deepStrictEqual(plain.content, { id: 1 })
    assert.strictEqual(plain.status, SagaResponseStatus.SUCCESS)
    assert.deepStrictEqual(plain.relatedServices, [])
    assert.deepStrictEqual([plain.uuid, plain.requestId, plain.service], [undefined, undefined, undefined])
    const full = SagaResponse.make({
      content: null,
      relatedServices: ["a"],
      uuid,
      requestId: `${uuid}:0:execute`,
      service: "b"
    })
    assert.deepStrictEqual(
      [full.content, full.relatedServices, full.uuid, full.requestId, full.service],
      [null, ["a"], uuid, `${uuid}:0:execute`, "b"]
    )
  })

  it("MSG-004 the statuses are 200, 400 and 500; a number becomes its status, another number is refused", () => {
    const { ERROR, SUCCESS, SYSTEM_ERROR } = SagaResponseStatus
    assert.deepStrictEqual([SUCCESS, ERROR, SYSTEM_ERROR], [200, 400, 500])
    assert.strictEqual(SagaResponse.make({ content: null, status: 400 }).status, ERROR)
    assert.strictEqual(SagaResponse.make({ content: null, status: SYSTEM_ERROR }).status, 500)
    const decode = Schema.decodeUnknownSync(SagaResponse)
    assert.strictEqual(decode({ content: null, status: 500, relatedServices: [] }).status, SYSTEM_ERROR)
    // @ts-expect-error Type '404' is not assignable to type '200 | 400 | 500'.
    assert.throws(() => SagaResponse.make({ content: null, status: 404 }))
    assert.throws(() => decode({ content: null, status: 404, relatedServices: [] }))
  })

  it("MSG-005 only a success is ok", () => {
    const ok = ([200, 400, 500] as const).map((status) => SagaResponse.make({ content: null, status }).ok)
    assert.deepStrictEqual(ok, [true, false, false])
  })

  it("MSG-006 responses are equal only if content, status, related services as a set, and execution are", () => {
    const of = (change: Partial<Parameters<typeof SagaResponse.make>[0]> = {}) =>
      SagaResponse.make({ content: { id: [1] }, status: 400, relatedServices: ["a", "b"], uuid, ...change })
    for (const same of [of(), of({ relatedServices: ["b", "a", "a"] })]) {
      assert.isTrue(Equal.equals(of(), same))
      assert.strictEqual(Hash.hash(of()), Hash.hash(same))
    }
    const others = [
      { content: { id: [2] } },
      { status: 500 },
      { relatedServices: ["a"] },
      { uuid: "other" },
      { requestId: "r" }
    ] as const
    assert.deepStrictEqual(
      others.map((change) => Equal.equals(of(), of(change))),
      others.map(() => false)
    )
  })

  it("a message goes through JSON and back", () => {
    const json = Schema.fromJsonString(Schema.toCodecJson(SagaResponse))
    const response = SagaResponse.make({ content: { id: [1] }, status: 400, relatedServices: ["a"], uuid })
    assert.isTrue(Equal.equals(Schema.decodeSync(json)(Schema.encodeSync(json)(response)), response))
  })

  it("a response error shows its status and not its content", () => {
    const error = new SagaResponseError({ status: 500, content: { card: "4111" } })
    assert.strictEqual(error.message, "the service answered 500")
    const why = (status: 400 | 500, content: unknown) => new SagaResponseError({ status, content }).message
    assert.strictEqual(why(500, "ReplyTooLarge"), "the service answered 500: ReplyTooLarge")
    for (const content of ["card 4111", "4111", "x".repeat(65), "a\nb", "", null, ["Died"]])
      assert.strictEqual(why(500, content), "the service answered 500")
    assert.strictEqual(why(400, "Secret"), "the service answered 400")
    assert.deepStrictEqual(error.content, { card: "4111" })
    assert.notInclude(JSON.stringify(error), "4111")
    assert.include(JSON.stringify(error), "500")
  })
})
