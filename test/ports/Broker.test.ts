/** The broker suite on the memory layer, its bounds, and what goes over the wire (SPEC C3, C11, C12). */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Scheduler, Stream } from "effect"
import * as Broker from "../../src/ports/Broker.ts"
import * as MemoryBroker from "../../src/ports/MemoryBroker.ts"
import * as BrokerSuite from "../../src/testing/BrokerSuite.ts"
import { type Envelope, reply } from "../../src/wire/Envelope.ts"

BrokerSuite.suite("memory", MemoryBroker.layerMemory, { ownAddresses: true })

const uuid = "018bcfe5-6800-7a38-9b46-54d90b1b8266"

const execute: Envelope = {
  v: 1,
  id: `${uuid}:0:execute`,
  op: "execute",
  saga: uuid,
  path: "0",
  service: "payments",
  coordinator: "orders",
  content: { card: "4111-1111-1111-1111" },
  relatedServices: [],
  transactions: [uuid],
  notAfter: 1_700_000_000_000
}
const { path: _, content: __, ...bare } = execute
const reserve: Envelope = { ...bare, id: `${uuid}:payments:reserve`, op: "reserve" }
const status: Envelope = { ...bare, id: `${uuid}:payments:status`, op: "status" }
const answer = reply(execute, { status: 200, content: { paymentId: "p-1" }, relatedServices: ["banks"] })
const statusAnswer = reply(status, { status: 200, content: "commit", relatedServices: [] })

const cases: ReadonlyArray<[string, Envelope, string | undefined, Broker.Address, string]> = [
  [
    "a command",
    execute,
    "Charge",
    { to: "payments", kind: "command", from: "orders", name: "Charge" },
    "saga/v1/payments/command/orders/Charge"
  ],
  [
    "a compensation",
    { ...execute, op: "failure" },
    "Refund",
    { to: "payments", kind: "command", from: "orders", name: "Refund" },
    "saga/v1/payments/command/orders/Refund"
  ],
  [
    "a probe",
    { ...execute, op: "probe" },
    "Charge",
    { to: "payments", kind: "command", from: "orders", name: "Charge" },
    "saga/v1/payments/command/orders/Charge"
  ],
  ["a reservation", reserve, undefined, { to: "payments", kind: "tx", from: "orders" }, "saga/v1/payments/tx/orders"],
  [
    "a commit",
    { ...reserve, op: "commit" },
    undefined,
    { to: "payments", kind: "tx", from: "orders" },
    "saga/v1/payments/tx/orders"
  ],
  [
    "a reject",
    { ...reserve, op: "reject" },
    undefined,
    { to: "payments", kind: "tx", from: "orders" },
    "saga/v1/payments/tx/orders"
  ],
  ["a reply", answer, undefined, { to: "orders", kind: "reply", from: "payments" }, "saga/v1/orders/reply/payments"],
  [
    "a status query",
    status,
    undefined,
    { to: "orders", kind: "status", from: "payments" },
    "saga/v1/orders/status/payments"
  ],
  ["its answer", statusAnswer, undefined, { to: "payments", kind: "tx", from: "orders" }, "saga/v1/payments/tx/orders"]
]

describe("addresses", () => {
  for (const [name, envelope, command, address, topic] of cases) {
    it(`C3 sends ${name} to ${topic}`, () => {
      assert.deepStrictEqual(Broker.addressOf(envelope, command), address)
      assert.strictEqual(Broker.topic(address), topic)
      assert.deepStrictEqual(Broker.parseTopic(topic), address)
    })
  }

  it("C11 text that is no topic has no address", () => {
    const topics = [
      "",
      "saga/v1/payments/command/orders",
      "saga/v1/payments/command/orders/",
      "saga/v1/payments/command/orders/Charge/more",
      "saga/v1/payments/tx/orders/Charge",
      "saga/v1/payments/reply",
      "saga/v1/payments/other/orders",
      "saga/v1/payments/__proto__/orders",
      "saga/v2/payments/tx/orders",
      "sagas/v1/payments/tx/orders",
      "/saga/v1/payments/tx/orders",
      "saga/v1/+/tx/orders",
      "saga/v1/payments/tx/#",
      "saga/v1//tx/orders",
      "saga/v1/7up/tx/orders",
      "saga/v1/pay ments/tx/orders",
      `saga/v1/${"p".repeat(65)}/tx/orders`,
      "saga/v1/payments/tx/orders\n"
    ]
    for (const topic of topics) assert.strictEqual(Broker.parseTopic(topic), undefined, topic)
    assert.isDefined(Broker.parseTopic(`saga/v1/${"p".repeat(64)}/tx/a.b-c_D9`))
  })

  it("the address of any topic is found, also of very many topics", () => {
    for (let round = 0; round < 2; round++)
      for (let i = 0; i < 3_000; i++) {
        const address: Broker.Address = { to: `s${i}`, kind: "command", from: "orders", name: `Command${i}` }
        assert.deepStrictEqual(Broker.parseTopic(Broker.topic(address)), address)
        assert.strictEqual(Broker.parseTopic(`${Broker.topic(address)}/more`), undefined)
      }
  })
})

describe("reading", () => {
  const from = (sender: string, envelope: Envelope, command?: string): Broker.Message => {
    const { address, body } = Broker.toMessage(envelope, command)
    return { address: { ...address, from: sender }, body }
  }

  const refusal = (message: Broker.Message) =>
    Effect.map(Effect.flip(Broker.decode(message)), (error) => {
      assert.notInclude(`${error.message} ${JSON.stringify(error)}`, "4111")
      return error
    })

  const malformed = Effect.fnUntraced(function* (body: string, address = Broker.addressOf(execute, "Charge")) {
    const error = yield* refusal({ address, body })
    if (error._tag !== "MessageMalformed") return assert.fail(`${error._tag}: ${body.slice(0, 80)}`)
    return error.issue
  })

  const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)])

  it.effect("reading a message gives back the envelope that was sent", () =>
    Effect.gen(function* () {
      for (const [, envelope, command] of cases)
        assert.deepStrictEqual(yield* Broker.decode(Broker.toMessage(envelope, command)), envelope)
    })
  )

  it.effect("an envelope is sent with the same bytes again, however it was made or read", () =>
    Effect.gen(function* () {
      const message = Broker.toMessage(execute, "Charge")
      const shuffled = Object.fromEntries(Object.entries(execute).reverse()) as typeof execute // the same fields
      assert.deepStrictEqual(Broker.toMessage(shuffled, "Charge"), message)
      assert.deepStrictEqual(Broker.toMessage(yield* Broker.decode(message), "Charge"), message)
    })
  )

  it.effect("reading ignores fields that this version does not know", () =>
    Effect.gen(function* () {
      const message = Broker.toMessage(execute, "Charge")
      const body = JSON.stringify({ ...JSON.parse(message.body), fragile: true })
      assert.deepStrictEqual(yield* Broker.decode({ ...message, body }), execute)
    })
  )

  it.effect("C11 refuses a message with more bytes than are allowed", () =>
    Effect.gen(function* () {
      const withContent = (content: string) => Broker.toMessage({ ...execute, content }, "Charge")
      const space = Broker.maxMessageBytes - Buffer.byteLength(withContent("").body)
      yield* Broker.decode(withContent("x".repeat(space)))
      for (const content of ["x".repeat(space + 1), "ü".repeat(space / 2 + 1), "\u20ac".repeat(space / 3 + 1)]) {
        const message = withContent(content)
        const error = yield* refusal(message)
        if (error._tag !== "MessageTooLarge") return assert.fail(error._tag)
        assert.strictEqual(error.bytes, Buffer.byteLength(message.body))
      }
    })
  )

  it.effect("C11 reading refuses text that is not JSON, or not within the limits of JSON", () =>
    Effect.gen(function* () {
      for (const body of ["", "{", "nul", "\u0000", "[".repeat(100_000), `{"card":"4111`])
        assert.strictEqual(yield* malformed(body), "$ is not JSON")
      const withContent = (content: unknown) => JSON.stringify({ ...execute, content })
      yield* Broker.decode({ ...Broker.toMessage(execute, "Charge"), body: withContent(nested(31)) })
      assert.include(yield* malformed(withContent(nested(32))), "nested deeper than 32")
      const keys = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, 4111]))
      yield* Broker.decode({ ...Broker.toMessage(execute, "Charge"), body: withContent(keys(1_000)) })
      assert.include(yield* malformed(withContent(keys(1_001))), "more than 1000 keys")
      for (const key of ["__proto__", "prototype", "constructor"]) {
        const text = `{"${key}":{"polluted":true}}`
        assert.include(yield* malformed(withContent(0).replace('"content":0', `"content":[${text}]`)), "not allowed")
        assert.include(yield* malformed(withContent(0).replace("{", `{"${key}":1,`)), "not allowed")
      }
      assert.isFalse("polluted" in {})
    })
  )

  it.effect("C11 a receiver refuses exactly the envelopes that a sender must not send", () =>
    Effect.gen(function* () {
      const keys = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, "4111"]))
      const hostile = JSON.parse('{ "__proto__": "4111" }')
      const contents: ReadonlyArray<unknown> = [undefined, null, 1, nested(31), nested(32), keys(1_000), keys(1_001)]
      const longPath = Array.from({ length: 500 }, () => "0").join("/n/")
      const changes: ReadonlyArray<Record<string, unknown>> = [
        { content: { "$[1]": { constructor: 1 } } },
        ...contents.map((content) => ({ content })),
        { content: [hostile] },
        { headers: keys(1_000) },
        { headers: keys(1_001) },
        { headers: hostile },
        { path: longPath, id: `${uuid}:${longPath}:execute` },
        { transactions: Array.from({ length: 6_600 }, () => uuid) },
        { transactions: Array.from({ length: 6_800 }, () => uuid) },
        { relatedServices: Array.from({ length: 3_800 }, () => "s".repeat(64)) },
        { relatedServices: Array.from({ length: 4_000 }, () => "s".repeat(64)) }
      ]
      // About as much as fits in, of characters of any number of bytes, in each field that may be as long.
      for (const character of ["x", "\u0000", '"', "ü", "\u20ac", "\ud83d", "\u{1f600}"]) {
        const bytes = Buffer.byteLength(JSON.stringify(character)) - 2
        for (const size of [40_000, 42_900, 43_600, 43_700, 87_000, 131_000, 260_000, 262_144])
          for (const field of ["content", "user", "headers"]) {
            const text = character.repeat(Math.floor(size / bytes))
            const value = field === "headers" ? { a: text } : text
            const message = { ...execute, [field]: value }
            const read = Broker.read(Broker.toMessage(message, "Charge"))
            assert.strictEqual(
              Broker.unsendable(message) === undefined,
              read._tag === "Success",
              `${field}: ${size} bytes of ${JSON.stringify(character)}`
            )
          }
      }
      for (const [i, change] of changes.entries()) {
        const message = { ...execute, ...change }
        const issue = Broker.unsendable(message)
        const read = Broker.read(Broker.toMessage(message, "Charge"))
        assert.strictEqual(issue === undefined, read._tag === "Success", `change ${i}`)
        if (issue === undefined || read._tag === "Success") continue
        // The issue has the same place as the error of the receiver.
        if ("bytes" in issue) assert.deepInclude(read.failure, { _tag: "MessageTooLarge", bytes: issue.bytes })
        else assert.deepInclude(read.failure, { _tag: "MessageMalformed", issue: issue.message })
      }
    })
  )

  it.effect("C11 reading refuses JSON that is no envelope", () =>
    Effect.gen(function* () {
      const wrong: ReadonlyArray<Record<string, unknown>> = [
        { v: 2 },
        { v: "1" },
        { op: "explode" },
        { id: 1 },
        { saga: "4111" },
        { saga: uuid.toUpperCase() },
        { service: "pay/ments" },
        { coordinator: "+" },
        { relatedServices: ["#"] },
        { relatedServices: "banks" },
        { transactions: ["4111"] },
        { notAfter: "soon" },
        { notAfter: 1.5 },
        { status: 201 },
        { headers: { a: 1 } },
        { user: { name: "4111" } }
      ]
      for (const fields of wrong) {
        const issue = yield* malformed(JSON.stringify({ ...execute, ...fields }))
        assert.include(issue, `$.${Object.keys(fields)[0]}`)
      }
      for (const field of [
        "v",
        "id",
        "op",
        "saga",
        "service",
        "coordinator",
        "relatedServices",
        "transactions",
        "notAfter"
      ]) {
        const { [field]: _, ...rest } = JSON.parse(JSON.stringify(execute))
        assert.include(yield* malformed(JSON.stringify(rest)), `$.${field}`)
      }
      for (const body of ["null", "7", "[]", '"text"']) yield* malformed(body)
    })
  )

  it.effect("reading refuses a message without the fields that its operation needs", () =>
    Effect.gen(function* () {
      const { inReplyTo: _, ...unrelated } = answer
      const { status: __, ...silent } = answer
      const { path: ___, ...nowhere } = execute
      const to = Broker.addressOf(answer)
      assert.strictEqual(yield* malformed(JSON.stringify(unrelated), to), "$.inReplyTo is missing")
      assert.strictEqual(yield* malformed(JSON.stringify(silent), to), "$.status is missing")
      assert.strictEqual(yield* malformed(JSON.stringify(nowhere)), "$.path is missing")
    })
  )

  it.effect("C12 reading refuses a message that claims another sender than its topic", () =>
    Effect.gen(function* () {
      for (const [, envelope, command, address] of cases) {
        const error = yield* refusal(from("mallory", envelope, command))
        if (error._tag !== "SenderMismatch") return assert.fail(error._tag)
        assert.strictEqual(error.from, "mallory")
        assert.strictEqual(error.claimed, address.from)
        assert.strictEqual(error.id, envelope.id)
      }
    })
  )

  it.effect("reading refuses a message on the topic of another message", () =>
    Effect.gen(function* () {
      const { address, body } = Broker.toMessage(answer)
      for (const other of [
        { ...address, to: "billing" },
        { ...address, kind: "status" as const }
      ])
        assert.strictEqual(yield* malformed(body, other), "it is not for its topic")
      assert.strictEqual(yield* malformed(Broker.toMessage(reserve).body), "it is not for its topic")
    })
  )
})

describe("memory", () => {
  const message = (to: string, body: string): Broker.Message => ({ address: { to, kind: "reply", from: "a" }, body })

  it.effect("C13 the memory broker refuses messages for a service whose queue is full, until it has caught up", () =>
    Effect.gen(function* () {
      const { publish, subscribe } = yield* Broker.Broker
      for (const body of ["1", "2", "3"]) yield* publish(message("slow", body))
      const error = yield* Effect.flip(publish(message("slow", "4")))
      assert.deepStrictEqual([error.operation, error.reason], ["publish", "full"])
      yield* publish(message("quick", "1"))
      const subscription = subscribe({ service: "slow", kinds: ["reply"], maxInFlight: 1 })
      yield* Stream.runForEach(Stream.take(subscription, 1), ({ acknowledge }) => acknowledge)
      yield* publish(message("slow", "5"))
      const rest = yield* Stream.runCollect(
        Stream.take(
          Stream.tap(subscription, ({ acknowledge }) => acknowledge),
          3
        )
      )
      assert.deepStrictEqual(
        rest.map(({ body }) => body),
        ["2", "3", "5"]
      )
    }).pipe(Effect.provide(MemoryBroker.layerMemoryWith({ capacity: 3 })))
  )

  it.effect("the memory broker keeps messages for a service that has not subscribed yet", () =>
    Effect.gen(function* () {
      const { publish, subscribe } = yield* Broker.Broker
      yield* publish(message("later", "1"))
      const [first] = yield* Stream.runCollect(Stream.take(subscribe({ service: "later", kinds: ["reply"] }), 1))
      assert.strictEqual(first?.body, "1")
    }).pipe(Effect.provide(MemoryBroker.layerMemory))
  )

  it.effect("the memory broker gives messages to other subscribers when one is full or ends", () =>
    Effect.gen(function* () {
      const { publish, subscribe } = yield* Broker.Broker
      const arrived = { one: Array.of<string>(), two: Array.of<string>() }
      const listen = (name: "one" | "two", maxInFlight: number) =>
        subscribe({ service: "a", kinds: ["reply"], maxInFlight }).pipe(
          Stream.runForEach(({ body }) => Effect.sync(() => arrived[name].push(body))),
          Effect.forkChild
        )
      const others = Effect.repeat(Effect.yieldNow, { times: 10 })
      const one = yield* listen("one", 1)
      yield* listen("two", 10)
      for (const body of ["1", "2", "3", "4", "5"]) {
        yield* others
        yield* publish(message("a", body))
      }
      yield* others
      assert.deepStrictEqual(arrived, { one: ["1"], two: ["2", "3", "4", "5"] })
      yield* Fiber.interrupt(one)
      yield* others
      assert.deepStrictEqual(arrived.two, ["2", "3", "4", "5", "1"])
    }).pipe(Effect.provide(MemoryBroker.layerMemory))
  )

  it.effect("idle subscribers of the memory broker take turns", () =>
    Effect.gen(function* () {
      const { publish, subscribe } = yield* Broker.Broker
      const turns: Array<string> = []
      const others = Effect.repeat(Effect.yieldNow, { times: 10 })
      for (const name of ["one", "two", "three"]) {
        yield* subscribe({ service: "a", kinds: ["reply"] }).pipe(
          Stream.runForEach(({ acknowledge }) =>
            Effect.andThen(
              Effect.sync(() => turns.push(name)),
              acknowledge
            )
          ),
          Effect.forkChild
        )
      }
      for (let i = 0; i < 6; i++) {
        yield* others
        yield* publish(message("a", `${i}`))
      }
      yield* others
      assert.deepStrictEqual(turns, ["one", "two", "three", "one", "two", "three"])
    }).pipe(Effect.provide(MemoryBroker.layerMemory))
  )

  it.effect("a message that arrives just before a subscriber waits is delivered", () =>
    Effect.gen(function* () {
      const { publish, subscribe } = yield* Broker.Broker
      for (let turn = 3; turn < 12; turn++) {
        const arrived: Array<string> = []
        const listener = yield* subscribe({ service: "a", kinds: ["reply"] }).pipe(
          Stream.runForEach(({ acknowledge, body }) => Effect.as(acknowledge, arrived.push(body))),
          // Others have their turn after so many steps, and so in the middle of anything.
          Effect.provideService(Scheduler.MaxOpsBeforeYield, turn),
          Effect.forkChild
        )
        for (let later = 0; later < 20; later++) {
          const before = arrived.length
          yield* publish(message("a", "first"))
          yield* Effect.repeat(Effect.yieldNow, { times: later })
          yield* publish(message("a", "second"))
          yield* Effect.repeat(Effect.yieldNow, { times: 50 })
          assert.strictEqual(arrived.length - before, 2, `in turns of ${turn}, ${later} turns later`)
        }
        yield* Fiber.interrupt(listener)
      }
    }).pipe(Effect.provide(MemoryBroker.layerMemory))
  )

  it.effect("a message wakes another subscriber when the first one is interrupted before it takes the message", () =>
    Effect.gen(function* () {
      const { publish, subscribe } = yield* Broker.Broker
      const one = () =>
        Effect.forkChild(Stream.runCollect(Stream.take(subscribe({ service: "a", kinds: ["reply"] }), 1)))
      const first = yield* one()
      const second = yield* one()
      yield* Effect.repeat(Effect.yieldNow, { times: 5 })
      yield* publish(message("a", "1"))
      yield* Fiber.interrupt(first)
      assert.strictEqual((yield* Fiber.join(second)).length, 1)
    }).pipe(Effect.provide(MemoryBroker.layerMemory))
  )
})
