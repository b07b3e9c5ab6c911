/** Messages on the reply topic are applied, or dropped and counted. No message stops the consumer. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  SagaResponseStatus,
  TransactionCommitter
} from "effect-saga"
import { type Envelope, ReplyConsumer, type SagaInput } from "effect-saga/internals"
import {
  agreeable,
  CreateOrder,
  charged,
  context,
  counting,
  Journal,
  lines,
  messageOf,
  open,
  outcomes,
  quiet,
  reserved,
  start,
  until
} from "../fixtures/manager.ts"

const uuid = "01890000-0000-7000-8000-000000000001"

const envelope: Envelope.Envelope = {
  v: 1,
  id: `${uuid}:0:execute:reply`,
  op: "reply",
  saga: uuid,
  path: "0",
  service: "stock",
  coordinator: "orders",
  inReplyTo: `${uuid}:0:execute`,
  status: 400,
  content: { sku: "book" },
  relatedServices: ["stock", "warehouse", "stock"],
  transactions: [],
  notAfter: 1
}

const address = { to: "orders", kind: "reply", from: "stock" } as const

const message = (changes: Record<string, unknown> = {}): Broker.Message => ({
  address,
  body: JSON.stringify({ ...envelope, ...changes })
})

describe("responses", () => {
  it.effect(
    "MSG-007 a reply message becomes a response with its execution, services as a set, content and status",
    () =>
      Effect.gen(function* () {
        const response = yield* ReplyConsumer.toResponse(message())
        assert.strictEqual(response.uuid, uuid)
        assert.deepStrictEqual(new Set(response.relatedServices), new Set(["warehouse", "stock"]))
        assert.strictEqual(response.relatedServices.length, 2)
        assert.deepStrictEqual(response.content, { sku: "book" })
        assert.strictEqual(response.status, SagaResponseStatus.ERROR)
        assert.deepStrictEqual([response.requestId, response.service], [`${uuid}:0:execute`, "stock"])
        assert.isFalse(response.ok)
      })
  )

  it.effect("MSG-008 a reply message without related services becomes a response without them", () =>
    Effect.gen(function* () {
      const response = yield* ReplyConsumer.toResponse(message({ relatedServices: [] }))
      assert.deepStrictEqual(response.relatedServices, [])
      // A message without content or with one of nothing is the same to a caller.
      const { content: _, ...bare } = envelope
      assert.isNull((yield* ReplyConsumer.toResponse({ address, body: JSON.stringify(bare) })).content)
    })
  )

  it.effect("a message that is no response is a typed failure", () =>
    Effect.gen(function* () {
      const failures = yield* Effect.forEach(
        [
          message({ status: 404 }),
          message({ op: "execute" }),
          message({ inReplyTo: "elsewhere:0:execute" }),
          message({ service: "payments" }),
          { address, body: "{" }
        ],
        (each) => Effect.flip(ReplyConsumer.toResponse(each))
      )
      assert.deepStrictEqual(
        failures.map(({ _tag }) => _tag),
        ["MessageMalformed", "MessageMalformed", "MessageMalformed", "SenderMismatch", "MessageMalformed"]
      )
    })
  )
})

describe("the consumer", () => {
  it.effect("SVC-001 the reply consumer takes messages of the reply topic of its service, and no others", () =>
    Effect.gen(function* () {
      const groups: Array<Broker.Group> = []
      const broker = Layer.succeed(Broker.Broker, {
        publish: () => Effect.void,
        subscribe: (group) => {
          groups.push(group)
          return Stream.never
        }
      })
      yield* SagaManager.layer([CreateOrder]).pipe(
        Layer.provide([
          broker,
          SagaExecutionRepository.layerMemory,
          TransactionCommitter.layerNone,
          SagaConfig.layer({ service: "orders", maxInFlight: 3 }),
          Layer.succeed(Journal, { write: () => Effect.void })
        ]),
        Layer.build
      )
      yield* until("it subscribes", () => groups.length > 1)
      const [{ onOwnAddress, onStanding, ...replies }, status] = groups as [Broker.Group, Broker.Group]
      // By these it learns of a broker that is away, and of the address at which replies reach it alone.
      assert.isDefined(onStanding)
      assert.isDefined(onOwnAddress)
      assert.deepStrictEqual(
        [replies, status],
        [
          { service: "orders", kinds: ["reply"], maxInFlight: 3 },
          // Participants that have voted and wait ask there.
          { service: "orders", kinds: ["status"], maxInFlight: 3 }
        ]
      )
      const address = { to: "orders", kind: "reply", from: "stock" } as const
      assert.strictEqual(Broker.topic(address), "saga/v1/orders/reply/stock")
      assert.strictEqual(Broker.topic({ ...address, instance: "i1" }), "saga/v1/orders/reply/stock/i1")
    })
  )

  it.effect("SVC-002 a reply goes to the manager with all its fields, and the consumer sends nothing back", () =>
    Effect.gen(function* () {
      const calls: Array<readonly [string, SagaInput.Reply]> = []
      let acknowledged = 0
      const delivery = {
        ...message(),
        redelivered: false,
        acknowledge: Effect.sync(() => {
          acknowledged++
          assert.strictEqual(calls.length, 1)
        })
      }
      const result = yield* ReplyConsumer.handle(
        { reply: (...call) => Effect.sync(() => calls.push(call)).pipe(Effect.as("applied" as const)) },
        delivery
      )
      assert.isUndefined(result)
      assert.strictEqual(acknowledged, 1)
      assert.deepStrictEqual(calls, [
        [
          uuid,
          {
            inReplyTo: `${uuid}:0:execute`,
            sender: "stock",
            status: 400,
            content: { sku: "book" },
            relatedServices: ["stock", "warehouse"]
          }
        ]
      ])
    })
  )

  it.effect(
    "SVC-002 the reply consumer waits for the store, not for the end, and raises no error of the execution",
    () =>
      counting(
        Effect.gen(function* () {
          const { manager, use, wire } = yield* start({ keep: 10 })
          const running = yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
          yield* wire.reply(wire.sent[0]!, reserved)
          // Acknowledged while the execution is paused again.
          yield* until("the reply is acknowledged", () => wire.acknowledged === 1)
          yield* quiet
          assert.deepStrictEqual((yield* manager.load(running.uuid)).pausedStep?.name, "payment")
          wire.answer = agreeable
          yield* wire.reply(wire.sent[1]!, { status: 400, content: { _tag: "CardDeclined", reason: "limit" } })
          yield* until("the replies are acknowledged", () => wire.acknowledged === 3)
          yield* quiet
          assert.strictEqual((yield* manager.load(running.uuid)).status, "errored")
          assert.deepStrictEqual(yield* outcomes, { applied: 3 })
        })
      )
  )

  it.effect("the reply consumer acknowledges a reply only after its consequence is stored", () =>
    Effect.gen(function* () {
      const { store, story, use, wire } = yield* start()
      yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      let acknowledgedBefore = -1
      store.fault = (_, facts) => {
        if (facts.includes("ReplyReceived")) acknowledgedBefore = wire.acknowledged
        return undefined
      }
      yield* wire.reply(wire.sent[0]!, reserved)
      yield* until("the reply is acknowledged", () => wire.acknowledged === 1)
      assert.strictEqual(acknowledgedBefore, 0)
      assert.isTrue(story.some((line) => line.includes("ReplyReceived")))
    })
  )
})

describe("replies that do not count", () => {
  const deep = (depth: number): unknown => (depth === 0 ? 1 : { a: deep(depth - 1) })
  const wide = Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`k${i}`, 0]))

  /** How the reply is changed, and what it is counted as. */
  const cases: ReadonlyArray<readonly [string, (right: Broker.Message) => Broker.Message, string]> = [
    ["not JSON", (right) => ({ ...right, body: right.body.slice(1) }), "MessageMalformed"],
    ["empty", (right) => ({ ...right, body: "" }), "MessageMalformed"],
    ["no object", (right) => ({ ...right, body: "null" }), "MessageMalformed"],
    ["larger than 256 KiB", (right) => changed(right, { content: "x".repeat(262_144) }), "MessageTooLarge"],
    [
      "larger than 256 KiB in bytes, though not in characters",
      (right) => changed(right, { content: "€".repeat(90_000) }),
      "MessageTooLarge"
    ],
    ["nested deeper than 32", (right) => changed(right, { content: deep(33) }), "MessageMalformed"],
    [
      "nested deeper than any stack",
      (right) => withContent(right, `${"[".repeat(1e5)}1${"]".repeat(1e5)}`),
      "MessageMalformed"
    ],
    ["with more than 1,000 keys", (right) => changed(right, { content: wide }), "MessageMalformed"],
    ["with a key __proto__", (right) => withContent(right, '{"__proto__":{"a":1}}'), "MessageMalformed"],
    ["with a key constructor, nested", (right) => withContent(right, '[{"constructor":1}]'), "MessageMalformed"],
    ["with a key prototype", (right) => withContent(right, '{"prototype":1}'), "MessageMalformed"],
    ["of another version", (right) => changed(right, { v: 2 }), "MessageMalformed"],
    ["of an unknown operation", (right) => changed(right, { op: "delete" }), "MessageMalformed"],
    ["of the operation of a request", (right) => changed(right, { op: "execute" }), "MessageMalformed"],
    ["without status", (right) => changed(right, { status: undefined }), "MessageMalformed"],
    ["with a status that there is not", (right) => changed(right, { status: 201 }), "MessageMalformed"],
    ["with a status as text", (right) => changed(right, { status: "200" }), "MessageMalformed"],
    ["with a uuid that is none", (right) => changed(right, { saga: "1" }), "MessageMalformed"],
    ["without what it answers", (right) => changed(right, { inReplyTo: undefined }), "MessageMalformed"],
    [
      "that answers another execution",
      (right) => changed(right, { inReplyTo: `${uuid}:0:execute` }),
      "MessageMalformed"
    ],
    ["for another service", (right) => changed(right, { coordinator: "invoices" }), "MessageMalformed"],
    [
      "with related services that are no names",
      (right) => changed(right, { relatedServices: ["a/b"] }),
      "MessageMalformed"
    ],
    [
      "for an execution that nobody knows",
      (right) => changed(right, { saga: uuid, inReplyTo: `${uuid}:0:execute` }),
      "unknown-execution"
    ],
    ["from somebody who says to be another", (right) => changed(right, { service: "payments" }), "SenderMismatch"],
    [
      "from another service than the one asked",
      (right) => changed({ ...right, address: { ...right.address, from: "payments" } }, { service: "payments" }),
      "sender-mismatch"
    ],
    ["for another step", (right) => answering(right, ":2:"), "stale"],
    ["for another operation of the step", (right) => answering(right, ":0:", "failure"), "stale"],
    ["of a probe that was not sent", (right) => changed(right, { status: 404 }), "stale"]
  ]

  const changed = (right: Broker.Message, changes: Record<string, unknown>): Broker.Message => ({
    ...right,
    body: JSON.stringify({ ...JSON.parse(right.body), ...changes })
  })
  const withContent = (right: Broker.Message, content: string): Broker.Message => ({
    ...right,
    body: right.body.replace(/"content":\{[^}]*\}/, () => `"content":${content}`)
  })
  const answering = (right: Broker.Message, scope: string, op = "execute"): Broker.Message => {
    const { saga } = JSON.parse(right.body)
    return changed(right, { inReplyTo: `${saga}${scope}${op}` })
  }

  for (const [what, change, outcome] of cases) {
    it.effect(`a reply ${what} is counted as ${outcome} and changes nothing`, () =>
      counting(
        Effect.gen(function* () {
          const { manager, use, wire, world } = yield* start()
          const running = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context })))
          yield* until("the first request", () => wire.sent.length === 1)
          const right = messageOf(wire.sent[0]!.envelope, reserved)
          const { revision } = yield* manager.load(wire.sent[0]!.envelope.saga)
          const wrong = change(right)
          assert.notDeepEqual(wrong, right)
          yield* wire.deliver(wrong)
          yield* until("it is acknowledged", () => wire.acknowledged === 1)
          assert.deepStrictEqual(yield* outcomes, { [outcome]: 1 })
          assert.strictEqual((yield* manager.load(wire.sent[0]!.envelope.saga)).revision, revision)
          assert.deepStrictEqual(lines(world), [])
          assert.isUndefined(({} as { a?: unknown }).a)
          // Nothing is lost by it.
          wire.answer = agreeable
          yield* wire.deliver(right)
          assert.strictEqual((yield* Fiber.join(running)).status, "finished")
        })
      )
    )
  }

  it.effect("a reply that comes twice, late, or for a step that is over is stale", () =>
    counting(
      Effect.gen(function* () {
        const { use, wire, world } = yield* start()
        const running = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context })))
        yield* until("the first request", () => wire.sent.length === 1)
        const [first] = wire.sent
        yield* wire.reply(first!, reserved)
        yield* wire.reply(first!, reserved)
        yield* wire.reply(first!, { status: 500 })
        yield* until("the second request", () => wire.sent.length === 2)
        yield* wire.reply(first!, { status: 400, content: { _tag: "OutOfStock", sku: "book" } })
        yield* until("all are acknowledged", () => wire.acknowledged === 4)
        assert.deepStrictEqual(yield* outcomes, { applied: 1, stale: 3 })
        yield* wire.reply(wire.sent[1]!, charged)
        const { status, uuid } = yield* Fiber.join(running)
        assert.strictEqual(status, "finished")
        // Over and forgotten.
        yield* quiet
        yield* wire.reply(first!, reserved)
        yield* until("the last one is acknowledged", () => wire.acknowledged === 6)
        assert.deepStrictEqual(yield* outcomes, { applied: 2, stale: 3, "unknown-execution": 1 })
        assert.deepStrictEqual(lines(world), ["handle r-1", "invoice 10", "handle p-1"])
        assert.isString(uuid)
      })
    )
  )

  it.effect("the reply consumer survives hundreds of bad replies, and counts each (I17)", () =>
    counting(
      Effect.gen(function* () {
        const { use, wire } = yield* start({ maxInFlight: 4 })
        const running = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context })))
        yield* until("the first request", () => wire.sent.length === 1)
        const right = messageOf(wire.sent[0]!.envelope, reserved)
        for (let round = 0; round < 8; round++) {
          for (const [, change] of cases) yield* wire.deliver(change(right))
          yield* until("they are acknowledged", () => wire.acknowledged === (round + 1) * cases.length)
        }
        const counts = yield* outcomes
        assert.strictEqual(
          Object.values(counts).reduce((all, each) => all + each, 0),
          wire.acknowledged
        )
        wire.answer = agreeable
        yield* wire.deliver(right)
        assert.strictEqual((yield* Fiber.join(running)).status, "finished")
      })
    )
  )

  it.effect("C20 a reply to an execution of a saga that is not registered here waits for a program that has it", () =>
    counting(
      Effect.gen(function* () {
        const { close, use, wire, world } = yield* start()
        yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
        yield* close
        const { saga: uuid } = wire.sent[0]!.envelope
        const { close: end, manager } = yield* open(world, { sagas: [], maxInFlight: 1 })
        const right = messageOf(wire.sent[0]!.envelope, reserved)
        for (let i = 0; i < 3; i++) yield* wire.deliver(right)
        yield* until("they are acknowledged", () => wire.acknowledged === 3)
        assert.deepStrictEqual(yield* outcomes, { applied: 3 })
        const kept = yield* manager.load(uuid)
        assert.deepStrictEqual([kept.status, kept.definition, lines(world)], ["paused", undefined, []])
        yield* end
        yield* open(world)
        yield* until("the next step runs", () => lines(world).length > 0)
        // The request was answered, so it is not sent again.
        const [first] = wire.sent
        assert.strictEqual(wire.sent.filter(({ envelope }) => envelope.id === first?.envelope.id).length, 1)
      })
    )
  )

  it.effect("while the store is down replies wait; none is lost, and all are handled when it is back", () =>
    counting(
      Effect.gen(function* () {
        const { store, use, wire } = yield* start({ maxInFlight: 2 })
        const running = yield* Effect.forkChild(
          Effect.all(
            Array.from({ length: 5 }, () => use(SagaManager.run(CreateOrder, { context }))),
            { concurrency: "unbounded" }
          ).pipe(Effect.exit)
        )
        yield* until("the requests", () => wire.sent.length === 5)
        const requests = [...wire.sent]
        store.fault = () => ({ reason: "unavailable" })
        for (const request of requests) yield* wire.reply(request, reserved)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(wire.acknowledged, 0)
        store.fault = () => undefined
        yield* TestClock.adjust("1 minute")
        yield* quiet
        yield* until("all replies are acknowledged", () => wire.acknowledged === 5)
        const asked = wire.of("execute", "payments").map(({ envelope }) => envelope.saga)
        assert.strictEqual(new Set(asked).size, 5)
        // A runner keeps what a reply has brought while the store is away: the reply that comes again finds it there.
        const { applied = 0, stale = 0 } = yield* outcomes
        assert.strictEqual(applied + stale, 5)
        yield* Fiber.interrupt(running)
      })
    )
  )

  it.effect("a subscription that fails is renewed, and replies are taken again", () =>
    Effect.gen(function* () {
      const { world, wire } = yield* start()
      let failures = 3
      const broker: Broker.Broker["Service"] = {
        ...wire.broker,
        subscribe: (group) =>
          Stream.suspend(() =>
            failures-- > 0
              ? Stream.fail(new Broker.BrokerError({ operation: "subscribe", reason: "unavailable" }))
              : wire.broker.subscribe(group)
          )
      }
      const { use } = yield* open(
        { ...world, layers: Layer.merge(world.layers, Layer.succeed(Broker.Broker, broker)) },
        // The other manager takes the replies of its own service.
        { service: "invoices" }
      )
      wire.answer = agreeable
      const running = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context })))
      yield* quiet
      assert.strictEqual(wire.acknowledged, 0)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(running)).status, "finished")
      assert.isBelow(failures, 0)
      assert.include(world.logged.join("\n"), "could not subscribe")
    })
  )
})
