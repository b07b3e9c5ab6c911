/** The other end of a remote step: one command, one run, one recorded answer, whatever comes twice, late or broken. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, Exit, Latch, Layer, Scheduler, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Broker, Participant, SagaTransaction } from "effect-saga"
import type { Envelope } from "effect-saga/internals"
import { CardDeclined, counting, makeWorld, outcomes, quiet, until, write } from "../fixtures/manager.ts"
import { hasSessions, inOrder } from "../fixtures/repository.ts"

const uuid = "01890000-0000-7000-8000-000000000001"
const day = 86_400_000

const Payments = Participant.make("payments", {
  Charge: {
    payload: { amount: Schema.Int, how: Schema.optionalKey(Schema.String) },
    success: Schema.Struct({ paymentId: Schema.String }),
    error: CardDeclined
  },
  Refund: { payload: { paymentId: Schema.String } },
  Stage: { payload: {}, effect: "staged" },
  Odd: { payload: {}, success: Schema.Unknown }
})

const request = (changes: Partial<Envelope.Envelope> = {}): Envelope.Envelope => ({
  v: 1,
  id: `${uuid}:0:execute`,
  op: "execute",
  saga: uuid,
  path: "0",
  service: "payments",
  coordinator: "orders",
  content: { amount: 10 },
  relatedServices: [],
  transactions: [],
  user: "ada",
  headers: { tenant: "acme" },
  notAfter: day,
  trace: "t-1",
  ...changes
})

const failure = (changes: Partial<Envelope.Envelope> = {}) =>
  request({ id: `${uuid}:0:failure`, op: "failure", content: { paymentId: "p-1" }, ...changes })

const { content: _, ...withoutContent } = request()
const probe = (changes: Partial<Envelope.Envelope> = {}): Envelope.Envelope => ({
  ...withoutContent,
  id: `${uuid}:0:probe`,
  op: "probe",
  ...changes
})

/** A participant, and an orchestrator of which only the mailbox is real. */
const startParticipant = Effect.fnUntraced(function* (maxBytes?: number) {
  const world = yield* makeWorld()
  const { wire } = world
  const latch = Latch.makeUnsafe(true)
  let refunds = 0
  const seen: Array<SagaTransaction> = []
  const state = { failRefunds: 0, odd: (): unknown => null, latch, refunds: () => refunds, seen }
  const limited = Layer.succeed(Broker.Broker, { ...wire.broker, maxBytes: () => maxBytes })
  const services = maxBytes === undefined ? world.layers : Layer.merge(world.layers, limited)
  const scope = yield* Scope.Scope
  yield* Participant.layer(Payments, {
    Charge: ({ amount, how }) =>
      Effect.gen(function* () {
        yield* write(`charge ${amount}`)
        seen.push(yield* SagaTransaction)
        yield* latch.await
        if (how === "decline") return yield* new CardDeclined({ reason: "limit" })
        if (how === "die") return yield* Effect.die(new Error("dead"))
        if (how === "throw") assert.fail("thrown")
        if (how === "interrupt") return yield* Effect.interrupt
        return { paymentId: "p-1" }
      }),
    Refund: ({ paymentId }) =>
      Effect.suspend(() => {
        refunds++
        return refunds <= state.failRefunds ? Effect.die(new Error("not now")) : write(`refund ${paymentId}`)
      }),
    Stage: () => write("stage"),
    Odd: () => Effect.sync(() => state.odd())
  }).pipe(Layer.provide(services), Layer.buildWithScope(scope))

  const replies: Array<Broker.Delivery & { readonly envelope: Envelope.Envelope }> = []
  yield* wire.broker.subscribe({ service: "orders", kinds: ["reply"] }).pipe(
    Stream.mapEffect((delivery) =>
      Effect.andThen(
        Effect.sync(() => replies.push({ ...delivery, envelope: JSON.parse(delivery.body) })),
        delivery.acknowledge
      )
    ),
    Stream.runDrain,
    Effect.forkScoped
  )
  const send = (envelope: Envelope.Envelope, name = envelope.op === "failure" ? "Refund" : "Charge") =>
    wire.deliver(Broker.toMessage(envelope, name))
  const ask = Effect.fnUntraced(function* (envelope: Envelope.Envelope, name?: string) {
    const before = replies.length
    yield* send(envelope, name)
    yield* until("a reply", () => replies.length > before)
    return replies.at(-1)!.envelope
  })
  const lines = () => world.journal.map(({ line }) => line)
  return { ...world, ...state, state, replies, send, ask, lines }
})

describe("execute", () => {
  it.effect("a participant runs the handler once with what the message says, and answers 200 with its result", () =>
    Effect.gen(function* () {
      const { ask, lines, replies, seen } = yield* startParticipant()
      const reply = yield* ask(request())
      assert.deepStrictEqual([reply.status, reply.content], [200, { paymentId: "p-1" }])
      assert.deepStrictEqual(lines(), ["charge 10"])
      assert.strictEqual(Broker.topic(replies[0]!.address), "saga/v1/orders/reply/payments")
      assert.deepInclude(reply, {
        op: "reply",
        id: `${uuid}:0:execute:reply`,
        inReplyTo: `${uuid}:0:execute`,
        saga: uuid,
        service: "payments",
        coordinator: "orders",
        user: "ada",
        trace: "t-1"
      })
      assert.deepStrictEqual([reply.headers, reply.relatedServices], [{ tenant: "acme" }, ["payments"]])
      yield* Broker.decode(replies[0]!)
      assert.deepInclude(seen[0], {
        uuid,
        path: "0",
        idempotencyKey: `${uuid}:0:execute`,
        user: "ada",
        headers: { tenant: "acme" }
      })
    })
  )

  it.effect("a participant answers 400 with the declared error", () =>
    Effect.gen(function* () {
      const { ask } = yield* startParticipant()
      const reply = yield* ask(request({ content: { amount: 1, how: "decline" } }))
      assert.deepStrictEqual([reply.status, reply.content], [400, { _tag: "CardDeclined", reason: "limit" }])
    })
  )

  for (const how of ["die", "throw", "interrupt"]) {
    it.effect(`a participant answers 500 if the handler does not end by itself (${how}), and never runs it again`, () =>
      Effect.gen(function* () {
        const { ask, lines } = yield* startParticipant()
        const bad = request({ content: { amount: 1, how } })
        const first = yield* ask(bad)
        assert.strictEqual(first.status, 500)
        assert.notInclude(JSON.stringify(first.content), "dead")
        assert.deepStrictEqual(yield* ask(bad), first)
        assert.deepStrictEqual(lines(), ["charge 1"])
        // The next message is handled as if nothing had been.
        assert.strictEqual((yield* ask(request({ id: `${uuid}:1:execute`, path: "1" }))).status, 200)
      })
    )
  }

  it.effect("a participant refuses an unknown command, a wrong payload and a staged effect with 500", () =>
    Effect.gen(function* () {
      const { ask, lines } = yield* startParticipant()
      const refused = [
        yield* ask(request(), "Unknown"),
        yield* ask(request({ id: `${uuid}:1:execute`, path: "1", content: { amount: "much" } })),
        yield* ask({ ...withoutContent, id: `${uuid}:2:execute`, path: "2" }),
        yield* ask(request({ id: `${uuid}:3:execute`, path: "3", content: {} }), "Stage"),
        yield* ask(request({ id: `${uuid}:4:execute`, path: "4" }), "toString"),
        yield* ask(request({ id: `${uuid}:5:execute`, path: "5" }), "constructor")
      ]
      assert.deepStrictEqual(
        refused.map(({ content, status }) => [status, content]),
        [
          [500, "UnknownCommand"],
          [500, "PayloadMalformed"],
          [500, "PayloadMalformed"],
          [500, "StagedOutsideTransaction"],
          [500, "UnknownCommand"],
          [500, "UnknownCommand"]
        ]
      )
      assert.deepStrictEqual(lines(), [])
    })
  )

  it.effect(
    "a participant answers a repeated message with the recorded reply, to the byte, and runs the handler once",
    () =>
      Effect.gen(function* () {
        const { ask, lines, replies } = yield* startParticipant()
        yield* ask(request())
        yield* ask(request())
        yield* ask(request())
        assert.strictEqual(new Set(replies.map(({ body }) => body)).size, 1)
        assert.deepStrictEqual(lines(), ["charge 10"])
      })
  )

  if (hasSessions)
    // In short turns they are taken in the middle of each other.
    it.effect.each([2_048, 4])(
      "a participant answers copies that come while the handler runs, once, without taking a place in flight (%d)",
      (turn) =>
        Effect.gen(function* () {
          const { latch, lines, replies, send, ask } = yield* startParticipant()
          yield* latch.close
          // More than may be handled at the same time: were they kept, nothing else could come through.
          for (let i = 0; i < 100; i++) yield* send(request())
          yield* until("the handler runs", () => lines().length > 0)
          yield* ask(probe({ id: `${uuid}:7:probe`, path: "7" }))
          yield* latch.open
          yield* until("it is answered", () => replies.length === 2)
          yield* quiet
          assert.deepStrictEqual([lines(), replies.length], [["charge 10"], 2])
          assert.deepStrictEqual((yield* ask(request())).content, { paymentId: "p-1" })
        }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, turn))
    )

  if (hasSessions)
    it.effect("a participant runs other commands while one handler runs", () =>
      Effect.gen(function* () {
        const { latch, replies, send } = yield* startParticipant()
        yield* latch.close
        yield* send(request())
        yield* send(probe({ id: `${uuid}:7:probe`, path: "7" }))
        yield* until("the other is answered", () => replies.length === 1)
        assert.strictEqual(replies[0]?.envelope.inReplyTo, `${uuid}:7:probe`)
        yield* latch.open
        yield* until("both are answered", () => replies.length === 2)
      })
    )

  it.effect("a participant runs nothing after notAfter, and answers 500", () =>
    Effect.gen(function* () {
      const { ask, lines } = yield* startParticipant()
      const late = request({ notAfter: 1_000 })
      yield* TestClock.adjust("1001 millis")
      assert.deepStrictEqual([(yield* ask(late)).status, lines()], [500, []])
      assert.strictEqual((yield* ask(probe({ notAfter: 1_000 }))).status, 404)
    })
  )

  it.effect("a participant still knows at notAfter the reply that it has given before", () =>
    Effect.gen(function* () {
      const { ask, lines } = yield* startParticipant()
      const asked = request({ notAfter: 1_000 })
      const first = yield* ask(asked)
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* ask(asked), first)
      assert.deepStrictEqual(lines(), ["charge 10"])
    })
  )

  it.effect("a participant answers 500 where the result cannot be sent", () =>
    Effect.gen(function* () {
      const { ask, state } = yield* startParticipant()
      const values = [() => 1n, () => Number.NaN, () => JSON.parse('{"__proto__":1}'), () => "x".repeat(262_144)]
      for (const [i, value] of values.entries()) {
        state.odd = value
        const reply = yield* ask(request({ id: `${uuid}:${i}:execute`, path: `${i}`, content: {} }), "Odd")
        assert.deepStrictEqual([reply.status, reply.content], [500, i === 3 ? "ReplyTooLarge" : "ReplyMalformed"])
      }
    })
  )
})

describe("a reply over the limit of the broker", () => {
  it.effect("C11, F30 is answered 500, nothing of its command is kept, and one that fits is sent", () =>
    Effect.gen(function* () {
      const { ask, state } = yield* startParticipant(2_000)
      for (const [i, length] of [2_000, 1_550, 300].entries()) {
        state.odd = () => "x".repeat(length)
        const reply = yield* ask(request({ id: `${uuid}:${i}:execute`, path: `${i}`, content: {} }), "Odd")
        const isKept = length === 300
        assert.deepStrictEqual(
          [reply.status, reply.content],
          isKept ? [200, "x".repeat(length)] : [500, "ReplyTooLarge"],
          `${length}`
        )
        const probed = yield* ask(probe({ id: `${uuid}:${i}:probe`, path: `${i}` }))
        assert.strictEqual(probed.status, isKept ? 200 : 404)
      }
    })
  )
})

describe("compensation", () => {
  it.effect("a compensation runs once for an executed command", () =>
    Effect.gen(function* () {
      const { ask, lines } = yield* startParticipant()
      yield* ask(request())
      assert.strictEqual((yield* ask(failure())).status, 200)
      assert.strictEqual((yield* ask(failure())).status, 200)
      assert.deepStrictEqual(lines(), ["charge 10", "refund p-1"])
    })
  )

  it.effect(
    "a compensation before its execute is answered 200 without the handler, and the execute then runs nothing",
    () =>
      Effect.gen(function* () {
        const { ask, lines } = yield* startParticipant()
        assert.strictEqual((yield* ask(failure())).status, 200)
        assert.strictEqual((yield* ask(request())).status, 500)
        assert.deepStrictEqual(lines(), [])
      })
  )

  it.effect("a compensation of an execute that had no effect is answered 200 without the handler", () =>
    Effect.gen(function* () {
      const { ask, lines, refunds } = yield* startParticipant()
      yield* ask(request({ content: { amount: 1, how: "decline" } }))
      assert.strictEqual((yield* ask(failure())).status, 200)
      yield* ask(request({ id: `${uuid}:1:execute`, path: "1", content: { amount: 1, how: "die" } }))
      assert.strictEqual((yield* ask(failure({ id: `${uuid}:1:failure`, path: "1" }))).status, 200)
      assert.deepStrictEqual([refunds(), lines().length], [0, 2])
    })
  )

  it.effect("a compensation that fails is answered 500, not recorded, and tried again with the next delivery", () =>
    Effect.gen(function* () {
      const { ask, lines, refunds, state } = yield* startParticipant()
      yield* ask(request())
      state.failRefunds = 2
      const statuses = []
      for (let i = 0; i < 4; i++) statuses.push((yield* ask(failure())).status)
      assert.deepStrictEqual(statuses, [500, 500, 200, 200])
      assert.strictEqual(refunds(), 3)
      assert.deepStrictEqual(lines(), ["charge 10", "refund p-1"])
    })
  )

  it.effect("C6 a compensation that refuses is answered 500: 400 would be final", () =>
    Effect.gen(function* () {
      const { ask } = yield* startParticipant()
      yield* ask(request())
      const { status } = yield* ask(failure({ content: { amount: 10, how: "decline" } }), "Charge")
      assert.strictEqual(status, 500)
      assert.strictEqual((yield* ask(failure())).status, 200)
    })
  )

  if (inOrder)
    it.effect("a compensation that comes while its execute runs waits for it", () =>
      Effect.gen(function* () {
        const { latch, lines, replies, send } = yield* startParticipant()
        yield* latch.close
        yield* send(request())
        yield* until("the handler runs", () => lines().length === 1)
        yield* send(failure())
        yield* quiet
        assert.deepStrictEqual(replies, [])
        yield* latch.open
        yield* until("both are answered", () => replies.length === 2)
        assert.deepStrictEqual(lines(), ["charge 10", "refund p-1"])
      })
    )
})

describe("probe", () => {
  it.effect("a probe is answered with the recorded reply of the execute", () =>
    Effect.gen(function* () {
      const { ask } = yield* startParticipant()
      yield* ask(request())
      const done = yield* ask(probe())
      assert.deepStrictEqual([done.status, done.content], [200, { paymentId: "p-1" }])
      yield* ask(request({ id: `${uuid}:1:execute`, path: "1", content: { amount: 1, how: "decline" } }))
      const refused = yield* ask(probe({ id: `${uuid}:1:probe`, path: "1" }))
      assert.deepStrictEqual([refused.status, refused.content], [400, { _tag: "CardDeclined", reason: "limit" }])
    })
  )

  it.effect("a probe before its execute is answered 404, and the execute then runs nothing", () =>
    Effect.gen(function* () {
      const { ask, lines } = yield* startParticipant()
      assert.strictEqual((yield* ask(probe())).status, 404)
      assert.strictEqual((yield* ask(request())).status, 500)
      assert.strictEqual((yield* ask(probe())).status, 404)
      assert.deepStrictEqual(lines(), [])
    })
  )

  it.effect("a probe of an execute that was answered 500 is answered 404", () =>
    Effect.gen(function* () {
      const { ask } = yield* startParticipant()
      yield* ask(request({ content: { amount: 1, how: "die" } }))
      assert.strictEqual((yield* ask(probe())).status, 404)
    })
  )
})

describe("malformed messages", () => {
  const wrong: ReadonlyArray<readonly [string, Broker.Message, string]> = [
    ["not JSON", { ...Broker.toMessage(request(), "Charge"), body: "{" }, "MessageMalformed"],
    ["of another version", Broker.toMessage(request({ v: 2 as 1 }), "Charge"), "MessageMalformed"],
    ["without path", Broker.toMessage({ ...request(), path: undefined as any }, "Charge"), "MessageMalformed"],
    [
      "for another service",
      { ...Broker.toMessage(request({ service: "stock" }), "Charge"), address: address() },
      "MessageMalformed"
    ],
    [
      "from another sender",
      { ...Broker.toMessage(request({ coordinator: "eve" }), "Charge"), address: address() },
      "SenderMismatch"
    ],
    ["too large", Broker.toMessage(request({ content: "x".repeat(262_144) }), "Charge"), "MessageTooLarge"]
  ]

  function address() {
    return Broker.addressOf(request(), "Charge")
  }

  it.effect("a malformed message is dropped, counted and not answered, and the next one is handled", () =>
    counting(
      Effect.gen(function* () {
        const { ask, lines, replies, wire } = yield* startParticipant()
        for (const [, message] of wrong) yield* wire.deliver(message)
        assert.strictEqual((yield* ask(request())).status, 200)
        assert.deepStrictEqual([lines(), replies.length], [["charge 10"], 1])
        const expected: Record<string, number> = { applied: 1 }
        for (const [, , outcome] of wrong) expected[outcome] = (expected[outcome] ?? 0) + 1
        assert.deepStrictEqual(yield* outcomes, expected)
      })
    )
  )

  it.effect("malformed messages do not stop the consumer, however many there are", () =>
    Effect.gen(function* () {
      const { ask, wire } = yield* startParticipant()
      for (let i = 0; i < 40; i++) for (const [, message] of wrong) yield* wire.deliver(message)
      yield* quiet
      assert.strictEqual((yield* ask(request())).status, 200)
    })
  )
})

it.effect(
  "a participant answers when the broker takes replies again, and handles no more than its limit meanwhile",
  () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      let down = true
      let published = 0
      const broker = Layer.succeed(Broker.Broker, {
        ...world.wire.broker,
        publish: (message) =>
          Effect.suspend(() => {
            if (down) return Effect.fail(new Broker.BrokerError({ operation: "publish", reason: "unavailable" }))
            published++
            return world.wire.broker.publish(message)
          })
      })
      yield* Participant.layer(Payments, {
        Charge: () => Effect.as(write("charge"), { paymentId: "p-1" }),
        Refund: () => Effect.void,
        Stage: () => Effect.void,
        Odd: () => Effect.void
      }).pipe(Layer.provide(Layer.merge(world.layers, broker)), Layer.build)
      for (let i = 0; i < 200; i++) {
        yield* world.wire.deliver(Broker.toMessage(request({ id: `${uuid}:${i}:execute`, path: `${i}` }), "Charge"))
      }
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(published, 0)
      down = false
      yield* TestClock.adjust("1 minute")
      yield* until("all are answered", () => published === 200)
      assert.strictEqual(world.journal.length, 200)
      assert.isAbove(yield* Clock.currentTimeMillis, 0)
    })
)

it.effect("a participant stops with its scope, and leaves unanswered messages for the next process", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld()
    const forever = Latch.makeUnsafe(false)
    const build = (wait: boolean) =>
      Participant.layer(Payments, {
        Charge: () =>
          Effect.andThen(
            write("charge"),
            wait ? Effect.as(forever.await, { paymentId: "" }) : Effect.succeed({ paymentId: "p" })
          ),
        Refund: () => Effect.void,
        Stage: () => Effect.void,
        Odd: () => Effect.void
      }).pipe(Layer.provide(world.layers))
    const first = yield* Scope.fork(yield* Scope.Scope)
    yield* Layer.buildWithScope(build(true), first)
    yield* world.wire.deliver(Broker.toMessage(request(), "Charge"))
    yield* until("the handler runs", () => world.journal.length === 1)
    yield* Scope.close(first, Exit.void)
    assert.isTrue(Context.isContext(yield* Layer.build(build(false))))
    yield* until("it runs again", () => world.journal.length === 2)
  })
)
