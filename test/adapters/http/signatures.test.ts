/** Who may send: each request that is not from the service that it names changes nothing, and the next right one is taken. */
import { createHash, createHmac } from "node:crypto"
import { assert, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Layer, Queue, Redacted, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Broker } from "effect-saga"
import { HttpBroker } from "effect-saga/http"
import { network } from "../../fixtures/http.ts"

const secret = "a secret of two services"
const shared = { id: "now", secret: Redacted.make(secret) }
const next = { id: "next", secret: Redacted.make("the secret of next month") }

interface Claim {
  readonly from: string
  readonly to: string
  readonly key: string
  readonly time: string
  readonly body: string
  readonly secret: string
}

/** A request as docs/protocol.md describes it, written without the library. */
const requestOf = ({ body, from, key, secret, time, to }: Claim, headers: Record<string, string> = {}) => {
  const digest = createHash("sha256").update(body).digest("hex")
  const signature = createHmac("sha256", secret)
    .update(["effect-saga-http-1", key, from, to, time, digest].join("\n"))
    .digest("base64url")
  return new Request("http://payments/saga", {
    method: "POST",
    body,
    headers: {
      "saga-from": from,
      "saga-to": to,
      "saga-key": key,
      "saga-time": time,
      "saga-signature": signature,
      ...headers
    }
  })
}

const line = (body: string) => `${JSON.stringify({ kind: "command", name: "Charge", body })}\n`

/** A service that acknowledges what it gets and answers nothing. */
const payments = Effect.gen(function* () {
  const net = network()
  const got = yield* Queue.unbounded<Broker.Delivery>()
  const peers = {
    orders: { keys: [shared, next] },
    stock: { keys: [{ id: "now", secret: Redacted.make("x".repeat(16)) }] }
  }
  const services = yield* Layer.build(net.host("payments", HttpBroker.layer({ services: peers })))
  yield* Effect.gen(function* () {
    const broker = yield* Broker.Broker
    yield* broker.subscribe({ service: "payments", kinds: ["command"] }).pipe(
      Stream.runForEach((delivery) => Effect.andThen(Queue.offer(got, delivery), delivery.acknowledge)),
      Effect.forkScoped({ startImmediately: true })
    )
  }).pipe(Effect.provide(services))
  const send = (request: Request) =>
    Effect.promise(async () => {
      const response = await net.send(request)
      return { status: response.status, text: await response.text() }
    })
  const now = yield* Clock.currentTimeMillis
  const right: Claim = { from: "orders", to: "payments", key: "now", time: `${now}`, body: line("1"), secret }
  return { got, right, send, net }
})

it.effect("a request that is signed as the protocol says is taken, and its answer is signed", () =>
  Effect.gen(function* () {
    const { got, right, send } = yield* payments
    const request = requestOf(right)
    const { status, text } = yield* send(request)
    assert.strictEqual(status, 202)
    const answer = '{"n":0,"status":202,"messages":[]}'
    const proof = createHmac("sha256", secret)
      .update(["effect-saga-http-1", "answer", request.headers.get("saga-signature"), answer].join("\n"))
      .digest("base64url")
    assert.strictEqual(text, `${proof} ${answer}\n`)
    const { address, body } = yield* Queue.take(got)
    assert.deepStrictEqual(address, { to: "payments", kind: "command", from: "orders", name: "Charge" })
    assert.strictEqual(body, "1")
  })
)

it.effect("C12 a request is refused whose sender, key, time or body is not what was signed", () =>
  Effect.gen(function* () {
    const { got, right, send } = yield* payments
    const late = `${Number(right.time) - 300_001}`
    const wrong: ReadonlyArray<readonly [title: string, request: Request, reason: string]> = [
      ["no signature", new Request("http://payments/saga", { method: "POST", body: right.body }), "unsigned"],
      ["a service that is not known", requestOf({ ...right, from: "thief" }), "unknown-service"],
      ["another service's name", requestOf({ ...right, from: "stock" }), "signature"],
      ["a key that is not known", requestOf({ ...right, key: "old" }), "unknown-key"],
      ["a secret that is not the key's", requestOf({ ...right, secret: "a secret of somebody else" }), "signature"],
      ["a time that is over", requestOf({ ...right, time: late }), "clock"],
      ["a time to come", requestOf({ ...right, time: `${Number(right.time) + 300_001}` }), "clock"],
      ["a time that is none", requestOf({ ...right, time: "NaN" }), "clock"],
      ["another receiver", requestOf(right, { "saga-to": "stock" }), "signature"],
      ["another key's id", requestOf(right, { "saga-key": "next" }), "signature"],
      ["a signature that is none", requestOf(right, { "saga-signature": "x" }), "signature"]
    ]
    for (const [title, request, reason] of wrong)
      assert.deepStrictEqual(yield* send(request), { status: 401, text: `${reason}\n` }, title)
    assert.strictEqual(yield* Queue.size(got), 0)
    assert.strictEqual((yield* send(requestOf(right))).status, 202)
    assert.strictEqual(yield* Queue.size(got), 1)
  })
)

it.effect("a request that was recorded and is sent once more is refused", () =>
  Effect.gen(function* () {
    const { got, right, send } = yield* payments
    assert.strictEqual((yield* send(requestOf(right))).status, 202)
    assert.deepStrictEqual(yield* send(requestOf(right)), { status: 401, text: "replayed\n" })
    yield* TestClock.adjust("301 seconds")
    assert.deepStrictEqual(yield* send(requestOf(right)), { status: 401, text: "clock\n" })
    assert.strictEqual(yield* Queue.size(got), 1)
  })
)

it.effect("two keys are valid at a time, so that they can be changed", () =>
  Effect.gen(function* () {
    const { right, send } = yield* payments
    const renewed = { ...right, key: "next", secret: "the secret of next month" }
    assert.strictEqual((yield* send(requestOf(renewed))).status, 202)
    assert.strictEqual((yield* send(requestOf({ ...right, body: line("2") }))).status, 202)
  })
)

it.effect("a body that is too large, or no messages, is refused; a line that is none stops only itself", () =>
  Effect.gen(function* () {
    const { got, right, send } = yield* payments
    const bodies: ReadonlyArray<readonly [body: string, status: number]> = [
      ["x".repeat(1_048_577), 413],
      ["", 400],
      ["{\n", 400],
      [line("1").repeat(65), 400],
      [line("1").replace("command", "explode"), 400],
      [line("1").replace("Charge", "../x"), 400],
      [JSON.stringify({ kind: "command", body: "1" }), 400]
    ]
    for (const [body, status] of bodies) assert.strictEqual((yield* send(requestOf({ ...right, body }))).status, status)
    assert.strictEqual(yield* Queue.size(got), 0)
    const { status, text } = yield* send(requestOf({ ...right, body: `${line("1")}nonsense\n${line("2")}` }))
    assert.strictEqual(status, 200)
    const outcomes = text
      .trimEnd()
      .split("\n")
      .map((it) => JSON.parse(it.slice(44)))
    assert.sameDeepMembers(
      outcomes.map(({ n, status }) => [n, status]),
      [
        [0, 202],
        [1, 400],
        [2, 202]
      ]
    )
    assert.strictEqual(yield* Queue.size(got), 2)
  })
)

it.effect("a body that comes too slowly is given up", () =>
  Effect.gen(function* () {
    const { got, right, send, net } = yield* payments
    const whole = requestOf(right)
    const slow = new Request("http://payments/saga", {
      method: "POST",
      headers: whole.headers,
      body: new ReadableStream({ start: (it) => it.enqueue(new TextEncoder().encode("{")) }),
      duplex: "half"
    } as RequestInit)
    const response = yield* Effect.forkChild(Effect.promise(() => net.send(slow)))
    yield* TestClock.adjust("11 seconds")
    assert.strictEqual((yield* Fiber.join(response)).status, 408)
    assert.strictEqual(yield* Queue.size(got), 0)
    assert.strictEqual((yield* send(requestOf(right))).status, 202)
  })
)
