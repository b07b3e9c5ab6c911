/** Sagas whose services speak over HTTP: what is slow, lost, forged or nowhere on the way. */
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Redacted, Schema } from "effect"
import {
  Broker,
  DeadLetters,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { HttpBroker } from "effect-saga/http"
import { hostileBodies } from "../../fixtures/hostile.ts"
import { network } from "../../fixtures/http.ts"

class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { amount: Schema.Int }) {}

const Payments = Participant.make("payments", {
  Charge: { payload: { amount: Schema.Int }, success: Schema.String, error: CardDeclined },
  Refund: { payload: { payment: Schema.String } }
})
const Stock = Participant.make("stock", { Reserve: { payload: { amount: Schema.Int } } })

const Pay = Saga.make("Pay", { context: { amount: Schema.Int } }).pipe(
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: ({ amount }) => ({ amount }) },
    compensate: { command: Payments.commands.Refund, payload: ({ payment }) => ({ payment }) }
  }),
  Saga.local("receipt", {
    success: Schema.String,
    error: Schema.String,
    execute: ({ amount, payment }) =>
      amount === 13 ? Effect.fail("unlucky") : Effect.succeed(`${payment}: ${amount}`),
    compensate: () => Effect.void
  }),
  Saga.commit
)
const Order = Saga.make("Order", { context: { amount: Schema.Int } }).pipe(
  Saga.remote("stock", {
    execute: { command: Stock.commands.Reserve, payload: ({ amount }) => ({ amount }) },
    timeout: "200 millis"
  }),
  Saga.commit
)

const key = { id: "one", secret: Redacted.make("a secret of two services") }

interface Options {
  /** The URL by which payments answers later. */
  readonly url?: string
  readonly charge?: (amount: number) => Effect.Effect<void>
}

/** Two processes: orders runs sagas, payments takes commands. */
const processes = Effect.fnUntraced(function* ({ charge = () => Effect.void, url }: Options = {}) {
  const net = network()
  const letters = DeadLetters.makeMemory(1_000)
  const handled: Array<string> = []
  const options = { answerWithin: "100 millis" } as const
  const participant = Participant.layer(Payments, {
    Charge: ({ amount }) =>
      Effect.gen(function* () {
        handled.push(`charge ${amount}`)
        yield* charge(amount)
        return amount > 100 ? yield* new CardDeclined({ amount }) : `p-${amount}`
      }),
    Refund: ({ payment }) => Effect.sync(() => void handled.push(`refund ${payment}`))
  }).pipe(
    Layer.provide([ParticipantStore.layerMemory, Layer.succeed(DeadLetters.DeadLetters, letters)]),
    Layer.provide(
      HttpBroker.layer({ ...options, services: { orders: { keys: [key], ...(url !== undefined && { url }) } } })
    )
  )
  const orchestrator = SagaManager.layer([Pay, Order]).pipe(
    Layer.provide([
      SagaConfig.layer({ service: "orders" }),
      SagaExecutionRepository.layerMemory,
      TransactionCommitter.layerNone,
      HttpBroker.layer({ ...options, services: { payments: { url: "http://payments/saga", keys: [key] } } })
    ])
  )
  yield* Layer.build(net.host("payments", participant))
  const services = yield* Layer.build(net.host("orders", orchestrator))
  const pay = (amount: number) => Effect.provide(SagaManager.execute(Pay, { context: { amount } }), services)
  return { handled, letters, net, pay, services }
})

it.live("a saga over HTTP has its results, refusals and compensations, from a service that knows no URL of ours", () =>
  Effect.gen(function* () {
    const { handled, pay } = yield* processes()
    assert.strictEqual((yield* pay(7)).receipt, "p-7: 7")
    assert.deepStrictEqual(yield* Effect.flip(pay(101)), new CardDeclined({ amount: 101 }))
    assert.strictEqual(yield* Effect.flip(pay(13)), "unlucky")
    assert.deepStrictEqual(handled, ["charge 7", "charge 101", "charge 13", "refund p-13"])
  })
)

it.live("many sagas share requests, and one that is slow holds up no other", () =>
  Effect.gen(function* () {
    const gate = yield* Deferred.make<void>()
    const { handled, net, pay } = yield* processes({
      charge: (amount) => (amount === 1 ? Deferred.await(gate) : Effect.void)
    })
    let requests = 0
    net.onTheWay((request, send) => {
      requests++
      return send(request)
    })
    const slow = yield* Effect.forkChild(pay(1), { startImmediately: true })
    const amounts = Array.from({ length: 200 }, (_, i) => 1_000 + i).map((it) => it % 100)
    yield* Effect.forEach(
      amounts.filter((it) => it !== 1 && it !== 13),
      pay,
      { concurrency: "unbounded" }
    )
    assert.isUndefined(slow.pollUnsafe())
    assert.isBelow(requests, 190)
    yield* Deferred.succeed(gate, undefined)
    assert.strictEqual((yield* Fiber.join(slow)).receipt, "p-1: 1")
    assert.strictEqual(handled.filter((it) => it === "charge 1").length, 1)
  })
)

it.live("a message that takes longer than its request is asked for again, and handled once", () =>
  Effect.gen(function* () {
    const gate = yield* Deferred.make<void>()
    const { handled, net, pay } = yield* processes({ charge: () => Deferred.await(gate) })
    const bodies: Array<string> = []
    net.onTheWay(async (request, send) => {
      bodies.push(await request.clone().text())
      // The third request comes after the second one has said that it is not stored yet.
      if (bodies.length === 3) Effect.runSync(Deferred.succeed(gate, undefined))
      return send(request)
    })
    assert.strictEqual((yield* pay(5)).receipt, "p-5: 5")
    assert.deepStrictEqual(handled, ["charge 5"])
    assert.match(bodies[1] ?? "", /^\{"again":true,"kind":"command"/)
  })
)

it.live("A2 a response that is lost is made good by the next request: the service repeats its answer", () =>
  Effect.gen(function* () {
    const { handled, net, pay } = yield* processes()
    let lost = 0
    net.onTheWay(async (request, send) => {
      const response = await send(request)
      if (lost++ > 2) return response
      throw new Error("the connection is lost")
    })
    assert.strictEqual((yield* pay(5)).receipt, "p-5: 5")
    assert.deepStrictEqual(handled, ["charge 5"])
  })
)

it.live("an answer that comes after its request was cut goes to the URL of the service that has asked", () =>
  Effect.gen(function* () {
    const gate = yield* Deferred.make<void>()
    const { handled, net, pay } = yield* processes({
      charge: (amount) => (amount === 5 ? Deferred.await(gate) : Effect.void),
      url: "http://orders/saga"
    })
    // The subscription of payments stands.
    yield* pay(7)
    const urls: Array<string> = []
    const turn = () => new Promise((resume) => setImmediate(resume))
    net.onTheWay(async (request, send) => {
      // From now on nothing reaches payments: what is answered comes by itself.
      net.onTheWay((next, send) => {
        const { host } = new URL(next.url)
        urls.push(host)
        return host === "orders" ? send(next) : Promise.reject(new Error("cut"))
      })
      const abort = new AbortController()
      const { headers, method, url } = request
      const body = await request.arrayBuffer()
      send(new Request(url, { method, headers, body, signal: abort.signal })).catch(() => undefined)
      while (!handled.includes("charge 5")) await turn()
      abort.abort()
      for (let i = 0; i < 20; i++) await turn()
      Effect.runSync(Deferred.succeed(gate, undefined))
      throw new Error("cut")
    })
    assert.strictEqual((yield* pay(5)).receipt, "p-5: 5")
    assert.deepStrictEqual(handled, ["charge 7", "charge 5"])
    assert.include(urls, "orders")
  })
)

it.live("C12 a response that somebody else has written is not read", () =>
  Effect.gen(function* () {
    const { handled, net, pay } = yield* processes()
    let forged = 0
    net.onTheWay(async (request, send) => {
      const response = await send(request)
      const text = await response.text()
      const changed = forged++ === 0 ? text.replace("p-5", "p-6") : text
      return new Response(changed, response)
    })
    assert.strictEqual((yield* pay(5)).receipt, "p-5: 5")
    assert.isAtLeast(forged, 2)
    assert.deepStrictEqual(handled, ["charge 5"])
  })
)

it.live("a service without a URL is said in the error of the step that asks it", () =>
  Effect.gen(function* () {
    const { services } = yield* processes()
    const error = yield* Effect.flip(Effect.provide(SagaManager.execute(Order, { context: { amount: 1 } }), services))
    assert.deepInclude(error, { _tag: "SagaFailedExecution" })
    assert.match(error.message, /nobody listens/i)
  })
)

it.live(
  "I19 bodies without sense become dead letters of the service that has signed them, and change nothing else",
  () =>
    Effect.gen(function* () {
      const { handled, letters, net, pay } = yield* processes()
      let right: string | undefined
      net.onTheWay(async (request, send) => {
        right ??= JSON.parse((await request.clone().text()).split("\n")[0] ?? "").body
        return send(request)
      })
      yield* pay(7)
      const stranger = yield* Layer.build(
        net.host("x", HttpBroker.layer({ services: { payments: { url: "http://payments/saga", keys: [key] } } }))
      )
      const bodies = hostileBodies(right ?? "").filter(([, body]) => typeof body === "string" && body.length < 262_144)
      for (const [, body] of bodies)
        yield* Effect.provide(
          Broker.Broker.use((broker) =>
            broker.publish({
              address: { to: "payments", kind: "command", from: "orders", name: "Charge" },
              body: body as string
            })
          ),
          stranger
        )
      assert.strictEqual((yield* pay(8)).receipt, "p-8: 8")
      yield* Effect.repeat(Effect.yieldNow, { times: 200 })
      assert.deepStrictEqual(handled, ["charge 7", "charge 8"])
      assert.strictEqual((yield* letters.list()).length, bodies.length)
    })
)
